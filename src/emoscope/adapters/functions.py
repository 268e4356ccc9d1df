"""``python:package.module:function`` as a model: code of the user's own, which runs as it is.

It is called with samples (float32, mono, in [-1, 1]) and their rate, and returns the probability of each
label: a mapping, or an array in the order of its attribute ``labels`` (without it, it is called once with
noise to see them). An attribute ``rate`` is the rate it wants, else 16 kHz. A class is instantiated
without arguments first. Calls come one at a time.
"""

import importlib
import operator
import os
import sys
import threading
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ModelError
from ..files import sentence
from ..modelfile.card import Input
from . import SMALLEST, Array, Foreign

RATE = 16_000
CODE = "it is a Python function: the code of its author runs with all your rights, in no sandbox"


def load(name: str, *, threads: int) -> Foreign:
    """The function; a ModelError says why it cannot be used."""
    where, _, attribute = name.removeprefix("python:").partition(":")
    if not (where and attribute):
        raise ModelError("expected python:package.module:function")
    if (here := os.getcwd()) not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(where)
        function = operator.attrgetter(attribute)(module)
        function = function() if isinstance(function, type) else function
        rate = int(getattr(function, "rate", RATE))
    except Exception as error:
        raise ModelError(f"cannot be imported: {type(error).__name__}: {error}") from error
    lock = threading.Lock()
    if (labels := getattr(function, "labels", None)) is None:
        labels = _called(function, np.random.default_rng(0).normal(0, 0.01, rate), rate)
        if not isinstance(labels, Mapping):
            raise ModelError(sentence("no_attribute_labels", given=f"{labels!r:.80}"))
    known = tuple(map(str, labels))

    def hear(samples: Array) -> tuple[Array, float]:
        with lock:
            return _logits(_called(function, samples, rate), known), 0.0

    file = getattr(module, "__file__", None)
    return Foreign(
        name=f"{where}.{attribute}", labels=known, sound=Input(kind="samples", rate=rate), hear=hear,
        version=str(zlib.crc32(Path(file).read_bytes() if file else b"")), said=(CODE,),
    )  # fmt: skip


def _called(function: Any, samples: Any, rate: int) -> Any:
    try:
        return function(np.array(samples, np.float32), rate)
    except Exception as error:
        raise ModelError(f"it raised {type(error).__name__}: {error}") from error


def _logits(found: Any, labels: tuple[str, ...]) -> Array:
    """Logarithms of the probabilities that a function gave, which are looked at."""
    is_mapping = isinstance(found, Mapping) and set(found) <= set(labels)
    try:
        given = [found.get(label, 0.0) for label in labels] if is_mapping else found
        values = np.asarray(given, np.float64)
        is_usable = values.shape == (len(labels),) and values.min() >= 0
        if is_usable and abs(values.sum() - 1) <= 0.01:
            return np.asarray(np.log(values + SMALLEST), np.float32)
    except (TypeError, ValueError):
        pass
    wanted = f"a probability of each of {', '.join(labels)}, together 1"
    raise ModelError(f"it gave {' '.join(repr(found).split()):.100}; expected {wanted}")
