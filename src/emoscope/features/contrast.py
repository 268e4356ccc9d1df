"""Spectral contrast: how far peaks stand out from valleys in octave bands, in decibels.

D.-N. Jiang et al., "Music type classification by spectral contrast feature", ICME 2002. Values are
those of ``librosa.feature.spectral_contrast(S=abs(librosa.stft(y)), sr=sr)``, librosa 0.11.
"""

from __future__ import annotations

import numpy as np

from ..errors import FeatureError
from . import filters
from .base import FrameMean
from .spectrum import Matrix, Spectrum, decibels

N_BANDS = 7  # the first ends at 200 Hz; each following band is an octave
QUANTILE = 0.02  # share of a band's bins whose mean is its valley, and its peak


def bands(rate: int, n_fft: int) -> list[tuple[slice, int]]:
    """Bins of each band, and how many of them make its valley and its peak."""
    edges = [0.0] + [200.0 * 2.0**octave for octave in range(N_BANDS)]
    if rate / 2 <= edges[-2]:
        raise FeatureError(
            f"'contrast' needs a sample rate above {2 * edges[-2]:.0f} Hz, and this clip has "
            f"{rate} Hz; leave the feature out, or resample the recording"
        )
    frequency = filters.bin_frequencies(rate, n_fft)
    bins = []
    for band, (low, high) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        inside = np.flatnonzero((frequency >= low) & (frequency <= high))
        # Above the first, a band starts one bin early; below the last, it gives its last bin away.
        # The last reaches to the end.
        first = int(inside[0]) - (band > 0)
        last = len(frequency) if band == N_BANDS - 1 else int(inside[-1]) + 1
        count = max(1, round(QUANTILE * (last - first)))
        bins.append((slice(first, last - (band < N_BANDS - 1)), count))
    return bins


class Contrast(FrameMean):
    """Mean spectral contrast of a clip."""

    name = "contrast"
    columns = tuple(f"contrast_{band}" for band in range(1, N_BANDS + 1))  # 7: above 6400 Hz

    def frames(self, spectrum: Spectrum) -> Matrix:
        """Peak minus valley of every frame and band, in dB, [shape=(n_frames, 7)]."""
        shape = (spectrum.n_frames, N_BANDS)
        valleys, peaks = np.empty(shape, np.float32), np.empty(shape, np.float32)
        all_bands = bands(spectrum.rate, spectrum.n_fft)
        for frames, magnitude in spectrum.magnitudes():
            for band, (bins, count) in enumerate(all_bands):
                ranked = np.sort(magnitude[:, bins], axis=1)
                ranked[:, :count].mean(axis=1, out=valleys[frames, band])
                ranked[:, -count:].mean(axis=1, out=peaks[frames, band])
        return decibels(peaks) - decibels(valleys)


MEMBERS = {"contrast": Contrast}
