"""What a whole recording holds, at a glance: who spoke how long and how, when that changed, what to hear.

Times are seconds. A lane is a speaker, or a channel where voices are not told apart.
"""

import collections
import dataclasses
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .. import labels
from ..modelfile.card import JsonObject
from .prediction import Prediction, Segment

Lanes: TypeAlias = "Mapping[str, Sequence[Segment]]"

N_MOMENTS = N_TURNS = 10  # at most
N_STEPS = 12  # of the trend, at most
STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400)  # seconds of one
LONGEST, SHORTEST = 12.0, 1.0  # seconds of a moment
AROUND = (3.0, 30.0)  # seconds of speech beside a turning point: a sixth of all, within these
CHANGE = 0.4  # total variation distance of mean probabilities (0 to 1) that is a turning point


@dataclasses.dataclass(frozen=True)
class Part:
    """The speech of one speaker, or of everybody between two times."""

    name: str  # of the speaker; empty where none is told apart
    start: float
    end: float
    talk: float  # seconds of speech
    emotions: Mapping[str, float]  # seconds of each, the most first
    uncertain: float  # seconds
    arousal: float | None  # means over the speech
    valence: float | None


@dataclasses.dataclass(frozen=True)
class TurningPoint:
    """A time from which a speaker sounds different for a while."""

    time: float
    speaker: str
    before: str  # the emotion that is the most probable on average
    after: str


@dataclasses.dataclass(frozen=True)
class Summary:
    """A recording at a glance; what is listed is in the order of time."""

    seconds: float
    speech: float  # seconds in which anybody speaks
    silence: float  # seconds in which nobody does
    overlap: float | None  # seconds in which both of two channels do; within one, nobody knows
    speakers: tuple[Part, ...]
    trend: tuple[Part, ...]  # parts of equal length, but for the last
    turns: tuple[TurningPoint, ...]  # at most ten
    moments: tuple[Segment, ...]  # to hear, at most ten; of a long segment its beginning

    def to_dict(self) -> JsonObject:
        """As in the JSON output."""
        moments = [moment.to_dict() for moment in self.moments]
        text = json.dumps({**dataclasses.asdict(self), "moments": moments})
        return dict(json.loads(text, parse_float=lambda digits: round(float(digits), 3)))


