"""The four arrays behind a linear classifier, whatever class it was fitted as."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


@dataclasses.dataclass(frozen=True, eq=False)
class LinearForm:
    """``softmax(((X - mean) / scale) @ weights + bias)`` is the classifier's ``predict_proba``.

    Attributes
    ----------
    mean, scale : ndarray of float32, shape (n_columns,)
    weights : ndarray of float32, shape (n_columns, n_emotions)
    bias : ndarray of float32, shape (n_emotions,)
    """

    mean: Array
    scale: Array
    weights: Array
    bias: Array


def linear_form(fitted: Any) -> LinearForm | None:
    """The arrays of a fitted classifier, or None when it is not linear.

    Parameters
    ----------
    fitted : classifier or Pipeline
        Logistic regression or linear discriminant analysis, alone or after a ``StandardScaler``.
    """
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    from ..models.lda import ShrinkageLDA

    steps = [step for _, step in fitted.steps] if isinstance(fitted, Pipeline) else [fitted]
    *before, last = steps
    if not isinstance(last, (LogisticRegression, LinearDiscriminantAnalysis, ShrinkageLDA)):
        return None
    if len(before) > 1 or not all(isinstance(step, StandardScaler) for step in before):
        return None
    weights, bias = last.coef_.T, last.intercept_
    if weights.shape[1] == 1:
        # One column decides between two emotions; the other's logit is 0.
        weights = np.column_stack([np.zeros_like(weights), weights])
        bias = np.concatenate([np.zeros_like(bias), bias])
    n_columns = weights.shape[0]
    scaler = before[0] if before else None
    mean = getattr(scaler, "mean_", None)
    scale = getattr(scaler, "scale_", None)
    arrays = (
        np.zeros(n_columns) if mean is None else mean,
        np.ones(n_columns) if scale is None else scale,
        weights,
        bias,
    )
    return LinearForm(*(np.asarray(array, dtype=np.float32) for array in arrays))
