"""Reads what an ONNX file is made of before any runtime sees it, in plain Python.

onnxruntime executes whatever graph it is given: it follows references to other files, runs loops
without end and folds constants of any size while loading. :func:`check` therefore reads the
protobuf itself (:mod:`emoscope.modelfile.onnx_fields`) and lets through only graphs made of a fixed
list of operators without control flow, with every weight inside the file and finite, and that compute
with numbers alone: nothing bounds the memory of texts. It neither imports the package ``onnx`` nor
builds objects for weights: a file of 20 MB takes some ten milliseconds.
"""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import onnx_divisions, onnx_trees
from .onnx_fields import (
    ATTRIBUTE,
    GRAPH,
    MODEL,
    NODE,
    TENSOR,
    VALUE,
    Buffer,
    Node,
    ScanError,
    field,
    fields,
    integers,
)

__all__ = ["ALLOWED", "Checked", "ScanError", "check"]

STANDARD_OPERATORS = frozenset(
    re.findall(
        r"\w+",
        """
        Abs Add And ArgMax ArgMin AveragePool BatchNormalization Cast CastLike Ceil Clip
        Concat Constant ConstantOfShape Conv Cos CumSum DequantizeLinear Div
        DynamicQuantizeLinear Elu Equal Erf Exp Expand Flatten Floor Gather
        GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalMaxPool Greater
        GreaterOrEqual HardSigmoid HardSwish Identity InstanceNormalization
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
# What takes one pass over its result. onnxruntime computes all that depends on no input while it
# loads a graph; where that is anything else, it has to wait until the graph is run.
QUICK = frozenset(
    re.findall(
        r"\w+",
        """
        Abs Add And Cast Ceil Clip Concat Constant Cos DequantizeLinear Div Equal Exp Floor
        Gather Greater GreaterOrEqual Identity Less LessOrEqual Log Max Min Mod Mul Neg Not Or
        Pow Range Reciprocal Reshape Round Shape Sign Sin Size Slice Split Sqrt Squeeze Sub Sum
        Transpose Unsqueeze Where
        """,
    )
)
MOST_QUICK = 2000
"""Of them in one graph; the largest Whisper in 8 bits has half as many."""

_HALF, _TEXT, _BRAIN = 10, 8, 16
# Type of a tensor: what its bytes are, and the field that may hold its values instead of bytes.
_TYPES: dict[int, tuple[np.dtype[Any], int]] = {
    1: (np.dtype("<f4"), 4),
    2: (np.dtype("u1"), 5),
    3: (np.dtype("i1"), 5),
    6: (np.dtype("<i4"), 5),
    7: (np.dtype("<i8"), 7),
    9: (np.dtype("?"), 5),
    _HALF: (np.dtype("<f2"), 5),
    11: (np.dtype("<f8"), 10),
    _BRAIN: (np.dtype("<u2"), 5),  # the upper half of a float32
}
_NUMERIC = {*_TYPES, 4, 5, 12, 13}
# Type of an attribute: the field that holds its value.
_HOLDS = {1: 2, 2: 3, 3: 4, 4: 5, 6: 7, 7: 8, 8: 9}
# Runs of an attribute's `floats` (field 7, four bytes each) and of the smaller of its `ints` (field
# 8, up to three bytes).
_FLOATS = re.compile(rb"(?:\x3d.{4})+", re.DOTALL)
_INTEGERS = re.compile(rb"(?:\x40[\x80-\xff]{0,2}[\x00-\x7f])+", re.DOTALL)
# With these from its fifth byte on, onnxruntime takes a file for one of its own format.
_OTHER_FORMAT = b"ORTM"


@dataclasses.dataclass(frozen=True)
class Checked:
    """What is known of a graph that was let through.

    Attributes
    ----------
    quick : bool
        Whether all that it computes without any input takes one pass over the results.
    largest : int
        Bytes of its largest tensor.
    """

    quick: bool
    largest: int


def _text(value: Buffer) -> str:
    return bytes(value[:200]).decode("utf-8", "replace")


class _Scan:
    """One pass over a model; collects what :func:`check` reports."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.stored: set[bytes] = set()
        self.given: set[bytes] = set()
        self.integers = onnx_divisions.Stored()
        self.largest_integer = 0
        self.largest = 0

    def model(self, buffer: Buffer) -> Checked:
        if buffer[4:8] == _OTHER_FORMAT:
            raise ScanError("it is in onnxruntime's own format as well")
        for number, _, value in fields(buffer, MODEL):
            if number == 7:
                self.graph(value)
        if not self.nodes:
            raise ScanError("not a valid ONNX file (no graph)")
        grows = any(node.operator in GROWING for node in self.nodes)
        if grows and self.largest_integer > LARGEST_DIMENSION:
            raise ScanError(
                f"it contains the integer {self.largest_integer}; shapes may reach "
                f"{LARGEST_DIMENSION}"
            )
        self.texts()
        onnx_divisions.check(self.nodes, self.integers)
        return Checked(self.quick(), self.largest)

    def texts(self) -> None:
        """Raise when texts that a classifier gives go anywhere."""
        texts = {node.outputs[0] for node in self.nodes if node.labels and node.outputs}
        if any(not texts.isdisjoint(node.inputs) for node in self.nodes):
            raise ScanError("it computes with texts")

    def quick(self) -> bool:
        """Whether onnxruntime may compute while loading what depends on no input."""
        # A shape is known without the input where the input's is.
        known = {*self.stored, b""}
        available = {*known, *self.given}
        operators = []
        for node in self.nodes:
            if not available.issuperset(node.inputs):
                raise ScanError("its operators do not stand in the order in which they run")
            if node.operator in ("Shape", "Size") or known.issuperset(node.inputs):
                operators.append(node.operator)
                known.update(node.outputs)
            available.update(node.outputs)
        return len(operators) <= MOST_QUICK and QUICK.issuperset(operators)

    def graph(self, buffer: Buffer) -> None:
        for number, _, value in fields(buffer, GRAPH):
            if number == 1:
                self.node(value)
            elif number == 5:
                name = self.tensor(value)
                self.stored.add(name)
                self.integers.add(name, *self.constant)
            elif number == 11:
                self.given |= {bytes(name) for n, _, name in fields(value, VALUE) if n == 1}

    def node(self, buffer: Buffer) -> None:
        operator, domain = "", ""
        inputs, outputs, attributes = [], [], []
        for number, _, value in fields(buffer, NODE):
            if number == 1:
                inputs.append(bytes(value))
            elif number == 2:
                outputs.append(bytes(value))
            elif number == 4:
                operator = _text(value)
            elif number == 5:
                attributes.append(value)
            elif number == 7:
                domain = _text(value)
        if len(self.nodes) == MOST_NODES:
            raise ScanError(f"it has more than {MOST_NODES} operators")
        if operator not in ALLOWED.get(domain, frozenset()):
            name = f"{domain}:{operator}" if domain else operator
            raise ScanError(f"operator '{name}' is not among those emoscope runs")
        lists: dict[str, list[Any]] = {}
        self.target, self.constant = 0, (False, False)
        names = [self.attribute(attribute, operator, lists) for attribute in attributes]
        if len(set(names)) != len(names):
            raise ScanError(f"operator '{operator}' has an attribute twice")
        if operator == "TreeEnsembleClassifier":
            onnx_trees.check(lists)
        labels = "classlabels_strings" in lists
        if operator == "Constant":
            for output in outputs:
                self.integers.add(output, *self.constant)
        self.nodes.append(Node(operator, inputs, outputs, labels, self.target))

    def attribute(self, buffer: Buffer, operator: str, lists: dict[str, list[Any]]) -> str:
        """Check one attribute and give its name; the parts of integers or texts go to `lists`."""
        at = 0
        found: dict[int, Any] = {}
        parts: list[Any] = []
        while at < len(buffer):
            # Lists of numbers are stored one field each, and a forest has millions of them.
            if run := _FLOATS.match(buffer, at):
                packed = np.frombuffer(run.group(), np.uint8).reshape(-1, 5)[:, 1:]
                self.finite(np.frombuffer(packed.tobytes(), "<f4"))
                at, found[7] = run.end(), None
                continue
            if run := _INTEGERS.match(buffer, at):
                at, found[8] = run.end(), None
                parts.append(run.group())
                continue
            number, _, value, at = field(buffer, at, ATTRIBUTE)
            if number in found and not ATTRIBUTE.rules[number][1]:
                raise ScanError(f"not a valid ONNX file (field {number} twice in an attribute)")
            found[number] = value
            if number == 5:
                self.tensor(value)
            elif number in (3, 8):
                parts.append(np.fromiter(integers(value), np.int64))
                self.dimensions(parts[-1])
            elif number == 9:
                parts.append(bytes(value))
            elif number in (2, 7):
                self.finite(_raw(value, np.dtype("<f4")))
        kind, name = found.get(20, 0), _text(found.get(1, memoryview(b"")))
        if kind not in _HOLDS or not {1, 13, 20, _HOLDS[kind]}.issuperset(found):
            raise ScanError("not a valid ONNX file (an attribute of another type than it states)")
        if operator == "Constant" and kind in (3, 8):
            raise ScanError("it stores texts")
        if operator == "Cast" and name == "to" and found.get(3) not in _NUMERIC:
            raise ScanError("it computes with texts")
        if operator == "Cast" and name == "to":
            self.target = found[3]
        if kind in (2, 7):
            self.constant = True, onnx_divisions.is_deadly(onnx_trees.whole(parts))
        if kind in (7, 8):
            if name.startswith("nodes_") and (kind == 8) != (name == "nodes_modes"):
                raise ScanError("its trees are not whole")
            lists[name] = parts
        return name

    def tensor(self, buffer: Buffer) -> bytes:
        """Check one tensor: inside the file, finite, as long as its shape says; gives its name."""
        name, kind, raw = b"", 0, None
        shape: list[int] = []
        lists: dict[int, list[Any]] = {}
        for number, _, value in fields(buffer, TENSOR):
            if number == 1:
                shape += integers(value)
            elif number == 2:
                kind = value
            elif number == 8:
                name = bytes(value)
            elif number == 9:
                raw = value
            elif number == 14 and value:
                raise ScanError("its weights lie in another file")
            elif number in (4, 5, 7, 10):
                lists.setdefault(number, []).append(value)
        if kind not in _TYPES:
            texts = "it stores texts" if kind == _TEXT else f"a weight has the type {kind}"
            raise ScanError(texts)
        dtype, home = _TYPES[kind]
        if not {home}.issuperset(lists) or (lists and raw is not None):
            raise ScanError("a weight is stored as another type than it states")
        values = _listed(lists.get(home, []), dtype, home) if raw is None else _raw(raw, dtype)
        if any(length < 0 for length in shape) or len(values) != math.prod(shape):
            raise ScanError("a weight has another size than its shape")
        self.largest = max(self.largest, values.nbytes)
        if kind == _BRAIN:
            self.finite((values.astype("<u4") << 16).view("<f4"))
        elif dtype.kind == "f":
            self.finite(values)
        elif dtype.itemsize >= 4:
            self.dimensions(values)
        whole = dtype.kind in "iu" and kind != _BRAIN
        self.constant = whole, bool(whole and onnx_divisions.is_deadly(values))
        return name

    def dimensions(self, values: NDArray[Any]) -> None:
        """Note the largest of integers that may be dimensions."""
        for value in (int(values.max()), int(values.min())) if len(values) else ():
            # The two ends of int64 stand for 'to the end' in slices and are harmless as shapes.
            if abs(value) < (1 << 63) - 1:
                self.largest_integer = max(self.largest_integer, abs(value))

    @staticmethod
    def finite(values: NDArray[Any]) -> None:
        # A single infinity is an operator's constant (what lies outside a picture whose largest
        # value is taken), never a weight.
        if not np.isfinite(values).all() and not (values.size == 1 and np.isinf(values[0])):
            raise ScanError("a weight is not finite")


def _raw(content: Buffer | bytes, dtype: np.dtype[Any]) -> NDArray[Any]:
    if len(content) % dtype.itemsize:
        raise ScanError("a weight is cut off")
    return np.frombuffer(content, dtype)


def _listed(parts: list[Any], dtype: np.dtype[Any], home: int) -> NDArray[Any]:
    """Values that are stored as numbers in a field of their type."""
    if home in (4, 10):
        return _raw(b"".join(parts), dtype)
    found = np.array([number for part in parts for number in integers(part)], np.int64)
    # Those of two bytes are stored as their bits.
    bits = np.dtype("<u2") if dtype.kind == "f" else dtype
    if (found.astype(bits) != found).any():
        raise ScanError("a weight does not fit its type")
    return found.astype(bits).view(dtype)


def check(content: bytes) -> Checked:
    """Raise unless the bytes are an ONNX graph that is safe to give to onnxruntime.

    Parameters
    ----------
    content : bytes
        A serialised ``ModelProto``.

    Returns
    -------
    Checked

    Raises
    ------
    ScanError
        With the reason: not ONNX, weights in other files, sparse or not finite, an operator outside
        :data:`ALLOWED`, control flow, functions, texts, or absurd shapes.
    """
    return _Scan().model(memoryview(content))
