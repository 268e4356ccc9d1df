"""The server against abuse: bombs, floods of connections, requests that no browser sends.

Endless and slow uploads, oversize bodies, foreign hosts and sites are in ``test_server.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
import os
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
pytest.importorskip("onnx", reason="the extra 'deep' is not installed")

import bad_audio
import tiny_model
from emoscope.errors import EmoscopeError
from emoscope.prediction import Predictor
from emoscope.server import _open_files
from emoscope.server.guard import Guard
from recordings import voice
from serving import BOUNDARY, Running, multipart, serving

FORM = f"multipart/form-data; boundary={BOUNDARY}"
GOOD = bad_audio.encoded()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    model = Predictor(tiny_model.write(tmp_path_factory.mktemp("model")))
    with serving(model, seconds=60.0) as running:
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


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is refused is heard out for a shorter time, so that the tests are quick."""
    monkeypatch.setattr("emoscope.server.connection.LINGER", 0.2)


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
    head, _, body = raw(server, content).partition(b"\r\n\r\n")
    assert re.match(rb"HTTP/1.1 4\d\d ", head), head
    assert b"content-security-policy: default-src 'none'" in head
    assert list(json.loads(body)) == ["error"]


def test_the_oldest_idle_connection_makes_room(tmp_path: Path) -> None:
    with serving(Predictor(tiny_model.write(tmp_path)), connections=5) as running:
        address = ("127.0.0.1", running.port)
        idle = [socket.create_connection(address, timeout=10) for _ in range(20)]
        assert running.upload("/api/predict", ("good.wav", GOOD)).status == 200
        idle[0].settimeout(5)
        with contextlib.suppress(ConnectionResetError):
            assert idle[0].recv(1) == b""
        for connection in idle:
            connection.close()


def test_one_more_connection_than_can_be_served_is_told_so(tmp_path: Path) -> None:
    with serving(Predictor(tiny_model.write(tmp_path)), connections=2) as running:
        head = HEAD + f"content-type: {FORM}\r\ncontent-length: 1000\r\n\r\n".encode()
        with contextlib.ExitStack() as stack:
            for _ in range(2):
                busy = stack.enter_context(socket.create_connection(("127.0.0.1", running.port)))
                busy.sendall(head)
            wait_until(lambda: in_flight(running.app) == 2)
            said = raw(running, b"GET /api/health HTTP/1.1\r\nhost: localhost\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 503 ") and b"too many connections" in said


def test_whoever_does_not_read_the_answer_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emoscope.server.connection.PATIENCE", 0.3)
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 300 * 16_000).astype(np.float32)
    body = multipart(("noise", bad_audio.encoded(noise, "FLAC")))
    before = nameless_files()
    with serving(Predictor(tiny_model.write(tmp_path))) as running, socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", running.port))
        head = HEAD.replace(b"predict", b"listen") + f"content-type: {FORM}\r\n".encode()
        deaf.sendall(head + b"content-length: %d\r\n\r\n" % len(body) + body)
        wait_until(lambda: in_flight(running.app) == 1)
        wait_until(lambda: in_flight(running.app) == 0)
        wait_until(lambda: nameless_files() == before)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody says what was taken")
def test_a_client_that_reads_slowly_gets_all_of_its_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emoscope.server.connection.PATIENCE", 0.5)
    monkeypatch.setattr("emoscope.server.connection.LEAST_TAKEN", 1000)
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 300 * 16_000).astype(np.float32)
    body = multipart(("noise", bad_audio.encoded(noise, "FLAC")))
    with serving(Predictor(tiny_model.write(tmp_path))) as running, socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        slow.settimeout(20)
        slow.connect(("127.0.0.1", running.port))
        head = HEAD.replace(b"predict", b"listen") + f"content-type: {FORM}\r\n".encode()
        slow.sendall(head + b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body) + body)
        answer = b""
        while block := slow.recv(1 << 18):
            answer += block
            time.sleep(0.02)
    assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"0\r\n\r\n")
    assert len(answer) > 8e6


