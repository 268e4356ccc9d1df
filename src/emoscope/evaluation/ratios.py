"""Scores as means of ratios of counts that add up over speakers.

UAR, accuracy and macro F1 are each a mean of ratios whose numerators and denominators are sums over
speakers. So a resample of speakers is one product of matrices, and the standard error has a closed
form, that of a mean of ratios with speakers as clusters.

Conventions: ``top`` and ``bottom`` are the numerators and denominators, ``(n_speakers, n_ratios)``;
``weights`` says how often each resample holds each speaker, ``(n_resamples, n_speakers)``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import metrics

Array = NDArray[np.float64]
Metric = Callable[[ArrayLike, ArrayLike], float]


def _recalls(counts: Array) -> tuple[Array, Array]:
    return np.diagonal(counts, axis1=1, axis2=2), counts.sum(axis=2)


def _hits(counts: Array) -> tuple[Array, Array]:
    top, bottom = _recalls(counts)
    return top.sum(axis=1, keepdims=True), bottom.sum(axis=1, keepdims=True)


def _f1(counts: Array) -> tuple[Array, Array]:
    right, true = _recalls(counts)
    return 2.0 * right, true + counts.sum(axis=1)


#: The metrics known here: each gives, from the confusion counts of every speaker (n_speakers, true,
#: predicted), the numerators and denominators (n_speakers, n_ratios) whose sums over speakers make
#: the ratios that the metric averages.
METRICS: Mapping[Metric, Callable[[Array], tuple[Array, Array]]] = {
    metrics.uar: _recalls,
    metrics.accuracy: _hits,
    metrics.macro_f1: _f1,
}


def parts(
    y_true: ArrayLike, y_pred: ArrayLike, speakers: ArrayLike, metric: Metric
) -> tuple[Array, Array]:
    """Numerators and denominators of the metric's ratios, per speaker."""
    if metric not in METRICS:
        known = ", ".join(m.__name__ for m in METRICS)
        raise ValueError(f"no interval or test is known for {metric!r}; known metrics: {known}")
    true, predicted = metrics.check_pair(y_true, y_pred)
    names, of_clip = np.unique(np.asarray(speakers).astype(str), return_inverse=True)
    if of_clip.shape != true.shape:
        raise ValueError(
            f"speakers has shape {of_clip.shape} and y_true {true.shape}; "
            "one speaker per clip is needed"
        )
    if len(names) < 2:
        raise ValueError(f"at least two speakers are needed to compare; found {len(names)}")
    emotions, codes = np.unique(np.concatenate([true, predicted]), return_inverse=True)
    shape = (len(names), len(emotions), len(emotions))
    cells = np.ravel_multi_index((of_clip, codes[: len(true)], codes[len(true) :]), shape)
    counts = np.bincount(cells, minlength=int(np.prod(shape))).reshape(shape).astype(np.float64)
    top, bottom = METRICS[metric](counts)
    occurs = bottom.sum(axis=0) > 0
    return top[:, occurs], bottom[:, occurs]


def score(top: Array, bottom: Array) -> Array:
    """Mean of the ratios along the last axis; a resample without an emotion leaves it out."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.nanmean(top / bottom, axis=-1))


def influences(weights: Array, top: Array, bottom: Array) -> Array:
    """How much each speaker moves the score of each resample, (n_resamples, n_speakers)."""
    tops, bottoms = weights @ top, weights @ bottom
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = np.where(bottoms > 0, 1.0 / bottoms, 0.0)
    n_ratios = (bottoms > 0).sum(axis=1, keepdims=True)
    return np.asarray((inverse @ top.T - (tops * inverse**2) @ bottom.T) / n_ratios)


def spread(weights: Array, influence: Array) -> Array:
    """Standard error of each resample's score from the influences; shape (n_resamples,)."""
    n = weights.shape[1]
    return np.asarray(np.sqrt(n / (n - 1) * (weights * influence**2).sum(axis=1)))


def resamples(n_speakers: int, n_resamples: int, seed: int) -> Array:
    """How often each speaker is drawn in each resample."""
    rng = np.random.default_rng(seed)
    share = np.full(n_speakers, 1.0 / n_speakers)
    return rng.multinomial(n_speakers, share, n_resamples).astype(np.float64)
