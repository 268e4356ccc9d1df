"""Predictions over HTTP, and the page at ``/``: ``emoscope serve``.

======================= =====================================================================
``GET /``               the page: drop or record, see, hear, export
``POST /api/predict``   one or more recordings, multipart field ``files``
``POST /api/listen``    one recording of any format as FLAC of 16 kHz, for browsers to play
``POST /api/export``    a prediction as CSV, TextGrid, ELAN or subtitles
``GET /api/models``     the model cards
``GET /api/health``     whether it works
``GET /metrics``        counters for Prometheus
``GET /docs``           how to use all this; ``/openapi.json`` for programs
======================= =====================================================================

Nothing that is uploaded is kept or logged: a recording lives in a nameless temporary file that the
operating system removes when the request ends, however it ends. Nothing is fetched from anywhere
else. What is refused before it gets here, and the limits, are in :mod:`emoscope.server.guard`
and :mod:`emoscope.server.limits`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.resources
import ipaddress
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .._version import __version__
from ..errors import AudioError, EmoscopeError, MissingExtraError
from ..prediction import Predictor
from .guard import Guard
from .limits import Limits, RefusalError
from .monitoring import Monitor

try:
    from fastapi import FastAPI, Request
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import JSONResponse, Response
    from starlette.exceptions import HTTPException
    from starlette.requests import ClientDisconnect

    from . import api, work
except ImportError as error:
    raise MissingExtraError("the server", error.name or "fastapi", "serve") from error

if TYPE_CHECKING:
    import uvicorn

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
PAGES = {"/": "index.html", "/docs": "docs.html"}
BACKLOG = 128
"""Connections that wait to be accepted; asyncio accepts so many at a time."""
ENOUGH_FILES = 8192
"""Open files that all uploads and connections need, with room to spare: 64 requests of 50 files,
each open once more while it is read, and 256 connections."""


def create_app(
    models: Mapping[str, Predictor] | None = None,
    *,
    limits: Limits | None = None,
    hosts: Iterable[str] = (),
) -> Guard:
    """The whole server as an ASGI application.

    Parameters
    ----------
    models : mapping of str to Predictor, optional
        By public name, the default first; without it the shipped model.
    limits : Limits, optional
    hosts : iterable of str
        Names under which it may be addressed beside those of this machine.

    Returns
    -------
    Guard
        The application, guarded; give it to any ASGI server.
    """
    monitor, limits = Monitor(), limits or Limits()
    service = work.Service(models or {"default": Predictor()}, limits, monitor)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        service.turns.close()

    app = FastAPI(
        title="emoscope",
        version=__version__,
        summary="Speech emotion recognition that stays on this computer.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.service = service
    app.include_router(api.router)
    _add_pages(app)
    app.add_exception_handler(RefusalError, _refused)
    app.add_exception_handler(EmoscopeError, _unusable)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(ClientDisconnect, _broken_off)
    app.add_exception_handler(Exception, _failed)
    return Guard(app, limits=limits, monitor=monitor, hosts=hosts)


def run(
    models: Mapping[str, Predictor] | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 8765,
    limits: Limits | None = None,
    hosts: Iterable[str] = (),
    proxies: Iterable[str] = (),
    ready: Callable[[], object] | None = None,
    ending: Callable[[], object] | None = None,
) -> None:
    """Serve until interrupted.

    Parameters
    ----------
    models : mapping of str to Predictor, optional
        By public name, the default first; without it the shipped model.
    host : str
        Address to bind to; by default nobody but this machine can connect.
    port : int
    limits : Limits, optional
    hosts : iterable of str
        Names under which it may be addressed beside `host` and those of this machine.
    proxies : iterable of str
        Addresses of web servers in front of this one, whose word on the address of a client
        (``X-Forwarded-For``) is believed; by default nobody's.
    ready : callable, optional
        Called once the address is bound: from then on connections wait for their answer.
    ending : callable, optional
        Called when it has been told to end and waits for what is in work.

    Raises
    ------
    EmoscopeError
        When the address cannot be bound, as when another server has it, or a proxy is named by
        anything but its address.
    """
    from .connection import Server

    limits = limits or Limits()
    limits = dataclasses.replace(limits, connections=min(limits.connections, _open_files() // 2))
    app = create_app(models, limits=limits, hosts=(host, *hosts))
    server = Server(configuration(app, host=host, port=port, proxies=proxies), ending=ending)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = str(error.strerror).partition(" (while")[0]
        raise EmoscopeError(
            f"cannot listen at {host}, port {port}: {reason}; another --port or --host may do"
        ) from None
    if ready:
        ready()
    server.run(sockets=[listening])


def configuration(
    app: Guard, *, host: str, port: int, proxies: Iterable[str] = ()
) -> uvicorn.Config:
    """How uvicorn serves the application: no access log, no name of software, no idle clients.

    Nothing of what is sent is logged, nor how it was malformed: whoever sends could fill the log.
    """
    import uvicorn

    from .connection import GRACE, Connection

    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    proxies = list(proxies)
    for proxy in proxies:
        try:
            ipaddress.ip_network(proxy, strict=False)
        except ValueError:
            raise EmoscopeError(f"proxy '{proxy}': give its address or network") from None

    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=Connection,
        ws="none",
        access_log=False,
        server_header=False,
        log_level="error",
        backlog=BACKLOG,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies,
        timeout_graceful_shutdown=int(GRACE + 2),
    )


def _open_files() -> int:
    """How many files this process may have open, after asking for as many as it can get."""
    try:
        import resource
    except ImportError:  # Windows, where the number is not bounded
        return ENOUGH_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return ENOUGH_FILES
    wanted = ENOUGH_FILES if hard == resource.RLIM_INFINITY else min(hard, ENOUGH_FILES)
    if wanted > soft:
        # Some systems name a limit that they do not grant.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _add_pages(app: FastAPI) -> None:
    """Serve the page and what belongs to it from memory; there is no path to climb out of."""
    folder = importlib.resources.files(__name__).joinpath("web")
    files = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
    routes = {**PAGES, **{f"/web/{name}": name for name in files if Path(name).suffix in TYPES}}
    for route, name in routes.items():
        app.add_api_route(route, _page(files[name], Path(name).suffix), include_in_schema=False)


def _page(content: bytes, ending: str) -> Callable[[], Response]:
    def page() -> Response:
        return Response(content, media_type=TYPES[ending])

    return page


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RefusalError)
    return JSONResponse({"error": error.reason}, error.status, error.headers)


async def _unusable(_: Request, error: Exception) -> JSONResponse:
    reason = error.reason if isinstance(error, AudioError) else str(error)
    return JSONResponse({"error": reason}, 422)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = (f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
    return JSONResponse({"error": "; ".join(found)}, 422)


async def _http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": str(error.detail)}, error.status_code, error.headers)


async def _broken_off(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": "the upload broke off"}, 400)  # for the counters alone


async def _failed(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": "this server has a fault, which is in its log"}, 500)
