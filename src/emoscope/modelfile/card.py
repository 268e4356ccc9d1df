"""The card of a trained model: what it takes, what it says, how sure, and where it comes from.

JSON, with arrays as base64 of little-endian float32; the types of the fields say what is allowed.
"""

import base64
import dataclasses
import functools
import json
import math
from typing import Annotated, Any, TypeAlias

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from ..audio import MAX_RATE, MIN_RATE, level
from ..errors import ModelError
from ..files import sentence
from ..unseen import OPTIMISTIC, WORDS, HeldOut
from .about import About

FORMAT = 1
MAX_VALUES = 1 << 22  # of the largest array a card may hold: 16 MiB
MAX_NAME = 100
MAX_EMOTIONS = 100
NOT_IN_NAMES = frozenset("/\\:")  # would make a file name of a model's name lead elsewhere
KINDS = ("samples", "features", "frames")

JsonObject: TypeAlias = dict[str, Any]  # whose keys are not laid down here
Array: TypeAlias = NDArray[np.float32]
Text: TypeAlias = Annotated[str, Meta(max_length=20_000)]
Share: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
Positive: TypeAlias = Annotated[float, Meta(ge=1e-30, le=1e30)]
Temperature: TypeAlias = Annotated[float, Meta(ge=1e-3, le=1e3)]
Width: TypeAlias = Annotated[int, Meta(ge=1, le=MAX_VALUES)]
Count: TypeAlias = Annotated[int, Meta(ge=0, le=1 << 40)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FeatureSpec:
    """A feature that a model was trained on: what it was asked for as, and how it was computed."""

    name: Text
    spec: JsonObject


@dataclasses.dataclass(frozen=True, kw_only=True)
class Input:
    """What the graph takes."""

    kind: str  # of KINDS, as :mod:`emoscope.modelfile` says
    rate: int = 0  # Hz of samples, or of the training clips; 0: not known, or not the same for all
    preprocess: level.TrimAndNormalise | None = None  # done to samples first
    features: tuple[FeatureSpec, ...] = ()  # for the other kinds
    width: Annotated[int, Meta(ge=0, le=MAX_VALUES)] = 0  # number of columns; 0 for samples
    shortest: Annotated[float, Meta(ge=0.0, le=60.0)] = 0.2  # seconds of samples that it can take
    longest: Annotated[float, Meta(ge=0.1, le=3600.0)] = 30.0

    def __post_init__(self) -> None:
        _require(self.kind in KINDS, "kind", "samples, features or frames", self.kind)
        takes_samples = self.kind == "samples"
        lowest, highest = (4_000, 192_000) if takes_samples else (MIN_RATE, MAX_RATE)
        fits = lowest <= self.rate <= highest or (self.rate == 0 and not takes_samples)
        _require(fits, "rate", f"{lowest} to {highest} Hz", self.rate)
        _require(takes_samples or self.width > 0, "width", "at least 1", self.width)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Uncertain:
    """When a label should not be relied on; of no coverage: always."""

    threshold: Share  # of confidence
    coverage: Share  # of the clips that were held out, those that were certain
    risk: Share  # of those, the ones that were wrong all the same
    held_out: HeldOut | None = None  # None: as the card says of its results


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class OutOfDomainDetector:
    """Tells recordings that are far from the training data, by a Gaussian over embeddings.

    Source: Tipping & Bishop, "Probabilistic principal component analysis", J. R. Stat. Soc. B 61(3),
    1999; Lee et al., "A simple unified framework for detecting out-of-distribution samples",
    NeurIPS 2018.
    """

    mean: Array
    components: Array  # (rank, width): the orthonormal directions of largest variance
    variances: Array  # (rank,): along each of them
    residual: Positive  # variance along every other direction
    # A quantile of the distances of speakers that the fit had not seen; beyond it lies "far".
    threshold: Annotated[float, Meta(ge=1e-6, le=1e30)]

    def __post_init__(self) -> None:
        rank, width = len(self.components), len(self.mean)
        _require_shape("mean", self.mean, (width,))
        _require_shape("components", self.components, (rank, width))
        _require_shape("variances", self.variances, (rank,))
        _require(bool((self.variances > 0).all()), "variances", "positive", self.variances)

    def distance(self, embeddings: Array) -> Array:
        """Mahalanobis distance of each row over the root of the width: around 1 for known data."""
        centred = np.asarray(embeddings, dtype=np.float64) - self.mean
        along = centred @ self.components.T.astype(np.float64)
        outside = np.maximum((centred**2).sum(axis=1) - (along**2).sum(axis=1), 0.0)
        squared = (along**2 / self.variances).sum(axis=1) + outside / self.residual
        return np.asarray(np.sqrt(squared / centred.shape[1]), dtype=np.float32)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class SourceOffsets:
    """What recordings of one source, a voice, a room or a corpus, have in common in their logits.

    A clip's logits are the mean of its emotion, an offset of its source and noise, all Gaussian.
    Logits are centred: less their mean over the emotions. Used by :mod:`emoscope.models.offsets`.
    """

    means: Array  # (n_emotions, n_emotions): row by row, the mean centred logits of an emotion
    covariance: Array  # (n_emotions, n_emotions): of centred logits around these within a source
    gain: Positive  # variance of the offsets of sources, as a multiple of that covariance
    floor: Annotated[float, Meta(ge=0, le=1e6)]  # the part of it that no number of clips tells
    temperature: Temperature  # of logits less their offset
    low: Positive  # spread of a source's clips up to which they are taken to be of one emotion
    high: Positive  # and from which on they are of several; clips around their means have 1
    consensus: Share  # weight of what the mean of clips of one emotion says, against each clip

    def __post_init__(self) -> None:
        shape = (len(self.means),) * 2
        _require_shape("means", self.means, shape)
        _require_shape("covariance", self.covariance, shape)
        symmetric = np.allclose(self.covariance, self.covariance.T, atol=0.0)
        values = np.linalg.eigvalsh(self.covariance.astype(np.float64))
        is_one = symmetric and values[-1] > 0 and values[0] > -1e-3 * values[-1]
        _require(is_one, "covariance", "symmetric, with variances above 0", values)
        _require(self.low < self.high, "low", f"less than high ({self.high})", self.low)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingCorpus:
    """A corpus that a model was trained on, with the training speakers."""

    name: Text
    n_clips: Count | None = None
    speakers: tuple[Text, ...]
    licence: Text = ""
    citation: Text = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Training:
    """Where a model comes from: its corpora, and the other items of the recipe that made it."""

    corpora: tuple[TrainingCorpus, ...] = ()
    recipe: JsonObject = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [corpus.name for corpus in self.corpora]
        _require(len(set(names)) == len(names), "corpora", "of different names", names)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measurement:
    """Figures measured on one corpus: unweighted average recall with its interval, and others."""

    corpus: Text = ""
    protocol: Text = ""
    uar: Share | None = None
    uar_low: Share | None = None
    uar_high: Share | None = None
    accuracy: Share | None = None
    n_clips: Count | None = None
    others: JsonObject = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, **figures: Any) -> "Measurement":
        """The figures in their fields, those of any other name among :attr:`others`."""
        return cls(**_split(figures, _MEASURED, "others"))


