"""Reads what an ONNX file is made of before any runtime sees it, in plain Python.

onnxruntime executes whatever graph it is given: it follows references to other files, runs loops
without end and folds constants of any size while loading. :func:`check` therefore reads the
protobuf itself and lets through only graphs made of a fixed list of operators without control flow,
with every weight inside the file and finite. It neither imports the package ``onnx`` nor builds
objects for weights: a file of 20 MB takes some ten milliseconds.

Field numbers are those of ``onnx.proto`` (ONNX IR version 10, Apache-2.0, https://onnx.ai).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np

Buffer: TypeAlias = memoryview
Field: TypeAlias = tuple[int, int, "int | memoryview"]

STANDARD_OPERATORS = frozenset(
    re.findall(
        r"\w+",
        """
        Abs Add And ArgMax ArgMin AveragePool BatchNormalization Cast CastLike Ceil Clip
        Concat Constant ConstantOfShape Conv Cos CumSum DequantizeLinear Div
        DynamicQuantizeLinear Einsum Elu Equal Erf Exp Expand Flatten Floor GRU Gather
        GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalMaxPool Greater
        GreaterOrEqual HardSigmoid HardSwish Identity InstanceNormalization LSTM
        LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization MatMul
        MatMulInteger Max MaxPool Mean Min Mish Mod Mul Neg Not Or PRelu Pad Pow QLinearConv
        QLinearMatMul QuantizeLinear Range Reciprocal ReduceL1 ReduceL2 ReduceLogSumExp
        ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape
        Round Selu Shape Sigmoid Sign Sin Size Slice Softmax Softplus Softsign Split Sqrt
        Squeeze Sub Sum Tanh Tile TopK Transpose Trilu Unsqueeze Where
        """,
    )
)
LEARNING_OPERATORS = frozenset(
    re.findall(
        r"\w+",
        """
        ArrayFeatureExtractor Binarizer Imputer LinearClassifier LinearRegressor Normalizer
        SVMClassifier Scaler TreeEnsembleClassifier
        """,
    )
)
RUNTIME_OPERATORS = frozenset(
    re.findall(
        r"\w+",
        """
        BiasGelu ConvInteger DynamicQuantizeMatMul FastGelu FusedConv FusedGemm FusedMatMul
        Gelu MatMulIntegerToFloat MatMulNBits SkipLayerNormalization
        """,
    )
)
ALLOWED = {
    "": STANDARD_OPERATORS | {"ConvInteger"},
    "ai.onnx": STANDARD_OPERATORS | {"ConvInteger"},
    "ai.onnx.ml": LEARNING_OPERATORS,
    # Operators that onnxruntime itself contains; nothing has to be installed or loaded for them.
    "com.microsoft": RUNTIME_OPERATORS,
}
# Operators whose result can be far larger than their inputs; what they ask for is bounded below.
GROWING = frozenset({"ConstantOfShape", "Expand", "Pad", "Range", "Tile"})
LARGEST_DIMENSION = 1 << 24
"""Largest absolute value of a stored integer in a graph that contains growing operators."""
MOST_NODES = 20_000
DEEPEST = 16

_FLOAT_TYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype("<f4"),
    10: np.dtype("<f2"),
    11: np.dtype("<f8"),
}
_INTEGER_TYPES: dict[int, np.dtype[Any]] = {6: np.dtype("<i4"), 7: np.dtype("<i8")}
_BFLOAT16 = 16
# Runs of an attribute's `floats` (field 7, four bytes each) and `ints` (field 8, variable length).
_FLOATS = re.compile(rb"(?:\x3d.{4})+", re.DOTALL)
_INTEGERS = re.compile(rb"(?:\x40[\x80-\xff]{0,9}[\x00-\x7f])+", re.DOTALL)


class ScanError(ValueError):
    """The bytes are not an ONNX graph that emoscope runs; the message says why."""


def _varint(buffer: Buffer, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(buffer) or shift > 63:
            raise ScanError("not a valid ONNX file (broken number)")
        byte = buffer[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _field(buffer: Buffer, at: int) -> tuple[int, int, int | Buffer, int]:
    """The field at a position: number, wire type, integer or bytes, and where the next begins."""
    key, at = _varint(buffer, at)
    number, wire = key >> 3, key & 7
    if wire == 0:
        value, at = _varint(buffer, at)
        return number, wire, value, at
    if wire == 2:
        length, at = _varint(buffer, at)
    elif wire in (1, 5):
        length = 8 if wire == 1 else 4
    else:
        raise ScanError(f"not a valid ONNX file (wire type {wire})")
    if number == 0 or at + length > len(buffer):
        raise ScanError("not a valid ONNX file (cut off)")
    return number, wire, buffer[at : at + length], at + length


def fields(buffer: Buffer) -> Iterator[Field]:
    """The fields of one protobuf message: (number, wire type, integer or bytes)."""
    at = 0
    while at < len(buffer):
        number, wire, value, at = _field(buffer, at)
        yield number, wire, value


def _text(value: int | Buffer) -> str:
    if isinstance(value, int):
        raise ScanError("not a valid ONNX file (a text is missing)")
    return bytes(value[:200]).decode("utf-8", "replace")


def _message(value: int | Buffer) -> Buffer:
    if isinstance(value, int):
        raise ScanError("not a valid ONNX file (a part is missing)")
    return value


class _Scan:
    """One pass over a model; collects what :func:`check` reports."""

    def __init__(self) -> None:
        self.nodes = 0
        self.grows = False
        self.largest = 0

    def model(self, buffer: Buffer) -> None:
        graphs = 0
        for number, _, value in fields(buffer):
            if number == 7:
                graphs += 1
                self.graph(_message(value), 0)
            elif number == 8:
                self.opset(_message(value))
            elif number == 25:
                raise ScanError("it defines functions of its own")
            elif number == 20:
                raise ScanError("it contains training information")
        if graphs != 1 or not self.nodes:
            raise ScanError("not a valid ONNX file (no graph)")
        if self.grows and self.largest > LARGEST_DIMENSION:
            raise ScanError(
                f"it contains the integer {self.largest}; shapes may reach {LARGEST_DIMENSION}"
            )

    @staticmethod
    def opset(buffer: Buffer) -> None:
        domain = next((_text(v) for n, _, v in fields(buffer) if n == 1), "")
        # Exporters declare domains they do not use; operators are checked one by one.
        if len(domain) > 100:
            raise ScanError("not a valid ONNX file (domain name)")

    def graph(self, buffer: Buffer, level: int) -> None:
        for number, _, value in fields(buffer):
            if number == 1:
                self.node(_message(value), level)
            elif number == 5:
                self.tensor(_message(value))
            elif number == 15:
                raise ScanError("it contains sparse weights")

    def node(self, buffer: Buffer, level: int) -> None:
        operator, domain, attributes = "", "", []
        for number, _, value in fields(buffer):
            if number == 4:
                operator = _text(value)
            elif number == 7:
                domain = _text(value)
            elif number == 5:
                attributes.append(_message(value))
        self.nodes += 1
        if self.nodes > MOST_NODES:
            raise ScanError(f"it has more than {MOST_NODES} operators")
        if operator not in ALLOWED.get(domain, frozenset()):
            name = f"{domain}:{operator}" if domain else operator
            raise ScanError(f"operator '{name}' is not among those emoscope runs")
        self.grows |= operator in GROWING
        for attribute in attributes:
            self.attribute(attribute)

    def attribute(self, buffer: Buffer) -> None:
        at = 0
        while at < len(buffer):
            # Lists of numbers are stored one field each, and a forest has millions of them.
            floats = _FLOATS.match(buffer, at)
            if floats:
                packed = np.frombuffer(floats.group(), np.uint8).reshape(-1, 5)[:, 1:]
                self.finite(memoryview(packed.tobytes()), np.dtype("<f4"))
                at = floats.end()
                continue
            integers = _INTEGERS.match(buffer, at)
            if integers:
                at = integers.end()
                continue
            number, wire, value, at = _field(buffer, at)
            if number in (5, 10):
                self.tensor(_message(value))
            elif number in (6, 11):
                raise ScanError("it contains a graph inside an operator (control flow)")
            elif number in (22, 23):
                raise ScanError("it contains sparse weights")
            elif number in (2, 7) and wire in (2, 5):
                self.finite(_message(value), np.dtype("<f4"))

    def tensor(self, buffer: Buffer) -> None:
        """Check one stored tensor: inside the file, finite, and as long as its shape says."""
        shape, data_type, raw, typed = [], 0, None, []
        for number, wire, value in fields(buffer):
            if number == 1:
                shape += [value] if isinstance(value, int) else list(_varints(value))
            elif number == 2 and isinstance(value, int):
                data_type = value
            elif number == 9:
                raw = _message(value)
            elif number in (4, 10) and wire == 2:
                typed.append((np.dtype("<f4" if number == 4 else "<f8"), _message(value)))
            elif number in (5, 7):
                self.integers([value] if isinstance(value, int) else _varints(value))
            elif number == 13 or (number == 14 and value != 0):
                raise ScanError("its weights lie in another file")
        for dtype, packed in typed:
            self.finite(packed, dtype)
        if raw is not None:
            self.raw_tensor(raw, data_type, math.prod(shape))

    def raw_tensor(self, raw: Buffer, data_type: int, size: int) -> None:
        dtype = _FLOAT_TYPES.get(data_type) or _INTEGER_TYPES.get(data_type)
        if dtype is not None and len(raw) != size * dtype.itemsize:
            raise ScanError("a weight has another size than its shape")
        if data_type in _FLOAT_TYPES:
            self.finite(raw, _FLOAT_TYPES[data_type])
        elif data_type in _INTEGER_TYPES and size:
            values = np.frombuffer(raw, _INTEGER_TYPES[data_type])
            self.integers([int(values.max()), int(values.min())])
        elif data_type == _BFLOAT16 and (np.frombuffer(raw, "<u2") & 0x7F80 == 0x7F80).any():
            raise ScanError("a weight is not finite")

    def integers(self, values: Iterator[int] | list[int]) -> None:
        for value in values:
            signed = value - (1 << 64) if value >= 1 << 63 else value
            # The two ends of int64 stand for 'to the end' in slices and are harmless as shapes.
            if abs(signed) < (1 << 63) - 1:
                self.largest = max(self.largest, abs(signed))

    @staticmethod
    def finite(packed: Buffer, dtype: np.dtype[Any]) -> None:
        if len(packed) % dtype.itemsize:
            raise ScanError("a weight is cut off")
        values = np.frombuffer(packed, dtype)
        # A single infinity is an operator's constant (what lies outside a picture whose largest
        # value is taken), never a weight.
        if not np.isfinite(values).all() and not (values.size == 1 and np.isinf(values[0])):
            raise ScanError("a weight is not finite")


def _varints(buffer: Buffer) -> Iterator[int]:
    at = 0
    while at < len(buffer):
        value, at = _varint(buffer, at)
        yield value


def check(content: bytes) -> None:
    """Raise unless the bytes are an ONNX graph that is safe to give to onnxruntime.

    Parameters
    ----------
    content : bytes
        A serialised ``ModelProto``.

    Raises
    ------
    ScanError
        With the reason: not ONNX, weights in other files, sparse or not finite, an operator outside
        :data:`ALLOWED`, control flow, functions, or absurd shapes.
    """
    _Scan().model(memoryview(content))
