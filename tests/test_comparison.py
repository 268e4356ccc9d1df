"""The comparison: honest folds, the same rows however it is run, nothing lost when it stops."""

import json
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression

from emoscope import models, protocols
from emoscope.corpus import Corpus
from emoscope.errors import CorpusError, FeatureError, ProtocolError, UnknownNameError
from emoscope.evaluation import comparison
from emoscope.evaluation.engine import Checkpoint
from emoscope.evaluation.result import Result
from emoscope.features.table import Features
from emoscope.report import page, summary
from emoscope.report.summary import Sentence

EMOTIONS = ("happy", "sad", "angry")


@pytest.fixture(scope="module")
def small():
    """Eight speakers whose voice outweighs their emotion: random folds leak, speaker folds do not."""
    random = np.random.default_rng(0)
    rows, values = [], []
    for speaker in range(8):
        voice = random.normal(size=(3, 10)) * 3
        for n in range(18):
            emotion = n % 3
            rows.append(
                {
                    "clip": f"{speaker}-{n:02d}",
                    "path": f"{speaker}-{n:02d}.wav",
                    "emotion": EMOTIONS[emotion],
                    "label": EMOTIONS[emotion][0],
                    "speaker": f"s{speaker}",
                    "corpus": "small",
                    "gender": "female" if speaker % 2 else "male",
                }
            )
            here = voice[emotion] + random.normal(size=10)
            here[emotion] += 5
            values.append(here)
    corpus = Corpus(
        name="small", table=pd.DataFrame(rows), licence="none", citation="none", rejected=[]
    )
    x = np.asarray(values, dtype=np.float32)
    specs = [{"name": "a", "version": 1}, {"name": "b", "version": 1}]
    columns = tuple(f"a_{i}" for i in range(5)) + tuple(f"b_{i}" for i in range(5))
    clips = [row["clip"] for row in rows]
    return corpus, {"vector": Features(clips=clips, specs=specs, columns=columns, X=x)}


def run(small, **options):
    corpus, features = small
    options = {"models": ["dummy", "svm", "tree"], "jobs": 1, **options}
    return comparison.compare(corpus, features, **options)


def test_rows_hold_every_clip_once_per_model_and_scores_follow_from_them(small):
    result = run(small)
    for model in ("dummy", "svm", "tree"):
        rows = result.rows(model)
        assert sorted(rows["clip"]) == sorted(small[0].table["clip"])
        line = next(r for r in result.leaderboard() if r.model == model)
        recalls = [(g["predicted"] == e).mean() for e, g in rows.groupby("emotion")]
        assert line.uar == pytest.approx(np.mean(recalls))
        probabilities = rows[[f"p_{e}" for e in result.emotions]].to_numpy()
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert next(r for r in result.runs if r.model == "dummy").uar == pytest.approx(1 / 3)


def test_voices_that_leak_are_seen_as_a_leak_gap(small):
    line = next(r for r in run(small).leaderboard() if r.model == "svm")
    assert line.leak_gap > 0.15


def test_no_leak_gap_is_given_where_random_folds_lack_an_emotion(small):
    table = small[0].table.copy()
    random = protocols.folds(table.assign(unique_speaker=table["speaker"]), "random-75/25")[0].test
    rare = np.setdiff1d(np.flatnonzero(table["emotion"] == "angry"), random)
    table.loc[np.setdiff1d(np.arange(len(table)), rare)[::2], "emotion"] = "happy"
    table.loc[table.index.isin(random) & (table["emotion"] == "angry"), "emotion"] = "sad"
    result = run((replace(small[0], table=table), small[1]), models=["svm"], protocol="loso")
    assert result.config["no_leak_gap"] == "no test clip of random-75/25 is angry"
    assert {one.protocol for one in result.runs} == {"loso"} and result.runs[0].leak_gap is None
    assert "no test clip of random-75/25 is angry" in page.render(result)
    assert "no_leak_gap" not in run(small, models=["svm"]).config


class Spy(ClassifierMixin, BaseEstimator):
    """Remembers nothing but checks what it is given."""

    def fit(self, X, y, groups=None):
        assert groups is not None and len(set(groups)) == 8 - 8 // 6 - (len(X) != 126)
        self.classes_ = np.unique(y)
        self.mean_ = X.mean(axis=0)
        return self

    def predict(self, X):
        return np.repeat(self.classes_[0], len(X))

    def predict_proba(self, X):
        return np.eye(len(self.classes_))[np.zeros(len(X), dtype=int)]


def test_an_estimator_of_the_users_own_gets_training_speakers_only(small):
    result = run(small, models={"spy": Spy(), "lr": LogisticRegression()}, leak_protocol=None)
    assert [r.model for r in result.runs] == ["spy", "lr"]


def test_the_same_rows_in_one_process_and_in_two(small):
    one, two = run(small, jobs=1), run(small, jobs=2)
    pd.testing.assert_frame_equal(one.predictions, two.predictions)


