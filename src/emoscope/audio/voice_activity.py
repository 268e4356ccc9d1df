"""Voice activity: where in a recording somebody speaks.

The detector is Silero VAD (https://github.com/snakers4/silero-vad, version 6.2.3, MIT licence), in
the form that classifies a whole block of frames in one call. It takes mono float32 samples at 16 kHz;
frame ``i`` is the 512 samples (32 ms) from ``0.032 * i`` seconds on.
"""

import collections
import functools
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import soxr
from numpy.typing import NDArray

from ..files import DATA
from .level import FLOOR, percentile

if TYPE_CHECKING:
    import onnxruntime

RATE = 16_000
FRAME = 512
FRAME_SECONDS = FRAME / RATE  # 512 / 16000 = 0.032
SLOWER = 1.25
THRESHOLD, NEG_THRESHOLD = 0.5, 0.35  # a frame's probability that begins speech; that continues it
MIN_SILENCE = round(0.4 / FRAME_SECONDS)  # frames; shorter pauses belong to the segment
MIN_SPEECH = round(0.2 / FRAME_SECONDS)  # shorter segments are clicks and breaths, not speech
PAD = round(0.1 / FRAME_SECONDS)  # on both sides, for the soft sounds at the edges of words
_CONTEXT = 64  # samples of the frame before, which the graph wants in front of each frame
_STATE = (1, 1, 128)
_GRAPH = "silero_vad_16k_sequence.onnx"


@functools.cache
def session(graph: str, *, optimise: bool) -> "onnxruntime.InferenceSession":
    """A graph that the package ships, to run in one thread."""
    return open_graph(os.path.join(DATA, graph), threads=1, optimise=optimise)


def open_graph(
    source: str | bytes, *, threads: int, optimise: bool
) -> "onnxruntime.InferenceSession":
    """A graph of ONNX from its file or its bytes, ready to run."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.load_model_format", "ONNX")
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


class Frames(NamedTuple):
    """Speech and level of a recording, frame by frame: arrays of shape (n_frames,)."""

    speech: NDArray[np.float32]  # probability in [0, 1] that the frame holds speech
    level: NDArray[np.float32]  # dBFS, at least -120


NO_FRAMES = Frames(np.zeros(0, np.float32), np.zeros(0, np.float32))


class VoiceActivity:
    """Detects speech in consecutive frames of one recording, fed in pieces of any length.

    Screams and laughter lie above the pitch that the detector was made for: it misses most of 1 % of
    RAVDESS. So it also gets everything slowed down by :data:`SLOWER`; the higher probability counts.
    """

    def __init__(self) -> None:
        self._plain, self._slowed = Detector(), Detector()
        self._slow_down = soxr.ResampleStream(RATE, round(RATE * SLOWER), 1, quality="QQ")
        self._waiting = NO_FRAMES
        self._slow = np.zeros(0, np.float32)  # of frames of the slowed sound, from _slow_start on
        self._frame = self._slow_start = 0

    def feed(self, samples: NDArray[np.float32], *, last: bool = False) -> Frames:
        """Take in samples; gives the frames decided now, with `last` the rest, zeros after it."""
        slowed = self._slow_down.resample_chunk(samples, last=last)
        self._slow = np.concatenate([self._slow, self._slowed.feed(slowed, last=last).speech])
        frames = self._plain.feed(samples, last=last)
        self._waiting = Frames(*map(np.concatenate, zip(self._waiting, frames, strict=True)))
        # Decided are those whose middle is in the slowed sound so far.
        n_waiting = len(self._waiting.speech)
        middles = ((self._frame + np.arange(n_waiting) + 0.5) * SLOWER).astype(int)
        middles -= self._slow_start
        if last and len(self._slow):
            middles = np.minimum(middles, len(self._slow) - 1)
        ready = int(np.searchsorted(middles, len(self._slow)))
        speech = np.maximum(self._waiting.speech[:ready], self._slow[middles[:ready]])
        decided = Frames(speech, self._waiting.level[:ready])
        self._waiting = Frames(*(values[ready:] for values in self._waiting))
        self._frame += ready
        used = int(self._frame * SLOWER) - self._slow_start
        self._slow, self._slow_start = self._slow[used:], self._slow_start + used
        return decided


class Detector:
    """Silero's detector on consecutive frames at their own speed."""

    def __init__(self) -> None:
        self._rest, self._context = np.zeros(0, np.float32), np.zeros(_CONTEXT, np.float32)
        self._hidden, self._cell = np.zeros(_STATE, np.float32), np.zeros(_STATE, np.float32)

    def feed(self, samples: NDArray[np.float32], *, last: bool = False) -> Frames:
        """Take in samples; gives the frames that are complete, with `last` the rest."""
        samples = np.concatenate([self._rest, samples])
        if last:
            samples = np.pad(samples, (0, -len(samples) % FRAME))
        n_frames = len(samples) // FRAME
        self._rest = samples[n_frames * FRAME :]
        if not n_frames:
            return NO_FRAMES
        frames = samples[: n_frames * FRAME].reshape(n_frames, FRAME)
        contexts = np.vstack([self._context, frames[:-1, -_CONTEXT:]])
        self._context = frames[-1, -_CONTEXT:]
        # Optimising this small graph takes longer than it ever saves on one utterance.
        speech, self._hidden, self._cell = session(_GRAPH, optimise=False).run(
            ["speech_probs", "hn", "cn"],
            {"input": np.hstack([contexts, frames]), "h": self._hidden, "c": self._cell},
        )
        power = np.square(frames, dtype=np.float64).mean(axis=1)
        level = np.asarray(10.0 * np.log10(power + FLOOR), dtype=np.float32)
        return Frames(np.asarray(speech, dtype=np.float32), level)


