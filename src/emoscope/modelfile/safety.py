"""Checks the graph of a foreign model file before onnxruntime sees it, which executes any graph.

:func:`check` lets through a fixed list of operators, without control flow, with every weight inside
the file and finite, and serialises what it has checked: only that runs, in a :mod:`.sandbox`.
"""

from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from ..errors import MissingExtraError, ModelError
from ..files import shipped_table

try:
    from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper
except ImportError as error:
    raise MissingExtraError("a model that emoscope did not bring", "onnx", "onnx") from error

#: The operators that are run, by their domain.
ALLOWED = {k: frozenset(v.split()) for k, v in shipped_table("onnx_operators.toml").items()}
ALLOWED["ai.onnx"] = ALLOWED[""]  # another name of the standard ones
# Their result can be far larger than their inputs.
EXPANDING = frozenset({"ConstantOfShape", "Expand", "Pad", "Range", "Tile"})
MAX_DIMENSION = 1 << 24  # of a stored integer, absolute, in a graph with such operators
MAX_NODES = 20_000
NUMERIC = ("FLOAT", "FLOAT16", "DOUBLE", "BOOL", "UINT8", "INT8", "INT32", "INT64")
NUMERIC_TYPES = frozenset(map(TensorProto.DataType.Value, NUMERIC))


def check(content: bytes) -> bytes:
    """Check a serialised ONNX graph and serialise what was checked anew; a ModelError says why not."""
    try:
        model = ModelProto.FromString(content)
        model.DiscardUnknownFields()
        if model.functions or model.training_info:
            raise ModelError("it defines functions of its own, or how it is trained")
        if not model.graph.node:
            raise ModelError("not a valid ONNX file (no graph)")
        _Check().graph(model.graph)
        versions = {"ir_version": model.ir_version, "opset_import": model.opset_import}
        return bytes(ModelProto(**versions, graph=model.graph).SerializeToString())
    except (DecodeError, UnicodeDecodeError) as error:
        raise ModelError("not a valid ONNX file") from error


class _Check:
    """One pass over a graph; replaces its tensors by what was read of them."""

    def __init__(self) -> None:
        self.max_integer = 0

    def graph(self, graph: GraphProto) -> None:
        if len(graph.node) > MAX_NODES:
            raise ModelError(f"it has {len(graph.node)} operators; at most {MAX_NODES} are run")
        if graph.sparse_initializer:
            raise ModelError("it contains sparse weights")
        del graph.value_info[:], graph.quantization_annotation[:]
        for value in (*graph.input, *graph.output):
            if value.type.WhichOneof("value") != "tensor_type":
                raise ModelError("it works on more than tensors")
        for node in graph.node:
            self.node(node)
        for tensor in graph.initializer:
            self.tensor(tensor)
        expands, largest = any(n.op_type in EXPANDING for n in graph.node), self.max_integer
        if expands and largest > MAX_DIMENSION:
            raise ModelError(f"it contains the integer {largest}; shapes may reach {MAX_DIMENSION}")

    def node(self, node: NodeProto) -> None:
        if node.op_type not in ALLOWED.get(node.domain, frozenset()):
            name = f"{node.domain}:{node.op_type}" if node.domain else node.op_type
            raise ModelError(f"operator '{name[:200]}' is not among those emoscope runs")
        for attribute in node.attribute:
            self.attribute(attribute)
            if node.op_type == "Constant" and (attribute.s or attribute.strings):
                raise ModelError("it stores texts")
            told = (node.op_type, attribute.name, attribute.i)
            if told == ("Cast", "to", TensorProto.STRING):
                raise ModelError("it computes with texts")

    def attribute(self, attribute: AttributeProto) -> None:
        if attribute.HasField("g") or attribute.graphs:
            raise ModelError("it contains a graph inside an operator (control flow)")
        if attribute.HasField("sparse_tensor") or attribute.sparse_tensors:
            raise ModelError("it contains sparse weights")
        if attribute.HasField("tp") or attribute.type_protos:
            raise ModelError("it works on more than tensors")
        if attribute.ref_attr_name:
            raise ModelError("it defines functions of its own")
        _check_finite(np.array([attribute.f]))
        _check_finite(np.array(attribute.floats, np.float32))
        self.integers(np.array([attribute.i, *attribute.ints], np.int64))
        if attribute.HasField("t"):
            self.tensor(attribute.t)
        for tensor in attribute.tensors:
            self.tensor(tensor)

    def tensor(self, tensor: TensorProto) -> None:
        if tensor.data_location != TensorProto.DEFAULT or tensor.external_data:
            raise ModelError("its weights lie in another file")
        if tensor.data_type == TensorProto.STRING or tensor.string_data:
            raise ModelError("it stores texts")
        if tensor.data_type not in NUMERIC_TYPES:
            kind = f"the type {tensor.data_type}"
            raise ModelError(f"a weight has {kind}, which emoscope does not run")
        if any(length < 0 for length in tensor.dims):
            raise ModelError("a weight has another size than its shape")
        try:
            values = numpy_helper.to_array(tensor)
        except (ValueError, TypeError, OverflowError) as error:
            raise ModelError("a weight has another size than its shape") from error
        if values.dtype.kind == "f":
            _check_finite(values)
        elif values.dtype.itemsize >= 4:
            self.integers(values)
        # A tensor can hold its values in several fields; what was read is what stays.
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))

    def integers(self, values: NDArray[Any]) -> None:
        """Note the largest of integers that may be dimensions."""
        for value in (int(values.max()), int(values.min())) if values.size else ():
            # The two ends of int64 stand for 'to the end' in slices and are harmless as shapes.
            if abs(value) < (1 << 63) - 1:
                self.max_integer = max(self.max_integer, abs(value))


def _check_finite(values: NDArray[Any]) -> None:
    # A single infinity is an operator's constant (what lies outside a picture whose largest value is
    # taken), never a weight.
    if not np.isfinite(values).all() and not (values.size == 1 and np.isinf(values).all()):
        raise ModelError("a weight is not finite")
