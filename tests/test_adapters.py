"""Models of other tools: real transformers models, graphs, functions and servers, and what they say."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import tiny_model
from command_line import run
from emoscope import modelfile
from emoscope.audio import Signal
from emoscope.errors import EmoscopeError, ModelError
from emoscope.prediction import Predictor
from serving import serving

RATE = 16_000


def sound(level: float = 0.1, seconds: float = 1.3, seed: int = 0) -> np.ndarray:
    samples = np.random.default_rng(seed).normal(0, level, round(seconds * RATE))
    return samples.astype(np.float32)


def probabilities(name: object, samples: np.ndarray, **options: object) -> dict[str, float]:
    """Those of a model for samples at its own rate, in which no speech is looked for."""
    predictor = Predictor(name, **options)
    found = predictor.infer(Signal(samples, RATE, "x")).probabilities
    return dict(zip(predictor.emotions, map(float, found), strict=True))


# --- transformers ----------------------------------------------------------------------------------


def save(folder: Path, family: str, labels: list[str], **config: object) -> Path:
    """A small random classifier, whose head is large enough that its answers differ."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    from test_encoder import WAVEFORM

    torch.manual_seed(len(labels))
    named = {"id2label": dict(enumerate(labels)), "label2id": {w: n for n, w in enumerate(labels)}}
    made = getattr(transformers, f"{family}Config")(**WAVEFORM, **named, **config)
    model = getattr(transformers, f"{family}ForSequenceClassification")(made)
    torch.nn.init.normal_(model.classifier.weight)
    model.save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def wav2vec2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    return save(folder, "Wav2Vec2", ["sad", "ang", "hap", "neu"])


def by_the_library(folder: Path, samples: np.ndarray) -> dict[str, float]:
    import torch
    import transformers

    model = transformers.AutoModelForAudioClassification.from_pretrained(folder)
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    given = extractor(samples, sampling_rate=RATE, return_tensors="pt")
    with torch.no_grad():
        found = torch.softmax(model(**given).logits[0], 0).tolist()
    return {model.config.id2label[n]: p for n, p in enumerate(found)}


def test_a_folder_of_transformers_gives_the_librarys_probabilities(wav2vec2: Path) -> None:
    expected = by_the_library(wav2vec2, sound())
    for name in (f"hf:{wav2vec2}", wav2vec2):
        found = probabilities(name, sound())
        assert list(found) == ["neutral", "happy", "sad", "angry"]
        named = dict(neutral="neu", happy="hap", sad="sad", angry="ang")
        assert found == pytest.approx({e: expected[w] for e, w in named.items()}, abs=1e-6)
    assert max(expected.values()) > 0.4


def test_labels_of_one_emotion_are_summed_and_left_out_ones_are_not_counted(tmp_path: Path) -> None:
    folder = save(tmp_path / "four", "Hubert", ["LABEL_0", "Wut", "angry", "other"])
    with pytest.raises(ModelError, match="unknown emotions: 'LABEL_0', 'other'.*--label LABEL_0="):
        modelfile.load(folder)
    words = {"LABEL_0": "sad", "other": ""}
    told = by_the_library(folder, sound())
    rest = 1 - told["other"]
    expected = {"sad": told["LABEL_0"] / rest, "angry": (told["Wut"] + told["angry"]) / rest}
    assert probabilities(folder, sound(), labels=words) == pytest.approx(expected, abs=1e-6)
    said = modelfile.load(folder, labels=words).said
    assert said == ("its labels are read so: LABEL_0 as sad, Wut as angry, other left out",)


def test_a_model_card_says_the_licence_that_the_hub_shows(wav2vec2: Path) -> None:
    assert modelfile.load(wav2vec2).card.licence == "unknown"
    for front, licence in (
        ("license: apache-2.0", "apache-2.0"),
        ("license: other\nlicense_name: mine", "mine"),
        ("license: [", "unknown"),
    ):
        (wav2vec2 / "README.md").write_text(f"---\n{front}\n---\n# Title\n")
        assert modelfile.load(wav2vec2).card.about.licence == licence
    (wav2vec2 / "README.md").unlink()


