"""What models do to their input before they learn from it.

The energies of mel bands differ from voice to voice by factors, not by sums, and a model that is
given them as they are sees the loudest clips only: logarithms serve every model that scales.

Columns run along the last axis; everything is learned per column.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

# Energies of digital silence are exactly zero; this is 120 dB below a full-scale power of 1.
SMALLEST_FLOOR = 1e-12


def learn_floor(grids: NDArray[Any]) -> NDArray[np.float32]:
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


def levels(grids: NDArray[Any], floor: NDArray[np.float32]) -> NDArray[Any]:
    """``log(max(value, 0) + floor)`` where the column has a floor, else the value."""
    kept = np.isnan(floor)
    if kept.all():
        return grids
    logarithms = np.log(np.maximum(grids, 0) + np.where(kept, np.float32(1), floor))
    return np.where(kept, grids, logarithms)


class Levels(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """:func:`levels` as a step of a pipeline.

    Attributes
    ----------
    floor_ : ndarray of float32, shape (n_columns,)
        See :func:`learn_floor`.
    """

    def fit(self, X: ArrayLike, y: object = None) -> Levels:
        """Learn the floor of each column."""
        self.floor_ = learn_floor(validate_data(self, X, dtype=np.float64))
        return self

    def transform(self, X: ArrayLike) -> NDArray[np.float64]:
        """Logarithms where a column has a floor, shape (n_clips, n_columns)."""
        check_is_fitted(self, "floor_")
        values = validate_data(self, X, dtype=np.float64, reset=False)
        return levels(values, self.floor_)


def learn_scaling(grids: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation of each column of (n_clips, rows, columns); never 0."""
    mean = grids.mean((0, 1), dtype=np.float64)
    spread = grids.std((0, 1), dtype=np.float64)
    return mean.astype(np.float32), np.where(spread > 0, spread, 1).astype(np.float32)
