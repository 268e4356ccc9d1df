"""Running medians of matrices, exact and fast without compiled code.

A window of ``2**k - 1`` rows slides along the first axis. Neighbouring windows share almost all of
their rows, so the work is shared too: aligned blocks of 2, 4, 8 … rows are sorted once, a group of
``2**(k-1)`` neighbouring medians starts from the sorted rows that all of its windows contain, and
the group is then halved again and again; each half merges in the one sorted block that only its
windows contain and forgets the rows that can no longer be the median. Every step is an element-wise minimum
or maximum of whole matrices, which NumPy runs at memory speed: for 31 rows about 25 passes over the
data instead of sorting 31 values for each of its elements.

Merging is by bitonic networks: K. E. Batcher, "Sorting networks and their applications", AFIPS
Spring Joint Computer Conference 32, 1968, pp. 307-314.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]


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
    width = size + 1
    if size < 3 or width & size:
        raise ValueError(f"size is {size}; the window must have 2**k - 1 rows: 3, 7, 15, 31 …")
    n_rows, n_columns = matrix.shape
    group = width // 2
    n_groups = -(-n_rows // group)
    # One row more in front than the window reaches, so that every block starts at a multiple of
    # its own length: row t of the matrix is row t + group of the padded one.
    padded = np.pad(matrix, ((group, n_groups * group - n_rows + group), (0, 0)), mode="symmetric")
    runs = _sorted_runs(padded, group)
    medians = np.empty((n_groups * group, n_columns), dtype=np.float32)
    core = [rank[1 : 1 + n_groups] for rank in runs[group]]
    _descend(core, runs, offset=0, group=group, medians=medians)
    return medians[:n_rows]


def _sorted_runs(padded: Matrix, longest: int) -> dict[int, list[Matrix]]:
    """Aligned blocks of 1, 2, 4 … rows, sorted: ``runs[length][rank][block]``."""
    runs = {1: [padded]}
    length = 1
    while length < longest:
        shorter = runs[length]
        n_blocks = len(shorter[0]) // 2 * 2
        first = [rank[0:n_blocks:2] for rank in shorter]
        second = [rank[1:n_blocks:2] for rank in shorter]
        length *= 2
        runs[length] = _sort_bitonic(first + second[::-1])
    return runs


def _sort_bitonic(values: list[Matrix]) -> list[Matrix]:
    """Sort a sequence that rises and then falls (or the reverse), element by element."""
    if len(values) == 1:
        return values
    half = len(values) // 2
    pairs = list(zip(values[:half], values[half:], strict=True))
    low = [np.minimum(a, b) for a, b in pairs]
    high = [np.maximum(a, b) for a, b in pairs]
    return _sort_bitonic(low) + _sort_bitonic(high)


def _descend(
    candidates: list[Matrix],
    runs: dict[int, list[Matrix]],
    *,
    offset: int,
    group: int,
    medians: Matrix,
) -> None:
    """Write the medians of every group of ``group`` neighbouring rows that starts at ``offset``.

    ``candidates`` are the rows common to all windows of a group that can still be a median, sorted:
    as many as the group has windows. They are the upper end of the values known so far, because
    each of the ``group - 1`` values yet to come can push the median up or down by one rank.
    """
    stride = max(runs)
    n_groups = len(candidates[0])
    if group == 1:
        medians[offset::stride] = candidates[0]
        return
    half = group // 2
    # The first half of the windows begins `half` rows before the common rows, the second ends
    # `half` rows after them; in padded rows these blocks start at:
    for start, at in ((offset + half, offset), (offset + 2 * stride, offset + half)):
        first, step = start // half, stride // half
        block = [rank[first::step][:n_groups] for rank in runs[half]]
        _descend(_upper(candidates, block), runs, offset=at, group=half, medians=medians)


def _upper(candidates: list[Matrix], block: list[Matrix]) -> list[Matrix]:
    """Ranks n+1 … 2n of the union of 2n sorted candidates and a sorted block of n."""
    n = len(block)
    # Batcher's half-cleaner, twice: keep the 2n lowest of the 3n, then the n highest of those.
    lowest = candidates[:n] + [
        np.minimum(a, b) for a, b in zip(candidates[n:], block[::-1], strict=True)
    ]
    return _sort_bitonic([np.maximum(a, b) for a, b in zip(lowest[:n], lowest[n:], strict=True)])
