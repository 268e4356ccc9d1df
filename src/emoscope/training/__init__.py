"""Fits one model on all clips it is given and writes it as a ``.emoscope`` file.

What the card says of confidence comes from inner folds of the training speakers. Emotions are in
the order of ``classes_`` (alphabetical), in logits and on the card.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from .. import modelfile, models
from ..corpus import Corpus, ratings
from ..errors import FeatureError
from ..evaluation import engine
from ..evaluation.comparison import with_feature_blocks
from ..features.table import Features
from ..modelfile.card import Card
from ..models.base import learn_scaling, weight_parameter
from ..models.onnx_graph import linear_form
from . import calibration, export
from .description import common_rate, describe, held_out_of

__all__ = ["train"]


def train(
    model: str | Any,
    corpus: Corpus,
    features: Features,
    *,
    names: Sequence[str],
    out: str | os.PathLike[str],
    seed: int = 0,
    title: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    raters: str = "majority",
) -> Card:
    """Fit a model on all clips and write it; returns the card beside the graph.

    The model is a name or a scikit-learn classifier that has an ONNX form, with `parameters` in
    place of its own; `features` are the clips' row for row, and `names` what each was asked for as.
    Inner folds are random where speakers are not known. With `raters` "soft" the share of each
    emotion among a clip's ratings is learned. FeatureError when the model does not take the
    features, or shares of ratings.
    """
    estimator, name = model, type(model).__name__
    if isinstance(model, str):
        info, name = models.get(model), model
        kind = "vector" if features.X is not None else "frames"
        if info.input != kind:
            raise FeatureError(f"'{name}' reads {info.input} features; {kind} features were given")
        estimator = info.build(seed)
    estimator = with_feature_blocks(clone(estimator).set_params(**(parameters or {})), features)
    if raters == "soft" and weight_parameter(estimator) is None:
        raise FeatureError(f"{name}: takes no weights of clips, so no shares of ratings")
    recipe = {
        "model": name,
        "parameters": " ".join(repr(estimator).split()),
        "features": list(names),
        "seed": seed,
        "weights": "float16",
        **({"raters": raters} if raters != "majority" else {}),
    }
    graph, card = _fit_and_describe(estimator, corpus, features, title or name, recipe)
    modelfile.save(out, graph, card)
    return card


def _fit_and_describe(
    estimator: Any, corpus: Corpus, features: Features, title: str, recipe: dict[str, Any]
) -> tuple[bytes, Card]:
    seed = recipe["seed"]
    emotions = corpus.table["emotion"].to_numpy(dtype=str)
    held_out = held_out_of(corpus)
    # Of speakers that are not known each clip is one, which makes the folds random.
    name_of = "clip" if held_out == "clips" else "unique_speaker"
    speakers = corpus.table[name_of].to_numpy(dtype=str)
    shares = ratings.shares(corpus.table, recipe.get("raters", "majority"))
    clips = (features.values, emotions, speakers, shares)
    unseen = calibration.cross_val_predict(estimator, *clips, seed=seed)
    fitted = engine.fit(estimator, *clips)
    linear = linear_form(fitted)
    embeddings = _embeddings(features)
    mean, scale = (linear.mean, linear.scale) if linear else learn_scaling(embeddings[np.newaxis])
    standardised = (embeddings - mean) / scale
    graph, given = export.graph_of(fitted, features, recipe["features"], mean, scale)
    if given.kind != "samples":
        given = dataclasses.replace(given, rate=common_rate(corpus))
    domain = calibration.out_of_domain_detector(standardised, unseen.folds)
    card = describe(corpus, unseen, name=title, given=given, domain=domain, recipe=recipe)
    if held_out != "clips":
        corpora = corpus.table["corpus"].to_numpy(dtype=str)
        card = calibration.with_offsets(card, unseen, speakers, corpora)
    return graph, card


def _embeddings(features: Features) -> NDArray[np.float32]:
    """Vector features themselves; of frames, the mean and the standard deviation over time."""
    if features.X is not None:
        return features.X
    frames = features.frames or []
    statistics = [np.concatenate([clip.mean(axis=0), clip.std(axis=0)]) for clip in frames]
    return np.asarray(statistics, dtype=np.float32)
