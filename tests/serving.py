"""A real server on a port of its own, and a small HTTP client, for tests."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import soundfile

from emoscope.prediction import Predictor
from recordings import RATE, silence, voice

if TYPE_CHECKING:
    from fastapi import FastAPI

BOUNDARY = "----emoscope"
FORM = f"multipart/form-data; boundary={BOUNDARY}"


def encoded(samples: np.ndarray, format: str = "WAV") -> bytes:
    content = io.BytesIO()
    soundfile.write(content, samples, RATE, format=format)
    return content.getvalue()


SPEECH = encoded(np.concatenate([silence(0.5), voice(2.0), silence(0.5)]))


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Running(NamedTuple):
    """Address of a running server, and the application it runs in this process."""

    port: int
    app: FastAPI | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        with contextlib.closing(connection):
            connection.request(method, path, body, named)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())

    def upload(self, path: str, *files: tuple[str, bytes], **headers: str) -> Answer:
        return self.ask("POST", path, multipart(*files), **{"content_type": FORM, **headers})


def multipart(*files: tuple[str, bytes]) -> bytes:
    """Files as the body of a form."""
    parts = b"".join(
        f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="files"; filename="{name}"\r\n'
        "content-type: application/octet-stream\r\n\r\n".encode()
        + content
        + b"\r\n"
        for name, content in files
    )
    return parts + f"--{BOUNDARY}--\r\n".encode()


@contextlib.contextmanager
def serving(predictor: Predictor, **limits: Any) -> Iterator[Running]:
    """Serve one model until the block is left."""
    from emoscope import server

    app = server.create_app({"level": predictor}, limits=server.Limits(**limits))
    running = server.Server(app, host="127.0.0.1", port=0)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.01)
    yield Running(running.servers[0].sockets[0].getsockname()[1], app)
    running.should_exit = True
    thread.join(timeout=20)
    assert not thread.is_alive(), "the server did not end"
