"""A server that is killed under load starts again, answers right and leaves nothing behind."""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import bad_audio
from serving import Running

pytest.importorskip("onnx", reason="the extra 'deep' is not installed")
tiny_model = pytest.importorskip("tiny_model")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no signals and limits like these")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.write(tmp_path_factory.mktemp("model"))


@contextlib.contextmanager
def serving_process(port: int, model: Path, scratch: Path):
    words = ["serve", "--model", str(model), "--port", str(port), "--quiet"]
    process = subprocess.Popen(
        [sys.executable, "-m", "emoscope", *words], env={**os.environ, "TMPDIR": str(scratch)}
    )
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            assert process.poll() is None, "the server did not start"
            time.sleep(0.02)
        yield process
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def restarted_servers(model: Path, scratch: Path, restarts: int) -> dict[str, Any]:
    """Kill a server under load and start it again; count answers, wrong ones and what is left."""
    server = Running(free_port())
    clip = bad_audio.encoded()
    counts: dict[str, Any] = {"restarts": restarts, "answers": 0, "unanswered": 0, "wrong": 0}
    stop = time.monotonic() + 120

    def client(wanted, done):
        while not done and time.monotonic() < stop:
            try:
                answer = server.upload("/api/predict", ("a.wav", clip))
            except (OSError, http.client.HTTPException):
                counts["unanswered"] += 1
                time.sleep(0.01)
                continue
            counts["answers"] += 1
            counts["wrong"] += answer.status != 200 or answer.json["predictions"] != wanted

    wanted = None
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for number in range(restarts + 1):
            with serving_process(server.port, model, scratch) as process:
                wanted = (
                    wanted or server.upload("/api/predict", ("a.wav", clip)).json["predictions"]
                )
                done: list[bool] = []
                running = [pool.submit(client, wanted, done) for _ in range(4)]
                before = counts["answers"]
                while counts["answers"] < before + 10 and time.monotonic() < stop:
                    time.sleep(0.005)
                process.send_signal(signal.SIGKILL if number < restarts else signal.SIGTERM)
                process.wait(20)
                done.append(True)
                for client_run in running:
                    client_run.result()
    counts["left_behind"] = [path.name for path in scratch.iterdir()]
    return counts


def test_a_server_killed_under_load_starts_again_and_answers_right(
    model: Path, tmp_path: Path
) -> None:
    pytest.importorskip("uvicorn", reason="the extra 'serve' is not installed")
    found = restarted_servers(model, tmp_path, 1)
    assert found["answers"] >= 20
    assert (found["wrong"], found["left_behind"]) == (0, [])
