"""Emotion over time, of sound as it arrives: speech, windows over it, labelled segments.

A :class:`Stream` infers emotion from a window that slides over the speech. :func:`divide` averages
windows on a grid of cells; a sticky chain (Viterbi) keeps the label from flickering. Times are seconds
from the start; probabilities follow the order of ``emotions``.
"""

import collections
import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import soxr
from numpy.typing import NDArray

from ..audio import Signal, voice_activity
from ..audio.quality import Quality
from ..audio.voice_activity import FRAME_SECONDS, RATE, Frames, Turn, TurnTracker
from .prediction import NON_SPEECH, SILENCE, Segment

Array: TypeAlias = NDArray[np.float64]
Samples: TypeAlias = NDArray[np.float32]
Map: TypeAlias = "Callable[..., Iterable[Any]]"
Span: TypeAlias = tuple[float, float, int, bool]  # start, end, speech's number, whether it lasts
Label: TypeAlias = "Callable[[Sequence[Inference], float], Sequence[Inference]]"

AHEAD = 4  # pieces that are read on while windows of earlier ones are inferred
STAY = 0.8  # probability that an emotion does not change from one cell (1 s) to the next
MIN_SOUND = 0.5  # s; shorter sounds (clicks, breaths) do not interrupt silence, nor gaps music
MIN_EDGE = 0.1  # s; a shorter gap before the first or after the last word is part of the speech


@dataclasses.dataclass(frozen=True, kw_only=True)
class Windows:
    """How a model moves over speech; all in seconds."""

    length: float = 3.0  # of what it is given, by default as the utterances of training corpora
    hop: float = 1.0  # how often
    live: float | None = None  # further windows so often for display, the first twice as long


@dataclasses.dataclass(frozen=True, eq=False)
class Inference:
    """What a model infers from one piece of sound."""

    logits: NDArray[np.float32]
    probabilities: NDArray[np.float32]  # calibrated
    embedding: NDArray[np.float32]
    distance: float  # from the training data, as a multiple of the limit; 0 when unknown


@dataclasses.dataclass(frozen=True, eq=False)
class Window:
    """What was inferred from one window."""

    start: float
    end: float
    speech: int  # number of the speech it lies in
    inference: Inference
    lasts: bool = True  # or is for display alone, while somebody speaks


