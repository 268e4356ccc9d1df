"""Voice activity: where in a recording somebody speaks.

The detector is Silero VAD (https://github.com/snakers4/silero-vad, version 6.2.3, MIT licence), in
the form that judges a whole block of frames in one call; its graph of 1.2 MB is shipped in
``emoscope/data`` and runs in onnxruntime.

Conventions: mono float32 samples in [-1, 1] at 16 kHz; one frame is 512 samples (32 ms) and frames
do not overlap; the time of frame ``i`` is ``0.032 * i`` seconds.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import soxr
from numpy.typing import NDArray

from ..files import DATA
from .level import FLOOR

if TYPE_CHECKING:
    import onnxruntime

RATE = 16_000
FRAME = 512
FRAME_SECONDS = FRAME / RATE  # 512 / 16000 = 0.032
SLOWER = 1.25
_CONTEXT = 64  # samples of the frame before, which the graph wants in front of each frame
_STATE = (1, 1, 128)
_GRAPH = os.path.join(DATA, "silero_vad_16k_sequence.onnx")


@functools.lru_cache(maxsize=1)
def _session() -> onnxruntime.InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Preparing this small graph takes longer than it ever saves on one utterance.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(_GRAPH, options, providers=["CPUExecutionProvider"])


class Frames(NamedTuple):
    """What was heard, frame by frame.

    Attributes
    ----------
    speech : ndarray of float32, shape (n_frames,)
        Probability in [0, 1] that the frame holds speech.
    level : ndarray of float32, shape (n_frames,)
        dBFS, at least -120.
    """

    speech: NDArray[np.float32]
    level: NDArray[np.float32]


class VoiceActivity:
    """Judges consecutive frames of one recording, fed in pieces of any length.

    Screams and laughter lie above the pitch that the detector was made for: in 1 % of RAVDESS it
    misses more than half of the loud frames. It therefore hears everything a second time, slowed
    down by :data:`SLOWER`, and the higher probability counts; then there is no such clip.
    """

    def __init__(self) -> None:
        self._plain, self._slowed = _Detector(), _Detector()
        self._slow_down = soxr.ResampleStream(RATE, round(RATE * SLOWER), 1, quality="QQ")
        self._rest = np.zeros(0, np.float32)
        self._waiting = Frames(np.zeros(0, np.float32), np.zeros(0, np.float32))
        self._slow = np.zeros(0, np.float32)  # of frames of the slowed sound, from _slow_start on
        self._frame = self._slow_start = 0

    def feed(self, samples: NDArray[np.float32], *, last: bool = False) -> Frames:
        """Take in the next samples.

        Parameters
        ----------
        samples : ndarray of float32, shape (n_samples,)
        last : bool
            Nothing follows: an incomplete frame is filled up with zeros.

        Returns
        -------
        Frames
            Those that are decided now; the others wait for the next call.
        """
        slowed = self._slow_down.resample_chunk(samples, last=last)
        self._slow = np.concatenate([self._slow, self._slowed.feed(slowed, last=last)])
        samples = np.concatenate([self._rest, samples])
        if last:
            samples = np.pad(samples, (0, -len(samples) % FRAME))
        n_frames = len(samples) // FRAME
        self._rest = samples[n_frames * FRAME :]
        frames = samples[: n_frames * FRAME].reshape(n_frames, FRAME)
        new = Frames(self._plain.feed(frames.reshape(-1)), _levels(frames))
        self._waiting = Frames(*map(np.concatenate, zip(self._waiting, new, strict=True)))
        return self._decided(last)

    def _decided(self, last: bool) -> Frames:
        """The waiting frames whose middle has been heard slowly too."""
        n_waiting = len(self._waiting.speech)
        middles = ((self._frame + np.arange(n_waiting) + 0.5) * SLOWER).astype(int)
        middles -= self._slow_start
        if last and len(self._slow):
            middles = np.minimum(middles, len(self._slow) - 1)
        ready = int(np.searchsorted(middles, len(self._slow)))
        speech = np.maximum(self._waiting.speech[:ready], self._slow[middles[:ready]])
        found = Frames(speech, self._waiting.level[:ready])
        self._waiting = Frames(*(values[ready:] for values in self._waiting))
        self._frame += ready
        used = int(self._frame * SLOWER) - self._slow_start
        self._slow, self._slow_start = self._slow[used:], self._slow_start + used
        return found


class _Detector:
    """Speech probability of consecutive frames."""

    def __init__(self) -> None:
        self._rest, self._context = np.zeros(0, np.float32), np.zeros(_CONTEXT, np.float32)
        self._hidden, self._cell = np.zeros(_STATE, np.float32), np.zeros(_STATE, np.float32)

    def feed(self, samples: NDArray[np.float32], *, last: bool = False) -> NDArray[np.float32]:
        samples = np.concatenate([self._rest, samples])
        if last:
            samples = np.pad(samples, (0, -len(samples) % FRAME))
        n_frames = len(samples) // FRAME
        self._rest = samples[n_frames * FRAME :]
        if not n_frames:
            return np.zeros(0, np.float32)
        frames = samples[: n_frames * FRAME].reshape(n_frames, FRAME)
        contexts = np.vstack([self._context, frames[:-1, -_CONTEXT:]])
        self._context = frames[-1, -_CONTEXT:]
        speech, self._hidden, self._cell = _session().run(
            ["speech_probs", "hn", "cn"],
            {"input": np.hstack([contexts, frames]), "h": self._hidden, "c": self._cell},
        )
        return np.asarray(speech, dtype=np.float32)


def _levels(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    power = np.square(frames, dtype=np.float64).mean(axis=1)
    return np.asarray(10.0 * np.log10(power + FLOOR), dtype=np.float32)


def hear(samples: NDArray[np.float32]) -> Frames:
    """Judge every frame of a short recording.

    Parameters
    ----------
    samples : ndarray of float32, shape (n_samples,)

    Returns
    -------
    Frames
        ``ceil(n_samples / 512)`` of them.
    """
    padded = np.pad(samples, (0, -len(samples) % FRAME))
    frames = Frames(_Detector().feed(padded), _levels(padded.reshape(-1, FRAME)))
    loud = frames.level > np.percentile(frames.level, 97) - 25.0
    # Hearing it slowly as well takes as long again and is rarely needed for one utterance.
    if (frames.speech[loud] >= 0.5).mean() > 0.5:
        return frames
    return VoiceActivity().feed(samples, last=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Hysteresis:
    """When speech begins and ends.

    Attributes
    ----------
    onset, offset : float
        Speech begins at a frame of at least `onset` and lasts while frames reach `offset`.
    pause : float
        Seconds below `offset` that end a stretch of speech; shorter pauses belong to it.
    shortest : float
        Seconds; shorter stretches are clicks and breaths, not speech.
    margin : float
        Seconds added on both sides, for the soft sounds at the edges of words.
    """

    onset: float = 0.5
    offset: float = 0.35
    pause: float = 0.4
    shortest: float = 0.2
    margin: float = 0.1


class SpeechTracker:
    """Turns speech probabilities into stretches of speech as they arrive.

    Parameters
    ----------
    rule : Hysteresis, optional

    Attributes
    ----------
    start : int or None
        First frame of the stretch that is going on, margin included; None between stretches.
    heard : int
        Frames taken in so far.
    voiced : int
        One past the last frame of the current stretch that held speech.
    """

    def __init__(self, rule: Hysteresis | None = None) -> None:
        self.rule = rule or Hysteresis()
        self.start: int | None = None
        self.heard = self.voiced = self._ended = 0
        self._margin = round(self.rule.margin / FRAME_SECONDS)
        self._pause = round(self.rule.pause / FRAME_SECONDS)
        self._shortest = round(self.rule.shortest / FRAME_SECONDS)

    def feed(self, probability: float) -> tuple[int, int] | None:
        """Take in one frame; returns a stretch ``(first, stop)`` when this frame ended one."""
        frame, self.heard = self.heard, self.heard + 1
        if self.start is None:
            if probability >= self.rule.onset:
                self.start, self.voiced = max(self._ended, frame - self._margin), frame + 1
                self._first = frame
        elif probability >= self.rule.offset:
            self.voiced = frame + 1
        elif frame - self.voiced >= self._pause:
            return self._end()
        return None

    def finish(self) -> tuple[int, int] | None:
        """The stretch that was still going on when the recording ended."""
        return None if self.start is None else self._end()

    def _end(self) -> tuple[int, int] | None:
        assert self.start is not None
        stretch = (self.start, min(self.heard, self.voiced + self._margin))
        long_enough = self.voiced - self._first >= self._shortest
        self.start = None
        if long_enough:
            self._ended = stretch[1]
        return stretch if long_enough else None


def stretches(
    probabilities: Iterable[float], rule: Hysteresis | None = None
) -> list[tuple[int, int]]:
    """Stretches of speech of a whole recording.

    Parameters
    ----------
    probabilities : iterable of float
        One per frame.
    rule : Hysteresis, optional

    Returns
    -------
    list of (int, int)
        First frame and one past the last, in order, not overlapping.
    """
    tracker = SpeechTracker(rule)
    found = [tracker.feed(float(probability)) for probability in probabilities]
    return [stretch for stretch in (*found, tracker.finish()) if stretch]
