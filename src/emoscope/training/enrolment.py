"""A second head for recordings that come several at a time, and how many it takes.

Embeddings standardised on the clips of one speaker (:mod:`emoscope.models.adaptation`) want a classifier
trained on embeddings standardised in the same way. :func:`fit_head` trains it and measures, on
training speakers that the head had not heard, from how many clips on it is better than the plain
model; ``predict`` uses it by itself only from there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from ..evaluation import metrics
from ..modelfile.card import AdaptedHead
from ..models.adaptation import BatchStandardiser, standardise
from . import calibration
from .linear import linear_form

Array = NDArray[np.float32]
Indices = NDArray[np.intp]
Fold = tuple[Indices, Indices]

SIZES = (2, 4, 8, 16, 32, 64)
"""Clips per batch that are tried."""
GAIN = 0.01
"""UAR that adaptation must bring before it is used unasked."""
NEVER = 1_000_000
SMALLEST_SHARE = 0.5
"""Of the clips, that a batch size must leave to measure on."""


def fit_head(
    estimator: Any,
    standardised: Array,
    emotions: NDArray[Any],
    speakers: NDArray[Any],
    folds: list[Fold],
    plain: NDArray[np.float64],
    *,
    seed: int = 0,
) -> tuple[AdaptedHead, list[dict[str, float]]]:
    """Train the head for adapted embeddings and measure from how many clips on it helps.

    Parameters
    ----------
    estimator : unfitted linear classifier
        See :func:`emoscope.training.linear.linear_form`.
    standardised : ndarray of float32, shape (n_clips, width)
        Embeddings as the graph gives them.
    emotions, speakers : ndarray of str, shape (n_clips,)
    folds : list of (train, test) index arrays
        Speaker-disjoint.
    plain : ndarray of float, shape (n_clips, n_emotions)
        Logits of the plain model on the same folds.
    seed : int
        Draws the batches.

    Returns
    -------
    head : AdaptedHead
    curve : list of dict
        Per batch size ``clips``, ``uar`` adapted, ``plain`` UAR of the same clips.
    """
    classes, labels = np.unique(emotions, return_inverse=True)
    batches = {size: _batches(speakers, size, seed) for size in SIZES}
    logits = {size: np.full_like(plain, np.nan) for size in SIZES}
    for train, test in folds:
        head = clone(estimator).fit(
            standardise(standardised[train], speakers[train]), emotions[train]
        )
        columns = np.searchsorted(classes, head.classes_)
        for size, found in batches.items():
            for batch in found:
                if np.isin(batch, test).all():
                    given = BatchStandardiser().fit_transform(standardised[batch])
                    logits[size][np.ix_(batch, columns)] = head.predict_log_proba(given)
    curve = []
    for size, adapted in logits.items():
        heard = np.isfinite(adapted).all(axis=1)
        # Speakers with fewer clips than a batch are not measured; the rest must be most of them.
        if heard.mean() >= SMALLEST_SHARE:
            uar, plain_uar = (
                metrics.uar(emotions[heard], classes[values[heard].argmax(axis=1)])
                for values in (adapted, plain)
            )
            curve.append({"clips": size, "uar": uar, "plain": plain_uar})
    whole = clone(estimator).fit(standardise(standardised, speakers), emotions)
    form = linear_form(whole)
    assert form is not None
    largest = logits[max(int(point["clips"]) for point in curve)] if curve else plain
    heard = np.isfinite(largest).all(axis=1)
    head = AdaptedHead(
        weights=form.weights / form.scale[:, None],
        bias=np.asarray(form.bias - (form.mean / form.scale) @ form.weights, np.float32),
        temperature=calibration.temperature(largest[heard], labels[heard]),
        minimum_clips=_smallest_that_helps(curve),
    )
    return head, curve


def _batches(speakers: NDArray[Any], size: int, seed: int) -> list[Indices]:
    """Clips of every speaker in random batches of one size; what is left over is in none."""
    rng = np.random.default_rng(seed)
    found: list[Indices] = []
    for speaker in np.unique(speakers):
        clips = rng.permutation(np.flatnonzero(speakers == speaker))
        found += list(clips[: len(clips) // size * size].reshape(-1, size))
    return found


def _smallest_that_helps(curve: list[dict[str, float]]) -> int:
    """The smallest batch from which on every measured size gains :data:`GAIN`."""
    helping = NEVER
    for point in reversed(curve):
        if point["uar"] < point["plain"] + GAIN:
            break
        helping = int(point["clips"])
    return helping
