"""Embeddings of voices against librosa's spectrogram; groups and checks on made embeddings."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emoscope import features, protocols, voices
from emoscope.audio import Signal, load
from emoscope.audit import checks
from emoscope.audit.sources import Split
from emoscope.corpus import Corpus
from emoscope.dataset import voices as corpus_voices
from emoscope.dataset.extraction import Dataset
from emoscope.errors import ProtocolError
from emoscope.evaluation import comparison
from emoscope.features.spectrum import Spectrum
from emoscope.features.table import Features
from emoscope.voices import encoder

DATA = Path(os.environ.get("EMOSCOPE_DATA", Path(__file__).parents[2] / "shared" / "data"))


def made_voice(pitch: float, seconds: float = 2.0, *, rate: int = 16_000, seed: int = 0) -> Signal:
    """Buzzing at a pitch with a syllable's rhythm, and a little noise."""
    time = np.arange(round(seconds * rate)) / rate
    buzz = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 25))
    noise = np.random.default_rng(seed).normal(0, 0.01, len(time))
    samples = 0.1 * buzz * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * time)) + noise
    return Signal(samples.astype(np.float32), rate)


@pytest.mark.parametrize("seconds", [0.1, 1.0, 18.3])
def test_the_spectrogram_is_resemblyzers(seconds: float) -> None:
    librosa = pytest.importorskip("librosa")
    samples = made_voice(150, seconds).samples
    right = librosa.feature.melspectrogram(
        y=samples, sr=16_000, n_fft=400, hop_length=160, n_mels=40
    )
    np.testing.assert_allclose(encoder._mel(samples), right.T, rtol=1e-3, atol=1e-6)


