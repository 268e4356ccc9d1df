"""Makes the weights of an ONNX graph smaller.

=================  ============================================================================
``float16``        stored in half precision, computed in single: half the size. Whisper's weights
                   were published in half precision and lose nothing.
``int8``           stored in 8 bits with one scale per output channel, computed in single
                   precision: a quarter of the size, the same speed.
``int8-dynamic``   matrix products computed in 8 bits too (their inputs are quantised as they
                   come): the smallest and fastest, and the least exact.
=================  ============================================================================

Stored weights are given back by ordinary operators (``Cast`` and ``Mul``), which onnxruntime folds
when it loads a graph. Needs the extra ``deep``.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .export import need, quiet, stripped

Array = NDArray[np.float32]
Scheme = Literal["float16", "int8", "int8-dynamic"]

SMALLEST = 4096
"""Values; smaller tensors (biases, normalisation) stay as they are."""
EXACT = ("log_mel.kernels", "log_mel.filters")
"""Tensors whose rounding would be heard: a spectrum spans ten orders of magnitude."""


def compress(content: bytes, scheme: Scheme) -> bytes:
    """Make the weights of a graph smaller.

    Parameters
    ----------
    content : bytes
        Serialised ONNX with float32 weights.
    scheme : {"float16", "int8", "int8-dynamic"}
        See the module.

    Returns
    -------
    bytes
        A graph with the same inputs and outputs.
    """
    onnx = need("onnx")
    if scheme == "int8-dynamic":
        content, scheme = _quantised_products(content), "int8"
    model = onnx.load_from_string(content)
    graph = model.graph
    consumer = {name: node.op_type for node in graph.node for name in node.input}
    kept, decoders = [], []
    for tensor in graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        small = values.dtype != np.float32 or values.size < SMALLEST
        if small or tensor.name in EXACT:
            kept.append(tensor)
        elif scheme == "float16":
            stored = f"{tensor.name}.half"
            kept.append(onnx.numpy_helper.from_array(values.astype(np.float16), stored))
            to = onnx.TensorProto.FLOAT
            decoders.append(onnx.helper.make_node("Cast", [stored], [tensor.name], to=to))
        else:
            # Rows of a matrix product's weights are inputs, of every other operator's outputs.
            inputs_first = consumer.get(tensor.name) == "MatMul"
            new_tensors, new_nodes = _eight_bits(tensor.name, values, inputs_first)
            kept += new_tensors
            decoders += new_nodes
    nodes = list(graph.node)
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend([*decoders, *nodes])
    return bytes(model.SerializeToString())


def _eight_bits(name: str, values: Array, inputs_first: bool) -> tuple[list[Any], list[Any]]:
    """Tensors and nodes that store an array in 8 bits per value and give it back."""
    onnx = need("onnx")
    channel = values.ndim - 1 if inputs_first else 0
    axes = tuple(axis for axis in range(values.ndim) if axis != channel)
    largest = np.abs(values).max(axis=axes, keepdims=True)
    scale = np.maximum(largest / 127.0, np.finfo(np.float32).tiny).astype(np.float32)
    stored = np.clip(np.round(values / scale), -127, 127).astype(np.int8)
    tensors = [
        onnx.numpy_helper.from_array(stored, f"{name}.int8"),
        onnx.numpy_helper.from_array(scale, f"{name}.step"),
    ]
    nodes = [
        onnx.helper.make_node(
            "Cast", [f"{name}.int8"], [f"{name}.whole"], to=onnx.TensorProto.FLOAT
        ),
        onnx.helper.make_node("Mul", [f"{name}.whole", f"{name}.step"], [name]),
    ]
    return tensors, nodes


def _quantised_products(content: bytes) -> bytes:
    """Matrix products with constant weights computed in 8 bits, by onnxruntime's own tool."""
    need("onnx")
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder, quiet():
        source, target = Path(folder) / "in.onnx", Path(folder) / "out.onnx"
        source.write_bytes(content)
        quantize_dynamic(
            source,
            target,
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},
        )
        return stripped(target.read_bytes())