def test_what_would_be_random_or_code_is_refused(wav2vec2: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    headless = tmp_path / "headless"
    shutil.copytree(wav2vec2, headless)
    tensors = load_file(headless / "model.safetensors")
    kept = {key: value for key, value in tensors.items() if not key.startswith("classifier")}
    save_file(kept, headless / "model.safetensors", {"format": "pt"})
    with pytest.raises(EmoscopeError, match="2 weights are not in the checkpoint.*random numbers"):
        modelfile.load(headless)
    (headless / "model.safetensors").unlink()
    torch.save(tensors, headless / "pytorch_model.bin")
    with pytest.raises(EmoscopeError, match="cannot be loaded.*safetensors"):
        modelfile.load(headless)


def test_scores_that_are_no_single_label_are_refused(tmp_path: Path) -> None:
    many = "multi_label_classification"
    folder = save(tmp_path / "many", "Wav2Vec2", ["happy", "sad"], problem_type=many)
    with pytest.raises(ModelError, match=f"problem_type '{many}'"):
        modelfile.load(folder)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("hf:./nothing", "no such folder"),
        ("hf:../", "a folder without config.json"),
        ("hf:no/such-model", "cannot be loaded"),
        ("nothing.emoscope", "models of other tools: hf:ORG/NAME"),
    ],
)
def test_what_is_not_there_is_said_without_asking_the_hub(
    name: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=f"^{name}: .*{why}"):
        modelfile.load(name)


def test_the_cache_of_the_hub_serves_without_a_connection(
    wav2vec2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, stored = "0123456789abcdef" * 2 + "01234567", tmp_path / "models--org--tiny"
    shutil.copytree(wav2vec2, stored / "snapshots" / commit)
    (stored / "refs").mkdir()
    for name in ("main", "v1"):
        (stored / "refs" / name).write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    loaded = modelfile.load("hf:org/tiny")
    assert loaded.card.name == "org-tiny"
    assert probabilities(loaded, sound()) == probabilities(wav2vec2, sound())
    assert modelfile.load("hf:org/tiny@v1").checksum == loaded.checksum
    with pytest.raises(ModelError, match="hf:org/tiny@v2: the model cannot be loaded"):
        modelfile.load("hf:org/tiny@v2")


def test_transformers_that_is_not_installed(
    wav2vec2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(EmoscopeError, match=r"pip install 'emoscope\[encoders\]'"):
        modelfile.load(wav2vec2)


# --- a graph with a card ---------------------------------------------------------------------------


def write_graph(
    folder: Path, *, shape: list[object], gives: str = "scores", more: str = "", **card: object
) -> Path:
    """A graph whose scores are (s, -s, 0) for 100 times the mean square s of the samples."""
    axes = numpy_helper.from_array(np.array([-1]), "axes")
    weights = numpy_helper.from_array(np.array([[100, -100, 0]], np.float32), "weights")
    flat = numpy_helper.from_array(np.array([1, 1]), "flat")
    softmax = helper.make_node("Softmax", ["product"], [gives], axis=-1)
    nodes = [
        helper.make_node("Mul", ["samples", "samples"], ["squares"]),
        helper.make_node("ReduceMean", ["squares", "axes"], ["mean"], keepdims=1),
        helper.make_node("Reshape", ["mean", "flat"], ["power"]),
        helper.make_node("MatMul", ["power", "weights"], ["product"]),
        softmax
        if card.get("probabilities")
        else helper.make_node("Identity", ["product"], [gives]),
    ]
    value, floats = helper.make_tensor_value_info, TensorProto.FLOAT
    inputs = [value("samples", floats, shape), *([value(more, floats, [1])] if more else [])]
    outputs = [value(gives, floats, [1, 3])]
    made = helper.make_graph(nodes, "g", inputs, outputs, [axes, weights, flat])
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(made, opset_imports=opset, ir_version=9), folder / "own.onnx")
    told = {"labels": ["angry", "sad", "neutral"], "rate": RATE, **card}
    (folder / "own.json").write_text(json.dumps(told))
    return folder / "own.onnx"


@pytest.mark.parametrize("shape", [["n"], [1, "n"], ["batch", 1, "n"], [1, round(1.3 * RATE)]])
@pytest.mark.parametrize("probable", [True, False])
def test_a_graph_of_any_shape_gives_what_its_card_says(
    tmp_path: Path, shape: list[object], probable: bool
) -> None:
    named = {"probabilities": True, "output": "logits"} if probable else {}
    path = write_graph(tmp_path, shape=shape, gives="logits", **named)
    power = 100 * float(np.mean(sound().astype(np.float64) ** 2))
    weights = np.exp([0, -power, power])
    expected = dict(zip(["neutral", "sad", "angry"], weights / weights.sum(), strict=True))
    assert probabilities(path, sound()) == pytest.approx(expected, abs=1e-5)
    if isinstance(shape[-1], int):  # takes so many samples and no others: padded, not stretched
        shorter = sound()[:16_000]
        power *= np.mean(shorter**2) * 16_000 / (np.mean(sound() ** 2) * len(sound()))
        assert probabilities(path, shorter)["angry"] == pytest.approx(
            np.exp(power) / (1 + np.exp(power) + np.exp(-power)), abs=1e-5
        )


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"labels": ["angry", "sad"]}, r"of shape \[1, 3\]; the card promises .* 2 columns"),
        ({"rate": "fast"}, "rate"),
        ({"colour": []}, "colour"),
        ({"input": "x"}, "inputs are samples; the card asks for 'x'"),
        ({"more": "mask"}, "inputs are samples, mask; name one"),
    ],
)
def test_a_card_that_does_not_fit_its_graph(tmp_path: Path, change: dict, why: str) -> None:
    path = write_graph(tmp_path, shape=[1, "n"], **change)
    with pytest.raises(ModelError, match=why):
        probabilities(path, sound())


