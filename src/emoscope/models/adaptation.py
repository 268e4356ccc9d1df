"""Standardising on unlabelled clips of one speaker, or of the recordings at hand.

A voice, a microphone and a room move every feature of a clip by about as much as an emotion does.
No label is used, but clips of the test speaker are, so a figure measured this way carries the
suffix ``+speaker-adapted`` or ``+corpus-adapted``. The model is trained on such features, too; what
one that was not makes of several clips of a source is in :mod:`emoscope.models.offsets`.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted

from ..errors import ProtocolError, UnknownNameError
from ..protocols import ADAPTATIONS

if TYPE_CHECKING:
    import pandas as pd

    from ..features.table import Features

Array = NDArray[np.float32]
Indices = NDArray[np.intp]
Fold = tuple[Indices, Indices]

# Relative to the largest value of a column; a column that does not vary becomes 0.
SMALLEST_SCALE = 1e-6


class BatchStandardiser(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Standardises on a batch of clips, carefully when there are few.

    As if ``prior_clips`` clips of mean 0 and variance 1 had been seen, which the input is expected
    to have on the training data: one clip alone then stays nearly as it is.
    """

    def __init__(self, prior_clips: float = 4.0) -> None:
        self.prior_clips = prior_clips

    def fit(self, X: ArrayLike, y: Any = None) -> BatchStandardiser:
        """Learn from the unlabelled clips of one group."""
        values = check_array(X, dtype=np.float64)
        weight = len(values) / (len(values) + self.prior_clips)
        self.mean_ = weight * values.mean(axis=0)
        variance = weight * ((values - self.mean_) ** 2).mean(axis=0) + (1.0 - weight)
        largest = np.abs(values).max(axis=0)
        floor = SMALLEST_SCALE * np.maximum(largest, np.finfo(np.float32).tiny)
        self.scale_ = np.maximum(np.sqrt(variance), floor)
        return self

    def transform(self, X: ArrayLike) -> Array:
        """Standardise clips of the same group."""
        check_is_fitted(self, "mean_")
        values = check_array(X, dtype=np.float64)
        return np.asarray((values - self.mean_) / self.scale_, dtype=np.float32)


def standardise(X: Array, groups: NDArray[Any], *, prior_clips: float = 0.0) -> Array:
    """Standardise every column on the clips of each group."""
    result = np.empty_like(X, dtype=np.float32)
    for group in np.unique(groups):
        rows = groups == group
        result[rows] = BatchStandardiser(prior_clips).fit_transform(X[rows])
    return result


def adapt(features: Features, table: pd.DataFrame, adaptation: str) -> Features:
    """Features standardised as the suffix of a protocol says; frames over all frames of a group."""
    if adaptation not in ADAPTATIONS:
        raise UnknownNameError("adaptation", adaptation, ADAPTATIONS)
    if adaptation == "speaker-adapted":
        unknown = int((table["speaker"] == "").sum())
        if unknown:
            raise ProtocolError(
                f"'+speaker-adapted' needs the speaker of every clip; {unknown} of {len(table)} "
                "have none"
            )
        groups = table["unique_speaker"].to_numpy(dtype=str)
    else:
        groups = table["corpus"].to_numpy(dtype=str)
    if features.X is not None:
        return dataclasses.replace(features, X=standardise(features.X, groups))
    frames = list(features.frames or [])
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        standardiser = BatchStandardiser(0.0).fit(np.concatenate([frames[row] for row in rows]))
        for row in rows:
            frames[row] = standardiser.transform(frames[row])
    return dataclasses.replace(features, frames=frames)
