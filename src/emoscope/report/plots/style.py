"""How pictures look: colours, fonts and lines, on light paper and on dark.

Every emotion has one colour everywhere. The nine colours were chosen so that any two stay apart for
readers with protanopia, deuteranopia or tritanopia, on light and on dark paper; a test measures it.
"""

from __future__ import annotations

import contextlib
import contextvars
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

from ...errors import UnknownNameError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap


@dataclass(frozen=True)
class Theme:
    """The colours of everything but the emotions; as the pages of the report have them.

    ``heat`` runs from paper to the loudest point of a spectrogram, evenly in lightness.
    """

    paper: str
    ink: str
    soft: str
    line: str
    accent: str
    warn: str
    heat: tuple[str, ...]
    is_dark: bool


LIGHT = Theme(
    paper="#fbfbf9",
    ink="#1b1f24",
    soft="#59636e",
    line="#e2e4e0",
    accent="#0b6e8f",
    warn="#b4530a",
    heat=("#fbfbf9", "#fcdcb5", "#f4966c", "#c8406e", "#6b1d81", "#150e37"),
    is_dark=False,
)
DARK = Theme(
    paper="#14171a",
    ink="#e8eaec",
    soft="#9aa4ae",
    line="#30363c",
    accent="#5cc0de",
    warn="#f0a35e",
    heat=("#14171a", "#3b1c5e", "#8a2377", "#d9466b", "#fb9a6a", "#fdf3c8"),
    is_dark=True,
)

#: Colour of each emotion on light and on dark paper.
EMOTION_COLOURS = {
    "neutral": ("#8b9199", "#b3bac2"),
    "calm": ("#11787c", "#52fff4"),
    "happy": ("#aeb21a", "#fef61a"),
    "sad": ("#404ea4", "#3071f6"),
    "angry": ("#93001c", "#fb3611"),
    "fearful": ("#4b046d", "#8f41ad"),
    "disgust": ("#2d9e49", "#61d72a"),
    "surprised": ("#ca52d1", "#d985fc"),
    "bored": ("#816505", "#a47877"),
}

_theme: contextvars.ContextVar[Theme] = contextvars.ContextVar("theme", default=LIGHT)


def theme() -> Theme:
    """The theme that pictures are drawn in at the moment."""
    return _theme.get()


def emotion_colour(name: str) -> str:
    """The colour of an emotion in the present theme.

    Raises
    ------
    UnknownNameError
        When emoscope knows no such emotion.
    """
    if name not in EMOTION_COLOURS:
        raise UnknownNameError("emotion", name, EMOTION_COLOURS)
    return EMOTION_COLOURS[name][int(theme().is_dark)]


def heat_map() -> Colormap:
    """The colour map of spectrograms in the present theme: silence has the colour of the paper."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("heat", list(theme().heat))


def signed_map() -> Colormap:
    """The colour map of values on both sides of zero, which has the colour of the paper."""
    from matplotlib.colors import LinearSegmentedColormap

    low, high = ("#67a9cf", "#ef8a62") if theme().is_dark else ("#2166ac", "#b2182b")
    return LinearSegmentedColormap.from_list("signed", [low, theme().paper, high])


@contextlib.contextmanager
def style(dark: bool = False) -> Iterator[Theme]:
    """Draw in emoscope's style: ``with style(dark=True): …``.

    Parameters
    ----------
    dark : bool
        For dark paper instead of light.

    Yields
    ------
    Theme
        The colours in use.
    """
    chosen = DARK if dark else LIGHT
    token = _theme.set(chosen)
    try:
        with mpl.rc_context(_parameters(chosen)):  # type: ignore[arg-type]
            yield chosen
    finally:
        _theme.reset(token)


def to_svg(draw: Callable[[Axes], object], *, size: tuple[float, float] = (8.0, 4.0)) -> str:
    """Draw one picture as SVG for an HTML page whose style has the theme's colours as variables.

    Every colour of the theme and of the emotions becomes ``var(--name, #rrggbb)``, so the picture
    follows the page when that goes dark, and is right without the variables.

    Parameters
    ----------
    draw : callable
        Draws into the axes that it is given.
    size : tuple of float
        Width and height in inches; the page scales it.

    Returns
    -------
    str
        An ``<svg>`` element; the same picture always gives the same text.
    """
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
    return re.sub(r"#[0-9a-f]{6}(?=[;\"])", _as_variable, svg)


def _as_variable(match: re.Match[str]) -> str:
    return _VARIABLES.get(match[0], match[0])


_VARIABLES = {
    **{
        getattr(LIGHT, name): f"var(--{name}, {getattr(LIGHT, name)})"
        for name in ("paper", "ink", "soft", "line", "accent", "warn")
    },
    **{light: f"var(--{name}, {light})" for name, (light, _) in EMOTION_COLOURS.items()},
}


def emotion_css() -> str:
    """The emotions' colours as CSS variables, for a page with pictures of :func:`to_svg`."""
    light, dark = (
        " ".join(f"--{name}: {pair[i]};" for name, pair in EMOTION_COLOURS.items()) for i in (0, 1)
    )
    return f":root {{ {light} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}"


def _parameters(chosen: Theme) -> dict[str, Any]:
    return {
        "text.parse_math": False,  # names of clips and speakers are no formulas
        "font.family": "sans-serif",
        "font.size": 9.0,
        "text.color": chosen.ink,
        "axes.titlesize": 10.0,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.labelcolor": chosen.soft,
        "axes.labelsize": 8.5,
        "axes.edgecolor": chosen.line,
        "axes.facecolor": "none",
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.prop_cycle": mpl.cycler(color=_cycle(chosen)),  # type: ignore[attr-defined]
        "xtick.color": chosen.line,
        "ytick.color": chosen.line,
        "xtick.labelcolor": chosen.soft,
        "ytick.labelcolor": chosen.soft,
        "xtick.labelsize": 8.0,
        "ytick.labelsize": 8.0,
        "grid.color": chosen.line,
        "grid.linewidth": 0.7,
        "figure.facecolor": chosen.paper,
        "savefig.facecolor": chosen.paper,
        "legend.frameon": False,
        "legend.fontsize": 8.0,
        "lines.linewidth": 1.5,
        "lines.solid_capstyle": "round",
    }


def _cycle(chosen: Theme) -> list[str]:
    order = ("sad", "angry", "disgust", "surprised", "bored", "fearful", "happy", "neutral")
    others = [EMOTION_COLOURS[name][int(chosen.is_dark)] for name in order]
    return [chosen.accent, chosen.warn, *others]
