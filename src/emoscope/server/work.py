"""The work behind the routes: predicting and decoding uploads, in threads."""

import asyncio
import contextlib
import dataclasses
import functools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, TypeVar

import anyio
import numpy as np
import soundfile
import soxr
from anyio.to_thread import run_sync
from fastapi import Request, UploadFile

from .. import audio, modelfile
from ..audio import ChannelMeter, Excerpt, Signal
from ..errors import AudioError, FeatureError, ModelError, check_known
from ..files import printable
from ..prediction import Predictor
from ..prediction.prediction import Recognition
from ..prediction.sources import Division, choose
from .limits import Job, Limits, Load, Monitor, reason
from .progress import Tell, told

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

LISTENING_RATE = 16_000  # Hz of what /api/listen gives back: enough for speech


@dataclasses.dataclass(frozen=True)
class Unusable:
    """A recording that could not be used, and why."""

    file: str
    reason: str


class Service:
    """The work behind the routes, with models by public name; the first is the default."""

    def __init__(self, models: Mapping[str, Predictor], limits: Limits) -> None:
        self.models, self.limits, self.monitor = dict(models), limits, Monitor()
        self.load = Load(limits, self.monitor)
        # Now, because the files may be moved while the server runs.
        named = self.models.items()
        self.cards = [one.card.shown(name, _size(one.model.path)) for name, one in named]
        self._slots = anyio.CapacityLimiter(limits.workers)

    def model(self, name: str | None) -> tuple[str, Predictor]:
        """A model by name; the default for None."""
        name = name or next(iter(self.models))
        check_known("model", self.models, name)
        return name, self.models[name]

    async def run(self, function: Callable[..., Outcome], *given: object) -> Outcome:
        """Run one step of a stream in a thread, when there is one."""
        return await run_sync(function, *given, limiter=self._slots)

    async def run_each(
        self, request: Request, function: Callable[[Item, Job], Outcome], items: Sequence[Item]
    ) -> list[Outcome]:
        """Run in threads for each item of a request, until it is done or its client has gone.

        No request has more than `workers` items in the queue, so that those of a large one leave
        room for others in between.
        """
        job: Job = request.state.job
        outcomes: dict[int, Outcome] = {}
        numbered = iter(enumerate(items))

        async def lane() -> None:
            for number, item in numbered:
                async with self._slots:
                    outcomes[number] = await run_sync(function, item, job, abandon_on_cancel=True)

        lanes = [asyncio.create_task(lane()) for _ in range(self.limits.workers)]
        watch = asyncio.create_task(_end_when_gone(request, job))
        try:
            await asyncio.gather(*lanes)
        finally:
            job.end_reason = job.end_reason or "the request has ended"
            for task in (watch, *lanes):
                task.cancel()
        return [outcomes[number] for number in range(len(items))]

    def predict(
        self, upload: UploadFile, job: Job, *,
        predictor: Predictor, timeline: bool, channel: str | None, division: Division,
        tell: Tell | None = None,
    ) -> list[Recognition] | Unusable:  # fmt: skip
        """Recognise the emotion of one upload, or of its channels; tell how far it is."""
        name = printable(upload.filename or "recording")[:255]
        blocks = functools.partial(self._pieces, job)
        try:
            with path_of(upload, job) as path:
                predictor = told(predictor, name, tell) if tell else predictor
                parts = choose(Excerpt(path), channel) if channel else [Excerpt(path)]
                recognise = functools.partial(
                    predictor.recognise, blocks, listen=not channel, timeline=timeline,
                    division=division,
                )  # fmt: skip
                found = [recognise(part).but(file=name) for part in parts]
        except (AudioError, FeatureError) as error:
            self.monitor.recordings.labels("refused").inc()
            return Unusable(name, reason(error))
        self.monitor.recordings.labels("predicted").inc()
        return found

    def decode(self, upload: UploadFile, job: Job) -> IO[bytes]:
        """Decode one upload to mono FLAC of 16 kHz, in a file without a name."""
        with contextlib.ExitStack() as stack:
            flac = stack.enter_context(tempfile.TemporaryFile())
            with (
                path_of(upload, job) as path,
                soundfile.SoundFile(flac, "w", LISTENING_RATE, 1, "PCM_16", format="FLAC") as sound,
            ):
                resample: soxr.ResampleStream | None = None
                for piece in self._pieces(job, Excerpt(path)):
                    resample = resample or soxr.ResampleStream(piece.rate, LISTENING_RATE, 1)
                    sound.write(resample.resample_chunk(piece.samples))
                if resample:
                    sound.write(resample.resample_chunk(np.zeros(0, np.float32), last=True))
            stack.pop_all()
        return flac

    def _pieces(
        self, job: Job, excerpt: Excerpt, meter: ChannelMeter | None = None
    ) -> Iterator[Signal]:
        """The recording piece by piece, as long as there is time and somebody waits for it."""
        for piece in audio.blocks(excerpt, max_seconds=self.limits.seconds, meter=meter):
            job.check()
            self.monitor.audio_seconds.inc(piece.duration)
            yield piece


async def _end_when_gone(request: Request, job: Job) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    job.end_reason = "the client has gone"


def _size(path: str) -> int | None:
    """Bytes of a model; None for one of another tool, or in memory alone."""
    with contextlib.suppress(ModelError):
        return None if modelfile.is_foreign(path) else len(modelfile.read(path))
    return None


@contextlib.contextmanager
def path_of(upload: UploadFile, job: Job) -> Iterator[str]:
    """A path under which an upload can be read for a while."""
    job.check()
    file = upload.file
    file.seek(0)
    if os.path.isdir("/proc/self/fd"):  # Linux gives every open file a path of its own
        yield f"/proc/{os.getpid()}/fd/{file.fileno()}"
        return
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "upload")
        with open(path, "wb") as copy:
            shutil.copyfileobj(file, copy)
        yield path
