"""Writes the speaker encoder that ships with emoscope, and compares it with the original in torch.

The encoder is that of Resemblyzer 0.1.4 (Apache-2.0, https://github.com/resemble-ai/Resemblyzer),
trained with the GE2E loss (Wan et al., "Generalized end-to-end loss for speaker verification", ICASSP
2018) on VoxCeleb and LibriSpeech: three LSTM layers of 256 units, a linear layer, a rectifier, unit
length. Its weights are stored in 16 bits and cast to 32 when the graph is loaded.

    pip download --no-deps resemblyzer==0.1.4
    python scripts/bundle_voice_encoder.py Resemblyzer-0.1.4-py3-none-any.whl
"""

from __future__ import annotations

import io
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

OUT = Path(__file__).parents[1] / "src" / "emoscope" / "data" / "voice_encoder.onnx"
N_MELS, N_UNITS, N_LAYERS, N_FRAMES = 40, 256, 3, 160
TOLERANCE = 2e-3  # of a value of an embedding, which has unit length


def weights_of(wheel: str) -> dict[str, torch.Tensor]:
    """The weights in a wheel of Resemblyzer; the loss's own two scalars are left out."""
    with zipfile.ZipFile(wheel) as archive:
        content = io.BytesIO(archive.read("resemblyzer/pretrained.pt"))
    state = torch.load(content, map_location="cpu", weights_only=True)["model_state"]
    return {name: value for name, value in state.items() if name.startswith(("lstm", "linear"))}


def as_onnx(weights: dict[str, torch.Tensor]) -> onnx.ModelProto:
    """The graph ``mel (n_parts, n_frames, 40) -> embedding (n_parts, 256)``."""
    nodes = [helper.make_node("Transpose", ["mel"], ["steps"], perm=[1, 0, 2])]
    stored = []

    def store(name: str, values: np.ndarray) -> str:
        stored.append(numpy_helper.from_array(values.astype(np.float16), f"{name}_16"))
        nodes.append(helper.make_node("Cast", [f"{name}_16"], [name], to=TensorProto.FLOAT))
        return name

    def gates(name: str) -> np.ndarray:
        # torch orders the gates input, forget, cell, output; ONNX input, output, forget, cell.
        i, f, c, o = np.split(weights[name].numpy(), 4)
        return np.concatenate([i, o, f, c])[None]

    steps = "steps"
    for layer in range(N_LAYERS):
        w = store(f"w{layer}", gates(f"lstm.weight_ih_l{layer}"))
        r = store(f"r{layer}", gates(f"lstm.weight_hh_l{layer}"))
        biases = [gates(f"lstm.bias_{kind}_l{layer}") for kind in ("ih", "hh")]
        b = store(f"b{layer}", np.concatenate(biases, axis=1))
        outputs = [f"y{layer}", f"last{layer}"]
        nodes.append(helper.make_node("LSTM", [steps, w, r, b], outputs, hidden_size=N_UNITS))
        steps = f"steps{layer}"
        if layer + 1 < N_LAYERS:
            nodes.append(helper.make_node("Squeeze", [f"y{layer}", "one"], [steps]))
    stored.append(numpy_helper.from_array(np.array([1]), "one"))
    stored.append(numpy_helper.from_array(np.array([0]), "zero"))
    nodes.append(helper.make_node("Squeeze", [f"last{N_LAYERS - 1}", "zero"], ["last"]))
    w, b = (store(f"linear_{k}", weights[f"linear.{k}"].numpy()) for k in ("weight", "bias"))
    nodes.append(helper.make_node("Gemm", ["last", w, b], ["raw"], transB=1))
    nodes.append(helper.make_node("Relu", ["raw"], ["positive"]))
    nodes.append(helper.make_node("LpNormalization", ["positive"], ["embedding"], axis=1, p=2))
    mel = helper.make_tensor_value_info("mel", TensorProto.FLOAT, ["n_parts", "n_frames", N_MELS])
    embedding = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n_parts", N_UNITS])
    graph = helper.make_graph(nodes, "voice_encoder", [mel], [embedding], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model.doc_string = "Speaker encoder of Resemblyzer 0.1.4, Apache-2.0, in 16 bits"
    onnx.checker.check_model(model, full_check=True)
    return model


def in_torch(weights: dict[str, torch.Tensor], mel: np.ndarray) -> np.ndarray:
    """What Resemblyzer gives for a batch of mel spectrograms."""
    module = torch.nn.ModuleDict(
        {
            "lstm": torch.nn.LSTM(N_MELS, N_UNITS, N_LAYERS, batch_first=True),
            "linear": torch.nn.Linear(N_UNITS, N_UNITS),
        }
    )
    module.load_state_dict(weights)
    with torch.no_grad():
        _, (hidden, _) = module["lstm"](torch.from_numpy(mel))
        raw = torch.relu(module["linear"](hidden[-1]))
        return (raw / raw.norm(dim=1, keepdim=True)).numpy()


def main() -> None:
    weights = weights_of(sys.argv[1])
    model = as_onnx(weights).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    # Powers as of speech at -30 dBFS: about 1e-3, over five orders of magnitude.
    mel = (10 ** rng.normal(-3, 1.5, (32, N_FRAMES, N_MELS))).astype(np.float32)
    ours, theirs = session.run(None, {"mel": mel})[0], in_torch(weights, mel)
    difference = float(np.abs(ours - theirs).max())
    print(f"largest difference from torch: {difference:.1e}, {len(model) / 1e6:.2f} MB")
    if difference > TOLERANCE:
        sys.exit(f"more than {TOLERANCE}; nothing written")
    OUT.write_bytes(model)


if __name__ == "__main__":
    main()
