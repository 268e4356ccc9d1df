"""The HTTP API: limits, foreign hosts and sites, and that nothing is kept."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import math
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emoscope.prediction import Predictor
from recordings import voice

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
pytest.importorskip("uvicorn", reason="the extra 'serve' is not installed")
pytest.importorskip("multipart", reason="the extra 'serve' is not installed")

from emoscope.server.limits import Guard, Limits, Load, Monitor
from serving import SPEECH, Running, encoded, serving


@pytest.fixture(scope="module")
def strict(predictor: Predictor) -> Iterator[Running]:
    """A server with small limits."""
    with serving(predictor, bytes=300_000, files=3, seconds=8.0, at_once=4, workers=1) as running:
        yield running


def test_only_others_are_limited_by_default() -> None:
    here, capped = Limits.of("127.0.0.1"), Limits.of("localhost", (), 5)
    assert {here.bytes, here.seconds} == {math.inf}
    assert capped.bytes == 5e6 and capped.seconds == math.inf
    for address in (("0.0.0.0",), ("::1", ["speech.example"])):
        assert Limits.of(*address) == Limits()
    larger = Limits.of("0.0.0.0", (), 300)
    assert larger.bytes == 300e6 and larger.seconds == 3 * Limits().seconds


def test_without_limits_health_says_so(predictor: Predictor) -> None:
    with serving(predictor, **vars(Limits.of("127.0.0.1"))) as server:
        assert server.ask("GET", "/api/health").json["upload_bytes"] is None
        assert server.upload("/api/predict", ("a.wav", SPEECH)).status == 200


def test_every_answer_has_the_security_headers(server: Running) -> None:
    for answer in (
        server.ask("GET", "/"), server.ask("GET", "/nothing"), server.ask("POST", "/api/predict"),
        server.ask("GET", "/", host="evil.example"),
    ):  # fmt: skip
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "server" not in answer.headers


def test_the_page_refers_to_nothing_outside() -> None:
    from importlib.resources import files

    for file in filter(
        Path.is_file, Path(str(files("emoscope.server"))).joinpath("web").rglob("*")
    ):
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.findall(r"""(?:https?:)?//[\w.-]+\.\w+/|url\(|@import|innerHTML""", text)


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "", "localhost.evil:80"]
)
def test_other_hosts_are_refused(server: Running, host: str) -> None:
    answer = server.ask("GET", "/api/health", host=host)
    assert answer.status == 421
    assert "host" in answer.json["error"]


def test_hosts_of_this_machine_are_answered(server: Running) -> None:
    for host in ("localhost", f"127.0.0.1:{server.port}", "[::1]:80", "LOCALHOST:1"):
        assert server.ask("GET", "/api/health", host=host).status == 200


def guarded(hosts: tuple[str, ...], **headers: str) -> int:
    """The status of a request that reaches a server of these hosts."""
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        sent.append(message)

    guard = Guard(app, load=Load(Limits(), Monitor()), hosts=hosts)
    headers = {"content-length": "0", **headers}
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "POST", "path": "/", "headers": pairs}
    asyncio.run(guard(scope, receive, send))
    return int(sent[0]["status"])


@pytest.mark.parametrize(
    ("origin", "host", "status"),
    [
        ("http://localhost:80", "localhost", 200),
        ("http://localhost", "localhost:80", 200),
        ("https://localhost", "localhost:443", 200),
        ("http://localhost.:8765", "localhost.:8765", 200),
        ("http://localhost:81", "localhost", 403),
        ("https://localhost", "localhost:80", 403),
        ("http://localhost:x", "localhost", 403),
        ("localhost", "localhost", 403),
        ("http://localhost@evil.example", "localhost", 403),
    ],
)
def test_an_origin_is_compared_with_its_port(origin: str, host: str, status: int) -> None:
    assert guarded((), origin=origin, host=host) == status


def test_the_address_it_is_bound_to_is_answered() -> None:
    for bound, addressed in [
        ("10.0.0.5", "10.0.0.5:8765"),
        ("fd00::5", "[fd00::5]:8765"),
        ("FD00:0:0:0:0:0:0:5", "[fd00::5]"),
        ("My-Machine", "my-machine:80"),
    ]:
        assert guarded((bound,), host=addressed) == 200
        assert guarded((), host=addressed) == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://[x"},
        {"sec_fetch_site": "cross-site"},
    ],
)
def test_other_web_sites_are_refused(server: Running, headers: dict[str, str]) -> None:
    answer = server.upload("/api/predict", ("a.wav", SPEECH), **headers)
    assert answer.status == 403 and "other websites" in answer.json["error"]


def test_the_own_page_is_not_refused(server: Running) -> None:
    headers = {"origin": server.address, "sec_fetch_site": "same-origin"}
    answer = server.upload("/api/predict", ("a.wav", SPEECH), **headers)
    assert answer.status == 200 and answer.json["predictions"][0]["file"] == "a.wav"


def test_too_large_too_many_too_long(strict: Running) -> None:
    large = strict.upload("/api/predict", ("a.wav", b"x" * 400_000))
    assert large.status == 413 and "0.3 MB" in large.json["error"]
    for count in (4, 40):
        many = strict.upload("/api/predict", *[("a.wav", b"x")] * count)
        assert many.status == 400 and "files is 3" in many.json["error"]
    long = strict.upload("/api/predict", ("a.flac", encoded(np.tile(voice(3.0), 3), "FLAC")))
    assert long.status == 422 and "longer than the limit of 8 s" in long.json["error"]


def test_more_than_can_be_done_is_refused(strict: Running) -> None:
    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        answers = list(
            pool.map(lambda _: strict.upload("/api/predict", ("a.wav", SPEECH)), range(24))
        )
    statuses = {answer.status for answer in answers}
    assert 200 in statuses and statuses <= {200, 503}
    for answer in answers:
        if answer.status != 200:
            assert answer.headers["retry-after"] == "1"
    answer = strict.upload("/api/predict", ("a.wav", SPEECH))
    assert answer.status == 200 and len(answer.json["predictions"]) == 1


def open_files() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


def test_nothing_is_kept_and_nothing_logged(
    predictor: Predictor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    caplog.set_level(logging.DEBUG)
    long = encoded(np.tile(voice(2.0), 20))  # over 1 MB: more than is held in memory
    with serving(predictor) as server:
        server.upload("/api/predict", ("secret-name.wav", long))
        before = open_files()
        for _ in range(3):
            assert server.upload("/api/predict", ("secret-name.wav", long)).status == 200
            assert server.upload("/api/listen", ("secret-name.wav", long)).status == 200
            assert server.upload("/api/predict", ("secret-name.wav", long[:1000])).status == 422
        for _ in range(200):  # connections end a moment after their answer
            if open_files() <= before:
                break
            time.sleep(0.01)
        assert open_files() <= before
    assert list(tmp_path.iterdir()) == []
    assert "secret-name" not in caplog.text
