"""What stands between the network and the server's own code.

:class:`Guard` is plain ASGI middleware. It refuses requests for other hosts (DNS rebinding),
requests that other web sites send through a visitor's browser, bodies that are too large or too
slow, and more work than can be done soon; it adds the security headers to every answer and counts
requests.

Every refusal is JSON: ``{"error": "what was found, what is allowed"}``.
"""

from __future__ import annotations

import asyncio
import dataclasses
import ipaddress
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from .monitoring import Monitor

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
HEADERS = {
    # 'self' alone: scripts, styles, fonts and requests come from and go to this server only. The
    # recording is played from memory, hence blob:.
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; media-src 'self' blob:; worker-src 'self'; manifest-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "microphone=(self), camera=(), geolocation=(), display-capture=()",
    "cache-control": "no-store",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """How much the server takes on.

    Attributes
    ----------
    bytes : int
        Of one request's body.
    files : int
        Recordings in one request.
    seconds : float
        Length of one recording.
    pause : float
        Seconds between two pieces of a body.
    upload_seconds : float
        For a whole body to arrive.
    request_seconds : float
        For a request to be answered, waiting included.
    at_once : int
        Requests in work or waiting, of all clients; more are answered with 503.
    at_once_each : int
        The same, of one address; more are answered with 429.
    workers : int
        Recordings judged side by side.
    """

    bytes: int = 100_000_000
    files: int = 50
    seconds: float = 3 * 3600.0
    pause: float = 10.0
    upload_seconds: float = 120.0
    request_seconds: float = 300.0
    at_once: int = 64
    at_once_each: int = 48
    workers: int = 2


class RefusalError(Exception):
    """A request that is not answered: status and reason."""

    def __init__(self, status: int, reason: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status, self.reason, self.headers = status, reason, headers or {}


class Guard:
    """ASGI middleware around the server's own code.

    Parameters
    ----------
    app : callable
        The ASGI application.
    limits : Limits
    monitor : Monitor
    hosts : iterable of str
        Names and addresses under which the server may be addressed beside those of this machine;
        ``"*"``: any.
    """

    def __init__(
        self, app: Application, *, limits: Limits, monitor: Monitor, hosts: Iterable[str] = ()
    ) -> None:
        self.app, self.limits, self.monitor = app, limits, monitor
        self.hosts = {*LOOPBACK, *map(_in_address, hosts)}
        self._clients: Counter[str] = Counter()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        works = scope["method"] == "POST"
        answer = _Answer(send, heard_all=not works)
        started = time.perf_counter()
        client = (scope.get("client") or ("",))[0]
        admitted = False
        try:
            self._check_origin(scope)
            if works:
                self._check_length(scope)
                self._admit(client)
                admitted = True
                receive = _Body(receive, self.limits, answer).receive
            await self.app(scope, receive, answer.send)
        except RefusalError as refusal:
            await answer.refuse(refusal)
        finally:
            if admitted:
                self.monitor.in_flight -= 1
                self._clients[client] -= 1
                self._clients += Counter()  # forgets addresses that have nothing in work
            route = getattr(scope.get("route"), "path", "other")
            self.monitor.request(route, answer.status, time.perf_counter() - started)

    def _check_origin(self, scope: Message) -> None:
        """Refuse other hosts, and what other web sites send."""
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get(b"host", "").lower()
        if "*" not in self.hosts and _without_port(host) not in self.hosts:
            raise RefusalError(421, f"this server does not answer for the host '{host[:100]}'")
        origin = headers.get(b"origin")
        foreign = origin is not None and _host_of(origin) != host
        if scope["method"] != "GET" and (foreign or headers.get(b"sec-fetch-site") == "cross-site"):
            raise RefusalError(403, "requests from other web sites are not answered")

    def _check_length(self, scope: Message) -> None:
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value) > self.limits.bytes:
                raise _too_large(self.limits)

    def _admit(self, client: str) -> None:
        again = {"retry-after": "1"}
        if self.monitor.in_flight >= self.limits.at_once:
            raise RefusalError(503, f"{self.limits.at_once} requests are waiting already", again)
        if self._clients[client] >= self.limits.at_once_each:
            reason = f"{self.limits.at_once_each} requests from this address are waiting already"
            raise RefusalError(429, reason, again)
        self.monitor.in_flight += 1
        self._clients[client] += 1


class _Body:
    """The body of a request, refused as soon as it is too large or too slow."""

    def __init__(self, receive: Receive, limits: Limits, answer: _Answer) -> None:
        self._receive, self._limits, self._answer = receive, limits, answer
        self._taken = 0
        self._deadline = time.monotonic() + limits.upload_seconds

    async def receive(self) -> Message:
        if self._answer.heard_all:
            return await self._receive()
        patience = min(self._limits.pause, self._deadline - time.monotonic())
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, patience))
        except asyncio.TimeoutError:
            refusal = RefusalError(408, "the upload is too slow")
            raise self._answer.remember(refusal) from None
        self._taken += len(message.get("body", b""))
        if self._taken > self._limits.bytes:
            raise self._answer.remember(_too_large(self._limits))
        self._answer.heard_all = not message.get("more_body", False)
        return message


class _Answer:
    """Sends an answer with the security headers, and remembers its status.

    An answer that is given before the whole body has come ends the connection: the rest of the body
    would have to be read to find the next request.
    """

    def __init__(self, send: Send, *, heard_all: bool) -> None:
        self._send, self.status, self.heard_all = send, 0, heard_all
        self._refusal: RefusalError | None = None
        self._refused = False

    def remember(self, refusal: RefusalError) -> RefusalError:
        """Whatever the application makes of this error, the answer will be the refusal."""
        self._refusal = refusal
        return refusal

    async def send(self, message: Message) -> None:
        if self._refused:
            return
        if self._refusal is not None:
            await self.refuse(self._refusal)
            return
        if message["type"] == "http.response.start":
            self.status = message["status"]
            given = {name for name, _ in message["headers"]}
            added = HEADERS if self.heard_all else {**HEADERS, "connection": "close"}
            message["headers"] = [
                *message["headers"],
                *((k.encode(), v.encode()) for k, v in added.items() if k.encode() not in given),
            ]
        await self._send(message)

    async def refuse(self, refusal: RefusalError) -> None:
        self._refusal = None
        if self.status:  # too late: the answer has begun
            return
        body = json.dumps({"error": refusal.reason}).encode()
        headers = {"content-type": "application/json", "content-length": str(len(body))}
        pairs = [(k.encode(), v.encode()) for k, v in (headers | refusal.headers).items()]
        await self.send({"type": "http.response.start", "status": refusal.status, "headers": pairs})
        await self._send({"type": "http.response.body", "body": body})
        self._refused = True


def _too_large(limits: Limits) -> RefusalError:
    return RefusalError(
        413, f"the upload is larger than {limits.bytes / 1e6:g} MB, the limit of this server"
    )


def _in_address(host: str) -> str:
    """A host as it stands in the address of a page: IPv6 shortened and in brackets."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower()
    return f"[{address}]" if address.version == 6 else host


def _host_of(origin: str) -> str | None:
    """The host and port of an origin; None when it is no address at all."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host
