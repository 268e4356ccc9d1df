"""Judges sound as it arrives: voice activity, sliding windows, the model.

A :class:`Stream` hears samples piece by piece. Voice activity detection finds the stretches of
speech; a window slides over each and the model judges it; :mod:`emoscope.prediction.timeline` makes segments
of them. Memory holds a few seconds of samples and some numbers per frame, however long the
recording. Voice activity is found in the sound at 16 kHz; the model hears it at a rate of its own,
because most features depend on the rate.

Conventions: times are seconds from the start; probabilities follow the order of ``emotions``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import soxr
from numpy.typing import NDArray

from ..audio import Signal, voice_activity
from ..audio.quality import Quality
from ..audio.voice_activity import FRAME_SECONDS, RATE
from . import timeline
from .timeline import Evidence, Segment, Window

Judge = Callable[[Signal], Evidence]


class Stream:
    """Judges sound as it arrives.

    Parameters
    ----------
    judge : callable
        Takes a :class:`~emoscope.audio.Signal`, gives :class:`Evidence`.
    emotions : sequence of str
    rate : int
        Hz, of the samples that will be fed.
    judged_rate : int, optional
        Hz, of the sound that the judge is given; by default as it is fed.
    window, hop : float
        Seconds: what the model hears at a time, and how often.
    first : float, optional
        Seconds of speech after which the first judgement is made, on a window that is still
        growing: for live display. By default the window has to be full.
    each : callable, optional
        Like the built-in ``map``: applies the judge to the windows of one piece, in order; an
        executor's ``map`` runs them side by side.
    """

    def __init__(
        self,
        judge: Judge,
        emotions: Sequence[str],
        rate: int,
        *,
        judged_rate: int | None = None,
        window: float = 3.0,
        hop: float = 1.0,
        first: float | None = None,
        each: Callable[..., Iterable[Evidence]] = map,
    ) -> None:
        self.emotions, self.rate, self.window, self.hop = tuple(emotions), rate, window, hop
        self.quality = Quality()
        self.windows: list[Window] = []
        self.stretches: list[tuple[float, float]] = []
        self._judge, self._each, self._first = judge, each, first or window
        self._judged_rate = judged_rate or rate
        self._for_judge = _Resampled(rate, self._judged_rate)
        self._for_voice = _Resampled(rate, RATE)
        self._activity, self._tracker = (
            voice_activity.VoiceActivity(),
            voice_activity.SpeechTracker(),
        )
        self._samples, self._dropped = np.zeros(0, np.float32), 0  # at the judge's rate
        self._waiting, self._searched = np.zeros(0, np.float32), 0  # for voice activity, at RATE
        self._judged_until: float | None = None  # end of the last window of this stretch

    @property
    def seconds(self) -> float:
        """How much has been heard."""
        return self.quality.seconds

    @property
    def speaking(self) -> bool:
        """Whether somebody is speaking now."""
        return self._tracker.start is not None

    def feed(self, samples: NDArray[np.float32]) -> list[Window]:
        """Take in the next samples.

        Parameters
        ----------
        samples : ndarray of float32, shape (n_samples,)

        Returns
        -------
        list of Window
            Those that could be judged now.
        """
        self.quality.feed(samples, self.rate)
        return self._hear(samples, last=False)

    def finish(self) -> list[Window]:
        """Tell that nothing follows; returns the last windows."""
        return self._hear(np.zeros(0, np.float32), last=True)

    def judge_newest(self) -> Evidence:
        """Judge the last window of sound, whether or not anybody speaks in it."""
        return self._judge(
            Signal(self._samples[-round(self.window * self._judged_rate) :], self._judged_rate)
        )

    def _hear(self, samples: NDArray[np.float32], *, last: bool) -> list[Window]:
        judged = self._for_judge.feed(samples, last=last)
        self._samples = np.concatenate([self._samples, judged])
        same = self._judged_rate == RATE
        searched = judged if same else self._for_voice.feed(samples, last=last)
        frames = self._activity.feed(self._searchable(searched, last=last), last=last)
        self.quality.feed_frames(frames)
        spans: list[tuple[float, float, int]] = []
        for speech in frames.speech.tolist():
            spans += self._advance(self._tracker.feed(speech))
        if last:
            spans += self._advance(self._tracker.finish())
        pieces = [self._piece(start, end) for start, end, _ in spans]
        found = [
            Window(start, end, stretch, evidence)
            for (start, end, stretch), evidence in zip(
                spans, self._each(self._judge, pieces), strict=True
            )
        ]
        self.windows += found
        self._forget()
        return found

    def _searchable(self, samples: NDArray[np.float32], *, last: bool) -> NDArray[np.float32]:
        """What voice activity may hear now: no more than the judge could be given.

        Resampling holds samples back, up to 0.2 s of them, and not as many at every rate.
        """
        self._waiting = np.concatenate([self._waiting, samples])
        known = (self._dropped + len(self._samples)) * RATE // self._judged_rate
        ready = len(self._waiting) if last else max(0, known - self._searched)
        found, self._waiting = self._waiting[:ready], self._waiting[ready:]
        self._searched += len(found)
        return found

    def _advance(self, ended: tuple[int, int] | None) -> Iterator[tuple[float, float, int]]:
        """Windows that the newest frame completed: start, end, number of the stretch."""
        number = len(self.stretches)
        if ended is not None:
            start, end = (frame * FRAME_SECONDS for frame in ended)
            self.stretches.append((start, end))
            if self._judged_until is None or end - self._judged_until > self.hop / 2:
                yield max(start, end - self.window), end, number
        if self._tracker.start is None:
            self._judged_until = None
            return
        start = self._tracker.start * FRAME_SECONDS
        due = start + self._first if self._judged_until is None else self._judged_until + self.hop
        if self._tracker.voiced * FRAME_SECONDS >= due:
            self._judged_until = due
            yield max(start, due - self.window), due, number

    def _piece(self, start: float, end: float) -> Signal:
        rate = self._judged_rate
        first, stop = (round(time * rate) - self._dropped for time in (start, end))
        return Signal(self._samples[max(0, first) : stop], rate)

    def _forget(self) -> None:
        """Drop samples that no window can ask for any more."""
        rule = self._tracker.rule
        kept = self.window + self.hop + rule.pause + 2 * rule.margin
        heard = self._tracker.heard * FRAME_SECONDS
        surplus = round((heard - kept) * self._judged_rate) - self._dropped
        if surplus > 0:
            self._samples = self._samples[surplus:].copy()
            self._dropped += surplus

    def segments(self) -> tuple[Segment, ...]:
        """The recording so far, divided without gaps; complete after :meth:`finish`."""
        return timeline.segments(
            self.windows,
            self.stretches,
            self.quality.frames,
            seconds=self.seconds,
            hop=self.hop,
            emotions=self.emotions,
        )


class _Resampled:
    """Sound at another rate, as it arrives."""

    def __init__(self, rate: int, wanted: int) -> None:
        self._resample: soxr.ResampleStream | None = None
        if rate != wanted:
            self._resample = soxr.ResampleStream(rate, wanted, 1, quality="HQ")

    def feed(self, samples: NDArray[np.float32], *, last: bool) -> NDArray[np.float32]:
        if self._resample is None:
            return samples
        return np.asarray(self._resample.resample_chunk(samples, last=last))
