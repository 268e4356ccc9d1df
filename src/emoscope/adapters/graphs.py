"""``FILE.onnx`` as a model: any graph of samples, with a card ``FILE.json`` that says what it means.

The graph is checked and sandboxed as that of a foreign ``.emoscope`` file; what it takes, of shape
(n), (1, n) or (1, 1, n), and gives is brought to the form of :mod:`emoscope.modelfile`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ..errors import ModelError
from ..modelfile import GRAPH, MAX_BYTES, safety
from ..modelfile.sandbox import Promise, SandboxedGraph
from . import SMALLEST, Array, Foreign

EXAMPLE = '{"labels": ["angry", "happy", "neutral", "sad"], "rate": 16000}'
SHAPES = {1: [-1], 2: [1, -1], 3: [1, 1, -1]}  # of samples, by rank
OWN = "own_"  # before every name of the graph, so that none is ours


class GraphCard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The card of a graph."""

    labels: tuple[str, ...]  # in the order of its output
    rate: int  # Hz
    input: str = ""  # names; by default the only one
    output: str = ""
    probabilities: bool = False  # that is what it gives, not logits
    shortest: float = 0.2  # seconds that it can take
    longest: float = 30.0
    licence: str = "unknown"


def load(name: str, *, threads: int) -> Foreign:
    """The graph and its card; a ModelError says why they cannot be used."""
    path = Path(name)
    beside = path.with_suffix(".json")
    try:
        content = path.read_bytes() if path.stat().st_size <= MAX_BYTES[GRAPH] else b""
        told = beside.read_bytes()
        card = msgspec.json.decode(told, type=GraphCard)
    except OSError as error:
        wanted = f"a graph needs a card beside it, {beside.name}, such as {EXAMPLE}"
        raise ModelError(f"{error.filename}: {error.strerror}; {wanted}") from error
    except (msgspec.DecodeError, UnicodeError) as error:
        raise ModelError(f"{beside.name}: {error}; an example is {EXAMPLE}") from error
    graph, fixed = _in_our_form(content, card)
    promise = Promise("samples", 0, len(card.labels), 1)
    runner = SandboxedGraph(graph, promise, threads=threads, optimise=True)

    def hear(samples: Array) -> tuple[Array, float]:
        found, _ = runner.run(samples[np.newaxis])
        logits = np.log(np.maximum(found, 0) + SMALLEST) if card.probabilities else found
        return logits[0], 0.0

    shortest, longest = (fixed / card.rate,) * 2 if fixed else (card.shortest, card.longest)
    return Foreign(
        name=path.stem, labels=card.labels, rate=card.rate, hear=hear, shortest=shortest,
        longest=longest, version=hashlib.sha256(content + told).hexdigest(),
        card={"licence": card.licence},
    )  # fmt: skip


def _in_our_form(content: bytes, card: GraphCard) -> tuple[bytes, int]:
    """A graph of ``samples``, ``logits`` and ``embedding``; how many samples it takes, if just so many."""
    model = onnx.load_from_string(safety.check(content))
    model = onnx.compose.add_prefix(model, OWN)
    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}
    given = _one("input", [v for v in graph.input if v.name not in weights], card.input)
    result = _one("output", graph.output, card.output)
    sizes = given.type.tensor_type.shape.dim
    if len(sizes) not in SHAPES:
        raise ModelError(f"its input has {len(sizes)} dimensions; samples have 1, 2 or 3")
    value, floats = helper.make_tensor_value_info, TensorProto.FLOAT
    shapes = {"to_input": SHAPES[len(sizes)], "to_logits": [1, len(card.labels)]}
    graph.initializer.extend(
        numpy_helper.from_array(np.array(shape), name) for name, shape in shapes.items()
    )
    graph.node.insert(0, helper.make_node("Reshape", ["samples", "to_input"], [given.name]))
    graph.node.append(helper.make_node("Reshape", [result.name, "to_logits"], ["logits"]))
    nothing = numpy_helper.from_array(np.zeros((1, 1), np.float32))
    graph.node.append(helper.make_node("Constant", [], ["embedding"], value=nothing))
    del graph.input[:], graph.output[:]
    graph.input.append(value("samples", floats, [1, "n_samples"]))
    graph.output.append(value("logits", floats, [1, len(card.labels)]))
    graph.output.append(value("embedding", floats, [1, 1]))
    return model.SerializeToString(), sizes[-1].dim_value


def _one(kind: str, values: Any, asked: str) -> Any:
    found = {value.name.removeprefix(OWN): value for value in values}
    if asked in found or (not asked and len(found) == 1):
        return found[asked or next(iter(found))]
    said = f"the card asks for '{asked}'" if asked else f"name one on the card as {kind}"
    raise ModelError(f"the graph's {kind}s are {', '.join(found) or 'none'}; {said}")