def test_saving_and_loading_gives_the_same_and_twice_the_same_bytes(small, tmp_path):
    for name in ("first", "second"):
        run(small).save(tmp_path / name)
    first, second = (
        (tmp_path / name / "predictions.csv").read_bytes() for name in ("first", "second")
    )
    assert first == second
    loaded = Result.load(tmp_path / "first")
    again = run(small)
    assert loaded.runs[0].uar == again.runs[0].uar
    pd.testing.assert_frame_equal(loaded.predictions, again.predictions, atol=1e-6)


def test_a_stopped_run_continues_where_it_was(small, tmp_path):
    class Stop(Exception):
        pass

    def stop_at_five(done, total):
        if done == 5:
            raise Stop

    checkpoint = Checkpoint(tmp_path)
    with pytest.raises(Stop):
        run(small, checkpoint=checkpoint, on_unit=stop_at_five)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(kept) == 5
    result = run(small, checkpoint=checkpoint)
    assert all(path.stat().st_mtime_ns == when for path, when in kept.items())
    pd.testing.assert_frame_equal(result.predictions, run(small).predictions)


def test_ablation_runs_each_feature_alone(small):
    result = run(small, models=["svm"], ablation=["svm"], leak_protocol=None)
    labels = [r.features for r in result.ablations()]
    assert len(labels) == 3 and len(set(labels)) == 3
    assert len(result.leaderboard()) == 1


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"models": ["svn"]}, UnknownNameError, "Did you mean 'svm'"),
        ({"protocol": "holdout"}, UnknownNameError, "Valid: speaker-6fold"),
        ({"protocol": "luna-5fold"}, ProtocolError, "published for RAVDESS"),
        ({"models": ["cnn2d-a"]}, FeatureError, "logmel"),
    ],
)
def test_what_cannot_be_run_is_refused_in_words(small, options, error, says):
    with pytest.raises(error, match=says):
        run(small, **options)


def test_the_report_says_what_the_numbers_say_and_escapes_names(small, tmp_path):
    corpus, features = small
    result = run(small)
    result.corpus["rejected"] = [{"file": "<script>alert(1)</script>\udcff", "reason": "<b>"}]
    html = page.render(result)
    best = result.leaderboard()[0]
    assert f"{best.uar:.3f}" in html
    assert "<script>alert" not in html and "&lt;script&gt;alert" in html
    assert "http://" not in html.replace("http://www.w3.org", "")
    texts = " ".join(f.text for f in summary.sentences(result))
    assert best.model in texts and "Random folds would have claimed" in texts


