from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import train_test_split

from emoscope import dataset, reproduction
from emoscope.dataset import bundled
from emoscope.errors import CorpusError
from emoscope.evaluation import engine, metrics
from emoscope.reproduction import claims

TREES = ["max_depth 2", "max_depth 6"]


@pytest.fixture
def small(monkeypatch):
    """The bundled features without the spectrograms, which most tests here do not need."""
    corpus, vector, frames = bundled.load()
    chosen = corpus.select(emotions=["angry", "happy", "neutral", "sad"])
    rows = corpus.table.index.get_indexer(chosen.table.index)
    features = {
        "vector": vector.rows(rows).select(["mfcc", "chroma", "mel"]),
        "frames": frames.rows(rows),
    }
    data = dataset.Dataset(chosen, features)
    monkeypatch.setattr(dataset, "load", lambda *_, **__: data)
    return data


def test_every_published_result_has_its_model():
    facts = reproduction.published()
    rows = reproduction.published_results(facts)
    assert len(rows) == 20
    assert [row.name for row in rows] == [fact["model"] for fact in facts["rows"]]
    families = pd.Series([row.family for row in rows]).value_counts().to_dict()
    assert families == {"classical": 7, "CNN-2D": 5, "MLP": 4, "CNN-1D": 4}
    assert {row.info.input for row in rows if row.family == "CNN-2D"} == {"frames"}
    with pytest.raises(CorpusError, match="no published result is called tre!"):
        reproduction.published_results(facts, ["tre!"])


def test_published_split_and_unseen_speakers(small):
    rows = reproduction.published_results(reproduction.published())
    planned = reproduction.plan(rows, small, 7, quick=False, seed=0)
    table = small.corpus.table
    first = next(u for r, u in planned if r.family == "MLP")
    train, test = train_test_split(np.arange(len(table)), test_size=0.25, random_state=7)
    assert set(first.fold.test) == set(test)
    assert set(first.fold.train) == set(train)
    assert first.about["epochs"] == 500
    protocols = [unit.about["protocol"] for _, unit in planned]
    for (_, unit), protocol in zip(planned, protocols, strict=True):
        if not protocol.startswith("random-"):
            speakers = table["speaker"].to_numpy()
            assert not set(speakers[unit.fold.train]) & set(speakers[unit.fold.test])
    families = [result.family for result, _ in planned]
    counts = pd.Series([*zip(families, protocols, strict=True)]).value_counts()
    # 20 published splits, 9 more seeds of 11 rows, six folds of 15 rows, one fold of 5.
    assert counts["classical", "random-75/25"] == 70
    assert counts["MLP", "speaker-6fold"] == 24
    assert counts["CNN-2D", "random-80/20"] == counts["CNN-2D", "audeering-1.1"] == 5
    assert len(planned) == 20 + 9 * 11 + 6 * 15 + 5
    assert [protocol.startswith("random-") for protocol in protocols[:21]] == [True] * 20 + [False]
    quick = reproduction.plan(rows, small, 7, quick=True, seed=0)
    assert {u.about["epochs"] for _, u in quick} == {None, reproduction.QUICK_EPOCHS}


def test_reproduction_goes_on_where_it_was_stopped(small, tmp_path, monkeypatch):
    trained = []
    real = engine.fit_and_predict
    monkeypatch.setattr(engine, "fit_and_predict", lambda w: trained.append(1) or real(w))

    def stop(done, total):
        if done == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reproduction.reproduce(out=tmp_path, rows=TREES, jobs=1, progress=stop)
    steps = []
    result = reproduction.reproduce(
        out=tmp_path, rows=TREES, jobs=1, progress=lambda done, total: steps.append((done, total))
    )
    n_units = 2 * (10 + 6)
    assert steps[-1] == (n_units, n_units)
    # At most what was under way when it stopped is done twice.
    assert steps[0][0] >= 10
    first = len(trained)
    again = reproduction.reproduce(out=tmp_path, rows=TREES, jobs=1)
    assert len(trained) == first
    assert again.rows == result.rows


def test_rows_hold_what_the_predictions_say(small, tmp_path):
    result = reproduction.reproduce(out=tmp_path, rows=TREES, jobs=1)
    assert [row.model for row in result.rows] == [
        "decision tree, max_depth 2",
        "decision tree, max_depth 6",
    ]
    for row in result.rows:
        mine = result.predictions[result.predictions["model"] == row.model]
        for protocol, key in (("random-75/25", "reproduced"), ("speaker-6fold", "honest")):
            rows = mine[mine["protocol"] == protocol]
            score = 100 * metrics.accuracy(rows["emotion"], rows["predicted"])
            assert getattr(row, key) == pytest.approx(score, abs=0.01)
        assert row.reproduced_low <= row.reproduced <= row.reproduced_high
        assert row.honest_low < row.honest < row.honest_high
        assert row.n_splits == 10
    assert len(mine[mine["protocol"] == "speaker-6fold"]) == 672
    assert result.about["part"] == "speech alone"
    assert result.about["n_clips"] == 672


