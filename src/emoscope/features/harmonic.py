"""The harmonic component of a clip: what lasts in time rather than spreads over frequency.

A soft mask compares the median over time with the median over frequency of each magnitude:
D. FitzGerald, "Harmonic/percussive separation using median filtering", DAFx, 2010; masks after
J. Driedger, M. Mueller and S. Disch, ISMIR, 2014. Values are those of librosa 0.11's
``effects.harmonic`` with its defaults.

The arithmetic keeps librosa's order and precision step by step. Parts of a recording that are
digitally silent hold nothing but the rounding errors of what surrounds them, chroma scales every
frame to full strength, and so the tonal centroids of such clips agree only if these errors do.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from . import filters
from .median import running_median
from .spectrum import Spectrum

Matrix = NDArray[np.float32]

TINY = np.finfo(np.float32).tiny

SIZE = 31
"""Frames, and bins, that a median spans."""

BLOCK = 2048
"""Frames separated at a time: 24 seconds at 48 kHz."""


def harmonic_part(spectrum: Spectrum) -> NDArray[np.float32]:
    """The harmonic component as samples.

    Parameters
    ----------
    spectrum : Spectrum
        The clip; its hop must divide its window.

    Returns
    -------
    ndarray of float32 [shape=(n_samples,)]
    """
    n_fft, hop, n_frames = spectrum.n_fft, spectrum.hop, spectrum.n_frames
    overlap = n_fft // hop
    window = filters.hann(n_fft)
    shares = (window**2).reshape(overlap, hop)
    # Row r holds the samples r * hop … (r + 1) * hop - 1, counted from n_fft / 2 before the clip.
    summed = np.zeros((n_frames + overlap - 1, hop), dtype=np.float32)
    weight = np.zeros_like(summed)
    # Earlier frames first: the last one that reaches a row is its own, k = 0.
    for k in reversed(range(overlap)):
        weight[k : k + n_frames] += shares[k]
    for start in range(0, n_frames, BLOCK):
        stop = min(start + BLOCK, n_frames)
        spectra = _masked(spectrum, start, stop)
        pieces = scipy.fft.irfft(spectra, n=n_fft, axis=1) * window
        pieces = pieces.reshape(stop - start, overlap, hop)
        for k in reversed(range(overlap)):
            summed[start + k : stop + k] += pieces[:, k]
    np.divide(summed, weight, out=summed, where=weight > TINY)
    return summed.reshape(-1)[n_fft // 2 : n_fft // 2 + len(spectrum.signal.samples)]


def _masked(spectrum: Spectrum, start: int, stop: int) -> NDArray[np.complex64]:
    """Harmonic spectra of some frames."""
    reach = SIZE // 2
    first, last = max(0, start - reach), min(spectrum.n_frames, stop + reach)
    spectra = spectrum.stft(first, last)
    magnitude = spectrum.magnitude[first:last] if spectrum.is_kept else np.abs(spectra)
    frames = slice(start - first, stop - first)
    lasting = running_median(magnitude, size=SIZE)[frames]
    spectra, magnitude = spectra[frames], magnitude[frames]
    spread = running_median(np.ascontiguousarray(magnitude.T), size=SIZE).T
    larger = np.maximum(lasting, spread)
    silent = larger < TINY
    larger[silent] = 1
    mask = (lasting / larger) ** 2
    with np.errstate(invalid="ignore"):
        mask /= mask + (spread / larger) ** 2
    mask[silent] = 0.5
    mask *= magnitude
    masked = np.empty_like(spectra)
    nonzero = magnitude + (magnitude == 0)
    np.multiply(spectra.real / nonzero, mask, out=masked.real)
    np.multiply(spectra.imag / nonzero, mask, out=masked.imag)
    return masked


def tuning(samples: NDArray[np.float32], spectrum: Spectrum, bins_per_octave: int) -> float:
    """Tuning of the harmonic part, in fractions of a pitch class, -0.5 to 0.49."""
    signal = dataclasses.replace(spectrum.signal, samples=samples)
    part = Spectrum(signal, n_fft=spectrum.n_fft, hop=spectrum.hop)
    return part.tuning(bins_per_octave)
