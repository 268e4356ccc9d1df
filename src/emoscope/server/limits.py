"""What the server takes on and counts, and the middleware that refuses everything else.

Refused are requests for other hosts (DNS rebinding), requests that other web sites send through a
visitor's browser, bodies that are too large, and more requests than can be answered soon. Slow
clients are a proxy's matter (``deploy/nginx.conf``).
"""

import asyncio
import dataclasses
import functools
import ipaddress
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit

import prometheus_client as prometheus
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import AudioError
from ..files import shipped_table

LOOPBACK = ("localhost", "127.0.0.1", "::1")
STOPPED = "the server is shutting down"
DEFAULT_PORTS = {"http": 80, "https": 443}
BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)  # seconds
HEADERS: dict[str, str] = shipped_table("server.toml")["headers"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """How much the server takes on; more than may be in work at once is answered with 503."""

    bytes: float = 100e6  # of one request's recordings
    files: int = 50  # in one request
    seconds: float = 3600.0  # length of one recording
    at_once: int = 64  # POST requests in work or waiting
    workers: int = 2  # recordings predicted or decoded side by side
    streams: int = 20  # live streams open at once

    @classmethod
    def of(cls, host: str, names: Sequence[str] = (), megabytes: float | None = None) -> "Limits":
        """Those of a server at this address: for this machine alone none of size or length by default.

        `megabytes` are of one request; where others send more, the other limits grow with it.
        """
        alone = _plain(host) in LOOPBACK and not names
        most = megabytes * 1e6 if megabytes else math.inf if alone else cls.bytes
        more = math.inf if alone else max(1.0, most / cls.bytes)
        return cls(bytes=most, seconds=more * cls.seconds)


class Monitor:
    """Counters for Prometheus: sums alone, no file name, no address, no label."""

    def __init__(self) -> None:
        self.registry = registry = prometheus.CollectorRegistry()
        counter = functools.partial(prometheus.Counter, registry=registry)
        self._requests = counter("emoscope_requests", "Requests answered.", ["path", "status"])
        self._seconds = prometheus.Histogram(
            "emoscope_request_seconds", "Answered in.", ["path"], buckets=BUCKETS, registry=registry
        )
        self.recordings = counter("emoscope_recordings", "Predicted or refused.", ["outcome"])
        self.audio_seconds = counter("emoscope_audio_seconds", "Sound decoded, in seconds.")
        self.in_flight = prometheus.Gauge(
            "emoscope_in_flight", "POST requests in work or waiting.", registry=registry
        )
        prometheus.ProcessCollector(registry=registry)

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count one answered request by its route, not by the address as it was sent."""
        self._requests.labels(path, status).inc()
        self._seconds.labels(path).observe(seconds)


class Job:
    """One POST request in work; its threads call :meth:`check` between two pieces of sound."""

    end_reason = ""

    def check(self) -> None:
        """Raise when the answer is no longer wanted."""
        if self.end_reason:
            raise HTTPException(503, self.end_reason)


class Load:
    """All POST requests in work; used by the event loop alone."""

    def __init__(self, limits: Limits, monitor: Monitor) -> None:
        self.limits, self.monitor, self.stopping = limits, monitor, False
        self.jobs: set[Job] = set()
        self.streams = 0
        monitor.in_flight.set_function(lambda: len(self.jobs))

    @contextmanager
    def admit(self) -> Iterator[Job]:
        """Let one request in, or refuse it because too many are in work."""
        if len(self.jobs) >= self.limits.at_once:
            reason = f"{self.limits.at_once} requests are already waiting"
            raise HTTPException(503, reason, {"retry-after": "1"})
        job = Job()
        self.jobs.add(job)
        try:
            yield job
        finally:
            self.jobs.remove(job)

    @contextmanager
    def stream(self) -> Iterator[bool]:
        """Count one live stream while it is open; False for one too many."""
        admitted = self.streams < self.limits.streams
        self.streams += admitted
        try:
            yield admitted
        finally:
            self.streams -= admitted

    def stop(self) -> None:
        """End what is in work, because the server ends."""
        self.stopping = True
        for job in self.jobs:
            job.end_reason = STOPPED


class Guard:
    """ASGI middleware: refuses requests (hosts ``"*"``: to none), adds security headers, counts."""

    def __init__(self, app: ASGIApp, *, load: Load, hosts: Iterable[str] = ()) -> None:
        self.app, self._load = app, load
        self._hosts = {*LOOPBACK, *map(_plain, hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it."""
        if scope["type"] == "websocket":
            try:
                self._check_origin({**scope, "method": "POST"})
            except HTTPException:
                await send({"type": "websocket.close", "code": 1008})
                return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["method"] == "HEAD":  # as GET; the server leaves the body out
            scope = {**scope, "method": "GET"}
        started, status = time.perf_counter(), 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            self._check_origin(scope)
            await self._pass_on(scope, receive, send_with_headers)
        except HTTPException as refusal:
            answer = failure(refusal.status_code, refusal.detail, refusal.headers)
            await answer(scope, receive, send_with_headers)
        except asyncio.CancelledError:  # uvicorn has waited long enough for the end
            if not self._load.stopping:
                raise
            if not status:
                await failure(503, STOPPED)(scope, receive, send_with_headers)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._load.monitor.request(route, status or 500, time.perf_counter() - started)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        largest = self._load.limits.bytes
        length = Headers(scope=scope).get("content-length", "")
        if length.isdecimal() and int(length) > largest:
            raise _too_large(largest)
        received = 0

        async def bounded() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > largest:
                raise _too_large(largest)
            return message

        with self._load.admit() as job:
            scope.setdefault("state", {})["job"] = job
            await self.app(scope, bounded, send)

    def _check_origin(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if "*" not in self._hosts and _address(f"http://{host}")[0] not in self._hosts:
            raise HTTPException(421, f"this server does not answer for the host '{host[:100]}'")
        foreign = headers.get("sec-fetch-site") == "cross-site"
        if origin is not None:
            page = _address(origin)
            foreign |= not page[0] or page != _address(f"{urlsplit(origin).scheme}://{host}")
        if scope["method"] != "GET" and foreign:
            raise HTTPException(403, "requests from other websites are refused")


def failure(status: int, reason: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The answer to what cannot be done: ``{"error": "what was found, what is allowed"}``."""
    return JSONResponse({"error": reason}, status, headers)


def reason(error: Exception) -> str:
    """Why something cannot be done, without the path of a recording, which is the server's own."""
    if isinstance(error, HTTPException):
        return error.detail
    return error.reason if isinstance(error, AudioError) else str(error)


def _too_large(largest: float) -> HTTPException:
    return HTTPException(413, f"the upload is larger than {largest / 1e6:g} MB, the limit here")


def _plain(host: str) -> str:
    """A name or number in one form, without the dot that may end it."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host.lower().removesuffix(".")


def _address(url: str) -> tuple[str, int]:
    """Host and port of a page; an empty host where it has none, or is not of the web."""
    try:
        parts = urlsplit(url)
        return _plain(parts.hostname or ""), parts.port or DEFAULT_PORTS[parts.scheme]
    except (KeyError, ValueError):
        return "", 0
