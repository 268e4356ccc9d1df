"""The fields of ONNX messages, as onnxruntime reads them or not at all.

Protocol buffers leave room for two readers to find different things in the same bytes: a number
longer than its type is cut, a part that comes twice is merged, of a value that comes twice the last
one counts, and a field of a type that was not meant for it is skipped. So :func:`fields` refuses
whatever is not on the lists below: every field of every message that graphs are made of, with its
wire type, in its shortest form, and once where it stands for one value.

Field numbers are those of ``onnx.proto`` (ONNX IR version 10, Apache-2.0, https://onnx.ai); wire
types those of https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

Buffer: TypeAlias = memoryview
Rule: TypeAlias = tuple[tuple[int, ...], bool]
"""Wire types that a field may have, and whether it may come more than once."""

VARINT, EIGHT_BYTES, LENGTH, FOUR_BYTES = 0, 1, 2, 5

NUMBER: Rule = ((VARINT,), False)
FLOAT: Rule = ((FOUR_BYTES,), False)
PART: Rule = ((LENGTH,), False)
PARTS: Rule = ((LENGTH,), True)
# Lists of numbers: one field each, or all of them in one.
NUMBERS: Rule = ((VARINT, LENGTH), True)
FLOATS: Rule = ((FOUR_BYTES, LENGTH), True)
DOUBLES: Rule = ((EIGHT_BYTES, LENGTH), True)


class Node(NamedTuple):
    """One step of a graph."""

    operator: str
    inputs: list[bytes]
    outputs: list[bytes]
    labels: bool
    """Whether its first output is texts."""
    target: int
    """Type that a ``Cast`` gives; else 0."""


class ScanError(ValueError):
    """The bytes are not an ONNX graph that emoscope runs; the message says why."""


@dataclasses.dataclass(frozen=True)
class Message:
    """One kind of message.

    Attributes
    ----------
    name : str
    rules : dict of int to Rule
        The fields that may stand in it.
    parts : dict of int to Message
        Fields that are messages of which nothing matters but that they are well formed.
    refused : dict of int to str
        Fields of ONNX that may not stand in it, with the reason.
    """

    name: str
    rules: dict[int, Rule]
    parts: dict[int, Message] = dataclasses.field(default_factory=dict)
    refused: dict[int, str] = dataclasses.field(default_factory=dict)


PAIR = Message("pair", {1: PART, 2: PART})
OPERATOR_SET = Message("operator set", {1: PART, 2: NUMBER})
DIMENSION = Message("dimension", {1: NUMBER, 2: PART, 3: PART})
SHAPE = Message("shape", {1: PARTS}, {1: DIMENSION})
TENSOR_TYPE = Message("tensor type", {1: NUMBER, 2: PART}, {2: SHAPE})
TYPE = Message(
    "type",
    {1: PART, 6: PART},
    {1: TENSOR_TYPE},
    dict.fromkeys((4, 5, 7, 8, 9), "it works on more than tensors"),
)
VALUE = Message("value", {1: PART, 2: PART, 3: PART, 4: PARTS}, {2: TYPE, 4: PAIR})
MODEL = Message(
    "model",
    {
        **dict.fromkeys((1, 5), NUMBER),  # versions
        **dict.fromkeys((2, 3, 4, 6, 7), PART),  # texts, and 7 the graph
        **dict.fromkeys((8, 14), PARTS),  # operator sets, metadata
    },
    {8: OPERATOR_SET, 14: PAIR},
    {20: "it contains training information", 25: "it defines functions of its own"},
)
GRAPH = Message(
    "graph",
    {
        **dict.fromkeys((2, 10), PART),  # texts
        **dict.fromkeys((1, 5, 11, 12, 13, 16), PARTS),  # nodes, tensors, values, metadata
    },
    {11: VALUE, 12: VALUE, 13: VALUE, 16: PAIR},
    {15: "it contains sparse weights"},
)
NODE = Message(
    "node",
    {
        **dict.fromkeys((3, 4, 6, 7), PART),  # name, operator, text, domain
        **dict.fromkeys((1, 2, 5, 9), PARTS),  # inputs, outputs, attributes, metadata
    },
    {9: PAIR},
)
ATTRIBUTE = Message(
    "attribute",
    {
        **dict.fromkeys((1, 4, 5, 13), PART),  # name, bytes, tensor, text
        **dict.fromkeys((3, 20), NUMBER),  # integer, type
        2: FLOAT,
        7: FLOATS,
        8: NUMBERS,
        9: PARTS,  # list of bytes
    },
    refused={
        **dict.fromkeys((6, 11), "it contains a graph inside an operator (control flow)"),
        **dict.fromkeys((22, 23), "it contains sparse weights"),
    },
)
TENSOR = Message(
    "tensor",
    {
        **dict.fromkeys((2, 14), NUMBER),  # type of its values, where they lie
        **dict.fromkeys((8, 9, 12), PART),  # name, values as bytes, text
        **dict.fromkeys((1, 5, 7), NUMBERS),  # shape, values of at most 32 and of 64 bits
        4: FLOATS,
        10: DOUBLES,
        16: PARTS,  # metadata
    },
    {16: PAIR},
    {6: "it stores texts", 13: "its weights lie in another file"},
)


def varint(buffer: Buffer, at: int) -> tuple[int, int]:
    """The number at a position, below 2**64 and in its shortest form, and where it ends."""
    value = shift = 0
    while at < len(buffer) and shift < 70:
        byte = buffer[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            if value >> 64 or (not byte and shift > 7):
                break
            return value, at
    raise ScanError("not a valid ONNX file (broken number)")


def integers(value: int | Buffer) -> Iterator[int]:
    """The int64 numbers of one field, single or packed."""
    at = 0
    while not isinstance(value, int) and at < len(value):
        number, at = varint(value, at)
        yield number - (1 << 64) if number >> 63 else number
    if isinstance(value, int):
        yield value - (1 << 64) if value >> 63 else value


def field(buffer: Buffer, at: int, kind: Message) -> tuple[int, int, Any, int]:
    """The field at a position: number, wire type, integer or bytes, and where the next begins."""
    key, at = varint(buffer, at)
    number, wire = key >> 3, key & 7
    if number in kind.refused and wire == LENGTH:
        raise ScanError(kind.refused[number])
    if number not in kind.rules or wire not in kind.rules[number][0]:
        raise ScanError(f"not a valid ONNX file (field {number}, type {wire}, in a {kind.name})")
    if wire == VARINT:
        value, at = varint(buffer, at)
        return number, wire, value, at
    length = {EIGHT_BYTES: 8, FOUR_BYTES: 4}.get(wire, 0)
    if wire == LENGTH:
        length, at = varint(buffer, at)
    if at + length > len(buffer):
        raise ScanError("not a valid ONNX file (cut off)")
    part = buffer[at : at + length]
    if number in kind.parts:
        for _ in fields(part, kind.parts[number]):
            pass
    return number, wire, part, at + length


def fields(buffer: Buffer, kind: Message) -> Iterator[tuple[int, int, Any]]:
    """The fields of one message: (number, wire type, integer or bytes).

    Raises
    ------
    ScanError
        When they are not what the message may hold.
    """
    at, seen = 0, set()
    while at < len(buffer):
        number, wire, value, at = field(buffer, at, kind)
        if number in seen and not kind.rules[number][1]:
            raise ScanError(f"not a valid ONNX file (field {number} twice in a {kind.name})")
        seen.add(number)
        yield number, wire, value
