"""Uploads and downloads within bounds: forms of limited parts, files that are always closed."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import IO, Any

from fastapi import Request
from fastapi.responses import Response, StreamingResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartParser
from starlette.types import Receive, Scope, Send

from .limits import RefusalError
from .work import room

FIELD_BYTES = 10_000
"""Most bytes of one field that is no file; no route asks for any."""
FIELDS = 10

# More of an upload than this is on disk: fifty small files of each request fit in memory.
MultiPartParser.spool_max_size = 1 << 16


class BoundedRoute(APIRoute):
    """A route whose forms are read within the limits, before FastAPI would read them without."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """As of FastAPI, which finds the form already read."""
        handle = super().get_route_handler()

        async def bounded(request: Request) -> Response:
            if self.body_field:
                await _read(request)
            return await handle(request)

        return bounded


class SentFile(StreamingResponse):
    """A file as an answer, closed when it was sent or could not be."""

    def __init__(self, file: IO[bytes], media_type: str) -> None:
        super().__init__(iter(lambda: file.read(1 << 16), b""), media_type=media_type)
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._file.close()


async def _read(request: Request) -> None:
    files = request.app.state.service.limits.files
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise RefusalError(422, "recordings are sent as multipart/form-data, in the field 'files'")
    try:
        with room():
            await request.form(max_files=files, max_fields=FIELDS, max_part_size=FIELD_BYTES)
    except HTTPException as error:
        if error.detail.startswith("Too many"):
            raise RefusalError(413, f"too many parts; at most {files} files in a request") from None
        raise
