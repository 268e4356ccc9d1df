"""The server against abuse: bombs, floods of requests, requests that no browser sends.

Endless uploads, oversize bodies, foreign hosts and sites are in ``test_server_limits.py``.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
pytest.importorskip("onnx", reason="the extra 'deep' is not installed")

from fastapi import FastAPI

import bad_audio
import tiny_model
from emoscope.prediction import Predictor
from recordings import voice
from serving import BOUNDARY, Running, multipart, serving

FORM = f"multipart/form-data; boundary={BOUNDARY}"
GOOD = bad_audio.encoded()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    model = Predictor(tiny_model.write(tmp_path_factory.mktemp("model")))
    with serving(model, seconds=60.0) as running:
        running.upload("/api/predict", ("good.wav", GOOD))  # loads what is loaded once
        yield running
        answer = running.upload("/api/predict", ("good.wav", GOOD))
        assert answer.status == 200  # whatever was done to it


@contextlib.contextmanager
def most_memory() -> Iterator[Callable[[], int]]:
    """How many bytes more this process, in which the server runs, held at most within the block."""
    peak = Path("/proc/self/clear_refs")
    if not os.access(peak, os.W_OK):
        pytest.skip("this system does not tell how much memory was used")
    peak.write_text("5")  # the peak starts anew; that of getrusage cannot
    before = resident("VmRSS")
    yield lambda: resident("VmHWM") - before


def resident(figure: str) -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(rf"^{figure}:\s+(\d+) kB$", status, re.MULTILINE)[1])


def seconds_decoded(server: Running) -> float:
    text = server.ask("GET", "/metrics").body.decode()
    return float(re.search(r"^emoscope_audio_seconds_total (\S+)$", text, re.MULTILINE)[1])


@pytest.mark.parametrize("form", ["FLAC", "OGG"])
@pytest.mark.parametrize("path", ["/api/predict", "/api/listen"])
def test_a_bomb_is_decoded_no_further_than_the_limit(server: Running, form: str, path: str) -> None:
    bomb = bad_audio.encoded(np.zeros(10 * 60 * 16_000, np.float32), form)  # 38 MB when unpacked
    assert len(bomb) < 500_000
    before = seconds_decoded(server)
    with most_memory() as grown:
        answer = server.upload(path, ("bomb", bomb))
    assert answer.status == 422 and "longer than the limit of 60 s" in answer.json["error"]
    assert seconds_decoded(server) - before < 90
    assert grown() < 60_000_000


def test_idle_connections_do_not_keep_others_waiting(server: Running) -> None:
    with contextlib.ExitStack() as stack:
        for number in range(200):
            idle = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            if number % 2:
                idle.sendall(b"GET / HTTP/1.1\r\nhost: local")
        started = time.monotonic()
        assert server.upload("/api/predict", ("good.wav", GOOD)).status == 200
        assert time.monotonic() - started < 10


def raw(server: Running, content: bytes) -> bytes:
    """What the server says to bytes before it closes; it has to close within the timeout."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(content)
        said = b""
        with contextlib.suppress(ConnectionResetError):  # closed before all was read
            while piece := connection.recv(65_536):
                said += piece
        return said


HEAD = b"POST /api/predict HTTP/1.1\r\nhost: localhost\r\n"


@pytest.mark.parametrize(
    "content",
    [
        b"GET / HTTP/1.1\r\nhost: localhost\r\nx: " + b"a" * 1_000_000,
        b"GET / HTTP/1.1\r\n" + b"x: a\r\n" * 50_000,
        b"GET " + b"/a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"\0\1\2\3\r\n\r\n",
        b"\x16\3\1\2\0\1\0\1\xfc\3\3",
        HEAD + b"content-length: -1\r\n\r\n",
        HEAD + b"content-length: 1\r\ncontent-length: 2\r\n\r\nxx",
        HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
        HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ],
    ids=range(9),
)
def test_what_is_no_request_is_refused(server: Running, content: bytes) -> None:
    answer = raw(server, content)
    reset = len(content) > 65_536 and answer == b""
    assert reset or re.match(rb"HTTP/1.1 4\d\d ", answer), answer
    assert b"predictions" not in answer


def test_what_is_no_form_is_named_as_such(server: Running) -> None:
    answer = server.ask("POST", "/api/predict", b"RIFF=1&a", content_type="audio/wav")
    assert answer.status == 422 and "multipart/form-data" in answer.json["error"]


def uploading(running: Running, *contents: bytes) -> socket.socket:
    """A client that has sent recordings and waits for its answer."""
    client = socket.create_connection(("127.0.0.1", running.port), timeout=30)
    body = multipart(*(("long.flac", content) for content in contents))
    head = HEAD + f"content-type: {FORM}\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    client.sendall(head + body)
    return client


@pytest.fixture(scope="module")
def long() -> bytes:
    """20 minutes, which take longer to predict than these tests."""
    return bad_audio.encoded(np.tile(voice(10.0), 120).astype(np.float32), "FLAC")


def test_what_nobody_waits_for_is_not_predicted(tmp_path: Path, long: bytes) -> None:
    with serving(Predictor(tiny_model.write(tmp_path))) as running:
        clients = [uploading(running, long) for _ in range(4)]
        wait_until(lambda: seconds_decoded(running) > 0)
        for client in clients:
            client.close()
        wait_until(lambda: in_flight(running.app) == 0)
        assert seconds_decoded(running) < 4 * 1200


