"""Tonal centroids of the harmonic component: where its chroma lies in the tonal network.

C. Harte, M. Sandler and M. Gasser, "Detecting harmonic change in musical audio", ACM Workshop on
Audio and Music Computing Multimedia, 2006. Values are those of
``librosa.feature.tonnetz(y=librosa.effects.harmonic(y), sr=sr)``, librosa 0.11.

Chroma is of constant Q: seven octaves from C1 with 36 filters each, whose spectra keep 99 % of their
magnitude. The rate is halved from octave to octave, so one octave's filters serve all: C. Schoerkhuber and
A. Klapuri, "Constant-Q transform toolbox for music processing", Sound and Music Computing, 2010.
"""

import functools
import math
from typing import NamedTuple

import numpy as np
import scipy.fft
import soxr
from numpy.typing import NDArray
from scipy.sparse import csr_array

from ..audio import Signal
from . import filters, kernel
from .base import FrameMean
from .harmonic import harmonic_part
from .spectrum import Spectrum

AXES = ("fifth_x", "fifth_y", "minor_x", "minor_y", "major_x", "major_y")
N_OCTAVES = 7
BINS_PER_OCTAVE = 36
HOP = 512
MIN_FREQUENCY = 440.0 * 2.0 ** (-69 / 12 + 24 / 12)  # C1 in Hz, MIDI note 24; A 440 Hz is note 69
_RATIO = 2.0 ** (2 / BINS_PER_OCTAVE)
BANDWIDTH = (_RATIO - 1) / (_RATIO + 1)  # relative, of a filter whose neighbours are one bin away
HANN_BANDWIDTH = 1.50018310546875  # noise bandwidth in bins, as librosa tabulates it; nearly 1.5
DROPPED = 0.01  # fraction of a filter's summed magnitude that its spectrum may lose
BLOCK = 1024  # frames transformed at a time


class OctaveFilters(NamedTuple):
    """The filters of the highest octave, as spectra."""

    halvings: int  # how often the rate is halved before the highest octave is analysed
    n_fft: int  # samples that a filter sees at that rate
    bins: slice  # those that any filter uses
    weights: tuple[csr_array, ...]  # of each octave from the highest down, [shape=(36, n_bins)]
    scale: NDArray[np.float32]  # filters that span more samples add up more, [shape=(36, 1)]


def highest_frequency(tuning: float) -> float:
    """Upper edge in Hz of the highest filter's band; the rate must be more than twice that."""
    centre = MIN_FREQUENCY * 2.0 ** (N_OCTAVES + (tuning - 1) / BINS_PER_OCTAVE)
    return float(centre * (1 + 0.5 * HANN_BANDWIDTH * BANDWIDTH))


