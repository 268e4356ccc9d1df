"""Mel-frequency cepstral coefficients: the cosine transform of the levels in 128 mel bands.

S. Davis and P. Mermelstein, "Comparison of parametric representations for monosyllabic word
recognition", IEEE Trans. ASSP 28(4), 1980. Values are those of librosa 0.11's ``feature.mfcc``.
"""

import dataclasses

import numpy as np

from . import filters
from .base import FrameMean
from .spectrum import Matrix, Spectrum, decibels

N_MELS = 128


@dataclasses.dataclass(frozen=True)
class Mfcc(FrameMean):
    """Means of `n_mfcc` coefficients of a clip, at most 128."""

    name = "mfcc"

    n_mfcc: int = 40

    @property
    def columns(self) -> tuple[str, ...]:
        """``mfcc_01`` … ``mfcc_40``."""
        return tuple(f"mfcc_{k:02d}" for k in range(1, self.n_mfcc + 1))

    def frames(self, spectrum: Spectrum) -> Matrix:
        """Coefficients of every frame; the first is the overall level."""
        return decibels(spectrum.mel_power(N_MELS)) @ filters.dct_filters(N_MELS, self.n_mfcc)

    def extract(self, spectrum: Spectrum) -> Matrix:
        """Mean over frames: the transform of the mean levels."""
        levels = decibels(spectrum.mel_power(N_MELS)).mean(axis=0, dtype=np.float64)
        means = levels @ filters.dct_filters(N_MELS, self.n_mfcc)
        return self._finite(np.asarray(means, np.float32), spectrum)


MEMBERS = {"mfcc": Mfcc}