def speech_probabilities(samples: NDArray[np.float32]) -> Frames:
    """Probability of speech, and level, of every frame of a short recording."""
    frames = Detector().feed(samples, last=True)
    loud = frames.level > percentile(frames.level, 97) - 25.0
    # The slowed sound takes as long again and is rarely needed for one utterance.
    if (frames.speech[loud] >= 0.5).mean() > 0.5:
        return frames
    return VoiceActivity().feed(samples, last=True)


class SpeechTracker:
    """Turns speech probabilities into speech segments as they arrive, counted in frames."""

    def __init__(self) -> None:
        self.start: int | None = None  # of the segment that is going on, padding included
        self.speech_end = 0  # one past the last frame in it that held speech
        self.n_frames = self._first = self._last_stop = 0

    def feed(self, probability: float) -> tuple[int, int] | None:
        """Take in one frame; returns a segment ``(first, stop)`` when this frame ended one."""
        frame, self.n_frames = self.n_frames, self.n_frames + 1
        if self.start is None:
            if probability >= THRESHOLD:
                self.start, self.speech_end = max(self._last_stop, frame - PAD), frame + 1
                self._first = frame
        elif probability >= NEG_THRESHOLD:
            self.speech_end = frame + 1
        elif frame - self.speech_end >= MIN_SILENCE:
            return self.finish()
        return None

    def finish(self) -> tuple[int, int] | None:
        """End the segment that is going on, as when the recording ends."""
        if self.start is None:
            return None
        segment = (self.start, min(self.n_frames, self.speech_end + PAD))
        self.start = None
        if self.speech_end - self._first < MIN_SPEECH:
            return None
        self._last_stop = segment[1]
        return segment


class Turn(NamedTuple):
    """Speech of one voice, in frames of the voice activity detector."""

    start: int
    stop: int
    speaker: str


class TurnTracker:
    """As a SpeechTracker, but it ends a segment where a turn ends, whatever is fed."""

    def __init__(self, turns: Sequence[Turn]) -> None:
        self._turns = collections.deque(turns)
        self.start: int | None = None
        self.n_frames = self.speech_end = 0

    def feed(self, probability: float) -> tuple[int, int] | None:
        """Take in one frame; returns a turn when this frame is its last one."""
        self.n_frames += 1
        if self._turns and self.n_frames > self._turns[0].start:
            self.start, self.speech_end = self._turns[0].start, self.n_frames
            if self.n_frames >= self._turns[0].stop:
                return self.finish()
        return None

    def finish(self) -> tuple[int, int] | None:
        """End the turn that is going on, as when the recording ends."""
        if self.start is None:
            return None
        turn, self.start = self._turns.popleft(), None
        return turn.start, turn.stop
