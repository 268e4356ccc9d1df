"""Encoder features against transformers' own forward passes; missing weights are errors."""

from __future__ import annotations

import json
import os
import shutil
import socket
from pathlib import Path

import librosa
import numpy as np
import pytest

import tiny_model
from emoscope import features
from emoscope.audio import Signal
from emoscope.errors import FeatureError, ModelError
from emoscope.features import pretrained
from emoscope.features.encoder import Encoder, pool
from emoscope.features.spectrum import Spectrum
from emoscope.modelfile.card import Input
from emoscope.prediction import Predictor

torch = pytest.importorskip("torch", reason="the extra 'deep' is not installed")
transformers = pytest.importorskip("transformers", reason="the extra 'deep' is not installed")
safetensors_torch = pytest.importorskip("safetensors.torch")

RATE = 16_000
MODELS = Path(
    os.environ.get("EMOSCOPE_MODELS", Path(__file__).resolve().parents[2] / "shared" / "models")
)
SMALL = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}
WAVEFORM = {
    **SMALL,
    "intermediate_size": 48,
    "conv_dim": (16, 16, 16),
    "conv_stride": (5, 8, 8),
    "conv_kernel": (10, 8, 8),
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}


def clip(seconds: float = 1.3, rate: int = RATE) -> Signal:
    rng = np.random.default_rng(5)
    t = np.arange(round(seconds * rate)) / rate
    tone = 0.3 * np.sin(2 * np.pi * (120 + 40 * t) * t)
    return Signal((tone + rng.normal(0, 0.02, len(t))).astype(np.float32), rate, "clip.wav")


def save(folder: Path, model: object, *, normalise: bool = True) -> str:
    model.save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=normalise).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def whisper_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(0)
    config = transformers.WhisperConfig(
        d_model=24,
        encoder_layers=3,
        encoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_layers=1,
        decoder_attention_heads=2,
        decoder_ffn_dim=32,
        vocab_size=60,
        num_mel_bins=80,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
        suppress_tokens=[],
        begin_suppress_tokens=[],
    )
    folder = tmp_path_factory.mktemp("models") / "whisper"
    transformers.WhisperForConditionalGeneration(config).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def hubert_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("models") / "hubert"
    return save(folder, transformers.HubertModel(transformers.HubertConfig(**WAVEFORM)))


def test_mel_filters_are_librosas() -> None:
    for n_mels in (80, 128):
        expected = librosa.filters.mel(sr=RATE, n_fft=400, n_mels=n_mels)
        np.testing.assert_allclose(pretrained.mel_filters(n_mels), expected, atol=1e-7)


@pytest.mark.parametrize("n_samples", [201, 400, 1600, 16_007, 48_000])
def test_log_mel_is_whispers(n_samples: int) -> None:
    samples = clip(3.0).samples[:n_samples]
    extractor = transformers.WhisperFeatureExtractor()
    expected = extractor(samples, sampling_rate=RATE, padding="do_not_pad")["input_features"][0]
    np.testing.assert_allclose(pretrained.log_mel(samples), expected, atol=1e-4)


def test_log_mel_refuses_what_cannot_be_reflected() -> None:
    with pytest.raises(ValueError, match="at least 201"):
        pretrained.log_mel(np.ones(200, np.float32))


def test_whisper_at_thirty_seconds_is_the_librarys_forward(whisper_folder: str) -> None:
    samples = clip(30.0).samples
    model = transformers.WhisperModel.from_pretrained(whisper_folder).encoder.eval()
    with torch.inference_mode():
        mel = torch.from_numpy(pretrained.log_mel(samples))[None]
        expected = model(mel, output_hidden_states=True).hidden_states
    found = pretrained.load(whisper_folder, 3).hidden_states(samples, (0, 1, 2))
    for layer in (0, 1, 2):
        np.testing.assert_allclose(found[layer], expected[layer][0], atol=2e-5)


def test_whisper_at_native_length_keeps_the_length(whisper_folder: str) -> None:
    states = pretrained.load(whisper_folder, 2).hidden_states(clip(1.3).samples, (2,))
    assert states[2].shape == (65, 24)  # 130 mel frames, halved
    # 70 s: three pieces of 23.3 s, each of 1166 positions
    assert pretrained.load(whisper_folder, 1).hidden_states(clip(70.0).samples, (1,))[1].shape == (
        3 * 1166,
        24,
    )


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("family", ["Wav2Vec2", "Hubert", "WavLM", "Data2VecAudio"])
def test_waveform_encoders_are_the_librarys_forward(
    tmp_path: Path, family: str, normalise: bool
) -> None:
    torch.manual_seed(2)
    config = getattr(transformers, f"{family}Config")(**WAVEFORM)
    folder = save(
        tmp_path / family, getattr(transformers, f"{family}Model")(config), normalise=normalise
    )
    samples = clip().samples
    model = transformers.AutoModel.from_pretrained(folder).eval()
    given = torch.from_numpy(samples)[None]
    if normalise:
        given = (given - given.mean()) / torch.sqrt(given.var(unbiased=False) + 1e-7)
    with torch.inference_mode():
        expected = model(given, output_hidden_states=True).hidden_states
    found = pretrained.load(folder, 2).hidden_states(samples, (0, 1, 2))
    for layer in (0, 1, 2):
        np.testing.assert_allclose(found[layer], expected[layer][0], atol=2e-5)


