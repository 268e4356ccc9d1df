"""A connection that does not wait for ever.

uvicorn bounds how long an answered connection may stay idle, but neither how long a new one may,
nor how slowly a request's headers may come. Without a bound, idle connections cost an attacker
nothing.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

PATIENCE = 10.0
"""Seconds; a connection without a request in work is closed after one to two times as long."""


class Connection(H11Protocol):
    """One client's connection, closed when it does not ask for anything."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to watch."""
        super().connection_made(transport)
        self._was_idle = False
        self._watch = self.loop.call_later(PATIENCE, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop watching."""
        self._watch.cancel()
        super().connection_lost(exc)

    def _look(self) -> None:
        idle = self.cycle is None or self.cycle.response_complete
        if idle and self._was_idle:
            self.transport.close()
            return
        self._was_idle = idle
        self._watch = self.loop.call_later(PATIENCE, self._look)
