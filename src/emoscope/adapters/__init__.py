"""Models of other tools as a :class:`emoscope.modelfile.ModelFile`, so that all commands take them.

=======================================  ========================================================
``hf:ORG/NAME[@REVISION]`` or a folder   audio classification of transformers (:mod:`.hub`)
``FILE.onnx``                            a graph with a card ``FILE.json`` beside it (:mod:`.graphs`)
``python:package.module:function``       a function of somebody's own (:mod:`.functions`)
``http://HOST:PORT``                     a server with emoscope's HTTP API (:mod:`.servers`)
=======================================  ========================================================

Their labels become emotions by :func:`emoscope.labels.canonical`; labels of one emotion are summed.
As nobody tested at which confidence such a model is correct, all its labels are uncertain.
"""

import dataclasses
import hashlib
import importlib
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FeatureError, ModelError, UnknownNameError, installed
from ..files import printable
from ..labels import canonical, explain, folded, in_order
from ..modelfile import ModelFile
from ..modelfile.card import MAX_NAME, Card, Input, Uncertain

Array = NDArray[np.float32]

SMALLEST = 1e-9  # added to a probability before its logarithm is taken
_KINDS = {"hf": "hub", "python": "functions", "http": "servers", "https": "servers"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Foreign:
    """A model as its own tool loads it, and which of its labels are one emotion."""

    name: str
    labels: tuple[str, ...]
    sound: Input  # what it hears
    #: Of samples (n,): logits (n_labels,), and how far they are from its training data, as a multiple
    #: of its limit; 0 where it does not tell.
    hear: Callable[[Array], tuple[Array, float]]
    version: str  # by which two of the same name differ
    said: tuple[str, ...] = ()  # what its user has to know
    card: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # further values of its card
    labels_of: Mapping[str, list[int]] = dataclasses.field(default_factory=dict)  # an emotion

    def run(self, array: Array, /) -> tuple[Array, Array]:
        """Logits of emotions and, as embedding, the distance; as :class:`emoscope.modelfile.Graph`."""
        heard = [self.hear(samples) for samples in array]
        logits = np.stack([one for one, _ in heard]).astype(np.float64)
        if logits.shape[1:] != (n_labels := len(self.labels),):
            raise ModelError(f"it gave shape {logits.shape[1:]} for {n_labels} labels")
        summed = [np.logaddexp.reduce(logits[:, own], axis=1) for own in self.labels_of.values()]
        distances = np.array([[distance] for _, distance in heard], np.float32)
        return np.stack(summed, axis=1).astype(np.float32), distances


def load(name: str, words: Mapping[str, str], *, threads: int = 1) -> ModelFile:
    """The model of that name; `words` are what its labels mean, as the caller says."""
    kind = _KINDS.get(name.partition(":")[0], "graphs" if name.lower().endswith(".onnx") else "hub")
    if kind == "graphs":
        installed("onnx", name, "onnx")
    try:
        model: Foreign = importlib.import_module(f".{kind}", __name__).load(name, threads=threads)
        model, said = _mapped(model, words)
        title = re.sub(r"[/\\:]+|^\.+", "-", printable(model.name))[:MAX_NAME].strip() or "model"
        never = Uncertain(threshold=1.0, coverage=0.0, risk=0.0)
        values = {"uncertain": never, "licence": "unknown", **model.card}
        card = Card(
            name=title, emotions=tuple(model.labels_of), input=model.sound, embedding_width=1,
            temperature=1.0, **values,
        )  # fmt: skip
    except (FeatureError, ModelError, UnknownNameError) as error:
        text = printable(str(error))
        raise ModelError(text if text.startswith(name) else f"{name}: {text}") from error
    told = repr((model.version, model.labels_of)).encode()
    return ModelFile(name, card, model, hashlib.sha256(told).hexdigest()[:16], said)


def _mapped(model: Foreign, words: Mapping[str, str]) -> tuple[Foreign, tuple[str, ...]]:
    meant = [canonical(label, words) for label in model.labels]
    pairs = list(zip(map(printable, model.labels), meant, strict=True))
    if unknown := {label: 0 for label, emotion in pairs if emotion is None}:
        raise ModelError(explain(unknown))
    found = {e: [n for n, m in enumerate(meant) if m == e] for e in in_order(filter(None, meant))}
    other = [(label, emotion) for label, emotion in pairs if folded(label) != emotion]
    read = [f"{label} as {emotion}" if emotion else f"{label} left out" for label, emotion in other]
    said = (f"its labels are read so: {', '.join(read)}",) * bool(read)
    return dataclasses.replace(model, labels_of=found), (*said, *model.said)
