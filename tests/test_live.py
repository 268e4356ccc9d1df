"""Live labels over a WebSocket, by a real server and a real client."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from emoscope.audio import Signal
from emoscope.prediction import Predictor
from emoscope.prediction.microphone import Session
from emoscope.server.live import _is_packet
from recordings import RATE, at_level, silence, voice
from serving import Running, serving

client = pytest.importorskip("websockets.sync.client")
exceptions = pytest.importorskip("websockets.exceptions")
STEP = RATE // 10
EXAMPLE = Path(__file__).parents[1] / "examples" / "stream.py"


@pytest.fixture(scope="module")
def running(predictor: Predictor) -> Iterator[Running]:
    with serving(predictor, streams=2, seconds=8.0) as found:
        yield found


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    parts = [at_level(voice(2.0, 100.0), level) for level in (-35, -15)]
    samples = np.concatenate([silence(0.5), parts[0], silence(2.5), parts[1], silence(0.4)])
    return (samples * 32_767).astype("<i2")


def pieces(sound: np.ndarray) -> list[np.ndarray]:
    return [sound[start : start + STEP] for start in range(0, len(sound), STEP)]


def connect(running: Running, query: str = "", **options: Any) -> Any:
    return client.connect(f"ws://127.0.0.1:{running.port}/api/stream{query}", **options)


def without_latency(update: dict[str, Any]) -> dict[str, Any]:
    return {**update, "latency": update["latency"] is not None}


def test_a_stream_says_what_listening_says(
    running: Running, predictor: Predictor, sound: np.ndarray
) -> None:
    session = Session(predictor, RATE)
    listened = session.updates(p.astype(np.float32) / 32_768 for p in pieces(sound))
    wanted = [without_latency(json.loads(json.dumps(u.to_dict()))) for u in listened]
    with connect(running) as stream:
        given = []
        for piece in pieces(sound):
            stream.send(piece.tobytes())
            given.append(without_latency(json.loads(stream.recv())))
        stream.send("end")
        whole = json.loads(stream.recv())
    assert given == wanted
    assert {update["emotion"] for update in given} == {None, "sad", "angry"}
    spoken = next(update for update in given if update["emotion"])
    assert spoken["confidence"] == max(spoken["probabilities"].values())
    of_file = predictor.predict(Signal(sound / np.float32(32_768), RATE), timeline=True).to_dict()
    assert whole["segments"] == of_file["segments"] and whole["summary"] == of_file["summary"]
    assert {**session.finish().to_dict(), "file": "stream"} == whole
    assert [s["emotion"] for s in whole["segments"]].count("silence") == 3


@pytest.mark.parametrize(
    ("query", "sent", "code", "reason"),
    [
        ("", b"odd", 1003, "a message of 3 bytes is no 16-bit PCM"),
        ("", b"", 1003, "a message of 0 bytes is no 16-bit PCM"),
        ("", "finish", 1003, "send sound as binary messages; the only text is 'end'"),
        ("?model=nobody", b"", 1003, "unknown model 'nobody'"),
        ("?format=opus", b"\xff" * 40, 1003, "a message of 40 bytes is no Opus packet"),
        ("?rate=1000", b"", 1003, "rate 1000: give 8000 to 192000 Hz"),
        ("?rate=abc", b"", 1003, "rate abc: give 8000 to 192000 Hz"),
        ("?format=mp3", b"", 1003, "unknown format 'mp3'"),
        ("?format=opus", b"", 1003, "a message of 0 bytes is no Opus packet"),
        ("?format=opus", bytes((1, 2, 3)), 1003, "a message of 3 bytes is no Opus packet"),
        ("", "end", 1003, "nothing was heard"),
        ("", bytes(2 * RATE * 9), 1009, "longer than 8 s, the limit here"),
    ],
)
def test_what_cannot_be_used_is_said_in_the_closing(
    running: Running, query: str, sent: bytes | str, code: int, reason: str
) -> None:
    if "opus" in query:
        pytest.importorskip("av")
    with connect(running, query) as stream, pytest.raises(exceptions.ConnectionClosed) as closed:
        stream.send(sent)
        while True:
            stream.recv()
    assert closed.value.rcvd.code == code and closed.value.rcvd.reason.startswith(reason)


def test_silence_ends_as_a_silent_file_does(running: Running) -> None:
    with connect(running) as stream, pytest.raises(exceptions.ConnectionClosed) as closed:
        for _ in range(5):
            stream.send(bytes(2 * STEP))
            assert json.loads(stream.recv())["emotion"] is None
        stream.send("end")
        stream.recv()
    assert closed.value.rcvd.reason == "silent: all samples have the same value"


@pytest.mark.parametrize(
    ("packet", "holds"),
    [
        ("00", True),  # a pause, as encoders send it
        ("f8fffe", True),  # silence, coded
        ("010203", False),  # two frames of a byte
        ("030105", False),  # one frame of a byte, after the byte that says how many
        ("03010506", True),
        ("02010203", False),  # a frame of one byte and another, after the byte of its length
    ],
)
def test_which_packets_hold_sound(packet: str, holds: bool) -> None:
    assert _is_packet(bytes.fromhex(packet)) is holds


def test_one_too_many_is_refused_and_then_admitted(running: Running) -> None:
    with connect(running), connect(running):
        with connect(running) as third, pytest.raises(exceptions.ConnectionClosed) as closed:
            third.recv()
        assert closed.value.rcvd.code == 1013
        assert closed.value.rcvd.reason == "2 streams are already open"
    with connect(running) as stream:
        stream.send(bytes(2 * STEP))
        assert json.loads(stream.recv())["seconds"] == pytest.approx(0.1)


def test_other_sites_and_hosts_are_refused(running: Running) -> None:
    with pytest.raises(exceptions.InvalidStatus, match="403"):
        connect(running, origin="https://elsewhere.example")
    tcp = socket.create_connection(("127.0.0.1", running.port))
    with pytest.raises(exceptions.InvalidStatus, match="403"):
        client.connect("ws://elsewhere.example/api/stream", sock=tcp)


def test_opus_packets(running: Running, sound: np.ndarray) -> None:
    av = pytest.importorskip("av")
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = 48_000, "mono", "s16"
    frame = av.AudioFrame.from_ndarray(np.repeat(sound, 3)[np.newaxis], format="s16", layout="mono")
    frame.sample_rate = 48_000
    fifo = av.AudioFifo()
    fifo.write(frame)
    found = set()
    with connect(running, "?format=opus") as stream:
        for part in fifo.read_many(960):
            for packet in encoder.encode(part):
                stream.send(bytes(packet))
                update = json.loads(stream.recv())
                found.add(update["emotion"])
    assert found == {None, "sad", "angry"}
    assert update["seconds"] == pytest.approx(len(sound) / RATE, abs=0.1)


def test_the_example(running: Running, sound: np.ndarray, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", sound[: 25 * STEP], RATE)
    code = EXAMPLE.read_text("utf-8").replace("8765", str(running.port)).replace("(0.1)", "(0)")
    (tmp_path / "stream.py").write_text(code, "utf-8")
    command = [sys.executable, tmp_path / "stream.py", tmp_path / "a.wav"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert len(said.splitlines()) == 26 and said.splitlines()[-1] == "sad"
