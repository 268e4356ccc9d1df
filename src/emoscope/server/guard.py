"""What stands between the network and the server's own code.

:class:`Guard` is plain ASGI middleware. It refuses requests for other hosts (DNS rebinding),
requests that other web sites send through a visitor's browser, bodies that are too large or too
slow, and more work than can be done soon; it adds the security headers to every answer and counts
requests.

Every refusal is JSON: ``{"error": "what was found, what is allowed"}``.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
import time
from collections.abc import Iterable
from urllib.parse import urlsplit

from .exchange import Answer, Application, Body, Message, Receive, Send, too_large
from .limits import Admission, Limits, RefusalError, Ticket
from .monitoring import Monitor

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
PORTS = {"http": 80, "https": 443}
TICKET = "emoscope.ticket"
"""Where the application finds the ticket of a request in its scope."""

_UPLOADS = ("/api/predict", "/api/listen")
# Decoded at once, however much there is.
_QUICK = re.compile(rb'charset\s*=\s*("?)(?:utf-?8|us-ascii|iso-8859-1)\1\s*(?:;|$)')


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

    Attributes
    ----------
    admission : Admission
        What is in work.
    """

    def __init__(
        self, app: Application, *, limits: Limits, monitor: Monitor, hosts: Iterable[str] = ()
    ) -> None:
        self.app, self.limits, self.monitor = app, limits, monitor
        self.hosts = {*LOOPBACK, *map(_in_address, hosts)}
        self.admission = Admission(limits)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        if scope["method"] == "HEAD":  # as GET; the server leaves the body out
            scope = {**scope, "method": "GET"}
        works = scope["method"] == "POST"
        answer = Answer(receive, send, heard_all=not works)
        started = time.perf_counter()
        ticket: Ticket | None = None
        try:
            self._check_origin(scope)
            if works:
                most = self._check_body(scope)
                ticket = self.admission.enter(_network((scope.get("client") or ("",))[0]))
                self.monitor.in_flight = self.admission.requests
                scope[TICKET] = ticket
                receive = Body(receive, self.limits, most, ticket, answer).receive
            await self.app(scope, receive, answer.send)
        except RefusalError as refusal:
            await answer.refuse(refusal)
        except asyncio.CancelledError:
            if not self.admission.ended:
                raise
            answer.heard_all = True  # no time for that now
            await answer.refuse(RefusalError(503, "the server is being stopped"))
        finally:
            if ticket:
                ticket.leave()
                self.monitor.in_flight = self.admission.requests
            route = getattr(scope.get("route"), "path", "other")
            self.monitor.request(route, answer.status, time.perf_counter() - started)

    def _check_origin(self, scope: Message) -> None:
        """Refuse other hosts, and what other web sites send."""
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get(b"host", "").lower()
        if "*" not in self.hosts and _without_port(host) not in self.hosts:
            raise RefusalError(421, f"this server does not answer for the host '{host[:100]}'")
        origin = headers.get(b"origin")
        foreign = origin is not None and not _same(origin, host)
        if scope["method"] != "GET" and (foreign or headers.get(b"sec-fetch-site") == "cross-site"):
            raise RefusalError(403, "requests from other web sites are not answered")

    def _check_body(self, scope: Message) -> int:
        """Refuse bodies without a length or in other character sets; the most bytes it may have."""
        types = [value.lower() for name, value in scope["headers"] if name == b"content-type"]
        # The form would be decoded with any codec of Python that the client names, and some take
        # minutes for a megabyte.
        if any(kind.count(b"charset") != len(_QUICK.findall(kind)) for kind in types):
            raise RefusalError(415, "text in a character set that is not read; send UTF-8")
        recordings = scope["path"] in _UPLOADS and types[:1] and b"multipart" in types[0]
        most = self.limits.bytes if recordings else self.limits.text_bytes
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"")
        # Bodies in chunks cost by the chunk, not by the byte, and may be of one byte each.
        if b"transfer-encoding" in headers or not length.isdigit():
            raise RefusalError(411, "a body without content-length; send its length, no chunks")
        if int(length) > most:
            raise too_large(most)
        return most


def _in_address(host: str) -> str:
    """A host as it stands in the address of a page: IPv6 shortened and in brackets."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower()
    return f"[{address}]" if address.version == 6 else host


def _same(origin: str, host: str) -> bool:
    """Whether a page of this origin was served under this host, whose port may be left out."""
    try:
        page = urlsplit(origin)
        usual = PORTS[page.scheme]
        asked = urlsplit(f"{page.scheme}://{host}")
        return (page.hostname, page.port or usual) == (asked.hostname, asked.port or usual)
    except (KeyError, ValueError):
        return False


def _without_port(host: str) -> str:
    """The name alone, without the dot that may end it."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).removesuffix(".")


def _network(address: str) -> str:
    """What counts as one client: an address, or of IPv6 the 64 bits that a household is given."""
    with contextlib.suppress(ValueError):
        found = ipaddress.ip_address(address)
        if found.version == 6 and found.ipv4_mapped is None:
            return str(ipaddress.ip_network((found, 64), strict=False))
    return address
