"""Who speaks when in one channel: a voice for each moment of speech, and turns.

The embeddings of short windows are clustered (:mod:`emoscope.voices.clustering`); a sticky chain gives
each cell of the speech to one voice. Where two speak at once, that is the one that sounds most: one
channel shows no overlap, two channels do.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..audio import Signal
from ..audio.voice_activity import FRAME_SECONDS
from ..voices import clustering, encoder
from .timeline import (
    Array,
    Inference,
    Map,
    Stream,
    Window,
    Windows,
    cell_edges,
    near,
    runs,
    viterbi,
)
from .turns import Heard, Turn

WINDOWS = Windows(length=1.6, hop=0.4)
STAY = 0.95  # probability that a cell (0.4 s) is of the same voice as the one before
SHARPNESS = 20.0  # of the cosines, to be taken for log probabilities
ROUNDS = 3  # of turns and voices in turn
_NOTHING = np.zeros(0, np.float32)


def stream(rate: int, map: Map) -> Stream:
    """A stream that gives the windows of what is fed at `rate` Hz their voices."""
    given = (rate, encoder.RATE, WINDOWS, _embedded(map))
    return Stream(_embed, (), *given, lambda inferences, _: inferences)


def hear(stream: Stream, count: int | None) -> Heard:
    """Who speaks when in what was fed to such a stream, whose windows are not kept."""
    return Heard(stream.quality.frames, turns(stream.windows, stream.speech, count))


def _embed(piece: Signal) -> Inference:
    return Inference(_NOTHING, _NOTHING, encoder.embed_each([piece])[0], 0.0)


def _embedded(map: Map) -> Map:
    """What gives the windows of a stream their voices, a batch of them at a time."""

    def apply(_: object, pieces: Sequence[Signal]) -> Iterable[Inference]:
        size = encoder.BATCH
        batches = [pieces[first : first + size] for first in range(0, len(pieces), size)]
        each = map(encoder.embed_each, batches)  # begins now, where several work
        return (Inference(_NOTHING, _NOTHING, one, 0.0) for voices in each for one in voices)

    return apply


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
        paths = [_path(SHARPNESS * own @ voices.T) for own in cells]
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


def _path(scores: Array) -> NDArray[np.intp]:
    return viterbi(scores, STAY) if scores.shape[1] > 1 else np.zeros(len(scores), np.intp)


def _frame(seconds: float) -> int:
    return round(seconds / FRAME_SECONDS)
