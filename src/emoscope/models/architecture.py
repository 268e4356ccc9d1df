"""Convolutional networks as data: what the layers are, without the library that computes them.

A network is a tuple of layers applied in order to a grid of values with one channel: a row of
columns ``(1, n_columns)`` for the 1-D networks, a picture ``(n_rows, n_columns)`` for the 2-D ones.
Every network ends, unstated, in a flattening and a dense layer with one output per emotion.
Convolutions keep the size of the grid (zeros outside it) and are followed by a rectifier.
"""

from __future__ import annotations

import dataclasses
from typing import Literal, TypeAlias

Size: TypeAlias = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Conv:
    """Convolution with ``filters`` filters of ``size`` (rows, columns), then a rectifier."""

    filters: int
    size: Size


@dataclasses.dataclass(frozen=True)
class Pool:
    """Largest value of each ``size`` (rows, columns) block.

    ``padding`` says what happens to a last, incomplete block: ``valid`` drops it (Keras's default),
    ``same`` keeps it, the blocks being centred on the grid (tflearn's default).
    """

    size: Size
    padding: Literal["valid", "same"]


@dataclasses.dataclass(frozen=True)
class Dropout:
    """Sets values to zero with probability ``rate`` while training, and scales up the others."""

    rate: float


@dataclasses.dataclass(frozen=True)
class Dense:
    """Fully connected layer of ``units``, then a rectifier."""

    units: int


Layer: TypeAlias = Conv | Pool | Dropout | Dense


def pooled(n: int, width: int, padding: str) -> int:
    """Number of blocks of ``width`` along ``n`` values."""
    return n // width if padding == "valid" else -(-n // width)


def output_sizes(layers: tuple[Layer, ...], grid: Size) -> list[tuple[int, int, int]]:
    """Rows, columns and channels after each layer; a dense layer counts as one cell.

    Raises
    ------
    ValueError
        When pooling leaves nothing of so small a grid.
    """
    rows, columns, channels = *grid, 1
    sizes = []
    for layer in layers:
        if isinstance(layer, Conv):
            channels = layer.filters
        elif isinstance(layer, Pool):
            rows = pooled(rows, layer.size[0], layer.padding)
            columns = pooled(columns, layer.size[1], layer.padding)
            if rows * columns == 0:
                raise ValueError(f"pooling leaves nothing of {grid[0]} x {grid[1]} values")
        elif isinstance(layer, Dense):
            rows, columns, channels = 1, 1, layer.units
        sizes.append((rows, columns, channels))
    return sizes


def parameter_count(layers: tuple[Layer, ...], grid: Size, n_outputs: int) -> int:
    """Number of weights and biases, the final dense layer included."""
    total, inputs = 0, (*grid, 1)
    for layer, size in zip(layers, output_sizes(layers, grid), strict=True):
        if isinstance(layer, Conv):
            total += layer.filters * (layer.size[0] * layer.size[1] * inputs[2] + 1)
        elif isinstance(layer, Dense):
            total += layer.units * (inputs[0] * inputs[1] * inputs[2] + 1)
        inputs = size
    return total + n_outputs * (inputs[0] * inputs[1] * inputs[2] + 1)
