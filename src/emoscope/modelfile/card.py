"""The card of a trained model: what it hears, what it says, how sure, and where it comes from.

A card is JSON inside the ``.emoscope`` file. :meth:`Card.from_json` checks every value, because the
file may come from anybody; what it returns can be relied on. Arrays are stored as base64 of
little-endian float32 with their shape.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
import math
import re
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..audio import MAX_RATE, MIN_RATE
from ..audio import level as preprocess
from ..errors import ModelError
from .domain import Domain

FORMAT = 1
MOST_VALUES = 1 << 22
"""Values of the largest array a card may hold: 16 MiB."""
LONGEST_TEXT = 20_000
LONGEST_NAME = 100
MOST_EMOTIONS = 100
NOT_IN_NAMES = frozenset("/\\:")
"""Characters that would make a file name of a model's name lead elsewhere."""
MOST_CLIPS = 1 << 40
MEASURED = ("uar", "uar_low", "uar_high", "accuracy")
"""Of results: shares, where they are known."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Input:
    """What the graph takes.

    Attributes
    ----------
    kind : {"samples", "features", "frames"}
        ``samples``: float32 (1, n_samples) at :attr:`rate`; ``features``: float32 (n_clips, width);
        ``frames``: float32 (1, n_frames, width).
    rate : int
        Hz, of ``samples``, and of the clips whose features were learned from; 0 where it is not
        known or not the same for all.
    preprocess : TrimAndNormalise or None
        Done to samples first.
    features : tuple of dict
        For the other kinds the features in their order, each ``{"name": text, "spec": …}``.
    width : int
        Number of columns; 0 for ``samples``.
    shortest, longest : float
        Seconds the graph can take, of ``samples``.
    """

    kind: Literal["samples", "features", "frames"]
    rate: int = 0
    preprocess: preprocess.TrimAndNormalise | None = None
    features: tuple[dict[str, Any], ...] = ()
    width: int = 0
    shortest: float = 0.2
    longest: float = 30.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Uncertain:
    """When a label should not be relied on: confidence below :attr:`threshold`.

    Attributes
    ----------
    threshold : float
        Smallest confidence (largest probability) of a label that counts as certain.
    coverage : float
        Share of the clips of unheard training speakers that were certain.
    risk : float
        Share of those that were wrong all the same.
    """

    threshold: float
    coverage: float
    risk: float


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class AdaptedHead:
    """Linear classifier for embeddings standardised on a batch or a speaker.

    ``logits = standardised @ weights + bias``; used from :attr:`minimum_clips` on.
    """

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    temperature: float
    minimum_clips: int


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Card:
    """Everything a ``.emoscope`` file says about its graph.

    Attributes
    ----------
    name : str
    emotions : tuple of str
        In the order of the graph's logits.
    input : Input
    embedding_width : int
        Columns of the graph's second output.
    temperature : float
        Probabilities are ``softmax(logits / temperature)``.
    uncertain : Uncertain
    domain : Domain or None
        Over embeddings.
    adapted : AdaptedHead or None
    training : dict
        ``corpora`` (list of ``name, licence, citation, n_clips, speakers``), ``seed``, and the other
        items of the recipe that made it.
    results : tuple of dict
        Measured figures, each with ``corpus`` and ``protocol``.
    licence : str
        Under which the file may be used.
    notices : tuple of str
        Attributions that must stay with the file.
    emoscope : str
        Version that wrote it.
    """

    name: str
    emotions: tuple[str, ...]
    input: Input
    embedding_width: int
    temperature: float
    uncertain: Uncertain
    domain: Domain | None = None
    adapted: AdaptedHead | None = None
    training: dict[str, Any] = dataclasses.field(default_factory=dict)
    results: tuple[dict[str, Any], ...] = ()
    licence: str = ""
    notices: tuple[str, ...] = ()
    emoscope: str = ""

    @property
    def speakers(self) -> dict[str, set[str]]:
        """The training speakers of every training corpus."""
        return {c["name"]: set(c["speakers"]) for c in self.training.get("corpora", [])}

    def to_json(self) -> str:
        """The card as JSON text."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        values["input"] = dataclasses.asdict(self.input)
        if self.input.preprocess is not None:
            values["input"]["preprocess"] = self.input.preprocess.spec
        values["uncertain"] = dataclasses.asdict(self.uncertain)
        for name in ("domain", "adapted"):
            part = values[name]
            values[name] = part and {
                key: _encode(v) if isinstance(v, np.ndarray) else v for key, v in vars(part).items()
            }
        return json.dumps({"format": FORMAT, **values}, indent=1, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Card:
        """Read and check a card.

        Raises
        ------
        ModelError
            With what is wrong.
        """
        try:
            values = json.loads(text, parse_constant=_refuse_constant)
            if _SURROGATE.search(text):
                # One half of a pair is no text: it could neither be written nor shown.
                json.dumps(values, ensure_ascii=False).encode("utf-8")
        except (ValueError, RecursionError) as error:
            raise ModelError(f"the card is not valid JSON: {error}") from error
        return _Reader(values).card()


_SURROGATE = re.compile(r"[\ud800-\udfff]|\\u[dD][89a-fA-F]")


def _shows(text: str) -> bool:
    """Whether a text can name something: short, not blank, and all of it visible."""
    return bool(text.strip()) and len(text) <= LONGEST_NAME and text.isprintable()


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def _encode(array: NDArray[np.float32]) -> dict[str, Any]:
    data = np.ascontiguousarray(array, dtype="<f4").tobytes()
    return {"shape": list(array.shape), "float32": base64.b64encode(data).decode("ascii")}


class _Reader:
    """Takes values out of untrusted JSON; every method raises ModelError on what does not fit."""

    def __init__(self, values: Any, place: str = "card") -> None:
        if not isinstance(values, dict):
            raise ModelError(f"the card's {place} is not an object")
        self.values, self.place = values, place

    def _bad(self, key: str, wanted: str) -> ModelError:
        found = repr(self.values.get(key))[:80]
        return ModelError(f"{self.place}.{key} should be {wanted}; found {found}")

    def number(self, key: str, low: float, high: float) -> float:
        value = self.values.get(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self._bad(key, "a number")
        if not low <= value <= high or not math.isfinite(value):
            raise self._bad(key, f"a number from {low:g} to {high:g}")
        return float(value)

    def integer(self, key: str, low: int, high: int) -> int:
        value = self.number(key, low, high)
        if value != int(value):
            raise self._bad(key, "a whole number")
        return int(value)

    def text(self, key: str) -> str:
        value = self.values.get(key, "")
        if not isinstance(value, str) or len(value) > LONGEST_TEXT:
            raise self._bad(key, f"a text of at most {LONGEST_TEXT} characters")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(
            isinstance(item, str) and len(item) <= LONGEST_TEXT for item in value
        ):
            raise self._bad(key, "a list of texts")
        return tuple(value)

    def name(self, key: str) -> str:
        """A text that can also name a file."""
        value = self.text(key)
        if not _shows(value) or not NOT_IN_NAMES.isdisjoint(value) or value.startswith("."):
            raise self._bad(
                key,
                f"1 to {LONGEST_NAME} visible characters without '/', '\\' and ':' and not "
                "beginning with '.'",
            )
        return value

    def objects(self, key: str) -> tuple[dict[str, Any], ...]:
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self._bad(key, "a list of objects")
        return tuple(value)

    def part(self, key: str) -> _Reader:
        return _Reader(self.values.get(key), f"{self.place}.{key}")

    def array(self, key: str, *shape: int | None) -> NDArray[np.float32]:
        """Finite float32 array; None in `shape` stands for any length."""
        stored = self.part(key)
        sizes, data = stored.values.get("shape"), stored.values.get("float32")
        if (
            not isinstance(sizes, list)
            or not isinstance(data, str)
            or len(sizes) != len(shape)
            or not all(isinstance(n, int) and 0 < n <= MOST_VALUES for n in sizes)
            or any(want not in (None, n) for want, n in zip(shape, sizes, strict=True))
        ):
            raise ModelError(f"{stored.place} should be an array of shape {shape}")
        try:
            found = np.frombuffer(base64.b64decode(data, validate=True), "<f4")
        except (binascii.Error, ValueError) as error:
            raise ModelError(f"{stored.place} is not base64: {error}") from error
        if found.size != math.prod(sizes) or not np.isfinite(found).all():
            raise ModelError(f"{stored.place} is not {sizes} finite numbers")
        return found.reshape(sizes).astype(np.float32)

    def card(self) -> Card:
        if self.values.get("format") != FORMAT:
            raise ModelError(
                f"the card has format {self.values.get('format')!r}; this emoscope reads format "
                f"{FORMAT}: a newer one may have written it"
            )
        emotions = self.texts("emotions")
        if not 2 <= len(emotions) <= MOST_EMOTIONS or len(set(emotions)) != len(emotions):
            raise self._bad("emotions", f"2 to {MOST_EMOTIONS} different names")
        if not all(map(_shows, emotions)):
            raise self._bad("emotions", f"names of 1 to {LONGEST_NAME} visible characters")
        width = self.integer("embedding_width", 1, MOST_VALUES)
        return Card(
            name=self.name("name"),
            emotions=emotions,
            input=self.part("input").input(),
            embedding_width=width,
            temperature=self.number("temperature", 1e-3, 1e3),
            uncertain=self.part("uncertain").uncertain(),
            domain=None if self.values.get("domain") is None else self.part("domain").domain(width),
            adapted=None
            if self.values.get("adapted") is None
            else self.part("adapted").adapted(width, len(emotions)),
            training=self.part("training").training(),
            results=self.results(),
            licence=self.text("licence"),
            notices=self.texts("notices"),
            emoscope=self.text("emoscope"),
        )

    def input(self) -> Input:
        kind = self.values.get("kind")
        if kind not in ("samples", "features", "frames"):
            raise self._bad("kind", "samples, features or frames")
        if kind == "samples":
            try:
                prepared = preprocess.from_spec(self.values.get("preprocess"))
            except (ValueError, TypeError) as error:
                raise ModelError(f"{self.place}.preprocess: {error}") from error
            return Input(
                kind=kind,
                rate=self.integer("rate", 4_000, 192_000),
                preprocess=prepared,
                shortest=self.number("shortest", 0.0, 60.0),
                longest=self.number("longest", 0.1, 3600.0),
            )
        features = self.objects("features")
        for feature in features:
            if not isinstance(feature.get("name"), str) or not isinstance(
                feature.get("spec"), dict
            ):
                raise self._bad("features", "a list of {name, spec}")
        rate = self.integer("rate", MIN_RATE, MAX_RATE) if self.values.get("rate") else 0
        width = self.integer("width", 1, MOST_VALUES)
        return Input(kind=kind, rate=rate, features=features, width=width)

    def uncertain(self) -> Uncertain:
        names = ("threshold", "coverage", "risk")
        return Uncertain(**{name: self.number(name, 0.0, 1.0) for name in names})

    def domain(self, width: int) -> Domain:
        components = self.array("components", None, width)
        variances = self.array("variances", len(components))
        if not (variances > 0).all():
            raise ModelError(f"{self.place}.variances are not all positive")
        return Domain(
            mean=self.array("mean", width),
            components=components,
            variances=variances,
            residual=self.number("residual", 1e-30, 1e30),
            threshold=self.number("threshold", 1e-6, 1e30),
        )

    def adapted(self, width: int, n_emotions: int) -> AdaptedHead:
        return AdaptedHead(
            weights=self.array("weights", width, n_emotions),
            bias=self.array("bias", n_emotions),
            temperature=self.number("temperature", 1e-3, 1e3),
            minimum_clips=self.integer("minimum_clips", 1, 1_000_000),
        )

    def results(self) -> tuple[dict[str, Any], ...]:
        found = self.objects("results")
        for n, run in enumerate(found):
            part = _Reader(run, f"{self.place}.results[{n}]")
            for key in ("corpus", "protocol"):
                part.text(key)
            for key in MEASURED:
                if run.get(key) is not None:
                    part.number(key, 0.0, 1.0)
            if run.get("n_clips") is not None:
                part.integer("n_clips", 0, MOST_CLIPS)
        return found

    def training(self) -> dict[str, Any]:
        names = [corpus.get("name") for corpus in self.objects("corpora")]
        for n, corpus in enumerate(self.objects("corpora")):
            part = _Reader(corpus, f"{self.place}.corpora[{n}]")
            part.texts("speakers")
            for key in ("name", "licence", "citation"):
                part.text(key)
            if "speakers" not in corpus or "name" not in corpus:
                raise ModelError(f"{part.place} lacks its name or speakers")
            if corpus.get("n_clips") is not None:
                part.integer("n_clips", 0, MOST_CLIPS)
            if names.count(corpus["name"]) > 1:
                raise ModelError(f"{part.place} has the name of another one")
        return dict(self.values)
