"""The work behind the routes: judging and decoding uploads, in threads that all addresses share."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import json
import os
import shutil
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, TypeVar

import anyio
import numpy as np
import soundfile
import soxr
from starlette.datastructures import UploadFile

from .. import audio
from ..audio import Signal
from ..errors import AudioError, FeatureError, UnknownNameError
from ..files import printable
from ..prediction import Prediction, Predictor
from .exchange import Receive
from .limits import Limits, RefusalError, Ticket
from .monitoring import Monitor

Outcome = TypeVar("Outcome")

LISTENING_RATE = 16_000
"""Hz of what ``/api/listen`` gives back: enough for speech, and for what the model hears of it."""
NO_ROOM = "this server has no room for it at the moment"

_LACKING = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.ENOMEM}


@dataclasses.dataclass(frozen=True)
class Unusable:
    """A recording that could not be judged, and why."""

    file: str
    reason: str


class Turns:
    """Threads that take up the work of all addresses in turn, and never that of one address alone.

    Parameters
    ----------
    each : int
        Pieces of work of one address at once; there is one thread more than that.
    """

    def __init__(self, each: int) -> None:
        self._each, self._free = each, each + 1
        self._running: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._threads = ThreadPoolExecutor(each + 1, thread_name_prefix="emoscope")

    async def run(self, client: str, function: Callable[..., Outcome], *values: Any) -> Outcome:
        """Run in a thread as soon as it is the turn of this address."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.setdefault(client, deque()).append(turn)
        self._next()
        try:
            await turn
            return await loop.run_in_executor(self._threads, function, *values)
        finally:
            if turn.done() and not turn.cancelled():
                self._free += 1
                self._running[client] -= 1
                self._running += Counter()  # forgets addresses that have nothing in work
                self._next()

    def close(self) -> None:
        """Begin nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _next(self) -> None:
        for client, queue in list(self._waiting.items()):
            while queue and queue[0].done():  # nobody waits for it any more
                queue.popleft()
            if not queue:
                del self._waiting[client]
            elif self._free and self._running[client] < self._each:
                self._free -= 1
                self._running[client] += 1
                queue.popleft().set_result(None)
                self._waiting[client] = self._waiting.pop(client)  # the others come first now
                return


class Service:
    """The work behind the routes.

    Parameters
    ----------
    models : mapping of str to Predictor
        By public name; the first is the default.
    limits : Limits
    monitor : Monitor
    """

    def __init__(self, models: Mapping[str, Predictor], limits: Limits, monitor: Monitor) -> None:
        self.models, self.limits, self.monitor = dict(models), limits, monitor
        # Now, because the files may be moved while the server runs.
        self.cards = [_card(name, predictor) for name, predictor in self.models.items()]
        self.turns = Turns(limits.workers)
        self.exports = anyio.CapacityLimiter(1)

    def model(self, name: str | None) -> tuple[str, Predictor]:
        """A model by name; the default for None."""
        name = name or next(iter(self.models))
        if name not in self.models:
            raise UnknownNameError("model", name, self.models)
        return name, self.models[name]

    async def each(
        self,
        function: Callable[[UploadFile, Ticket, float], Outcome],
        files: Iterable[UploadFile],
        ticket: Ticket,
        receive: Receive,
    ) -> list[Outcome]:
        """Run for each file of a request, until it is done or nobody waits for it any more."""
        deadline = time.monotonic() + self.limits.request_seconds
        watch = asyncio.create_task(_notice_end(receive, ticket))
        work = (self.turns.run(ticket.client, function, file, ticket, deadline) for file in files)
        try:
            return await asyncio.gather(*work)
        finally:
            watch.cancel()
            ticket.gone = True  # when one file ends the request, the others are not worked on

    def predict(
        self,
        upload: UploadFile,
        ticket: Ticket,
        deadline: float,
        *,
        predictor: Predictor,
        timeline: bool,
    ) -> Prediction | Unusable:
        """Judge one upload."""
        name = printable(upload.filename or "recording")[:255]
        try:
            with _path(upload, ticket) as path:
                pieces = self._pieces(path, ticket, deadline)
                found = predictor.predict(pieces, timeline=timeline)
        except (AudioError, FeatureError) as error:
            self.monitor.recording("refused")
            return Unusable(name, error.reason if isinstance(error, AudioError) else str(error))
        except OSError as error:
            if error.errno not in _LACKING:
                raise
            self.monitor.recording("refused")
            return Unusable(name, NO_ROOM)
        self.monitor.recording("predicted")
        return dataclasses.replace(found, file=name)

    def listen(self, upload: UploadFile, ticket: Ticket, deadline: float) -> IO[bytes]:
        """Decode one upload to FLAC, mono, in a nameless file."""
        with room(), contextlib.ExitStack() as stack:
            decoded = stack.enter_context(tempfile.TemporaryFile(buffering=0))
            with _path(upload, ticket) as path:
                _encode(self._pieces(path, ticket, deadline), _Target(decoded, ticket))
            decoded.seek(0)
            stack.pop_all()  # open until it has been sent
            return decoded

    def _pieces(self, path: str, ticket: Ticket, deadline: float) -> Iterator[Signal]:
        """The recording piece by piece, as long as there is time and somebody waits for it."""
        for piece in audio.blocks(path, max_seconds=self.limits.seconds):
            ticket.check()
            if time.monotonic() > deadline:
                seconds = self.limits.request_seconds
                raise RefusalError(503, f"not finished within {seconds:g} s; send less at once")
            self.monitor.audio(piece.duration)
            yield piece


@contextlib.contextmanager
def room() -> Iterator[None]:
    """Refuse what fails because the disk is full, or files or memory have run out."""
    try:
        yield
    except OSError as error:
        if error.errno not in _LACKING:
            raise
        raise RefusalError(503, NO_ROOM, {"retry-after": "10"}) from None


async def _notice_end(receive: Receive, ticket: Ticket) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    ticket.gone = True


def _card(name: str, predictor: Predictor) -> dict[str, Any]:
    """A model's card as JSON; ``bytes`` is None for a model that was not loaded from a file."""
    path, values = predictor.model.path, json.loads(predictor.card.to_json())
    kept = ("emotions", "temperature", "training", "results", "licence", "notices", "emoscope")
    return {
        "name": name,
        "title": values["name"],
        **{key: values[key] for key in (*kept, "uncertain")},
        "bytes": os.path.getsize(path) if os.path.isfile(path) else None,
    }


