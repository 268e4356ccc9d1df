"""Frames, windows and filter banks of spectrograms, with the values of librosa 0.11's defaults.

Frequencies in Hz; banks are shaped ``(n_bins, n_outputs)``, spectra ``(n_frames, n_bins)``.
"""

import functools

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Matrix = NDArray[np.float32]
Vector = NDArray[np.float64]
Ints = NDArray[np.int32]

MEL_GROUP = 16  # bands multiplied at a time: neighbouring bands share bins, distant ones none


@functools.cache
def hann(length: int) -> Vector:
    """Periodic Hann window, from angles that begin at -pi so that every bit agrees with SciPy's."""
    return np.asarray(0.5 + 0.5 * np.cos(np.linspace(-np.pi, np.pi, length + 1)[:-1]))


def frames(samples: Matrix, first: int, last: int, *, n_fft: int, hop: int) -> Vector:
    """Frames first … last - 1, frame t centred on sample t * hop; not to be written to."""
    begin, end = first * hop - n_fft // 2, (last - 1) * hop + n_fft // 2
    piece = np.zeros(end - begin)
    inside = samples[max(0, begin) : max(0, end)]
    piece[max(0, -begin) : max(0, -begin) + len(inside)] = inside
    return sliding_window_view(piece, n_fft)[::hop]


def bin_frequencies(rate: float, n_fft: int) -> Vector:
    """Centre frequency of every bin of a real FFT, 0 to rate / 2."""
    return np.asarray(np.arange(n_fft // 2 + 1) * (rate / n_fft))


def hz_to_mel(frequency: Vector) -> Vector:
    """Mel scale of M. Slaney, "Auditory Toolbox, version 2", Interval Research report 1998-010."""
    # 3 mel per 200 Hz up to 1 kHz (15 mel), from there 27 per factor of 6.4.
    octaves = np.log(np.maximum(frequency, 1000.0) / 1000.0) * (27 / np.log(6.4))
    return np.asarray(np.where(frequency < 1000.0, frequency * 3 / 200, 15 + octaves))


def mel_to_hz(mel: Vector) -> Vector:
    """Inverse of :func:`hz_to_mel`."""
    above = 1000.0 * np.exp((np.maximum(mel, 15.0) - 15) * (np.log(6.4) / 27))
    return np.asarray(np.where(mel < 15, mel * 200 / 3, above))


def mel_triangles(rate: int, n_fft: int, n_mels: int) -> tuple[Vector, Vector]:
    """Triangles of unit height, equally spaced in mel from 0 Hz to rate / 2, and their areas in Hz."""
    edges = mel_to_hz(np.linspace(0.0, hz_to_mel(np.array(rate / 2.0)), n_mels + 2))
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    frequency = bin_frequencies(rate, n_fft)[:, None]
    rising = (frequency - low) / (centre - low)
    falling = (high - frequency) / (high - centre)
    return np.maximum(0.0, np.minimum(rising, falling)), (high - low) / 2.0


def mel_filters(rate: int, n_fft: int, n_mels: int) -> Matrix:
    """Triangles of unit area, [shape=(1 + n_fft // 2, n_mels)]."""
    triangles, areas = mel_triangles(rate, n_fft, n_mels)
    return np.asarray(triangles.astype(np.float32) * (1.0 / areas), dtype=np.float32)


@functools.lru_cache(maxsize=32)
def mel_groups(rate: int, n_fft: int, n_mels: int) -> tuple[tuple[slice, slice, Matrix], ...]:
    """The mel filters in groups of neighbours: (bins, bands, weights), zeros mostly left out."""
    filters = mel_filters(rate, n_fft, n_mels)
    groups = []
    for start in range(0, n_mels, MEL_GROUP):
        bands = slice(start, min(start + MEL_GROUP, n_mels))
        used = np.flatnonzero(filters[:, bands].any(axis=1))
        bins = slice(int(used[0]), int(used[-1]) + 1) if used.size else slice(0, 1)
        groups.append((bins, bands, np.ascontiguousarray(filters[bins, bands])))
    return tuple(groups)


@functools.lru_cache(maxsize=32)
def mel_rows(rate: int, n_fft: int, n_mels: int) -> tuple[Ints, Ints, Matrix]:
    """First bin of each mel filter, the one behind its last, weights [shape=(n_mels, n_bins)]."""
    rows = np.ascontiguousarray(mel_filters(rate, n_fft, n_mels).T)
    first = np.argmax(rows > 0, axis=1).astype(np.int32)
    last = (rows.shape[1] - np.argmax(rows[:, ::-1] > 0, axis=1)).astype(np.int32)
    return first, last, rows


@functools.lru_cache(maxsize=256)
def chroma_filters(rate: int, n_fft: int, tuning: float) -> Matrix:
    """Weights that gather the bins of each pitch class, C first; `tuning` in pitch classes.

    A Gaussian over the distance in pitch (2 sigma = one bin, but at least one semitone), of unit
    length per bin, times one over octaves around A 440's own (two octaves wide): D. Ellis, 2007,
    https://www.ee.columbia.edu/~dpwe/resources/matlab/chroma-ansyn/.
    """
    n_bins, n_chroma = n_fft // 2 + 1, 12
    reference = 440.0 * 2.0 ** (tuning / n_chroma)
    # Octaves above A0 = reference / 16, in pitch classes; the bin of 0 Hz is put 1.5 octaves below
    # the first. One bin more than is kept, for the width of the last.
    frequency = np.arange(1, n_bins + 1) * (rate / n_fft)
    pitch = n_chroma * np.log2(frequency / (reference / 16))
    pitch = np.concatenate(([pitch[0] - 1.5 * n_chroma], pitch))
    width = np.maximum(np.diff(pitch), 1.0)[:, None]
    pitch = pitch[:n_bins, None]
    distance = np.remainder(pitch - np.arange(n_chroma) + 6, n_chroma) - 6
    weights = np.exp(-0.5 * (2 * distance / width) ** 2)
    weights /= np.sqrt(np.sum(weights**2, axis=1, keepdims=True))
    weights *= np.exp(-0.5 * ((pitch / n_chroma - 5.0) / 2.0) ** 2)
    # Octaves count from A; pitch classes from C, three above.
    return np.ascontiguousarray(np.roll(weights, -3 * n_chroma // 12, axis=1), dtype=np.float32)


@functools.cache
def dct_filters(n_inputs: int, n_outputs: int) -> Matrix:
    """Orthonormal discrete cosine transform, type II, as a matrix (n_inputs, n_outputs)."""
    from scipy.fft import dct

    return np.asarray(dct(np.eye(n_inputs), norm="ortho", axis=1)[:, :n_outputs], np.float32)
