"""How far a clip is tuned from A = 440 Hz, from the peaks of its spectrum.

Peaks are refined by a parabola through three bins: J. O. Smith, "Spectral Audio Signal Processing",
2011, https://ccrma.stanford.edu/~jos/sasp/Quadratic_Interpolation_Spectral_Peaks.html.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]

LOWEST, HIGHEST = 150.0, 4000.0
"""Hz: peaks outside tell nothing about the tuning."""

THRESHOLD = 0.1
"""A peak must exceed this fraction of the largest magnitude of its frame."""

RESOLUTION = 0.01
"""Step of the estimate, in fractions of a pitch class."""


def spectral_peaks(magnitude: NDArray[np.float32], rate: float) -> tuple[Vector, Vector]:
    """Frequencies and magnitudes of the peaks of every frame.

    Parameters
    ----------
    magnitude : ndarray of float32 [shape=(n_frames, n_bins)]
        Magnitudes from 0 Hz to rate / 2.
    rate : float
        Sample rate in Hz.

    Returns
    -------
    frequencies, magnitudes : ndarray of float32 [shape=(n_peaks,)]
        In Hz, and in the unit of ``magnitude``.
    """
    n_bins = magnitude.shape[1]
    hz_per_bin = rate / (2 * (n_bins - 1))
    first = max(1, int(np.ceil(LOWEST / hz_per_bin)))
    last = min(n_bins - 1, int(np.ceil(min(HIGHEST, rate / 2) / hz_per_bin)))
    floor = np.float32(THRESHOLD) * magnitude.max(axis=1, keepdims=True)
    middle = magnitude[:, first:last]
    is_peak = middle > floor
    is_peak &= middle > magnitude[:, first - 1 : last - 1]
    is_peak &= middle >= magnitude[:, first + 1 : last + 1]
    flat = np.flatnonzero(is_peak)
    frame, column = np.divmod(flat, last - first)
    column += first
    at = frame * n_bins + column
    values = magnitude.reshape(-1)
    here, before, after = values[at], values[at - 1], values[at + 1]
    curvature = after + before - 2 * here
    slope = (after - before) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = np.where(np.abs(slope) >= np.abs(curvature), np.float32(0), -slope / curvature)
    frequencies = ((column + shift) * rate / (2 * (n_bins - 1))).astype(np.float32)
    return frequencies, here + np.float32(0.5) * slope * shift


def tuning(frequencies: Vector, magnitudes: Vector, *, bins_per_octave: int = 12) -> float:
    """The most frequent deviation from equal temperament among the louder half of the peaks.

    Parameters
    ----------
    frequencies, magnitudes : ndarray of float32 [shape=(n_peaks,)]
        Of the peaks, in Hz and in any one unit.
    bins_per_octave : int
        Pitch classes in an octave.

    Returns
    -------
    float
        -0.5 to 0.49 in fractions of a pitch class; 0 when there is no peak.
    """
    if not frequencies.size:
        return 0.0
    ranked = np.sort(magnitudes)
    n = len(ranked)
    median = (ranked[(n - 1) // 2] + ranked[n // 2]) / 2
    loud = frequencies[magnitudes >= median]
    # Pitch classes above A0 = 440 Hz / 16; what exceeds a whole number is the deviation.
    residual = np.mod(bins_per_octave * np.log2(loud / np.float32(440.0 / 16)), np.float32(1.0))
    residual[residual >= 0.5] -= 1.0
    edges = np.linspace(-0.5, 0.5, round(1 / RESOLUTION) + 1)
    counts, _ = np.histogram(residual, edges)
    return float(edges[np.argmax(counts)])
