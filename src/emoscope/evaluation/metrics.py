"""Scores of predictions: recall, accuracy, F1, confusion and calibration.

``y_true`` and ``y_pred`` have one emotion name per clip; ``probabilities`` is ``(n_clips, n_emotions)``,
its columns in the order of ``emotions``. Scores are fractions in [0, 1]. The main one is the unweighted
average recall (UAR): frequent emotions do not count more than rare ones.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import sklearn.metrics
from numpy.typing import ArrayLike, NDArray

from ..files import sentence

SUM_TOLERANCE = 1e-3  # of a row of probabilities, read back from a text file with six digits


def uar(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Unweighted average recall (B. Schuller et al., Interspeech 2009): mean recall of true emotions."""
    true, predicted = check_pair(y_true, y_pred)
    mean = {"labels": np.unique(true), "average": "macro", "zero_division": 0.0}
    return float(sklearn.metrics.recall_score(true, predicted, **mean))


def accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Share of clips recognised, in [0, 1]; errors as for :func:`uar`."""
    true, predicted = check_pair(y_true, y_pred)
    return float(np.mean(true == predicted))


def macro_f1(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Mean over emotions that are given or predicted of F1, as scikit-learn and EmoBox have it."""
    true, predicted = check_pair(y_true, y_pred)
    return float(sklearn.metrics.f1_score(true, predicted, average="macro", zero_division=0.0))


def confusion(y_true: ArrayLike, y_pred: ArrayLike, *, emotions: Sequence[str]) -> pd.DataFrame:
    """How many clips of each emotion (rows) were given which name (columns)."""
    true, predicted = check_pair(y_true, y_pred)
    names = _names(true, predicted, emotions)
    counts = sklearn.metrics.confusion_matrix(true, predicted, labels=names)
    return pd.DataFrame(counts, names, names).rename_axis(index="emotion", columns="predicted")


def per_emotion(y_true: ArrayLike, y_pred: ArrayLike, *, emotions: Sequence[str]) -> pd.DataFrame:
    """``precision, recall, f1, support`` (clips) of each emotion; a share of nothing is zero."""
    true, predicted = check_pair(y_true, y_pred)
    names = _names(true, predicted, emotions)
    scores = sklearn.metrics.precision_recall_fscore_support(
        true, predicted, labels=names, zero_division=0.0
    )
    columns = dict(zip(("precision", "recall", "f1", "support"), scores, strict=True))
    return pd.DataFrame(columns, index=pd.Index(names, name="emotion"))


def reliability(
    y_true: ArrayLike, probabilities: ArrayLike, *, emotions: Sequence[str], bins: int = 15
) -> pd.DataFrame:
    """Confidence against how often it was right: the reliability curve.

    One row per bin of equal width over [0, 1] that holds a clip: ``low`` and ``high`` (open below),
    mean ``confidence``, ``accuracy`` and ``clips`` (count). (C. Guo, G. Pleiss, Y. Sun, K.
    Weinberger. On calibration of modern neural networks. ICML 2017.)
    """
    true, names = _labels(y_true, "y_true"), np.asarray(list(emotions), dtype=str)
    p = np.asarray(probabilities, dtype=np.float64)
    if p.shape != (len(true), len(names)):
        raise ValueError(sentence("wrong_shape", shape=p.shape, n=len(true), of=len(names)))
    if unknown := sorted(set(true) - set(names)):
        raise ValueError(f"emotions lacks {', '.join(unknown)}, which occur in y_true")
    # Written so that NaN fails as well.
    valid = (p >= 0).all(axis=1) & (np.abs(p.sum(axis=1) - 1.0) <= SUM_TOLERANCE)
    if not valid.all():
        first = p[row := int(valid.argmin())]
        raise ValueError(sentence("no_probabilities", row=row, sum=first.sum(), least=first.min()))
    confidence, right = p.max(axis=1), names[p.argmax(axis=1)] == true
    edges = np.linspace(0.0, 1.0, bins + 1)
    # Bins are open below and closed above, as in the paper.
    bin_of = np.clip(np.searchsorted(edges, confidence) - 1, 0, bins - 1)
    rows = {"low": edges[bin_of], "high": edges[bin_of + 1], "confidence": confidence}
    held = pd.DataFrame({**rows, "accuracy": right.astype(float)}).groupby(["low", "high"])
    return held.mean().assign(clips=held.size()).reset_index()


def expected_calibration_error(
    y_true: ArrayLike, probabilities: ArrayLike, *, emotions: Sequence[str]
) -> float:
    """Mean gap between confidence and accuracy over the bins of :func:`reliability`: the ECE.

    M. P. Naeini et al., Obtaining well calibrated probabilities using Bayesian binning, AAAI 2015.
    """
    curve = reliability(y_true, probabilities, emotions=emotions)
    gap = (curve["accuracy"] - curve["confidence"]).abs()
    return float(np.average(gap, weights=curve["clips"]))


def by_group(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """``clips, uar, accuracy`` of the predictions with each value of a column, e.g. each speaker."""
    pairs = {value: (part["emotion"], part["predicted"]) for value, part in rows.groupby(column)}
    parts = {value: (len(p[0]), uar(*p), accuracy(*p)) for value, p in pairs.items()}
    return pd.DataFrame.from_dict(parts, orient="index", columns=["clips", "uar", "accuracy"])


def check_pair(y_true: ArrayLike, y_pred: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    """Both as arrays of text; ValueError when they are empty, incomplete or of unlike length."""
    true, predicted = _labels(y_true, "y_true"), _labels(y_pred, "y_pred")
    if len(true) != len(predicted):
        raise ValueError(sentence("not_same_clips", true=len(true), predicted=len(predicted)))
    return true, predicted


def _labels(values: ArrayLike, name: str) -> NDArray[Any]:
    labels = np.asarray(values)
    if labels.ndim != 1 or labels.size == 0:
        raise ValueError(sentence("no_labels_given", name=name, shape=labels.shape))
    missing = pd.isna(labels)
    if missing.any():
        where = {"n": int(missing.sum()), "of": labels.size, "first": int(missing.argmax())}
        raise ValueError(sentence("lacks_emotions", name=name, **where))
    return labels.astype(str)


def _names(true: NDArray[Any], predicted: NDArray[Any], emotions: Sequence[str]) -> list[str]:
    if left_out := [str(name) for name in np.union1d(true, predicted) if name not in emotions]:
        raise ValueError(sentence("unlisted", left=", ".join(left_out), given=", ".join(emotions)))
    return list(emotions)
