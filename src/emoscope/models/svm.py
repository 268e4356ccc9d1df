"""Support vector machines: linear, and with a radial basis function.

libsvm's own probabilities (Platt scaling on folds drawn at random) would mix speakers inside
training; :class:`VotingSVC` gives the softmax of the votes instead.
"""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from . import ModelInfo
from .base import LogLevels, seeded
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


def build(seed: int, **parameters: Any) -> Pipeline:
    """The default form: energies as logarithms, columns standardised, emotions balanced."""
    svc = VotingSVC(class_weight="balanced", break_ties=True, random_state=seed, **parameters)
    return Pipeline([("levels", LogLevels()), ("scale", StandardScaler()), ("svm", svc)])


# As published: raw columns, whose ranges differ by six orders of magnitude.
MEMBERS = {
    "svm": ModelInfo(
        "svm",
        "linear support vector machine",
        "vector",
        partial(build, kernel="linear", C=0.1),
        seeded(VotingSVC, kernel="linear", C=1.0),
        search={"svm__C": [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0]},
    ),
    "svm-rbf": ModelInfo(
        "svm-rbf",
        "support vector machine, RBF kernel",
        "vector",
        partial(build, kernel="rbf", C=10.0),
        seeded(VotingSVC, kernel="rbf"),
        search={
            "svm__C": [0.3, 1.0, 3.0, 10.0, 30.0],
            "svm__gamma": ["scale", 0.0003, 0.001, 0.003, 0.01],
        },
    ),
}
