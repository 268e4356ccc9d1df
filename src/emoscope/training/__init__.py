"""Fits one model on all clips it is given and writes it as a ``.emoscope`` file.

Everything the card says about confidence comes from clips of speakers that the judging model had
not heard: the training speakers are divided into inner folds, and from the predictions on them
follow the temperature, the rule for 'uncertain', the distance called far, and the UAR to expect.
The model that is saved is then fitted on all clips.

A linear classifier on embeddings of Whisper becomes a network that hears samples
(:mod:`emoscope.training.waveform`): the file then needs neither PyTorch nor feature extraction.

Conventions: emotions are in the order of the estimator's ``classes_`` (alphabetical), in logits and
on the card.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.utils.validation import has_fit_parameter

from .. import audio, modelfile, models
from .._version import __version__
from ..audio.level import TrimAndNormalise
from ..corpus import Corpus
from ..dataset import bundled
from ..errors import AudioError, CorpusError, FeatureError
from ..evaluation import metrics
from ..evaluation import statistics as speaker_statistics
from ..evaluation.comparison import with_feature_blocks
from ..features import get as get_feature
from ..features.encoder import Encoder
from ..features.table import Features
from ..modelfile.card import (
    AdaptedHead,
    Card,
    FeatureSpec,
    Input,
    Measurement,
    OutOfDomainDetector,
    Training,
    TrainingCorpus,
)
from . import calibration, enrolment
from .linear import LinearForm, linear_form

if TYPE_CHECKING:
    from .compression import Scheme

Array = NDArray[np.float32]
Indices = NDArray[np.intp]
Fold = tuple[Indices, Indices]

INNER_FOLDS = 5
UNHEARD = "unheard-training-speakers"
"""Protocol of the figures that training itself measures."""
SMALLEST_PROBABILITY = 1e-12


@dataclasses.dataclass(frozen=True, eq=False)
class Inner:
    """Predictions on training clips by models that had not heard their speakers.

    Attributes
    ----------
    folds : list of (train, test) index arrays
    labels : ndarray of int, shape (n_clips,)
        Position of each clip's emotion among ``emotions``.
    emotions : tuple of str
    logits : ndarray of float, shape (n_clips, n_emotions)
        Logarithms of the probabilities.
    """

    folds: list[Fold]
    labels: Indices
    emotions: tuple[str, ...]
    logits: NDArray[np.float64]


def train(
    model: str | Any,
    corpus: Corpus,
    features: Features,
    *,
    names: Sequence[str],
    out: str | os.PathLike[str],
    seed: int = 0,
    scheme: Scheme | None = "float16",
    title: str | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> Card:
    """Fit a model on all clips and write it.

    Parameters
    ----------
    model : str or estimator
        Name of a model, or a scikit-learn classifier that has an ONNX form.
    corpus : Corpus
        The clips; every speaker must be known.
    features : Features
        Row for row.
    names : sequence of str
        What the features were asked for as, one per feature.
    out : path-like
        The file to write.
    seed : int
        Decides the inner folds and everything random in the model.
    scheme : {"float16", "int8", "int8-dynamic"} or None
        How weights are stored; see :mod:`emoscope.training.compression`. None: single precision.
    title : str, optional
        Name of the model on its card; by default the model's own.
    parameters : mapping, optional
        Of the model, in place of its own; see :func:`emoscope.evaluation.search.choose`.

    Returns
    -------
    Card
        What was written beside the graph.

    Raises
    ------
    CorpusError
        When speakers are missing.
    FeatureError
        When the model reads another kind of feature.
    ModelError
        When the model has no ONNX form.
    MissingExtraError
        When a package that writes ONNX is not installed.
    """
    estimator, name = _build(model, features, seed)
    estimator = with_feature_blocks(clone(estimator).set_params(**(parameters or {})), features)
    emotions = corpus.table["emotion"].to_numpy(dtype=str)
    speakers = corpus.table["unique_speaker"].to_numpy(dtype=str)
    inner = judge_unheard(estimator, features.values, emotions, speakers, seed=seed)
    fitted = fit(clone(estimator), features.values, emotions, speakers)
    linear = linear_form(fitted)
    embeddings = embed(features)
    mean, scale = (linear.mean, linear.scale) if linear else standardisation(embeddings)
    standardised = (embeddings - mean) / scale
    adapted: AdaptedHead | None = None
    curve: list[dict[str, float]] = []
    if linear and features.X is not None:
        adapted, curve = enrolment.fit_head(
            estimator, standardised, emotions, speakers, inner.folds, inner.logits, seed=seed
        )
    graph, given = graph_of(fitted, features, names, mean, scale, linear, scheme)
    if given.kind != "samples":
        given = dataclasses.replace(given, rate=common_rate(corpus))
    card = describe(
        corpus,
        inner,
        name=title or name,
        given=given,
        domain=calibration.out_of_domain_detector(standardised, inner.folds),
        adapted=adapted,
        recipe={
            "model": name,
            "parameters": " ".join(repr(estimator).split()),
            "features": list(names),
            "seed": seed,
            "weights": scheme or "float32",
            "adaptation": curve,
        },
    )
    modelfile.save(out, graph, card)
    return card


def _build(model: str | Any, features: Features, seed: int) -> tuple[Any, str]:
    """The unfitted estimator and its name."""
    if not isinstance(model, str):
        return model, type(model).__name__
    info = models.get(model)
    kind = "vector" if features.X is not None else "frames"
    if info.input != kind:
        raise FeatureError(f"'{model}' reads {info.input} features; {kind} features were given")
    return info.build(seed), model


def inner_folds(emotions: NDArray[Any], speakers: NDArray[Any], *, seed: int) -> list[Fold]:
    """Speaker-disjoint folds of training clips, balanced over emotions.

    Raises
    ------
    CorpusError
        When there are fewer than two speakers, or some are not known, or every emotion has one clip.
    """
    known = np.unique(speakers)
    if len(known) < 2 or any(str(name).rpartition("/")[2] == "" for name in known):
        raise CorpusError(
            "training needs the speaker of every clip and at least two speakers, to measure how "
            "sure the model may be of a voice it has not heard; found "
            f"{', '.join(repr(str(name)) for name in known[:5])}"
        )
    n_folds = min(INNER_FOLDS, len(known), int(np.unique(emotions, return_counts=True)[1].max()))
    if n_folds < 2:
        raise CorpusError("training needs an emotion with at least two clips; each has one")
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    return list(splitter.split(np.zeros(len(speakers)), emotions, groups=speakers))


def judge_unheard(
    estimator: Any, values: Any, emotions: NDArray[Any], speakers: NDArray[Any], *, seed: int = 0
) -> Inner:
    """Predict every training clip by a copy of an estimator that has not heard its speaker.

    Parameters
    ----------
    estimator : unfitted classifier
    values : ndarray of shape (n_clips, n_columns), or list of frames
    emotions, speakers : ndarray of str, shape (n_clips,)
    seed : int
        Decides the folds.
    """
    classes, labels = np.unique(emotions, return_inverse=True)
    folds = inner_folds(emotions, speakers, seed=seed)
    logits = np.full((len(emotions), len(classes)), np.log(SMALLEST_PROBABILITY))
    for train_rows, test in folds:
        copy = fit(
            clone(estimator),
            _rows(values, train_rows),
            emotions[train_rows],
            speakers[train_rows],
        )
        found = np.maximum(copy.predict_proba(_rows(values, test)), SMALLEST_PROBABILITY)
        columns = np.searchsorted(classes, copy.classes_)
        logits[np.ix_(test, columns)] = np.log(found)
    return Inner(folds, labels, tuple(str(name) for name in classes), logits)


def fit(estimator: Any, values: Any, emotions: NDArray[Any], speakers: NDArray[Any]) -> Any:
    """Fit an estimator, telling it the speakers when it asks for them."""
    extra = {"groups": speakers} if has_fit_parameter(estimator, "groups") else {}
    return estimator.fit(values, emotions, **extra)


def _rows(values: Any, rows: Indices) -> Any:
    return values[rows] if isinstance(values, np.ndarray) else [values[row] for row in rows]


def embed(features: Features) -> Array:
    """What distances between clips are measured on, shape (n_clips, width).

    Vector features themselves; of frames, the mean and the standard deviation over time.
    """
    if features.X is not None:
        return features.X
    frames = features.frames or []
    statistics = [np.concatenate([clip.mean(axis=0), clip.std(axis=0)]) for clip in frames]
    return np.asarray(statistics, dtype=np.float32)


def standardisation(embeddings: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of every column; 1 where a column does not vary."""
    spread = embeddings.std(axis=0, dtype=np.float64)
    mean = embeddings.mean(axis=0, dtype=np.float64)
    return mean.astype(np.float32), np.where(spread > 0, spread, 1.0).astype(np.float32)