def test_song_is_said_where_it_is_there(small, tmp_path):
    small.corpus.table.loc[small.corpus.table.index[:300], "channel"] = "song"
    result = reproduction.reproduce(out=tmp_path, rows=["max_depth 2"], jobs=1)
    assert result.about["part"] == "speech and song"


def test_missing_emotion_is_refused(small, tmp_path):
    small.corpus.table["emotion"] = "sad"
    with pytest.raises(CorpusError, match="need clips that are angry, happy, neutral"):
        reproduction.reproduce(out=tmp_path)


def test_saved_files(small, tmp_path):
    result = reproduction.reproduce(out=tmp_path, rows=["max_depth 2", "500 iter"], jobs=1,
                                    quick=True)  # fmt: skip
    result.save(tmp_path)
    document = json.loads((tmp_path / "reproduction.json").read_text())
    assert {"model", "published", "reproduced", "training", "honest"} <= set(document["rows"][0])
    assert len(document["verdicts"]) == 4
    assert document["about"]["epochs"] == 10
    predictions = pd.read_csv(tmp_path / "reproduction.csv")
    assert len(predictions) == 2 * (168 + 672)
    page = (tmp_path / "reproduction.html").read_text()
    assert "A quick run" in page
    assert "2 of the 20 results" in page
    assert "not what anybody feels" in page and "CC BY-NC-SA 4.0" in page
    assert "decision tree, max_depth 2" in page
    assert "prefers-color-scheme: dark" in page
    assert not re.findall(r"(?:src|href)=\"http|url\(http|@import", page)


def lines_and_predictions(scores):
    """Rows and predictions of models that recognise given shares of 600 clips of 12 speakers."""
    rng, lines, tables = np.random.default_rng(0), [], []
    emotion = np.tile(["sad", "happy"], 300)
    for n, (family, reproduced, honest, training) in enumerate(scores):
        right = rng.random(600) < honest
        other = np.where(emotion == "sad", "happy", "sad")
        tables.append(
            pd.DataFrame(
                {
                    "model": f"{family} {n}", "family": family, "protocol": "speaker-6fold",
                    "clip": np.arange(600), "speaker": np.repeat(np.arange(12), 50),
                    "emotion": emotion,
                    "predicted": np.where(right, emotion, other),
                }
            )
        )  # fmt: skip
        lines.append(
            claims.Row(
                model=f"{family} {n}", family=family, published=100 * reproduced,
                reproduced=100 * reproduced, reproduced_mean=None, reproduced_low=None,
                reproduced_high=None, n_splits=1, training=training, honest=100 * right.mean(),
                honest_low=0, honest_high=100, honest_training=training,
                honest_protocol="speaker-6fold", random_protocol="random-75/25", n_test=168,
                epochs=None, seconds=0,
            )
        )  # fmt: skip
    return lines, pd.concat(tables, ignore_index=True)


def judged(*scores):
    facts = reproduction.published()
    return claims.assess(facts["claims"], *lines_and_predictions(scores))


def test_claims_that_hold_everywhere():
    networks, overfit, cnn, differ = judged(
        ("classical", 0.6, 0.50, 80), ("MLP", 0.8, 0.65, 99), ("CNN-1D", 0.9, 0.80, 99),
        ("CNN-1D", 0.7, 0.68, 97), ("CNN-2D", 0.8, 0.7, 99),
    )  # fmt: skip
    assert networks.verdict == "holds, also on unseen speakers"
    assert overfit.verdict == "holds, also on unseen speakers"
    assert cnn.holds_honest is True
    assert differ.holds_honest is True
    assert "p below 0.001" in networks.evidence[1]


def test_claim_that_holds_only_where_voices_leak():
    networks, _, cnn, _ = judged(
        ("classical", 0.6, 0.6, 99), ("classical", 0.6, 0.62, 99), ("MLP", 0.8, 0.5, 99),
        ("CNN-1D", 0.85, 0.5, 60), ("CNN-1D", 0.85, 0.5, 60),
    )  # fmt: skip
    assert networks.verdict == "holds on the published split, cannot be shown on unseen speakers"
    assert cnn.holds_reproduced is True
    assert cnn.holds_honest is False


def test_claims_that_do_not_hold():
    networks, overfit, _, differ = judged(
        ("classical", 0.9, 0.8, 99), ("MLP", 0.5, 0.4, 60), ("CNN-1D", 0.5, 0.5, 60),
        ("CNN-1D", 0.5, 0.5, 60),
    )  # fmt: skip
    assert {networks.verdict, overfit.verdict, differ.verdict} == {"does not hold"}
    assert "Not above 95 %" in " ".join(overfit.evidence)


def test_claims_without_their_models_are_not_judged():
    assert {verdict.verdict for verdict in judged(("classical", 0.9, 0.8, 99))} == {
        "cannot be judged"
    }