_MEASURED = {field.name for field in dataclasses.fields(Measurement)} - {"others"}


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Card:
    """Everything a ``.emoscope`` file says about its graph."""

    name: str
    emotions: tuple[Text, ...]  # in the order of the logits
    input: Input
    embedding_width: Width
    temperature: Temperature  # probabilities are softmax(logits / temperature)
    uncertain: Uncertain
    domain: OutOfDomainDetector | None = None
    offsets: SourceOffsets | None = None
    training: Training = dataclasses.field(default_factory=Training)
    results: tuple[Measurement, ...] = ()
    held_out: HeldOut = "speakers"  # when confidence was calibrated and the results were measured
    optimistic: bool = False  # whether they are, for the same voices may have been in training
    licence: Text = ""
    notices: tuple[Text, ...] = ()  # attributions that must stay with it
    emoscope: Text = ""  # version that wrote it

    def __post_init__(self) -> None:
        visible = f"1 to {MAX_NAME} visible characters"
        names_a_file = _is_visible(self.name) and not set(self.name) & NOT_IN_NAMES
        allowed = f"{visible} without '/', '\\' and ':' and not beginning with '.'"
        _require(names_a_file and self.name[0] != ".", "name", allowed, self.name)
        n_emotions, width = len(self.emotions), self.embedding_width
        different = 2 <= len(set(self.emotions)) == n_emotions <= MAX_EMOTIONS
        _require(different, "emotions", f"2 to {MAX_EMOTIONS} different names", self.emotions)
        shown = all(map(_is_visible, self.emotions))
        _require(shown, "emotions", f"names of {visible}", self.emotions)
        if self.domain is not None:
            _require_shape("domain.mean", self.domain.mean, (width,))
        if self.offsets is not None:
            _require_shape("offsets.means", self.offsets.means, (n_emotions, n_emotions))

    @property
    def speakers(self) -> dict[str, set[str]]:
        """The training speakers of every training corpus."""
        return {corpus.name: set(corpus.speakers) for corpus in self.training.corpora}

    @functools.cached_property
    def about(self) -> About:
        """What its outputs say of what a label means, and of the licence."""
        return About.of(self.name, self.licence, self.emotions)

    @property
    def worth(self) -> str:
        """How often labels that are not uncertain were correct, and on what that was measured."""
        right, on = round(100 * (1 - self.uncertain.risk)), self.uncertain.held_out or self.held_out
        if not self.uncertain.coverage:
            return sentence("nothing_certain" if self.results else "untested", on=WORDS[on])
        said = f"about {right} in 100 such labels were correct"
        if on == "corpora":
            return f"{said} on {WORDS[on]}"
        return f"{said} within its own corpora, on {WORDS[on]}; other recordings were not tested"

    def to_json(self) -> str:
        """The card as JSON text."""
        values = dataclasses.asdict(self)
        if self.input.preprocess is not None:
            values["input"]["preprocess"] = self.input.preprocess.spec
        values["uncertain"] = _joined(values["uncertain"])
        training = values["training"]
        training["corpora"] = [_joined(corpus) for corpus in training["corpora"]]
        values["training"] = _joined(training, "recipe")
        values["results"] = [_joined(run, "others") for run in values["results"]]
        values = {"format": FORMAT, **values}
        return json.dumps(values, indent=1, ensure_ascii=False, default=_encoded)

    def shown(self, name: str, size: int | None) -> JsonObject:
        """What the page and ``/api/models`` tell of it, under a public name; the size is in bytes."""
        values = json.loads(self.to_json())
        shown = ("emotions", "temperature", "training", "results", "licence", "notices", "emoscope")
        return {
            "name": name,
            "title": self.name,
            "rate": self.input.rate,
            **{key: values[key] for key in (*shown, "uncertain", "held_out")},
            "worth": self.worth,
            "about": dataclasses.asdict(self.about),
            "measured_on": WORDS[self.held_out],
            "optimistic": OPTIMISTIC if self.optimistic else "",
            "bytes": size,
        }

    @classmethod
    def from_json(cls, text: str) -> "Card":
        """Read and check a card; a ModelError says what is wrong, where, and what is allowed."""
        try:
            values = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise ModelError(f"the card is not valid JSON: {error}") from error
        if not isinstance(values, dict):
            raise ModelError("the card is not an object")
        if values.get("format") != FORMAT:
            raise ModelError(sentence("other_format", found=values.get("format"), reads=FORMAT))
        try:
            return msgspec.convert(_gathered(values), cls, dec_hook=_decoded)
        except ValueError as error:
            reason = str(error).replace("`$", "`card")
            raise ModelError(f"the card is not valid: {reason}") from error


