"""The server behind nginx, as ``deploy/nginx.conf`` has it: what the server leaves to a proxy."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import bad_audio
import tiny_model
from emoscope.prediction import Predictor
from serving import BOUNDARY, Running, serving

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
if NGINX is None:
    pytest.skip("nginx is not installed", allow_module_level=True)

EXAMPLE = Path(__file__).parents[1] / "deploy" / "nginx.conf"
GOOD = bad_audio.encoded()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def behind_nginx(folder: Path, server: Running) -> Iterator[Running]:
    """The example, but for the certificate and the login, with times of one second for ten."""
    port = free_port()
    site = EXAMPLE.read_text()
    site = site.replace("listen 443 ssl;", f"listen 127.0.0.1:{port};")
    site = site.replace("http://127.0.0.1:8765", server.address)
    site = re.sub(r"^\s*(ssl_certificate|auth_basic)\w* .*;$", "", site, flags=re.MULTILINE)
    site = site.replace(" 10s;", " 1s;")
    temporary = "\n".join(
        f"{kind}_temp_path {folder}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    configuration = folder / "nginx.conf"
    configuration.write_text(
        ("user root; " if os.geteuid() == 0 else "")  # the temporary folder is the user's own
        + f"daemon off; pid {folder}/pid; error_log {folder}/errors;\nevents {{}}\n"
        f"http {{ access_log off; {temporary}\n{site} }}\n"
    )
    process = subprocess.Popen([NGINX, "-c", configuration, "-e", folder / "errors"])
    try:
        for _ in range(500):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            assert process.poll() is None, (folder / "errors").read_text()
            time.sleep(0.02)
        yield Running(port)
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("proxy")
    with (
        serving(Predictor(tiny_model.write(folder))) as server,
        behind_nginx(folder, server) as running,
    ):
        yield running
        assert server.upload("/api/predict", ("good.wav", GOOD)).status == 200


def test_page_and_predictions_pass(proxy: Running) -> None:
    assert b"<title>emoscope</title>" in proxy.ask("GET", "/").body
    origin = f"http://127.0.0.1:{proxy.port}"
    answer = proxy.upload("/api/predict", ("good.wav", GOOD), origin=origin)
    assert answer.status == 200 and answer.json["predictions"][0]["file"] == "good.wav"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert proxy.ask("GET", "/metrics").status == 404


def test_other_hosts_and_sites_are_refused_behind_it(proxy: Running) -> None:
    assert proxy.ask("GET", "/", host="evil.example").status == 421
    answer = proxy.upload("/api/predict", ("good.wav", GOOD), origin="https://evil.example")
    assert answer.status == 403 and "other websites" in answer.json["error"]


@pytest.mark.parametrize(
    "begun",
    [
        b"GET / HTTP/1.1\r\nhost: local",
        b"POST /api/predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9999\r\n"
        b"content-type: multipart/form-data; boundary=%s\r\n\r\nx" % BOUNDARY.encode(),
    ],
    ids=["headers", "body"],
)
def test_slow_clients_are_cut_off(proxy: Running, begun: bytes) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as slow:
        slow.sendall(begun)
        started = time.monotonic()
        with contextlib.suppress(ConnectionResetError):
            while slow.recv(1000):
                pass
    assert time.monotonic() - started < 5


def test_one_address_cannot_have_everything(proxy: Running) -> None:
    with ThreadPoolExecutor(10) as pool:
        statuses = set(pool.map(lambda _: proxy.ask("GET", "/").status, range(200)))
    assert statuses == {200, 429}
