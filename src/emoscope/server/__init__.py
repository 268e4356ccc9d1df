"""Predictions over HTTP, and the page at ``/``: ``emoscope serve``.

Nothing that is uploaded is kept or logged: a recording lives in a nameless temporary file that the
operating system removes when the request ends, however it ends.
"""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import FrameType

from .._version import __version__
from ..errors import EmoscopeError, MissingExtraError
from ..files import sentence
from ..prediction import Predictor

try:
    import uvicorn
    from fastapi import FastAPI, Request
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import FileResponse, JSONResponse
    from fastapi.staticfiles import StaticFiles
    from starlette.exceptions import HTTPException
    from starlette.requests import ClientDisconnect

    from . import api, live
    from .limits import HEADERS, Guard, failure, reason
    from .limits import Limits as Limits
    from .work import Service
except ImportError as error:
    raise MissingExtraError("the server", error.name or "fastapi", "serve") from error

WEB = Path(__file__).with_name("web")
LARGEST_MESSAGE = 1 << 20  # bytes of a stream; a minute of PCM at 8 kHz
GRACE = 8.0  # seconds that what is in work has to be done when the server is told to end
# A full disk, too many open files, too little memory.
EXHAUSTED = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
ANSWERED = (
    EmoscopeError, RequestValidationError, HTTPException, OSError, ClientDisconnect, Exception,
)  # fmt: skip


def create_app(
    models: Mapping[str, Predictor] | None = None, *,
    limits: Limits | None = None, hosts: Iterable[str] = (),
) -> FastAPI:  # fmt: skip
    """The whole server as an ASGI application, with models by public name, the default first.

    `hosts` are names under which it may be addressed beside those of this machine.
    """
    limits = limits or Limits()
    service = Service(models or {"default": Predictor()}, limits)
    app = FastAPI(
        title="emoscope", version=__version__, docs_url=None, redoc_url=None,
        summary="Speech emotion recognition that stays on this computer.",
        form_limits={"max_files": limits.files, "max_fields": 10, "max_part_size": 10_000},
    )  # fmt: skip
    app.state.service = service
    app.add_middleware(Guard, load=service.load, hosts=hosts)
    app.include_router(api.router)
    app.include_router(live.router)
    app.mount("/web", StaticFiles(directory=WEB))

    app.get("/", include_in_schema=False)(lambda: FileResponse(WEB / "index.html"))
    app.get("/docs", include_in_schema=False)(lambda: FileResponse(WEB / "docs.html"))
    for kind in ANSWERED:
        app.add_exception_handler(kind, _answer)
    return app


class Server(uvicorn.Server):
    """uvicorn without access log or name; when told to end, calls `ending` and waits for work."""

    def __init__(
        self, app: FastAPI, *, host: str, port: int, ending: Callable[[], object] | None = None
    ) -> None:
        # Nothing of what is sent is logged, nor how it was malformed: it could fill the log.
        logging.getLogger("python_multipart").setLevel(logging.ERROR)
        config = uvicorn.Config(
            app, host=host, port=port, http="h11", ws="websockets-sansio",
            ws_max_size=LARGEST_MESSAGE, lifespan="off", access_log=False,
            server_header=False, log_level="error", timeout_graceful_shutdown=int(GRACE + 2),
        )  # fmt: skip
        super().__init__(config)
        self._load, self._ending = app.state.service.load, ending

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End at the first signal, and wait for nothing at the second."""
        if self.should_exit:
            self._load.stop()
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Wait for what is in work, but not for ever."""
        if self._load.jobs and self._ending:
            self._ending()
        asyncio.get_running_loop().call_later(GRACE, self._load.stop)
        await super().shutdown(sockets)


def run(
    app: FastAPI, *, host: str = "127.0.0.1", port: int = 8765,
    ready: Callable[[], object] | None = None, ending: Callable[[], object] | None = None,
) -> None:  # fmt: skip
    """Serve until interrupted; an EmoscopeError when the address cannot be bound.

    `ready` is called once it is bound, `ending` when told to end while something is in work.
    """
    server = Server(app, host=host, port=port, ending=ending)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        reason = str(error.strerror).partition(" (while")[0]
        raise EmoscopeError(sentence("not_listening", host=host, port=port, why=reason)) from None
    if ready:
        ready()
    server.run(sockets=[listening])


async def _answer(_: Request, error: Exception) -> JSONResponse:
    """What an exception means to a client."""
    if isinstance(error, HTTPException) and isinstance(error.__cause__, OSError):
        error = error.__cause__  # FastAPI, when an upload cannot be written to disk
    if isinstance(error, OSError):
        if error.errno not in EXHAUSTED:
            raise error
        return failure(503, "this server is out of disk space or memory", {"retry-after": "10"})
    if isinstance(error, RequestValidationError):
        faults = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        if any(item["loc"] == ("body", "files") for item in error.errors()):
            faults.append("send recordings as multipart/form-data, in the field 'files'")
        return failure(422, "; ".join(faults))
    if isinstance(error, HTTPException):
        return failure(error.status_code, error.detail, error.headers)
    if isinstance(error, (EmoscopeError, ClientDisconnect)):  # of which nobody reads the answer
        return failure(422, reason(error))
    # Outside of the guard, which adds the headers to every other answer.
    return failure(500, "internal server error; see the log of the server", HEADERS)