class Stream:
    """Infers emotion from sound as it arrives; made by :meth:`emoscope.prediction.Predictor.stream`.

    `infer` takes sound of `model_rate` Hz; `map`, such as an executor's, applies it to the windows of one
    piece. `label` gives windows their probabilities together, of which so many lie over each moment. Known
    `turns` are each a part of the speech. Frames that are `not_own` hold the speech of another channel.
    """

    def __init__(
        self, infer: Callable[[Signal], Inference], emotions: Sequence[str], rate: int,
        model_rate: int, options: Windows, map: Map, label: Label,
        turns: Sequence[Turn] | None = None, not_own: NDArray[np.bool_] | None = None,
    ) -> None:  # fmt: skip
        self.emotions, self.rate, self.options = tuple(emotions), rate, options
        self.quality = Quality()
        self.windows: list[Window] = []
        self.shown: list[Window] = []  # also those for display alone
        self.speech: list[tuple[float, float]] = []
        self._infer, self._map, self._model_rate, self._label = infer, map, model_rate, label
        self._to_model, self._to_detector = (
            soxr.ResampleStream(rate, target, 1, quality="HQ") if rate != target else None
            for target in (model_rate, RATE)
        )
        self.speakers = [turn.speaker for turn in turns or ()]
        self._detector = voice_activity.VoiceActivity()
        self._not_own = not_own
        self._tracker = voice_activity.SpeechTracker() if turns is None else TurnTracker(turns)
        self._samples, self._dropped = np.zeros(0, np.float32), 0  # at the model's rate
        self._waiting, self._searched = np.zeros(0, np.float32), 0  # for the detector, at RATE
        # Windows that are being inferred, of the newest pieces.
        self._asked = collections.deque[tuple[list[Span], Iterable[Inference]]]()
        # Ends of the last window of this speech, and of the last that was for display.
        self._covered: float | None = None
        self._shown: float | None = None

    @property
    def seconds(self) -> float:
        """How much has been fed."""
        return self.quality.seconds

    @property
    def speaking(self) -> bool:
        """Whether somebody is speaking now."""
        return self._tracker.start is not None

    def feed(self, samples: Samples, *, wait: bool = True) -> list[Window]:
        """Take in samples (n_samples,); gives the windows now complete, or without `wait` those inferred."""
        self.quality.feed(samples, self.rate)
        return self._feed(samples, ahead=0 if wait else AHEAD)

    def finish(self) -> list[Window]:
        """Tell that nothing follows; gives the last windows."""
        return self._feed(np.zeros(0, np.float32), ahead=0, last=True)

    def infer_newest(self) -> Inference:
        """The inference from the last window of sound, whether or not anybody speaks in it."""
        n_samples = round(self.options.length * self._model_rate)
        return self._infer(Signal(self._samples[-n_samples:], self._model_rate))

    def segments(self) -> tuple[Segment, ...]:
        """What was fed, divided without gaps; until :meth:`finish`, up to the newest window."""
        hop, speech, seconds = self.options.hop, self.speech, self.seconds
        windows = self._together(self.windows, hop)
        if self._asked or self.speaking:
            if not windows:
                return ()
            number, seconds = windows[-1].speech, windows[-1].end
            start = next(window.start for window in windows if window.speech == number)
            speech = [*speech[:number], (start, seconds)]
        return divide(
            windows, speech, self.quality.frames, seconds=seconds, hop=hop,
            emotions=self.emotions, speakers=self.speakers,
        )  # fmt: skip

    def newest(self, count: int) -> list[Window]:
        """The newest windows, also those for display alone, as they are labelled together."""
        return self._together(self.shown[-count:], self.options.live or self.options.hop)

    def _together(self, windows: Sequence[Window], hop: float) -> list[Window]:
        windows = list(windows)
        overlap = self.options.length / hop
        by_voice: dict[str, list[int]] = {}
        for place, window in enumerate(windows):
            voice = self.speakers[window.speech] if self.speakers else ""
            by_voice.setdefault(voice, []).append(place)
        for places in by_voice.values():  # each is a source of its own
            labelled = self._label([windows[place].inference for place in places], overlap)
            for place, one in zip(places, labelled, strict=True):
                windows[place] = dataclasses.replace(windows[place], inference=one)
        return windows

    def _feed(self, samples: Samples, *, ahead: int, last: bool = False) -> list[Window]:
        for_model = _resampled(self._to_model, samples, last=last)
        self._samples = np.concatenate([self._samples, for_model])
        same = self._model_rate == RATE
        for_detector = for_model if same else _resampled(self._to_detector, samples, last=last)
        self._waiting = np.concatenate([self._waiting, for_detector])
        # The detector may have no more than the model could be given: resampling holds samples
        # back, up to 0.2 s of them, and not as many at every rate.
        known = (self._dropped + len(self._samples)) * RATE // self._model_rate
        count = len(self._waiting) if last else max(0, known - self._searched)
        ready, self._waiting = self._waiting[:count], self._waiting[count:]
        self._searched += len(ready)
        frames = self._owned(self._detector.feed(ready, last=last))
        self.quality.feed_frames(frames)
        spans: list[Span] = []
        for probability in frames.speech.tolist():
            spans += self._advance(self._tracker.feed(probability))
        if last:
            spans += self._advance(self._tracker.finish())
        pieces = [self._piece(start, end) for start, end, *_ in spans]
        self._asked.append((spans, self._map(self._infer, pieces)))
        new: list[Window] = []
        while len(self._asked) > ahead:
            spans, inferences = self._asked.popleft()
            new += [Window(*s[:3], one, s[3]) for s, one in zip(spans, inferences, strict=True)]
        self.shown += new
        self.windows += [window for window in new if window.lasts]
        self._forget()
        return new

    def _owned(self, frames: Frames) -> Frames:
        if self._not_own is None:
            return frames
        other = self._not_own[self._tracker.n_frames :][: len(frames.speech)]
        other = np.pad(other, (0, len(frames.speech) - len(other)))
        leaked = other & (frames.speech >= voice_activity.NEG_THRESHOLD)
        return frames._replace(speech=np.where(leaked, np.float32(0), frames.speech))

    def _advance(self, ended: tuple[int, int] | None) -> Iterator[Span]:
        length, hop, live = self.options.length, self.options.hop, self.options.live
        number = len(self.speech)
        if ended is not None:
            start, end = (frame * FRAME_SECONDS for frame in ended)
            self.speech.append((start, end))
            if self._covered is None or end - self._covered > hop / 2:
                yield max(start, end - length), end, number, True
        if self._tracker.start is None:
            self._covered = self._shown = None
            return
        start = self._tracker.start * FRAME_SECONDS
        spoken = self._tracker.speech_end * FRAME_SECONDS
        due = start + length if self._covered is None else self._covered + hop
        if spoken >= due:
            self._covered = self._shown = due
            yield max(start, due - length), due, number, True
        elif live:
            due = start + 2 * live if self._shown is None else self._shown + live
            if spoken >= due:
                self._shown = due
                yield max(start, due - length), due, number, False

    def _piece(self, start: float, end: float) -> Signal:
        first, stop = (round(time * self._model_rate) - self._dropped for time in (start, end))
        return Signal(self._samples[max(0, first) : stop], self._model_rate)

    def _forget(self) -> None:
        around_speech = voice_activity.MIN_SILENCE + 2 * voice_activity.PAD + 1
        needed = self.options.length + self.options.hop + around_speech * FRAME_SECONDS
        searched = self._tracker.n_frames * FRAME_SECONDS
        surplus = round((searched - needed) * self._model_rate) - self._dropped
        if surplus > 0:
            self._samples = self._samples[surplus:].copy()
            self._dropped += surplus


