"""What a client is told while its recording is in work: an answer in lines of JSON."""

import asyncio
import copy
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

from fastapi.responses import StreamingResponse
from starlette.exceptions import HTTPException

from ..audio import channel_name
from ..errors import EmoscopeError
from ..modelfile.card import JsonObject
from ..prediction import Predictor
from ..prediction.progress import Heard, Progress
from .limits import reason

Tell: TypeAlias = Callable[[JsonObject], object]


def told(predictor: Predictor, name: str, tell: Tell) -> Predictor:
    """A copy of a predictor that tells now and then how far it is with a recording of that name."""

    def put(heard: Heard) -> None:
        about = {"file": name, "channel": channel_name(heard.part.channel)}
        found = [{**heard.found.to_dict(), "file": name}] if heard.found else []
        fraction = min(1.0, heard.seconds / heard.length) if heard.length else None
        seconds = round(heard.seconds, 3)
        tell({**about, "seconds": seconds, "fraction": fraction, "predictions": found})

    copied = copy.copy(predictor)
    Progress(copied, put)
    return copied


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
            yield {"error": reason(error)}
        finally:
            task.cancel()

    await news.wait()
    if task.done():
        task.result()  # what it raises is answered as without lines
    lines = (json.dumps(line, ensure_ascii=False) + "\n" async for line in each())
    as_they_come = {"x-accel-buffering": "no"}  # for nginx
    return StreamingResponse(lines, headers=as_they_come, media_type="application/x-ndjson")
