"""Figures of results, from runs or from the tables of :mod:`emoscope.evaluation.metrics`, in percent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .style import own_axes, theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ...evaluation.result import Run

__all__ = [
    "confusion",
    "dumbbell",
    "leaderboard",
    "learning_curves",
    "reliability",
]

ENDS = ("D", "s", "o", "^")  # of a dumbbell, told apart by shape without colour
MAX_SHADE = 0.75  # of a cell of a confusion matrix, so that its number stays readable


def confusion(counts: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw a confusion matrix: shade is the share of a true emotion's clips, numbers are percent."""
    from matplotlib.patches import Rectangle

    ax = own_axes(ax)
    shares = counts.to_numpy() / np.maximum(counts.to_numpy().sum(axis=1, keepdims=True), 1)
    for (i, j), share in np.ndenumerate(shares):
        cell = Rectangle((j - 0.48, i - 0.48), 0.96, 0.96, lw=1.2 if i == j else 0)
        cell.set(facecolor=theme().accent, alpha=MAX_SHADE * share, edgecolor="none")
        ax.add_patch(cell)
        weight = "bold" if i == j else "normal"
        colour = theme().foreground if share >= 0.005 else theme().soft
        ax.text(j, i, f"{100 * share:.0f}", ha="center", va="center", weight=weight, color=colour)
    ax.set_xticks(range(len(counts.columns)), list(counts.columns), rotation=35, ha="right")
    ax.set_yticks(range(len(counts)), [f"{e}  ({n})" for e, n in counts.sum(axis=1).items()])
    ax.set(xlim=(-0.5, len(counts.columns) - 0.5), ylim=(len(counts) - 0.5, -0.5), aspect="equal")
    ax.set(xlabel="predicted", ylabel="true (clips)")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax


def leaderboard(
    runs: Sequence[Run], *, letters: Mapping[str, str] | None = None,
    lines: Mapping[str, float] | None = None, ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """Draw the UAR of each model with its interval, best on top, and `lines` to compare with."""
    ax = own_axes(ax)
    ordered = sorted(runs, key=lambda run: run.uar)
    for y, run in enumerate(ordered):
        if run.uar_low is not None and run.uar_high is not None:
            ends = [100 * run.uar_low, 100 * run.uar_high]
            ax.plot(ends, [y, y], color=theme().accent, alpha=0.3, linewidth=7)
        at = (100 * run.uar, y)
        ax.plot(*at, "o", color=theme().accent, markersize=6)
        label = f"{100 * run.uar:.1f}  {(letters or {}).get(run.model, '')}".rstrip()
        ax.annotate(label, at, (0, 6), textcoords="offset points", ha="center", fontsize=8)
    for name, value in (lines or {}).items():
        ax.axvline(100 * value, color=theme().soft, linewidth=1, linestyle=(0, (3, 3)), zorder=0)
        ax.text(100 * value, len(ordered) - 0.35, name, color=theme().soft, ha="center", fontsize=8)
    ax.set_yticks(range(len(ordered)), [run.model for run in ordered])
    ax.set(xlabel="UAR, %", ylim=(-0.6, len(ordered) - 0.1))
    return _rows(ax)


def dumbbell(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw up to four scores of each row on one line, joined; NaN draws nothing."""
    if table.shape[1] > len(ENDS):
        raise ValueError(f"a dumbbell has at most {len(ENDS)} ends; found {table.shape[1]}")
    ax = own_axes(ax)
    values = 100.0 * table.to_numpy(dtype=np.float64)
    rows = np.arange(len(table))[::-1]
    low, high = np.nanmin(values, axis=1), np.nanmax(values, axis=1)
    ax.hlines(rows, low, high, color=theme().line, linewidth=3, zorder=1)
    colours = [theme().soft, theme().warn, theme().accent, theme().foreground]
    for name, column, marker, colour in zip(table, values.T, ENDS, colours, strict=False):
        ax.plot(column, rows, marker, color=colour, markersize=6, label=str(name), zorder=2)
    ax.set_yticks(rows, [str(name) for name in table.index])
    ax.set(xlabel="%", ylim=(-0.6, len(table) - 0.4))
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=len(table.columns), borderaxespad=0.2)
    return _rows(ax)


def learning_curves(
    histories: Sequence[Sequence[Mapping[str, float]]], *, ax: Axes | None = None
) -> Axes:
    """Draw scores over epochs: one thin line per fold (of ``Run.history``), and their median."""
    ax = own_axes(ax)
    curves = (
        ("train_accuracy", "training accuracy", theme().warn),
        ("valid_uar", "UAR on held-out training speakers", theme().accent),
    )
    for key, name, colour in curves:
        scores = [{row["epoch"]: row[key] for row in rows if key in row} for rows in histories]
        table = pd.DataFrame({fold: pd.Series(by_epoch) for fold, by_epoch in enumerate(scores)})
        if table.dropna(how="all").empty:
            continue
        ax.plot(table.index, 100 * table, color=colour, alpha=0.25, linewidth=0.8)
        # Folds that stopped early would make the end of the median jump: at least half must go on.
        enough = table.notna().sum(axis=1) >= table.shape[1] / 2
        ax.plot(100 * table[enough].median(axis=1), color=colour, linewidth=2, label=name)
    ax.set(xlabel="epoch", ylabel="%", ylim=(0, 102))
    ax.legend(loc="lower right")
    ax.grid(axis="y")
    return ax


def reliability(curve: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw confidence against how often it is right; on the diagonal a model knows what it knows."""
    ax = own_axes(ax)
    ax.plot([0, 100], [0, 100], color=theme().soft, linewidth=1, linestyle=(0, (3, 3)))
    confidence, right = 100 * curve["confidence"], 100 * curve["accuracy"]
    ax.vlines(confidence, confidence, right, color=theme().warn, alpha=0.5, linewidth=3)
    ax.plot(confidence, right, color=theme().accent)
    area = 8 + 150 * curve["clips"] / curve["clips"].max()
    ax.scatter(confidence, right, area, color=theme().accent, zorder=3)
    ax.set(xlim=(0, 102), ylim=(0, 102), xlabel="confidence, %", ylabel="right, %", aspect="equal")
    ax.grid()
    return ax


def _rows(ax: Axes) -> Axes:
    ax.tick_params(axis="y", length=0)
    for label in ax.get_yticklabels():
        label.set_color(theme().foreground)
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x")
    return ax
