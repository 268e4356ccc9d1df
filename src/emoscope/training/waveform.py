"""From samples to embedding in one PyTorch network, which becomes one graph; as the feature computes it.

A batch is one clip of 16 kHz mono, ``(1, n_samples)``; frames come 20 ms apart.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..features import filters, pretrained
from ..features.encoder import CHANGE_FRAMES, Encoder
from ..models.onnx_graph import from_torch, serialised

LONGEST_SECONDS = 30.0  # Whisper's encoders know 1500 positions of 20 ms
_ANGLE_BASE = 10_000.0


class LogMel(nn.Module):
    """Whisper's log-mel spectrogram, its Fourier transform as a convolution; levels to 1e-4."""

    kernels: Tensor
    filters: Tensor

    def __init__(self, n_mels: int = 80) -> None:
        super().__init__()
        n_fft = pretrained.N_FFT
        steps = np.outer(np.arange(n_fft // 2 + 1), np.arange(n_fft)) % n_fft
        angles = 2.0 * np.pi * steps / n_fft
        window = filters.hann(n_fft).astype(np.float32)
        waves = np.concatenate([np.cos(angles), np.sin(angles)]) * window
        self.register_buffer("kernels", torch.from_numpy(waves.astype(np.float32))[:, None])
        self.register_buffer("filters", torch.tensor(pretrained.mel_filters(n_mels)))

    def forward(self, samples: Tensor) -> Tensor:
        """Samples (1, n_samples) to log-mel (1, n_mels, n_samples // 160)."""
        padded = F.pad(samples[:, None], (pretrained.N_FFT // 2,) * 2, mode="reflect")
        spectrum = F.conv1d(padded, self.kernels, stride=pretrained.HOP)[:, :, :-1]
        real, imaginary = torch.split(spectrum, self.kernels.shape[0] // 2, dim=1)
        levels = (self.filters @ (real**2 + imaginary**2)).clamp(min=1e-10).log10()
        return (torch.maximum(levels, levels.amax(dim=(1, 2), keepdim=True) - 8.0) + 4.0) / 4.0


class WhisperBlocks(nn.Module):
    """Convolutions and first blocks of a Whisper encoder; gives the states of chosen blocks."""

    scales: Tensor

    def __init__(self, folder: str, blocks: Sequence[int]) -> None:
        super().__init__()
        module = pretrained.load(folder, max(blocks)).module
        self.chosen = tuple(blocks)
        self.conv1, self.conv2, self.layers = module.conv1, module.conv2, module.layers
        half = module.config.d_model // 2
        # Whisper's positions are sinusoids: computing them saves 1 to 3 MB of table.
        increment = math.log(_ANGLE_BASE) / (half - 1)
        scales = torch.exp(-increment * torch.arange(half, dtype=torch.float64))
        self.register_buffer("scales", scales.float())

    def positions(self, n_frames: int) -> Tensor:
        """Sinusoidal position codes, (n_frames, width)."""
        angles = torch.arange(n_frames, dtype=torch.float32)[:, None] * self.scales
        return torch.cat([angles.sin(), angles.cos()], dim=1)

    def forward(self, mel: Tensor) -> list[Tensor]:
        """Log-mel (1, n_mels, n_frames) to chosen blocks' states (1, n_frames // 2, width)."""
        states = pretrained.whisper_states(self, mel, self.positions)
        return [states[block] for block in self.chosen]


def pool(hidden: Tensor, poolings: Sequence[str]) -> Tensor:
    """States (1, n_frames, width) to statistics (1, len(poolings) * width), as the feature's."""
    statistics = []
    for name in poolings:
        if name == "mean":
            statistics.append(hidden.mean(dim=1))
        elif name == "std":
            statistics.append(((hidden - hidden.mean(dim=1, keepdim=True)) ** 2).mean(dim=1).sqrt())
        else:
            change = hidden[:, CHANGE_FRAMES:] - hidden[:, :-CHANGE_FRAMES]
            statistics.append(change.abs().mean(dim=1))
    return torch.cat(statistics, dim=1)


class WaveformTrunk(nn.Module):
    """Samples to embedding: pooled states by encoder, block (from 1) and pooling, as the feature's."""

    def __init__(self, encoders: Sequence[Encoder]) -> None:
        super().__init__()
        self.poolings = tuple(one.poolings for one in encoders)
        self.log_mel = LogMel()
        self.encoders = nn.ModuleList([WhisperBlocks(one.model, one.blocks) for one in encoders])
        self.eval()

    def forward(self, samples: Tensor) -> Tensor:
        """Samples (1, n_samples) to embedding (1, width)."""
        mel = self.log_mel(samples)
        pooled = [
            pool(hidden, poolings)
            for module, poolings in zip(self.encoders, self.poolings, strict=True)
            for hidden in module(mel)
        ]
        return torch.cat(pooled, dim=1)

    def to_onnx(self, shortest: float, longest: float) -> bytes:
        """The graph from ``samples`` to ``raw_embedding``, for clips of so many seconds."""
        n_min, n_max = (round(seconds * pretrained.RATE) for seconds in (shortest, longest))
        n_samples = torch.export.Dim("n_samples", min=n_min, max=n_max)
        example = torch.zeros(1, 2 * n_min).uniform_(-0.1, 0.1)
        dynamic = {1: n_samples}
        return serialised(from_torch(self, example, "samples", dynamic, output="raw_embedding"))
