"""What models share: held-out speakers, the log transform, scaling, adaptation."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, OneToOneFeatureMixin, TransformerMixin
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_is_fitted, has_fit_parameter, validate_data

from ..errors import ModelError, ProtocolError, check_known
from ..features.table import Features
from ..files import sentence
from ..protocols import ADAPTATIONS, grouped


def distinct(y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """The emotions, sorted, and the position of each clip's; a ModelError if there is only one."""
    check_classification_targets(y)
    emotions, labels = np.unique(y, return_inverse=True)
    if len(emotions) < 2:
        raise ModelError(f"all clips are '{emotions[0]}': one class; training needs two emotions")
    return emotions, labels


def recall(y: NDArray[Any], predicted: NDArray[Any]) -> float:
    """Mean recall of the emotions that occur (UAR), whatever else is predicted."""
    return float(np.mean([np.mean(predicted[y == emotion] == emotion) for emotion in np.unique(y)]))


# By UAR, for on unseen voices the loss turns upwards long before the recognition does.
SMOOTHED_EPOCHS = 10  # UAR on a few speakers jumps by points from one epoch to the next


def best_epoch(history: Sequence[Mapping[str, float]]) -> int:
    """The epoch, from 1, that ends the :data:`SMOOTHED_EPOCHS` of highest mean ``valid_uar``."""
    uar = np.array([row["valid_uar"] for row in history])
    width = min(SMOOTHED_EPOCHS, len(uar))
    return int(np.convolve(uar, np.full(width, 1 / width), mode="valid").argmax()) + width


def held_out(
    y: ArrayLike, groups: ArrayLike | None, *, seed: int, fraction: float = 0.2
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Clips to learn from and clips set aside, whole speakers where `groups` names several.

    Without speakers, the only clip of an emotion is among those to learn from.
    """
    y = np.asarray(y)
    labels, inverse, counts = np.unique(y, return_inverse=True, return_counts=True)
    if counts.max() < 2:
        raise ModelError("each emotion has 1 training clip; early stopping needs 2 of one at least")
    speakers = np.unique(np.asarray(groups)) if groups is not None else np.array([])
    if len(speakers) < 2:
        several = np.flatnonzero(counts[inverse] > 1)
        n_validate = max(round(fraction * len(y)), int((counts > 1).sum()))
        split = StratifiedShuffleSplit(1, test_size=n_validate, random_state=seed)
        validate = several[next(split.split(several, y[several]))[1]]
        learn = np.setdiff1d(np.arange(len(y)), validate)
    else:
        n_parts = min(max(round(1 / fraction), 2), len(speakers), int(counts.max()))
        first = grouped(y, np.asarray(groups), n_parts, seed)[0]
        learn, validate = first.train, first.test
    return np.sort(learn), np.sort(validate)


SMALLEST_FLOOR = 1e-12  # digital silence has energy 0; this is 120 dB below full scale


def learn_floor(grids: NDArray[Any]) -> NDArray[np.float32]:
    """What to add to a column before its logarithm: the 1 % quantile; NaN where values are negative."""
    values = grids.reshape(-1, grids.shape[-1])
    quiet = np.maximum(np.quantile(values, 0.01, axis=0), SMALLEST_FLOOR)
    return np.where(values.min(axis=0) >= 0, quiet, np.nan).astype(np.float32)


def log_levels(grids: NDArray[Any], floor: NDArray[np.float32]) -> NDArray[Any]:
    """``log(max(value, 0) + floor)`` where the column has a floor, else the value."""
    as_it_is = np.isnan(floor)
    if as_it_is.all():
        return grids
    logarithms = np.log(np.maximum(grids, 0) + np.where(as_it_is, np.float32(1), floor))
    return np.where(as_it_is, grids, logarithms)


class LogLevels(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """:func:`log_levels` as a step of a pipeline; ``floor_`` is that of :func:`learn_floor`."""

    def fit(self, X: ArrayLike, y: object = None) -> "LogLevels":
        """Learn the floor of each column."""
        self.floor_ = learn_floor(validate_data(self, X, dtype=np.float64))
        return self

    def transform(self, X: ArrayLike) -> NDArray[np.float64]:
        """Logarithms where a column has a floor, shape (n_clips, n_columns)."""
        check_is_fitted(self, "floor_")
        return log_levels(validate_data(self, X, dtype=np.float64, reset=False), self.floor_)


def learn_scaling(grids: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation of each column of (n_clips, rows, columns); never 0."""
    mean = grids.mean((0, 1), dtype=np.float64)
    std = grids.std((0, 1), dtype=np.float64)
    return mean.astype(np.float32), np.where(std > 0, std, 1).astype(np.float32)


class Model(ClassifierMixin, BaseEstimator, ABC):  # type: ignore[misc]
    """A classifier that predicts its most probable emotion."""

    classes_: NDArray[Any]

    @abstractmethod
    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probability of each emotion, shape (n_clips, n_classes)."""

    def predict(self, X: Any) -> NDArray[Any]:
        """The most probable emotion of each clip, shape (n_clips,)."""
        best = self.predict_proba(X).argmax(axis=1)  # first: it checks that the model is fitted
        return np.asarray(self.classes_[best])


def weight_parameter(estimator: Any) -> str | None:
    """The keyword of ``fit`` for weights of clips, of a pipeline's last step; None without one."""
    name, last = getattr(estimator, "steps", [("", estimator)])[-1]
    if not has_fit_parameter(last, "sample_weight"):
        return None
    return f"{name}__sample_weight" if name else "sample_weight"


def by_share(shares: pd.DataFrame) -> tuple[NDArray[np.intp], NDArray[Any], NDArray[np.float64]]:
    """Positions, classes and weights of clips: each once for each class of which it has a share."""
    values = shares.to_numpy(dtype=np.float64)
    clips, classes = np.nonzero(values)
    return clips, np.asarray(shares.columns, dtype=str)[classes], values[clips, classes]


# Relative to the largest value of a column; a column that does not vary becomes 0.
SMALLEST_SCALE = 1e-6


def adapt(features: Features, table: pd.DataFrame, adaptation: str) -> Features:
    """Features standardised as the suffix of a protocol says; frames over all frames of a group.

    A voice, a microphone and a room move every feature of a clip by about as much as an emotion does.
    No label is used, but clips of the test speaker are: hence the suffix. For a model trained without
    it see :mod:`emoscope.models.offsets`.
    """
    check_known("adaptation", ADAPTATIONS, adaptation)
    if adaptation == "speaker-adapted":
        if unknown := int((table["speaker"] == "").sum()):
            raise ProtocolError(sentence("adapts_unknown", n=unknown, of=len(table)))
        groups = table["unique_speaker"].to_numpy(dtype=str)
    else:
        groups = table["corpus"].to_numpy(dtype=str)
    clips = [values if features.X is None else values[np.newaxis] for values in features.values]
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        values = check_array(np.concatenate([clips[row] for row in rows]), dtype=np.float64)
        largest = np.maximum(np.abs(values).max(axis=0), np.finfo(np.float32).tiny)
        mean, scale = values.mean(axis=0), np.maximum(values.std(axis=0), SMALLEST_SCALE * largest)
        for row in rows:
            clips[row] = np.asarray((clips[row] - mean) / scale, dtype=np.float32)
    if features.X is None:
        return dataclasses.replace(features, frames=clips)
    return dataclasses.replace(features, X=np.concatenate(clips))