def test_a_graph_needs_a_card_and_is_checked(tmp_path: Path) -> None:
    path = write_graph(tmp_path, shape=[1, "n"])
    (tmp_path / "own.json").rename(tmp_path / "kept.json")
    with pytest.raises(ModelError, match=r"needs a card beside it, own.json, such as \{"):
        modelfile.load(path)
    (tmp_path / "kept.json").rename(tmp_path / "own.json")
    model = onnx.load(path)
    model.graph.node[4].op_type = "Loop"
    onnx.save(model, path)
    with pytest.raises(ModelError, match="operator 'Loop' is not among those emoscope runs"):
        modelfile.load(path)


# --- a function ------------------------------------------------------------------------------------

FUNCTIONS = """
import numpy as np

def by_level(samples, rate):
    assert samples.dtype == np.float32 and samples.ndim == 1 and rate == 16000
    share = float(min(1, np.sqrt(np.mean(samples**2))))
    return {"rabbia": share, "sad": (1 - share) / 4, "trauer": 3 * (1 - share) / 4}

class Kept:
    labels, rate = ("happy", "sad"), 8000
    def __call__(self, samples, rate):
        return np.array([0.25, 0.75]) if rate == 8000 else 1 / 0

def three(samples, rate): return [0.2, 0.3, 0.5]
three.labels = "happy", "sad"
def much(samples, rate): return {"happy": 3.0, "sad": 1.0}
def other(samples, rate): return {"happy" if len(samples) == rate else "glad": 0.5, "sad": 0.5}
def text(samples, rate): return "happy"
def broken(samples, rate): raise KeyError("what")
number = 3
"""


@pytest.fixture
def functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_functions.py").write_text(FUNCTIONS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.delitem(sys.modules, "own_functions", raising=False)


@pytest.mark.usefixtures("functions")
def test_functions_give_mappings_or_arrays() -> None:
    share = float(np.sqrt(np.mean(sound() ** 2)))
    expected = {"sad": 1 - share, "angry": share}
    found = probabilities("python:own_functions:by_level", sound())
    assert found == pytest.approx(expected, abs=1e-6)
    found = probabilities("python:own_functions:Kept", sound())
    assert found == pytest.approx({"happy": 0.25, "sad": 0.75}, abs=1e-6)
    loaded = modelfile.load("python:own_functions:by_level")
    assert "code of its author runs" in loaded.said[-1]
    assert loaded.card.about.licence == "unknown"
    assert Predictor(loaded).predict(sound(), RATE).uncertain  # whatever its confidence
    assert "nobody tested" in loaded.card.worth


