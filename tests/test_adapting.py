"""Models adapted to corrections: the fit, the graph, and the command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

import tiny_model
from emoscope import corpus, modelfile
from emoscope.errors import CorpusError
from emoscope.prediction import Predictor
from emoscope.training import adapting, calibration
from recordings import RATE, at_level, voice

LEVELS = {"sad": -45, "neutral": -35, "angry": -25}  # the model takes each for 10 dB louder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.write(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def corrections(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One recording of each of four speakers; a table tells what each second of it was corrected to."""
    folder = tmp_path_factory.mktemp("corrections")
    rng, rows = np.random.default_rng(0), []
    for number in range(4):
        names = rng.permutation(list(LEVELS) * 3)
        levels = [LEVELS[name] + rng.normal(0, 1) for name in names]
        parts = [at_level(voice(1.0, 100 + 20 * number), level) for level in levels]
        soundfile.write(folder / f"{number}.wav", np.concatenate(parts), RATE)
        rows += [(f"{number}.wav", n, n + 1, name, f"s{number}") for n, name in enumerate(names)]
    columns = ["file", "start", "end", "emotion", "speaker"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "corrections.csv", index=False)
    return folder / "corrections.csv"


def test_the_fit_is_the_most_probable_one() -> None:
    """Where it is, the gradient of likelihood and prior is zero, and any step makes it worse."""
    rng = np.random.default_rng(1)
    logits, inputs = (
        rng.normal(size=(30, 3)),
        np.hstack([rng.normal(size=(30, 5)), np.ones((30, 1))]),
    )
    labels = rng.integers(0, 3, 30)
    precision = np.append(np.full(5, adapting.WEIGHTS), adapting.BIASES)[:, np.newaxis]

    def loss(added: np.ndarray) -> float:
        found = logits + inputs @ added
        evidence = found[np.arange(30), labels] - np.log(np.exp(found).sum(axis=1))
        return float((precision * added**2).sum() / 2 - evidence.sum())

    found = adapting.fit(logits, inputs, labels)
    for step in 1e-2 * rng.normal(size=(20, *found.shape)):
        assert loss(found + step) > loss(found)


def test_many_clips_count_more_than_the_prior_and_none_leave_all_as_it_was() -> None:
    inputs = np.ones((1000, 1))
    added = adapting.fit(np.zeros((1000, 2)), inputs, np.repeat([0, 1], [800, 200]))
    assert np.diff(added[0])[0] == pytest.approx(np.log(200 / 800), rel=0.01)
    assert adapting.fit(np.zeros((0, 2)), inputs[:0], np.zeros(0, int)) == pytest.approx(0)


def test_an_adapted_model_says_what_was_corrected(
    emoscope, model: Path, corrections: Path, tmp_path: Path
) -> None:
    out = tmp_path / "mine.emoscope"
    status, said, _ = emoscope("train", model, corrections, "--from-corrections", "--out", out)
    assert status == 0 and "before: UAR 0.333" in said and out.with_suffix(".toml").exists()
    card = modelfile.load(out).card
    assert card.name == "level-adapted" and card.held_out == "speakers"
    assert card.results[0].uar == 1.0 and card.results[0].others["uar_before"] == pytest.approx(
        1 / 3
    )
    assert card.training.corpora[-1].speakers == ("s0", "s1", "s2", "s3")
    before, after = Predictor(model), Predictor(out)
    for name, level in LEVELS.items():
        heard = at_level(voice(1.2, 150, seed=9), level)
        assert after.predict(heard, RATE).emotion == name
    assert before.predict(heard, RATE).emotion == "neutral"


def test_the_graph_adds_a_linear_function_of_the_embedding(model: Path, tmp_path: Path) -> None:
    base, added = modelfile.load(model), np.random.default_rng(2).normal(size=(3, 3))
    path = modelfile.save(tmp_path / "m.emoscope", adapting.corrected(base, added), base.card)
    sound = np.random.default_rng(3).normal(0, 0.1, (1, RATE)).astype(np.float32)
    logits, embedding = base.run(sound)
    expected = logits + embedding / np.sqrt(2) @ added[:2] + added[2]
    np.testing.assert_allclose(modelfile.load(path).run(sound)[0], expected, rtol=1e-5)