def common_rate(corpus: Corpus) -> int:
    """The sample rate of all recordings of a corpus in Hz; 0 where they differ or are not there.

    Features depend on it, so a model of features judges every recording at this rate.
    """
    rates: set[int] = set()
    for path in corpus.table["path"]:
        try:
            rates.add(audio.rate_of(str(path)))
        except AudioError:  # the bundled features come without recordings
            rates.add(bundled.RATE if corpus.name == "ravdess" else 0)
        if len(rates) > 1:
            return 0
    return rates.pop()


def graph_of(
    fitted: Any,
    features: Features,
    names: Sequence[str],
    mean: Array,
    scale: Array,
    linear: LinearForm | None,
    scheme: Scheme | None,
) -> tuple[bytes, Input]:
    """The ONNX graph of a fitted model, and what it takes.

    A linear model on Whisper embeddings hears samples; every other takes the features.
    """
    from .compression import compress
    from .export import attach_head, from_estimator

    encoders = [get_feature(name) for name in names if name.startswith("encoder:")]
    if linear and len(encoders) == len(names) and features.X is not None:
        found = _trunk(encoders)
        if found is not None:
            trunk, given = found
            # The head is small and stays in single precision.
            return attach_head(compress(trunk, scheme) if scheme else trunk, linear), given
    described = tuple(
        FeatureSpec(name=name, spec=spec) for name, spec in zip(names, features.specs, strict=True)
    )
    kind, width = "features", mean.shape[0]
    if features.X is None:
        kind, width = "frames", mean.shape[0] // 2
    given = Input(kind=kind, features=described, width=width)
    graph = from_estimator(fitted, mean=mean, scale=scale)
    return compress(graph, scheme) if scheme else graph, given