@functools.lru_cache(maxsize=256)
def octave_filters(rate: int, tuning: float) -> OctaveFilters:
    """Filters for clips of this rate and tuning (in fractions of a 36th octave)."""
    octaves_above = math.ceil(math.log2(rate / 2 / highest_frequency(tuning))) - 2
    # HOP is 2**9; the lowest octave must keep a whole number of samples per frame.
    halvings = min(max(0, octaves_above), HOP.bit_length() - N_OCTAVES)
    nominal = rate / 2**halvings
    steps = np.arange(BINS_PER_OCTAVE) + (N_OCTAVES - 1) * BINS_PER_OCTAVE + tuning
    frequencies = MIN_FREQUENCY * 2.0 ** (steps / BINS_PER_OCTAVE)
    lengths = nominal / (BANDWIDTH * frequencies)
    n_fft = 2 ** math.ceil(math.log2(lengths[0]))
    tones = np.zeros((BINS_PER_OCTAVE, n_fft), dtype=np.complex64)
    for tone, length, frequency in zip(tones, lengths, frequencies, strict=True):
        time = np.arange(-length // 2, length // 2) / nominal
        window = filters.hann(len(time))
        start = (n_fft - len(time)) // 2
        window = window / window.sum()
        tone[start : start + len(time)] = np.exp(2j * np.pi * frequency * time) * window
    tones *= lengths[:, None] / n_fft
    spectra = scipy.fft.fft(tones, axis=1)[:, : n_fft // 2 + 1]
    # The smallest values of each row become zero, up to DROPPED of its summed magnitude.
    magnitude = np.abs(spectra)
    ranked = np.sort(magnitude, axis=1)
    share = np.cumsum(ranked / ranked.sum(axis=1, keepdims=True), axis=1)
    least = np.take_along_axis(ranked, np.argmin(share < DROPPED, axis=1)[:, None], axis=1)
    spectra = np.where(magnitude >= least, spectra, np.complex64(0))
    used = np.flatnonzero(spectra.any(axis=0))
    bins = slice(int(used[0]), int(used[-1]) + 1)
    highest = csr_array(spectra[:, bins])
    gains = [np.float64(2 ** (octave / 2)) for octave in range(N_OCTAVES)]
    weights = tuple((highest * gain).astype(np.complex64) for gain in gains)
    scale = (1 / np.sqrt(lengths))[:, None].astype(np.float32)
    return OctaveFilters(halvings, n_fft, bins, weights, scale)


def constant_q_chroma(signal: Signal, tuning: float) -> NDArray[np.float32]:
    """Magnitude in each pitch class, C first, of a clip at over twice :func:`highest_frequency`."""
    bank = octave_filters(signal.rate, tuning)
    samples, hop = _reduce(signal.samples, 2**bank.halvings), HOP // 2**bank.halvings
    n_frames = 1 + len(samples) // hop
    total = np.zeros((BINS_PER_OCTAVE, n_frames), dtype=np.float32)
    for octave, weights in enumerate(bank.weights):
        if octave:
            samples, hop = _reduce(samples, 2), hop // 2
        # A filter of each octave further down spans twice the time.
        scale = bank.scale * np.float32(2 ** (-octave / 2))
        if kernel.is_used(bank.n_fft):
            sound, bins = (samples, len(samples), hop, bank.n_fft), weights.indices
            used = (weights.indptr.astype(np.int32), (bins + bank.bins.start).astype(np.int32))
            rows = (n_frames, BINS_PER_OCTAVE, *used, weights.data, scale)
            kernel.call("responses", *sound, *rows, total)
            continue
        for start in range(0, n_frames, BLOCK):
            stop = min(start + BLOCK, n_frames)
            frames = filters.frames(samples, start, stop, n_fft=bank.n_fft, hop=hop)
            spectra = np.fft.rfft(frames, axis=1)[:, bank.bins]
            response = weights @ spectra.T.astype(np.complex64, order="C")
            total[:, start:stop] += np.abs(response) * scale
    # Each pitch class takes the filter at its centre and one on each side.
    thirds = np.roll(total, 1, axis=0).reshape(12, BINS_PER_OCTAVE // 12, n_frames)
    return np.asarray(thirds.sum(axis=1).T)


def _reduce(samples: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """A fraction of the rate, as much more power: octaves keep their level."""
    if factor == 1:
        return samples
    length = -(-len(samples) // factor)
    reduced = soxr.resample(samples, factor, 1, quality="HQ")[:length]
    reduced /= np.sqrt(1 / factor)
    return np.pad(reduced, (0, length - len(reduced)))


# Coordinates of the pitch classes, [shape=(12, 6)]. One class further is 7/6, 3/2 and 2/3 of half a
# turn; thirds weigh as Harte et al. set.
_TURNS = np.pi * (np.arange(12)[:, None] * np.array([7 / 6, 3 / 2, 2 / 3]))
_CIRCLES = np.stack([np.sin(_TURNS), np.cos(_TURNS)], axis=2) * np.array([[1.0], [1.0], [0.5]])
DIRECTIONS = _CIRCLES.reshape(12, 6).astype(np.float32)


class Tonnetz(FrameMean):
    """Mean tonal centroid of a clip."""

    name = "tonnetz"
    columns = tuple(f"tonnetz_{axis}" for axis in AXES)
    min_rate = 2 * highest_frequency(0.5)

    def frames(self, spectrum: Spectrum) -> NDArray[np.float32]:
        """Tonal centroid of every frame, each coordinate in [-1, 1], [shape=(n_frames, 6)]."""
        self.check_rate(spectrum.rate)
        harmonic = harmonic_part(spectrum)
        tuning = Spectrum(harmonic, n_fft=spectrum.n_fft, hop=spectrum.hop).tuning(BINS_PER_OCTAVE)
        chroma = constant_q_chroma(harmonic, tuning)
        total = chroma.sum(axis=1, keepdims=True)
        total[total < np.finfo(np.float32).tiny] = 1
        return np.asarray((chroma / total) @ DIRECTIONS)


MEMBERS = {"tonnetz": Tonnetz}