@pytest.mark.usefixtures("functions")
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("three", r"gave \[0.2, 0.3, 0.5\]; expected a probability of each of happy, sad"),
        ("much", r"gave \{'happy': 3.0, 'sad': 1.0\}; expected"),
        ("other", r"gave \{'glad': 0.5"),
        ("text", "gave 'happy' and has no attribute 'labels'"),
        ("broken", "it raised KeyError: 'what'"),
        ("number", "TypeError: 'int' object is not callable"),
        ("absent", "cannot be imported: AttributeError"),
    ],
)
def test_functions_that_give_rubbish_are_told_what_came(name: str, why: str) -> None:
    with pytest.raises(ModelError, match=why):
        probabilities(f"python:own_functions:{name}", sound())
    with pytest.raises(ModelError, match="expected python:package.module:function"):
        modelfile.load("python:own_functions")


# --- a server --------------------------------------------------------------------------------------


def test_a_server_labels_as_its_own_model_does(tmp_path: Path) -> None:
    own = Predictor(tiny_model.write(tmp_path))
    with serving(own) as server:
        for name in (server.address, f"http:{server.address}", f"http:127.0.0.1:{server.port}"):
            far = Predictor(name)
            assert far.card.name == "level"
            assert far.model.said == (f"recordings are sent to {server.address}",)
        for level in (1e-4, 0.01, 0.04, 0.3):  # far from the training data, or not sure, or sure
            expected = own.infer(Signal(sound(level), RATE))
            found = far.infer(Signal(sound(level), RATE))
            np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=2e-6)
            assert (found.distance > 1) == (expected.distance > 1)
            assert (
                far.predict(sound(level), RATE).uncertain
                == own.predict(sound(level), RATE).uncertain
            )
        with pytest.raises(EmoscopeError, match=r"unknown model .*'two'. Valid: level"):
            Predictor(f"{server.address}?model=two")
        with pytest.raises(ModelError, match=r"/nowhere/api/models answers 404: .*error"):
            Predictor(f"{server.address}/nowhere")
    with pytest.raises(ModelError, match=r"gives no answer \(ConnectionError\); is a server there"):
        Predictor(server.address)


# --- the commands ----------------------------------------------------------------------------------


def test_labels_of_emoscopes_own_models_are_not_mapped(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="labels are emotions already"):
        Predictor(tiny_model.write(tmp_path), labels={"sad": "angry"})


@pytest.mark.usefixtures("functions")
def test_a_foreign_model_in_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import soundfile

    (tmp_path / "own_functions.py").write_text(FUNCTIONS.replace('"rabbia"', '"LABEL_0"'))
    rows = []
    for n, (level, emotion) in enumerate([(0.5, "angry"), (0.01, "sad")] * 3):
        soundfile.write(tmp_path / f"{n}.wav", sound(level, seed=n), RATE)
        rows.append(f"{n}.wav,{emotion},s{n // 2}")
    (tmp_path / "list.csv").write_text("\n".join(["file,emotion,speaker", *rows]))
    name = "python:own_functions:by_level"
    assert run("predict", "0.wav", "--model", name) == 2
    words = ["--label", "LABEL_0=angry"]
    assert run("predict", "0.wav", "--model", name, *words, "--format", "json") == 0
    done = capsys.readouterr()
    assert json.loads(done.out)["about"]["model"] == "own_functions.by_level"
    assert "LABEL_0 as angry" in done.err and "code of its author" in done.err
    assert run("evaluate", name, "list.csv", *words) == 0
    assert "6 clips" in capsys.readouterr().out
    monkeypatch.delenv("EMOSCOPE_DATA", raising=False)
    run("check", name, "--quick", *words)  # of a toy some tests fail
    found = json.loads(Path("emoscope-check", "check.json").read_text("utf-8"))
    assert found["about"]["model"] == "own_functions.by_level"
    assert run("export", name, "--onnx", "x.onnx") == 2
