"""One spectrogram of a clip, computed once and shared by every feature.

librosa's conventions: frame ``t`` is centred on sample ``t * hop``, samples beyond the ends are zero, the
window is a periodic Hann window; time runs along the first axis. No spectrogram of a long recording is
kept: blocks that fit a processor's cache are computed again whenever a feature asks.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from . import filters, kernel
from .filters import Matrix as Matrix

if TYPE_CHECKING:
    from ..audio import Signal

Vector = NDArray[np.float32]

BLOCK = 32  # frames computed at a time: 32 * 2048 samples * 8 bytes = 512 KiB
KEEP_VALUES = 2**24  # largest spectrogram kept: 64 MiB of magnitudes, three minutes at 48 kHz
MIN_POWER, RANGE_DB = 1e-10, 80.0  # smaller powers are -100 dB, none lies further below the largest
MIN_PEAK_HZ, MAX_PEAK_HZ = 150.0, 4000.0  # peaks outside tell nothing about the tuning
PEAK_THRESHOLD = 0.1  # a peak must exceed this fraction of the largest magnitude of its frame
TUNING_STEP = 0.01  # of the estimated tuning, in fractions of a pitch class

# Freeing a block teaches glibc to keep up to twice its size for reuse. Without this, the memory of
# every clip is handed back to the system and fetched again page by page, a third of the time.
np.empty(31 * 2**20, dtype=np.uint8)


class Spectrum:
    """Short-time spectra of one clip; the window is `n_fft` samples long, an even number."""

    def __init__(self, signal: Signal, *, n_fft: int = 2048, hop: int = 512) -> None:
        self.signal, self.rate = signal, signal.rate
        self.n_fft, self.hop = n_fft, hop
        self.n_frames = 1 + len(signal.samples) // hop
        self.n_bins = 1 + n_fft // 2
        self.is_kept = self.n_frames * self.n_bins <= KEEP_VALUES
        self._mel: dict[int, Matrix] = {}

    def stft(self, start: int, stop: int) -> NDArray[np.complex64]:
        """Complex spectra of the frames start … stop - 1, [shape=(stop - start, n_bins)]."""
        if self.is_kept and not self._is_compiled:
            return self._kept[0][start:stop]
        return self._transform(start, stop)[0]

    def magnitudes(self) -> Iterator[tuple[slice, Matrix]]:
        """Magnitudes of all frames, as many at a time as are at hand: (which frames, values)."""
        step = self.n_frames if self.is_kept else BLOCK
        for start in range(0, self.n_frames, step):
            stop = min(start + step, self.n_frames)
            block = self.magnitude if self.is_kept else self._transform(start, stop)[1]
            yield slice(start, stop), block

    @property
    def magnitude(self) -> Matrix:
        """Magnitudes of all frames at once, [shape=(n_frames, n_bins)]; kept in memory."""
        return self._kept[1]

    @functools.cached_property
    def _is_compiled(self) -> bool:
        return kernel.is_used(self.n_fft)

    @functools.cached_property
    def _kept(self) -> tuple[NDArray[np.complex64], Matrix]:
        # The kernel transforms again in less time than it takes to store what few features need.
        return self._transform(0, self.n_frames, with_phase=not self._is_compiled)

    def _transform(
        self, start: int, stop: int, *, with_phase: bool = True
    ) -> tuple[NDArray[np.complex64], Matrix]:
        """Spectra of some frames, in double precision before they are rounded, and magnitudes."""
        n_frames = stop - start
        spectra = np.empty((n_frames if with_phase else 0, self.n_bins), dtype=np.complex64)
        magnitude = np.empty((n_frames, self.n_bins), dtype=np.float32)
        samples = np.ascontiguousarray(self.signal.samples, dtype=np.float32)
        window, size = filters.hann(self.n_fft), {"n_fft": self.n_fft, "hop": self.hop}
        if self._is_compiled:
            sound = (samples, len(samples), self.hop, window, self.n_fft)
            phased = spectra if with_phase else None
            kernel.call("spectra", *sound, start, n_frames, phased, magnitude)
            return spectra, magnitude
        windowed = np.empty((BLOCK, self.n_fft))
        for first in range(start, stop, BLOCK):
            last = min(first + BLOCK, stop)
            block, done = windowed[: last - first], slice(first - start, last - start)
            np.multiply(filters.frames(samples, first, last, **size), window, out=block)
            spectra[done] = np.fft.rfft(block, axis=1)
            np.abs(spectra[done], out=magnitude[done])
        return spectra, magnitude

    def mel_power(self, n_mels: int = 128) -> Matrix:
        """Power in ``n_mels`` mel bands from 0 Hz to rate / 2, [shape=(n_frames, n_mels)]."""
        if n_mels not in self._mel:
            mel = np.empty((self.n_frames, n_mels), dtype=np.float32)
            groups = filters.mel_groups(self.rate, self.n_fft, n_mels)
            for frames, magnitude in self.magnitudes():
                if self._is_compiled:
                    bank = filters.mel_rows(self.rate, self.n_fft, n_mels)
                    kernel.call("bands", magnitude, *magnitude.shape, n_mels, *bank, mel[frames])
                    continue
                power = magnitude * magnitude
                for bins, bands, weights in groups:
                    np.matmul(power[:, bins], weights, out=mel[frames, bands])
            self._mel[n_mels] = mel
        return self._mel[n_mels]

    @functools.cached_property
    def peaks(self) -> tuple[Vector, Vector]:
        """Frequencies in Hz and magnitudes of the spectral peaks of all frames."""
        peaks = [spectral_peaks(m, self.rate) for _, m in self.magnitudes()]
        frequencies, magnitudes = zip(*peaks, strict=True)
        return np.concatenate(frequencies), np.concatenate(magnitudes)

    def tuning(self, bins_per_octave: int = 12) -> float:
        """Deviation from A = 440 Hz in fractions of a pitch class, -0.5 to 0.49."""
        return estimate_tuning(*self.peaks, bins_per_octave=bins_per_octave)


def decibels(power: NDArray[np.float32]) -> NDArray[np.float32]:
    """``10 log10`` of each power, at least -100 dB and within 80 dB of the largest, as librosa's."""
    # The natural logarithm is the one that NumPy vectorises.
    level = np.log(np.maximum(power, np.float32(MIN_POWER)))
    level *= np.float32(10 / np.log(10))
    return np.asarray(np.maximum(level, level.max() - np.float32(RANGE_DB)))


