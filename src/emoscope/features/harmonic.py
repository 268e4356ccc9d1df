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
from collections.abc import Iterator

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

SECTION = 2048
"""Frames whose medians are taken at a time: 22 seconds at 48 kHz."""

BLOCK = 32
"""Frames masked and transformed back at a time; they fit a processor's cache."""


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
    # Row r holds the samples r * hop … (r + 1) * hop - 1, counted from n_fft / 2 before the clip.
    summed = np.zeros((n_frames + overlap - 1, hop), dtype=np.float32)
    for start, spectra in _masked_blocks(spectrum):
        pieces = scipy.fft.irfft(spectra, n=n_fft, axis=1, overwrite_x=True) * window
        _overlap_add(pieces.reshape(len(spectra), overlap, hop), summed[start:])
    _divide_by_windows(summed, n_frames)
    return summed.reshape(-1)[n_fft // 2 : n_fft // 2 + len(spectrum.signal.samples)]


def _overlap_add(pieces: NDArray[np.float64], summed: Matrix) -> None:
    """Add frames [shape=(n_frames, overlap, hop)] to rows of samples, one row apart."""
    n_frames, overlap, _ = pieces.shape
    # Earlier frames first: the last one that reaches a row is its own, k = 0.
    for k in reversed(range(overlap)):
        summed[k : k + n_frames] += pieces[:, k]


def _divide_by_windows(summed: Matrix, n_frames: int) -> None:
    """Divide rows of samples by the sum of the squared windows that reach them."""
    n_rows, hop = summed.shape
    overlap = n_rows - n_frames + 1
    shares = (filters.hann(overlap * hop) ** 2).reshape(overlap, hop)
    # All rows but the first and the last few are alike: few frames tell them all.
    n_few = min(n_frames, 2 * overlap)
    weight = np.zeros((n_few + overlap - 1, hop), dtype=np.float32)
    _overlap_add(np.broadcast_to(shares, (n_few, overlap, hop)), weight)
    with np.errstate(
        invalid="ignore"
    ):  # the very first weight is zero, of a sample before the clip
        if n_few == n_frames:
            summed /= weight
        else:
            summed[:overlap] /= weight[:overlap]
            summed[overlap:-overlap] /= weight[overlap]
            summed[-overlap:] /= weight[-overlap:]


def _masked_blocks(spectrum: Spectrum) -> Iterator[tuple[int, NDArray[np.complex64]]]:
    """Harmonic spectra, a block of frames at a time: (first frame, spectra)."""
    reach = SIZE // 2
    for start in range(0, spectrum.n_frames, SECTION):
        stop = min(start + SECTION, spectrum.n_frames)
        first, last = max(0, start - reach), min(spectrum.n_frames, stop + reach)
        spectra = spectrum.stft(first, last)
        magnitude = spectrum.magnitude[first:last] if spectrum.is_kept else np.abs(spectra)
        lasting = running_median(magnitude, size=SIZE)
        spread = running_median(magnitude.T, size=SIZE).T
        for at in range(start, stop, BLOCK):
            frames = slice(at - first, min(at + BLOCK, stop) - first)
            mask = _mask(lasting[frames], np.ascontiguousarray(spread[frames]))
            harmonic = mask * magnitude[frames]
            yield at, _with_phase(harmonic, spectra[frames], magnitude[frames])


def _mask(lasting: Matrix, spread: Matrix) -> Matrix:
    """``lasting**2 / (lasting**2 + spread**2)``; one half where both are zero."""
    larger = np.maximum(lasting, spread)
    is_silent = larger < TINY
    larger[is_silent] = 1
    mask = np.square(lasting / larger)
    with np.errstate(invalid="ignore"):
        mask /= mask + np.square(spread / larger)
    mask[is_silent] = 0.5
    return np.asarray(mask)


def _with_phase(
    magnitude: Matrix, spectra: NDArray[np.complex64], whole: Matrix
) -> NDArray[np.complex64]:
    """Spectra of these magnitudes with the phase of ``spectra``, whose magnitudes are ``whole``."""
    nonzero = whole if whole.all() else whole + (whole == 0)
    turned = np.empty_like(spectra)
    np.multiply(spectra.real / nonzero, magnitude, out=turned.real)
    np.multiply(spectra.imag / nonzero, magnitude, out=turned.imag)
    return turned


def tuning(samples: NDArray[np.float32], spectrum: Spectrum, bins_per_octave: int) -> float:
    """Tuning of the harmonic part, in fractions of a pitch class, -0.5 to 0.49."""
    signal = dataclasses.replace(spectrum.signal, samples=samples)
    part = Spectrum(signal, n_fft=spectrum.n_fft, hop=spectrum.hop)
    return part.tuning(bins_per_octave)
