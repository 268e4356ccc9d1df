"""Compact log-mel spectrogram for two-dimensional networks.

In decibels below the clip's loudest value, at least -80 and rounded to half a decibel: a byte each.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from ..audio import resample
from .base import Feature
from .spectrum import Spectrum, decibels

RATE = 16_000
HOP = 512  # 512 / 16 kHz = 32 ms
N_FFT = 1024  # 64 ms
N_MELS = 64
FLOOR_DB = -80.0
STEP_DB = 0.5


def from_bytes(steps: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Levels in dB from steps above the floor, 0 to 160."""
    return steps.astype(np.float32) * np.float32(STEP_DB) + np.float32(FLOOR_DB)


@dataclasses.dataclass(frozen=True)
class LogMel(Feature):
    """Compact log-mel spectrogram of a clip, of `n_mels` bands."""

    name = "logmel"
    kind = "frames"

    n_mels: int = N_MELS

    @property
    def columns(self) -> tuple[str, ...]:
        """``logmel_01`` … ``logmel_64``, lowest band first."""
        return tuple(f"logmel_{band:02d}" for band in range(1, self.n_mels + 1))

    def extract(self, spectrum: Spectrum) -> NDArray[np.float32]:
        """Levels in [-80, 0] dB, multiples of half a decibel, [shape=(n_frames, n_mels)]."""
        compact = Spectrum(resample(spectrum.signal, RATE), n_fft=N_FFT, hop=HOP)
        level = decibels(compact.mel_power(self.n_mels))
        steps = np.rint(np.maximum(level - level.max(), FLOOR_DB) / STEP_DB)
        return self._finite(np.asarray(steps * STEP_DB, dtype=np.float32), spectrum)


MEMBERS = {"logmel": LogMel}
