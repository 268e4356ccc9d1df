"""Confidence that means something: a temperature, and a rule for saying 'uncertain'.

Both are fitted on clips of speakers whom the model that judged them had not heard; a network's own
training clips would make it look surer than it is on anybody else.

Source: Guo et al., "On calibration of modern neural networks", ICML 2017; El-Yaniv & Wiener, "On
the foundations of noise-free selective classification", JMLR 11, 2010 (coverage and risk).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .card import Uncertain

Logits = NDArray[np.float64]
Indices = NDArray[np.intp]

COVERAGE = 0.8
"""Share of unheard speakers' clips that should get a label without reservation."""
_LOWEST, _HIGHEST = -3.0, 3.0
"""Natural logarithms of the temperatures searched: 0.05 to 20."""


def log_softmax(logits: Logits) -> Logits:
    """Logarithms of the probabilities, row by row."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def log_loss(logits: Logits, labels: Indices, temperature: float = 1.0) -> float:
    """Mean negative log-probability of the right emotion, in nats."""
    chosen = log_softmax(logits / temperature)[np.arange(len(labels)), labels]
    return float(-chosen.mean())


def temperature(logits: Logits, labels: Indices) -> float:
    """The temperature that makes held-out labels most probable.

    Parameters
    ----------
    logits : ndarray of float, shape (n_clips, n_emotions)
        Of unheard speakers.
    labels : ndarray of int, shape (n_clips,)
        Column of the right emotion.

    Returns
    -------
    float
        0.05 to 20; probabilities are ``softmax(logits / temperature)``.
    """
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(
        lambda logarithm: log_loss(logits, labels, float(np.exp(logarithm))),
        bounds=(_LOWEST, _HIGHEST),
        method="bounded",
    )
    return float(np.exp(found.x))


def cross_fitted(logits: Logits, labels: Indices, tests: Sequence[Indices]) -> Logits:
    """Calibrated log-probabilities in which no fold's labels served for its own temperature.

    Parameters
    ----------
    logits, labels
        As for :func:`temperature`.
    tests : sequence of index arrays
        The clips of each fold.
    """
    result = log_softmax(logits)
    for test in tests:
        others = np.setdiff1d(np.concatenate(tests), test)
        result[test] = log_softmax(logits[test] / temperature(logits[others], labels[others]))
    return result


def uncertain(
    log_probabilities: Logits, labels: Indices, *, coverage: float = COVERAGE
) -> Uncertain:
    """The rule that leaves the given share of clips certain, with the share of them that is wrong.

    Parameters
    ----------
    log_probabilities : ndarray of float, shape (n_clips, n_emotions)
        Calibrated, of unheard speakers.
    labels : ndarray of int, shape (n_clips,)
    coverage : float
        In (0, 1].
    """
    confidence = np.exp(log_probabilities.max(axis=1))
    threshold = float(np.quantile(confidence, 1.0 - coverage))
    certain = confidence >= threshold
    wrong = log_probabilities.argmax(axis=1) != labels
    return Uncertain(
        threshold=threshold, coverage=float(certain.mean()), risk=float(wrong[certain].mean())
    )