@contextlib.contextmanager
def _path(upload: UploadFile, ticket: Ticket) -> Iterator[str]:
    """A path to an upload, which has no name on disk.

    Linux gives every open file a path of its own; elsewhere a copy with a name is made and removed.
    """
    ticket.check()
    file = upload.file
    file.seek(0)
    if os.path.isdir("/proc/self/fd"):
        yield f"/proc/{os.getpid()}/fd/{file.fileno()}"
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "upload")
        with open(copy, "wb") as target:
            shutil.copyfileobj(file, target)
        yield str(copy)


class _Target:
    """A file for libsndfile to write to, through which no exception can pass: it is kept."""

    def __init__(self, file: IO[bytes], ticket: Ticket) -> None:
        self._file, self._ticket = file, ticket
        self.error: OSError | RefusalError | None = None
        self.seek, self.tell, self.read = file.seek, file.tell, file.read

    def write(self, content: bytes) -> int:
        left = memoryview(content)
        try:
            self._ticket.take(len(left))
            while left:
                left = left[self._file.write(left) :]
        except (OSError, RefusalError) as error:
            self.error = error
        return len(content) - len(left)

    def check(self) -> None:
        if self.error:
            raise self.error


def _encode(pieces: Iterable[Signal], target: _Target) -> None:
    resample: soxr.ResampleStream | None = None
    try:
        with soundfile.SoundFile(target, "w", LISTENING_RATE, 1, "PCM_16", format="FLAC") as sound:
            for piece in pieces:
                resample = resample or soxr.ResampleStream(piece.rate, LISTENING_RATE, 1)
                sound.write(resample.resample_chunk(piece.samples))
                target.check()
            if resample:
                sound.write(resample.resample_chunk(np.zeros(0, np.float32), last=True))
    finally:
        target.check()
