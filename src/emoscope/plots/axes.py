"""The axes that a picture is drawn into when the caller brings none."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def own_axes(ax: Axes | None) -> Axes:
    """The caller's axes, or pyplot's current ones, as notebooks expect."""
    if ax is not None:
        return ax
    import matplotlib.pyplot

    return matplotlib.pyplot.gca()
