"""Every change does what its name says, and the same seed does it again."""

from __future__ import annotations

import numpy as np
import pytest

from research import augment
from research.augment import RATE


def tone(hertz: float = 400.0, seconds: float = 1.0) -> np.ndarray:
    t = np.arange(round(seconds * RATE)) / RATE
    return (0.3 * np.sin(2 * np.pi * hertz * t)).astype(np.float32)


def pitch(samples: np.ndarray) -> float:
    """Frequency of the largest peak, in Hz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 8 * RATE))
    return float(spectrum.argmax() / 8)


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_speed_moves_length_and_pitch(factor: float) -> None:
    changed = augment.change_speed(tone(), factor)
    assert len(changed) == pytest.approx(RATE / factor, abs=2)
    assert pitch(changed) == pytest.approx(400 * factor, rel=0.01)


@pytest.mark.parametrize("factor", [0.85, 1.2])
def test_stretching_moves_length_alone(factor: float) -> None:
    changed = augment.stretch(tone(), factor)
    assert len(changed) == pytest.approx(RATE * factor, rel=0.05)
    assert pitch(changed) == pytest.approx(400, rel=0.01)
    middle = changed[2000:-2000]
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.3 / np.sqrt(2), rel=0.05)


def test_noise_has_the_ratio_asked_for() -> None:
    clean = tone()
    for seed in range(8):
        noisy = augment.add_noise(clean, np.random.default_rng(seed), lowest=20, highest=20)
        ratio = 10 * np.log10(np.mean(clean**2) / np.mean((noisy - clean) ** 2))
        assert ratio == pytest.approx(20, abs=0.1)


def test_the_frequency_response_is_smooth_and_bounded() -> None:
    impulse = np.zeros(RATE, np.float32)
    impulse[RATE // 2] = 1
    response = augment.equalise(impulse, np.random.default_rng(0), spread=4.0)
    gains = 20 * np.log10(np.abs(np.fft.rfft(response)) + 1e-12)
    assert np.abs(gains).max() <= 2.2 * 4.0 + 0.01
    assert np.abs(np.diff(gains[200:])).max() < 0.2


def test_a_room_rings_on_after_the_sound() -> None:
    clip = np.concatenate([tone(seconds=0.3), np.zeros(RATE // 2, np.float32)])
    heard = augment.reverberate(clip, np.random.default_rng(1))
    after = slice(round(0.31 * RATE), round(0.36 * RATE))
    assert np.abs(clip[after]).max() == 0
    assert np.abs(heard[after]).max() > 1e-3


def test_a_telephone_has_no_bass_and_no_treble() -> None:
    rng = np.random.default_rng(3)
    while True:
        state = rng.bit_generator.state
        if rng.choice(["telephone", "dull", "thin", "MP3", "OGG"]) == "telephone":
            rng.bit_generator.state = state
            break
    heard = augment.transmit(tone(60) + tone(1000) + tone(7000), rng)
    power = np.abs(np.fft.rfft(heard * np.hanning(RATE))) ** 2
    assert power[7000] < 1e-3 * power[1000]
    assert power[60] < 1e-2 * power[1000]


def test_clipping_flattens_peaks() -> None:
    clipped = augment.clip_peaks(tone(), np.random.default_rng(0))
    assert 0.2 * 0.3 <= np.abs(clipped).max() <= 0.8 * 0.3
    assert np.mean(np.abs(clipped) == np.abs(clipped).max()) > 0.1


def test_every_chain_is_finite_and_reproducible() -> None:
    clip = tone(seconds=0.5)
    for seed in range(40):
        changed = augment.augment(clip, np.random.default_rng(seed))
        assert changed.dtype == np.float32
        assert np.isfinite(changed).all()
        assert 0.7 * len(clip) < len(changed) < 1.4 * len(clip)
        again = augment.augment(clip, np.random.default_rng(seed))
        np.testing.assert_array_equal(changed, again)


@pytest.mark.parametrize("n_samples", [400, 1600])
def test_short_clips_survive(n_samples: int) -> None:
    for seed in range(20):
        changed = augment.augment(tone()[:n_samples], np.random.default_rng(seed))
        assert np.isfinite(changed).all() and len(changed)