def test_without_speakers_the_figures_are_called_optimistic(
    emoscope, model: Path, corrections: Path, tmp_path: Path
) -> None:
    table = corrections.with_name("unknown.csv")
    pd.read_csv(corrections).drop(columns="speaker").to_csv(table, index=False)
    out = tmp_path / "mine.emoscope"
    command = ("train", model, table, "--from-corrections", "--one-speaker", "--out", out)
    status, said, err = emoscope(*command)
    assert (
        status == 0
        and "measured on clips whose voices may be in training too" in said
        and "warning" in said + err
    )
    assert modelfile.load(out).card.optimistic


def test_of_a_single_speaker_this_is_said(
    emoscope, model: Path, corrections: Path, tmp_path: Path
) -> None:
    table = pd.read_csv(corrections).assign(speaker="anna")
    (anna := corrections.with_name("anna.csv")).write_text(table.to_csv(index=False))
    out = tmp_path / "mine.emoscope"
    status, said, err = emoscope("train", model, anna, "--from-corrections", "--out", out)
    found = "all of them are of one speaker, anna; it takes clips of 2 speakers"
    assert status == 0 and found in " ".join((said + err).split())
    assert "unknown, doubtful or only one" in " ".join((said + err).split())
    wrong = table.assign(emotion=np.random.default_rng(0).permutation(list(LEVELS) * 12))
    anna.write_text(wrong.to_csv(index=False))
    with pytest.raises(CorpusError, match=f"no better .*, of more speakers: {found}"):
        adapting.adapt(modelfile.load(model), corpus.load(anna), tmp_path / "m.emoscope")


def test_what_cannot_be_learned_is_said(model: Path, corrections: Path, tmp_path: Path) -> None:
    table = pd.read_csv(corrections)
    few = corrections.with_name("few.csv")
    table.head(9).to_csv(few, index=False)
    with pytest.raises(
        CorpusError, match="9 labelled clips of 3 emotions are too few .* takes 10 of 2"
    ):
        adapting.adapt(modelfile.load(model), corpus.load(few), tmp_path / "m.emoscope")
    table["emotion"] = table["emotion"].replace("sad", "bored")
    other = corrections.with_name("other.csv")
    table.to_csv(other, index=False)
    with pytest.raises(CorpusError, match="cannot answer bored; it answers neutral, sad, angry"):
        adapting.adapt(modelfile.load(model), corpus.load(other), tmp_path / "m.emoscope")
    table["emotion"] = np.random.default_rng(0).permutation(list(LEVELS) * 12)
    table.to_csv(other, index=False)
    with pytest.raises(
        CorpusError, match="nothing is written: .* the 36 clips make level no better"
    ):
        adapting.adapt(modelfile.load(model), corpus.load(other), tmp_path / "m.emoscope")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_used_is_named(
    emoscope, model: Path, corrections: Path, tmp_path: Path
) -> None:
    table = pd.read_csv(corrections)
    gone = pd.DataFrame([{**table.iloc[0], "file": "gone.wav"}])
    listed = corrections.with_name("gone.csv")
    pd.concat([table, gone]).to_csv(listed, index=False)
    out = tmp_path / "m.emoscope"
    status, said, err = emoscope("train", model, listed, "--from-corrections", "--out", out)
    assert status == 1 and "gone.wav" in said + err and out.exists()
    assert "before: UAR 0.333 on the same 36 clips" in said
    status, _, err = emoscope("train", model, listed, "--out", tmp_path / "n.emoscope")
    assert status == 2 and "--from-corrections adapts it" in err


def test_corrections_adapt_no_kind_of_model(emoscope, corrections: Path, tmp_path: Path) -> None:
    status, _, err = emoscope(
        "train", "svm", corrections, "--from-corrections", "--out", tmp_path / "m.emoscope"
    )
    assert status == 2 and "svm: --from-corrections adapts a trained model: default" in err


def test_labels_pass_only_where_few_are_wrong() -> None:
    confidence = np.r_[np.linspace(0.99, 0.6, 20), np.linspace(0.45, 0.4, 10)]
    found = np.log(np.column_stack([confidence, *3 * [(1 - confidence) / 3]]))
    labels = np.zeros(30, int)
    # All are right, but the base model marks the last ten.
    rule = calibration.uncertain(found, labels, lowest=0.5)
    assert rule.coverage == pytest.approx(2 / 3) and rule.risk == 0
    labels[::2] = 1
    rule = calibration.uncertain(found, labels, lowest=0.5)
    assert (rule.threshold, rule.coverage, rule.risk) == (1.0, 0.0, 0.5)
