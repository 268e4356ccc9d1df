"""The harmonic component of a clip: what lasts in time rather than spreads over frequency.

A soft mask compares medians over time and over frequency: D. FitzGerald, "Harmonic/percussive
separation using median filtering", DAFx, 2010; J. Driedger, M. Mueller and S. Disch, ISMIR, 2014. Values
are those of librosa 0.11's ``effects.harmonic`` to the last bit.

Medians take minima and maxima of whole matrices, about 27 passes for 31 rows. Aligned blocks of 2, 4, 8 …
rows are sorted once; a group of ``2**(k-1)`` neighbouring medians starts from the rows that all of its
windows contain and is halved again and again, each half merging in the one sorted block that only its
windows contain. Networks: K. E. Batcher, "Sorting networks and their applications", AFIPS 32, 1968.
"""

from collections.abc import Iterator

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from ..audio import Signal
from . import filters, kernel
from .spectrum import Matrix, Spectrum

SIZE = 31  # frames, and bins, that a median spans
SECTION = 2048  # frames whose medians are taken at a time: 22 seconds at 48 kHz
CHUNK = 2**18  # values whose medians are taken at a time: 1 MiB, with their sorted blocks 6 MiB
BLOCK = 32  # frames masked and transformed back at a time: they fit a processor's cache


