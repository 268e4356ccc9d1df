"""Sums per speaker give the discriminants that the clips themselves give."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from emoscope.modelfile import log_softmax
from research.sufficient_statistics import IMPOSSIBLE, SufficientStatistics

N_COLUMNS = 12


def data(n_emotions: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.arange(160) % n_emotions
    speakers = np.repeat([f"s{n}" for n in range(8)], 20)
    corpora = np.repeat(["a", "b"], 80)
    x = rng.normal(size=(160, N_COLUMNS)) @ rng.normal(size=(N_COLUMNS, N_COLUMNS))
    x += 3 * np.eye(N_COLUMNS)[labels] + 100
    return x.astype(np.float32), labels, speakers, corpora


@pytest.mark.parametrize("shrinkage", [0.2, 0.8])
def test_one_corpus_is_plain_discriminant_analysis(shrinkage: float) -> None:
    x, labels, speakers, corpora = data()
    chosen = [f"s{n}" for n in range(4)]
    rows = np.isin(speakers, chosen)
    form = SufficientStatistics([x], labels, speakers, corpora, 3).discriminants(
        chosen, [shrinkage]
    )[0]
    standardised = (x - x[rows].mean(axis=0)) / x[rows].std(axis=0)
    oracle = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage, priors=[1 / 3] * 3)
    # scikit-learn weights the emotions' covariances by the priors; here the clips count equally.
    counts = np.bincount(labels[rows])
    assert counts.max() - counts.min() <= 1
    expected = oracle.fit(standardised[rows], labels[rows]).predict_proba(standardised)
    np.testing.assert_allclose(np.exp(log_softmax(form.logits(x))), expected, atol=0.01)


def test_against_least_squares_over_the_clips() -> None:
    """Two corpora, two copies: emotion and corpus effects as a regression over all clips."""
    x, labels, speakers, corpora = data()
    copy = (1.1 * x + 2).astype(np.float32)
    form = SufficientStatistics([x, copy], labels, speakers, corpora, 3).discriminants(
        sorted(set(speakers)), [0.5]
    )[0]
    rows = np.concatenate([x, copy]).astype(float)
    mean, std = rows.mean(axis=0), rows.std(axis=0)
    z = (rows - mean) / std
    second = np.tile(corpora == "b", 2)
    design = np.column_stack([np.eye(3)[np.tile(labels, 2)], np.where(second, 0.5, -0.5)])
    effects = np.linalg.lstsq(design, z, rcond=None)[0]
    residual = z - design @ effects
    covariance = residual.T @ residual / len(z)
    shrunk = 0.5 * covariance + 0.5 * np.trace(covariance) / N_COLUMNS * np.eye(N_COLUMNS)
    offsets = effects[:3] - effects[:3].mean(axis=0)
    coefficients = np.linalg.solve(shrunk, offsets.T)
    bias = -0.5 * (coefficients.T * offsets).sum(axis=1) - effects[:3].mean(axis=0) @ coefficients
    np.testing.assert_allclose(form.mean, mean, rtol=1e-4)
    np.testing.assert_allclose(form.scale, std, rtol=1e-3)
    np.testing.assert_allclose(form.weights, coefficients, atol=2e-3 * np.abs(coefficients).max())
    np.testing.assert_allclose(form.bias, bias, atol=0.01)


def test_what_a_corpus_adds_is_left_out() -> None:
    """Moving one corpus moves no decision within it, even when it lacks an emotion."""
    x, labels, speakers, corpora = data()
    labels = np.where((corpora == "b") & (labels == 2), 1, labels)
    moved = x + np.where(corpora == "a", 3, -3)[:, None].astype(np.float32)
    everyone = sorted(set(speakers))
    one, two = (
        SufficientStatistics([values], labels, speakers, corpora, 3).discriminants(everyone, [0.5])[
            0
        ]
        for values in (x, moved)
    )
    # in units of the columns, not of their standard deviations
    np.testing.assert_allclose(
        (two.weights / two.scale[:, None]).argmax(axis=0),
        (one.weights / one.scale[:, None]).argmax(axis=0),
    )
    agree = one.logits(x).argmax(axis=1) == two.logits(x).argmax(axis=1)
    assert agree.mean() > 0.9


def test_an_emotion_nobody_shows_is_impossible() -> None:
    x, labels, speakers, corpora = data()
    form = SufficientStatistics([x], labels, speakers, corpora, 5).discriminants(
        ["s0", "s1"], [0.5]
    )[0]
    assert form.bias[3] == form.bias[4] == np.float32(IMPOSSIBLE)
    assert (form.logits(x).argmax(axis=1) < 3).all()