def test_a_large_request_leaves_room_for_others(tmp_path: Path) -> None:
    part = bad_audio.encoded(np.tile(voice(10.0), 6).astype(np.float32), "FLAC")
    with serving(Predictor(tiny_model.write(tmp_path)), workers=1) as running:
        with uploading(running, *[part] * 40):
            wait_until(lambda: seconds_decoded(running) > 0)
            answer = running.upload("/api/predict", ("good.wav", GOOD))
            assert answer.status == 200 and len(answer.json["predictions"]) == 1
            assert seconds_decoded(running) < 40 * 60 / 2  # the other one is not done yet
        wait_until(lambda: in_flight(running.app) == 0)


def test_what_is_in_work_has_some_time_when_the_server_ends(
    tmp_path: Path, long: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emoscope.server.GRACE", 0.5)
    with serving(Predictor(tiny_model.write(tmp_path))) as running:
        client = uploading(running, long)
        wait_until(lambda: seconds_decoded(running) > 0)
    with client:
        said = client.recv(10_000)
    assert said.startswith(b"HTTP/1.1 503 ") and b"the server is shutting down" in said


@pytest.mark.parametrize("path", ["/api/predict", "/api/listen"])
@pytest.mark.parametrize("at", ["multipart", "work"])
def test_a_full_disk_is_said(
    server: Running, monkeypatch: pytest.MonkeyPatch, path: str, at: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if at == "multipart":
        monkeypatch.setattr("starlette.formparsers.SpooledTemporaryFile", full)
    else:
        monkeypatch.setattr("emoscope.audio.blocks", full)
    answer = server.upload(path, ("good.wav", GOOD))
    assert answer.status == 503 and "out of disk space" in answer.json["error"]
    assert answer.headers["retry-after"] == "10"


def test_a_refusal_reaches_a_client_that_sends_first(tmp_path: Path) -> None:
    with serving(Predictor(tiny_model.write(tmp_path)), bytes=200_000) as running:
        answer = running.ask("POST", "/api/predict", b"x" * 20_000_000, content_type="text/plain")
    assert answer.status == 413 and "larger than 0.2 MB" in answer.json["error"]


def in_flight(app: FastAPI) -> int:
    return len(app.state.service.load.jobs)


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def part(name: str, content: bytes = b"x") -> bytes:
    head = f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n'
    return head.encode() + content + b"\r\n"


@pytest.mark.parametrize(
    "body",
    [
        b"".join(part(f"f{n}") for n in range(5000)),
        part("files", b"x" * 3_000_000),
        part("a" * 100_000),
        (part("files") + f"--{BOUNDARY}--\r\n".encode()) * 50,
        f"--{BOUNDARY}\r\n".encode() * 10_000,
    ],
    ids=["5000 fields", "a field of 3 MB", "a long name", "ends 50 times", "only borders"],
)
def test_forms_that_no_browser_sends(server: Running, body: bytes) -> None:
    answer = server.ask("POST", "/api/predict", body, content_type=FORM)
    assert 400 <= answer.status < 500
    assert list(answer.json) == ["error"]


@pytest.mark.parametrize("name", [b"-" + b"a" * 4000, b"-" + b"a" * 100_000])
def test_a_form_in_a_costly_character_set_is_read_soon(server: Running, name: bytes) -> None:
    body = part("a", name)  # Python decodes punycode in quadratic time
    started = time.monotonic()
    answer = server.ask("POST", "/api/predict", body, content_type=FORM + "; charset=punycode")
    assert answer.status in (400, 422) and list(answer.json) == ["error"]
    assert time.monotonic() - started < 2


def test_a_form_without_files_is_small(server: Running) -> None:
    kind = "application/x-www-form-urlencoded"
    answer = server.ask("POST", "/api/predict", b"files=" + b"x" * 6_000_000, content_type=kind)
    assert answer.status == 400 and "maximum size" in answer.json["error"]


def chunked(server: Running, size: int) -> bytes:
    """The answer to a recording of this size in chunks, whose length nobody states."""
    body = multipart(("a.wav", GOOD[:44] + GOOD[44:] * (size // len(GOOD))))
    pieces = (body[at : at + 65_536] for at in range(0, len(body), 65_536))
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    head = HEAD + f"content-type: {FORM}\r\nconnection: close\r\n".encode()
    return raw(server, head + b"transfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")


def test_a_body_in_chunks_is_read_and_bounded(tmp_path: Path) -> None:
    with serving(Predictor(tiny_model.write(tmp_path)), bytes=200_000) as running:
        assert b'"predictions":[{"file":"a.wav"' in chunked(running, len(GOOD))
        assert b"larger than 0.2 MB" in chunked(running, 300_000)


def test_whoever_sends_nonsense_cannot_fill_the_log(
    server: Running, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    good = multipart(("a.wav", GOOD[:500]))
    for at in (2, 20, 60, 120):
        body = good[:at] + b"\xde\xad" + good[at + 2 :]
        assert server.ask("POST", "/api/predict", body, content_type=FORM).status in (400, 422)
    raw(server, b"no HTTP at all\r\n\r\n")
    head = HEAD + f"content-type: {FORM}\r\n".encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as broken_off:
        broken_off.sendall(head + b"content-length: 1000\r\n\r\n" + good[:100])
        wait_until(lambda: in_flight(server.app) == 1)
    wait_until(lambda: in_flight(server.app) == 0)
    others = [r for r in caplog.records if not r.name.startswith(("asyncio", "emoscope"))]
    assert [record.getMessage() for record in others] == []
    assert "".join(capfd.readouterr()) == ""


def test_a_name_reaches_nobody_as_code(server: Running, tmp_path: Path) -> None:
    name = "<img src=x onerror=alert(1)>.wav"
    answer = server.upload("/api/predict", (name, GOOD))
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.json["predictions"][0]["file"] == name  # data, which the page shows as text
