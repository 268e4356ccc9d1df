"""One spectrogram of a clip, computed once and shared by every feature.

Conventions: frame ``t`` is centred on sample ``t * hop``, samples beyond the ends are zero, the
window is a periodic Hann window: librosa's conventions. Time runs along the first axis. Frames are
computed in blocks that fit a processor's cache. Of a long recording no spectrogram is kept: its
blocks are computed again whenever a feature asks for them, so that memory stays within the size of
the recording plus a few hundred values per frame, less than the recording's own samples.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from . import filters, tuning

if TYPE_CHECKING:
    from ..audio import Signal

Matrix = NDArray[np.float32]

BLOCK = 32
"""Frames computed at a time: 32 * 2048 samples * 8 bytes = 512 KiB."""

KEEP_VALUES = 2**24
"""Largest spectrogram that is kept: 16 M magnitudes, 64 MiB, about three minutes at 48 kHz."""


# Freeing a block teaches glibc to keep up to twice its size for reuse. Without this, the memory of
# every clip is handed back to the system and fetched again page by page, a third of the time.
np.empty(31 * 2**20, dtype=np.uint8)


class Spectrum:
    """Short-time spectra of one clip, each computed when first asked for.

    Parameters
    ----------
    signal : Signal
        The clip: float32 samples, mono, at their own rate.
    n_fft : int
        Window length in samples, even.
    hop : int
        Samples from frame to frame.
    """

    def __init__(self, signal: Signal, *, n_fft: int = 2048, hop: int = 512) -> None:
        self.signal = signal
        self.n_fft, self.hop = n_fft, hop
        self.rate = signal.rate
        self.n_frames = 1 + len(signal.samples) // hop
        self.n_bins = 1 + n_fft // 2
        self.is_kept = self.n_frames * self.n_bins <= KEEP_VALUES
        self._mel: dict[int, Matrix] = {}

    def stft(self, start: int, stop: int) -> NDArray[np.complex64]:
        """Complex spectra of the frames start … stop - 1, [shape=(stop - start, n_bins)]."""
        if self.is_kept:
            return self._kept[0][start:stop]
        spectra = np.empty((stop - start, self.n_bins), dtype=np.complex64)
        for frames, block in self._transform(start, stop):
            spectra[frames.start - start : frames.stop - start] = block
        return spectra

    def magnitudes(self) -> Iterator[tuple[slice, Matrix]]:
        """Magnitudes of all frames, as many at a time as are at hand: (which frames, values)."""
        if self.is_kept:
            yield slice(0, self.n_frames), self.magnitude
        else:
            for frames, block in self._transform(0, self.n_frames):
                yield frames, np.abs(block.astype(np.complex64))

    @property
    def magnitude(self) -> Matrix:
        """Magnitudes of all frames at once, [shape=(n_frames, n_bins)]; kept in memory."""
        return self._kept[1]

    @functools.cached_property
    def _kept(self) -> tuple[NDArray[np.complex64], Matrix]:
        spectra = np.empty((self.n_frames, self.n_bins), dtype=np.complex64)
        magnitude = np.empty((self.n_frames, self.n_bins), dtype=np.float32)
        for frames, block in self._transform(0, self.n_frames):
            spectra[frames] = block
            np.abs(spectra[frames], out=magnitude[frames])
        return spectra, magnitude

    def _transform(self, start: int, stop: int) -> Iterator[tuple[slice, NDArray[np.complex128]]]:
        """Spectra of some frames in double precision, a block at a time."""
        window = filters.hann(self.n_fft)
        windowed = np.empty((BLOCK, self.n_fft))
        for first in range(start, stop, BLOCK):
            last = min(first + BLOCK, stop)
            frames = filters.frames(
                self.signal.samples, first, last, n_fft=self.n_fft, hop=self.hop
            )
            np.multiply(frames, window, out=windowed[: last - first])
            yield slice(first, last), np.fft.rfft(windowed[: last - first], axis=1)

    def mel_power(self, n_mels: int = 128) -> Matrix:
        """Power in ``n_mels`` mel bands from 0 Hz to rate / 2, [shape=(n_frames, n_mels)]."""
        if n_mels not in self._mel:
            mel = np.empty((self.n_frames, n_mels), dtype=np.float32)
            groups = filters.mel_groups(self.rate, self.n_fft, n_mels)
            for frames, magnitude in self.magnitudes():
                power = magnitude * magnitude
                for bins, bands, weights in groups:
                    np.matmul(power[:, bins], weights, out=mel[frames, bands])
            self._mel[n_mels] = mel
        return self._mel[n_mels]

    @functools.cached_property
    def peaks(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Frequencies in Hz and magnitudes of the spectral peaks of all frames."""
        found = [tuning.spectral_peaks(m, self.rate) for _, m in self.magnitudes()]
        frequencies, magnitudes = zip(*found, strict=True)
        return np.concatenate(frequencies), np.concatenate(magnitudes)

    def tuning(self, bins_per_octave: int = 12) -> float:
        """Deviation from A = 440 Hz in fractions of a pitch class, -0.5 to 0.49."""
        return tuning.tuning(*self.peaks, bins_per_octave=bins_per_octave)
