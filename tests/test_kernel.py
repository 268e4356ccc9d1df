"""The compiled kernel against NumPy: the same spectra to the last bit, the same values."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from emoscope import features
from emoscope.audio import Signal
from emoscope.features import harmonic, kernel, tonnetz
from emoscope.features.spectrum import Spectrum

needs_kernel = pytest.mark.skipif(
    kernel.library() is None, reason="no compiled kernel; python hatch_build.py makes one"
)
TOLERANCE = {"mfcc": 1e-6, "chroma": 1e-6, "mel": 1e-6, "contrast": 1e-6, "tonnetz": 1e-6}


def speechlike(rate: int, seconds: float = 0.6) -> Signal:
    """A gliding tone with harmonics, silence before and after it, and a little noise within."""
    time = np.arange(round(seconds * rate)) / rate
    loud = (time > 0.1) & (time < seconds - 0.1)
    voice = sum(np.sin(2 * np.pi * n * (150 + 60 * time) * time) / n for n in range(1, 9))
    hiss = np.random.default_rng(2).normal(0, 1e-3, len(time))
    return Signal((loud * (0.2 * voice + hiss)).astype(np.float32), rate)


@pytest.fixture
def both(monkeypatch):
    """Calls a function with the kernel and without it."""

    def call(function):
        compiled = function()
        with monkeypatch.context() as patch:
            patch.setattr(kernel, "library", lambda: None)
            return compiled, function()

    return call


@needs_kernel
@pytest.mark.parametrize("rate", [16_000, 22_050, 44_100, 48_000, 96_000])
def test_values_equal_numpys(rate: int, both) -> None:
    signal = speechlike(rate)
    for name, tolerance in TOLERANCE.items():
        ours, theirs = both(lambda name=name: features.get(name).extract(Spectrum(signal)))
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * np.abs(theirs).max())


@needs_kernel
@pytest.mark.parametrize("n_fft", [64, 128, 512, 1024, 2048, 4096])
@pytest.mark.parametrize("n_samples", [1, 700, 9_000])
def test_spectra_and_peaks_are_numpys_to_the_last_bit(n_fft: int, n_samples: int, both) -> None:
    signal = Signal(speechlike(16_000).samples[2000 : 2000 + n_samples], 16_000)

    def parts():
        spectrum = Spectrum(signal, n_fft=n_fft, hop=n_fft // 4)
        return spectrum.stft(0, spectrum.n_frames), spectrum.magnitude, *spectrum.peaks

    for ours, theirs in zip(*both(parts), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@needs_kernel
@pytest.mark.parametrize("seconds", [0.01, 0.3, 1.0])
def test_separation_and_constant_q_are_numpys_to_the_last_bit(seconds: float, both) -> None:
    noise = np.random.default_rng(1).normal(0, 0.1, round(seconds * 48_000)).astype(np.float32)
    signal = Signal(noise, 48_000)
    ours, theirs = both(lambda: harmonic.harmonic_part(Spectrum(signal)).samples)
    np.testing.assert_array_equal(ours, theirs)
    ours, theirs = both(lambda: tonnetz.constant_q_chroma(signal, 0.2))
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def in_a_process(code: str, limit: int) -> str:
    """What a process prints whose kernel uses vectors of at most so many doubles."""
    environment = {**os.environ, "EMOSCOPE_KERNEL": str(limit)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@needs_kernel
def test_values_do_not_depend_on_the_processors_vectors() -> None:
    code = (
        "import json, sys; from tests.test_kernel import values; "
        "print(json.dumps([float(value) for value in values()]))"
    )
    narrow, middle = (np.array(json.loads(in_a_process(code, limit))) for limit in (2, 4))
    assert kernel.call("lanes") < 4 or np.array_equal(middle, values())
    np.testing.assert_allclose(narrow, values(), rtol=1e-4, atol=1e-5)  # magnitudes round otherwise


def values() -> np.ndarray:
    spectrum = Spectrum(speechlike(48_000))
    return np.concatenate([features.get(name).extract(spectrum) for name in features.DEFAULT])


def test_the_environment_turns_it_off_and_the_version_says_so() -> None:
    code = "import sys; sys.argv[1:] = ['--version']; from emoscope.cli import main; main()"
    assert in_a_process(code, 0).splitlines()[1] == "features: NumPy (no compiled kernel)"
    assert (
        "numpy"
        not in in_a_process(
            "import sys; from emoscope.features import kernel; kernel.status(); print(*sys.modules)",
            8,
        ).split()
    )


@needs_kernel
def test_only_dense_arrays_are_passed() -> None:
    with pytest.raises(ValueError, match="not dense"):
        kernel.call("medians", np.zeros((40, 40), np.float32)[:, ::2], 40, 20, None)
