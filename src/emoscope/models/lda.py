"""Linear discriminant analysis with a shrunken covariance, fast when columns outnumber clips.

Embeddings of speech encoders have thousands of columns and a corpus has about as many clips, so the
covariance within emotions cannot be inverted as it is: it is pulled towards a multiple of the
identity. With fewer clips than columns everything is computed in the space of the clips, in a
hundredth of the time that scikit-learn's solver takes on 4608 columns.

Source: Friedman, "Regularized discriminant analysis", JASA 84(405), 1989; the shrinkage is defined
as in :class:`sklearn.discriminant_analysis.LinearDiscriminantAnalysis`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from .base import ModelInfo, decisions, need_several

Matrix = NDArray[np.float64]

SMALLEST_VARIANCE = 1e-9
"""Relative to the largest; directions below it are rounding."""


class ShrinkageLDA(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Linear discriminant analysis in which every emotion is as likely as any other beforehand.

    Parameters
    ----------
    shrinkage : float
        In (0, 1]: the covariance is ``(1 - shrinkage) * S + shrinkage * trace(S) / n_columns * I``.

    Attributes
    ----------
    classes_ : ndarray
        Emotions, sorted.
    coef_ : ndarray of float, shape (n_classes, n_columns)
    intercept_ : ndarray of float, shape (n_classes,)
        ``X @ coef_.T + intercept_`` are log-probabilities up to a constant per clip.
    """

    def __init__(self, shrinkage: float = 0.7) -> None:
        self.shrinkage = shrinkage

    def fit(self, X: ArrayLike, y: ArrayLike) -> ShrinkageLDA:
        """Learn the means of the emotions and their common covariance.

        Raises
        ------
        ValueError
            When `shrinkage` is outside (0, 1], or there is a single emotion.
        """
        if not 0 < self.shrinkage <= 1:
            raise ValueError(f"shrinkage is {self.shrinkage}; it must lie in (0, 1]")
        values: Matrix
        values, emotions = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(emotions)
        self.classes_, labels = np.unique(emotions, return_inverse=True)
        need_several(self.classes_)
        [(self.coef_, self.intercept_)] = discriminants(values, labels, [self.shrinkage])
        return self

    def _scores(self, X: ArrayLike) -> Matrix:
        """Log-probabilities up to a constant per clip, shape (n_clips, n_classes)."""
        check_is_fitted(self, "coef_")
        values: Matrix = validate_data(self, X, dtype=np.float64, reset=False)
        scores: Matrix = values @ self.coef_.T + self.intercept_
        return scores

    def decision_function(self, X: ArrayLike) -> Matrix:
        """Log-probabilities up to a constant per clip, shape (n_clips, n_classes).

        Of two emotions, how much likelier the second is, shape (n_clips,).
        """
        return decisions(self._scores(X))

    def predict_proba(self, X: ArrayLike) -> Matrix:
        """Probability of each emotion, shape (n_clips, n_classes)."""
        probabilities: Matrix = softmax(self._scores(X), axis=1)
        return probabilities

    def predict_log_proba(self, X: ArrayLike) -> Matrix:
        """Logarithms of :meth:`predict_proba`, finite for every clip."""
        scores = self._scores(X)
        scores -= scores.max(axis=1, keepdims=True)
        logarithms: Matrix = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        return logarithms

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """The most probable emotion of each clip, shape (n_clips,)."""
        best = self._scores(X).argmax(axis=1)
        chosen: NDArray[Any] = self.classes_[best]
        return chosen


def discriminants(
    X: Matrix, labels: NDArray[np.intp], shrinkages: Sequence[float]
) -> list[tuple[Matrix, Matrix]]:
    """Coefficients (n_classes, n_columns) and intercepts (n_classes,) for each shrinkage.

    All of them cost little more than one: the covariance is taken apart once.

    Parameters
    ----------
    X : ndarray of float64, shape (n_clips, n_columns)
    labels : ndarray of int, shape (n_clips,)
        0 to ``n_classes - 1``, each of them present.
    shrinkages : sequence of float
        In (0, 1].
    """
    means = np.stack([X[labels == n].mean(axis=0) for n in range(int(labels.max()) + 1)])
    variances, directions = _principal(_centred(X, labels, means))
    common = variances.sum() / X.shape[1]
    centre = means.mean(axis=0)
    offsets = means - centre
    along = offsets @ directions.T
    found = []
    for shrinkage in shrinkages:
        shrunk = (1.0 - shrinkage) * variances + shrinkage * common
        rest = max(shrinkage * common, np.finfo(np.float64).tiny)
        # The inverse covariance: 1 / shrunk along the principal directions, 1 / rest across them.
        coefficients = (along * (1.0 / shrunk - 1.0 / rest)) @ directions + offsets / rest
        intercepts = -0.5 * (coefficients * offsets).sum(axis=1) - coefficients @ centre
        found.append((coefficients, intercepts))
    return found


def _centred(X: Matrix, labels: NDArray[np.intp], means: Matrix) -> Matrix:
    """Clips less their emotion's mean, scaled so that every emotion counts the same."""
    counts = np.bincount(labels)
    weights = 1.0 / np.sqrt(counts * len(counts))
    centred: Matrix = (X - means[labels]) * weights[labels, np.newaxis]
    return centred


def _principal(centred: Matrix) -> tuple[Matrix, Matrix]:
    """Variances and orthonormal directions (n_directions, n_columns) of ``centred.T @ centred``."""
    n_clips, n_columns = centred.shape
    if n_clips >= n_columns:
        variances, vectors = np.linalg.eigh(centred.T @ centred)
        return np.maximum(variances, 0.0), vectors.T
    variances, vectors = np.linalg.eigh(centred @ centred.T)
    kept = variances > SMALLEST_VARIANCE * max(variances[-1], np.finfo(np.float64).tiny)
    variances, vectors = variances[kept], vectors[:, kept]
    return variances, (vectors / np.sqrt(variances)).T @ centred


def build(seed: int) -> Pipeline:
    """The only form there is; nothing in it is random."""
    return Pipeline([("scale", StandardScaler()), ("lda", ShrinkageLDA())])


MEMBERS = {
    "lda": ModelInfo(
        "lda",
        "Linear discriminant analysis",
        "vector",
        build,
        build,
        search={"lda__shrinkage": [0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9]},
    )
}
