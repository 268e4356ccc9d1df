"""Checks the divisions of a graph: an integer divided by 0 or -1 may end the process.

The smallest integer has no opposite, and processors stop a program that asks for it, as for a
division by zero. Types are followed from node to node; what may be integers is taken for integers.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from typing import Any

from numpy.typing import NDArray

from .onnx_fields import Node, ScanError

#: Whether these give integers depends on their first input alone.
MOVING = frozenset(
    re.findall(
        r"\w+",
        """
        ArrayFeatureExtractor CumSum Expand Gather GatherElements GatherND Pad Pow ReduceL1
        ReduceL2 ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
        ReduceSumSquare Reshape Slice Split Squeeze Tile Transpose Trilu Unsqueeze
        """,
    )
)
#: These may give integers, whatever they are given.
COUNTING = frozenset(
    re.findall(
        r"\w+",
        """
        ArgMax ArgMin CastLike ConstantOfShape ConvInteger DynamicQuantizeLinear
        LinearClassifier MatMulInteger QLinearConv QLinearMatMul QuantizeLinear SVMClassifier
        Shape Size TreeEnsembleClassifier
        """,
    )
)
#: These give no integers, whatever they are given.
OTHERS = frozenset(
    re.findall(
        r"\w+",
        """
        And DequantizeLinear DynamicQuantizeMatMul Equal Greater GreaterOrEqual Less
        LessOrEqual MatMulIntegerToFloat MatMulNBits Not Or
        """,
    )
)
REAL_TYPES = (1, 10, 11, 16)


@dataclasses.dataclass
class Stored:
    """Names of stored tensors: all, those of integers, and those with a 0 or -1 among them."""

    names: set[bytes] = dataclasses.field(default_factory=set)
    whole: set[bytes] = dataclasses.field(default_factory=set)
    deadly: set[bytes] = dataclasses.field(default_factory=set)

    def add(self, name: bytes, whole: bool, deadly: bool) -> None:
        """Note what a graph stores under a name."""
        self.names.add(name)
        if whole:
            self.whole.add(name)
        if deadly:
            self.deadly.add(name)


def is_deadly(divisors: NDArray[Any]) -> bool:
    """Whether 0 or -1 is among some integers."""
    return bool(((divisors == 0) | (divisors == -1)).any())


def check(nodes: Iterable[Node], stored: Stored) -> None:
    """Raise unless integers are divided by stored ones other than 0 and -1 alone.

    Parameters
    ----------
    nodes : iterable of Node
        In the order in which they are computed.
    stored : Stored

    Raises
    ------
    ScanError
    """
    whole = set(stored.whole)
    for node in nodes:
        if node.operator in ("Div", "Mod") and not whole.isdisjoint(node.inputs):
            divisor = node.inputs[1:2]
            if not stored.names.issuperset(divisor) or not stored.deadly.isdisjoint(divisor):
                raise ScanError("it divides integers by what may be 0 or -1")
        deciding = node.inputs
        if node.operator in MOVING:
            deciding = node.inputs[:1]
        elif node.operator == "Where":
            deciding = node.inputs[1:]
        may_be = node.operator in COUNTING or not whole.isdisjoint(deciding)
        if node.operator == "Cast":
            may_be = node.target not in REAL_TYPES
        if may_be and node.operator not in OTHERS:
            whole.update(node.outputs)
        elif node.operator in ("MaxPool", "TopK"):  # their second output says where
            whole.update(node.outputs[1:])
