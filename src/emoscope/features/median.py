"""Running medians of matrices, exact and fast without compiled code.

A window of ``2**k - 1`` rows slides along the first axis. Neighbouring windows share almost all of
their rows, so the work is shared too: aligned blocks of 2, 4, 8 … rows are sorted once, a group of
``2**(k-1)`` neighbouring medians starts from the sorted rows that all of its windows contain, and
the group is then halved again and again; each half merges in the one sorted block that only its
windows contain and forgets the rows that can no longer be the median. Every step is an element-wise
minimum or maximum of whole matrices, which NumPy runs at memory speed: for 31 rows about 25 passes
over the data instead of sorting 31 values for each of its elements.

Merging is by bitonic networks: K. E. Batcher, "Sorting networks and their applications", AFIPS
Spring Joint Computer Conference 32, 1968, pp. 307-314.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]

CHUNK = 2**18
"""Values processed at a time: 1 MiB, with their sorted blocks 6 MiB."""


def running_median(matrix: Matrix, *, size: int = 31) -> Matrix:
    """Median of the ``size`` rows around each row; rows beyond the ends are mirrored.

    Parameters
    ----------
    matrix : ndarray of float32 [shape=(n_rows, n_columns)]
        At least one row; any length, also shorter than the window.
    size : int
        Rows in the window: ``2**k - 1``, at least 3.

    Returns
    -------
    ndarray of float32 [shape=(n_rows, n_columns)]
        What ``scipy.ndimage.median_filter(matrix, size=(size, 1), mode="reflect")`` gives.

    Raises
    ------
    ValueError
        When ``size`` is not ``2**k - 1`` with k >= 2.
    """
    if size < 3 or (size + 1) & size:
        raise ValueError(f"size is {size}; the window must have 2**k - 1 rows: 3, 7, 15, 31 …")
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
        blocks = _sorted_blocks(list(rows))
        core = [rank[1 : 1 + n_groups] for rank in blocks[group][0]]
        _descend(core, blocks, offset=0, medians=medians[:, :, columns])
    return medians.reshape(-1, n_columns)[:n_rows]


def _sorted_blocks(rows: list[Matrix]) -> dict[int, list[list[Matrix]]]:
    """Aligned blocks of 1, 2, 4 … neighbours, sorted: ``blocks[length][which][rank]``.

    Row j of every group stands in ``rows[j]``, so that one step serves all groups.
    """
    blocks = {1: [[row] for row in rows]}
    length = 1
    while length < len(rows):
        halves = blocks[length]
        length *= 2
        blocks[length] = [_merge(a, b) for a, b in zip(halves[::2], halves[1::2], strict=True)]
    return blocks


def _merge(first: list[Matrix], second: list[Matrix]) -> list[Matrix]:
    """Batcher's odd-even merge of two sorted sequences of the same length."""
    if len(first) == 1:
        return [np.minimum(first[0], second[0]), np.maximum(first[0], second[0])]
    even = _merge(first[::2], second[::2])
    odd = _merge(first[1::2], second[1::2])
    merged = even[:1]
    for a, b in zip(odd[:-1], even[1:], strict=True):
        merged += [np.minimum(a, b), np.maximum(a, b)]
    return merged + odd[-1:]


def _descend(
    candidates: list[Matrix],
    blocks: dict[int, list[list[Matrix]]],
    *,
    offset: int,
    medians: Matrix,
) -> None:
    """Write the medians of some neighbouring rows of every group, from row ``offset`` on.

    ``candidates`` are the rows common to all windows of these neighbours that can still be a
    median, sorted: as many as there are neighbours. They are the upper end of the values known so
    far, because each of the values yet to come, one fewer, can push the median by one rank.
    """
    n_groups, group = medians.shape[:2]
    if len(candidates) == 1:
        medians[:, offset] = candidates[0]
        return
    half = len(candidates) // 2
    # The windows of the first half begin `half` rows before the common rows, those of the second
    # end `half` rows after them: counted in padded rows, the blocks start at
    for start, first in ((offset + half, offset), (offset + 2 * group, offset + half)):
        shift, row = divmod(start, group)
        block = [rank[shift : shift + n_groups] for rank in blocks[half][row // half]]
        _descend(_upper(candidates, block), blocks, offset=first, medians=medians)


def _upper(candidates: list[Matrix], block: list[Matrix]) -> list[Matrix]:
    """Ranks n+1 … 2n of the union of 2n sorted candidates and a sorted block of n."""
    n = len(block)
    # Batcher's half-cleaner, twice: keep the 2n lowest of the 3n, then the n highest of those.
    cleaned = map(np.minimum, candidates[n:], block[::-1])
    return _sort_bitonic(list(map(np.maximum, candidates[:n], cleaned)))


def _sort_bitonic(values: list[Matrix]) -> list[Matrix]:
    """Sort a sequence that rises and then falls, or the reverse."""
    if len(values) == 1:
        return values
    half = len(values) // 2
    low = list(map(np.minimum, values[:half], values[half:]))
    high = list(map(np.maximum, values[:half], values[half:]))
    return _sort_bitonic(low) + _sort_bitonic(high)
