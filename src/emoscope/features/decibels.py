"""Decibels as librosa gives them: with a least power and a limited range."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEAST = 1e-10
"""Powers below count as this: -100 dB."""

RANGE = 80.0
"""Values lie within so many decibels below the largest."""


def decibels(power: NDArray[np.float32]) -> NDArray[np.float32]:
    """``10 log10`` of each power, at least :data:`LEAST`, within :data:`RANGE` of the largest.

    Parameters
    ----------
    power : ndarray of float32 [shape=(...)]
        Not negative, not empty.

    Returns
    -------
    ndarray of float32 [shape=(...)]
    """
    # The natural logarithm is the one that NumPy vectorises.
    level = np.log(np.maximum(power, np.float32(LEAST)))
    level *= np.float32(10 / np.log(10))
    return np.asarray(np.maximum(level, level.max() - np.float32(RANGE)))