def test_parts_are_those_of_resemblyzer() -> None:
    """Of 500 frames: starts every 77 frames, the last with at least three quarters of its own."""
    mel = np.arange(500 * 40, dtype=np.float32).reshape(500, 40)
    parts = encoder._parts(mel)
    assert [int(part[0, 0]) // 40 for part in parts] == [0, 77, 154, 231, 308]
    assert len(encoder._parts(mel[:160])) == 1
    short = encoder._parts(mel[:70])[0]
    np.testing.assert_array_equal(short[70:140], short[:70])


def test_an_embedding_has_unit_length_and_does_not_follow_the_level() -> None:
    signal = made_voice(150)
    value = voices.embed(signal)
    assert value.shape == (256,) and value.dtype == np.float32 and value.min() >= 0
    assert np.linalg.norm(value) == pytest.approx(1, abs=1e-5)
    quiet = voices.embed(Signal(signal.samples * np.float32(0.01), signal.rate))
    # Below -30 dBFS everything is brought there; the detector of speech sees the same samples.
    quieter = voices.embed(Signal(signal.samples * np.float32(0.002), signal.rate))
    np.testing.assert_allclose(quiet, quieter, atol=1e-3)


def test_noise_without_speech_is_embedded_whole() -> None:
    noise = np.random.default_rng(3).normal(0, 1e-3, 8000).astype(np.float32)
    assert np.isfinite(voices.embed(Signal(noise, 16_000))).all()


def test_the_feature_is_the_embedding() -> None:
    signal = made_voice(200, rate=22_050)
    feature = features.get("voice")
    np.testing.assert_array_equal(feature.extract(Spectrum(signal)), voices.embed(signal))
    assert len(feature.columns) == 256 and "voice" not in features.DEFAULT


def test_clips_of_one_voice_are_closer_than_clips_of_two() -> None:
    clips = sorted((DATA / "emodb").rglob("*a0[12]N*"))
    if not clips:
        pytest.skip(f"no EMO-DB recordings in {DATA}; set EMOSCOPE_DATA")
    names = np.array([clip.name[:2] for clip in clips])
    vectors = np.stack([voices.embed(load(clip)) for clip in clips])
    similar = vectors @ vectors.T
    same = names[:, None] == names
    np.fill_diagonal(same, False)
    assert similar[same].mean() > similar[names[:, None] != names].mean() + 0.1


def crowd(
    n_voices: int, n_clips: int, *, spread: float = 0.03, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Embeddings, names and styles: a direction for each voice, moved by its style and by chance."""
    rng = np.random.default_rng(seed)
    centres, moves = rng.normal(0, 0.06, (n_voices, 256)), rng.normal(0, 0.06, (3, 256))
    voice = np.repeat(np.arange(n_voices), n_clips)
    style = np.tile(np.arange(n_clips) % 3, n_voices)
    clips = 1 + centres[voice] + moves[style] + rng.normal(0, spread, (len(voice), 256))
    clips /= np.linalg.norm(clips, axis=1, keepdims=True)
    names = np.array([f"n{v}" for v in voice])
    return clips.astype(np.float32), names, np.array([f"s{s}" for s in style])


def test_names_that_are_voices_are_left_alone() -> None:
    check = voices.verify(*crowd(6, 20))
    assert not check.findings and not check.left_out
    assert (check.n_names, check.n_divisible) == (6, 6)
    assert check.text.endswith("Nothing speaks against the names.")


def test_one_voice_under_two_names_is_found() -> None:
    clips, names, styles = crowd(6, 20)
    names = names.astype("U8")
    names[:10] = "alias"
    check = voices.verify(clips, names, styles)
    assert [(f.kind, f.names) for f in check.findings] == [("one-voice-two-names", ("alias", "n0"))]
    assert "alias and n0" in check.text
    assert check.n_divisible == 5  # of the two halves neither has clips enough for two voices


def test_two_voices_under_one_name_are_found() -> None:
    clips, names, styles = crowd(6, 20)
    names[names == "n5"] = "n4"
    check = voices.verify(clips, names, styles)
    assert [(f.kind, f.names) for f in check.findings] == [("two-voices-one-name", ("n4",))]


def test_an_emotion_is_no_voice() -> None:
    """Two names of one voice that differ in style: what all voices do in that style is taken away."""
    clips, names, styles = crowd(6, 60, spread=0.01)
    names = names.astype("U8")
    names[(names == "n0") & (styles == "s1")] = "alias"
    check = voices.verify(clips, names, styles)
    assert [f.names for f in check.findings] == [("alias", "n0")]


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: crowd(3, 20), "at least 4 speakers with 10 clips each are needed"),
        (lambda: crowd(9, 8), "none of 9 speakers have as many"),
        (lambda: crowd(50, 10), "50 speakers are too many"),
        (lambda: crowd(6, 20, spread=0.12), "differ as much as those of two"),
    ],
)
def test_the_check_is_left_out_where_it_would_be_wrong(make, why: str) -> None:
    check = voices.verify(*make())
    assert not check.findings and why in check.left_out
    assert check.text.startswith("Voices were not compared: ")


def test_few_clips_of_each_name_are_enough() -> None:
    names = np.repeat(["a", "b", "c", "d", "e", ""], [90, 50, 12, 10, 9, 30])
    rows, reason = voices.to_embed(names)
    values, counts = np.unique(names[rows], return_counts=True)
    assert dict(zip(values, counts, strict=True)) == {"a": 40, "b": 40, "c": 12, "d": 10}
    assert not reason and (np.diff(rows) > 0).all()
    assert voices.to_embed(np.full(30, ""))[1] == "the clips have no speakers"


def test_groups_are_the_voices() -> None:
    clips, names, styles = crowd(8, 15)
    found = corpus_voices.group(clips, styles=styles)
    truth = np.unique(names, return_inverse=True)[1]
    np.testing.assert_array_equal(found, truth)  # numbered as they first occur
    assert corpus_voices.group(clips, 3).max() == 2
    assert corpus_voices.group(clips[:1]).tolist() == [0]
    assert corpus_voices.group(clips, styles=styles, least=12).max() == 11


def test_more_clips_than_are_clustered_join_the_nearest_group(monkeypatch) -> None:
    clips, _, styles = crowd(6, 30)
    whole = corpus_voices.group(clips, styles=styles)
    monkeypatch.setattr("emoscope.dataset.voices.MAX_CLIPS", 60)
    np.testing.assert_array_equal(corpus_voices.group(clips, styles=styles), whole)


@pytest.fixture
def embedded_corpus(monkeypatch):
    """Makes a corpus of which every clip's embedding is known, by its name."""

    def make(clips, names, styles) -> Corpus:
        emotions = np.array(["angry", "happy", "sad"])[[int(style[1:]) for style in styles]]
        told = {"clip": [f"c{n}" for n in range(len(names))], "emotion": emotions, "speaker": names}
        table = pd.DataFrame(told).assign(path="x.wav", label="", corpus="crowd").astype(object)

        def extract(corpus, kinds, **options):
            rows = [int(clip[1:]) for clip in corpus.table["clip"]]
            columns = kinds[0].columns
            values = Features([str(row) for row in rows], [kinds[0].spec], columns, clips[rows])
            return Dataset(corpus, {"vector": values})

        monkeypatch.setattr(corpus_voices, "extract", extract)
        return Corpus("crowd", table)

    return make


def test_a_corpus_says_how_its_voices_compare(embedded_corpus) -> None:
    clips, names, styles = crowd(6, 20)
    names = names.astype("U8")
    names[:10], names[-5:] = "alias", "rare"
    checked = corpus_voices.check_or_group(embedded_corpus(clips, names, styles), "speaker-6fold")
    assert "7 names" in checked.voices and "1 with fewer than 10 clips" in checked.voices
    assert checked.notes == ["by their sound, these may be one voice under two names: alias and n0"]
    assert comparison.describe_corpus(checked)["voices"] == checked.voices


def test_clips_without_speakers_are_folded_by_voice(embedded_corpus) -> None:
    clips, names, styles = crowd(8, 15)
    corpus = embedded_corpus(clips, np.full(len(names), ""), styles)
    with pytest.raises(ProtocolError, match="--protocol voice-6fold"):
        protocols.folds(corpus.table, "speaker-6fold")
    with pytest.raises(ProtocolError, match="bundled features have none"):
        protocols.folds(corpus.table, "voice-6fold")
    checked = corpus_voices.check_or_group(corpus, "voice-6fold")
    assert checked.voices.startswith(
        "120 clips were put into 8 groups by the sound of their voices"
    )
    folds = protocols.folds(checked.table, "voice-6fold")
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(120))
    for fold in folds:
        assert not set(names[fold.train]) & set(names[fold.test])
    assert set(checked.table["speaker"]) == {""}
    assert sorted(set(checked.table["unique_speaker"]))[0] == "voice 01"


def test_groups_by_voice_do_not_hide_known_speakers(embedded_corpus) -> None:
    checked = corpus_voices.check_or_group(embedded_corpus(*crowd(8, 15)), "voice-6fold")
    assert set(checked.table["unique_speaker"]) == {f"n{n}" for n in range(8)}
    assert len(protocols.folds(checked.table, "voice-6fold")) == 6


def test_an_audit_tells_on_which_sides_one_voice_stands() -> None:
    findings = [
        voices.VoiceFinding("one-voice-two-names", ("a", "b"), 0.01),
        voices.VoiceFinding("one-voice-two-names", ("a", "c"), 0.02),
        voices.VoiceFinding("two-voices-one-name", ("d",), 0.5),
    ]
    sides = {"speaker": ["a", "b", "c", "d"], "side": ["train", "train", "test", "test"]}
    found = checks.of_voices(
        {"": voices.VoiceCheck(findings=findings)}, [Split("", pd.DataFrame(sides))]
    )
    assert {kind: [piece["speakers"] for piece in pieces] for kind, pieces in found.items()} == {
        "one-voice-two-names": [["a", "b"]],
        "voice-on-both-sides": [["a", "c"]],
        "two-voices-one-name": [["d"]],
    }


def test_steady_noise_is_taken_from_a_window():
    """Noise of power 1 in all frames, and speech of power 9 in half of them: 10 - 2 * 1 is left."""
    part = np.ones((1, encoder.PART, encoder.N_MELS), np.float32)
    assert encoder._without_noise(part) == pytest.approx(0.01)
    part[:, ::2] += 9
    part[:, encoder.PART // 2 :] = 1
    found = encoder._without_noise(part)
    np.testing.assert_allclose(found[:, : encoder.PART // 2 : 2], 8)
    np.testing.assert_allclose(found[:, encoder.PART // 2 :], 0.01)
