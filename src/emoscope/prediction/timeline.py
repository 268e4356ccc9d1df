"""Emotion over time: from judged windows to labelled segments.

Overlapping windows are averaged on a grid of cells; a sticky chain (Viterbi) over the cells of one
stretch of speech keeps the label from flickering. What lies between the stretches is ``silence``,
or ``non-speech`` where something else sounds.

Conventions: times are seconds from the start; probabilities follow the order of ``emotions``.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..audio.voice_activity import FRAME_SECONDS, Frames

SILENCE, NON_SPEECH = "silence", "non-speech"

Array = NDArray[np.float64]

STAY = 0.8
"""Probability that the emotion of a speaker does not change from one cell (1 s) to the next."""
SHORTEST_SOUND = 0.5
"""Seconds; shorter sounds (clicks, breaths) do not interrupt silence, nor short gaps music."""
SHORTEST_EDGE = 0.1
"""Seconds; a shorter gap before the first or after the last word is part of the speech."""
_LOUD, _FAINT, _OVER_FLOOR = -40.0, -60.0, 15.0  # dBFS, dBFS, dB: see _is_sound


@dataclasses.dataclass(frozen=True, eq=False)
class Evidence:
    """What a model found in one piece of sound.

    Attributes
    ----------
    logits : ndarray of float32, shape (n_emotions,)
    probabilities : ndarray of float32, shape (n_emotions,)
        Calibrated, summing to 1.
    embedding : ndarray of float32, shape (width,)
    distance : float
        From the training data, as a multiple of the distance called far; 0 when unknown.
    """

    logits: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    embedding: NDArray[np.float32]
    distance: float


@dataclasses.dataclass(frozen=True, eq=False)
class Window:
    """One judged window: `start` and `end` in seconds, the stretch it belongs to, the evidence."""

    start: float
    end: float
    stretch: int
    evidence: Evidence


@dataclasses.dataclass(frozen=True)
class Segment:
    """A part of a recording with one label.

    Attributes
    ----------
    start, end : float
        Seconds.
    emotion : str
        An emotion, ``"silence"`` or ``"non-speech"``.
    confidence : float
        In [0, 1]: of the emotion, or of there being no speech.
    probabilities : dict of str to float
        Of every emotion, summing to 1; empty where nobody speaks.
    """

    start: float
    end: float
    emotion: str
    confidence: float
    probabilities: dict[str, float]

    @property
    def is_speech(self) -> bool:
        """Whether somebody speaks in it."""
        return bool(self.probabilities)

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON output."""
        return {
            "start": round(self.start, 3),
            "end": round(self.end, 3),
            "emotion": self.emotion,
            "confidence": round(self.confidence, 6),
            "probabilities": {name: round(p, 6) for name, p in self.probabilities.items()},
        }


def segments(
    windows: Sequence[Window],
    stretches: Sequence[tuple[float, float]],
    frames: Frames,
    *,
    seconds: float,
    hop: float,
    emotions: Sequence[str],
) -> tuple[Segment, ...]:
    """Divide a recording into labelled segments, without gaps.

    Parameters
    ----------
    windows : sequence of Window
        Every stretch has at least one.
    stretches : sequence of (float, float)
        Start and end of each stretch of speech in seconds, in order, not overlapping.
    frames : Frames
        Of the whole recording.
    seconds : float
        Length of the recording.
    hop : float
        Length of a cell in seconds.
    emotions : sequence of str
    """
    by_stretch: dict[int, list[Window]] = {}
    for window in windows:
        by_stretch.setdefault(window.stretch, []).append(window)
    sound = _is_sound(frames)
    found: list[Segment] = []
    position = 0.0
    for number, (start, stop) in enumerate(stretches):
        start = 0.0 if start < SHORTEST_EDGE else start
        stop = seconds if seconds - stop < SHORTEST_EDGE else stop
        found += _gap(position, start, frames.speech, sound)
        found += _speech(by_stretch[number], start, stop, hop, emotions)
        position = stop
    return (*found, *_gap(position, seconds, frames.speech, sound))


def mean_probabilities(found: Sequence[Segment], emotions: Sequence[str]) -> Array | None:
    """Probabilities of all speech together, each segment weighted by its length.

    Returns
    -------
    ndarray of float64, shape (n_emotions,), or None when nobody speaks
    """
    speech = [segment for segment in found if segment.is_speech]
    if not speech:
        return None
    values = [[segment.probabilities[name] for name in emotions] for segment in speech]
    return np.average(values, axis=0, weights=[s.end - s.start for s in speech])


