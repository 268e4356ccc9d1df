"""Connections that do not wait for ever, and a server that ends.

uvicorn bounds how long an answered connection may stay idle, but neither how long a new one may,
nor how slowly a request's headers may come, nor how long an answer may wait for its reader. Without
these bounds, connections cost an attacker nothing.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import errno
import http
import logging
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any, cast

try:
    import fcntl
    import termios
except ImportError:  # Windows
    fcntl = termios = None  # type: ignore[assignment]

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from .exchange import HEADERS, LINGER, refusal_as_json
from .limits import RefusalError

if TYPE_CHECKING:
    import socket

    from .guard import Guard

PATIENCE = 10.0
"""Seconds; a connection without a request in work is closed after one to two times as long, and one
whose client takes next to nothing of its answer after one."""
LEAST_TAKEN = 20_000
"""Bytes of its answer that a client has to take in that time while it is waited for."""
GRACE = 8.0
"""Seconds that what is in work has to be done when the server is told to end."""


class Connection(H11Protocol):
    """One client's connection, closed when it asks for nothing or does not take its answer."""

    def __init__(self, *values: Any, **named: Any) -> None:
        super().__init__(*values, **named)
        self.conn = self._parser = _Parser(h11.SERVER)
        self._refused = False
        self._left_closing: int | None = None
        self._stuck: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to watch."""
        super().connection_made(transport)
        self._idle_since = self.loop.time()
        self._watch = self.loop.call_later(PATIENCE, self._look)
        if len(self.connections) > cast("Guard", self.config.app).limits.connections:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop watching."""
        self._watch.cancel()
        if self._stuck:
            self._stuck.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what the client sends, or drop it when the client has been refused."""
        if not self._refused:
            super().data_received(data)

    def pause_writing(self) -> None:
        """Give the client some time to take what was sent."""
        super().pause_writing()
        self._wait_for_reader(self._left())

    def _wait_for_reader(self, left: int) -> None:
        self._stuck = self.loop.call_later(PATIENCE, self._look_at_reader, left)

    def _look_at_reader(self, before: int) -> None:
        left = self._left()
        if before - left < LEAST_TAKEN:
            self.transport.abort()
        else:
            self._wait_for_reader(left)

    def _left(self) -> int:
        """Bytes of answers that the client has not taken yet, those that the system holds included.

        The system holds megabytes, and takes more only when a third of them has gone: its buffer
        says for minutes that nothing moves, whereas the client reads all the time.
        """
        held = array.array("i", [0])
        if fcntl:
            with contextlib.suppress(OSError, ValueError):
                fcntl.ioctl(
                    self.transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, held
                )
        return self.transport.get_write_buffer_size() + held[0]

    def resume_writing(self) -> None:
        """Go on sending."""
        super().resume_writing()
        if self._stuck:
            self._stuck.cancel()

    def on_response_complete(self) -> None:
        """Begin to be idle."""
        self._idle_since = self.loop.time()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request that could be read."""
        self._refuse(self._parser.refusal or RefusalError(400, "not a valid HTTP request"))

    def _refuse(self, refusal: RefusalError) -> None:
        """Answer without asking the application; the client gets some time to read it."""
        self._refused = True
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()
            return
        bodiless = self._parser.bodiless and self.conn.our_state is h11.SEND_RESPONSE
        body, headers = refusal_as_json(refusal)
        pairs = (headers | HEADERS | {"connection": "close"}).items()
        start = h11.Response(
            status_code=refusal.status,
            headers=[(name.encode(), value.encode()) for name, value in pairs],
            reason=http.HTTPStatus(refusal.status).phrase.encode(),
        )
        # h11 lets an answer to HEAD have no content, and raises if it has.
        content = b"" if bodiless else body
        for event in (start, h11.Data(data=content), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.loop.call_later(LINGER, self.transport.close)

    @property
    def _idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _look(self) -> None:
        if self.transport.is_closing():
            left = self._left()
            if self._left_closing is not None and self._left_closing - left < LEAST_TAKEN:
                self.transport.abort()  # the client does not take the end of its answer
                return
            self._left_closing = left
        elif self._idle and self.loop.time() - self._idle_since > PATIENCE:
            self.transport.close()
        self._watch = self.loop.call_later(PATIENCE, self._look)

    def _make_room(self) -> None:
        """Close an idle connection of the address that has most, or else this one."""
        others = [other for other in self.connections if isinstance(other, Connection)]
        idle = [
            other
            for other in others
            if other is not self and other._idle and not other.transport.is_closing()
        ]
        if not idle:
            self._refuse(RefusalError(503, "too many connections", {"retry-after": "1"}))
            return
        held = Counter(other._address for other in others)
        longest = max(idle, key=lambda other: (held[other._address], -other._idle_since))
        longest.transport.abort()

    @property
    def _address(self) -> str:
        return self.client[0] if self.client else ""


class _Parser(h11.Connection):
    """Takes no bodies in chunks: they cost by the chunk, and a chunk may be of one byte."""

    refusal: RefusalError | None = None
    bodiless = False

    def next_event(self) -> Any:
        event = super().next_event()
        if isinstance(event, h11.Request):
            self.bodiless = event.method == b"HEAD"
            names = [name for name, _ in event.headers]
            if b"transfer-encoding" in names:
                self.refusal = RefusalError(411, "a body in chunks; send it with content-length")
                raise h11.RemoteProtocolError(self.refusal.reason)
        return event


class Server(uvicorn.Server):
    """Ends in bounded time, whatever is in work.

    Parameters
    ----------
    config : uvicorn.Config
    ending : callable, optional
        Called when it has been told to end and waits for what is in work.
    """

    def __init__(
        self, config: uvicorn.Config, *, ending: Callable[[], object] | None = None
    ) -> None:
        super().__init__(config)
        self._ending = ending
        self._admission = cast("Guard", config.app).admission

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End at the first signal, and wait for nothing at the second."""
        if self.should_exit:
            self._admission.end(0.0)
            self._abort()
        else:
            super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        asyncio.get_running_loop().set_exception_handler(_Report())
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Wait for what is in work, but not for ever."""
        self._admission.end(GRACE)
        if self._admission.requests and self._ending:
            self._ending()
        asyncio.get_running_loop().call_later(GRACE + 1, self._abort)
        await super().shutdown(sockets)

    def _abort(self) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()


class _Report:
    """Says errors of the event loop, but only once that connections cannot be accepted.

    asyncio says that for each of them, a hundred times a second.
    """

    _said = False

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            if not self._said:
                logging.getLogger(__name__).error("no more open files are allowed: %s", error)
            self._said = True
            return
        loop.default_exception_handler(context)
