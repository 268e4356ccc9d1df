"""Model files: what is saved comes back; what could harm is refused with a reason."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest

from emoscope import modelfile
from emoscope.audio import Signal
from emoscope.audio.level import TrimAndNormalise
from emoscope.errors import ModelError
from emoscope.files import DATA
from emoscope.modelfile import safety, sandbox
from emoscope.modelfile.card import (
    Card,
    FeatureSpec,
    Input,
    Measurement,
    Training,
    TrainingCorpus,
    Uncertain,
)
from emoscope.prediction.prediction import decide
from emoscope.training.calibration import out_of_domain_detector

helper, numpy_helper, TensorProto = onnx.helper, onnx.numpy_helper, onnx.TensorProto

EMOTIONS = ("happy", "sad", "angry")
WIDTH = 5


def weights() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(WIDTH, len(EMOTIONS))).astype(np.float32)


def graph(
    *,
    matrix: np.ndarray | None = None,
    extra_nodes: list | None = None,
    extra_initialisers: list | None = None,
    input_name: str = "features",
    domains: dict[str, int] | None = None,
) -> object:
    """``embedding = features``, ``logits = features @ matrix``."""
    matrix = weights() if matrix is None else matrix
    nodes = [
        helper.make_node("Identity", [input_name], ["embedding"]),
        helper.make_node("MatMul", ["embedding", "matrix"], ["logits"]),
        *(extra_nodes or []),
    ]
    made = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(input_name, TensorProto.FLOAT, ["n", WIDTH])],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", matrix.shape[1]]),
            helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", WIDTH]),
        ],
        [numpy_helper.from_array(matrix, "matrix"), *(extra_initialisers or [])],
    )
    opsets = [helper.make_opsetid(name, v) for name, v in {"": 17, **(domains or {})}.items()]
    return helper.make_model(made, opset_imports=opsets, ir_version=9)


def card(**changes: object) -> Card:
    values = {
        "name": "test",
        "emotions": EMOTIONS,
        "input": Input(kind="features", features=(FeatureSpec(name="mfcc", spec={}),), width=WIDTH),
        "embedding_width": WIDTH,
        "temperature": 2.0,
        "uncertain": Uncertain(threshold=0.5, coverage=0.8, risk=0.1),
        "training": Training(
            corpora=(TrainingCorpus(name="toy", licence="CC0", speakers=("a", "b")),),
            recipe={"seed": 1, "curve": [{"clips": 4}]},
        ),
        "results": (Measurement.of(corpus="toy", protocol="loso", uar=0.5, macro_f1=0.4),),
        "licence": "CC0",
        "notices": ("made for a test",),
        "emoscope": "0.1.0",
    }
    return Card(**{**values, **changes})


def packed(**members: bytes) -> bytes:
    """A zip with members as given; ``card`` and ``model`` default to good ones."""
    content = io.BytesIO()
    good = {"card.json": card().to_json().encode(), "model.onnx": graph().SerializeToString()}
    names = {"card": "card.json", "model": "model.onnx"}
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in {**good, **{names.get(k, k): v for k, v in members.items()}}.items():
            archive.writestr(name, data)
    return content.getvalue()


def refused(content: bytes, why: str) -> None:
    with pytest.raises(ModelError, match=why) as caught:
        modelfile.unpack(content, "evil.emoscope")
    assert str(caught.value).startswith("evil.emoscope: ")


def test_what_a_certain_label_is_worth_follows_from_what_was_left_out() -> None:
    old = json.loads(card(held_out="clips").to_json())
    assert "held_out" not in old["uncertain"]
    found = Card.from_json(json.dumps(old))
    assert found.worth.startswith(
        "about 90 in 100 such labels were correct within its own corpora, on clips whose voices may"
    )
    assert found.worth.endswith("; other recordings were not tested")
    rule = Uncertain(threshold=0.5, coverage=0.3, risk=0.296, held_out="corpora")
    found = Card.from_json(card(uncertain=rule).to_json())
    assert (found.uncertain.held_out, found.held_out) == ("corpora", "speakers")
    assert found.worth == "about 70 in 100 such labels were correct on corpora left out of training"
    rule = Uncertain(threshold=1.0, coverage=0.0, risk=0.0, held_out="corpora")
    found = card(uncertain=rule, emotions=("happy", "sad"))
    assert (
        found.worth.startswith("every label of this model is marked uncertain")
        and "100" not in found.worth
    )
    assert decide(found, "", np.array([1.0, 0.0]), []).uncertain


def test_round_trip(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(40, WIDTH)).astype(np.float32)
    domain = out_of_domain_detector(x, [(np.arange(20), np.arange(20, 40))], rank=2)
    wanted = card(domain=domain)
    path = modelfile.save(tmp_path / "m.emoscope", graph().SerializeToString(), wanted)
    loaded = modelfile.load(path)
    logits, embedding = loaded.run(x)
    np.testing.assert_allclose(logits, x @ weights(), atol=1e-5)
    np.testing.assert_array_equal(embedding, x)
    probabilities = loaded.probabilities(logits)
    expected = np.exp(logits / 2) / np.exp(logits / 2).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    assert loaded.card.to_json() == wanted.to_json()
    stored = json.loads(wanted.to_json())
    assert stored["results"] == [{"corpus": "toy", "protocol": "loso", "uar": 0.5, "macro_f1": 0.4}]
    assert stored["training"]["seed"] == loaded.card.training.recipe["seed"] == 1
    assert loaded.card.results[0].others == {"macro_f1": 0.4}
    assert loaded.card.speakers == {"toy": {"a", "b"}}
    np.testing.assert_array_equal(loaded.card.domain.distance(x), domain.distance(x))


def test_samples_are_resampled_prepared_and_padded(tmp_path: Path) -> None:
    samples = card(
        input=Input(kind="samples", rate=16_000, preprocess=TrimAndNormalise(), shortest=0.5),
        embedding_width=1,
    )
    nodes = [
        helper.make_node("ReduceMean", ["samples"], ["embedding"], axes=[1], keepdims=1),
        helper.make_node("Concat", ["embedding"] * 3, ["logits"], axis=1),
    ]
    made = helper.make_graph(
        nodes,
        "samples",
        [helper.make_tensor_value_info("samples", TensorProto.FLOAT, [1, "n"])],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 3]),
            helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [1, 1]),
        ],
    )
    content = helper.make_model(
        made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9
    ).SerializeToString()
    loaded = modelfile.load(modelfile.save(tmp_path / "s.emoscope", content, samples))
    tone = np.sin(np.arange(4800) / 10).astype(np.float32)
    heard = loaded.prepare(Signal(tone, 48_000))
    assert heard.shape == (1, 8000)  # 0.1 s, padded by the level to 0.2 s and here to 0.5 s
    assert heard.dtype == np.float32
    assert loaded.run(heard)[0].shape == (1, 3)


def test_packing_is_deterministic() -> None:
    one, two = (modelfile.pack(b"graph", "{}") for _ in range(2))
    assert one == two


@pytest.mark.parametrize("shipped", [True, False])
def test_loading_imports_nothing_heavy(tmp_path: Path, shipped: bool) -> None:
    """Nor does the parent of a foreign graph, which is read by its child."""
    path = "free"
    if not shipped:
        path = modelfile.save(tmp_path / "m.emoscope", graph().SerializeToString(), card())
    code = (
        "import sys; from emoscope import modelfile; modelfile.load(sys.argv[1]);"
        "heavy = {'torch', 'onnx', 'pandas', 'sklearn', 'transformers'};"
        "print(sorted((heavy if sys.argv[2] else heavy | {'onnxruntime'}) & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, str(path), "shipped" if shipped else ""]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


# --- archives -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"../../etc/passwd": b"x"}, "holds card.json and model.onnx only"),
        ({"weights.pkl": b"x"}, "holds card.json and model.onnx only"),
        ({"card": b"\xff\xfe"}, "not UTF-8"),
        ({"card": b"{"}, "not valid JSON"),
        ({"card": b'{"format": NaN}'}, "not valid JSON"),
        ({"card": b"[]"}, "not an object"),
        ({"card": b" " * (1 << 20)}, "would unpack to"),
        ({"model": b"\0" * (1 << 20)}, "would unpack to"),
        ({"model": b""}, "no graph"),
        ({"model": b"MZ\x90\x00 not a graph"}, "not a valid ONNX file"),
    ],
)
def test_bad_members_are_refused(members: dict[str, bytes], why: str) -> None:
    refused(packed(**members), why)


@pytest.mark.parametrize("content", [b"", b"PK", b"hello world", b"PK\x05\x06" + b"\0" * 18])
def test_what_is_no_archive_is_refused(content: bytes) -> None:
    refused(content, "not a whole zip archive|holds card.json")


def test_a_missing_member_is_refused() -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("card.json", card().to_json())
    refused(content.getvalue(), "holds card.json and model.onnx only")


def test_a_member_twice_is_refused() -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("card.json", card().to_json())
        archive.writestr("model.onnx", b"x")
        archive.writestr("model.onnx", graph().SerializeToString())
    refused(content.getvalue(), "holds card.json and model.onnx only")


def test_a_size_that_lies_is_refused() -> None:
    content = packed()
    at = content.index(b"PK\x01\x02")
    changed = bytearray(content)
    struct.pack_into("<I", changed, at + 24, 10)  # uncompressed size in the directory
    refused(bytes(changed), "another length|zip archive")


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9, 0.999])
def test_truncated_files_are_refused(keep: float) -> None:
    content = packed()
    refused(content[: int(len(content) * keep)], "zip archive")


def test_every_flipped_byte_is_refused_or_harmless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modelfile, "SandboxedGraph", sandbox.LocalGraph)  # a child each takes long
    content = packed()
    x = np.random.default_rng(1).normal(size=(4, WIDTH)).astype(np.float32)
    good = modelfile.unpack(content, "good.emoscope")
    expected, harmless = good.run(x), 0
    for at in range(0, len(content), 7):
        changed = bytearray(content)
        changed[at] ^= 0x55
        try:
            found = modelfile.unpack(bytes(changed), "flipped.emoscope")
        except ModelError:
            continue
        harmless += 1
        assert found.card.to_json() == good.card.to_json()
        for ours, theirs in zip(found.run(x), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert 0 < harmless < len(content) / 7 / 2


def test_missing_file_and_folder_are_model_errors(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="No such file"):
        modelfile.load(tmp_path / "none.emoscope")
    with pytest.raises(ModelError, match="not a model file"):
        modelfile.load(tmp_path)


# --- graphs ---------------------------------------------------------------------------------------


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


# --- what only the sandbox can hold ---------------------------------------------------------------


def outcome(content: bytes) -> str:
    """Why a graph cannot be loaded or run; nothing when it can. This process lives on either way."""
    try:
        loaded = modelfile.unpack(packed(model=content), "foreign.emoscope")
        loaded.run(np.ones((2, WIDTH), np.float32))
    except ModelError as error:
        assert str(error).startswith("foreign.emoscope: ")
        return str(error)
    return ""


def gives(name: str, nodes: list, constants: dict[str, np.ndarray], **more: object) -> bytes:
    """The good graph, to whose logits the sum of the value called `name` is added."""
    last = [
        helper.make_node("Cast", [name], ["real"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["real"], ["sum"], keepdims=0),
        helper.make_node("Add", ["product", "sum"], ["logits"]),
    ]
    stored = [numpy_helper.from_array(value, n) for n, value in constants.items()]
    model = graph(extra_nodes=[*nodes, *last], extra_initialisers=stored, **more)
    model.graph.node[1].output[0] = "product"
    return model.SerializeToString()


def trees(n: int, *, back: bool = False) -> bytes:
    """A tree that asks `n` questions one after another; the last leads `back` to the first."""
    at = list(range(1, n + 1))
    node = helper.make_node(
        "TreeEnsembleClassifier", ["features"], ["label", "scores"], domain="ai.onnx.ml",
        nodes_treeids=[0] * (n + 1), nodes_nodeids=list(range(n + 1)),
        nodes_featureids=[0] * (n + 1), nodes_values=[0.5] * (n + 1),
        nodes_modes=["BRANCH_LEQ"] * n + ["BRANCH_LEQ" if back else "LEAF"],
        nodes_truenodeids=[*at, 0], nodes_falsenodeids=[*at, 0],
        class_treeids=[0], class_nodeids=[n], class_ids=[0], class_weights=[1.0],
        classlabels_int64s=[0, 1, 2],
    )  # fmt: skip
    return gives("scores", [node], {}, domains={"ai.onnx.ml": 3})


def test_deep_trees_end_the_child_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """onnxruntime follows them by recursion; one of 100,000 questions ended the process."""
    assert not outcome(trees(900))
    monkeypatch.setattr(sandbox, "MAX_SECONDS", 10.0)
    for deadly in (trees(200_000), trees(20, back=True)):
        assert not (why := outcome(deadly)) or "foreign.emoscope" in why
    assert not outcome(trees(20))


@pytest.mark.parametrize("operator", ["Div", "Mod"])
def test_integers_divided_by_nothing_end_the_child_at_most(operator: str) -> None:
    """Some processors stop programs that divide integers by 0, and the smallest of them by -1."""
    smallest = np.array([np.iinfo(np.int64).min])
    for divisor in (0, -1):
        nodes = [
            helper.make_node("Size", ["features"], ["ten"]),
            helper.make_node("Sub", ["ten", "less"], ["by"]),
            helper.make_node(operator, ["divided", "by"], ["quotient"]),
        ]
        for computed in (True, False):
            constants = {"divided": smallest, "less": np.array([10 - divisor])}
            if not computed:
                constants["by"] = np.array([divisor])
            outcome(gives("quotient", nodes if computed else nodes[2:], constants))
    assert not outcome(gives("ten", nodes, {"divided": smallest, "less": np.array([8])}))


def test_texts_that_grow_end_the_child_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kilobyte of texts could take ten gigabytes."""
    monkeypatch.setattr(sandbox, "MAX_MEMORY", 1 << 30)
    linear = helper.make_node(
        "LinearClassifier", ["features"], ["label", "scores"], domain="ai.onnx.ml",
        coefficients=[1.0] * 15, intercepts=[0.0] * 3, classlabels_strings=["a" * 1000, "b", "c"],
    )  # fmt: skip
    nodes = [
        linear,
        helper.make_node("Unsqueeze", ["label", "last"], ["column"]),
        helper.make_node("Expand", ["column", "shape"], ["large"]),
        helper.make_node("Size", ["large"], ["count"]),
    ]
    constants = {"shape": np.array([1 << 23, 2, 1]), "last": np.array([1])}
    why = outcome(gives("count", nodes, constants, domains={"ai.onnx.ml": 1}))
    assert "model failed" in why