def test_a_missing_weight_is_an_error(hubert_folder: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in Path(hubert_folder).glob("*.json"):
        (broken / file.name).write_bytes(file.read_bytes())
    tensors = safetensors_torch.load_file(Path(hubert_folder) / "model.safetensors")
    gone = next(key for key in tensors if "layers.1.attention.k_proj.weight" in key)
    del tensors[gone]
    safetensors_torch.save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(FeatureError, match=r"random numbers") as caught:
        pretrained.load(str(broken), 2)
    assert "layers.1.attention.k_proj.weight" in str(caught.value)
    # what is not run need not be there
    pretrained.load(str(broken), 1)


def test_an_encoder_without_its_weights_is_an_error(whisper_folder: str, tmp_path: Path) -> None:
    """Another model's weights under an encoder's configuration: everything would be random."""
    config = json.loads((Path(whisper_folder) / "config.json").read_text())
    folder = tmp_path / "hollow"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    safetensors_torch.save_file(
        {"a": torch.zeros(2)}, folder / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(FeatureError, match="random numbers"):
        pretrained.load(str(folder), 1)


def test_models_that_hear_nothing_are_refused(tmp_path: Path) -> None:
    config = transformers.BertConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    transformers.BertModel(config).save_pretrained(tmp_path / "bert")
    with pytest.raises(FeatureError, match="an encoder of speech is needed"):
        pretrained.load(str(tmp_path / "bert"), 1)


def test_an_unknown_model_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(FeatureError, match="no encoder 'no/such-model'"):
        pretrained.configuration("no/such-model")


@pytest.mark.parametrize(
    "content",
    [
        b"{bad",
        b"[1]",
        b"{}",
        b"\xff\xfe{\0",
        b"[" * 100_000,
        b'{"model_type": "wav2vec2", "hidden_size": "x", "num_hidden_layers": null}',
        b'{"model_type": "wav2vec2", "hidden_size": 1000000000, "num_hidden_layers": 2}',
        b'{"model_type": "whisper", "d_model": true, "encoder_layers": 2}',
    ],
)
def test_a_damaged_configuration_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(FeatureError, match="config"):
        _ = features.get(f"encoder:{tmp_path}").columns


# --- encoders that a model file names -------------------------------------------------------------


def of_encoder(tmp_path: Path, encoder: str, spec: dict | None = None) -> Path:
    """A model file whose card names an encoder."""
    if spec is None:
        return tiny_model.write_linear(tmp_path, 128, input=tiny_model.of_feature(encoder))
    given = Input(kind="features", features=({"name": encoder, "spec": spec},), width=128)
    return tiny_model.write_linear(tmp_path, 128, input=given)


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list:
    """Hosts that were asked for."""
    asked: list = []

    def refuse(host: object, *_: object, **__: object) -> None:
        asked.append(host)
        raise OSError("no network here")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    return asked


def test_a_model_file_makes_nobody_fetch_its_encoder(tmp_path: Path, connections: list) -> None:
    path = of_encoder(tmp_path, "encoder:evil-user/evil-model", {})
    with pytest.raises(ModelError, match="trust it: hf download evil-user/evil-model"):
        Predictor(path)
    path = of_encoder(tmp_path, "encoder:evil; rm -r x", {})
    with pytest.raises(ModelError, match="names is fetched$"):
        Predictor(path)
    path = of_encoder(tmp_path, "encoder://evil.example/share", {})
    with pytest.raises(ModelError, match="not a folder of this machine"):
        Predictor(path)
    assert not connections


def test_a_model_of_an_encoder_in_a_folder_or_in_the_cache(
    tmp_path: Path, hubert_folder: str, connections: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = tiny_model.expected_linear(
        features.get(f"encoder:{hubert_folder}").extract(Spectrum(clip()))
    )
    commit = "0123456789" * 4
    cached = tmp_path / "hub" / "models--someone--hubert"
    shutil.copytree(hubert_folder, cached / "snapshots" / commit)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    spec = features.get(f"encoder:{hubert_folder}").spec
    in_cache = {**spec, "model": "hubert", "weights": commit}
    for encoder, described in (
        (f"encoder:{hubert_folder}", None),
        ("encoder:someone/hubert", json.loads(json.dumps(in_cache))),
    ):
        heard = Predictor(of_encoder(tmp_path, encoder, described)).predict(clip())
        np.testing.assert_allclose(list(heard.probabilities.values()), expected, atol=1e-4)
    assert not connections


def test_pool_closed_form() -> None:
    ramp = np.stack([np.arange(11.0), np.full(11, 4.0)], axis=1).astype(np.float32)
    expected = [5.0, 4.0, np.sqrt(10.0), 0.0, 5.0, 0.0]
    np.testing.assert_allclose(pool(ramp, ("mean", "std", "change")), expected, rtol=1e-6)
    assert pool(ramp[:3], ("change",)).tolist() == [0.0, 0.0]


def test_the_feature_by_name(hubert_folder: str) -> None:
    feature = features.get(f"encoder:{hubert_folder}@layers=1+3@pool=mean+std+change")
    values = feature.extract(Spectrum(clip()))
    assert feature.kind == "vector"
    assert values.shape == (len(feature.columns),) == (2 * 3 * 32,)
    assert values.dtype == np.float32
    assert feature.columns[0] == "encoder_hubert_b1_mean_0001"
    assert feature.columns[-1] == "encoder_hubert_b3_change_0032"
    states = pretrained.load(hubert_folder, 3).hidden_states(clip().samples, (3,))[3]
    np.testing.assert_allclose(values[96:128], states.mean(axis=0), atol=1e-6)


def test_frames_and_any_rate(hubert_folder: str) -> None:
    feature = features.get(f"encoder:{hubert_folder}@pool=none@prepare=speech-level")
    frames = feature.extract(Spectrum(clip(rate=22_050)))
    assert feature.kind == "frames"
    assert frames.shape[1] == len(feature.columns) == 64  # blocks 1 and 2: the middle of three


def test_the_specification_follows_the_weights_and_not_the_folder(
    hubert_folder: str, tmp_path: Path
) -> None:
    here, copy = Path(hubert_folder), tmp_path / "hubert"
    copy.mkdir()
    for file in here.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    spec = Encoder.from_text(str(copy)).spec
    assert spec == Encoder.from_text(hubert_folder).spec
    assert json.loads(json.dumps(spec)) == spec
    levelled = Encoder.from_text(f"{hubert_folder}@prepare=speech-level")
    assert spec != levelled.spec
    assert not set(levelled.columns) & set(Encoder.from_text(hubert_folder).columns)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("openai/whisper-base", Encoder("openai/whisper-base")),
        ("a@b", Encoder("a@b")),
        ("m@layers=4+2", Encoder("m", (4, 2))),
        ("m@pool=none", Encoder("m", (), ())),
        ("a@b@pool=change@layers=1", Encoder("a@b", (1,), ("change",))),
        ("m@pool=change,prepare=speech-level", Encoder("m", (), ("change",), "speech-level")),
        ("m@speed=0.9", Encoder("m", speed=0.9)),
    ],
)
def test_from_text(text: str, expected: Encoder) -> None:
    assert Encoder.from_text(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "m@layers=x",
        "m@layers=²",
        "m@layers=" + "9" * 5000,
        "m@pool=max",
        "m@depth=3",
        "m@prepare=loud",
        "@layers=1",
        "m@speed=3",
        "m@speed=x",
    ],
)
def test_wrong_text_is_refused(text: str) -> None:
    with pytest.raises(FeatureError, match=r"encoder:"):
        Encoder.from_text(text)


