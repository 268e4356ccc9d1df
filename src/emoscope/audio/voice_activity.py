"""Voice activity: where in a recording somebody speaks.

The detector is Silero VAD (https://github.com/snakers4/silero-vad, version 6.2.3, MIT licence), in
the form that classifies a whole block of frames in one call; its graph of 1.2 MB is shipped in
``emoscope/data`` and runs in onnxruntime.

Conventions: mono float32 samples in [-1, 1] at 16 kHz; one frame is 512 samples (32 ms) and frames
do not overlap; the time of frame ``i`` is ``0.032 * i`` seconds.
"""

from __future__ import annotations

import dataclasses
import functools
import os
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
FRAME_MS = 1000 * FRAME / RATE
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
    """Speech and level of a recording, frame by frame: arrays of shape (n_frames,)."""

    speech: NDArray[np.float32]  # probability in [0, 1] that the frame holds speech
    level: NDArray[np.float32]  # dBFS, at least -120


NO_FRAMES = Frames(np.zeros(0, np.float32), np.zeros(0, np.float32))


class VoiceActivity:
    """Detects speech in consecutive frames of one recording, fed in pieces of any length.

    Screams and laughter lie above the pitch that the detector was made for: in 1 % of RAVDESS it
    misses more than half of the loud frames. Everything is therefore also given to it slowed down
    by :data:`SLOWER`, and the higher probability counts; then there is no such clip.
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
        speech, self._hidden, self._cell = _session().run(
            ["speech_probs", "hn", "cn"],
            {"input": np.hstack([contexts, frames]), "h": self._hidden, "c": self._cell},
        )
        power = np.square(frames, dtype=np.float64).mean(axis=1)
        level = np.asarray(10.0 * np.log10(power + FLOOR), dtype=np.float32)
        return Frames(np.asarray(speech, dtype=np.float32), level)


def speech_probabilities(samples: NDArray[np.float32]) -> Frames:
    """Probability of speech, and level, of every frame of a short recording."""
    frames = Detector().feed(samples, last=True)
    loud = frames.level > np.percentile(frames.level, 97) - 25.0
    # The slowed sound takes as long again and is rarely needed for one utterance.
    if (frames.speech[loud] >= 0.5).mean() > 0.5:
        return frames
    return VoiceActivity().feed(samples, last=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class VadOptions:
    """When speech begins and ends."""

    threshold: float = 0.5  # a frame of at least this probability begins a segment
    neg_threshold: float = 0.35  # the segment lasts while frames reach this
    min_silence_duration_ms: float = 400.0  # shorter pauses belong to the segment
    min_speech_duration_ms: float = 200.0  # shorter segments are clicks and breaths, not speech
    speech_pad_ms: float = 100.0  # added on both sides, for the soft sounds at the edges of words


class SpeechTracker:
    """Turns speech probabilities into speech segments as they arrive, counted in frames.

    ``start`` is the first frame of the segment that is going on, padding included, None between
    segments; ``speech_end`` is one past the last frame in it that held speech.
    """

    def __init__(self, options: VadOptions | None = None) -> None:
        self.options = options or VadOptions()
        self.start: int | None = None
        self.n_frames = self.speech_end = self._first = self._last_stop = 0
        self._pad = round(self.options.speech_pad_ms / FRAME_MS)
        self._min_silence = round(self.options.min_silence_duration_ms / FRAME_MS)
        self._min_speech = round(self.options.min_speech_duration_ms / FRAME_MS)

    def feed(self, probability: float) -> tuple[int, int] | None:
        """Take in one frame; returns a segment ``(first, stop)`` when this frame ended one."""
        frame, self.n_frames = self.n_frames, self.n_frames + 1
        if self.start is None:
            if probability >= self.options.threshold:
                self.start, self.speech_end = max(self._last_stop, frame - self._pad), frame + 1
                self._first = frame
        elif probability >= self.options.neg_threshold:
            self.speech_end = frame + 1
        elif frame - self.speech_end >= self._min_silence:
            return self.finish()
        return None

    def finish(self) -> tuple[int, int] | None:
        """End the segment that is going on, as when the recording ends."""
        if self.start is None:
            return None
        segment = (self.start, min(self.n_frames, self.speech_end + self._pad))
        self.start = None
        if self.speech_end - self._first < self._min_speech:
            return None
        self._last_stop = segment[1]
        return segment
