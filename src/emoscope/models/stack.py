"""A stack: one linear discriminant for each feature, their log-probabilities added with weights.

Features that differ in number of columns and in what they hear (openSMILE's 6373 functionals, an
encoder's block, 193 means) do badly side by side in one matrix: the widest drowns the others. Here
each has its own discriminant, and what each is worth is learned from training speakers that its
discriminant has not heard. How strongly each covariance is shrunk is chosen on the same speakers.

Source of the idea: Wolpert, "Stacked generalization", Neural Networks 5(2), 1992.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import recall_score
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.preprocessing import StandardScaler
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from ..errors import ModelError
from .base import ModelInfo, decisions, need_several
from .lda import discriminants

Matrix = NDArray[np.float64]

FARTHEST = 5.0
"""Standard deviations beyond which a value counts as this far: functionals have heavy tails."""
_WEIGHT_RANGE = (-5.0, 2.0)  # of the logarithms of the weights
_PULL = 0.002  # towards equal weights, which few clips cannot better


class StackedLDA(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A discriminant for each block of columns, and a weight for each block.

    Parameters
    ----------
    blocks : sequence of int, optional
        Columns of each feature, in their order; by default all columns are one block.
    shrinkages : sequence of float
        What is tried, in (0, 1]; see :class:`~emoscope.models.lda.ShrinkageLDA`.
    n_inner : int
        Parts that the training speakers are divided into.

    Attributes
    ----------
    classes_ : ndarray
        Emotions, sorted.
    shrinkages_ : list of float
        Chosen for each block: the highest UAR on training speakers left out.
    weights_ : ndarray of float, shape (n_blocks,)
        What each block's log-probabilities are multiplied with: most likely on training speakers
        left out.
    chosen_ : dict
        Both, for a result to record.
    """

    def __init__(
        self,
        blocks: Sequence[int] | None = None,
        shrinkages: Sequence[float] = (0.05, 0.2, 0.5, 0.8, 0.9),
        n_inner: int = 4,
    ) -> None:
        self.blocks = blocks
        self.shrinkages = shrinkages
        self.n_inner = n_inner

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> StackedLDA:
        """Choose on training speakers left out, then learn from all.

        Parameters
        ----------
        X : array-like, shape (n_clips, n_columns)
        y : array-like, shape (n_clips,)
            Emotions.
        groups : array-like, shape (n_clips,), optional
            Speaker of each clip; without, clips are left out regardless of speaker.

        Raises
        ------
        ModelError
            When the blocks do not add up to the columns.
        ValueError
            When there is a single emotion, or one has a single clip.
        """
        values, emotions = validate_data(self, X, y, dtype=np.float32)
        check_classification_targets(emotions)
        self.classes_, labels = np.unique(emotions, return_inverse=True)
        need_several(self.classes_)
        self._slices()
        folds = list(self._inner(labels, groups))
        outside, self.shrinkages_ = [], []
        for block in self._slices():
            logits, shrinkage = self._left_out(values[:, block], labels, folds)
            outside.append(logits)
            self.shrinkages_.append(shrinkage)
        self.weights_ = _weights(np.stack(outside), labels)
        self.chosen_ = {"shrinkages": self.shrinkages_, "weights": self.weights_.tolist()}
        self.parts_ = [
            _Part(values[:, block], labels, [shrinkage])
            for block, shrinkage in zip(self._slices(), self.shrinkages_, strict=True)
        ]
        return self

    def _slices(self) -> list[slice]:
        widths = [self.n_features_in_] if self.blocks is None else list(self.blocks)
        if sum(widths) != self.n_features_in_:
            raise ModelError(
                f"blocks of {widths} columns make {sum(widths)}; there are {self.n_features_in_}"
            )
        ends = np.cumsum(widths)
        return [slice(int(end - width), int(end)) for width, end in zip(widths, ends, strict=True)]

    def _inner(
        self, labels: NDArray[np.intp], groups: ArrayLike | None
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Clips to learn from and clips left out; whole speakers where there are enough."""
        speakers = None if groups is None else np.asarray(groups)
        if speakers is not None and len(np.unique(speakers)) >= 2:
            n_parts = min(self.n_inner, len(np.unique(speakers)))
            parts = StratifiedGroupKFold(n_parts, shuffle=True, random_state=0)
            splits = parts.split(labels, labels, speakers)
        else:
            n_parts = max(2, min(self.n_inner, int(np.bincount(labels).min())))
            splits = StratifiedKFold(n_parts, shuffle=True, random_state=0).split(labels, labels)
        for learn, left in splits:
            # A part whose speakers alone show an emotion teaches nothing about it.
            if len(np.unique(labels[learn])) == len(self.classes_):
                yield learn, left

    def _left_out(
        self,
        X: NDArray[np.float32],
        labels: NDArray[np.intp],
        folds: Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]],
    ) -> tuple[Matrix, float]:
        """Log-probabilities (n_clips, n_classes) of clips left out, and the best shrinkage."""
        even = -np.log(len(self.classes_))
        logits = np.full((len(self.shrinkages), len(X), len(self.classes_)), even)
        for learn, left in folds:
            part = _Part(X[learn], labels[learn], self.shrinkages)
            logits[:, left] = part.log_probabilities(X[left])
        uar = [recall_score(labels, one.argmax(axis=1), average="macro") for one in logits]
        best = int(np.argmax(uar))
        return logits[best], float(self.shrinkages[best])

    def decision_function(self, X: ArrayLike) -> Matrix:
        """Log-probabilities up to a constant per clip, shape (n_clips, n_classes).

        Of two emotions, how much likelier the second is, shape (n_clips,).
        """
        return decisions(self._scores(X))

    def _scores(self, X: ArrayLike) -> Matrix:
        """Log-probabilities up to a constant per clip, shape (n_clips, n_classes)."""
        check_is_fitted(self, "weights_")
        values = validate_data(self, X, dtype=np.float32, reset=False)
        total: Matrix = np.zeros((len(values), len(self.classes_)))
        for weight, part, block in zip(self.weights_, self.parts_, self._slices(), strict=True):
            total += weight * part.log_probabilities(values[:, block])[0]
        return total

    def combined(self) -> tuple[Matrix, Matrix, Matrix, Matrix]:
        """All blocks as one linear classifier of clipped columns.

        Returns
        -------
        mean, scale : ndarray, shape (n_columns,)
        weights : ndarray, shape (n_columns, n_classes)
        bias : ndarray, shape (n_classes,)
            ``clip((X - mean) / scale, -FARTHEST, FARTHEST) @ weights + bias`` is
            :meth:`decision_function` up to a constant per clip.
        """
        check_is_fitted(self, "weights_")
        each = [part.linear() for part in self.parts_]
        mean, scale = (np.concatenate([one[n] for one in each]) for n in (0, 1))
        weights = [w * one[2].T for w, one in zip(self.weights_, each, strict=True)]
        bias = sum(w * one[3] for w, one in zip(self.weights_, each, strict=True))
        return mean, scale, np.concatenate(weights), np.asarray(bias)

    def predict_log_proba(self, X: ArrayLike) -> Matrix:
        """Logarithms of :meth:`predict_proba`."""
        return np.asarray(log_softmax(self._scores(X), axis=1))

    def predict_proba(self, X: ArrayLike) -> Matrix:
        """Probability of each emotion, shape (n_clips, n_classes)."""
        probabilities: Matrix = np.exp(self.predict_log_proba(X))
        return probabilities

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """The most probable emotion of each clip, shape (n_clips,)."""
        best = self._scores(X).argmax(axis=1)
        chosen: NDArray[Any] = self.classes_[best]
        return chosen


class _Part:
    """The discriminants of one block, one for each shrinkage."""

    def __init__(
        self, X: NDArray[np.float32], labels: NDArray[np.intp], shrinkages: Sequence[float]
    ) -> None:
        self._scaler = StandardScaler().fit(X)
        self._discriminants = discriminants(self._scaled(X), labels, shrinkages)

    def _scaled(self, X: NDArray[np.float32]) -> Matrix:
        scaled = self._scaler.transform(X).astype(np.float64)
        return np.asarray(np.clip(scaled, -FARTHEST, FARTHEST))

    def linear(self) -> tuple[Matrix, Matrix, Matrix, Matrix]:
        """Mean and scale of the columns, coefficients and intercepts of the first shrinkage."""
        coefficients, intercepts = self._discriminants[0]
        return self._scaler.mean_, self._scaler.scale_, coefficients, intercepts

    def log_probabilities(self, X: NDArray[np.float32]) -> Matrix:
        """Shape (n_shrinkages, n_clips, n_classes)."""
        scaled = self._scaled(X)
        logits = [scaled @ coef.T + intercept for coef, intercept in self._discriminants]
        return np.asarray(log_softmax(np.stack(logits), axis=2))


def _weights(outside: Matrix, labels: NDArray[np.intp]) -> NDArray[np.float64]:
    """Weights under which the emotions of clips left out are most likely; (n_blocks,)."""
    rows = np.arange(len(labels))
    equal = np.full(len(outside), -0.5 * np.log(len(outside)))

    def loss(logarithms: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights = np.exp(logarithms)
        logits = np.tensordot(weights, outside, axes=1)
        log_probabilities = log_softmax(logits, axis=1)
        error = np.exp(log_probabilities)
        error[rows, labels] -= 1.0
        slope = weights * np.tensordot(outside, error, axes=2) / len(labels)
        away = logarithms - equal
        value = -log_probabilities[rows, labels].mean() + _PULL * (away**2).sum()
        return float(value), slope + 2 * _PULL * away

    bounds = [_WEIGHT_RANGE] * len(equal)
    found = minimize(loss, equal, jac=True, method="L-BFGS-B", bounds=bounds)
    return np.asarray(np.exp(found.x))


def build(seed: int) -> StackedLDA:
    """The only form there is; nothing in it is random."""
    return StackedLDA()


MEMBERS = {"stack": ModelInfo("stack", "Stacked discriminants", "vector", build, build)}
