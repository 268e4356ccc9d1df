"""Where names stand among the points of a picture, so that none covers another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Size of names beside or between points, in typographic points.
LABEL_SIZE = 8.0


def label_points(
    ax: Axes, xs: NDArray[np.float64], ys: NDArray[np.float64], names: Sequence[str]
) -> None:
    """Write a name at each point, on the first side of it where no other point or name is."""
    size, gap = LABEL_SIZE, 5.0
    points = _to_points(ax, np.column_stack([xs, ys]))
    taken = [(x - 3, y - 3, x + 3, y + 3) for x, y in points]
    for (x, y), at, name in zip(points, zip(xs, ys, strict=True), names, strict=True):
        width = 0.55 * size * len(name)
        for right, above in ((1, 1), (1, 0), (0, 1), (0, 0)):
            left, low = x + gap if right else x - gap - width, y + 2 if above else y - 2 - size
            box = (left, low, left + width, low + size)
            if not any(
                box[0] < o[2] and o[0] < box[2] and box[1] < o[3] and o[1] < box[3] for o in taken
            ):
                break
        taken.append(box)
        offset = (gap if right else -gap, 2 if above else -2)
        ax.annotate(
            name, at, offset, textcoords="offset points", fontsize=size,
            ha="left" if right else "right", va="bottom" if above else "top",
        )  # fmt: skip


def spread(ax: Axes, places: NDArray[np.float64], names: Sequence[str]) -> NDArray[np.float64]:
    """Places near the given ones, up or down from them, at which no name covers another."""
    at = _to_points(ax, places)
    half = np.array([0.35 * LABEL_SIZE * len(name) + 4 for name in names])
    height = 2.0 * LABEL_SIZE
    for _ in range(100):
        crossing = [
            (low, high)
            for low in range(len(at))
            for high in range(len(at))
            if (at[low, 1], low) < (at[high, 1], high)
            and abs(at[low, 0] - at[high, 0]) < half[low] + half[high]
            and at[high, 1] - at[low, 1] < height - 0.01
        ]
        for low, high in crossing:
            push = max(0.0, height - (at[high, 1] - at[low, 1])) / 2
            at[low, 1] -= push
            at[high, 1] += push
        if not crossing:
            break
    found: NDArray[np.float64] = ax.transData.inverted().transform(at * ax.figure.dpi / 72)
    return found


def _to_points(ax: Axes, places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Places in the data as typographic points from the lower left corner of the picture."""
    ax.figure.figure.draw_without_rendering()  # until then, sizes are not known
    found: NDArray[np.float64] = ax.transData.transform(places) * 72 / ax.figure.dpi
    return found
