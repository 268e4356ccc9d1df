"""The gallery: every picture that ``emoscope.plots`` draws, drawn by the build.

The sound is synthetic and the results come from a quick comparison on the bundled features, so that
no recording is needed.
"""

import functools
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

import emoscope
from emoscope.evaluation import metrics, statistics
from emoscope.report import plots, summary

from . import pictures

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from recordings import RATE, silence, voice

MODELS = ("svm", "lda", "tree")


def pages() -> dict[str, Callable[[], str | bytes]]:
    """The page, and the images of clips beside it, for light and for dark."""
    made: dict[str, Callable[[], str | bytes]] = {"gallery/index.md": page}
    for dark, mode in ((False, "light"), (True, "dark")):
        made[f"static/one-{mode}.png"] = functools.partial(one, dark)
        made[f"static/two-{mode}.png"] = functools.partial(two, dark)
    return made


def one(dark: bool) -> bytes:
    """All panels of one clip."""
    clip = emoscope.Signal(voice(2.5, 190.0), RATE)
    figure = plots.show(clip, panels=list(plots.PANELS), titles=["every panel"], dark=dark)
    return pictures.png(figure)


def two(dark: bool) -> bytes:
    """Two clips side by side."""
    low, high = (emoscope.Signal(voice(2.5, pitch), RATE) for pitch in (110.0, 280.0))
    return pictures.png(plots.show([low, high], titles=["a low voice", "a high voice"], dark=dark))


@functools.cache
def comparison() -> emoscope.Result:
    """Three quick models on the bundled MFCCs."""
    data = emoscope.load_dataset(None, ["mfcc"])
    return emoscope.compare(data.corpus, data.features, models=MODELS, jobs=1)


def page() -> str:
    """Every picture, with the call that draws it."""
    return "\n".join([HEAD, *_of_results(), *_of_recordings()])


def _of_results() -> list[str]:
    result = comparison()
    board = result.leaderboard()
    rows = result.rows(board[0].model)
    found = statistics.groups({r.model: r.uar for r in board}, result.comparisons())
    lines = {"chance": summary.chance(result)}
    counts = metrics.confusion(rows["emotion"], rows["predicted"], emotions=result.emotions)
    curve = metrics.reliability(
        rows["emotion"], rows[[f"p_{e}" for e in result.emotions]], emotions=result.emotions
    )
    options = {"letters": statistics.letters(found), "lines": lines}
    return [
        _shown("leaderboard", "UAR with its interval over speakers; models that share a letter "
               "cannot be told apart.", lambda ax: plots.leaderboard(board, **options, ax=ax), 2.6),
        _shown("confusion", "What is taken for what, in percent of the clips of each emotion.",
               lambda ax: plots.confusion(counts, ax=ax), 5.0),
        _shown("reliability", "Confidence against how often it is right.",
               lambda ax: plots.reliability(curve, ax=ax), 4.5),
    ]  # fmt: skip


def _of_recordings() -> list[str]:
    parts = [voice(5, 110.0), silence(2), voice(5, 150.0, seed=3), silence(1), voice(4, 95.0)]
    said = emoscope.predict(np.concatenate(parts), RATE, timeline=True)
    spoken = [part for part in said.segments if part.is_speech]
    return [
        _shown("timeline", "The emotions of a long recording; this one is a synthetic voice, and "
               "the labels mean nothing.", lambda ax: plots.timeline({"": spoken}, ax=ax), 1.2,
               module="timelines"),
    ]  # fmt: skip


def _shown(
    name: str, caption: str, draw: Callable, height: float, *, module: str = "results"
) -> str:
    picture = pictures.svg(draw, caption, size=(8.0, height))
    return f"### {{py:func}}`~emoscope.report.plots.{module}.{name}`\n{picture}"


HEAD = f"""# Gallery

Every picture that `emoscope.plots` draws, made when this page was built. A function takes what it
shows and an `ax`, and returns the `ax`; `with plots.style(dark=True):` is for the dark theme.

## Of sound

{{py:func}}`~emoscope.report.plots.sound.show` stacks panels over a common time axis; on the command line it
is `emoscope show`. The voice is synthetic.
{pictures.pair("one", "One clip and every panel, from the waveform to its energy.")}
{pictures.pair("two", "Two clips side by side have one scale.")}

## Of results

From a comparison of {len(MODELS)} quick models on the features that ship with emoscope.
"""
