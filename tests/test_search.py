"""Parameters are chosen on training speakers, and measured on others."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from emoscope import dataset, modelfile, models
from emoscope.corpus import Corpus
from emoscope.errors import EmoscopeError, ModelError, UnknownNameError
from emoscope.evaluation import search
from emoscope.evaluation.search import Trial
from emoscope.features.table import Features
from emoscope.models.discriminants import ShrinkageLDA


@pytest.fixture(scope="module")
def data():
    return dataset.load(None, ["mfcc", "contrast"], emotions=["calm", "angry", "sad"])


def test_the_choice_is_that_of_a_search_by_hand(data):
    X, table = data.features["vector"].values, data.corpus.table
    y, speakers = table["emotion"].to_numpy(str), table["speaker"].to_numpy(str)
    found = search.search(models.get("lda"), trials=20, seed=1).fit(X, y, speakers)

    def uar(shrinkage):
        scores = []
        for learn, left in StratifiedGroupKFold(4, shuffle=True, random_state=1).split(
            X, y, speakers
        ):
            assert not set(speakers[learn]) & set(speakers[left])
            model = make_pipeline(StandardScaler(), ShrinkageLDA(shrinkage)).fit(X[learn], y[learn])
            right = model.predict(X[left]) == y[left]
            scores.append(np.mean([right[y[left] == e].mean() for e in np.unique(y)]))
        return np.mean(scores)

    tried = models.get("lda").search["lda__shrinkage"]
    by_hand = {shrinkage: uar(shrinkage) for shrinkage in tried}
    np.testing.assert_allclose(found.cv_results_["mean_test_score"], list(by_hand.values()))
    assert by_hand[found.chosen_["lda__shrinkage"]] == max(by_hand.values())


def test_each_fold_chooses_without_its_test_speakers(data):
    """With the emotions of the test speakers shuffled, a fold chooses and predicts the same."""
    result = search.measure(data.corpus, data.features, "tree", trials=3, seed=0, jobs=1)
    trials = search.choose(data.corpus, data.features, "tree", trials=3, seed=0)
    runs = {run.model: run for run in result.runs}
    assert set(runs) == {"tree", "tree-tuned"}
    assert len(runs["tree-tuned"].chosen) == 6
    assert runs["tree"].chosen == [None] * 6
    assert [t.uar for t in trials] == sorted((t.uar for t in trials), reverse=True)

    table = data.corpus.table.copy()
    rows = result.predictions
    test = rows.loc[(rows["model"] == "tree-tuned") & (rows["fold"] == "1"), "speaker"].unique()
    own = table["speaker"].isin(test).to_numpy()
    table.loc[own, "emotion"] = np.random.default_rng(0).permutation(table.loc[own, "emotion"])
    import dataclasses

    shuffled = dataclasses.replace(data.corpus, table=table)
    again = search.measure(shuffled, data.features, "tree", trials=3, seed=0, jobs=1)
    other = {run.model: run for run in again.runs}
    assert other["tree-tuned"].chosen[0] == runs["tree-tuned"].chosen[0]

    def predicted(result):
        rows = result.predictions
        return rows[(rows["model"] == "tree-tuned") & (rows["fold"] == "1")]["predicted"].tolist()

    assert predicted(again) == predicted(result)


def test_a_network_is_told_who_speaks():
    pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(80, 40)).astype(np.float32), np.tile(["calm", "sad"], 40)
    speakers = np.repeat(np.arange(8), 10)
    seen = []

    class Spy(type(models.get("mlp").build(0))):
        def fit(self, X, y, groups=None):
            seen.append(groups)
            return super().fit(X, y, groups)

    import dataclasses

    info = dataclasses.replace(
        models.get("mlp"), build=lambda seed: Spy(epochs=2), search={"alpha": [0.1, 1.0]}
    )
    search.search(info, trials=2, seed=0).fit(X, y, speakers)
    assert len(seen) == 2 * search.N_INNER + 1
    assert all(groups is not None and len(set(groups)) >= 6 for groups in seen)


def test_what_cannot_be_tuned(data):
    with pytest.raises(ModelError, match="'dummy' has nothing to tune; these have: .*svm"):
        search.search(models.get("dummy"), trials=2, seed=0)


def test_from_the_command_line_to_a_model_file(emoscope, tmp_path):
    chosen = tmp_path / "tuned.json"
    words = ["lda", "--features", "contrast", "--emotions", "calm,angry"]
    status, out, _ = emoscope("tune", *words, "--trials", 4, "--jobs", 1, "--out", tmp_path)
    assert status == 0 and "lda-tuned" in out and "all speakers:" in out
    document = json.loads(chosen.read_text("utf-8"))
    assert len(document["trials"]) == 4
    assert {"results.json", "predictions.csv", "report.html", "run.toml"} <= {
        path.name for path in tmp_path.iterdir()
    }
    pytest.importorskip("onnx", reason="the extra 'onnx' is not installed")
    file = tmp_path / "mine.emoscope"
    status, _, _ = emoscope("train", *words, "--parameters", chosen, "--out", file)
    assert status == 0
    recipe = modelfile.load(file).card.training.recipe
    shrinkage = document["parameters"]["lda__shrinkage"]
    assert f"ShrinkageLDA(shrinkage={shrinkage})" in recipe["parameters"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("no JSON", "no parameters as emoscope tune writes them"),
        ('{"model": "svm", "parameters": {}}', "parameters of 'svm', not of 'lda'"),
        (
            '{"model": "lda", "parameters": {"C": 1}}',
            "unknown parameter of 'lda' in .*x.json 'C'.* Valid: lda__shrinkage",
        ),
    ],
)
def test_parameters_that_do_not_fit(tmp_path, content, says):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(EmoscopeError, match=says):
        search.load(tmp_path / "x.json", "lda")


@pytest.mark.parametrize(
    "value", ['"x"', "-1", "null", "{}", "[1]", "NaN", "1e999", "true", "[{}]"]
)
def test_values_that_no_search_tries(tmp_path, value):
    (tmp_path / "x.json").write_text(f'{{"model": "svm", "parameters": {{"svm__C": {value}}}}}')
    with pytest.raises(
        UnknownNameError, match=r"value of svm__C in .*x.json '.*'.* Valid: 0\.001, "
    ):
        search.load(tmp_path / "x.json", "svm")


def test_parameters_nested_too_deeply(tmp_path):
    (tmp_path / "x.json").write_text("[" * 100_000)
    with pytest.raises(ModelError, match="no parameters as emoscope tune writes them"):
        search.load(tmp_path / "x.json", "svm")


@pytest.mark.parametrize("model", [name for name in models.names() if models.get(name).search])
def test_every_value_that_a_search_tries_is_read_back(tmp_path, model):
    space = models.get(model).search
    for n in range(max(map(len, space.values()))):
        chosen = {name: values[n % len(values)] for name, values in space.items()}
        text = search.to_json(model, [Trial(chosen, 0.5, 0.1)], [])
        (tmp_path / "x.json").write_text(text, encoding="utf-8")
        assert search.load(tmp_path / "x.json", model) == chosen


def test_what_was_chosen_survives_a_file(data, tmp_path):
    trials = [Trial({"hidden": (300, 100), "alpha": 0.1}, 0.5, 0.1)]
    (tmp_path / "x.json").write_text(search.to_json("mlp", trials, ["mfcc"]), encoding="utf-8")
    assert search.load(tmp_path / "x.json", "mlp") == {"hidden": (300, 100), "alpha": 0.1}


def test_a_fold_with_too_few_speakers_to_tune_on_is_refused():
    """Enough of them in all is not enough."""
    corpus = make_corpus_of(5)
    with pytest.raises(
        ModelError, match="leaves out 4 parts of the training speakers; there are 3"
    ):
        search.measure(corpus[0], corpus[1], "lda", trials=2, seed=0, protocol="own-split", jobs=1)


def make_corpus_of(n_speakers):
    """Random features; the last two speakers test."""
    random = np.random.default_rng(0)
    rows = [
        {"clip": f"{s}-{n}", "path": f"{s}-{n}.wav", "emotion": ("sad", "happy")[n % 2], "label": "",
         "speaker": f"s{s}", "corpus": "small", "split": "test" if s > n_speakers - 3 else "train"}
        for s in range(n_speakers) for n in range(8)
    ]  # fmt: skip
    x = random.normal(size=(len(rows), 4)).astype(np.float32)
    clips = [row["clip"] for row in rows]
    features = Features(clips, [{"name": "a"}], tuple(f"a_{n}" for n in range(4)), x)
    return Corpus("small", pd.DataFrame(rows)), {"vector": features}
