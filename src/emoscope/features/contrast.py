"""Spectral contrast: how far peaks stand out from valleys in octave bands, in decibels.

D.-N. Jiang et al., "Music type classification by spectral contrast feature", ICME 2002. Values are
those of ``librosa.feature.spectral_contrast(S=abs(librosa.stft(y)), sr=sr)``, librosa 0.11.
"""

import functools
import itertools
from typing import ClassVar

import numpy as np

from . import filters, kernel
from .base import Feature, FrameMean
from .spectrum import Matrix, Spectrum, decibels

QUANTILE = 0.02  # share of a band's bins whose mean is its valley, and its peak


@functools.cache
def bands(rate: int, n_fft: int, n_bands: int = 7) -> list[tuple[slice, int]]:
    """Bins of each band, and how many of them make its valley and its peak."""
    # The first band ends at 200 Hz, each following one is an octave.
    edges = [0.0, *(200.0 * 2.0**octave for octave in range(n_bands))]
    frequency = filters.bin_frequencies(rate, n_fft)
    bins = []
    for band, (low, high) in enumerate(itertools.pairwise(edges)):
        inside = np.flatnonzero((frequency >= low) & (frequency <= high))
        # Above the first, a band starts one bin early; below the last, it gives its last bin away.
        # The last reaches to the end.
        first = int(inside[0]) - (band > 0)
        last = len(frequency) if band == n_bands - 1 else int(inside[-1]) + 1
        count = max(1, round(QUANTILE * (last - first)))
        bins.append((slice(first, last - (band < n_bands - 1)), count))
    return bins


class Contrast(FrameMean):
    """Mean spectral contrast of a clip in 7 bands, the last one above 6400 Hz."""

    name = "contrast"
    n_bands: ClassVar[int] = 7
    min_rate = 2 * 6400.0

    @property
    def columns(self) -> tuple[str, ...]:
        """``contrast_1`` … ``contrast_7``, lowest band first."""
        return tuple(f"{self.name}_{band}" for band in range(1, self.n_bands + 1))

    def at_rate(self, rate: float) -> Feature | None:
        """The one with as many bands as fit."""
        return next((f for f in (self, Contrast6(), Contrast5()) if rate > f.min_rate), None)

    def frames(self, spectrum: Spectrum) -> Matrix:
        """Peak minus valley of every frame and band, in dB, [shape=(n_frames, n_bands)]."""
        self.check_rate(spectrum.rate)
        shape = (spectrum.n_frames, self.n_bands)
        valleys, peaks = np.empty(shape, np.float32), np.empty(shape, np.float32)
        all_bands = bands(spectrum.rate, spectrum.n_fft, self.n_bands)
        for frames, magnitude in spectrum.magnitudes():
            if kernel.is_used(spectrum.n_fft):
                edges = [(bins.start, bins.stop, count) for bins, count in all_bands]
                rows = np.array(edges, dtype=np.int32).T.copy()
                size = (*magnitude.shape, self.n_bands)
                kernel.call("extremes", magnitude, *size, *rows, valleys[frames], peaks[frames])
                continue
            for band, (bins, count) in enumerate(all_bands):
                ranked = np.sort(magnitude[:, bins], axis=1)
                ranked[:, :count].mean(axis=1, out=valleys[frames, band])
                ranked[:, -count:].mean(axis=1, out=peaks[frames, band])
        return decibels(peaks) - decibels(valleys)


class Contrast6(Contrast):
    """Spectral contrast in 6 bands, the last one above 3200 Hz: for telephone speech at 8 kHz."""

    name = "contrast6"
    n_bands = 6
    min_rate = 2 * 3200.0


class Contrast5(Contrast):
    """Spectral contrast in 5 bands, the last one above 1600 Hz."""

    name = "contrast5"
    n_bands = 5
    min_rate = 2 * 1600.0


MEMBERS = {"contrast": Contrast, "contrast6": Contrast6, "contrast5": Contrast5}
