"""What the networks do to their input before they learn from it.

Arrays are ``(n_clips, rows, columns)``; everything is learned per column.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Energies of digital silence are exactly zero; this is 120 dB below a full-scale power of 1.
SMALLEST_FLOOR = 1e-12


def learn_floor(grids: NDArray[np.float32]) -> NDArray[np.float32]:
    """What to add to a column before its logarithm is taken.

    Returns
    -------
    ndarray of float32, shape (columns,)
        The hundredth part of the values lies below it; NaN for a column that is sometimes negative,
        of which no logarithm is taken.
    """
    values = grids.reshape(-1, grids.shape[-1])
    quiet = np.maximum(np.quantile(values, 0.01, axis=0), SMALLEST_FLOOR)
    return np.where(values.min(axis=0) >= 0, quiet, np.nan).astype(np.float32)


def levels(grids: NDArray[np.float32], floor: NDArray[np.float32]) -> NDArray[np.float32]:
    """``log(max(value, 0) + floor)`` where the column has a floor, else the value."""
    kept = np.isnan(floor)
    if kept.all():
        return grids
    logarithms = np.log(np.maximum(grids, 0) + np.where(kept, np.float32(1), floor))
    return np.where(kept, grids, logarithms)


def learn_scaling(grids: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation of each column; 1 for a column that never changes."""
    mean = grids.mean((0, 1), dtype=np.float64)
    spread = grids.std((0, 1), dtype=np.float64)
    return mean.astype(np.float32), np.where(spread > 0, spread, 1).astype(np.float32)