def _gap(
    start: float, end: float, speech: NDArray[np.float32], sound: NDArray[np.bool_]
) -> Iterator[Segment]:
    """Silence and other sounds between two stretches of speech."""
    first, stop = (round(time / FRAME_SECONDS) for time in (start, end))
    if end <= start or not len(speech[first:stop]):
        return
    sounding = _without_short_runs(sound[first:stop])
    for a, b in _runs(sounding):
        yield Segment(
            start if a == 0 else (first + a) * FRAME_SECONDS,
            end if b == len(sounding) else (first + b) * FRAME_SECONDS,
            NON_SPEECH if sounding[a] else SILENCE,
            float(1.0 - speech[first + a : first + b].mean()),
            {},
        )


def _runs(values: NDArray[Any]) -> list[tuple[int, int]]:
    """First index and one past the last of every run of equal values."""
    edges = [0, *(np.flatnonzero(values[1:] != values[:-1]) + 1).tolist(), len(values)]
    return list(itertools.pairwise(edges))


def _is_sound(frames: Frames) -> NDArray[np.bool_]:
    """Frames louder than the background of this recording.

    Above -40 dBFS there is always sound; below -60 never; in between the threshold lies 15 dB over
    the floor, the level that a tenth of the frames stay under.
    """
    threshold = float(np.percentile(frames.level, 10)) + _OVER_FLOOR
    return np.asarray(frames.level > min(_LOUD, max(_FAINT, threshold)))


def _without_short_runs(values: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Let runs shorter than :data:`SHORTEST_SOUND` take the value of what precedes them."""
    values = values.copy()
    shortest = round(SHORTEST_SOUND / FRAME_SECONDS)
    runs = _runs(values)
    # The first run has nothing before it and takes the value of the first long one.
    current = next((values[a] for a, b in runs if b - a >= shortest), np.False_)
    for a, b in runs:
        if b - a >= shortest:
            current = values[a]
        values[a:b] = current
    return values


def _speech(
    windows: Sequence[Window], start: float, end: float, hop: float, emotions: Sequence[str]
) -> Iterator[Segment]:
    """Label one stretch of speech."""
    edges = np.append(np.arange(start, max(end - hop / 2, start + 1e-6), hop), end)
    cells = _cells(windows, edges)
    path = viterbi(np.log(cells + 1e-9), STAY)
    for a, b in _runs(path):
        mean = np.average(cells[a:b], axis=0, weights=np.diff(edges)[a:b])
        best = int(mean.argmax())
        yield Segment(
            float(edges[a]),
            float(edges[b]),
            emotions[best],
            float(mean[best]),
            dict(zip(emotions, mean.tolist(), strict=True)),
        )


def _cells(windows: Sequence[Window], edges: Array) -> Array:
    """Mean probabilities of the windows over each cell, those centred on it counting most."""
    starts, ends = (np.array([getattr(w, key) for w in windows]) for key in ("start", "end"))
    probabilities = np.array([window.evidence.probabilities for window in windows], np.float64)
    centres = (edges[:-1] + edges[1:])[:, None] / 2
    nearness = 1.0 - np.abs(2.0 * (centres - starts) / (ends - starts) - 1.0)
    # Beyond the outermost windows every one of them still has a say.
    weights = np.maximum(nearness, 1e-3)
    return np.asarray(weights @ probabilities / weights.sum(axis=1, keepdims=True))


def viterbi(scores: Array, stay: float) -> NDArray[np.intp]:
    """Most probable path of a chain that prefers to stay where it is.

    Parameters
    ----------
    scores : ndarray of float64, shape (n_steps, n_states)
        Logarithms of the probability of each state at each step.
    stay : float
        Probability of staying, in (1 / n_states, 1); the rest is shared by the other states.

    Returns
    -------
    ndarray of int, shape (n_steps,)
        Source: Viterbi, IEEE Trans. Information Theory 13(2), 1967.
    """
    n_steps, n_states = scores.shape
    switch = np.log((1.0 - stay) / (n_states - 1))
    total, back = scores[0].copy(), np.zeros((n_steps, n_states), np.intp)
    for step in range(1, n_steps):
        best = int(total.argmax())
        staying = total + np.log(stay)
        moved = total[best] + switch > staying
        back[step] = np.where(moved, best, np.arange(n_states))
        total = np.where(moved, total[best] + switch, staying) + scores[step]
    path = np.empty(n_steps, np.intp)
    path[-1] = total.argmax()
    for step in range(n_steps - 1, 0, -1):
        path[step - 1] = back[step, path[step]]
    return path
