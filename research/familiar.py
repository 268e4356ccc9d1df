"""A second classifier for clips that sound like those of one training corpus.

What makes a classifier robust to unseen voices and rooms, a strong penalty and random offsets, costs accuracy
on recordings made like the training data. For clips that lie where the clips of RAVDESS lie, the logits are
therefore the mean of those of the robust classifier and those of one trained on RAVDESS alone. RAVDESS is
the corpus that most people try, and its clips, made in one studio, can be told from all others: of the
clips of EMO-DB, nEMO and EmoSpeech at most 0.2 % pass for them.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from emoscope.modelfile.card import OutOfDomainDetector
from emoscope.models.onnx_graph import LinearForm, extend, need, serialised
from emoscope.training import calibration

Array = NDArray[np.float32]
Indices = NDArray[np.intp]

CORPUS = "ravdess"
ABSENT = -6.0
"""Logit of the second classifier for emotions that its corpus lacks."""
STEEPNESS = 20.0
"""Of the change from one classifier to the other, where the squared distance passes its threshold."""
NODES = """
    familiar_centred = Sub(embedding, familiar_mean)
    familiar_along = MatMul(familiar_centred, familiar_components)
    familiar_along_squared = Mul(familiar_along, familiar_along)
    familiar_inside = MatMul(familiar_along_squared, familiar_inverse)
    familiar_squares = ReduceSumSquare<keepdims = 1>(familiar_centred, familiar_axis)
    familiar_outside = Mul(familiar_squares, familiar_residual)
    familiar_distance = Add(familiar_inside, familiar_outside)
    familiar_exponent = Sub(familiar_steepness, familiar_distance)
    familiar_share = Sigmoid(familiar_exponent)
    familiar_difference = Gemm(embedding, familiar_weights, familiar_bias)
    familiar_added = Mul(familiar_share, familiar_difference)
    logits = Add(general_logits, familiar_added)
"""


@dataclasses.dataclass(frozen=True, eq=False)
class Familiar:
    """Where the corpus lies among standardised embeddings, and what is added to the logits there."""

    domain: OutOfDomainDetector
    weights: Array  # (width, n_emotions)
    bias: Array  # (n_emotions,)

    @classmethod
    def fit(
        cls,
        values: Array,
        labels: Indices,
        speakers: NDArray[np.str_],
        general: tuple[Indices, LinearForm],
        own: tuple[Indices, LinearForm],
        *,
        rank: int,
    ) -> Familiar:
        """From standardised embeddings of the corpus's clips, and the two classifiers with their emotions."""
        folds = calibration.inner_folds(labels.astype(str), speakers, seed=0)
        domain = calibration.out_of_domain_detector(values, folds, rank=rank)
        (emotions, form), (known, second) = general, own
        # The second classifier as one of the values that the first standardised.
        scaled = (second.weights.T * (form.scale / second.scale)).T
        weights = np.zeros_like(form.weights)
        bias = np.full_like(form.bias, ABSENT)
        columns = np.searchsorted(emotions, known)
        weights[:, columns] = scaled
        bias[columns] = second.bias + ((form.mean - second.mean) / second.scale) @ second.weights
        return cls(domain, (weights - form.weights) / 2, (bias - form.bias) / 2)

    def share(self, values: Array) -> NDArray[np.float64]:
        """How much of the second classifier's share each clip gets, from 0 to 1, shape (n_clips, 1)."""
        distance = self.domain.distance(values).astype(np.float64) / self.domain.threshold
        return 1.0 / (1.0 + np.exp(-STEEPNESS * (1.0 - distance[:, np.newaxis] ** 2)))

    def added(self, values: Array) -> NDArray[np.float64]:
        """What is added to the logits of clips, from their standardised embeddings."""
        return self.share(values) * (values @ self.weights + self.bias)

    def attach(self, graph: bytes) -> bytes:
        """The graph of a model with the second classifier in it."""
        model, domain = need("onnx").load_from_string(graph), self.domain
        for node in model.graph.node:
            node.output[:] = ["general_logits" if x == "logits" else x for x in node.output]
        unit = STEEPNESS / domain.threshold**2 / len(domain.mean)
        constants = {
            "mean": domain.mean,
            "components": domain.components.T,
            "inverse": (unit / domain.variances - unit / domain.residual)[:, np.newaxis],
            "residual": unit / domain.residual,
            "steepness": STEEPNESS,
            "weights": self.weights,
            "bias": self.bias,
        }
        arrays = {f"familiar_{name}": np.asarray(x, np.float32) for name, x in constants.items()}
        extend(model.graph, NODES, familiar_axis=np.array([1]), **arrays)
        return serialised(model)
