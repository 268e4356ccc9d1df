"""How figures look and where they are drawn: colours, fonts, lines, axes and labels."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import html
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from ...errors import EmoscopeError, MissingExtraError, check_known, installed
from ...files import shipped_table

__all__ = ["display", "emotion_colour", "emotion_css", "palettes", "style", "to_svg"]

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Theme:
    """The colours of everything but the emotions; as the pages of the report have them."""

    background: str
    foreground: str
    soft: str
    line: str
    accent: str
    warn: str
    heat: tuple[str, ...]
    signed: tuple[str, str, str]


_TABLE = shipped_table("colours.toml")
LIGHT, DARK = (msgspec.convert(_TABLE[name], Theme) for name in ("light", "dark"))
#: Colour of each emotion on light and on dark background.
EMOTION_COLOURS = msgspec.convert(_TABLE["emotions"], dict[str, tuple[str, str]])

_theme: contextvars.ContextVar[Theme] = contextvars.ContextVar("theme", default=LIGHT)
theme = _theme.get  # gives the theme that figures are drawn in at the moment


#: Imports the package that draws; a MissingExtraError where it is not installed.
matplotlib = functools.partial(installed, "matplotlib", "a plot", "plots")


def emotion_colour(name: str) -> str:
    """The colour of an emotion in the present theme; UnknownNameError for another word."""
    check_known("emotion", EMOTION_COLOURS, name)
    return EMOTION_COLOURS[name][int(theme() is DARK)]


def colour_map(colours: Sequence[str]) -> LinearSegmentedColormap:
    """A colour map that runs evenly through these colours."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("emoscope", list(colours))


@contextlib.contextmanager
def style(dark: bool = False) -> Iterator[Theme]:
    """Draw in emoscope's style, light or dark, and give its colours: ``with style(dark=True): …``."""
    chosen = DARK if dark else LIGHT
    token = _theme.set(chosen)
    try:
        with matplotlib().rc_context(_parameters(chosen)):
            yield chosen
    finally:
        _theme.reset(token)


def palettes() -> dict[str, dict[str, str]]:
    """The colours of a page and of the emotions by name, ``light`` and ``dark``, for its script."""
    return {
        mode: {name: value for name, value in vars(chosen).items() if isinstance(value, str)}
        | {name: pair[number] for name, pair in EMOTION_COLOURS.items()}
        for number, (mode, chosen) in enumerate({"light": LIGHT, "dark": DARK}.items())
    }


def to_svg(draw: Callable[[Axes], object], *, size: tuple[float, float] = (8.0, 4.0)) -> str:
    """Draw a figure, `size` in inches, as SVG for a page; without matplotlib, how to install it."""
    try:
        mpl = matplotlib()
    except MissingExtraError as error:
        return f'<p class="note">{html.escape(str(error), quote=False)}</p>'
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with style(), mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "emoscope"}):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.subplots())
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]+">', "<g>", svg)
    svg = re.sub(r"font: (?:[\w ]+ )?([\d.]+px) [^;\"]*", r"font: \1 system-ui, sans-serif", svg)
    variables = {colour: f"var(--{name}, {colour})" for name, colour in palettes()["light"].items()}
    return re.sub(r"#[0-9a-f]{6}(?=[;\"])", lambda m: variables.get(m[0], m[0]), svg)


def emotion_css() -> str:
    """The emotions' colours as CSS variables, for a page with figures of :func:`to_svg`."""
    light, dark = (
        " ".join(f"--{name}: {colours[name]};" for name in EMOTION_COLOURS)
        for colours in palettes().values()
    )
    return f":root {{ {light} }}\n@media screen and (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}"


def _parameters(chosen: Theme) -> dict[str, Any]:
    colours = palettes()["dark" if chosen is DARK else "light"]
    cycle = matplotlib().cycler(color=[colours[name] for name in _TABLE["cycle"]])
    parameters = {key: colours.get(value, value) for key, value in _TABLE["figure"].items()}
    return {"axes.prop_cycle": cycle, **parameters}


def own_axes(ax: Axes | None) -> Axes:
    """The caller's axes, or pyplot's current ones, as notebooks expect."""
    if ax is not None:
        return ax
    from matplotlib import pyplot

    return pyplot.gca()


def display(figure: Figure) -> None:
    """Show a figure in a window until it is closed; EmoscopeError where there is no screen."""
    from matplotlib import pyplot

    if matplotlib().get_backend().lower() in ("agg", "svg", "pdf", "ps", "template"):
        raise EmoscopeError("no window can be opened here; give a file with --out clips.png")
    canvas = pyplot.figure().canvas
    canvas.figure = figure
    figure.set_canvas(canvas)
    pyplot.show()
