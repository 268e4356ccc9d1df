from __future__ import annotations

import numpy as np
import pytest

from emoscope.audio import Signal, f0_energy

RATE = 22_050


def tone(hertz, seconds=0.6, rate=RATE):
    """A voice-like tone of ten harmonics whose pitch may change over time."""
    t = np.arange(int(seconds * rate)) / rate
    phase = 2 * np.pi * np.cumsum(np.broadcast_to(hertz, t.shape)) / rate
    voice = sum(np.sin(k * phase) / k for k in range(1, 11))
    return Signal((0.2 * voice).astype(np.float32), rate)


@pytest.mark.parametrize("hertz", [70.0, 130.8, 220.0, 446.5, 820.0])
@pytest.mark.parametrize("rate", [8_000, 22_050, 48_000])
def test_pitch_of_a_steady_tone(hertz, rate):
    found = f0_energy.f0(tone(hertz, rate=rate))[5:-5]
    assert np.isfinite(found).all()
    assert np.abs(found / hertz - 1).max() < 0.006


def test_pitch_follows_a_glide():
    signal = tone(np.geomspace(110, 330, int(0.8 * RATE)), 0.8)
    found, expected = f0_energy.f0(signal), 110 * 3 ** (f0_energy.times(signal) / 0.8)
    middle = slice(5, -6)
    assert np.nanmax(np.abs(found[middle] / expected[middle] - 1)) < 0.03


def test_noise_and_hum_in_silence_have_no_pitch():
    noise = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    assert np.isfinite(f0_energy.f0(Signal(noise, RATE))).mean() < 0.05
    voice = tone(150, 1.0).samples.copy()
    voice[RATE // 2 :] = 1e-4 * np.sin(2 * np.pi * 100 * np.arange(len(voice) - RATE // 2) / RATE)
    found = f0_energy.f0(Signal(voice, RATE))
    assert np.isfinite(found[5:45]).all()
    assert np.isnan(found[56:]).all()


def test_energy_of_a_sine_and_of_silence():
    t = np.arange(RATE) / RATE
    sine = Signal(np.sin(2 * np.pi * 1000 * t).astype(np.float32), RATE)
    assert f0_energy.energy(sine)[5:-5] == pytest.approx(-3.0103, abs=0.02)
    half = Signal(np.r_[np.zeros(RATE), 0.5 * sine.samples].astype(np.float32), RATE)
    assert f0_energy.energy(half)[5] == f0_energy.FLOOR_DB
    assert f0_energy.energy(half)[150] == pytest.approx(-3.0103 - 6.0206, abs=0.02)


def test_one_value_per_frame():
    signal = tone(200, 0.5049)
    n_frames = len(f0_energy.times(signal))
    assert n_frames == 51
    assert f0_energy.f0(signal).shape == f0_energy.energy(signal).shape == (n_frames,)


def test_pitch_agrees_with_librosa_on_a_real_voice(ravdess):
    librosa = pytest.importorskip("librosa")
    from emoscope import audio

    signal = audio.load(ravdess / "Actor_02" / "03-01-05-02-01-01-02.flac")
    found = f0_energy.f0(signal)
    voiced, _, _ = librosa.pyin(
        signal.samples, fmin=55, fmax=900, sr=signal.rate, frame_length=4096, hop_length=480
    )
    n = min(len(found), len(voiced))
    both = np.isfinite(found[:n]) & np.isfinite(voiced[:n])
    assert both.sum() > 50
    apart = np.abs(found[:n][both] / voiced[:n][both] - 1)
    assert np.median(apart) < 0.02
    assert np.mean(apart < 0.1) > 0.9


def test_what_is_higher_than_any_voice_has_no_pitch():
    assert np.isnan(f0_energy.f0(tone(960.0))).all()
