"""Graphs of strangers in processes of their own, which have limits and an end."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from emoscope import modelfile
from emoscope.errors import ModelError
from emoscope.files import DATA
from emoscope.modelfile import sandbox
from test_model_file import WIDTH, TensorProto, card, graph, helper, numpy_helper, packed, weights
from test_model_graphs import part, whole

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
