"""Fits one model on all clips it is given and writes it as a ``.emoscope`` file.

Confidence comes from inner folds of the training speakers; emotions are in alphabetical order.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.base import clone

from .. import audio, modelfile, models
from .._version import __version__
from ..corpus import Corpus, ratings
from ..dataset import bundled
from ..errors import AudioError, FeatureError
from ..evaluation import engine, metrics
from ..evaluation import statistics as speaker_statistics
from ..evaluation.comparison import with_feature_blocks
from ..features.table import Features
from ..modelfile.card import Card, Measurement, Training, TrainingCorpus
from ..models.base import learn_scaling, weight_parameter
from ..models.onnx_graph import linear_form, need
from ..unseen import HeldOut
from . import calibration, export
from .calibration import UnseenPredictions

__all__ = ["train"]

#: What is held out → protocol of the figures that training itself measures.
PROTOCOLS: dict[HeldOut, str] = {
    "speakers": "unseen-training-speakers",
    "guessed-speakers": "unseen-training-speakers-as-guessed",
    "clips": "random-training-clips",
}


def train(
    model: str | Any, corpus: Corpus, features: Features, *, names: Sequence[str],
    out: str | os.PathLike[str], seed: int = 0, title: str | None = None,
    parameters: Mapping[str, Any] | None = None, raters: str = "majority",
) -> Card:  # fmt: skip
    """Fit a model on all clips and write it; returns the card beside the graph.

    The model is a name or a scikit-learn classifier that has an ONNX form, with `parameters` in
    place of its own; `names` are what the features were asked for as. Inner folds are random where
    speakers are not known. With `raters` "soft" it learns shares of a clip's ratings. FeatureError
    when the model does not take the features, or shares.
    """
    need("onnx")  # before the work, not after it
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
    embeddings = features.X
    if embeddings is None:  # of frames, the mean and the standard deviation over time
        parts = [np.concatenate([f.mean(axis=0), f.std(axis=0)]) for f in features.frames or []]
        embeddings = np.asarray(parts, dtype=np.float32)
    mean, scale = (linear.mean, linear.scale) if linear else learn_scaling(embeddings[np.newaxis])
    standardised = (embeddings - mean) / scale
    graph, given = export.graph_of(fitted, features, recipe["features"], mean, scale)
    if given.kind != "samples":
        given = dataclasses.replace(given, rate=common_rate(corpus))
    domain = calibration.out_of_domain_detector(standardised, unseen.folds)
    tests = [test for _, test in unseen.folds]
    calibrated = calibration.cross_fitted(unseen.logits, unseen.labels, tests)
    card = Card(
        name=title,
        emotions=unseen.emotions,
        input=given,
        embedding_width=len(domain.mean),
        temperature=calibration.temperature(unseen.logits, unseen.labels),
        uncertain=calibration.uncertain(calibrated, unseen.labels),
        domain=domain,
        training=Training(corpora=provenance(corpus), recipe=recipe),
        results=(expected(corpus, unseen, calibrated),),
        held_out=held_out,
        optimistic=held_out == "clips",
        licence="; ".join(dict.fromkeys(filter(None, corpus.licence.splitlines()))),
        emoscope=__version__,
    )
    if held_out != "clips":
        corpora = corpus.table["corpus"].to_numpy(dtype=str)
        card = calibration.with_offsets(card, unseen, speakers, corpora)
    return graph, card


def held_out_of(corpus: Corpus) -> HeldOut:
    """What inner folds can hold out of a corpus: two speakers at least, all of them known."""
    if (corpus.table["speaker"] == "").any() or corpus.table["unique_speaker"].nunique() < 2:
        return "clips"
    return corpus.speakers_from.held_out()


def provenance(corpus: Corpus) -> tuple[TrainingCorpus, ...]:
    """Which corpora, speakers and numbers of clips trained a model."""
    return tuple(
        TrainingCorpus(
            name=str(name),
            n_clips=len(table),
            # Joined corpora prefix speakers with their name.
            speakers=tuple(sorted({s.removeprefix(f"{name}/") for s in table["speaker"]} - {""})),
            licence=corpus.licence,
            citation=corpus.citation,
        )
        for name, table in corpus.table.groupby("corpus", sort=True)
    )


def expected(corpus: Corpus, unseen: UnseenPredictions, calibrated: NDArray[Any]) -> Measurement:
    """Figures on training speakers left out, with 95 % intervals over speakers."""
    names = np.array(unseen.emotions)
    true, predicted = names[unseen.labels], names[unseen.logits.argmax(axis=1)]
    speakers = corpus.table["unique_speaker"].to_numpy(dtype=str)
    held_out, low, high = held_out_of(corpus), None, None
    if held_out != "clips" and not speaker_statistics.no_interval(len(np.unique(speakers))):
        interval = speaker_statistics.speaker_interval(true, predicted, speakers)
        low, high = interval.low, interval.high
    before, after = (
        metrics.expected_calibration_error(true, np.exp(logits), emotions=unseen.emotions)
        for logits in (log_softmax(unseen.logits, axis=1), calibrated)
    )
    return Measurement.of(
        corpus=corpus.name,
        protocol=PROTOCOLS[held_out],
        folds=len(unseen.folds),
        uar=metrics.uar(true, predicted),
        uar_low=low,
        uar_high=high,
        accuracy=metrics.accuracy(true, predicted),
        calibration_error_before=before,
        calibration_error=after,
        n_clips=len(true),
        n_speakers=corpus.table["speaker"].replace("", np.nan).nunique(),
    )


def common_rate(corpus: Corpus) -> int:
    """The sample rate of all recordings in Hz, which features depend on; 0 where there is none."""
    rates: set[int] = set()
    for path in corpus.table["path"].unique():
        try:
            rates.add(audio.rate_of(str(path)))
        except AudioError:  # the bundled features come without recordings
            rates.add(bundled.RATE if corpus.name == "ravdess" else 0)
        if len(rates) > 1:
            return 0
    return rates.pop()
