"""Operations that make training on one core several times faster than a chain of library layers.

Tensors are channels-last, ``(n_clips, rows, columns, channels)``. Each operation computes what the
plain layers compute (the tests compare them); only the order of the arithmetic differs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

# Products of one chunk stay in a core's second-level cache (2 MiB on current server cores): larger
# ones are written to memory and read back. Half and twice this size are a tenth slower.
CHUNK_VALUES = 1 << 19


@lru_cache
def _gaps(rate: float) -> Tensor:
    """Gaps between dropped values, one for each of 32768 equally likely random numbers.

    With probability ``rate`` each, independently, the gaps are geometric: longer than k with
    probability (1 - rate)^k. Their mean is 1 / rate to one in ten thousand.
    """
    uniform = (torch.arange(0x8000, dtype=torch.float64) + 0.5) / 0x8000
    return torch.ceil(torch.log(uniform) / math.log(1 - rate)).clamp_(min=1).long()


def random_places(n: int, rate: float) -> Tensor:
    """Which of ``n`` values dropout drops, each with probability ``rate``: sorted int64.

    Drawing the gaps between the few dropped values takes a fraction of the time of drawing for
    every value, which is half of what a plain training step does.
    """
    # enough gaps to pass n but once in a thousand million times; four to a 63-bit random integer
    enough = n * rate + 6 * math.sqrt(n * rate) + 6
    bits = torch.empty(math.ceil(enough / 4), dtype=torch.int64).random_().view(torch.int16)
    places = _gaps(rate).index_select(0, bits.bitwise_and_(0x7FFF).int()).cumsum_(0).sub_(1)
    return places[: int(torch.searchsorted(places, n))]


class _ConvPool(torch.autograd.Function):
    """One-channel convolution, dropout, max-pool and rectifier as one matrix product.

    The outputs of one pooling block all see the same small patch of the input, so one product of
    patches with a kernel laid out once per position in the block gives them side by side, and only
    the largest is ever stored.
    """

    @staticmethod
    def forward(ctx: Any, patches: Tensor, kernel: Tensor, bias: Tensor, rate: float) -> Tensor:
        """Patches (n, taps) and kernel (taps, positions * filters) to (n, filters)."""
        n, filters = patches.shape[0], bias.shape[0]
        positions = kernel.shape[1] // filters
        best = torch.empty(n, filters, 1, 1, dtype=patches.dtype)
        where = torch.empty(n, filters, 1, 1, dtype=torch.int64)
        step = max(1, CHUNK_VALUES // kernel.shape[1])
        buffer = torch.empty(min(step, n), kernel.shape[1], dtype=patches.dtype)
        for start in range(0, n, step):
            part = slice(start, min(start + step, n))
            out = buffer[: part.stop - part.start]
            torch.mm(patches[part], kernel, out=out)
            if rate:
                # far below any value: a dropped position is chosen only when all are dropped, and
                # the rectifier then gives the zero that dropout would have given
                out.view(-1).index_fill_(0, random_places(out.numel(), rate), -1e30)
            grid = out.view(-1, positions, 1, filters).permute(0, 3, 1, 2)
            torch.ops.aten.max_pool2d_with_indices.out(
                grid, (positions, 1), out=best[part], indices=where[part]
            )
        scale = 1 / (1 - rate)
        result = best.view(n, filters).add(bias).relu_()
        if rate:
            result.mul_(scale)
        ctx.save_for_backward(patches, where.view(n, filters), result)
        ctx.positions, ctx.scale, ctx.step = positions, scale, step
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, Tensor, None]:
        """Gradients of the kernel and the bias; the recording itself needs none."""
        patches, where, result = ctx.saved_tensors
        n, filters = where.shape
        gradient = torch.ops.aten.threshold_backward(gradients[0], result, 0)
        if ctx.scale != 1:
            gradient = gradient * ctx.scale
        width = ctx.positions * filters
        kernel = torch.zeros(patches.shape[1], width)
        step = ctx.step
        spread = torch.empty(min(step, n) * width, dtype=gradient.dtype)
        # moved as integers of the same size: PyTorch scatters those several times faster
        bits = torch.int16 if gradient.dtype == torch.bfloat16 else torch.int32
        gradient = gradient.contiguous()
        row = torch.arange(min(step, n)).mul_(width).unsqueeze(1) + torch.arange(filters)
        for start in range(0, n, step):
            part = slice(start, min(start + step, n))
            rows = part.stop - part.start
            flat = spread[: rows * width].zero_()
            target = (where[part] * filters).add_(row[:rows]).view(-1)
            flat.view(bits).scatter_(0, target, gradient[part].view(-1).view(bits))
            kernel += patches[part].t().contiguous() @ flat.view(rows, width)
        return None, kernel, gradient.sum(0, dtype=torch.float32), None


class _RowConv(torch.autograd.Function):
    """Convolution along the columns, zeros outside, as one matrix product each way."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, width: int) -> Tensor:
        """``x`` (n, columns, channels) and ``kernel`` (width * channels, filters)."""
        n, columns, channels = x.shape
        padded = F.pad(x, (0, 0, width // 2, width - 1 - width // 2))
        patches = padded.as_strided(
            (n, columns, width * channels), (padded.stride(0), channels, 1)
        ).reshape(n * columns, width * channels)
        ctx.save_for_backward(patches, kernel)
        ctx.shape, ctx.width = x.shape, width
        return (patches @ kernel).view(n, columns, -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        """Gradients of the input and the kernel."""
        patches, kernel = ctx.saved_tensors
        n, columns, channels = ctx.shape
        gradient = gradients[0].reshape(n * columns, -1)
        spread = (gradient @ kernel.t()).view(n, columns, ctx.width, channels)
        padded = torch.zeros(n, columns + ctx.width - 1, channels, dtype=gradient.dtype)
        for tap in range(ctx.width):
            padded[:, tap : tap + columns] += spread[:, :, tap]
        first = ctx.width // 2
        return padded[:, first : first + columns], patches.t() @ gradient, None


def block_index(size: tuple[int, int], pool: tuple[int, int]) -> Tensor:
    """Where each tap of a patch meets the kernel, for every position in a pooling block.

    Returns
    -------
    Tensor of int64, shape (n_taps * n_positions,)
        Number of the kernel's value, row by row; ``size[0] * size[1]`` where they do not meet.
    """
    taps = torch.full((size[0] + pool[0] - 1, size[1] + pool[1] - 1, *pool), size[0] * size[1])
    kernel = torch.arange(size[0] * size[1]).view(size)
    for i in range(pool[0]):
        for j in range(pool[1]):
            taps[i : i + size[0], j : j + size[1], i, j] = kernel
    return taps.view(-1)


def conv_pool(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    pool: tuple[int, int],
    *,
    rate: float,
    index: Tensor,
) -> Tensor:
    """First block of a network: convolution of one channel, rectifier, dropout, max-pool.

    Parameters
    ----------
    x : Tensor, shape (n, rows, columns)
        The result has its precision.
    weight, bias : Tensor, shapes (filters, 1, kernel rows, kernel columns) and (filters,)
    pool : tuple of int
        Rows and columns of a pooling block; what is left over at the end is dropped.
    rate : float
        Dropout before pooling.
    index : Tensor
        ``block_index`` of the kernel and the block.

    Returns
    -------
    Tensor, shape (n, rows // pool rows, columns // pool columns, filters)
    """
    n, (kernel_rows, kernel_columns) = x.shape[0], weight.shape[2:]
    rows, columns = x.shape[1] // pool[0], x.shape[2] // pool[1]
    top, left = (kernel_rows - 1) // 2, (kernel_columns - 1) // 2
    padded = F.pad(x, (left, kernel_columns - 1 - left, top, kernel_rows - 1 - top))
    taps = (kernel_rows + pool[0] - 1, kernel_columns + pool[1] - 1)
    across = padded.stride(1)
    patches = padded.as_strided(
        (n, rows, columns, *taps),
        (padded.stride(0), across * pool[0], pool[1], across, 1),
    ).reshape(n * rows * columns, taps[0] * taps[1])
    flat = F.pad(weight.view(weight.shape[0], -1).t(), (0, 0, 0, 1))
    kernel = flat.index_select(0, index).view(patches.shape[1], -1).to(x.dtype)
    block: Callable[..., Tensor] = _ConvPool.apply
    return block(patches, kernel, bias.to(x.dtype), rate).view(n, rows, columns, -1)


def row_conv(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolution with a kernel of one row.

    Parameters
    ----------
    x : Tensor, shape (n, 1, columns, channels)
    weight, bias : Tensor, shapes (filters, channels, 1, width) and (filters,)

    Returns
    -------
    Tensor, shape (n, 1, columns, filters)
    """
    width = weight.shape[3]
    kernel = weight.permute(2, 3, 1, 0).reshape(-1, weight.shape[0]).to(x.dtype)
    convolve: Callable[..., Tensor] = _RowConv.apply
    return (convolve(x[:, 0], kernel, width) + bias.to(x.dtype)).unsqueeze(1)


def dropout(x: Tensor, rate: float) -> Tensor:
    """Dropout with the fast random numbers of :func:`random_places`."""
    keep = torch.full((x.numel(),), 1 / (1 - rate), dtype=x.dtype)
    return x * keep.index_fill_(0, random_places(x.numel(), rate), 0).view(x.shape)
