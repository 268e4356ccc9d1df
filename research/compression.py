"""Makes the weights of an ONNX graph smaller.

=================  ============================================================================
``float16``        stored in half precision, computed in single: half the size. Whisper's weights
                   were published in half precision and lose nothing.
``int8``           stored in 8 bits, computed in single precision: a quarter of the size. Matrices
                   have one scale per output and 32 inputs, convolutions one per output.
``mixed``          the first 40 % of the weights as ``float16``, the others as ``int8``: an error
                   in the first layers passes through all others.
=================  ============================================================================

Stored weights are given back by ordinary operators (``Cast``, ``Mul``, ``Reshape``), which onnxruntime folds
when it loads a graph. Needs the extra ``deep``.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from emoscope.models.onnx_graph import need
from emoscope.training.export import large_weights

Array = NDArray[np.float32]
Scheme = Literal["float16", "int8", "mixed"]

GROUP = 32
"""Inputs that share a scale; its 16 bits then add half a bit to every weight."""
MIXED_SHARE = 0.4


def compress(content: bytes, scheme: Scheme) -> bytes:
    """Store the float32 weights of a serialised graph as a scheme says; see the module."""
    onnx = need("onnx")
    model = onnx.load_from_string(content)
    graph = model.graph
    consumer = {name: node.op_type for node in graph.node for name in node.input}
    weights = large_weights(graph)
    half = _in_half_precision(graph, weights, scheme)
    rest = [tensor for tensor in graph.initializer if tensor.name not in weights]
    decoders: list[Any] = []
    for name, values in weights.items():
        if name in half:
            tensors, nodes = _half(name, values)
        elif consumer.get(name) == "MatMul" and values.ndim == 2 and values.shape[0] % GROUP == 0:
            tensors, nodes = _eight_bits_grouped(name, values)
        else:
            # Rows of a matrix product's weights are inputs, of every other operator's outputs.
            channel = values.ndim - 1 if consumer.get(name) == "MatMul" else 0
            tensors, nodes = _eight_bits(name, values, channel)
        rest += tensors
        decoders += nodes
    nodes_before = list(graph.node)
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(rest)
    graph.node.extend([*decoders, *nodes_before])
    return bytes(model.SerializeToString())


def _in_half_precision(graph: Any, weights: dict[str, Array], scheme: Scheme) -> set[str]:
    """Names of the weights that are stored in half precision."""
    if scheme != "mixed":
        return set(weights) if scheme == "float16" else set()
    room = MIXED_SHARE * sum(values.size for values in weights.values())
    chosen: set[str] = set()
    for name in (name for node in graph.node for name in node.input if name in weights):
        if name in chosen:
            continue
        room -= weights[name].size
        if room < 0:
            break
        chosen.add(name)
    return chosen


def _half(name: str, values: Array) -> tuple[list[Any], list[Any]]:
    """Tensors and nodes that store an array in half precision and give it back."""
    onnx = need("onnx")
    stored = onnx.numpy_helper.from_array(values.astype(np.float16), f"{name}.half")
    to = onnx.TensorProto.FLOAT
    return [stored], [onnx.helper.make_node("Cast", [stored.name], [name], to=to)]


def _eight_bits(name: str, values: Array, channel: int) -> tuple[list[Any], list[Any]]:
    """The same in 8 bits, with one scale per position on the axis `channel`."""
    axes = tuple(axis for axis in range(values.ndim) if axis != channel)
    return _scaled_integers(name, values, axes, name)


def _eight_bits_grouped(name: str, values: Array) -> tuple[list[Any], list[Any]]:
    """The same for a matrix (n_inputs, n_outputs), with one scale per output and group of inputs."""
    onnx = need("onnx")
    grouped = values.reshape(-1, GROUP, values.shape[1])
    tensors, nodes = _scaled_integers(name, grouped, (1,), f"{name}.grouped")
    shape = np.array(values.shape, dtype=np.int64)
    tensors.append(onnx.numpy_helper.from_array(shape, f"{name}.shape"))
    given = [f"{name}.grouped", f"{name}.shape"]
    return tensors, [*nodes, onnx.helper.make_node("Reshape", given, [name])]


def _scaled_integers(
    name: str, values: Array, axes: tuple[int, ...], result: str
) -> tuple[list[Any], list[Any]]:
    """Integers up to 127 and a half-precision scale for each slice along `axes`."""
    onnx = need("onnx")
    largest = np.abs(values).max(axis=axes, keepdims=True) / 127.0
    scale = np.maximum(largest, np.finfo(np.float16).tiny).astype(np.float16)
    stored = np.clip(np.round(values / scale.astype(np.float32)), -127, 127).astype(np.int8)
    tensors = [
        onnx.numpy_helper.from_array(stored, f"{name}.int8"),
        onnx.numpy_helper.from_array(scale, f"{name}.step"),
    ]
    make, to = onnx.helper.make_node, onnx.TensorProto.FLOAT
    nodes = [
        make("Cast", [f"{name}.int8"], [f"{name}.whole"], to=to),
        make("Cast", [f"{name}.step"], [f"{name}.scale"], to=to),
        make("Mul", [f"{name}.whole", f"{name}.scale"], [result]),
    ]
    return tensors, nodes
