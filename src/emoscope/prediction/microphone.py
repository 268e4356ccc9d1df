"""Emotion while somebody speaks: blocks of sound, a session that listens, an update after each."""

import contextlib
import dataclasses
import os
import queue
import time
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from ..audio.excerpt import Checks, Excerpt
from ..errors import AudioError, EmoscopeError, installed
from ..files import sentence
from ..modelfile.card import JsonObject
from .prediction import Prediction, rounded
from .predictor import Predictor
from .summary import summarised
from .timeline import Samples, Windows

BLOCK_SECONDS = 0.1
WINDOWS = Windows(live=0.5)
PAUSE_SECONDS = 2.0  # without speech; whoever speaks next may sound otherwise
TOGETHER = 600  # windows (five minutes of speech) that are labelled together with the newest
SMOOTHING = 0.5  # weight of the newest window in what is displayed, against all before it


class Block(NamedTuple):
    """Samples of one channel."""

    samples: Samples
    arrived: float  # time.perf_counter() at the last of them


class Microphone:
    """A microphone of this machine, as sounddevice names it; a context that iterates over blocks."""

    def __init__(self, device: int | str | None = None) -> None:
        sounddevice = _sounddevice()
        try:
            about = sounddevice.query_devices(device, "input")
            self.name, self.rate = str(about["name"]), int(about["default_samplerate"])
            self.lost = 0  # blocks, as the system reports, because this machine was too slow
            self._blocks: queue.SimpleQueue[Block] = queue.SimpleQueue()
            self._stream = sounddevice.InputStream(
                samplerate=self.rate, device=device, channels=1, dtype="float32",
                blocksize=round(BLOCK_SECONDS * self.rate), callback=self._take,
            )  # fmt: skip
        except (ValueError, sounddevice.PortAudioError) as error:
            inputs = [d["name"] for d in sounddevice.query_devices() if d["max_input_channels"] > 0]
            told = {"error": error, "inputs": ", ".join(inputs)}
            told["named"] = f" '{device}'" if device is not None else ""
            key = "closed_microphone" if inputs else "no_microphone"
            raise EmoscopeError(sentence(key, **told)) from error

    def __enter__(self) -> "Microphone":
        self._stream.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stream.close()

    def __iter__(self) -> Iterator[Block]:
        while True:
            try:
                yield self._blocks.get(timeout=5.0)
            except queue.Empty:
                raise EmoscopeError(sentence("mute_microphone", name=self.name)) from None

    def _take(self, samples: Samples, frames: int, times: Any, status: Any) -> None:
        # Runs in PortAudio's own thread and must not wait for anything.
        self.lost += bool(status.input_overflow)
        self._blocks.put(Block(samples[:, 0].copy(), time.perf_counter()))


@dataclasses.dataclass(frozen=True)
class Update:
    """Where things stand after one block."""

    seconds: float
    level: float  # of the block, in dBFS
    speaking: bool
    emotion: str | None  # none before the first label and in long silence
    probabilities: dict[str, float]  # smoothed over time; empty without an emotion
    latency: float | None  # seconds from the newest sample to the label, where there is a new one

    def to_dict(self) -> JsonObject:
        """As a stream over HTTP sends it."""
        values = dataclasses.asdict(self)
        confidence = max(self.probabilities.values(), default=0.0)
        return {**values, **rounded(confidence, self.probabilities)}


class Session:
    """One time of listening to blocks of `rate` Hz, perhaps saved as a WAV or FLAC file."""

    def __init__(
        self, predictor: Predictor, rate: int, *,
        save: str | os.PathLike[str] | None = None, name: str = "microphone",
    ) -> None:  # fmt: skip
        self.predictor, self.rate, self.save = predictor, rate, save
        self.name, self._checks = os.fspath(save) if save else name, Checks(Excerpt(name))
        self.stream = predictor.stream(rate, WINDOWS)
        self.latencies: list[float] = []
        self.unsaved: str | None = None  # why; listening goes on without the file
        self._mean: NDArray[np.float64] | None = None
        self._last_label = 0.0

    def updates(self, blocks: Iterable[Block | Samples]) -> Iterator[Update]:
        """Listen to blocks until they end, or the iterator is closed; one update for each."""
        with self._recording() if self.save else contextlib.nullcontext() as file:
            for block in blocks:
                if not isinstance(block, Block):
                    block = Block(block, time.perf_counter())
                if file is not None and self.unsaved is None:
                    try:
                        file.write(block.samples)
                    except (soundfile.SoundFileError, OSError) as error:
                        held = f"holds {self.stream.seconds:.1f} s and no more"
                        self.unsaved = f"{self.save}: {held}: {error}"
                yield self.update(block)

    def finish(self) -> Prediction:
        """The prediction for all of it, with its timeline; an AudioError where a file gives one."""
        self.stream.finish()
        if not self.stream.seconds:
            raise AudioError(self.name, "nothing was heard")
        self._checks.end(self.rate)
        return summarised(self.predictor.recognise_stream(self.stream, self.name).prediction)

    def _recording(self) -> soundfile.SoundFile:
        if self.save is not None and os.path.isfile(self.save) and os.path.getsize(self.save):
            raise EmoscopeError(f"{self.save}: exists; give another name for what is heard")
        try:
            return soundfile.SoundFile(self.save, "w", self.rate, 1)
        except (soundfile.SoundFileError, OSError, TypeError) as error:
            raise EmoscopeError(f"{self.save}: cannot be recorded to: {error}") from error

    def update(self, block: Block) -> Update:
        """Listen to one block; for several, and to save them, there is :meth:`updates`."""
        latency = None
        if len(block.samples):
            self._checks.take(block.samples[:, np.newaxis])
        n_new = len(self.stream.feed(block.samples))
        for window in self.stream.newest(TOGETHER)[-n_new:] if n_new else ():
            new = window.inference.probabilities.astype(np.float64)
            self._mean = new if self._mean is None else self._mean + SMOOTHING * (new - self._mean)
            latency = time.perf_counter() - block.arrived
            self.latencies.append(latency)
            self._last_label = self.stream.seconds
        seconds, speaking = self.stream.seconds, self.stream.speaking
        if seconds - self._last_label > PAUSE_SECONDS and not speaking:
            self._mean = None
        energy = float(np.square(block.samples, dtype=np.float64).sum())
        power = energy / max(1, len(block.samples)) + 1e-12
        probabilities: dict[str, float] = {}
        if self._mean is not None:
            probabilities = dict(zip(self.predictor.emotions, self._mean.tolist(), strict=True))
        level = 10.0 * float(np.log10(power))
        emotion = max(probabilities, key=probabilities.__getitem__, default=None)
        return Update(seconds, level, speaking, emotion, probabilities, latency)


def _sounddevice() -> Any:
    try:
        return installed("sounddevice", "the microphone", "listen")
    except OSError as error:  # the package is here, the library it wraps is not
        raise EmoscopeError(sentence("no_portaudio")) from error
