"""A network of :mod:`emoscope.models.network` as a PyTorch module.

Tensors are channels-last, ``(n_clips, rows, columns, channels)``, which halves the time of a 2-D
network; dropout by gaps takes a third of the time of a 1-D one.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import Conv, Dense, Dropout, Layer, Pool, Size, output_sizes, pooled


def fast_precision() -> torch.dtype:
    """bfloat16 where the processor has instructions for it (AMX, AVX-512), else float32."""
    tests = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    known = [getattr(torch.cpu, test, None) for test in tests]
    return torch.bfloat16 if any(test and test() for test in known) else torch.float32


class ConvNet(nn.Module):
    """The layers, then a dense layer with one output per emotion; weights are kept in float32."""

    def __init__(
        self,
        layers: tuple[Layer, ...],
        grid: Size,
        n_outputs: int,
        *,
        scheme: str = "glorot",
        precision: torch.dtype | None = None,  # of arithmetic in training, or `fast_precision`
    ) -> None:
        super().__init__()
        self.layers, self.precision = layers, precision or fast_precision()
        self.weighted = nn.ModuleList()
        inputs, grids = (*grid, 1), []
        for layer, size in zip(layers, output_sizes(layers, grid), strict=True):
            if isinstance(layer, Conv):
                conv = nn.Conv2d(inputs[2], layer.filters, layer.size, padding="same")
                self.weighted.append(conv)
                grids.append(inputs[:2])
            elif isinstance(layer, Dense):
                self.weighted.append(nn.Linear(math.prod(inputs), layer.units))
            inputs = size
        self.weighted.append(nn.Linear(math.prod(inputs), n_outputs))
        initialise(self, scheme, grids)

    def forward(self, X: Tensor) -> Tensor:
        """Logits, shape (n_clips, n_outputs), of ``X``, shape (n_clips, rows, columns)."""
        weighted = iter(self.weighted)
        precision = self.precision if self.training else torch.float32
        # columns of raw features span six orders of magnitude: half precision is for pictures
        x = X.unsqueeze(-1).to(precision if X.shape[1] > 1 else torch.float32)
        for position, layer in enumerate(self.layers):
            if isinstance(layer, Conv):
                x = _convolve(x, next(weighted)).to(precision)
                # the largest of rectified values is the rectified largest, of fewer values
                if not isinstance((*self.layers, None)[position + 1], Pool):
                    x = F.relu(x)
            elif isinstance(layer, Pool):
                x = F.relu(_pool(x.permute(0, 3, 1, 2), layer)).permute(0, 2, 3, 1)
            elif isinstance(layer, Dropout):
                x = dropout(x, layer.rate) if self.training else x
            elif isinstance(layer, Dense):
                x = F.relu(_dense(x.flatten(1), next(weighted)))
        return _dense(x.flatten(1), next(weighted)).float()


class ScaledNetwork(nn.Module):
    """A trained network behind its scaling, for export; `grids` turns the input into grids."""

    def __init__(self, fitted: Any, grids: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.grids = fitted.module_, grids
        self.n_emotions = len(fitted.classes_)
        self.register_buffer("logarithmic", torch.tensor(~np.isnan(fitted.floor_)))
        floor = np.nan_to_num(fitted.floor_, nan=1.0)
        for name, values in (("floor", floor), ("mean", fitted.mean_), ("scale", fitted.scale_)):
            self.register_buffer(name, torch.tensor(np.array(values, np.float32)))

    def forward(self, clips: Tensor) -> Tensor:
        """Logits, shape (n_clips, n_emotions)."""
        buffers: Any = self
        values = self.grids(clips)
        logarithms = torch.log(values.clamp(min=0) + buffers.floor)
        levels = torch.where(buffers.logarithmic, logarithms, values)
        logits: Tensor = self.network((levels - buffers.mean) / buffers.scale)
        return logits[:, : self.n_emotions]


def _dense(x: Tensor, layer: Any) -> Tensor:
    return F.linear(x, layer.weight.to(x.dtype), layer.bias.to(x.dtype))


def _convolve(x: Tensor, conv: Any) -> Tensor:
    if x.shape[1:3] == (1, 1):
        # a single cell meets only the middle of the kernel
        rows, columns = conv.kernel_size
        middle = conv.weight[:, :, (rows - 1) // 2, (columns - 1) // 2].to(x.dtype)
        return F.linear(x, middle, conv.bias.to(x.dtype))
    weight = conv.weight.to(x.dtype, memory_format=torch.channels_last)
    y = F.conv2d(x.permute(0, 3, 1, 2), weight, conv.bias.to(x.dtype), padding="same")
    return y.permute(0, 2, 3, 1)


def _pool(x: Tensor, layer: Pool) -> Tensor:
    """Pool ``(n, channels, rows, columns)``; outside the grid is below every value."""
    if layer.padding == "valid":
        return F.max_pool2d(x, layer.size)
    pads: list[int] = []
    for n, width in zip(x.shape[:1:-1], layer.size[::-1], strict=True):
        missing = pooled(n, width, "same") * width - n
        pads += [missing // 2, missing - missing // 2]
    if any(pads):
        x = F.pad(x, pads, value=-math.inf)
    return F.max_pool2d(x, layer.size)


def initialise(net: ConvNet, scheme: str, grids: list[Size]) -> None:
    """Draw the weights; biases start at zero.

    ``glorot`` (Keras) and ``tflearn`` start as the published code does. ``he`` (He et al. 2015,
    https://arxiv.org/abs/1502.01852): uniform within sqrt(6 / fan in), before the outputs sqrt(3 / fan
    in); the fan in counts the part of a kernel that meets its grid, on average over the grid.
    """
    grid = iter(grids)
    for layer in net.weighted:
        weight: Tensor = layer.weight  # type: ignore[assignment]
        if scheme == "he":
            fan_in: float = weight[0].numel()
            if weight.ndim == 4:
                sizes = zip(next(grid), weight.shape[2:], strict=True)
                fan_in = weight.shape[1] * math.prod(_cells_met(*size) for size in sizes)
            bound = math.sqrt((3 if layer is net.weighted[-1] else 6) / fan_in)
            nn.init.uniform_(weight, -bound, bound)
        elif scheme == "glorot":
            nn.init.xavier_uniform_(weight)
        elif weight.ndim == 4:
            bound = math.sqrt(3 / weight[0].numel())
            nn.init.uniform_(weight, -bound, bound)
        else:
            nn.init.trunc_normal_(weight, std=0.02, a=-0.04, b=0.04)
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]


def _cells_met(n: int, width: int) -> float:
    """How many of `width` cells lie on `n`, on average over where the middle one lies."""
    before = (width - 1) // 2
    return sum(min(n, i - before + width) - max(0, i - before) for i in range(n)) / n


@lru_cache
def _gaps(rate: float) -> Tensor:
    """Gaps, longer than k with probability (1 - rate)^k, for 32768 equally likely numbers."""
    uniform = (torch.arange(0x8000, dtype=torch.float64) + 0.5) / 0x8000
    return torch.ceil(torch.log(uniform) / math.log(1 - rate)).clamp_(min=1).long()


def random_places(n: int, rate: float) -> Tensor:
    """Which of ``n`` values dropout drops, each with probability ``rate``: sorted int64."""
    # enough gaps to pass n but once in a thousand million times; four to a 63-bit random integer
    enough = n * rate + 6 * math.sqrt(n * rate) + 6
    bits = torch.empty(math.ceil(enough / 4), dtype=torch.int64).random_().view(torch.int16)
    places = _gaps(rate).index_select(0, bits.bitwise_and_(0x7FFF).int()).cumsum_(0).sub_(1)
    return places[: int(torch.searchsorted(places, n))]


def dropout(x: Tensor, rate: float) -> Tensor:
    """Dropout with the fast random numbers of :func:`random_places`."""
    keep = torch.full((x.numel(),), 1 / (1 - rate), dtype=x.dtype)
    return x * keep.index_fill_(0, random_places(x.numel(), rate), 0).view(x.shape)