def spectral_peaks(magnitude: Matrix, rate: float) -> tuple[Vector, Vector]:
    """Frequencies (Hz) and magnitudes of peaks, by a parabola through three bins (J. O. Smith, 2011)."""
    n_bins = magnitude.shape[1]
    hz_per_bin = rate / (2 * (n_bins - 1))
    first = max(1, int(np.ceil(MIN_PEAK_HZ / hz_per_bin)))
    last = min(n_bins - 1, int(np.ceil(min(MAX_PEAK_HZ, rate / 2) / hz_per_bin)))
    if kernel.is_used(2 * (n_bins - 1)):
        found = np.empty((2, magnitude.shape[0] * ((last - first) // 2 + 1)), dtype=np.float32)
        size = (*magnitude.shape, first, last)
        count = kernel.call("peaks", magnitude, *size, PEAK_THRESHOLD, float(rate), *found)
        return found[0, :count], found[1, :count]
    floor = np.float32(PEAK_THRESHOLD) * magnitude.max(axis=1, keepdims=True)
    middle = magnitude[:, first:last]
    is_peak = middle > floor
    is_peak &= middle > magnitude[:, first - 1 : last - 1]
    is_peak &= middle >= magnitude[:, first + 1 : last + 1]
    frame, column = np.divmod(np.flatnonzero(is_peak), last - first)
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


def estimate_tuning(frequencies: Vector, magnitudes: Vector, *, bins_per_octave: int = 12) -> float:
    """The most frequent deviation from equal temperament, in pitch classes, of the louder half."""
    if not frequencies.size:
        return 0.0
    ranked = np.sort(magnitudes)
    median = (ranked[(len(ranked) - 1) // 2] + ranked[len(ranked) // 2]) / 2
    loud = frequencies[magnitudes >= median]
    # Pitch classes above A0 = 440 Hz / 16; what exceeds a whole number is the deviation.
    residual = bins_per_octave * np.log2(loud / np.float32(440.0 / 16))
    residual -= np.floor(residual)
    residual[residual >= 0.5] -= 1.0
    edges = np.linspace(-0.5, 0.5, round(1 / TUNING_STEP) + 1)
    # As numpy.histogram counts, without its checks.
    counts = np.diff(np.searchsorted(np.sort(residual), edges))
    return float(edges[np.argmax(counts)])
