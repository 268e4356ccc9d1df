"""Graphs of model files: what is refused, and what two readers could read differently."""

from __future__ import annotations

import random

import numpy as np
import onnx
import pytest

from emoscope import modelfile
from emoscope.errors import ModelError
from emoscope.modelfile import safety
from test_model_file import (
    EMOTIONS,
    WIDTH,
    TensorProto,
    graph,
    helper,
    numpy_helper,
    packed,
    refused,
)


def external() -> bytes:
    model = graph()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"
    return model.SerializeToString()


def with_node(operator: str, domain: str = "", **attributes: object) -> bytes:
    node = helper.make_node(operator, ["embedding"], ["other"], domain=domain, **attributes)
    return graph(extra_nodes=[node], domains={domain: 1} if domain else None).SerializeToString()


def loop() -> bytes:
    body = helper.make_graph([helper.make_node("Identity", ["a"], ["b"])], "body", [], [])
    return with_node("Identity", body=body)


def function() -> bytes:
    model = graph()
    model.functions.append(
        helper.make_function("mine", "F", ["a"], ["b"], [], [helper.make_opsetid("", 17)])
    )
    return model.SerializeToString()


def huge_shape() -> bytes:
    shape = numpy_helper.from_array(np.array([1 << 40], np.int64), "shape")
    node = helper.make_node("ConstantOfShape", ["shape"], ["zeros"])
    return graph(extra_nodes=[node], extra_initialisers=[shape]).SerializeToString()


def short_weight() -> bytes:
    model = graph()
    model.graph.initializer[0].raw_data = b"\0" * 8
    return model.SerializeToString()


def sparse() -> bytes:
    model = graph()
    model.graph.sparse_initializer.add()
    model.graph.sparse_initializer[0].dims.append(3)
    return model.SerializeToString()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (external(), "weights lie in another file"),
        (with_node("Loop"), "operator 'Loop'"),
        (with_node("If"), "operator 'If'"),
        (with_node("Scan"), "operator 'Scan'"),
        (with_node("Evil", "my.domain"), "operator 'my.domain:Evil'"),
        (with_node("EPContext", "com.microsoft"), "operator 'com.microsoft:EPContext'"),
        (loop(), "control flow"),
        (function(), "functions of its own"),
        (huge_shape(), "contains the integer 1099511627776"),
        (short_weight(), "another size than its shape"),
        (sparse(), "sparse"),
        (graph(matrix=np.full((WIDTH, 3), np.nan, np.float32)).SerializeToString(), "not finite"),
        (graph(matrix=np.full((WIDTH, 3), np.inf, np.float32)).SerializeToString(), "not finite"),
        (graph(input_name="samples").SerializeToString(), "card promises \\[.features."),
        (
            graph(matrix=np.ones((WIDTH, 4), np.float32)).SerializeToString(),
            "promises floats of 2 dimensions, 3 columns",
        ),
    ],
)
def test_bad_graphs_are_refused(content: bytes, why: str) -> None:
    refused(packed(model=content), why)


def test_half_precision_and_typed_weights_are_checked() -> None:
    half = numpy_helper.from_array(np.array([1.0, np.inf], np.float16), "half")
    typed = helper.make_tensor("typed", TensorProto.FLOAT, [2], [1.0, float("nan")])
    for tensor in (half, typed):
        with pytest.raises(ModelError, match="not finite"):
            safety.check(graph(extra_initialisers=[tensor]).SerializeToString())
    with pytest.raises(ModelError, match="not finite"):
        safety.check(with_node("LeakyRelu", alpha=float("nan")))


def test_a_graph_that_breaks_its_promise_when_run() -> None:
    overflow = graph(matrix=np.full((WIDTH, 3), 3e38, np.float32)).SerializeToString()
    loaded = modelfile.unpack(packed(model=overflow), "m.emoscope")
    with pytest.raises(ModelError, match="not finite"):
        loaded.run(np.ones((1, WIDTH), np.float32))
    with pytest.raises(ModelError, match="model failed"):
        loaded.run(np.ones((1, WIDTH + 1), np.float32))