def _is_visible(text: str) -> bool:
    return bool(text.strip()) and len(text) <= MAX_NAME and text.isprintable()


def _require(holds: bool, name: str, allowed: str, given: object) -> None:
    if not holds:
        raise ModelError(f"{name} should be {allowed}; found {repr(given)[:80]}")


def _require_shape(name: str, array: Array, shape: tuple[int, ...]) -> None:
    _require(array.shape == shape, name, f"an array of shape {shape}", array.shape)


def _gathered(values: JsonObject) -> JsonObject:
    """The values of a file as the types above have them: what may have any name stands together."""
    values = {**values}
    if isinstance(given := values.get("input"), dict):
        spec = given.get("preprocess")
        try:
            preprocess = level.from_spec(spec) if isinstance(spec, dict) else spec
        except (ValueError, TypeError) as error:
            raise ModelError(f"{error} - at `$.input.preprocess`") from error
        values["input"] = {**given, "preprocess": preprocess}
    if isinstance(training := values.get("training"), dict):
        values["training"] = _split(training, {"corpora"}, "recipe")
    if isinstance(results := values.get("results"), list):
        values["results"] = [
            _split(run, _MEASURED, "others") if isinstance(run, dict) else run for run in results
        ]
    return values


def _split(values: JsonObject, known: set[str], rest: str) -> JsonObject:
    """The known values, and all others together under the key `rest`."""
    others = {key: value for key, value in values.items() if key not in known}
    return {key: value for key, value in values.items() if key in known} | {rest: others}


def _joined(values: JsonObject, rest: str = "") -> JsonObject:
    others = values.pop(rest, {})
    return {**{key: value for key, value in values.items() if value is not None}, **others}


@dataclasses.dataclass(frozen=True)
class _StoredArray:
    """An array in a card; msgspec reads bytes from base64."""

    shape: tuple[Annotated[int, Meta(ge=1, le=MAX_VALUES)], ...]
    float32: bytes


def _encoded(array: object) -> object:
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{type(array).__name__} has no form in a card")
    data = np.ascontiguousarray(array, dtype="<f4").tobytes()
    return {"shape": array.shape, "float32": base64.b64encode(data).decode("ascii")}


def _decoded(kind: object, value: object) -> Array:
    stored = msgspec.convert(value, _StoredArray)
    array = np.frombuffer(stored.float32, "<f4").astype(np.float32)
    if array.size != math.prod(stored.shape) or not np.isfinite(array).all():
        raise ValueError(f"Expected finite numbers of shape {stored.shape}")
    return array.reshape(stored.shape)