def test_a_cluster_predicts_the_same_when_a_worker_is_killed_midway(small, cluster, tmp_path):
    """One scheduler and two workers, each a process of its own; both work until one is killed."""
    here = run(small, models=["svm", "tree", "lda"], protocol="loso")
    done = []

    def kill(finished, total):
        done.append(finished)
        if finished == 3:
            cluster.workers[0].kill()

    there = run(
        small, models=["svm", "tree", "lda"], protocol="loso", cluster=cluster.address,
        on_unit=kill,
    )  # fmt: skip
    assert cluster.workers[0].poll() is not None and cluster.workers[1].poll() is None
    assert len(done) == 3 * (8 + 1)
    here.save(tmp_path / "here")
    there.save(tmp_path / "there")
    files = [tmp_path / side / "predictions.csv" for side in ("here", "there")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_ablations_are_not_reported_as_the_model(small, tmp_path):
    """Also when a stopped run, or one on fewer features, left them finished before."""
    corpus, features = small
    alone = {"vector": features["vector"].select(["a"])}
    checkpoint = Checkpoint(tmp_path)
    run((corpus, alone), models=["svm"], checkpoint=checkpoint)
    seen = []
    result = run(
        small, models=["svm"], ablation=["svm", "svm"], checkpoint=checkpoint, on_run=seen.append
    )
    assert sorted((r.protocol, r.features) for r in seen) == [
        ("random-75/25", "a+b"), ("speaker-6fold", "a+b"),
    ]  # fmt: skip
    assert len(result.ablations()) == 3
    with pytest.raises(UnknownNameError, match="'lda'"):
        run(small, models=["svm"], ablation=["lda"])


def test_finished_units_of_other_speakers_are_not_taken(small, tmp_path):
    """Speakers decide what is held out inside a training, so they belong to a unit."""
    corpus, features = small
    checkpoint, seen = Checkpoint(tmp_path), []
    options = {"models": ["stack"], "protocol": "random-75/25", "leak_protocol": None}
    run(small, checkpoint=checkpoint, **options)
    run(small, checkpoint=checkpoint, on_unit=lambda *done: seen.append(done), **options)
    assert not seen
    renamed = corpus.table.assign(
        speaker=corpus.table["speaker"].sample(frac=1, random_state=0).values
    )
    other = Corpus(name="small", table=renamed)
    run(
        (other, features), checkpoint=checkpoint, on_unit=lambda *done: seen.append(done), **options
    )
    assert seen == [(1, 1)]


def test_adapted_figures_have_no_leak_gap(small):
    result = run(small, models=["svm"], protocol="loso+speaker-adapted")
    assert [r.leak_gap for r in result.runs] == [None, None]


def test_findings_speak_of_the_emotions_that_were_tested(small):
    """Across corpora, only the emotions of both take part."""
    corpus, features = small
    table = corpus.table.copy()
    table.loc[table["speaker"] > "s3", "corpus"] = "other"
    lone = (table["corpus"] == "other") & (table["emotion"] == EMOTIONS[0])
    table.loc[lone, "emotion"] = "bored"
    result = run(
        (Corpus(name="two", table=table), features), models=["svm"], protocol="cross-corpus",
        leak_protocol=None,
    )  # fmt: skip
    assert len(result.emotions) == 4 and len(summary.tested_emotions(result)) == 2
    assert summary.chance(result) == 0.5
    texts = [f.text for f in summary.sentences(result)]
    assert "no significant difference from chance, 0.500" in texts[0]
    easiest = next(text for text in texts if "most often" in text)
    assert not any(emotion in easiest for emotion in (EMOTIONS[0], "bored"))


def test_random_folds_are_never_headed_unseen_speakers(small):
    result = run(small, protocol="random-75/25", leak_protocol=None)
    html = page.render(result)
    assert "unseen speakers" not in html and "UAR on random folds, where voices leak" in html
    assert "would have claimed" not in html
    result.corpus["name"], human = "ravdess", summary.HUMAN_RAVDESS
    assert str(human) not in " ".join(f.text for f in summary.sentences(result))


def test_results_with_and_without_a_map_are_read(small, tmp_path):
    run(small).save(tmp_path)
    document = json.loads((tmp_path / "results.json").read_text())
    del document["config"]
    drawn = {"clips": ["a"], "pca": [[0, 0]], "tsne": [[0, 0]], "pca_variance": 1.0}
    for older in (document, {**document, "map": drawn}):
        (tmp_path / "results.json").write_text(json.dumps(older))
        assert Result.load(tmp_path).runs
    (tmp_path / "results.json").write_text(json.dumps({**document, "config": [1]}))
    with pytest.raises(CorpusError, match="no mapping"):
        Result.load(tmp_path)


def test_names_with_dollar_signs_are_no_formulas(small, tmp_path):
    corpus, features = small
    table = corpus.table.assign(speaker=corpus.table["speaker"].replace("s0", "a$b_$"))
    result = run(
        (Corpus(name="small", table=table), features), models={"m$_$": LogisticRegression()}
    )
    assert "a$b_$" in page.render(result)


def test_a_model_that_cannot_take_the_features_is_named_before_anything_is_trained(small):
    infos = {name: models.get(name) for name in ("svm", "cnn1d-a", "cnn1d-b")}
    assert comparison.incompatible_models(infos, small[1]) == {
        "cnn1d-b": "it needs at least 64 columns of features, and there are 10"
    }
    with pytest.raises(FeatureError, match="cnn1d-b: it needs at least 64 columns"):
        run(small, models=["svm", "cnn1d-b"], on_unit=lambda *done: pytest.fail("trained"))


def test_without_torch_and_matplotlib_the_classical_models_are_compared(small, monkeypatch):
    for package in ("torch", "matplotlib"):
        monkeypatch.setitem(sys.modules, package, None)
    infos = {name: models.get(name) for name in ("svm", "cnn1d-a")}
    left = comparison.incompatible_models(infos, small[1])
    assert left == {"cnn1d-a": "it needs torch: pip install 'emoscope[deep]'"}
    html = page.render(run(small, models=["svm"], leak_protocol=None))
    assert "pip install 'emoscope[plots]'" in html and "<figcaption>Leaderboard" in html


def test_an_evaluation_does_not_claim_unseen_speakers(small):
    result = run(small, models=["svm"], leak_protocol=None)
    result.runs = [replace(run_, protocol="evaluate") for run_ in result.runs]
    result.predictions["protocol"] = "evaluate"
    result.config = {"notes": ["3 speakers were in this model's training"]}
    texts = summary.sentences(result)
    assert texts[0] == Sentence("3 speakers were in this model's training.", warn=True)
    html = page.render(result)
    assert "never heard" not in html and "unseen speakers" not in html
    assert "1 model, " in html and "share a letter" not in html


def test_what_learns_on_a_pretrained_network_is_not_called_classical(small):
    result = run(small, models=["svm", "lda", "tree"], leak_protocol=None)
    best, second, third = result.leaderboard()
    result.runs = [replace(best, features="encoder"), replace(second, history=[[{}, {}]]), third]
    first = result.predictions["model"] == best.model
    result.predictions["features"] = result.predictions["features"].mask(first, "encoder")
    (told,) = [s.text for s in summary.sentences(result) if "classical" in s.text]
    assert second.model in told and f"model {third.model} (" in told and best.model not in told
