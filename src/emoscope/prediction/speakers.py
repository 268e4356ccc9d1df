"""Who speaks when in one channel: embeddings of short windows, clustered; a sticky chain makes turns.

Where two speak at once, the turn is of the one that sounds most.
"""

import itertools
from collections.abc import Sequence

import numpy as np

from ..audio import Signal
from ..audio.voice_activity import FRAME_SECONDS, Turn
from ..voices import clustering, encoder
from .timeline import Inference, Stream, Window, Windows, cell_edges, near, runs, viterbi

WINDOWS = Windows(length=1.6, hop=0.4)
STAY = 0.95  # probability that a cell (0.4 s) is of the same voice as the one before
SHARPNESS = 20.0  # of the cosines, to be taken for log probabilities
ROUNDS = 3  # of turns and voices in turn
_NOTHING = np.zeros(0, np.float32)


def stream(rate: int) -> Stream:
    """A stream that gives the windows of what is fed at `rate` Hz their voices."""
    given = (rate, encoder.RATE, WINDOWS, lambda _, pieces: _embedded(pieces))
    return Stream(lambda piece: _embedded([piece])[0], (), *given, lambda inferences, _: inferences)


def _embedded(pieces: Sequence[Signal]) -> list[Inference]:
    return [Inference(_NOTHING, _NOTHING, one, 0.0) for one in encoder.embed_each(pieces)]


def turns(
    windows: Sequence[Window], speech: Sequence[tuple[float, float]], count: int | None = None
) -> tuple[Turn, ...]:
    """Divide each part of the speech among the voices, which are named as they appear."""
    if not windows:
        return ()
    rows = clustering.comparable(np.array([w.inference.embedding for w in windows], np.float64))
    bounds = np.searchsorted([w.speech for w in windows], range(len(speech) + 1))
    edges = [cell_edges(*span, WINDOWS.hop) for span in speech]
    cells = [
        clustering.unit(near(windows[a:b], edge) @ rows[a:b])
        for edge, (a, b) in zip(edges, itertools.pairwise(bounds.tolist()), strict=True)
    ]
    voices = clustering.centres(rows, count)
    for _ in range(ROUNDS if len(voices) > 1 else 1):
        scores = [SHARPNESS * own @ voices.T for own in cells]
        paths = [viterbi(s, STAY) if len(voices) > 1 else s.argmax(axis=1) for s in scores]
        labels, every = np.concatenate(paths), np.concatenate(cells)
        means = [
            every[labels == k].mean(axis=0) if k in labels else v for k, v in enumerate(voices)
        ]
        voices = clustering.unit(np.stack(means))
    names: dict[int, str] = {}
    return tuple(
        Turn(_frame(edge[a]), _frame(edge[b]), names.setdefault(k, f"speaker {len(names) + 1}"))
        for edge, path in zip(edges, paths, strict=True)
        for a, b in runs(path)
        for k in path[a : a + 1].tolist()
    )


def _frame(seconds: float) -> int:
    return round(seconds / FRAME_SECONDS)
