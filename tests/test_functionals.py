"""Statistics of whole utterances against closed forms and NumPy's own."""

from __future__ import annotations

import numpy as np
import pytest

from emoscope import features
from emoscope.audio import Signal
from emoscope.features import functionals as module
from emoscope.features.spectrum import Spectrum


def named(levels: np.ndarray) -> dict[str, float]:
    values = module.functionals(levels.astype(np.float32))
    return dict(zip(features.get("functionals").columns, values.tolist(), strict=True))


def test_a_sound_that_never_changes():
    values = named(np.broadcast_to(np.linspace(0, 1, 80), (100, 80)))
    level = [values[f"functionals_level_mean_{b:02d}"] for b in range(1, 81)]
    np.testing.assert_allclose(level, np.linspace(0, 1, 80), atol=1e-5)
    moving = [v for n, v in values.items() if any(w in n for w in ("std", "delta", "mod", "corr"))]
    np.testing.assert_allclose(moving, 0, atol=1e-5)
    assert values["functionals_seconds"] == pytest.approx(np.log(100))


def test_a_level_that_sways_four_times_a_second():
    """Only the first cepstrum moves, and its modulation lies in the band of 4 Hz."""
    time = np.arange(400) / 100
    values = named(np.repeat(np.sin(2 * np.pi * 4 * time)[:, None], 80, axis=1))
    bands = [values[f"functionals_mod_{b:02d}_01"] for b in range(1, 30)]
    width = 100 / 512 * 2
    centres = 100 / 512 * 2.5 + width * np.arange(29)
    assert abs(centres[int(np.argmax(bands))] - 4) <= width
    assert values["functionals_std_01"] == pytest.approx(np.sqrt(80 / 2), rel=1e-3)
    assert values["functionals_std_02"] == pytest.approx(0, abs=1e-5)


def test_correlations_and_percentiles_are_numpys():
    levels = np.random.default_rng(0).normal(size=(1100, 80))
    values = named(levels)
    from scipy.fft import dct

    cepstra = dct(levels.astype(np.float32), norm="ortho", axis=1)
    expected = np.corrcoef(cepstra[:, :12].T)
    assert values["functionals_corr_03_09"] == pytest.approx(expected[2, 8], abs=1e-5)
    assert values["functionals_p90_30"] == pytest.approx(
        np.percentile(cepstra[:, 29], 90), rel=1e-5
    )


def test_level_and_silence_around_make_no_difference():
    rng = np.random.default_rng(1)
    tone = np.sin(2 * np.pi * 200 * np.arange(16_000) / 16_000) * np.hanning(16_000)
    long = rng.normal(0, 0.001, 32_000)
    long[8_000:24_000] += 0.3 * tone
    speech, around = long[6_000:26_000].astype(np.float32), (0.1 * long).astype(np.float32)
    feature = features.get("functionals")
    plain, other = (
        feature.extract(Spectrum(Signal(samples, 16_000, "x.wav"))) for samples in (speech, around)
    )
    assert plain.shape == (786,)
    np.testing.assert_allclose(np.corrcoef(plain, other)[0, 1], 1, atol=0.02)


@pytest.mark.parametrize("n_samples", [400, 16_000])
def test_short_clips(n_samples):
    noise = np.random.default_rng(2).normal(0, 0.1, n_samples).astype(np.float32)
    values = features.get("functionals").extract(Spectrum(Signal(noise, 16_000, "x.wav")))
    assert np.isfinite(values).all()
