"""Exported graphs say what the fitted models say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from emoscope import modelfile, models
from emoscope.errors import ModelError
from emoscope.modelfile import safety
from emoscope.modelfile.card import Card, Input, Uncertain
from emoscope.models.onnx_graph import LinearForm

onnx = pytest.importorskip("onnx", reason="the extra 'deep' is not installed")
pytest.importorskip("skl2onnx", reason="the extra 'deep' is not installed")

from emoscope.training import export  # noqa: E402
from research import compression  # noqa: E402

WIDTH = 24
EMOTIONS = np.array(["angry", "happy", "neutral", "sad"])
FEW_EPOCHS = 3


def data(n_emotions: int = 4, n: int = 240) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = np.arange(n) % n_emotions
    x = rng.normal(size=(n, WIDTH)) + rng.normal(size=(n_emotions, WIDTH))[y]
    scale = 10.0 ** rng.uniform(-2, 3, WIDTH)
    return (x * scale).astype(np.float32), EMOTIONS[y], np.arange(n) // 12


def fitted(name: str, n_emotions: int = 4) -> tuple[object, np.ndarray]:
    x, y, speakers = data(n_emotions)
    estimator = models.get(name).build(0)
    if "epochs" in estimator.get_params():
        estimator.set_params(epochs=FEW_EPOCHS)
    if "n_estimators" in estimator.get_params():
        estimator.set_params(n_estimators=20)
    takes_groups = "groups" in type(estimator).fit.__code__.co_varnames
    estimator.fit(x, y, **({"groups": speakers} if takes_groups else {}))
    return estimator, x


def loaded(
    graph: bytes,
    estimator: object,
    given: Input = Input(kind="features", width=WIDTH),  # noqa: B008
    embedding_width: int = WIDTH,
) -> modelfile.ModelFile:
    card = Card(
        name="test",
        emotions=tuple(str(c) for c in estimator.classes_),
        input=given,
        embedding_width=embedding_width,
        temperature=1.0,
        uncertain=Uncertain(threshold=0.0, coverage=1.0, risk=0.0),
    )
    return modelfile.unpack(modelfile.pack(graph, card.to_json()), "test")


VECTOR_MODELS = [name for name in models.names() if models.get(name).input == "vector"]


@pytest.mark.parametrize("n_emotions", [2, 4])
@pytest.mark.parametrize("name", VECTOR_MODELS)
def test_every_vector_model(name: str, n_emotions: int) -> None:
    if name.startswith("cnn"):
        pytest.importorskip("torch", reason="the extra 'deep' is not installed")
        if name != "cnn1d-a" or n_emotions == 2:
            pytest.skip("one network stands for all: they share their code")
    estimator, x = fitted(name, n_emotions)
    mean, scale = x.mean(axis=0), x.std(axis=0)
    model = loaded(export.from_estimator(estimator, mean=mean, scale=scale), estimator)
    logits, embedding = model.run(x)
    np.testing.assert_allclose(
        model.probabilities(logits), estimator.predict_proba(x), atol=2e-4, err_msg=name
    )
    np.testing.assert_allclose(embedding, (x - mean) / scale, atol=1e-4)


@pytest.mark.parametrize("n_frames", [2, 119, 120, 121, 400])
def test_a_network_over_frames(frame_network: tuple, n_frames: int) -> None:
    estimator, model = frame_network
    clip = np.random.default_rng(n_frames).normal(size=(n_frames, 20)).astype(np.float32)
    logits, embedding = model.run(clip[None])
    expected = estimator.predict_proba([clip])
    np.testing.assert_allclose(model.probabilities(logits), expected, atol=1e-4)
    statistics = np.concatenate([clip.mean(axis=0), clip.std(axis=0)])
    np.testing.assert_allclose(embedding[0], (statistics - 1) / 2, atol=1e-4)


@pytest.fixture(scope="module")
def frame_network() -> tuple:
    pytest.importorskip("torch", reason="the extra 'deep' is not installed")
    rng = np.random.default_rng(0)
    clips = [rng.normal(size=(n, 20)).astype(np.float32) for n in range(100, 140)]
    estimator = models.get("cnn2d-a").build(0).set_params(epochs=1)
    estimator.fit(clips, EMOTIONS[np.arange(40) % 4], groups=np.arange(40) // 8)
    ones = np.ones(40, np.float32)
    graph = export.from_estimator(estimator, mean=ones, scale=2 * ones)
    return estimator, loaded(graph, estimator, Input(kind="frames", width=20), 40)


def test_pipelines_of_other_estimators() -> None:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y, _ = data()
    for last in (
        LogisticRegression(C=0.01),
        LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.5),
    ):
        estimator = make_pipeline(StandardScaler(), last).fit(x, y)
        graph = export.from_estimator(estimator, mean=x.mean(axis=0), scale=x.std(axis=0))
        model = loaded(graph, estimator)
        found = model.probabilities(model.run(x)[0])
        np.testing.assert_allclose(found, estimator.predict_proba(x), atol=1e-5)


def test_what_has_no_graph_is_refused() -> None:
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Own(ClassifierMixin, BaseEstimator):
        classes_ = EMOTIONS

    with pytest.raises(ModelError, match="Own has no ONNX form"):
        export.from_estimator(Own(), mean=np.zeros(3, np.float32), scale=np.ones(3, np.float32))


# --- encoders -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> tuple:
    torch = pytest.importorskip("torch", reason="the extra 'deep' is not installed")
    transformers = pytest.importorskip("transformers", reason="the extra 'deep' is not installed")
    pytest.importorskip("onnxscript", reason="the extra 'deep' is not installed")
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    from emoscope.features.encoder import Encoder
    from emoscope.training.waveform import WaveformTrunk

    torch.manual_seed(0)
    config = transformers.WhisperConfig(
        d_model=64, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=128
    )
    folder = str(tmp_path_factory.mktemp("models") / "whisper")
    WhisperEncoder(config).save_pretrained(folder)
    branches = [Encoder(folder, (1, 2)), Encoder(folder, (2,), ("mean", "std", "change"))]
    rng = np.random.default_rng(0)
    width = (2 * 2 + 3) * 64
    head = LinearForm(
        mean=rng.normal(size=width).astype(np.float32),
        scale=rng.uniform(0.5, 2, width).astype(np.float32),
        weights=rng.normal(0, 0.2, (width, 3)).astype(np.float32),
        bias=rng.normal(size=3).astype(np.float32),
    )
    return WaveformTrunk(branches), folder, head


def noise(n: int) -> np.ndarray:
    return np.random.default_rng(n).normal(0, 0.05, (1, n)).astype(np.float32)


@pytest.fixture(scope="module")
def trunk(network: tuple) -> bytes:
    return network[0].to_onnx(0.2, 30.0)


@pytest.fixture(scope="module")
def graph(network: tuple, trunk: bytes) -> bytes:
    return export.attach_head(trunk, network[2])


def run(graph: bytes, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    import onnxruntime

    graph = safety.check(graph)
    return onnxruntime.InferenceSession(graph).run(["logits", "embedding"], {"samples": samples})


def test_the_network_computes_the_feature(network: tuple) -> None:
    """Front-end, blocks and pooling agree with the encoder feature."""
    import torch

    from emoscope.audio import Signal
    from emoscope.features.encoder import Encoder
    from emoscope.features.spectrum import Spectrum

    net, folder, _ = network
    samples = noise(20_000)
    spectrum = Spectrum(Signal(samples[0], 16_000))
    feature = np.concatenate(
        [
            Encoder(folder, (1, 2)).extract(spectrum),
            Encoder(folder, (2,), ("mean", "std", "change")).extract(spectrum),
        ]
    )
    with torch.inference_mode():
        found = net(torch.from_numpy(samples)).numpy()[0]
    np.testing.assert_allclose(found, feature, atol=2e-3)


@pytest.mark.parametrize("n_samples", [3200, 20_001, 160_000, 480_000])
def test_the_graph_computes_the_network_and_the_head(
    network: tuple, graph: bytes, n_samples: int
) -> None:
    import torch

    net, _, head = network
    samples = noise(n_samples)
    with torch.inference_mode():
        standardised = (net(torch.from_numpy(samples)).numpy() - head.mean) / head.scale
    logits, embedding = run(graph, samples)
    np.testing.assert_allclose(embedding, standardised, atol=1e-4)
    np.testing.assert_allclose(logits, standardised @ head.weights + head.bias, atol=1e-4)


@pytest.mark.parametrize(
    ("scheme", "size", "error"),
    [
        ("float16", 0.62, 1e-3),
        ("mixed", 0.55, 0.03),
        ("int8", 0.45, 0.03),
    ],
)
def test_compression(
    network: tuple, trunk: bytes, graph: bytes, scheme: str, size: float, error: float
) -> None:
    compressed = compression.compress(trunk, scheme)
    if scheme == "float16":
        assert compressed == export.in_half_precision(trunk)
    front_end = 402 * 400 * 4 + 80 * 201 * 4
    assert len(compressed) - front_end < size * (len(trunk) - front_end)
    small = export.attach_head(compressed, network[2])
    samples = noise(40_000)
    difference = run(small, samples)[1] - run(graph, samples)[1]
    assert np.sqrt(np.mean(difference**2)) < error


def test_graphs_carry_no_trace_of_the_machine(graph: bytes) -> None:
    here = str(Path.cwd()).encode()
    for trace in (b"/home", b"/tmp", b"site-packages", b"stack_trace", b".py", here):
        assert trace not in graph


@pytest.mark.parametrize("scheme", ["float16", "int8"])
def test_what_standardises_is_never_rounded(scheme: str) -> None:
    """Columns may be large and steady, or tiny; half precision knows neither."""
    values = np.linspace(1, 2, 2 * export.SMALLEST).astype(np.float32) * 1e-9
    values[0] = 2e5
    onnx = pytest.importorskip("onnx")
    make = onnx.helper
    mean = onnx.numpy_helper.from_array(values, "mean")
    shape = [None, len(values)]
    graph = make.make_graph(
        [make.make_node("Sub", ["x", "mean"], ["y"])], "g",
        [make.make_tensor_value_info("x", 1, shape)], [make.make_tensor_value_info("y", 1, shape)],
        [mean],
    )  # fmt: skip
    small = compression.compress(make.make_model(graph).SerializeToString(), scheme)
    kept = onnx.load_from_string(small).graph.initializer
    assert [tensor.name for tensor in kept] == ["mean"]
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(kept[0]), values)
