"""What a client is told while its recording is in work: an answer in lines of JSON."""

import asyncio
import copy
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import TypeAlias

import soundfile
from fastapi.responses import StreamingResponse
from starlette.exceptions import HTTPException

from ..audio import Excerpt, channel_name
from ..errors import EmoscopeError
from ..modelfile.card import JsonObject
from ..prediction import Predictor
from ..prediction.timeline import Stream

Tell: TypeAlias = Callable[[JsonObject], object]

EVERY = 1.0  # seconds from one line to the next, at least; and ten times what a line takes


class Progress:
    """Tells now and then how much of a recording its predictor has heard, and what it found."""

    def __init__(self, predictor: Predictor, path: str, name: str, tell: Tell) -> None:
        self.predictor = copy.copy(predictor)
        self.predictor.progress, self.predictor.heard = self._listened, self._heard
        self._name, self._tell = name, tell
        self._length: float | None = None
        with suppress(OSError, soundfile.SoundFileError):  # which FFmpeg may read
            self._length = soundfile.info(path).duration
        self._part: Excerpt | None = None
        self._stream: Stream | None = None
        self._seconds = self._due = 0.0

    def _heard(self, stream: Stream) -> None:
        self._stream = stream

    def _listened(self, part: Excerpt, seconds: float) -> None:
        if part != self._part:  # a channel begins
            self._part, self._stream, self._seconds = part, None, 0.0
        self._seconds += seconds
        begun = time.monotonic()
        if begun < self._due:
            return
        done, channel = self._seconds, channel_name(part.channel)
        known = []
        if self._stream and self._stream.windows:
            found = self.predictor.recognise_stream(self._stream, self._name)
            known, done = [found.but(channel=channel).prediction.to_dict()], self._stream.seconds
        fraction = min(1.0, done / self._length) if self._length else None
        about = {"file": self._name, "channel": channel, "seconds": round(done, 3)}
        self._tell({**about, "fraction": fraction, "predictions": known})
        if known:
            now = time.monotonic()
            self._due = now + max(EVERY, 10 * (now - begun))


async def in_lines(work: Callable[[Tell], Awaitable[JsonObject]]) -> StreamingResponse:
    """What work tells, line by line, and its outcome; of what a slow reader missed the newest."""
    loop, news = asyncio.get_running_loop(), asyncio.Event()
    newest: list[JsonObject] = []

    def put(line: JsonObject) -> None:
        newest[:] = [line]
        news.set()

    task = asyncio.ensure_future(work(lambda line: loop.call_soon_threadsafe(put, line)))
    task.add_done_callback(lambda _: news.set())
    task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # asked for once

    async def each() -> AsyncIterator[JsonObject]:
        try:
            while not task.done():
                await news.wait()
                news.clear()
                if newest:
                    yield newest.pop()
            yield task.result()
        except (HTTPException, EmoscopeError) as error:
            yield {"error": getattr(error, "detail", str(error))}
        finally:
            task.cancel()

    await news.wait()
    if task.done():
        task.result()  # what it raises is answered as without lines
    lines = (json.dumps(line, ensure_ascii=False) + "\n" async for line in each())
    as_they_come = {"x-accel-buffering": "no"}  # for nginx
    return StreamingResponse(lines, headers=as_they_come, media_type="application/x-ndjson")
