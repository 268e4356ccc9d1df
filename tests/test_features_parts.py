"""Parts of the extractor against independent implementations and closed forms."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import scipy.fft
import scipy.signal

from emoscope.audio import Signal
from emoscope.features import contrast, filters, harmonic, logmel, tonnetz
from emoscope.features.harmonic import running_median
from emoscope.features.spectrum import Spectrum, decibels, estimate_tuning

librosa = pytest.importorskip("librosa")

# librosa warns of clips shorter than its window.
pytestmark = pytest.mark.filterwarnings("ignore:n_fft=:UserWarning")

RATES = [8000, 16_000, 22_050, 44_100, 48_000]


def noise(seconds: float = 0.5, rate: int = 48_000) -> Signal:
    samples = np.random.default_rng(3).normal(0, 0.1, round(seconds * rate))
    return Signal(samples.astype(np.float32), rate)


@pytest.mark.parametrize("n_rows", [1, 3, 7, 15, 16, 17, 31, 40, 100, 257])
@pytest.mark.parametrize("size", [3, 7, 31])
def test_running_median_is_exact(n_rows: int, size: int, monkeypatch) -> None:
    monkeypatch.setattr("emoscope.features.harmonic.CHUNK", 512)
    matrix = np.random.default_rng(n_rows).random((n_rows, 37), dtype=np.float32)
    matrix[matrix < 0.2] = 0  # ties
    # Not by scipy.ndimage.median_filter, which now and then gives NaN where the window is far longer.
    padded = np.pad(matrix, ((size // 2, size // 2), (0, 0)), mode="symmetric")
    expected = np.median(np.lib.stride_tricks.sliding_window_view(padded, size, axis=0), axis=-1)
    np.testing.assert_array_equal(running_median(matrix, size=size), expected)


@pytest.mark.parametrize("rate", RATES)
def test_filters_equal_librosas(rate: int) -> None:
    np.testing.assert_array_equal(
        filters.mel_filters(rate, 2048, 128).T, librosa.filters.mel(sr=rate, n_fft=2048)
    )
    for tuning in (-0.5, 0.0, 0.37):
        np.testing.assert_array_equal(
            filters.chroma_filters(rate, 2048, tuning).T,
            librosa.filters.chroma(sr=rate, n_fft=2048, tuning=tuning),
        )


def test_mel_groups_hold_all_weights() -> None:
    whole = np.zeros((1025, 128), np.float32)
    for bins, bands, weights in filters.mel_groups(48_000, 2048, 128):
        whole[bins, bands] = weights
    np.testing.assert_array_equal(whole, filters.mel_filters(48_000, 2048, 128))


def test_mel_scale_is_its_own_inverse_and_has_its_corner_at_one_kilohertz() -> None:
    frequency = np.array([0.0, 200.0, 1000.0, 6400.0, 24_000.0])
    np.testing.assert_allclose(filters.mel_to_hz(filters.hz_to_mel(frequency)), frequency)
    np.testing.assert_allclose(filters.hz_to_mel(frequency)[:4], [0, 3, 15, 42])


def test_window_and_cosine_transform_equal_scipys() -> None:
    np.testing.assert_array_equal(filters.hann(2048), scipy.signal.get_window("hann", 2048))
    x = np.random.default_rng(0).normal(size=(5, 128))
    expected = scipy.fft.dct(x, axis=1, norm="ortho")[:, :40]
    np.testing.assert_allclose(x @ filters.dct_filters(128, 40), expected, atol=1e-6)


@pytest.mark.parametrize("n_samples", [1, 511, 512, 2047, 2048, 5000, 30_000])
def test_spectrum_equals_librosas(n_samples: int) -> None:
    signal = noise(n_samples / 48_000)
    spectrum = Spectrum(signal)
    expected = librosa.stft(signal.samples).T
    np.testing.assert_array_equal(spectrum.stft(0, spectrum.n_frames), expected)
    np.testing.assert_array_equal(spectrum.magnitude, np.abs(expected))


@pytest.mark.parametrize("cents", [-40, -13, 0.5, 27, 44])
def test_tuning_of_a_detuned_tone(cents: float) -> None:
    frequency = 880 * 2 ** (cents / 1200)
    tone = 0.5 * np.sin(2 * np.pi * frequency * np.arange(16_000) / 16_000)
    spectrum = Spectrum(Signal(tone.astype(np.float32), 16_000))
    # A bin is 7.8 Hz wide; the parabola misses by up to a twentieth of it, 0.8 % of a semitone.
    assert spectrum.tuning() == pytest.approx(cents / 100, abs=0.02)


def test_tuning_without_a_peak_is_zero() -> None:
    assert Spectrum(Signal(np.zeros(4800, np.float32), 48_000)).tuning() == 0.0
    assert estimate_tuning(np.zeros(0, np.float32), np.zeros(0, np.float32)) == 0.0


@pytest.mark.parametrize("seconds", [0.01, 0.1, 0.5])
def test_harmonic_part_equals_librosas_to_the_last_bit(seconds: float) -> None:
    signal = noise(seconds)
    expected = librosa.effects.harmonic(signal.samples)
    np.testing.assert_array_equal(harmonic.harmonic_part(Spectrum(signal)).samples, expected)


def test_harmonic_part_keeps_a_tone_and_drops_a_click() -> None:
    time = np.arange(24_000) / 48_000
    tone, click = 0.3 * np.sin(2 * np.pi * 600 * time), np.zeros(24_000)
    click[12_000] = 1
    part = harmonic.harmonic_part(Spectrum(Signal((tone + click).astype(np.float32), 48_000)))
    kept = part.samples
    assert np.abs(kept[6000:18_000] - tone[6000:18_000]).max() < 0.02


@pytest.mark.parametrize("rate", RATES[1:] + [96_000])
def test_constant_q_chroma_equals_librosas(rate: int) -> None:
    samples = noise(0.4, rate).samples
    expected = librosa.feature.chroma_cqt(y=samples, sr=rate, tuning=0.2, norm=None).T
    ours = tonnetz.constant_q_chroma(Signal(samples, rate), 0.2)
    # Only ratios between the classes of a frame matter; librosa scales by the early halvings.
    ours *= expected.sum() / ours.sum()
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-6 * expected.max())


def test_contrast_bands_cover_the_spectrum_without_gaps() -> None:
    bands = contrast.bands(48_000, 2048)
    assert bands[0][0].start == 0
    assert bands[-1][0].stop == 1025
    assert [b[0].stop for b in bands[:-1]] == [b[0].start for b in bands[1:]]


def test_decibels_have_a_floor_and_a_range() -> None:
    power = np.array([1.0, 0.1, 1e-6, 1e-9, 0.0], np.float32)
    np.testing.assert_allclose(decibels(power), [0, -10, -60, -80, -80], atol=1e-5)
    np.testing.assert_allclose(decibels(np.zeros(3, np.float32)), -100, atol=1e-5)


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
def test_logmel_is_compact_and_loses_nothing_as_bytes(rate: int) -> None:
    levels = logmel.LogMel().extract(Spectrum(noise(1.0, rate)))
    assert levels.shape == (1 + 16_000 // 512, 64)
    assert levels.max() == 0
    assert levels.min() >= -80
    steps = np.rint((levels - logmel.FLOOR_DB) / logmel.STEP_DB).astype(np.uint8)
    np.testing.assert_array_equal(logmel.from_bytes(steps), levels)


def test_logmel_equals_librosas_up_to_its_step() -> None:
    signal = noise(1.0, 16_000)
    power = librosa.feature.melspectrogram(
        y=signal.samples, sr=16_000, n_fft=1024, hop_length=512, n_mels=64
    )
    expected = librosa.power_to_db(power, ref=np.max).T
    assert np.abs(logmel.LogMel().extract(Spectrum(signal)) - expected).max() <= 0.25 + 1e-3


def test_chroma_does_not_depend_on_how_a_processor_divides_a_sum():
    """Libraries of linear algebra divide long sums by cache, kernel and threads."""
    code = (
        "import hashlib, numpy as np; from emoscope.audio import Signal; "
        "from emoscope.features import get; from emoscope.features.spectrum import Spectrum; "
        "t = np.arange(96_000) / 48_000; n = np.random.default_rng(0).normal(0, 0.01, len(t)); "
        "y = (0.3 * np.sin(2 * np.pi * (180 + 90 * t) * t) + n).astype(np.float32); "
        "print(hashlib.sha256(get('chroma').extract(Spectrum(Signal(y, 48_000)))).hexdigest())"
    )
    kinds = ({}, {"OPENBLAS_CORETYPE": "HASWELL"}, {"OPENBLAS_NUM_THREADS": "1"})
    found = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, **kind},
            capture_output=True, text=True, check=True,
        ).stdout
        for kind in kinds
    }  # fmt: skip
    assert len(found) == 1
