"""Model files: what is saved comes back; what could harm is refused with a reason."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest

from emoscope import modelfile
from emoscope.audio import Signal
from emoscope.audio.level import TrimAndNormalise
from emoscope.errors import ModelError
from emoscope.modelfile import sandbox
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
