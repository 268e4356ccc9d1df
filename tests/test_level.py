"""Offset, silence and level are removed, and a specification brings back the same object."""

from __future__ import annotations

import numpy as np
import pytest

from emoscope.audio import level
from emoscope.audio.level import TrimAndNormalise

RATE = 16_000


def voice(seconds: float, *, amplitude: float, seed: int = 0) -> np.ndarray:
    """A tone with syllable-like bumps over a faint noise."""
    t = np.arange(round(seconds * RATE)) / RATE
    tone = np.sin(2 * np.pi * 200 * t) * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * t))
    noise = np.random.default_rng(seed).normal(0, 1e-4, len(t))
    return (amplitude * tone + amplitude * noise).astype(np.float32)


def test_frame_levels_of_a_full_scale_sine_are_minus_three_decibels() -> None:
    sine = np.sin(2 * np.pi * 400 * np.arange(RATE) / RATE).astype(np.float32)
    levels = level.frame_levels(sine, RATE)
    # 1 s in frames of 25 ms every 10 ms: (1000 - 25) // 10 + 1
    assert len(levels) == 98
    np.testing.assert_allclose(levels, 10 * np.log10(0.5), atol=0.05)


@pytest.mark.parametrize("amplitude", [0.003, 0.1, 0.9])
def test_level_and_offset_do_not_matter(amplitude: float) -> None:
    reference = TrimAndNormalise()(voice(1.0, amplitude=0.3), RATE)
    other = TrimAndNormalise()(voice(1.0, amplitude=amplitude) + np.float32(0.01), RATE)
    np.testing.assert_allclose(other, reference, atol=2e-4)
    assert 10 * np.log10(np.mean(reference**2)) == pytest.approx(-26.0, abs=1.0)


def test_outer_silence_goes_and_inner_silence_stays() -> None:
    silence = voice(0.7, amplitude=1e-5, seed=1)
    word, pause = voice(0.5, amplitude=0.2), voice(0.4, amplitude=1e-5, seed=2)
    clip = np.concatenate([silence, word, pause, word, silence])
    kept = TrimAndNormalise()(clip, RATE)
    # two words, the pause, and a margin of 0.1 s at each end; frames are 25 ms long
    assert len(kept) / RATE == pytest.approx(1.4 + 0.2, abs=0.06)


@pytest.mark.parametrize("n_samples", [1, 100, 1600, 3199])
def test_short_recordings_are_padded(n_samples: int) -> None:
    kept = TrimAndNormalise()(voice(1.0, amplitude=0.1)[:n_samples], RATE)
    assert len(kept) >= 3200
    assert np.isfinite(kept).all()


def test_silence_stays_finite() -> None:
    assert np.isfinite(TrimAndNormalise()(np.zeros(8000, np.float32), RATE)).all()


def test_specification_round_trip() -> None:
    wanted = TrimAndNormalise(below_loud=30.0, margin=0.2)
    assert level.from_spec(wanted.spec) == wanted
    assert level.from_spec(None) is None


@pytest.mark.parametrize(
    "change",
    [{"name": "other"}, {"extra": 1.0}, {"level": "loud"}, {"level": float("nan")}, {"level": 1e9}],
)
def test_wrong_specification_is_refused(change: dict) -> None:
    with pytest.raises(ValueError, match="preprocessing"):
        level.from_spec({**TrimAndNormalise().spec, **change})
