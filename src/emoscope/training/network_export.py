"""Networks as ONNX graphs of the form that :mod:`emoscope.modelfile` describes, by PyTorch.

Needs the extra ``deep`` (``torch``, ``onnx``, ``onnxscript``).
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .onnx_tools import OPSET, need, quiet, stripped

Array = NDArray[np.float32]


def from_waveform(trunk: Any, *, shortest: int, longest: int) -> bytes:
    """A network from samples to embedding as an ONNX graph.

    Parameters
    ----------
    trunk : torch.nn.Module
        In evaluation mode; :class:`emoscope.training.waveform.WaveformTrunk`, or any that takes
        (1, n_samples) and gives (1, width).
    shortest, longest : int
        Samples of the shortest and the longest clip the graph has to take.

    Returns
    -------
    bytes
        Input ``samples``, output ``raw_embedding``;
        :func:`emoscope.training.export.attach_head` completes it.
    """
    torch = need("torch")
    n_samples = torch.export.Dim("n_samples", min=shortest, max=longest)
    example = torch.zeros(1, 2 * shortest).uniform_(-0.1, 0.1)
    return _from_torch(trunk, example, "samples", {1: n_samples}, outputs=("raw_embedding",))


def from_column_network(estimator: Any, mean: Array, scale: Array) -> bytes:
    """One of our convolutional networks over feature vectors."""
    torch = need("torch")

    class Plain(torch.nn.Module):  # type: ignore[misc, name-defined]
        """Scaling, the network's plain layers, and the standardised features beside them."""

        def __init__(self) -> None:
            super().__init__()
            self.network = estimator.module_.eval()
            floor = np.broadcast_to(estimator.floor_, mean.shape)
            self.register_buffer("logarithmic", torch.tensor(~np.isnan(floor)))
            learned = {
                "own_floor": np.nan_to_num(floor, nan=1.0),
                "own_mean": np.broadcast_to(estimator.mean_, mean.shape),
                "own_scale": np.broadcast_to(estimator.scale_, mean.shape),
                "mean": mean,
                "scale": scale,
            }
            for name, values in learned.items():
                self.register_buffer(name, torch.tensor(np.array(values, np.float32)))

        def forward(self, features: Any) -> Any:
            logarithms = torch.log(features.clamp(min=0) + self.own_floor)
            levels = torch.where(self.logarithmic, logarithms, features)
            scaled = (levels - self.own_mean) / self.own_scale
            logits = self.network.plain(scaled[:, None])[:, : len(estimator.classes_)]
            return logits, (features - self.mean) / self.scale

    example = torch.zeros(2, len(mean))
    return _from_torch(Plain().eval(), example, "features", {0: torch.export.Dim("n_clips", min=1)})


def from_frame_network(estimator: Any, mean: Array, scale: Array) -> bytes:
    """One of our networks over the middle frames of a log-mel spectrogram."""
    torch = need("torch")
    from ..models.cnn2d import POOL

    spare = -estimator.n_features_in_ % POOL.size[1]

    class Plain(torch.nn.Module):  # type: ignore[misc, name-defined]
        """Cutting or padding, merging, scaling, the plain layers; statistics as embedding."""

        def __init__(self) -> None:
            super().__init__()
            self.network = estimator.module_.eval()
            learned = {
                "own_mean": estimator.mean_,
                "own_scale": estimator.scale_,
                "mean": mean,
                "scale": scale,
            }
            for name, values in learned.items():
                self.register_buffer(name, torch.tensor(np.array(values, np.float32)))

        def forward(self, frames: Any) -> Any:
            n_frames = frames.shape[1]
            # ONNX rounds towards zero, so that what it halves must not be negative.
            start = (n_frames + estimator.frames) // 2 - estimator.frames
            wanted = torch.arange(estimator.frames) + start
            inside = ((wanted >= 0) & (wanted < n_frames))[None, :, None]
            picked = frames[:, wanted.clamp(0, n_frames - 1)]
            quietest = frames.amin(dim=(1, 2), keepdim=True)
            grid = torch.where(inside, picked, quietest)
            grid = torch.cat([grid, grid[:, :, -1:].expand(-1, -1, spare)], dim=2)
            merged = grid.unflatten(1, (-1, estimator.merge)).mean(dim=2)
            scaled = (merged - self.own_mean) / self.own_scale
            logits = self.network.plain(scaled)[:, : len(estimator.classes_)]
            return logits, (torch.cat(frame_statistics(frames), dim=1) - self.mean) / self.scale

    def frame_statistics(frames: Any) -> list[Any]:
        centred = frames - frames.mean(dim=1, keepdim=True)
        return [frames.mean(dim=1), (centred**2).mean(dim=1).sqrt()]

    example = torch.zeros(1, 2 * estimator.frames, estimator.n_features_in_)
    dynamic = {1: torch.export.Dim("n_frames", min=2)}
    return _from_torch(Plain().eval(), example, "frames", dynamic)


def _from_torch(
    module: Any,
    example: Any,
    name: str,
    dynamic: dict[int, Any],
    *,
    outputs: tuple[str, ...] = ("logits", "embedding"),
) -> bytes:
    torch = need("torch")
    need("onnxscript")
    with tempfile.TemporaryDirectory() as folder, quiet():
        path = Path(folder) / "model.onnx"
        program = torch.onnx.export(
            module,
            (example,),
            None,
            dynamo=True,
            opset_version=OPSET,
            input_names=[name],
            output_names=list(outputs),
            dynamic_shapes=(dynamic,),
            verbose=False,
        )
        program.save(path, external_data=False)
        return stripped(path.read_bytes())
