"""How much the server takes on, and what it has in work."""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from collections import Counter


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """How much the server takes on.

    Attributes
    ----------
    bytes : int
        Of one request's recordings.
    text_bytes : int
        Of a body that is no recording: it is held in memory.
    bytes_at_once : int
        Of all recordings in work, and of what was decoded to be listened to; more are answered
        with 503.
    bytes_at_once_each : int
        The same, of one address; more are answered with 429.
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
        Recordings of one address judged side by side. One more is judged at the same time when it
        is of another address, so that nobody waits for the recordings of one client alone.
    connections : int
        Open at once; a new one takes the place of one that asks for nothing.
    """

    bytes: int = 100_000_000
    text_bytes: int = 3_000_000
    bytes_at_once: int = 600_000_000
    bytes_at_once_each: int = 400_000_000
    files: int = 50
    seconds: float = 3600.0
    pause: float = 10.0
    upload_seconds: float = 120.0
    request_seconds: float = 300.0
    at_once: int = 64
    at_once_each: int = 48
    workers: int = 2
    connections: int = 256


class RefusalError(Exception):
    """A request that is not answered: status and reason."""

    def __init__(self, status: int, reason: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status, self.reason, self.headers = status, reason, headers or {}


class Admission:
    """Who has how much in work, and when all of it has to end.

    Parameters
    ----------
    limits : Limits
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        # Uploads are counted by the event loop, decoded sound by the threads that judge.
        self._lock = threading.Lock()
        self._requests: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._end = math.inf

    @property
    def requests(self) -> int:
        """Requests in work or waiting."""
        return self._requests.total()

    @property
    def bytes(self) -> int:
        """Bytes of their recordings."""
        return self._bytes.total()

    def enter(self, client: str) -> Ticket:
        """Let a request of this address in, until its ticket is given back."""
        limits = self._limits
        with self._lock:
            if self.requests >= limits.at_once:
                raise _busy(503, f"{limits.at_once} requests are waiting already")
            if self._requests[client] >= limits.at_once_each:
                reason = f"{limits.at_once_each} requests from this address are waiting already"
                raise _busy(429, reason)
            self._requests[client] += 1
        return Ticket(self, client)

    def take(self, client: str, count: int) -> None:
        """Give so many bytes to a request of this address."""
        limits = self._limits
        with self._lock:
            if self._bytes.total() + count > limits.bytes_at_once:
                raise _busy(503, f"{limits.bytes_at_once / 1e6:g} MB are in work already")
            if self._bytes[client] + count > limits.bytes_at_once_each:
                most = f"{limits.bytes_at_once_each / 1e6:g} MB"
                raise _busy(429, f"{most} from this address are in work already")
            self._bytes[client] += count

    def leave(self, client: str, count: int) -> None:
        """Take back one request and its bytes."""
        with self._lock:
            self._requests[client] -= 1
            self._bytes[client] -= count
            for counted in (self._requests, self._bytes):
                if not counted[client]:  # forgets addresses that have nothing in work
                    del counted[client]

    def end(self, seconds: float) -> None:
        """Give what is in work so long to be done, because the server ends."""
        self._end = min(self._end, time.monotonic() + seconds)

    @property
    def ended(self) -> bool:
        """Whether that time is over."""
        return time.monotonic() > self._end


class Ticket:
    """One request that was let in.

    Attributes
    ----------
    client : str
        Its address.
    gone : bool
        Whether nobody waits for its answer any more.
    """

    def __init__(self, admission: Admission, client: str) -> None:
        self._admission, self.client, self.gone = admission, client, False
        self._bytes = 0

    def take(self, count: int) -> None:
        """Make room for more bytes."""
        self._admission.take(self.client, count)
        self._bytes += count

    def check(self) -> None:
        """Stop the work on what nobody waits for, and when the server ends."""
        if self.gone:
            raise RefusalError(503, "the client has gone")
        if self._admission.ended:
            raise RefusalError(503, "the server is being stopped")

    def leave(self) -> None:
        """Give everything back."""
        self._admission.leave(self.client, self._bytes)


def _busy(status: int, reason: str) -> RefusalError:
    return RefusalError(status, reason, {"retry-after": "1"})
