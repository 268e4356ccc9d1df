"""Multi-layer perceptron of scikit-learn: one hidden layer over the feature vector."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted, validate_data

from . import onnx_graph
from .base import LogLevels, Model, best_epoch, distinct, held_out, recall


class SpeakerStoppedMLP(Model):
    """Perceptron on standardised columns that finds its epochs on held-out training speakers.

    Columns that are never negative become logarithms first.
    """

    def __init__(
        self,
        *,
        hidden: tuple[int, ...] = (300,),  # units of each hidden layer
        alpha: float = 0.1,
        learning_rate: float = 1e-3,
        batch_size: int = 64,
        epochs: int = 100,
        patience: int = 15,  # epochs without a higher held-out UAR before the search ends
        seed: int = 0,
    ) -> None:
        self.hidden = hidden
        self.alpha = alpha
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.epochs = epochs
        self.patience = patience
        self.seed = seed

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> SpeakerStoppedMLP:
        """Train; ``groups`` names the speaker of each clip."""
        checked: tuple[NDArray[Any], NDArray[Any]] = validate_data(self, X, y, dtype=np.float64)
        raw, labels = checked
        self.classes_, _ = distinct(labels)
        learn, validate = held_out(labels, groups, seed=self.seed)
        self.history_: list[dict[str, float]] = []
        scaled = make_pipeline(LogLevels(), StandardScaler()).fit(raw[learn]).transform(raw)
        true = labels[validate]
        _, inverse, counts = np.unique(true, return_inverse=True, return_counts=True)
        weight = 1 / counts[inverse]  # emotions weigh the same
        for net in self._epochs(scaled[learn], labels[learn], self.epochs):
            found = net.predict_proba(scaled[validate])
            loss = log_loss(true, found, labels=self.classes_, sample_weight=weight)
            uar = recall(true, self.classes_[found.argmax(1)])
            row = {"epoch": len(self.history_) + 1, "train_loss": float(net.loss_)}
            row["train_accuracy"] = float(net.score(scaled[learn], labels[learn]))
            self.history_.append({**row, "valid_loss": float(loss), "valid_uar": uar})
            self.best_epoch_ = best_epoch(self.history_)
            if len(self.history_) - self.best_epoch_ >= self.patience:
                break
        self.scaling_ = make_pipeline(LogLevels(), StandardScaler())
        scaled = self.scaling_.fit_transform(raw)
        *_, self.net_ = self._epochs(scaled, labels, self.best_epoch_)
        return self

    def _epochs(self, X: NDArray[Any], y: NDArray[Any], epochs: int) -> Iterator[MLPClassifier]:
        net = MLPClassifier(
            self.hidden,
            alpha=self.alpha,
            learning_rate_init=self.learning_rate,
            batch_size=min(self.batch_size, len(y)),
            random_state=self.seed,
        )
        for _ in range(epochs):
            yield net.partial_fit(X, y, classes=self.classes_)

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Probability of each emotion, shape (n_clips, n_classes)."""
        check_is_fitted(self, "net_")
        raw = validate_data(self, X, dtype=np.float64, reset=False)
        return np.asarray(self.net_.predict_proba(self.scaling_.transform(raw)))

    def to_onnx(self) -> Any:
        """Logarithms, scaling and the perceptron."""
        return onnx_graph.to_onnx(make_pipeline(self.scaling_, self.net_))


class PublishedMLP(MLPClassifier):  # type: ignore[misc]
    """scikit-learn's, without a warning at its last epoch: the published training stops there."""

    def fit(self, X: ArrayLike, y: ArrayLike) -> PublishedMLP:
        """Train as scikit-learn does."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            super().fit(X, y)
        return self

    def to_onnx(self) -> Any:
        """Of its probabilities the logarithms."""
        return onnx_graph.from_sklearn(self, known_as=MLPClassifier)
