"""A recording over time: rows of so many minutes, in each the waveform and a lane for every speaker."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...labels import in_order
from ...prediction.prediction import Prediction, Segment
from ...prediction.summary import clock, lanes
from .style import emotion_colour, own_axes, theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Waves = Mapping[str, NDArray[np.float32]]

__all__ = ["recording", "timeline"]

ONE_ROW, MOST_ROWS = 90.0, 9  # seconds that fit in one row
ROWS = (60, 120, 300, 600, 1200, 1800, 3600, 7200, 14_400)  # seconds of a row
TICKS = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)  # seconds between two
WAVE, GAP = 1.1, 0.35  # heights of a waveform and below a lane, in that of a lane
NAME_SIZE, WIDTH = 7.5, 12.0  # points, inches
COLUMNS = 1600  # of a waveform, about as many as a row has pixels


def timeline(
    by_lane: Mapping[str, Sequence[Segment]], *, start: float = 0.0, end: float | None = None,
    waves: Waves | None = None, ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """Draw the speech of each lane from one time to another, hatched where it is uncertain.

    `waves` are heights of equal parts, from 0 to 1, of lanes or "" of all. Names stand where they fit.
    """
    ax, waves, top, places = own_axes(ax), waves or {}, 0.0, list[float]()
    end = end or max((part.end for parts in by_lane.values() for part in parts), default=1.0)
    for name in dict.fromkeys(["", *by_lane]):
        if name in waves:
            times, high = np.linspace(start, end, len(waves[name])), 0.45 * WAVE * waves[name]
            low, top = top + WAVE / 2 - high, top + WAVE
            ax.fill_between(times, low, low + 2 * high, color=theme().accent, linewidth=0.3)
        if name in by_lane:
            seen = [part for part in by_lane[name] if part.end > start and part.start < end]
            _blocks(ax, seen, start, end, top)
            places.append(top + 0.5)
            top += 1.0 + GAP
    step = next((tick for tick in TICKS if (end - start) / tick <= 12), TICKS[-1])
    ticks = np.arange(np.ceil(start / step) * step, end + 1e-6, step)
    ax.set_xticks(ticks, [clock(tick) for tick in ticks])
    ax.set_yticks(places, [name.replace(" ", "\n", 1) for name in by_lane])
    ax.set(xlim=(start, end), ylim=(top, -0.05))
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x")
    return ax


def recording(prediction: Prediction, peaks: Waves) -> Figure:
    """The figure of a prediction with segments: rows of equal length, a legend, what a label means."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    by_lane = lanes(prediction) or {"": []}
    parts = [part for own in by_lane.values() for part in own]
    seconds = max(part.end for one in prediction.each for part in one.segments)
    rows = (row for row in ROWS if row * MOST_ROWS >= seconds)
    length = seconds if seconds <= ONE_ROW else next(rows, ROWS[-1])
    count = int(np.ceil(seconds / length - 1e-6))
    waves = {name: _columns(own, count, count * length / seconds) for name, own in peaks.items()}
    height = 0.38 * len(by_lane) + 0.3 * len(waves) + 0.42
    figure = Figure((WIDTH, 0.9 + count * height), layout="constrained", dpi=150)
    for row, ax in enumerate(figure.subplots(count, squeeze=False)[:, 0]):
        own = {name: wave[row] for name, wave in waves.items()}
        timeline(by_lane, start=row * length, end=(row + 1) * length, waves=own, ax=ax)
    named = in_order(part.emotion for part in parts)
    keys = [Patch(facecolor=emotion_colour(name), label=name) for name in named]
    if any(part.uncertain for part in parts):
        hatched = Patch(facecolor=theme().soft, edgecolor=theme().background, hatch="////")
        hatched.set(label="uncertain", linewidth=0)
        keys.append(hatched)
    figure.legend(handles=keys, loc="outside upper left", ncols=10, columnspacing=1.4)
    figure.supxlabel(textwrap.fill(prediction.about.text, 190), fontsize=7)
    return figure


def _columns(peaks: NDArray[np.float32], n_rows: int, beyond: float) -> NDArray[np.float64]:
    """The waveform in rows, then NaN to `beyond` times its end: mean roots of peaks, to show quiet speech."""
    sums = np.cumsum([0.0, *np.sqrt(peaks / max(float(peaks.max()), 1e-6))])
    at = np.linspace(0.0, beyond * len(peaks), n_rows * COLUMNS + 1)
    means = np.diff(np.interp(at, np.arange(len(sums)), sums)) / at[1]
    means[at[1:] > len(peaks) + at[1] / 2] = np.nan
    return np.asarray(means).reshape(n_rows, COLUMNS)


def _blocks(ax: Axes, parts: Sequence[Segment], start: float, end: float, top: float) -> None:
    from matplotlib.colors import to_rgb

    figure = ax.figure.figure
    share = 0.92 if figure.get_layout_engine() else ax.get_position().width  # not known yet
    per_second = share * figure.get_size_inches()[0] * 72 / (end - start)
    for kind in dict.fromkeys((part.emotion, part.uncertain) for part in parts):
        spans = [(p.start, p.seconds) for p in parts if (p.emotion, p.uncertain) == kind]
        emotion, doubt = kind
        colour, hatch = emotion_colour(emotion), "/////" if doubt else None
        bars = ax.broken_barh(spans, (top, 1.0), facecolor=colour, hatch=hatch)
        bars.set(edgecolor=theme().background, linewidth=0.4)
        box = {"facecolor": colour, "linewidth": 0, "boxstyle": "square,pad=0.15"}
        bright = np.dot(to_rgb(colour), (0.299, 0.587, 0.114)) > 0.5
        for left, length in spans:
            left, right = max(left, start), min(left + length, end)
            if (right - left) * per_second > 0.62 * NAME_SIZE * len(emotion) + 4:
                ax.text(
                    (left + right) / 2, top + 0.5, emotion, fontsize=NAME_SIZE, ha="center",
                    va="center", color="black" if bright else "white", bbox=box if doubt else None,
                )  # fmt: skip
