"""Every command but ``get`` works with the network cut, and opens no socket.

The commands run in a network namespace of their own that has no interface but a loopback that is
down (Linux), under an audit hook that notes every socket and every look-up of a name. Where a
namespace cannot be made, the hook alone refuses them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bad_audio

pytest.importorskip("onnx", reason="the extra 'deep' is not installed")
tiny_model = pytest.importorskip("tiny_model")

SCRIPT = """
import io, json, os, sys
from contextlib import redirect_stderr, redirect_stdout

AWAY = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto",
        "socket.bind", "urllib.Request", "http.client.connect")
events = []

def watch(event, arguments):
    if event == "socket.__new__" and arguments[1] == 1:
        return  # AF_UNIX: how the processes of this machine talk to each other
    if event in AWAY and isinstance(arguments[1:2], tuple) and str(arguments[1:2]).startswith("('/"):
        return  # the same
    if event == "socket.__new__" or event in AWAY:
        events.append(f"{event}{arguments}")
        raise OSError(f"the network was asked for: {event}{arguments}")

sys.addaudithook(watch)
from emoscope.cli import main
found = {}
for name, words in json.load(sys.stdin).items():
    del events[:]
    sys.argv = ["emoscope", *words]
    out, said, status = io.StringIO(), io.StringIO(), 0
    with redirect_stdout(out), redirect_stderr(said):
        try:
            main()
        except SystemExit as end:
            status = end.code or 0
        except BaseException as error:
            status = repr(error)
    found[name] = [status, list(events), said.getvalue()[-500:]]
