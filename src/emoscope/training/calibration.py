"""Predictions on unseen speakers, and what a card says about confidence because of them.

Guo et al., "On calibration of modern neural networks", ICML 2017; El-Yaniv & Wiener, "On the
foundations of noise-free selective classification", JMLR 11, 2010 (coverage and risk).
"""

import dataclasses
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import log_softmax

from ..errors import CorpusError
from ..evaluation import metrics
from ..evaluation.engine import fit, rows_of
from ..files import sentence
from ..modelfile.card import Card, OutOfDomainDetector, Uncertain
from ..models import offsets
from ..models.discriminants import principal
from ..models.onnx_graph import SMALLEST_PROBABILITY
from ..protocols import grouped

Embeddings = NDArray[np.float32]
Logits = NDArray[np.float64]
Indices = NDArray[np.intp]
Fold = tuple[Indices, Indices]

INNER_FOLDS = 5
COVERAGE = 0.8  # share of unseen speakers' clips that get a label without reservation, at most
RISK = 0.3  # share of wrong labels among those that are not marked uncertain, at most
FEWEST = 10  # clips that have to pass: of fewer, the share that is wrong is chance
RANK = 32  # directions with a variance of their own in the Gaussian of the detector, at most
QUANTILE = 0.99  # share of unseen training clips that lie within the detector's threshold
_BOUNDS = (-3.0, 3.0)  # natural logarithms of the temperatures searched: 0.05 to 20


@dataclasses.dataclass(frozen=True, eq=False)
class UnseenPredictions:
    """Predictions on training clips by models that have not seen their speakers."""

    folds: list[Fold]
    labels: Indices  # positions in `emotions`
    emotions: tuple[str, ...]
    logits: NDArray[np.float64]  # (n_clips, n_emotions)


def inner_folds(emotions: NDArray[Any], speakers: NDArray[Any], *, seed: int) -> list[Fold]:
    """Speaker-disjoint folds of training clips, balanced over emotions."""
    n_speakers = len(np.unique(speakers))
    n_folds = min(INNER_FOLDS, n_speakers, int(np.unique(emotions, return_counts=True)[1].max()))
    if n_folds < 2:
        raise CorpusError("training needs an emotion with at least two clips; each has one")
    alone = [e for e in np.unique(emotions) if len(np.unique(speakers[emotions == e])) < 2]
    if alone:
        warnings.warn(sentence("one_speaker_alone", emotions=", ".join(alone)), stacklevel=2)
    return [(fold.train, fold.test) for fold in grouped(emotions, speakers, n_folds, seed)]


def cross_val_predict(
    estimator: Any, values: Any, emotions: NDArray[Any], speakers: NDArray[Any],
    shares: pd.DataFrame | None = None, *, seed: int = 0,
) -> UnseenPredictions:  # fmt: skip
    """Predict every training clip by a copy of an estimator that has not seen its speaker."""
    classes, labels = np.unique(emotions, return_inverse=True)
    folds = inner_folds(emotions, speakers, seed=seed)
    logits = np.full((len(emotions), len(classes)), np.log(SMALLEST_PROBABILITY))
    for train, test in folds:
        told = (emotions[train], speakers[train], None if shares is None else shares.iloc[train])
        fitted = fit(estimator, rows_of(values, train), *told)
        found = fitted.predict_proba(rows_of(values, test))
        columns = np.searchsorted(classes, fitted.classes_)
        logits[np.ix_(test, columns)] = np.log(np.maximum(found, SMALLEST_PROBABILITY))
    return UnseenPredictions(folds, labels, tuple(str(name) for name in classes), logits)


def temperature(logits: Logits, labels: Indices) -> float:
    """The temperature, 0.05 to 20, that makes labels of unseen speakers most probable."""
    from scipy.optimize import minimize_scalar

    def loss(logarithm: float) -> float:
        found = log_softmax(logits / np.exp(logarithm), axis=1)
        return float(-found[np.arange(len(labels)), labels].mean())

    return float(np.exp(minimize_scalar(loss, bounds=_BOUNDS, method="bounded").x))


