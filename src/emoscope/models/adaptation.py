"""Standardising on unlabelled clips of one speaker, or of the recordings at hand.

A voice, a microphone and a room move every feature of a clip by about as much as an emotion does.
No label is used, but clips of the test speaker are, so a figure measured this way carries the
suffix ``+speaker-adapted`` or ``+corpus-adapted``. Such embeddings want a classifier trained on
such embeddings: the second head of a model file, which :func:`fit_head` trains.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils.validation import check_array, check_is_fitted

from ..errors import ProtocolError, UnknownNameError
from ..modelfile.card import AdaptedHead
from ..protocols import ADAPTATIONS
from .onnx_graph import linear_form

if TYPE_CHECKING:
    import pandas as pd

    from ..features.table import Features

Array = NDArray[np.float32]
Double = NDArray[np.float64]
Indices = NDArray[np.intp]
Fold = tuple[Indices, Indices]

# Relative to the largest value of a column; a column that does not vary becomes 0.
SMALLEST_SCALE = 1e-6
BATCH_SIZES = (2, 4, 8, 16, 32, 64)  # clips on which a second head is measured
GAIN = 0.01  # UAR that adaptation must bring before it is used unasked
NEVER = 1_000_000


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


def head_logits(head: AdaptedHead, standardiser: BatchStandardiser, embeddings: Array) -> Array:
    """What a second head says of embeddings of a batch that a standardiser has learned from."""
    return np.asarray(standardiser.transform(embeddings) @ head.weights + head.bias)


def adapted_logits(
    head: AdaptedHead, embeddings: Array, groups: NDArray[Any], *, prior_clips: float = 4.0
) -> Double:
    """What a second head says of embeddings, each group of them standardised on itself."""
    logits = np.empty((len(embeddings), len(head.bias)))
    for group in np.unique(groups):
        rows = groups == group
        batch = embeddings[rows]
        logits[rows] = head_logits(head, BatchStandardiser(prior_clips).fit(batch), batch)
    return logits


def smallest_that_helps(curve: Sequence[Mapping[str, Any]]) -> int:
    """The smallest batch from which on every measurement gains :data:`GAIN`."""
    helping = NEVER
    for size in sorted({int(point["clips"]) for point in curve}, reverse=True):
        points = [point for point in curve if point["clips"] == size]
        if any(point["uar"] < point["plain"] + GAIN for point in points):
            break
        helping = size
    return helping


def fit_head(
    estimator: Any,
    standardised: Array,
    emotions: NDArray[Any],
    speakers: NDArray[Any],
    folds: Sequence[Fold],
    plain: Double,
    *,
    calibrate: Callable[[Double, Indices], float],
    seed: int = 0,
) -> tuple[AdaptedHead, list[dict[str, float]]]:
    """Train the head for adapted embeddings and measure from how many clips on it helps.

    `plain` are the logits of the plain model on speaker-disjoint `folds`; `calibrate` gives a
    temperature for logits and labels. The list has both heads' UAR by number of clips.
    """
    labels = np.unique(emotions, return_inverse=True)[1]
    logits = _unseen_logits(estimator, standardised, emotions, speakers, folds, seed)
    curve = []
    for size, adapted in logits.items():
        measured = np.isfinite(adapted).all(axis=1)
        # Speakers with fewer clips than a batch are not measured; the rest must be most of them.
        if measured.mean() >= 0.5:
            true = labels[measured]
            uar, plain_uar = (_uar(true, values[measured]) for values in (adapted, plain))
            curve.append({"clips": size, "uar": uar, "plain": plain_uar})
    form = linear_form(clone(estimator).fit(standardise(standardised, speakers), emotions))
    assert form is not None
    form = form.relative_to(np.zeros_like(form.mean), np.ones_like(form.scale))
    largest = logits[max(int(point["clips"]) for point in curve)] if curve else plain
    measured = np.isfinite(largest).all(axis=1)
    head = AdaptedHead(
        weights=form.weights,
        bias=form.bias,
        temperature=calibrate(largest[measured], labels[measured]),
        minimum_clips=smallest_that_helps(curve),
    )
    return head, curve


def _uar(labels: Indices, logits: Double) -> float:
    right = logits.argmax(axis=1) == labels
    return float(np.mean([right[labels == label].mean() for label in np.unique(labels)]))


def _unseen_logits(
    estimator: Any,
    standardised: Array,
    emotions: NDArray[Any],
    speakers: NDArray[Any],
    folds: Sequence[Fold],
    seed: int,
) -> dict[int, Double]:
    """By batch size, what heads say of batches of speakers they have not seen; else NaN."""
    classes = np.unique(emotions)
    batches = {size: _batches(speakers, size, seed) for size in BATCH_SIZES}
    logits = {size: np.full((len(emotions), len(classes)), np.nan) for size in BATCH_SIZES}
    for train, test in folds:
        adapted = standardise(standardised[train], speakers[train])
        head = clone(estimator).fit(adapted, emotions[train])
        columns = np.searchsorted(classes, head.classes_)
        for size, drawn in batches.items():
            for batch in drawn:
                if np.isin(batch, test).all():
                    clips = BatchStandardiser().fit_transform(standardised[batch])
                    logits[size][np.ix_(batch, columns)] = head.predict_log_proba(clips)
    return logits


def _batches(speakers: NDArray[Any], size: int, seed: int) -> list[Indices]:
    """Clips of every speaker in random batches of one size; what is left over is in none."""
    rng = np.random.default_rng(seed)
    batches: list[Indices] = []
    for speaker in np.unique(speakers):
        clips = rng.permutation(np.flatnonzero(speakers == speaker))
        batches += list(clips[: len(clips) // size * size].reshape(-1, size))
    return batches