def test_an_export_that_would_unfold_is_refused(server: Running) -> None:
    part = {"start": 0.0, "end": 1.0, "emotion": "sad", "confidence": 0.5, "probabilities": {}}
    for prediction in (
        {"file": "f" * 20_000, "probabilities": {"sad": 1.0}},
        {"file": "f", "probabilities": {f"e{n}": 0.0 for n in range(4000)}},
    ):
        given = {"emotion": "sad", "confidence": 0.5, "uncertain": False, "warnings": []}
        body = json.dumps({**given, **prediction, "segments": [part] * 5000}).encode()
        answer = server.ask("POST", "/api/export?format=csv", body, content_type="application/json")
        assert answer.status == 422 and "too many segments" in answer.json["error"]


def test_a_refused_head_is_no_fault(server: Running, capfd: pytest.CaptureFixture[str]) -> None:
    for more in (b"transfer-encoding: chunked\r\n", b""):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
            connection.sendall(b"HEAD / HTTP/1.1\r\nhost: localhost\r\n" + more + b"\r\n")
            assert connection.recv(1000).startswith(b"HTTP/1.1 411" if more else b"HTTP/1.1 200")
    assert capfd.readouterr().err == ""


def test_what_is_no_form_is_named_as_such(server: Running) -> None:
    answer = server.ask("POST", "/api/predict", b"RIFF=1&a", content_type="audio/wav")
    assert answer.status == 422 and "multipart/form-data" in answer.json["error"]


def test_character_sets_that_cost_nothing_are_taken(server: Running) -> None:
    for charset, status in (("utf-8", 200), ("ISO-8859-1", 200), ("punycode", 415)):
        kind = f"multipart/form-data; charset={charset}; boundary={BOUNDARY}"
        body = multipart(("a.wav", bad_audio.encoded()))
        assert server.ask("POST", "/api/predict", body, content_type=kind).status == status


def test_a_household_is_one_client() -> None:
    from emoscope.server.guard import _network

    assert _network("2001:db8::1") == _network("2001:db8::ffff") != _network("2001:db8:0:1::1")
    assert _network("192.0.2.1") == "192.0.2.1" and _network("") == ""


def test_a_proxy_is_named_by_its_address(tmp_path: Path) -> None:
    from emoscope.server import run

    models = {"level": Predictor(tiny_model.write(tmp_path))}
    with pytest.raises(EmoscopeError, match="proxy 'localhost': give its address"):
        run(models, port=0, proxies=["localhost"])


def uploading(running: Running, content: bytes, address: str = "127.0.0.1") -> socket.socket:
    """A client of its own address that has sent a recording and waits for what it is told."""
    client = socket.create_connection(
        ("127.0.0.1", running.port), timeout=30, source_address=(address, 0)
    )
    body = multipart(("long.flac", content))
    head = HEAD + f"content-type: {FORM}\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    client.sendall(head + body)
    return client


@pytest.fixture(scope="module")
def long() -> bytes:
    """20 minutes, which take longer to judge than these tests."""
    return bad_audio.encoded(np.tile(voice(10.0), 120).astype(np.float32), "FLAC")


def test_what_nobody_waits_for_is_not_judged(tmp_path: Path, long: bytes) -> None:
    with serving(Predictor(tiny_model.write(tmp_path))) as running:
        clients = [uploading(running, long) for _ in range(4)]
        wait_until(lambda: seconds_decoded(running) > 0)
        for client in clients:
            client.close()
        wait_until(lambda: in_flight(running.app) == 0)
        assert seconds_decoded(running) < 4 * 1200


def test_one_address_does_not_keep_the_others_waiting(tmp_path: Path, long: bytes) -> None:
    with serving(Predictor(tiny_model.write(tmp_path)), workers=1) as running:
        with contextlib.ExitStack() as stack:
            for _ in range(3):
                stack.enter_context(uploading(running, long))
            wait_until(lambda: in_flight(running.app) == 3)
            with uploading(running, GOOD, "127.0.0.2") as other:
                assert other.recv(100).startswith(b"HTTP/1.1 200 ")
            wait_until(lambda: in_flight(running.app) == 3)  # the others are not done yet
        wait_until(lambda: in_flight(running.app) == 0)