# --- bytes that two readers could read differently --------------------------------------------------


def varint(number: int, *, longer: int = 0) -> bytes:
    """A number in protobuf's form; ``longer`` bytes more than it needs."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    for _ in range(longer):
        found[-1] |= 0x80
        found.append(0)
    return bytes(found)


def part(number: int, content: bytes, *, beyond: int = 0) -> bytes:
    """A field of bytes; ``beyond`` is added to its tag."""
    return varint((number << 3 | 2) + beyond) + varint(len(content)) + content


def whole(graph_fields: bytes = b"", model_fields: bytes = b"", *, matrix: bytes = b"") -> bytes:
    """The good graph with further fields, its weight replaced by the fields of ``matrix``."""
    model = graph()
    if matrix:
        model.graph.ClearField("initializer")
        graph_fields += part(5, matrix)
    content = model.graph.SerializeToString()
    model.ClearField("graph")
    return model.SerializeToString() + part(7, content + graph_fields) + model_fields


NAN = np.full((WIDTH, len(EMOTIONS)), np.nan, np.float32).tobytes()
ZEROS = bytes(len(NAN))
SHAPED = b"".join(varint(1 << 3) + varint(n) for n in (WIDTH, len(EMOTIONS))) + part(8, b"matrix")
FLOAT = varint(2 << 3) + varint(TensorProto.FLOAT)
PLACE = part(1, b"location") + part(2, b"secret.bin")
OUTSIDE = varint((14 << 3) + (1 << 32)) + varint(1)
LOOP = helper.make_node("Loop", ["features"], ["embedding"]).SerializeToString()


@pytest.mark.parametrize(
    "content",
    [
        # Readers may cut a tag to 32 bits, and field 1 + 2**29 is then field 1.
        whole(part(1, LOOP, beyond=1 << 32)),
        whole(model_fields=part(25, b"", beyond=1 << 32)),
        whole(matrix=SHAPED + FLOAT + part(13, PLACE, beyond=1 << 32) + OUTSIDE),
        whole(part(30, b"")),
        whole(part(0, b"")),
        whole(varint(2 << 3) + b"\1"),
        whole(varint(1 << 3 | 3) + varint(1 << 3 | 4)),
        whole(varint(10 << 3 | 2, longer=1) + b"\0"),
        whole(varint(10 << 3 | 2) + varint(0, longer=3)),
        whole(varint(10 << 3 | 2) + b"\x80" * 10 + b"\0"),
        whole(model_fields=varint(1 << 3) + b"\xff" * 9 + b"\x02"),
        whole(model_fields=part(7, b"")),
        whole(model_fields=part(7, part(1, LOOP))),
        whole(matrix=SHAPED + FLOAT + part(9, NAN) + part(9, ZEROS)),
        whole(matrix=SHAPED + FLOAT + part(9, ZEROS) + part(9, NAN)),
        whole(matrix=SHAPED + FLOAT + FLOAT + part(9, ZEROS)),
        whole(matrix=SHAPED + varint(16) + varint(1 << 32 | 1) + part(9, NAN)),
        whole(matrix=SHAPED + varint(16) + varint(17) + part(9, NAN)),
        whole(matrix=SHAPED + FLOAT + b"\x25\0\0\xc0\x7f" * (WIDTH * len(EMOTIONS))),
        whole(matrix=SHAPED + FLOAT + part(10, 2 * ZEROS)),
        whole(matrix=SHAPED + FLOAT + part(4, ZEROS) + part(9, ZEROS)),
        whole(matrix=SHAPED + FLOAT + part(4, NAN) + part(9, ZEROS)),
        whole(matrix=SHAPED + varint(16) + varint(3) + part(5, varint(300) * 15)),
        whole(matrix=SHAPED + varint(8) + varint(2**64 - 1) + FLOAT + part(9, b"")),
        whole(matrix=SHAPED + varint(8) + varint(2**40) + FLOAT + part(9, b"")),
        whole(part(13, part(1, b"q") + part(2, part(4, b"")))),
        # With these letters at its fifth byte onnxruntime takes a file for one of its own format.
        part(2, b"\0\0ORTM") + graph().SerializeToString(),
    ],
)
def test_what_could_be_read_differently_is_refused_or_left_out(content: bytes) -> None:
    check_what_is_let_through(content)


def test_shapes_and_lists_may_be_packed() -> None:
    """Both forms are the same to protobuf; what is stored in either is found."""
    shape = part(1, varint(WIDTH) + varint(len(EMOTIONS))) + part(8, b"matrix")
    safety.check(whole(matrix=shape + FLOAT + part(4, ZEROS)))
    refused(packed(model=whole(matrix=shape + FLOAT + part(4, NAN))), "not finite")
    packed_floats = part(1, b"a") + varint(20 << 3) + varint(6) + part(7, NAN)
    node = helper.make_node("Relu", ["embedding"], ["x"]).SerializeToString()
    refused(packed(model=whole(part(1, node + part(5, packed_floats)))), "not finite")


def test_every_field_of_an_attribute_is_checked_whatever_it_states() -> None:
    for kind, value in ((2, part(6, b"")), (1, varint(2 << 3 | 5) + NAN[:4]), (2, part(7, NAN))):
        stated = part(1, b"a") + varint(20 << 3) + varint(kind) + value
        node = helper.make_node("Relu", ["embedding"], ["x"]).SerializeToString()
        with pytest.raises(ModelError, match="not finite|control flow"):
            safety.check(whole(part(1, node + part(5, stated))))


def texts() -> dict[str, bytes]:
    """Graphs that would compute with texts."""
    stored = helper.make_tensor("s", TensorProto.STRING, [1], [b"x" * 12_000])
    return {
        "stored": graph(extra_initialisers=[stored]).SerializeToString(),
        "constant": with_node("Constant", value=stored),
        "attribute": with_node("Constant", value_string="x"),
        "list": with_node("Constant", value_strings=["x", "y"]),
        "cast": with_node("Cast", to=TensorProto.STRING),
    }


@pytest.mark.parametrize("name", sorted(texts()))
def test_texts_are_no_numbers(name: str) -> None:
    refused(packed(model=texts()[name]), "stores texts|computes with texts")


NESTED = {"model": {7: "graph"}, "graph": {1: "node", 5: "tensor"}, "node": {5: "attribute"}}
NESTED["attribute"] = {5: "tensor"}


def read_varint(content: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        number |= (content[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if content[at - 1] < 0x80:
            return number, at


class Fields:
    """A message taken apart, which can be changed anywhere and put together again."""

    def __init__(self, content: bytes, kind: str = "model") -> None:
        self.fields: list[tuple[int, object]] = []
        at = 0
        while at < len(content):
            tag, at = read_varint(content, at)
            length = {1: 8, 5: 4}.get(tag & 7, 0)
            if tag & 7 in (0, 2):
                length, at = read_varint(content, at)
            if tag & 7 == 0:
                self.fields.append((tag, length))
                continue
            value, at = content[at : at + length], at + length
            inner = NESTED.get(kind, {}).get(tag >> 3)
            self.fields.append((tag, Fields(value, inner) if inner else value))

    def everywhere(self) -> list[Fields]:
        inner = [value for _, value in self.fields if isinstance(value, Fields)]
        return [self, *(part for value in inner for part in value.everywhere())]

    def pack(self) -> bytes:
        content = b""
        for tag, value in self.fields:
            value = value.pack() if isinstance(value, Fields) else value
            content += varint(tag)
            if isinstance(value, int):
                content += varint(value)
            else:
                content += (varint(len(value)) if tag & 7 == 2 else b"") + value
        return content


DANGEROUS: list[tuple[int, object]] = [
    (1 << 3 | 2, LOOP),
    (5 << 3 | 2, SHAPED + FLOAT + part(9, NAN)),
    (6 << 3 | 2, graph().graph.SerializeToString()),
    (13 << 3 | 2, PLACE),
    (14 << 3, 1),
    (15 << 3 | 2, SHAPED),
    (22 << 3 | 2, SHAPED),
    (25 << 3 | 2, part(1, b"f")),
    (2 << 3, 8),
    (4 << 3 | 5, NAN[:4]),
    (9 << 3 | 2, NAN),
    (7 << 3 | 2, NAN),
    (4 << 3 | 2, b"Loop"),
    (7 << 3 | 2, b"my.domain"),
]


def change(message: Fields, rng: random.Random) -> None:
    """One change somewhere in a message, of those that mislead readers."""
    place = rng.choice([found for found in message.everywhere() if found.fields])
    at = rng.randrange(len(place.fields))
    tag, value = place.fields[at]
    kind = rng.randrange(6)
    if kind == 0:
        place.fields.insert(rng.randrange(len(place.fields) + 1), (tag, value))
    elif kind == 1:
        del place.fields[at]
    elif kind == 2:
        place.fields[at] = (tag + rng.choice([0, 8, -8, 1 << 32, 1 << 31]) & ~7 | tag & 7, value)
    elif kind == 3 and isinstance(value, int):
        odd = [0, 1, 2, 8, 10, 11, 16, 1 << 31, 1 << 32 | 1, 1 << 63, (1 << 64) - 1]
        place.fields[at] = (tag, rng.choice(odd))
    elif kind == 3 and isinstance(value, bytes):
        flipped = bytearray(value or b"x")
        flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
        place.fields[at] = (tag, bytes(flipped))
    else:
        new, content = rng.choice(DANGEROUS)
        beyond = rng.choice([0, 0, 1 << 32])
        place.fields.insert(rng.randrange(len(place.fields) + 1), (new + beyond, content))


def check_what_is_let_through(content: bytes) -> bool:
    """Whether it is; then nothing that is refused is in it, as the package ``onnx`` reads it."""
    try:
        content = safety.check(content)
    except ModelError as error:
        assert str(error)
        return False
    assert content[4:8] != b"ORTM"
    model = onnx.load_from_string(content)
    assert not model.functions and not model.training_info and not model.metadata_props
    assert not model.graph.sparse_initializer and not model.graph.value_info
    tensors = list(model.graph.initializer)
    for node in model.graph.node:
        assert node.op_type in safety.ALLOWED[node.domain]
        for attribute in node.attribute:
            assert not attribute.HasField("g") and not attribute.graphs
            assert not attribute.HasField("sparse_tensor") and not attribute.sparse_tensors
            assert np.isfinite([attribute.f, *attribute.floats]).all()
            tensors += [*attribute.tensors, *([attribute.t] if attribute.HasField("t") else [])]
    for tensor in tensors:
        assert tensor.data_location == TensorProto.DEFAULT and not tensor.external_data
        assert tensor.data_type != TensorProto.STRING and not tensor.string_data
        assert not (tensor.float_data or tensor.int32_data or tensor.int64_data)
        assert not (tensor.double_data or tensor.uint64_data)
        values = numpy_helper.to_array(tensor)
        assert np.isfinite(values).all() or values.size == 1
    model.DiscardUnknownFields()
    assert model.SerializeToString() == content
    return True


def test_what_is_let_through_holds_nothing_that_is_refused() -> None:
    node = helper.make_node("Elu", ["embedding"], ["x"], alpha=0.5)
    value = numpy_helper.from_array(np.ones(3, np.float16), "half")
    rich = graph(
        extra_nodes=[node, helper.make_node("Constant", [], ["c"], value=value)],
        extra_initialisers=[helper.make_tensor("typed", TensorProto.FLOAT, [2], [1.0, 2.0])],
    ).SerializeToString()
    assert Fields(rich).pack() == rich
    assert check_what_is_let_through(rich)
    rng = random.Random(0)
    passed = 0
    for _ in range(3000):
        message = Fields(rich)
        for _ in range(rng.randint(1, 3)):
            change(message, rng)
        passed += check_what_is_let_through(message.pack())
    assert 200 < passed < 1500
