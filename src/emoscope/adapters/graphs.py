"""``FILE.onnx`` as a model: any graph of samples, with a card ``FILE.json`` that says what it means.

The graph is checked and sandboxed as that of a foreign ``.emoscope`` file; what it takes, of shape
(n), (1, n) or (1, 1, n), and gives is brought to the form of :mod:`emoscope.modelfile`.
"""

import dataclasses
import zlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ..errors import ModelError
from ..modelfile import GRAPH, MAX_BYTES, safety
from ..modelfile.card import Input
from ..modelfile.sandbox import Promise, SandboxedGraph
from . import SMALLEST, Array, Foreign

EXAMPLE = '{"labels": ["angry", "happy", "neutral", "sad"], "rate": 16000}'
OWN = "own_"  # before every name of the graph, so that none is ours


class GraphCard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The card of a graph."""

    labels: tuple[str, ...]  # in the order of its output
    rate: int  # Hz
    input: str = ""  # names; by default the only one
    output: str = ""
    probabilities: bool = False  # that is what it gives, not logits
    licence: str = "unknown"


def load(name: str, *, threads: int) -> Foreign:
    """The graph and its card; a ModelError says why they cannot be used."""
    beside = Path(name).with_suffix(".json")
    try:
        content, told = Path(name).read_bytes(), beside.read_bytes()
        card = msgspec.json.decode(told, type=GraphCard)
    except OSError as error:
        wanted = f"a graph needs a card beside it, {beside.name}, such as {EXAMPLE}"
        raise ModelError(f"{error.filename}: {error.strerror}; {wanted}") from error
    except ValueError as error:
        raise ModelError(f"{beside.name}: {error}; an example is {EXAMPLE}") from error
    if len(content) > MAX_BYTES[GRAPH]:
        raise ModelError(f"a graph may have {MAX_BYTES[GRAPH]} bytes; found {len(content)}")
    graph, n_samples = _in_our_form(content, card)
    promise = Promise("samples", 0, len(card.labels), 1)
    runner = SandboxedGraph(graph, promise, threads=threads, optimise=True)

    def hear(samples: Array) -> tuple[Array, float]:
        found, _ = runner.run(samples[np.newaxis])
        logits = np.log(np.maximum(found, 0) + SMALLEST) if card.probabilities else found
        return logits[0], 0.0

    sound = Input(kind="samples", rate=card.rate)
    if seconds := n_samples / card.rate:
        sound = dataclasses.replace(sound, shortest=seconds, longest=seconds)
    return Foreign(
        name=beside.stem, labels=card.labels, hear=hear, version=str(zlib.crc32(content + told)),
        sound=sound, card={"licence": card.licence},
    )  # fmt: skip


def _in_our_form(content: bytes, card: GraphCard) -> tuple[bytes, int]:
    """A graph of ``samples``, ``logits`` and ``embedding``; how many samples it takes, if just so many."""
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.compose.add_prefix(onnx.load_from_string(safety.check(content)), OWN)
    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}
    given = _one("input", [v for v in graph.input if v.name not in weights], card.input)
    result = _one("output", graph.output, card.output)
    sizes = given.type.tensor_type.shape.dim
    if not 1 <= len(sizes) <= 3:
        raise ModelError(f"its input has {len(sizes)} dimensions; samples have 1, 2 or 3")
    to_input = np.array([1] * (len(sizes) - 1) + [-1])
    arrays = {"to_input": to_input, "to_logits": np.array([1, -1]), "none": np.zeros((1, 1), "f4")}
    graph.initializer.extend(numpy_helper.from_array(a, name) for name, a in arrays.items())
    graph.node.insert(0, helper.make_node("Reshape", ["samples", "to_input"], [given.name]))
    graph.node.append(helper.make_node("Reshape", [result.name, "to_logits"], ["logits"]))
    graph.node.append(helper.make_node("Identity", ["none"], ["embedding"]))
    del graph.input[:], graph.output[:]

    def floats(name: str, *shape: int | str) -> Any:
        return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)

    graph.input.append(floats("samples", 1, "n"))
    graph.output.extend([floats("logits", 1, len(card.labels)), floats("embedding", 1, 1)])
    return model.SerializeToString(), sizes[-1].dim_value


def _one(kind: str, values: Any, asked: str) -> Any:
    found = {value.name.removeprefix(OWN): value for value in values}
    if asked in found or (not asked and len(found) == 1):
        return found[asked or next(iter(found))]
    said = f"the card asks for '{asked}'" if asked else f"name one on the card as {kind}"
    raise ModelError(f"the graph's {kind}s are {', '.join(found) or 'none'}; {said}")