def test_what_is_in_work_has_some_time_when_the_server_ends(
    tmp_path: Path, long: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emoscope.server.connection.GRACE", 0.5)
    with serving(Predictor(tiny_model.write(tmp_path))) as running:
        client = uploading(running, long)
        wait_until(lambda: seconds_decoded(running) > 0)
    with client:
        said = client.recv(10_000)
    assert said.startswith(b"HTTP/1.1 503 ") and b"the server is being stopped" in said


def test_uploads_together_have_a_bound(tmp_path: Path) -> None:
    model = Predictor(tiny_model.write(tmp_path))
    with serving(model, bytes_at_once=500_000, bytes_at_once_each=300_000) as running:
        with contextlib.ExitStack() as stack:
            for number in (1, 2):
                client = uploading(running, b"x" * 200_000, f"127.0.0.{number}")
                stack.enter_context(client).recv(10_000)  # judged: nothing of it is held
            refused = running.upload("/api/predict", ("large", b"x" * 400_000))
            assert refused.status == 429 and "0.3 MB from this address" in refused.json["error"]
            half = HEAD + f"content-type: {FORM}\r\ncontent-length: 250000\r\n\r\n".encode()
            for number in (2, 3):
                held = socket.create_connection(
                    ("127.0.0.1", running.port), source_address=(f"127.0.0.{number}", 0)
                )
                stack.enter_context(held).sendall(half + multipart(("a", b"x" * 230_000))[:-30])
            wait_until(lambda: running.app.admission.bytes > 450_000)
            refused = running.upload("/api/predict", ("good.wav", GOOD * 3))
            assert refused.status == 503 and "0.5 MB are in work" in refused.json["error"]
        wait_until(lambda: running.app.admission.bytes == 0)
        assert running.upload("/api/predict", ("good.wav", GOOD)).status == 200


@pytest.mark.parametrize("path", ["/api/predict", "/api/listen"])
@pytest.mark.parametrize("at", ["multipart", "work"])
def test_a_full_disk_is_said(
    server: Running, monkeypatch: pytest.MonkeyPatch, path: str, at: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if at == "multipart":
        monkeypatch.setattr("starlette.formparsers.SpooledTemporaryFile", full)
    elif path == "/api/listen":
        monkeypatch.setattr("tempfile.TemporaryFile", full)
    else:
        monkeypatch.setattr("emoscope.audio.blocks", full)
    answer = server.upload(path, ("good.wav", GOOD))
    assert answer.status == 503 and "no room" in answer.json["error"]


def test_a_disk_that_fills_up_while_decoding_is_said(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open("/dev/full", "r+b", buffering=0) as full:
        monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: full)
        answer = server.upload("/api/listen", ("good.wav", GOOD))
    assert answer.status == 503 and "no room" in answer.json["error"]


def test_a_refusal_reaches_a_client_that_sends_first(server: Running) -> None:
    answer = server.ask("POST", "/api/predict", b"x" * 20_000_000, content_type="text/plain")
    assert answer.status == 413


def test_nobody_is_believed_about_the_address_of_a_client(tmp_path: Path) -> None:
    model = Predictor(tiny_model.write(tmp_path))
    for proxies, status in ((), 429), (("127.0.0.1",), 422):
        with serving(model, proxies=proxies, at_once_each=1) as running:
            head = HEAD + f"content-type: {FORM}\r\ncontent-length: 1000\r\n\r\n".encode()
            with socket.create_connection(("127.0.0.1", running.port)) as busy:
                busy.sendall(head)
                wait_until(lambda: in_flight(running.app) == 1)
                answer = running.ask("POST", "/api/predict", x_forwarded_for="10.0.0.1")
            assert answer.status == status


def in_flight(app: Guard) -> int:
    return app.admission.requests


def nameless_files() -> list[str]:
    """Temporary files that this process, in which the server runs, holds open."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.append(os.readlink(f"/proc/self/fd/{number}"))
    return [name for name in found if name.startswith("/tmp") and name.endswith("(deleted)")]


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


@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, b'{"a":' * 100_000, b"1" * 1_000_000, b'{"file": NaN}', b"\xff\xfe", b""],
    ids=["lists", "objects", "a long number", "NaN", "no UTF-8", "nothing"],
)
def test_json_that_no_program_sends(server: Running, body: bytes) -> None:
    answer = server.ask("POST", "/api/export?format=csv", body, content_type="application/json")
    assert 400 <= answer.status < 500
    assert list(answer.json) == ["error"]


@pytest.mark.parametrize(
    "kind",
    [
        "; charset=punycode",
        '; CHARSET = "punycode"',
        "; charset*=utf-8''punycode",
        "; charset*0=puny; charset*1=code",
        '; x="charset=utf-8;charset=utf-8"; charset=punycode',
    ],
)
def test_a_form_is_decoded_with_no_codec_of_the_client(server: Running, kind: str) -> None:
    body = part("a", b"a" * 10 + b"-" + b"a" * 100_000)  # takes Python seconds to decode
    answer = server.ask("POST", "/api/predict", body, content_type=FORM + kind)
    assert answer.status == 415
    for kind in ("; charset=utf-8", '; charset="UTF-8"'):
        good = multipart(("good.wav", GOOD))
        assert server.ask("POST", "/api/predict", good, content_type=FORM + kind).status == 200


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/api/export?format=csv", "application/json"),
        ("/api/export?format=csv", FORM),
        ("/api/predict", "application/x-www-form-urlencoded"),
    ],
)
def test_what_is_no_recording_is_small(server: Running, path: str, kind: str) -> None:
    answer = server.ask("POST", path, b'{"file":[' + b"[]," * 2_000_000, content_type=kind)
    assert answer.status == 413 and "3 MB" in answer.json["error"]


@pytest.mark.parametrize(
    "body",
    [
        b'{"file":[' + b"[]," * 900_000 + b"[]]}",
        b'{"segments":[' + b"{}," * 900_000 + b"{}]}",
        b'{"probabilities":{' + b",".join(b'"%d":"x"' % n for n in range(200_000)) + b"}}",
        b"{" + b",".join(b'"%d":0' % n for n in range(250_000)) + b"}",
    ],
    ids=["lists", "segments", "probabilities", "other keys"],
)
def test_json_costs_little_memory_and_time(server: Running, body: bytes) -> None:
    with most_memory() as grown:
        answer = server.ask("POST", "/api/export?format=csv", body, content_type="application/json")
    assert answer.status == 422 and len(answer.body) < 5000
    assert grown() < 250_000_000


def test_a_text_that_cannot_be_written_is_refused(server: Running) -> None:
    found = {
        "file": "a\ud800", "emotion": "happy", "confidence": 1, "probabilities": {},
        "uncertain": False, "warnings": [], "segments": [],
    }  # fmt: skip
    body = json.dumps(found).encode()
    answer = server.ask("POST", "/api/export?format=csv", body, content_type="application/json")
    assert answer.status == 422


def test_bodies_in_chunks_are_refused(server: Running) -> None:
    chunks = HEAD + b"transfer-encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 1000
    for content in (chunks, HEAD + b"content-type: a/b\r\n\r\n"):
        assert raw(server, content).startswith(b"HTTP/1.1 411 ")


def test_whoever_sends_nonsense_cannot_fill_the_log(
    server: Running, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    good = multipart(("a.wav", GOOD[:500]))
    for at in (2, 20, 60, 120):
        body = good[:at] + b"\xde\xad" + good[at + 2 :]
        assert server.ask("POST", "/api/predict", body, content_type=FORM).status in (400, 422)
    raw(server, b"no HTTP at all\r\n\r\n")
    for kind, path in ((FORM, b"predict"), ("application/json", b"export?format=csv")):
        head = HEAD.replace(b"predict", path) + f"content-type: {kind}\r\n".encode()
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


def test_running_out_of_open_files_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    from emoscope.server.connection import _Report

    report, loop = _Report(), asyncio.new_event_loop()
    for _ in range(1000):
        error = OSError(errno.EMFILE, "Too many open files")
        report(loop, {"message": "socket.accept() out of system resource", "exception": error})
    report(loop, {"message": "another fault"})
    loop.close()
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2 and "Too many open files" in said[0] and said[1] == "another fault"


def test_as_many_files_may_be_open_as_the_system_grants() -> None:
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, limits[1]))
        assert _open_files() == resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 512
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