def test_a_graph_that_wants_all_memory_is_stopped() -> None:
    """Each stored integer is harmless; their products at run time are 40 GB, then 4 TB."""
    for times in (1, 100):
        nodes = [
            helper.make_node("Mul", ["shape", "factor"], ["grown"]),
            helper.make_node("ConstantOfShape", ["grown"], ["zeros"]),
        ]
        constants = {"shape": np.array([100_000, 1000]), "factor": np.array([times * 100, 1])}
        assert outcome(gives("zeros", nodes, constants))


def test_a_graph_of_many_empty_operators_is_refused_within_the_limits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They take two bytes in the file and eighty in memory."""
    monkeypatch.setattr(sandbox, "MAX_MEMORY", 1 << 30)
    content = whole(part(1, b"") * 10_000_000)
    archive = modelfile.pack(content, card().to_json())
    with pytest.raises(ModelError, match="^m: not a usable model file"):
        modelfile.unpack(archive, "m")


def heavy(n_products: int) -> bytes:
    """A graph of some hundred bytes that multiplies large matrices without any input."""
    nodes = [helper.make_node("ConstantOfShape", ["shape"], ["a0"])]
    nodes += [helper.make_node("MatMul", [f"a{n}", "a0"], [f"a{n + 1}"]) for n in range(n_products)]
    return gives(f"a{n_products}", nodes, {"shape": np.array([2048, 2048])})


def test_loading_and_running_have_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    content = packed(model=heavy(4000))
    loaded = modelfile.unpack(content, "heavy.emoscope", optimise=False)
    monkeypatch.setattr(sandbox, "MAX_SECONDS", 1.0)
    started = time.monotonic()
    with pytest.raises(ModelError, match="the model failed: it was not done after 1 s"):
        loaded.run(np.ones((1, WIDTH), np.float32))
    with pytest.raises(ModelError, match="not a usable model file: it was not done after 1 s"):
        modelfile.unpack(content, "heavy.emoscope")
    assert time.monotonic() - started < 15


# --- the sandbox ----------------------------------------------------------------------------------


def idle_child(loaded: modelfile.ModelFile) -> int:
    """Process of the only child."""
    child = loaded.graph._idle.get()
    assert loaded.graph._idle.empty()
    loaded.graph._idle.put(child)
    return child._process.pid


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except OSError:
        return False


def test_files_of_the_package_are_trusted_and_no_others(tmp_path: Path) -> None:
    shipped = Path(DATA, "default.emoscope")
    copy = shutil.copy(shipped, tmp_path / "copy.emoscope")
    trusted, foreign = (modelfile.load(path, optimise=False) for path in (shipped, copy))
    assert isinstance(trusted.graph, sandbox.LocalGraph)
    assert isinstance(foreign.graph, sandbox.SandboxedGraph)
    link = tmp_path / "link.emoscope"
    link.symlink_to(shipped)
    assert isinstance(modelfile.load(link, optimise=False).graph, sandbox.LocalGraph)
    samples = 0.05 * np.random.default_rng(0).normal(size=(1, 16_000)).astype(np.float32)
    for ours, theirs in zip(trusted.run(samples), foreign.run(samples), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_child_that_dies_costs_one_call() -> None:
    loaded = modelfile.unpack(packed(), "m.emoscope")
    child = idle_child(loaded)
    x = np.ones((2, WIDTH), np.float32)
    expected = loaded.run(x)
    assert idle_child(loaded) == child  # one child serves every call
    os.kill(child, 9)
    with pytest.raises(ModelError, match=r"^m.emoscope: the model failed: .*SIGKILL"):
        loaded.run(x)
    for ours, theirs in zip(loaded.run(x), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    last = idle_child(loaded)
    assert last != child and is_running(last)
    del loaded
    assert not is_running(last)


def test_threads_get_a_child_each() -> None:
    loaded = modelfile.unpack(packed(), "m.emoscope")
    inputs = [np.full((n % 3 + 1, WIDTH), n, np.float32) for n in range(60)]
    with ThreadPoolExecutor(8) as pool:
        outputs = list(pool.map(loaded.run, inputs))
    for given, (logits, embedding) in zip(inputs, outputs, strict=True):
        np.testing.assert_array_equal(embedding, given)
        np.testing.assert_allclose(logits, given @ weights(), rtol=1e-5, atol=1e-4)
    assert 1 <= loaded.graph._idle.qsize() <= os.cpu_count()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_children_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    path = modelfile.save(tmp_path / "m.emoscope", graph().SerializeToString(), card())
    code = (
        "import sys; from emoscope import modelfile; loaded = modelfile.load(sys.argv[1]);"
        "print(loaded.graph._idle.get()._process.pid, flush=True); input()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    child = int(parent.stdout.readline())
    assert is_running(child)
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 10
    while is_running(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(child)


# --- cards ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"format": 2}, "newer one"),
        ({"emotions": ["happy"]}, "2 to 100 different names"),
        ({"emotions": ["happy", "happy", "sad"]}, "different names"),
        ({"emotions": "happy"}, "Expected `array`, got `str` - at `card.emotions`"),
        ({"temperature": 0}, "Expected `float` >= 0.001 - at `card.temperature`"),
        ({"temperature": "1"}, "Expected `float`, got `str` - at `card.temperature`"),
        ({"temperature": True}, "Expected `float`, got `bool` - at `card.temperature`"),
        ({"embedding_width": 1.5}, "Expected `int`, got `float` - at `card.embedding_width`"),
        ({"embedding_width": 0}, "Expected `int` >= 1 - at `card.embedding_width`"),
        ({"input": None}, "Expected `object`, got `null` - at `card.input`"),
        ({"input": {"kind": "video"}}, "samples, features or frames"),
        ({"input": {"kind": "samples", "rate": 10**9}}, "rate"),
        (
            {"input": {"kind": "samples", "rate": 16000, "preprocess": {"name": "os.system"}}},
            "unknown preprocessing",
        ),
        (
            {"input": {"kind": "features", "features": [{"name": 1}], "width": 5}},
            r"features\[0\].name",
        ),
        ({"uncertain": {"threshold": 2, "coverage": 1, "risk": 0}}, "threshold"),
        ({"domain": {"components": {"shape": [2, 5], "float32": "!!"}}}, "base64"),
        ({"domain": {"components": {"shape": [2, 6], "float32": ""}}}, r"shape \(2, 6\)"),
        ({"training": {"corpora": [{"name": "x"}]}}, "speakers"),
        ({"training": []}, "Expected `object`, got `array` - at `card.training`"),
        ({"notices": [1]}, r"Expected `str`, got `int` - at `card.notices\[0\]`"),
        ({"results": [1]}, r"Expected `object`, got `int` - at `card.results\[0\]`"),
        ({"results": [{"uar": "high"}]}, r"results\[0\].uar"),
        ({"results": [{"uar": 0.5, "uar_low": []}]}, "uar_low"),
        ({"results": [{"corpus": {}}]}, "corpus"),
        ({"results": [{"n_clips": 0.5}]}, "n_clips"),
        ({"name": ""}, "name"),
        ({"name": "../../escaped/x"}, "name"),
        ({"name": "/etc/x"}, "name"),
        ({"name": "c:x"}, "name"),
        ({"name": "a\\b"}, "name"),
        ({"name": ".hidden"}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"name": "\x1b[31mred"}, "name"),
        ({"name": "a" * 101}, "name"),
        ({"emotions": ["happy", "sad", "\x1b[31mangry"]}, "visible"),
        ({"emotions": ["happy", "sad", "  "]}, "visible"),
        ({"emotions": ["happy", "sad", "a\nb"]}, "visible"),
        ({"emotions": ["happy", "sad", "a" * 101]}, "visible"),
        ({"emotions": ["happy", "sad", "\ud800"]}, "surrogate pair"),
        ({"licence": "\udfff"}, "surrogate pair"),
        ({"training": {"corpora": [], "note": "\ud800"}}, "surrogate pair"),
        ({"training": {"corpora": [{"name": "x", "speakers": [], "n_clips": {}}]}}, "n_clips"),
        ({"training": {"corpora": [{"name": "x", "speakers": []}] * 2}}, "of different names"),
        ({"licence": "x" * 30_000}, "of length <= 20000 - at `card.licence`"),
    ],
)
def test_bad_cards_are_refused(change: dict, why: str) -> None:
    values = {**json.loads(card().to_json()), **change}
    refused(packed(card=json.dumps(values).encode()), why)


@pytest.mark.parametrize("name", ["emoscope-default", "Größe 2 (C=0.1)", "ü.é", "pair \U0001f600"])
def test_names_that_can_be_shown_are_kept(name: str) -> None:
    values = {**json.loads(card().to_json()), "name": name}
    for text in (json.dumps(values), json.dumps(values, ensure_ascii=False)):
        assert Card.from_json(text).name == name


def test_a_deeply_nested_card_is_refused() -> None:
    with pytest.raises(ModelError, match="not valid JSON"):
        Card.from_json("[" * 100_000)


def test_arrays_of_a_card_are_checked() -> None:
    x = np.random.default_rng(1).normal(size=(40, WIDTH)).astype(np.float32)
    domain = out_of_domain_detector(x, [(np.arange(20), np.arange(20, 40))], rank=2)
    good = json.loads(card(domain=domain).to_json())
    for part, value in (
        ("mean", {"shape": [6], "float32": good["domain"]["mean"]["float32"]}),
        ("mean", {"shape": [5], "float32": "AAAA"}),
        ("mean", {"shape": [5], "float32": "AADAfwAAwH8AAMB/AADAfwAAwH8="}),  # five times NaN
        ("variances", {"shape": [2], "float32": "AAAAAAAAAAA="}),  # zero
        ("threshold", -1),
    ):
        changed = {**good, "domain": {**good["domain"], part: value}}
        refused(packed(card=json.dumps(changed).encode()), f"{part}.*domain|domain.{part}")


# --- domain ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_clips", [400, 12])
def test_distance_against_the_full_covariance(n_clips: int) -> None:
    """With all directions kept, the distance is the Mahalanobis distance of the PPCA covariance."""
    rng = np.random.default_rng(3)
    x = (rng.normal(size=(n_clips, 20)) * np.linspace(3, 0.1, 20)).astype(np.float32)
    found = out_of_domain_detector(
        x, [(np.arange(n_clips // 2), np.arange(n_clips // 2, n_clips))], rank=4
    )
    c, v = found.components.astype(float), found.variances.astype(float)
    covariance = found.residual * np.eye(20) + c.T @ np.diag(v - found.residual) @ c
    centred = x - x.mean(axis=0)
    expected = np.sqrt(np.einsum("ij,jk,ik->i", centred, np.linalg.inv(covariance), centred) / 20)
    np.testing.assert_allclose(found.distance(x), expected, rtol=1e-3)
    np.testing.assert_allclose(c @ c.T, np.eye(len(c)), atol=1e-4)
    values = np.linalg.eigvalsh(np.cov(x.T, bias=True))[::-1][: len(v)]
    np.testing.assert_allclose(v, np.maximum(values, found.residual), rtol=1e-3)


def test_what_is_far_lies_beyond_the_threshold() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(600, 30)).astype(np.float32)
    folds = [(np.arange(300), np.arange(300, 600)), (np.arange(300, 600), np.arange(300))]
    domain = out_of_domain_detector(x, folds, rank=5, quantile=0.99)
    assert np.mean(domain.distance(x) > domain.threshold) == pytest.approx(0.01, abs=0.01)
    far = x + 4 * rng.normal(size=(1, 30)).astype(np.float32)
    assert (domain.distance(far) > domain.threshold).mean() > 0.99
