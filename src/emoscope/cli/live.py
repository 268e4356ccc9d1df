"""The live view of ``emoscope listen`` in the terminal."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..prediction.microphone import Session, Update
from ..prediction.prediction import SILENCE

COLOURS = {
    "neutral": "#b3bac2",
    "calm": "#52fff4",
    "happy": "#fef61a",
    "sad": "#3071f6",
    "angry": "#fb3611",
    "fearful": "#8f41ad",
    "disgust": "#61d72a",
    "surprised": "#d985fc",
    "bored": "#a47877",
}
"""The colours of the pictures on dark paper."""


def show(updates: Iterable[Update], session: Session, console: Console | None = None) -> None:
    """Draw updates in the terminal until they end or Ctrl+C is pressed.

    Elsewhere than on a terminal, each new label becomes one line.

    Parameters
    ----------
    updates : iterable of Update
    session : Session
    console : rich.console.Console, optional
    """
    console = console or Console()
    past: list[str] = []
    try:
        if not console.is_terminal:
            for update in updates:
                if update.latency is not None and update.emotion:
                    sure = update.probabilities[update.emotion]
                    console.print(f"{update.seconds:8.1f} s  {update.emotion:<10} {sure:4.0%}")
            return
        with Live(console=console, auto_refresh=False, transient=True) as live:
            for update in updates:
                _remember(past, update)
                live.update(_picture(update, past, session), refresh=True)
    except KeyboardInterrupt:
        return


def _remember(past: list[str], update: Update) -> None:
    """One entry for every second."""
    while len(past) < int(update.seconds):
        past.append(update.emotion if update.speaking and update.emotion else SILENCE)


def _picture(update: Update, past: list[str], session: Session) -> Group:
    colour = COLOURS.get(update.emotion or "", "white")
    loud = round(30 * min(1.0, max(0.0, (update.level + 60.0) / 60.0)))
    minutes, seconds = divmod(int(update.seconds), 60)
    head = Text.assemble(
        ("● ", "bold red"), f"{minutes}:{seconds:02d}  ",
        ("█" * loud, "green"), ("░" * (30 - loud), "dim"),
        "  speaking" if update.speaking else "",
    )  # fmt: skip
    label = Text(f"\n  {update.emotion or 'listening …'}\n", style=f"bold {colour}")
    bars = Table.grid(padding=(0, 1))
    for emotion, value in sorted(update.probabilities.items(), key=lambda item: -item[1]):
        length = round(40 * value)
        bar = Text.assemble(
            ("█" * length, COLOURS.get(emotion, "white")), ("░" * (40 - length), "dim")
        )
        bars.add_row(f"  {emotion}", bar, f"{value:4.0%}")
    minute = Text("  ")
    for name in past[-60:]:
        minute.append("▁" if name == SILENCE else "█", COLOURS.get(name, "dim"))
    typical = f"{1000 * float(np.median(session.latencies)):.0f} ms" if session.latencies else "…"
    foot = Text(f"\n  {typical} from sound to label · Ctrl+C ends", style="dim")
    return Group(head, label, bars, Text(), minute, foot)
