"""Stacked discriminants: one discriminant per feature, weights from speakers left out."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.preprocessing import StandardScaler

from emoscope.errors import ModelError
from emoscope.models.discriminants import (
    LIMIT,
    ShrinkageLDA,
    StackedLDA,
    _weights,
    discriminants,
)


def clips(seed=0, n=240, noise_columns=60):
    """Three columns that tell the emotion, and many that do not; eight speakers."""
    rng = np.random.default_rng(seed)
    y = np.tile(np.array(["angry", "calm", "sad"]), n // 3)
    speakers = np.repeat(np.arange(8), n // 8)
    told = np.eye(3)[np.unique(y, return_inverse=True)[1]] * 1.5
    told = told + rng.normal(size=(n, 3))
    X = np.hstack([told, rng.normal(size=(n, noise_columns))])
    return X.astype(np.float32), y, speakers


def test_several_shrinkages_at_once_equal_one_at_a_time():
    X, y, _ = clips()
    labels = np.unique(y, return_inverse=True)[1]
    for shrinkage, (coef, intercept) in zip(
        (0.1, 0.6, 1.0), discriminants(X.astype(float), labels, (0.1, 0.6, 1.0)), strict=True
    ):
        alone = ShrinkageLDA(shrinkage).fit(X, y)
        np.testing.assert_allclose(alone.coef_, coef)
        np.testing.assert_allclose(alone.intercept_, intercept)


def test_one_block_is_a_discriminant_with_a_temperature():
    X, y, speakers = clips(noise_columns=5)
    model = StackedLDA().fit(X, y, speakers)
    scaled = np.clip(StandardScaler().fit_transform(X), -LIMIT, LIMIT)
    oracle = LinearDiscriminantAnalysis(
        solver="lsqr", shrinkage=model.shrinkages_[0], priors=[1 / 3] * 3
    ).fit(scaled, y)
    logits = oracle.decision_function(scaled) * model.weights_[0]
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(model.predict_proba(X), expected, atol=1e-4)


def test_a_block_that_tells_nothing_gets_little_weight():
    X, y, speakers = clips()
    model = StackedLDA(blocks=[3, 60]).fit(X, y, speakers)
    assert model.weights_[0] > 3 * model.weights_[1]
    test, truth, _ = clips(seed=1)
    together = StackedLDA().fit(X, y, speakers)
    assert (model.predict(test) == truth).mean() >= (together.predict(test) == truth).mean()


def test_the_weights_are_the_most_likely_ones():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 3, 200)
    good = 2 * np.eye(3)[labels] + rng.normal(size=(200, 3))
    outside = np.stack([good, rng.normal(size=(200, 3)) * 3])

    def loss(weights):
        logits = np.tensordot(weights, outside, 1)
        logits -= np.log(np.exp(logits).sum(1, keepdims=True))
        pull = ((np.log(weights) + 0.5 * np.log(2)) ** 2).sum()
        return -logits[np.arange(200), labels].mean() + 0.002 * pull

    best = _weights(outside, labels)
    around = [best * np.exp(step) for step in rng.normal(0, 0.05, (50, 2))]
    assert loss(best) <= min(map(loss, around)) + 1e-9


def test_it_repeats_and_clones():
    X, y, speakers = clips()
    first, second = (clone(StackedLDA([3, 60])).fit(X, y, speakers) for _ in range(2))
    assert first.predict_proba(X).tobytes() == second.predict_proba(X).tobytes()
    np.testing.assert_allclose(first.predict_proba(X).sum(1), 1)


def test_blocks_that_do_not_add_up():
    X, y, speakers = clips()
    with pytest.raises(ModelError, match=r"make 50; there are 63"):
        StackedLDA(blocks=[3, 47]).fit(X, y, speakers)


def test_without_speakers_and_with_an_emotion_of_one_speaker():
    X, y, speakers = clips()
    assert StackedLDA([3, 60]).fit(X, y).predict(X).shape == (240,)
    y = np.where(speakers == 0, "bored", y)
    model = StackedLDA([3, 60]).fit(X, y, speakers)
    assert set(model.classes_) == {"angry", "bored", "calm", "sad"}