def _trunk(encoders: Sequence[Any]) -> tuple[bytes, Input] | None:
    """A graph over samples, or None when an encoder is not Whisper's or hears something else."""
    from ..features import pretrained

    prepared = {encoder.prepare for encoder in encoders}
    fits = all(
        type(encoder) is Encoder
        and pretrained.is_whisper(encoder.model)
        and min(encoder.blocks)
        and encoder.speed == 1
        for encoder in encoders
    )
    if not fits or len(prepared) > 1:
        return None
    from .network_export import from_waveform
    from .waveform import LONGEST_SECONDS, Branch, WaveformTrunk

    trunk = WaveformTrunk([Branch(e.model, e.blocks, e.poolings) for e in encoders])
    level = TrimAndNormalise() if prepared == {TrimAndNormalise.name} else None
    given = Input(
        kind="samples",
        rate=pretrained.RATE,
        preprocess=level,
        shortest=0.2,
        longest=LONGEST_SECONDS,
    )
    shortest, longest = (round(s * given.rate) for s in (given.shortest, given.longest))
    return from_waveform(trunk, shortest=shortest, longest=longest), given


def describe(
    corpus: Corpus,
    inner: Inner,
    *,
    name: str,
    given: Input,
    domain: OutOfDomainDetector,
    adapted: AdaptedHead | None,
    recipe: dict[str, Any],
    notices: Sequence[str] = (),
) -> Card:
    """The card of a model: calibration, expected figures, and where it comes from."""
    temperature = calibration.temperature(inner.logits, inner.labels)
    honest = calibration.cross_fitted(inner.logits, inner.labels, [t for _, t in inner.folds])
    return Card(
        name=name,
        emotions=inner.emotions,
        input=given,
        embedding_width=len(domain.mean),
        temperature=temperature,
        uncertain=calibration.uncertain(honest, inner.labels),
        domain=domain,
        adapted=adapted,
        training=Training(corpora=provenance(corpus), recipe=recipe),
        results=(expected(corpus, inner, honest),),
        licence="; ".join(dict.fromkeys(filter(None, corpus.licence.splitlines()))),
        notices=tuple(notices),
        emoscope=__version__,
    )


def provenance(corpus: Corpus) -> tuple[TrainingCorpus, ...]:
    """Which corpora, speakers and numbers of clips trained a model."""
    return tuple(
        TrainingCorpus(
            name=str(name),
            n_clips=len(table),
            # Joined corpora prefix speakers with their name.
            speakers=tuple(sorted({s.removeprefix(f"{name}/") for s in table["speaker"]})),
            licence=corpus.licence,
            citation=corpus.citation,
        )
        for name, table in corpus.table.groupby("corpus", sort=True)
    )


def expected(corpus: Corpus, inner: Inner, honest: NDArray[np.float64]) -> Measurement:
    """Figures on unheard training speakers, with 95 % intervals over speakers."""
    names = np.array(inner.emotions)
    true, predicted = names[inner.labels], names[inner.logits.argmax(axis=1)]
    speakers = corpus.table["unique_speaker"].to_numpy(dtype=str)
    interval = speaker_statistics.speaker_interval(true, predicted, speakers)
    before, after = (
        metrics.expected_calibration_error(true, np.exp(found), emotions=inner.emotions)
        for found in (modelfile.log_softmax(inner.logits), honest)
    )
    return Measurement.of(
        corpus=corpus.name,
        protocol=UNHEARD,
        folds=len(inner.folds),
        uar=metrics.uar(true, predicted),
        uar_low=interval.low,
        uar_high=interval.high,
        accuracy=metrics.accuracy(true, predicted),
        calibration_error_before=before,
        calibration_error=after,
        n_clips=len(true),
        n_speakers=len(np.unique(speakers)),
    )
