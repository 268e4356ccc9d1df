"""The two directions of one request: its body, bounded, and its answer, with security headers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from .limits import Limits, RefusalError, Ticket

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

LINGER = 2.0
"""Seconds for which what a refused client still sends is read, so that it gets to read why."""

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


class Body:
    """The body of a request, refused as soon as it is too large or too slow."""

    def __init__(
        self, receive: Receive, limits: Limits, most: int, ticket: Ticket, answer: Answer
    ) -> None:
        self._receive, self._limits, self._most = receive, limits, most
        self._ticket, self._answer = ticket, answer
        self._taken = 0
        self._deadline = time.monotonic() + limits.upload_seconds

    async def receive(self) -> Message:
        """The next message of ASGI."""
        if self._answer.heard_all:
            return await self._receive()
        patience = min(self._limits.pause, self._deadline - time.monotonic())
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, patience))
        except asyncio.TimeoutError:
            refusal = RefusalError(408, "the upload is too slow")
            raise self._answer.remember(refusal) from None
        count = len(message.get("body", b""))
        self._taken += count
        try:
            if self._taken > self._most:
                raise too_large(self._most)
            self._ticket.take(count)
        except RefusalError as refusal:
            raise self._answer.remember(refusal) from None
        self._answer.heard_all = not message.get("more_body", False)
        return message


class Answer:
    """Sends an answer with the security headers, and remembers its status.

    An answer that is given before the whole body has come ends the connection: the rest of the body
    would have to be read to find the next request.
    """

    def __init__(self, receive: Receive, send: Send, *, heard_all: bool) -> None:
        self._receive, self._send, self.status, self.heard_all = receive, send, 0, heard_all
        self._refusal: RefusalError | None = None
        self._refused = False

    def remember(self, refusal: RefusalError) -> RefusalError:
        """Whatever the application makes of this error, the answer will be the refusal."""
        self._refusal = refusal
        return refusal

    async def send(self, message: Message) -> None:
        """Send a message of ASGI."""
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
        elif not self.heard_all and not message.get("more_body", False):
            # The connection ends with this message. While the client still sends, that would be
            # noticed as a broken connection, and the answer be lost.
            await self._send({**message, "more_body": True})
            await self._hear_out()
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    async def refuse(self, refusal: RefusalError) -> None:
        """Answer with the reason, unless an answer has begun."""
        self._refusal = None
        if self.status:
            return
        body, headers = refusal_as_json(refusal)
        pairs = [(k.encode(), v.encode()) for k, v in headers.items()]
        await self.send({"type": "http.response.start", "status": refusal.status, "headers": pairs})
        await self.send({"type": "http.response.body", "body": body})
        self._refused = True

    async def _hear_out(self) -> None:
        end = time.monotonic() + LINGER
        more = True
        while more and (left := end - time.monotonic()) > 0:
            try:
                message = await asyncio.wait_for(self._receive(), left)
            except asyncio.TimeoutError:
                return
            more = message["type"] == "http.request" and message.get("more_body", False)


def refusal_as_json(refusal: RefusalError) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a refusal, without the security headers."""
    body = json.dumps({"error": refusal.reason}).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body))}
    return body, headers | refusal.headers


def too_large(most: int) -> RefusalError:
    """The refusal of a body of more bytes than this."""
    return RefusalError(413, f"the upload is larger than {most / 1e6:g} MB, the limit here")