def cross_fitted(logits: Logits, labels: Indices, tests: Sequence[Indices]) -> Logits:
    """Calibrated log-probabilities in which no fold's labels served for its own temperature."""
    result: Logits = log_softmax(logits, axis=1)
    for test in tests:
        others = np.setdiff1d(np.concatenate(tests), test)
        scale = temperature(logits[others], labels[others])
        result[test] = log_softmax(logits[test] / scale, axis=1)
    return result


def uncertain(logits: Logits, labels: Indices, *, lowest: float | None = None) -> Uncertain:
    """The rule that lets most labels pass of which few are wrong; without any such, none.

    None passes below the confidence `lowest`: by default that which :data:`COVERAGE` of the clips reach.
    """
    confidence = np.exp(logits.max(axis=1))
    lowest = float(np.quantile(confidence, 1.0 - COVERAGE)) if lowest is None else lowest
    order = np.argsort(-confidence, kind="stable")
    sure, wrong = confidence[order], (logits.argmax(axis=1) != labels)[order]
    risk = np.cumsum(wrong) / np.arange(1, len(wrong) + 1)
    ends = np.append(np.diff(sure) < 0, True)  # clips of one confidence pass together or not at all
    passed = np.flatnonzero(ends & (risk <= RISK) & (sure >= lowest))
    last = int(passed[-1]) if len(passed) else 0
    if last + 1 < FEWEST:
        return Uncertain(threshold=1.0, coverage=0.0, risk=float(wrong.mean()))
    coverage = (last + 1) / len(wrong)
    return Uncertain(threshold=float(sure[last]), coverage=coverage, risk=float(risk[last]))


def with_offsets(
    card: Card, unseen: UnseenPredictions, speakers: NDArray[Any], corpora: NDArray[Any]
) -> Card:
    """The card with what speakers add to logits, unless that harms; its recipe has the UAR of both."""
    told = (unseen.labels, speakers, corpora)
    prior = offsets.fit(unseen.logits, *told, temperature=card.temperature)
    together = dataclasses.replace(card, offsets=prior)
    labelled = offsets.together(together, unseen.logits, speakers)
    found = [logits.argmax(axis=1).astype(str) for logits in (unseen.logits, labelled)]
    before, after = (metrics.uar(unseen.labels.astype(str), labels) for labels in found)
    recipe = {**card.training.recipe, "together": {"uar_alone": before, "uar": after}}
    training = dataclasses.replace(card.training, recipe=recipe)
    return dataclasses.replace(card if after < before else together, training=training)


def out_of_domain_detector(
    embeddings: Embeddings, folds: Iterable[Fold], *, rank: int = RANK, quantile: float = QUANTILE
) -> OutOfDomainDetector:
    """Fit the detector of recordings far from the training clips, its threshold on unseen ones."""
    held_out = [_gaussian(embeddings[a], rank).distance(embeddings[b]) for a, b in folds]
    whole = _gaussian(embeddings, rank)
    threshold = float(np.quantile(np.concatenate(held_out), quantile))
    return dataclasses.replace(whole, threshold=threshold)


def _gaussian(embeddings: Embeddings, rank: int) -> OutOfDomainDetector:
    mean = embeddings.mean(axis=0, dtype=np.float64)
    centred = embeddings - mean
    n_clips, width = centred.shape
    rank = max(1, min(rank, n_clips - 2, width - 1))
    values, directions = principal(centred / np.sqrt(n_clips))
    values, components = values[::-1][:rank], directions[::-1][:rank]
    total = (centred**2).sum() / n_clips
    residual = max((total - values.sum()) / max(1, width - rank), 1e-6 * total / width, 1e-12)
    return OutOfDomainDetector(
        mean=mean.astype(np.float32),
        components=components.astype(np.float32),
        # A direction that happened to vary less than the rest would make its noise look far.
        variances=np.maximum(values, residual).astype(np.float32),
        residual=float(residual),
        threshold=float("inf"),
    )