def _resampled(resampler: soxr.ResampleStream | None, samples: Samples, *, last: bool) -> Samples:
    if resampler is None:
        return samples
    return np.asarray(resampler.resample_chunk(samples, last=last))


def divide(
    windows: Sequence[Window], speech: Sequence[tuple[float, float]], frames: Frames, *,
    seconds: float, hop: float, emotions: Sequence[str], speakers: Sequence[str] = (),
) -> tuple[Segment, ...]:  # fmt: skip
    """Divide a recording without gaps; `speakers` name who speaks in each of `speech`."""
    by_speech: dict[int, list[Window]] = {}
    for window in windows:
        by_speech.setdefault(window.speech, []).append(window)
    # Above -40 dBFS there is always sound; below -60 never; in between the threshold lies 15 dB
    # over the floor, the level that a tenth of the frames stay under.
    floor = float(np.percentile(frames.level, 10))
    sound = np.asarray(frames.level > min(-40.0, max(-60.0, floor + 15.0)))
    segments: list[Segment] = []
    position = 0.0
    for number, (start, stop) in enumerate(speech):
        start = 0.0 if start < MIN_EDGE else start
        stop = seconds if seconds - stop < MIN_EDGE else stop
        segments += _gap(position, start, frames.speech, sound)
        name = speakers[number] if speakers else ""
        found = _spoken(by_speech[number], start, stop, hop, emotions)
        segments += [dataclasses.replace(segment, speaker=name) for segment in found]
        position = stop
    return (*segments, *_gap(position, seconds, frames.speech, sound))


def mean_probabilities(segments: Sequence[Segment], emotions: Sequence[str]) -> Array | None:
    """Probabilities of all speech together, segments weighted by length; None without speech."""
    spoken = [segment for segment in segments if segment.is_speech]
    if not spoken:
        return None
    values = [[segment.probabilities[name] for name in emotions] for segment in spoken]
    return np.average(values, axis=0, weights=[segment.seconds for segment in spoken])


def _gap(start: float, end: float, speech: Samples, sound: NDArray[np.bool_]) -> Iterator[Segment]:
    first, stop = (round(time / FRAME_SECONDS) for time in (start, end))
    if end <= start or not len(speech[first:stop]):
        return
    sounding = _without_short_runs(sound[first:stop])
    for a, b in runs(sounding):
        begins = start if a == 0 else (first + a) * FRAME_SECONDS
        ends = end if b == len(sounding) else (first + b) * FRAME_SECONDS
        sure = float(1.0 - speech[first + a : first + b].mean())
        yield Segment(begins, ends, NON_SPEECH if sounding[a] else SILENCE, sure, {})


def runs(values: NDArray[Any]) -> list[tuple[int, int]]:
    """First index and one past the last of every run of equal values."""
    edges = [0, *(np.flatnonzero(values[1:] != values[:-1]) + 1).tolist(), len(values)]
    return list(itertools.pairwise(edges))


def _without_short_runs(values: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Let runs shorter than :data:`MIN_SOUND` take the value of what precedes them."""
    values = values.copy()
    shortest = round(MIN_SOUND / FRAME_SECONDS)
    spans = runs(values)
    # The first run has nothing before it and takes the value of the first long one.
    current = next((values[a] for a, b in spans if b - a >= shortest), np.False_)
    for a, b in spans:
        if b - a >= shortest:
            current = values[a]
        values[a:b] = current
    return values


def _spoken(
    windows: Sequence[Window], start: float, end: float, hop: float, emotions: Sequence[str]
) -> Iterator[Segment]:
    edges = cell_edges(start, end, hop)
    probabilities = np.array([window.inference.probabilities for window in windows], np.float64)
    cells = near(windows, edges) @ probabilities
    path = viterbi(np.log(cells + 1e-9), STAY)
    for a, b in runs(path):
        mean = np.average(cells[a:b], axis=0, weights=np.diff(edges)[a:b])
        best, by_emotion = int(mean.argmax()), dict(zip(emotions, mean.tolist(), strict=True))
        label = (emotions[best], by_emotion[emotions[best]], by_emotion)
        yield Segment(float(edges[a]), float(edges[b]), *label)


def cell_edges(start: float, end: float, hop: float) -> Array:
    """Where the cells of a part begin, and the last one ends; a rest of half a cell is one."""
    return np.append(np.arange(start, max(end - hop / 2, start + 1e-6), hop), end)


def near(windows: Sequence[Window], edges: Array) -> Array:
    """Weights of windows for each cell, in rows that sum to 1: those centred on it count most."""
    starts, ends = np.array([(window.start, window.end) for window in windows]).T
    centres = (edges[:-1] + edges[1:])[:, None] / 2
    nearness = 1.0 - np.abs(2.0 * (centres - starts) / (ends - starts) - 1.0)
    weights = np.maximum(nearness, 1e-3)  # beyond the outermost windows every one still counts
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def viterbi(scores: Array, stay: float) -> NDArray[np.intp]:
    """Path of a chain that stays with the probability `stay`, by log probabilities (n_steps, n_states).

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
