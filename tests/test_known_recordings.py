"""Recordings that a model was trained on are told, however they were coded or cut; no others."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

import emoscope
import tiny_model
from emoscope import audio, corpus, modelfile
from emoscope.audio import Signal
from emoscope.evaluation import saved_model
from emoscope.files import DATA
from emoscope.modelfile.card import Training, TrainingCorpus
from emoscope.prediction import Predictor, known
from recordings import RATE, voice

CLIPS = {"01": ("neutral", 110.0), "02": ("sad", 140.0), "03": ("happy", 180.0)}


def spoken(number: int, pitch: float) -> Signal:
    """A voice whose syllables are as loud, and whose formants as far apart, as its seed says."""
    rng = np.random.default_rng(number)
    parts = [
        rng.uniform(0.3, 1) * voice(0.3, pitch * rng.uniform(0.8, 1.2), seed=number * 100 + part)
        for part in range(8)
    ]
    noise = 0.02 * rng.normal(size=sum(map(len, parts)))
    return Signal((np.concatenate(parts) + noise).astype(np.float32), RATE)


@pytest.fixture(scope="module")
def signals() -> list[Signal]:
    return [spoken(n, pitch) for n, (_, pitch) in enumerate(CLIPS.values())]


@pytest.fixture
def index(signals: list[Signal], monkeypatch: pytest.MonkeyPatch) -> known.Index:
    kept = []
    for signal in signals:
        words, sounding = known.recording_words(signal)
        first, last = np.flatnonzero(sounding)[[0, -1]]
        kept.append(np.where(sounding, words, np.uint32(0))[first : last + 1 : known.STEP])
    made = known.Index(
        np.concatenate(kept),
        np.array([len(words) for words in kept]),
        np.array(["ravdess"] * 3),
        np.array(list(CLIPS)),
        np.array([emotion for emotion, _ in CLIPS.values()]),
    )
    monkeypatch.setattr(known, "index", lambda: made)
    return made


def trained_on(n_clips: int | None, *speakers: str, name: str = "ravdess") -> dict[str, Training]:
    corpus = TrainingCorpus(name=name, n_clips=n_clips, speakers=speakers)
    return {"training": Training(corpora=(corpus,))}


def test_a_clip_is_found_whole_cut_louder_and_at_another_rate(
    index: known.Index, signals: list[Signal]
) -> None:
    for number, signal in enumerate(signals):
        cut = Signal(0.3 * signal.samples[RATE // 5 : -RATE // 5], RATE)
        for version in (signal, cut, audio.resample(signal, 44_100)):
            found = index.find(version)
            assert found is not None
            assert found[0] == number
            assert found[1] > 0.9
    assert index.find(spoken(9, 125.0)) is None
    assert index.find(Signal(np.full(RATE, 0.1, np.float32), RATE)) is None


def test_share_is_that_of_the_clip_in_the_recording(
    index: known.Index, signals: list[Signal]
) -> None:
    strange = spoken(8, 150.0).samples
    mixed = Signal(np.concatenate([strange, signals[1].samples, strange]), RATE)
    found = index.find(mixed)
    assert found is not None
    assert found[0] == 1
    assert found[1] == pytest.approx(1 / 3, abs=0.05)
    (warning,) = known.training_warning(tiny_model.card(**trained_on(3, "02")), mixed)
    assert warning.startswith("training data: a part of this recording was in the training data")


@pytest.mark.parametrize(
    ("n_clips", "speakers", "told"),
    [
        (2, ("01", "02"), "was in the training data of this model (ravdess): its label is no test"),
        (1, ("01", "02"), "this model was trained on 1 of those 2 clips: its label may be no test"),
        (None, ("01", "02"), "this model was trained on some of those 2 clips"),
        (1, ("02",), ""),  # another speaker was left out of training
    ],
)
def test_the_card_says_whether_the_clip_was_trained_on(
    index: known.Index,
    signals: list[Signal],
    n_clips: int | None,
    speakers: tuple[str, ...],
    told: str,
) -> None:
    card = tiny_model.card(**trained_on(n_clips, *speakers))
    warnings = known.training_warning(card, signals[0])
    assert [told in warning for warning in warnings] == ([True] if told else [])


def test_emotions_and_corpora_that_a_model_does_not_know_were_not_trained_on(
    index: known.Index, signals: list[Signal]
) -> None:
    assert known.training_warning(tiny_model.card(**trained_on(3, *CLIPS)), signals[2]) == []
    other = tiny_model.card(**trained_on(3, *CLIPS, name="nemo"))
    assert known.training_warning(other, signals[0]) == []


def test_predict_warns(index: known.Index, signals: list[Signal], tmp_path: Path) -> None:
    predictor = Predictor(tiny_model.write(tmp_path, **trained_on(3, *CLIPS)))
    assert predictor.predict(signals[0]).warnings[-1].startswith("training data:")
    strange = predictor.predict(spoken(9, 125.0)).warnings
    assert not any(warning.startswith("training data:") for warning in strange)


def test_evaluate_counts_them(index: known.Index, signals: list[Signal], tmp_path: Path) -> None:
    path = tiny_model.write(tmp_path, **trained_on(3, *CLIPS))
    for name, signal in (("sad/1", signals[1]), ("neutral/2", spoken(9, 125.0))):
        (tmp_path / name).parent.mkdir(parents=True)
        soundfile.write(tmp_path / f"{name}.wav", signal.samples, RATE)
    result = saved_model.evaluate(modelfile.load(path), corpus.load(tmp_path, one_speaker=True))
    (note,) = (n for n in result.corpus["notes"] if n.startswith("training data:"))
    assert note.endswith("its label is no test (1 of 2 clips)")


def test_the_shipped_index_is_small_and_is_of_the_shipped_models() -> None:
    assert (Path(DATA) / known.FILE).stat().st_size < 1_000_000
    clips, predictor = known.index(), Predictor()
    assert dict(zip(*np.unique(clips.corpora, return_counts=True), strict=True)) == {
        "ravdess": 1440,
        "emodb": 535,
    }
    assert set(clips.corpora) == known.SHIPPED
    assert clips.trained_on(predictor.card).all()
    free = Predictor("free").card
    assert (clips.trained_on(free) == (clips.corpora == "emodb")).all()


def mp3(signal: Signal) -> Signal:
    content = io.BytesIO()
    level = (320 - 64) / (320 - 32) if signal.rate >= 32_000 else (160 - 64) / (160 - 8)
    kind = {"format": "MP3", "subtype": "MPEG_LAYER_III", "bitrate_mode": "CONSTANT"}
    with soundfile.SoundFile(content, "w", signal.rate, 1, compression_level=level, **kind) as file:
        file.write(signal.samples)
    content.seek(0)
    return Signal(*soundfile.read(content, dtype="float32"))


def test_real_training_clips_are_told_coded_and_cut(ravdess: Path, emodb: Path) -> None:
    files = [*sorted(ravdess.rglob("*.flac"))[::97], *sorted((emodb / "wav").iterdir())[::53]]
    for file in files:
        signal = audio.load(file)
        n = signal.rate // 5
        cut = dataclasses.replace(signal, samples=signal.samples[n:-n])
        for version in (signal, mp3(signal), cut):
            found = known.index().find(version)
            assert found is not None, file
            assert found[1] > 0.8
    loud = emoscope.predict(files[-1])
    assert loud.warnings[-1].startswith("training data: this recording was in the training data")


def test_repetitions_by_the_same_speaker_and_other_corpora_are_not(ravdess: Path) -> None:
    clips = known.index()
    own = np.flatnonzero(clips.corpora == "ravdess")
    files = sorted(ravdess.rglob("*.flac"), key=lambda path: path.stem)
    for place in range(5, len(files), 120):
        words, start = clips.words.copy(), clips.lengths[: own[place]].sum(dtype=int)
        words[start : start + clips.lengths[own[place]]] = 0
        without = dataclasses.replace(clips, words=words)
        assert without.find(audio.load(files[place])) is None
    for file in sorted((ravdess.parent / "nemo" / "samples").glob("*"))[::300]:
        assert clips.find(audio.load(file)) is None
