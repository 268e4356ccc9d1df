"""Shrinkage LDA against scikit-learn's, in both of its regimes."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from emoscope.models.discriminants import ShrinkageLDA


def data(n_columns: int, n_clips: int = 90) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = np.repeat(["angry", "happy", "sad"], n_clips // 3)
    mixing = rng.normal(size=(n_columns, n_columns)) / np.sqrt(n_columns)
    x = rng.normal(size=(n_clips, n_columns)) @ mixing
    return x + rng.normal(0, 0.3, (3, n_columns)).repeat(n_clips // 3, axis=0), y


@pytest.mark.parametrize("shrinkage", [0.1, 0.7, 1.0])
@pytest.mark.parametrize("n_columns", [10, 200])
def test_equals_scikit_learns(n_columns: int, shrinkage: float) -> None:
    x, y = data(n_columns)
    ours = ShrinkageLDA(shrinkage).fit(x, y)
    theirs = LinearDiscriminantAnalysis(
        solver="eigen", shrinkage=shrinkage, priors=[1 / 3] * 3
    ).fit(x, y)
    np.testing.assert_allclose(ours.predict_proba(x), theirs.predict_proba(x), atol=1e-6)
    assert (ours.predict(x) == theirs.predict(x)).all()


def test_rare_emotions_count_as_much_as_common_ones() -> None:
    """Repeating the clips of one emotion changes nothing."""
    x, y = data(20)
    repeated = np.concatenate([np.arange(90), np.tile(np.arange(30), 3)])
    few, many = ShrinkageLDA().fit(x, y), ShrinkageLDA().fit(x[repeated], y[repeated])
    np.testing.assert_allclose(few.coef_, many.coef_, rtol=1e-6)


@pytest.mark.parametrize("shrinkage", [0.0, -1.0, 1.1])
def test_shrinkage_outside_its_range_is_refused(shrinkage: float) -> None:
    with pytest.raises(ValueError, match="shrinkage"):
        ShrinkageLDA(shrinkage).fit(*data(5))
