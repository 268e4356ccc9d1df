"""Where a picture goes when the caller brings no axes, and when it is wanted on screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import EmoscopeError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def own_axes(ax: Axes | None) -> Axes:
    """The caller's axes, or pyplot's current ones, as notebooks expect."""
    if ax is not None:
        return ax
    import matplotlib.pyplot

    return matplotlib.pyplot.gca()


def display(figure: Figure) -> None:
    """Show a figure in a window and wait until it is closed.

    Raises
    ------
    EmoscopeError
        Where there is no screen, or no toolkit that could draw on it.
    """
    import matplotlib
    import matplotlib.pyplot

    if matplotlib.get_backend().lower() in ("agg", "svg", "pdf", "ps", "template"):
        raise EmoscopeError("no window can be opened here; give a file with --out clips.png")
    canvas = matplotlib.pyplot.figure().canvas
    canvas.figure = figure
    figure.set_canvas(canvas)
    matplotlib.pyplot.show()
