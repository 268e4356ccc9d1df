"""A network of :mod:`emoscope.models.architecture` as a PyTorch module."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..architecture import Conv, Dense, Dropout, Layer, Pool, Size, output_sizes, pooled
from . import fused


class ConvNet(nn.Module):
    """The layers, then a dense layer with one output per emotion.

    It runs the operations of :mod:`.fused`; :meth:`plain` gives the same values with plain library
    layers, which can be exported.

    Parameters
    ----------
    layers : tuple of Layer
    grid : tuple of int
        Rows and columns of the input.
    n_outputs : int
        Number of emotions (logits).
    scheme : {"glorot", "he", "tflearn"}
        How the weights start; see :func:`initialise`.
    precision : torch.dtype
        Of the arithmetic while training: float32, or bfloat16 with weights kept in float32.
    """

    def __init__(
        self,
        layers: tuple[Layer, ...],
        grid: Size,
        n_outputs: int,
        *,
        scheme: str = "glorot",
        precision: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.layers, self.precision = layers, precision
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
        self.first = _first_block(layers, grid)
        if self.first:
            first: Any = self.weighted[0]
            self.index: Tensor
            index = fused.block_index(first.kernel_size, self.first[1])
            self.register_buffer("index", index, persistent=False)

    def plain(self, X: Tensor) -> Tensor:
        """What :meth:`forward` computes when not training, without the fused operations."""
        x, weighted = X.unsqueeze(1), iter(self.weighted)
        for layer in self.layers:
            if isinstance(layer, Conv):
                x = F.relu(next(weighted)(x))
            elif isinstance(layer, Pool):
                x = _pool(x, layer)
            elif isinstance(layer, Dense):
                x = F.relu(next(weighted)(_flat(x)))
        logits: Tensor = next(weighted)(_flat(x))
        return logits

    def forward(self, X: Tensor) -> Tensor:
        """Logits, shape (n_clips, n_outputs), of ``X``, shape (n_clips, rows, columns)."""
        weighted, layers = iter(self.weighted), self.layers
        precision = self.precision if self.training else torch.float32
        if self.first:
            used, pool, rate = self.first
            conv: Any = next(weighted)
            # columns of raw features span six orders of magnitude: half precision is for pictures
            x = X.to(precision if X.shape[1] > 1 else torch.float32)
            rate = rate if self.training else 0.0
            x = fused.conv_pool(x, conv.weight, conv.bias, pool, rate=rate, index=self.index)
            layers = layers[used:]
        else:
            x = X.unsqueeze(-1)
        x = x.to(precision)
        for position, layer in enumerate(layers):
            if isinstance(layer, Conv):
                x = _convolve(x, next(weighted))
                # the largest of rectified values is the rectified largest, of fewer values
                if not isinstance((*layers, None)[position + 1], Pool):
                    x = F.relu(x)
            elif isinstance(layer, Pool):
                x = F.relu(_pool(x.permute(0, 3, 1, 2), layer)).permute(0, 2, 3, 1)
            elif isinstance(layer, Dropout):
                x = fused.dropout(x, layer.rate) if self.training else x
            elif isinstance(layer, Dense):
                x = F.relu(_dense(x.reshape(len(x), -1), next(weighted)))
        return _dense(x.reshape(len(x), -1), next(weighted)).float()


def _first_block(layers: tuple[Layer, ...], grid: Size) -> tuple[int, Size, float] | None:
    """Number of layers, pooling block and dropout rate of a fusible beginning, or None."""
    drops = len(layers) > 1 and isinstance(layers[1], Dropout)
    rate = layers[1].rate if drops else 0.0  # type: ignore[union-attr]
    used = 3 if drops else 2
    pool = layers[used - 1] if len(layers) >= used else None
    if not (isinstance(layers[0], Conv) and isinstance(pool, Pool)):
        return None
    whole = grid[0] % pool.size[0] == 0 and grid[1] % pool.size[1] == 0
    return (used, pool.size, rate) if whole or pool.padding == "valid" else None


def _flat(x: Tensor) -> Tensor:
    """Flatten with the channels last, as Keras does; a flat tensor stays as it is."""
    return x if x.ndim == 2 else x.permute(0, 2, 3, 1).flatten(1)


def _dense(x: Tensor, layer: Any) -> Tensor:
    return F.linear(x, layer.weight.to(x.dtype), layer.bias.to(x.dtype))


def _convolve(x: Tensor, conv: Any) -> Tensor:
    if x.shape[1:3] == (1, 1):
        # a single cell meets only the middle of the kernel
        rows, columns = conv.kernel_size
        middle = conv.weight[:, :, (rows - 1) // 2, (columns - 1) // 2].to(x.dtype)
        return F.linear(x, middle, conv.bias.to(x.dtype))
    if x.shape[1] == 1 and conv.kernel_size[0] == 1:
        return fused.row_conv(x, conv.weight, conv.bias)
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

    ``glorot`` and ``tflearn`` start as the libraries of the published code do. ``glorot`` (Keras):
    uniform within sqrt(6 / (fan in + fan out)). ``tflearn``: convolutions uniform within
    sqrt(3 / fan in), dense layers normal with standard deviation 0.02, cut at two.

    ``he``: uniform within sqrt(6 / fan in), before the outputs within sqrt(3 / fan in), so that
    values keep their size from layer to layer (He et al. 2015, https://arxiv.org/abs/1502.01852).
    What counts as fan in is the part of a kernel that meets its grid, on average over the grid
    (`grids`, one per convolution): small grids meet little of a large kernel, and without this what
    goes through many of them is lost.
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
    met = [min(n, i - before + width) - max(0, i - before) for i in range(n)]
    return sum(met) / n
