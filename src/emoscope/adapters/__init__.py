"""Models of other tools as a :class:`emoscope.modelfile.ModelFile`, so that all commands take them.

=======================================  ========================================================
``hf:ORG/NAME[@REVISION]`` or a folder   audio classification of transformers (:mod:`.hub`)
``FILE.onnx``                            a graph with a card ``FILE.json`` beside it (:mod:`.graphs`)
``python:package.module:function``       a function of somebody's own (:mod:`.functions`)
``http://HOST:PORT``                     a server with emoscope's HTTP API (:mod:`.servers`)
=======================================  ========================================================

Their labels become emotions by :func:`emoscope.labels.canonical`; labels of one emotion are summed.
As nobody measured at which confidence such a model is right, all its labels are uncertain.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FeatureError, ModelError, UnknownNameError
from ..files import printable
from ..labels import canonical, explain, folded, in_order
from ..modelfile import ModelFile
from ..modelfile.card import MAX_NAME, Card, Input, Uncertain

Array = NDArray[np.float32]

SMALLEST = 1e-9  # added to a probability before its logarithm is taken
_KINDS = {"hf": "hub", "python": "functions", "http": "servers", "https": "servers"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Foreign:
    """A model as its own tool loads it."""

    name: str
    labels: tuple[str, ...]
    rate: int  # Hz of what it hears
    #: Of samples (n,): logits (n_labels,), and how far they are from its training data, as a multiple
    #: of its limit; 0 where it does not tell.
    hear: Callable[[Array], tuple[Array, float]]
    version: str  # by which two of the same name differ
    shortest: float = 0.2  # seconds
    longest: float = 30.0
    said: tuple[str, ...] = ()  # what its user has to know
    card: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # further values of its card


@dataclasses.dataclass(frozen=True)
class Mapped:
    """Its logits of emotions: each is one label, or the sum of several."""

    model: Foreign
    labels_of: tuple[list[int], ...]  # of each emotion

    def run(self, array: Array, /) -> tuple[Array, Array]:
        """Logits and, as embedding, the distance; as :class:`emoscope.modelfile.Graph`."""
        heard = [self.model.hear(samples) for samples in array]
        logits = np.stack([one for one, _ in heard]).astype(np.float64)
        if logits.shape[1:] != (expected := (len(self.model.labels),)):
            raise ModelError(f"it gave shape {logits.shape[1:]}; its labels are {expected[0]}")
        summed = [np.logaddexp.reduce(logits[:, labels], axis=1) for labels in self.labels_of]
        distances = np.array([[distance] for _, distance in heard], np.float32)
        return np.stack(summed, axis=1).astype(np.float32), distances


def load(name: str, words: Mapping[str, str], *, threads: int = 1) -> ModelFile:
    """The model of that name; `words` are what its labels mean, as the caller says."""
    kind = _KINDS.get(name.partition(":")[0], "hub")
    kind = "graphs" if name.lower().endswith(".onnx") and kind == "hub" else kind
    try:
        module = importlib.import_module(f".{kind}", __name__)
        model: Foreign = module.load(name, threads=threads)
        labels_of, said = _meanings(model, words)
        card = Card(**_values(model, tuple(labels_of)))
    except (FeatureError, ModelError, UnknownNameError) as error:
        text = printable(str(error))
        raise ModelError(text if text.startswith(name) else f"{name}: {text}") from error
    told = repr((model.version, labels_of)).encode()
    checksum = hashlib.sha256(told).hexdigest()[:16]
    return ModelFile(name, card, Mapped(model, tuple(labels_of.values())), checksum, said)


def _meanings(
    model: Foreign, words: Mapping[str, str]
) -> tuple[dict[str, list[int]], tuple[str, ...]]:
    """The labels of each emotion by number, and what must be said of them."""
    meant = [canonical(label, words) for label in model.labels]
    pairs = list(zip(map(printable, model.labels), meant, strict=True))
    if unknown := {label: 0 for label, emotion in pairs if emotion is None}:
        raise ModelError(explain(unknown))
    found = {e: [n for n, m in enumerate(meant) if m == e] for e in in_order(filter(None, meant))}
    read = [
        f"{label} as {emotion}" if emotion else f"{label} left out"
        for label, emotion in pairs
        if folded(label) != emotion
    ]
    said = [f"its labels are read so: {', '.join(read)}"] if read else []
    return found, (*said, *model.said)


def _values(model: Foreign, emotions: tuple[str, ...]) -> dict[str, Any]:
    sound = Input(kind="samples", rate=model.rate, shortest=model.shortest, longest=model.longest)
    name = re.sub(r"[/\\:]+|^\.+", "-", printable(model.name))[:MAX_NAME].strip() or "model"
    never = Uncertain(threshold=1.0, coverage=0.0, risk=0.0)
    own = {"name": name, "emotions": emotions, "input": sound, "embedding_width": 1}
    return {**own, "temperature": 1.0, "uncertain": never, "licence": "unknown", **model.card}