def clock(seconds: float) -> str:
    """A time or a length as ``m:ss``, from an hour on ``h:mm:ss``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def lanes(prediction: Prediction) -> Lanes:
    """The speech of each speaker in the order of their first words, or of each channel."""
    found: dict[str, list[Segment]] = {one.channel: [] for one in prediction.each if one.channel}
    for one in prediction.each:
        for part in filter(lambda part: part.is_speech, one.segments):
            name = part.speaker or one.channel
            found.setdefault(name, []).append(dataclasses.replace(part, speaker=name))
    return {name: parts for name, parts in found.items() if parts or name in ("left", "right")}


def summarised(prediction: Prediction) -> Prediction:
    """A prediction, and each of its channels, with the summary of its segments."""
    segments = [part for one in prediction.each for part in one.segments]
    if not segments:
        return prediction
    summary = summarise(lanes(prediction), max(part.end for part in segments))
    if not prediction.channels:
        return dataclasses.replace(prediction, summary=dataclasses.replace(summary, overlap=None))
    given = dataclasses.replace(prediction, summary=summary)
    each = (dataclasses.replace(channel, summary=summary) for channel in given.channels)
    return dataclasses.replace(given, channels=tuple(each))


def summarise(by_lane: Lanes, seconds: float) -> Summary:
    """The summary of the speech of each lane in a recording of that length."""
    spoken = [part for parts in by_lane.values() for part in parts]
    times = np.array([time for part in spoken for time in (part.start, part.end)])
    order = np.argsort(times, kind="stable")
    speaking = np.cumsum(np.tile([1, -1], len(spoken))[order])[:-1]
    speech, overlap = (float(np.diff(times[order])[speaking > n].sum()) for n in (0, 1))
    length = next((step for step in STEPS if step * N_STEPS >= seconds), STEPS[-1])
    starts = np.arange(0.0, max(seconds - 0.1 * length, 0.1), length)  # no step of next to nothing
    edges = itertools.pairwise([*starts.tolist(), seconds])
    turns = [turn for name, parts in by_lane.items() for turn in _turns(name, parts)]
    farthest = sorted(turns, key=lambda item: -item[0])[:N_TURNS]
    return Summary(
        seconds, speech, seconds - speech, overlap,
        tuple(_part(name, parts, 0.0, seconds) for name, parts in by_lane.items()),
        tuple(_part("", spoken, start, end) for start, end in edges),
        tuple(sorted((turn for _, turn in farthest), key=lambda turn: turn.time)),
        _moments(spoken, seconds),
    )  # fmt: skip


def _part(name: str, parts: Iterable[Segment], start: float, end: float) -> Part:
    emotions, sums, known, uncertain = dict[str, float](), dict[str, float](), 0.0, 0.0
    for part in parts:
        length = max(0.0, min(part.end, end) - max(part.start, start))
        if not length:
            continue
        emotions[part.emotion] = emotions.get(part.emotion, 0.0) + length
        uncertain += length * part.uncertain
        known += length * bool(place := labels.position(part.probabilities))
        sums |= {axis: sums.get(axis, 0.0) + length * value for axis, value in place.items()}
    ranked = dict(sorted(emotions.items(), key=lambda item: -item[1]))
    means = (sums[axis] / known if known else None for axis in labels.AXES)
    return Part(name, start, end, sum(ranked.values()), ranked, uncertain, *means)


def _turns(speaker: str, parts: Sequence[Segment]) -> list[tuple[float, TurningPoint]]:
    """Turning points of one speaker with how far they turn, the farthest first."""
    if len(parts) < 2:
        return []
    names = list(parts[0].probabilities)
    lengths = np.array([part.seconds for part in parts])
    values = np.array([[part.probabilities[name] for name in names] for part in parts])
    ends = np.cumsum([0.0, *lengths])  # in seconds of this speaker's speech
    sums = np.cumsum([values[0] * 0.0, *(values * lengths[:, None])], axis=0)
    around = min(max(ends[-1] / 6, AROUND[0]), AROUND[1])

    def mean(start: NDArray[np.float64], end: NDArray[np.float64]) -> NDArray[np.float64]:
        at = [[np.interp(times, ends, column) for column in sums.T] for times in (start, end)]
        return np.asarray(np.subtract(at[1], at[0]) / (end - start)).T

    here = ends[1:-1]
    start, stop = np.maximum(here - around, 0.0), np.minimum(here + around, ends[-1])
    before, after = mean(start, here), mean(here, stop)
    change = np.abs(after - before).sum(axis=1) / 2
    change[np.minimum(here - start, stop - here) < 0.99 * around] = 0.0
    change[before.argmax(axis=1) == after.argmax(axis=1)] = 0.0
    chosen: list[int] = []
    for n in np.argsort(-change, kind="stable").tolist():
        if change[n] >= CHANGE and all(abs(here[n] - here[other]) >= around for other in chosen):
            chosen.append(n)
    emotions = [[names[row.argmax()] for row in rows] for rows in (before, after)]
    told = {n: (emotions[0][n], emotions[1][n]) for n in chosen}
    return [(float(change[n]), TurningPoint(parts[n + 1].start, speaker, *told[n])) for n in chosen]


def _moments(spoken: Iterable[Segment], seconds: float) -> tuple[Segment, ...]:
    """The certain, not neutral and aroused first, a tenth of the recording apart, in turn by speaker."""

    def rank(part: Segment) -> tuple[bool, float, float]:
        return part.uncertain, -part.confidence * (1.0 + abs(part.arousal or 0.0)), part.start

    told = (part for part in spoken if part.emotion != "neutral" and part.seconds >= SHORTEST)
    left, chosen = sorted(told, key=rank), list[Segment]()
    while left and len(chosen) < N_MOMENTS:
        heard = collections.Counter(moment.speaker for moment in chosen)
        best = min(left, key=lambda part: (part.uncertain, heard[part.speaker]))
        chosen.append(dataclasses.replace(best, end=min(best.end, best.start + LONGEST)))
        left = [part for part in left if abs(part.start - best.start) >= seconds / N_MOMENTS]
    return tuple(sorted(chosen, key=lambda moment: moment.start))