def harmonic_part(spectrum: Spectrum) -> Signal:
    """The harmonic component of a clip; the hop must divide the window."""
    n_fft, hop, n_frames = spectrum.n_fft, spectrum.hop, spectrum.n_frames
    overlap = n_fft // hop
    window = filters.hann(n_fft)
    # Row r holds the samples r * hop … (r + 1) * hop - 1, counted from n_fft / 2 before the clip.
    summed = np.zeros((n_frames + overlap - 1, hop), dtype=np.float32)
    for start in range(0, n_frames, SECTION):
        # A section, and before and after it what its medians reach.
        first, last = max(0, start - SIZE // 2), min(n_frames, start + SECTION + SIZE // 2)
        spectra = spectrum.stft(first, last)
        magnitude = spectrum.magnitude[first:last] if spectrum.is_kept else np.abs(spectra)
        if kernel.is_used(n_fft):
            frames = (len(spectra), start - first, min(start - first + SECTION, n_frames - first))
            kernel.call("harmonic", spectra, magnitude, *frames, n_fft, hop, window, summed[start:])
            continue
        for at, harmonic in _masked_blocks(spectra, magnitude, start - first, n_frames - first):
            pieces = scipy.fft.irfft(harmonic, n=n_fft, axis=1, overwrite_x=True) * window
            _overlap_add(pieces.reshape(len(harmonic), overlap, hop), summed[first + at :])
    few = min(n_frames, overlap)  # from so many frames on, all further rows have the same weight
    weight, shares = np.zeros((few + overlap - 1, hop), np.float32), window.reshape(overlap, hop)
    _overlap_add(np.broadcast_to(shares**2, (few, overlap, hop)), weight)
    with np.errstate(invalid="ignore"):  # the first weight, of a sample before the clip, is zero
        summed[:few] /= weight[:few]
        summed[few:n_frames] /= weight[few - 1]
        summed[n_frames:] /= weight[few:]
    samples = summed.reshape(-1)[n_fft // 2 : n_fft // 2 + len(spectrum.signal.samples)]
    return Signal(samples, spectrum.rate, spectrum.signal.path)


def _overlap_add(pieces: NDArray[np.float64], summed: Matrix) -> None:
    """Add frames [shape=(n_frames, overlap, hop)] to rows of samples, one row apart."""
    n_frames, overlap, _ = pieces.shape
    # Earlier frames first: the last one that reaches a row is its own, k = 0.
    for k in reversed(range(overlap)):
        summed[k : k + n_frames] += pieces[:, k]


def _masked_blocks(
    spectra: NDArray[np.complex64], magnitude: Matrix, start: int, n_frames: int
) -> Iterator[tuple[int, NDArray[np.complex64]]]:
    """Harmonic spectra of a section from a frame on: (first frame of a block, spectra)."""
    over_time = running_median(magnitude, size=SIZE)
    over_frequency = running_median(magnitude.T, size=SIZE).T
    stop = min(start + SECTION, n_frames)
    for at in range(start, stop, BLOCK):
        frames = slice(at, min(at + BLOCK, stop))
        # over_time**2 / (over_time**2 + over_frequency**2); one half where both are zero.
        lasting, broad = over_time[frames], np.ascontiguousarray(over_frequency[frames])
        larger = np.maximum(lasting, broad)
        is_silent = larger < np.finfo(np.float32).tiny
        larger[is_silent] = 1
        mask = np.square(lasting / larger)
        with np.errstate(invalid="ignore"):
            mask /= mask + np.square(broad / larger)
        mask[is_silent] = 0.5
        phased, whole = spectra[frames], magnitude[frames]
        harmonic, turned = mask * whole, np.empty_like(phased)
        nonzero = whole if whole.all() else whole + (whole == 0)
        np.multiply(phased.real / nonzero, harmonic, out=turned.real)
        np.multiply(phased.imag / nonzero, harmonic, out=turned.imag)
        yield at, turned


def running_median(matrix: Matrix, *, size: int) -> Matrix:
    """As ``scipy.ndimage.median_filter(matrix, size=(size, 1), mode="reflect")`` gives it; 2**k - 1 rows."""
    n_rows, n_columns = matrix.shape
    group = (size + 1) // 2
    n_groups = -(-n_rows // group)
    # One row more in front than the window reaches, so that row t of the matrix is row t + group
    # of the padded one and every block starts at a multiple of its own length.
    padding = ((group, n_groups * group - n_rows + group), (0, 0))
    medians = np.empty((n_groups, group, n_columns), dtype=np.float32)
    width = max(1, CHUNK // (n_groups * group))
    for start in range(0, n_columns, width):
        columns = slice(start, start + width)
        padded = np.pad(matrix[:, columns], padding, mode="symmetric")
        rows = padded.reshape(n_groups + 2, group, -1).swapaxes(0, 1).copy()
        # Aligned blocks of 1, 2, 4 … neighbours, sorted: ``blocks[length][which][rank]``, each of
        # all groups, so that one step serves them all.
        blocks = {1: [[row] for row in rows]}
        while (length := max(blocks)) < group:
            pairs = zip(blocks[length][::2], blocks[length][1::2], strict=True)
            blocks[2 * length] = [_sort_bitonic(rising + other[::-1]) for rising, other in pairs]
        core = [rank[1 : 1 + n_groups] for rank in blocks[group][0]]
        _descend(core, blocks, offset=0, medians=medians[:, :, columns])
    return medians.reshape(-1, n_columns)[:n_rows]


def _descend(
    candidates: list[Matrix], blocks: dict[int, list[list[Matrix]]], *, offset: int, medians: Matrix
) -> None:
    """Write the medians of neighbouring rows of every group, from row `offset` on."""
    n_groups, group = medians.shape[:2]
    if len(candidates) == 1:
        medians[:, offset] = candidates[0]
        return
    half = len(candidates) // 2
    # In padded rows: the first half's windows begin `half` rows before the common rows, the second's
    # end as many after them.
    for start, first in ((offset + half, offset), (offset + 2 * group, offset + half)):
        shift, row = divmod(start, group)
        block = [rank[shift : shift + n_groups] for rank in blocks[half][row // half]]
        # Batcher's half-cleaner, twice: keep the 2 * half lowest of all, then the highest half of those.
        cleaned = map(np.minimum, candidates[half:], block[::-1])
        upper = _sort_bitonic(list(map(np.maximum, candidates[:half], cleaned)))
        _descend(upper, blocks, offset=first, medians=medians)


def _sort_bitonic(values: list[Matrix]) -> list[Matrix]:
    """Sort a sequence that rises and then falls, or the reverse."""
    if len(values) == 1:
        return values
    half = len(values) // 2
    low = list(map(np.minimum, values[:half], values[half:]))
    high = list(map(np.maximum, values[:half], values[half:]))
    return _sort_bitonic(low) + _sort_bitonic(high)
