"""Support vector machines: linear, and with a radial basis function.

libsvm's own probabilities (Platt scaling on folds drawn at random) would mix speakers inside
training; :class:`VotingSVC` gives the softmax of the votes instead.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax
from sklearn.svm import SVC

from .onnx_graph import from_sklearn


class VotingSVC(SVC):  # type: ignore[misc]  # scikit-learn has no type hints
    """:class:`sklearn.svm.SVC` that also gives class scores; its predictions are SVC's own."""

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Softmax of the one-vs-rest decision values; with ``break_ties`` the largest is predicted."""
        decision = self.decision_function(X)
        if decision.ndim == 1:
            decision = np.column_stack([-decision, decision])
        return np.asarray(softmax(decision, axis=1))

    def to_onnx(self) -> Any:
        """The decision values: their softmax is :meth:`predict_proba`."""
        return from_sklearn(self, known_as=SVC, scores=True)