json.dump(found, sys.__stdout__)
"""


def cut() -> list[str]:
    """The words before a command that take its network away; none where that is not allowed."""
    for words in (["unshare", "--net"], ["unshare", "--map-root-user", "--net"]):
        if shutil.which("unshare") and not subprocess.run([*words, "true"], stderr=-3).returncode:
            return words
    return []


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """A command line for each command that works without a network."""
    here = tmp_path_factory.mktemp("offline")
    for number in range(24):
        speaker = bad_audio.SPEAKERS[number % 4]
        place = here / "clips" / speaker / bad_audio.EMOTIONS[number // 4 % 2]
        place.mkdir(parents=True, exist_ok=True)
        content = bad_audio.encoded((3 + number) / 40 * bad_audio.speech())
        (place / f"{number}.wav").write_bytes(content)
    clips, clip = str(here / "clips"), str(here / "clips" / "anna" / "happy" / "0.wav")
    alone = ["--jobs", "1"]  # worker processes take long to start; extract has them
    quick = ["--features", "mfcc", "--protocol", "loso", *alone]
    return {
        "predict": ["predict", clip],
        "show": ["show", clip, "--panels", "waveform", "--out", str(here / "clip.png")],
        "extract": ["extract", clips, "--features", "mfcc", "--out", str(here / "f.csv")],
        "train": ["train", "lda", clips, "--features", "mfcc", "--out", str(here / "m.emoscope")],
        "evaluate": ["evaluate", str(here / "m.emoscope"), clips, "--out", str(here / "scores")],
        "check": ["check", str(here / "m.emoscope"), clips, "--quick", *alone, "--out", str(here / "check")],
        "export": ["export", str(here / "m.emoscope"), "--onnx", str(here / "m.onnx")],
        "tune": [
            "tune", "lda", "--features", "mfcc", "--trials", "2", *alone, "--out", str(here / "tuned")
        ],
        "compare": [
            "compare", clips, *quick, "--models", "lda", "--no-leak-gap", "--out", str(here / "r")
        ],
        "reproduce": [
            "reproduce", "--quick", "--rows", "max_depth 2", *alone, "--out", str(here / "again")
        ],
        "audit": ["audit", str(here / "r")],
        "convert": ["convert", clips, "--out", str(here / "clips.csv")],
        "corpora": ["corpora"],
        "notice": ["notice", "--use", "research"],
        "store": ["store", "info"],
    }  # fmt: skip


def test_every_command_is_either_here_or_needs_something_from_outside(
    commands: dict[str, list[str]],
) -> None:
    import typer.main

    from emoscope.cli import application

    outside = {"get", "listen", "serve"}  # downloads, a microphone, clients: the last tested below
    assert set(typer.main.get_command(application()).commands) == set(commands) | outside


def test_all_work_with_the_network_cut_and_open_no_socket(
    commands: dict[str, list[str]], tmp_path: Path
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    found = subprocess.run(
        [*cut(), sys.executable, "-c", SCRIPT], input=json.dumps(commands), text=True,
        stdout=subprocess.PIPE, check=True, cwd=tmp_path,
        env={**without_wish(), "EMOSCOPE_STORE": str(tmp_path / "store"), "TMPDIR": str(scratch)},
    )  # fmt: skip
    outcomes = json.loads(found.stdout)
    assert {name: asked for name, (_, asked, _) in outcomes.items() if asked} == {}
    failed = {name: (end, said) for name, (end, _, said) in outcomes.items() if end != 0}
    assert set(failed) <= {"audit", "check"}, failed
    # 1 says that it found a leak, or that a test of the model failed.
    assert outcomes["audit"][0] in (0, 1) and outcomes["check"][0] in (0, 1)
    assert set(outcomes) == set(commands)
    # onnxruntime notes a session here when it is about to report to its maker.
    assert [path.name for path in scratch.iterdir() if path.name == ".ses"] == []


def without_wish() -> dict[str, str]:
    """The environment without anything that this process has set about reports."""
    return {name: value for name, value in os.environ.items() if "TELEMETRY" not in name}


@pytest.mark.skipif(not shutil.which("strace"), reason="the program strace is not installed")
def test_no_library_opens_a_socket_behind_pythons_back(
    commands: dict[str, list[str]], tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    words = ["strace", "-f", "-qq", "-e", "trace=socket,connect,sendto", "-o", str(trace)]
    # A store of its own leaves the work to the worker processes.
    environment = {**without_wish(), "EMOSCOPE_STORE": str(tmp_path / "store")}
    for command in (commands["predict"], [*commands["extract"], "--jobs", "2"]):
        found = subprocess.run(
            [*words, sys.executable, "-m", "emoscope", *command], env=environment,
            capture_output=True,
        )  # fmt: skip
        if b"ptrace" in found.stderr:
            pytest.skip("this machine allows no tracing")
        assert found.returncode == 0, found.stderr
        assert [line for line in trace.read_text().splitlines() if "AF_INET" in line] == []


SERVER = """
import subprocess, sys
sys.path.insert(0, {here!r})
import bad_audio, serving
from emoscope.prediction import Predictor
with serving.serving(Predictor({model!r})) as server:
    answer = server.upload("/api/predict", ("a.wav", bad_audio.encoded()))
    assert answer.status == 200 and answer.json["predictions"][0]["file"] == "a.wav"
    assert server.ask("GET", "/").status == 200
"""


def test_the_server_needs_no_network_but_this_machine(tmp_path: Path) -> None:
    pytest.importorskip("uvicorn", reason="the extra 'serve' is not installed")
    if not cut() or not shutil.which("ip"):
        pytest.skip("this machine allows no network namespace, or has no program 'ip'")
    here = str(Path(__file__).parent)
    code = SERVER.format(here=here, model=str(tiny_model.write(tmp_path)))
    up = 'ip link set lo up && exec "$0" -c "$1"'
    subprocess.run([*cut(), "sh", "-c", up, sys.executable, code], check=True)


def test_get_says_that_there_is_no_network(tmp_path: Path) -> None:
    if not cut():
        pytest.skip("this machine allows no network namespace")
    code = (
        "import emoscope.corpora.download as d; d.PAUSE = 0.001; "
        "from emoscope.cli import main; import sys; "
        f"sys.argv = ['emoscope', 'get', 'emodb', '--to', {str(tmp_path / 'emodb')!r}]; main()"
    )
    found = subprocess.run(
        [*cut(), sys.executable, "-c", code], capture_output=True, text=True, timeout=100
    )
    assert found.returncode == 2
    assert "Traceback" not in found.stderr and "error:" in found.stderr