def test_speed_is_the_clip_played_faster(hubert_folder: str) -> None:
    """At twice the speed, a clip is what it would be with every other sample."""
    rng = np.random.default_rng(0)
    smooth = np.convolve(rng.normal(0, 0.1, 2 * RATE), np.hanning(64) / 32, "same")
    signal = Signal(smooth.astype(np.float32), RATE)
    faster = Encoder.from_text(f"{hubert_folder}@speed=2")
    plain = Encoder.from_text(hubert_folder)
    halved = Signal(np.ascontiguousarray(signal.samples[::2]), RATE)
    ours, expected = faster.extract(Spectrum(signal)), plain.extract(Spectrum(halved))
    np.testing.assert_allclose(ours, expected, atol=2e-2)
    assert plain.spec | {"speed": 2.0} == faster.spec
    assert all("_x2_" in name for name in faster.columns)


def test_a_layer_too_deep_is_refused(hubert_folder: str) -> None:
    with pytest.raises(FeatureError, match="has 3 blocks; layer 4"):
        _ = Encoder.from_text(f"{hubert_folder}@layers=4").columns


def test_the_real_encoders_are_the_librarys_forward() -> None:
    folder = MODELS / "whisper-tiny.en-encoder"
    if not folder.is_dir():
        pytest.skip(f"no pretrained encoders at {MODELS} (set EMOSCOPE_MODELS)")
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    samples = clip(30.0).samples
    model = WhisperEncoder.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        mel = torch.from_numpy(pretrained.log_mel(samples))[None]
        expected = model(mel, output_hidden_states=True).hidden_states[3][0]
    found = pretrained.load(str(folder), 3).hidden_states(samples, (3,))[3]
    np.testing.assert_allclose(found, expected, atol=2e-3)
    columns = features.get(f"encoder:{folder}").columns
    assert columns[0] == "encoder_whisper-tiny.en-encoder_b2_mean_0001"
