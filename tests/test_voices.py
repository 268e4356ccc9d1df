"""Embeddings of voices against librosa's spectrogram; groups and checks on made embeddings."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from emoscope import features, voices
from emoscope.audio import Signal, load
from emoscope.features.spectrum import Spectrum
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
