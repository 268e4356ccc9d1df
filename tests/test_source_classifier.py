"""The classifier that sources move little, against closed forms."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from emoscope.modelfile import safety
from emoscope.models import onnx_graph
from emoscope.models.onnx_graph import LinearForm
from emoscope.training import export
from research import source_classifier as classifier
from research.familiar import ABSENT, Familiar

torch = pytest.importorskip("torch")


def corpus(seed: int = 0) -> classifier.Clips:
    """Three speakers of two corpora, each with clips of two emotions."""
    rng = np.random.default_rng(seed)
    labels = np.tile([0, 0, 1, 1], 3)
    speakers = np.repeat(["a/1", "a/2", "b/1"], 4)
    corpora = np.repeat(["a", "a", "b"], 4)
    return classifier.Clips(rng.normal(size=(12, 5)), labels, speakers, corpora)


def test_sums_without_noise_are_taken_apart() -> None:
    clips = corpus()
    means, offsets = np.arange(10.0).reshape(2, 5), {"a/1": 1.0, "a/2": -2.0, "b/1": 4.0}
    given = means[clips.labels] + np.array([offsets[s] for s in clips.speakers])[:, np.newaxis]
    exact = classifier.Additive.fit(
        classifier.Clips(given, clips.labels, clips.speakers, clips.corpora)
    )
    # Corpora count alike: their centre is the mean of -0.5 and 4.
    np.testing.assert_allclose(exact.offsets[:, 0], [1 - 1.75, -2 - 1.75, 4 - 1.75], atol=1e-4)
    np.testing.assert_allclose(exact.means, means + 1.75, atol=1e-4)


def test_drawn_offsets_vary_as_those_of_speakers_and_corpora() -> None:
    spread = classifier.Additive.fit(corpus()).spread
    model = classifier.Additive.fit(corpus())
    a = model.offsets[:2]
    within = (a - a.mean(axis=0)).T @ (a - a.mean(axis=0)) / 2 / 2
    centres = np.stack([a.mean(axis=0), model.offsets[2]])
    between = np.cov(centres.T)
    np.testing.assert_allclose(spread.T @ spread, within + between, atol=1e-12)


def test_a_corpus_says_nothing_of_emotions_that_it_lacks() -> None:
    """The gradient of an absent emotion's weights is the penalty's alone: they stay at zero."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(60, 4)).astype(np.float32)
    targets = np.tile([0, 1], 30)
    corpora = np.repeat(["a", "b"], 30)
    targets[30:] = np.tile([0, 1, 2], 10)
    weights, _ = classifier.logistic_regression(values[:30], targets[:30], corpora[:30], 0.01)
    assert weights.shape == (4, 2)
    both, _ = classifier.logistic_regression(values, targets, corpora, 0.01)
    moved = values.copy()
    moved[:30] *= -1  # the corpus without the third emotion
    third = classifier.logistic_regression(moved, targets, corpora, 1e3)[0][:, 2]
    np.testing.assert_allclose(
        third, classifier.logistic_regression(values, targets, corpora, 1e3)[0][:, 2], atol=1e-6
    )
    assert both.shape == (4, 3)


def test_logistic_regression_is_at_its_minimum() -> None:
    """The gradient, written out by hand, vanishes."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=(200, 3)).astype(np.float32)
    targets = rng.integers(0, 3, 200)
    names = np.full(200, "one")
    weights, bias = classifier.logistic_regression(values, targets, names, 0.05)
    logits = values @ weights + bias
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    share = 1.0 / np.bincount(targets)[targets] / 3
    gradient = values.T @ ((p - np.eye(3)[targets]) * share[:, np.newaxis]) + 0.1 * weights
    np.testing.assert_allclose(gradient, 0, atol=1e-3)
    np.testing.assert_allclose(
        ((p - np.eye(3)[targets]) * share[:, np.newaxis]).sum(axis=0), 0, atol=1e-3
    )


def test_the_second_classifier_joins_in_where_its_corpus_lies() -> None:
    """Mean of both logits for familiar clips, the first alone elsewhere; the graph says the same."""
    onnxruntime = pytest.importorskip("onnxruntime")
    rng, width = np.random.default_rng(3), 6
    X = rng.normal(size=(120, width)).astype(np.float32)
    general = LinearForm(*(rng.normal(size=s).astype(np.float32) for s in (6, 6, (6, 3), 3)))
    general = dataclasses.replace(general, scale=np.full(width, 0.5, np.float32))
    own = LinearForm(*(rng.normal(size=s).astype(np.float32) for s in (6, 6, (6, 2), 2)))
    own = dataclasses.replace(own, scale=np.full(width, 2.0, np.float32))
    emotions, known = np.array([1, 4, 7]), np.array([1, 7])
    values = (X - general.mean) / general.scale
    labels, speakers = np.tile([1, 7], 60), np.repeat(["a", "b", "c", "d"], 30)
    second = Familiar.fit(values, labels, speakers, (emotions, general), (known, own), rank=2)
    first = values @ general.weights + general.bias
    other = np.full((120, 3), ABSENT)
    other[:, [0, 2]] = (X - own.mean) / own.scale @ own.weights + own.bias
    share = second.share(values)
    np.testing.assert_allclose(
        first + second.added(values), first + share * (other - first) / 2, atol=1e-4
    )
    assert np.median(share) > 0.9
    assert second.share(values + 10).max() < 1e-6
    graph = onnx_graph.graph_model("raw_embedding = Identity(features)", "raw_embedding", (6, 6))
    whole = second.attach(export.attach_head(graph.SerializeToString(), general))
    logits, embedding = onnxruntime.InferenceSession(safety.check(whole)).run(None, {"features": X})
    np.testing.assert_allclose(embedding, values, atol=1e-5)
    np.testing.assert_allclose(logits, first + second.added(values), atol=1e-3)
