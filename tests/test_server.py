"""The HTTP API: answers and refusals."""

from __future__ import annotations

import concurrent.futures
import io
import json
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import tiny_model
from emoscope import modelfile
from emoscope.audio import Signal
from emoscope.prediction import Predictor
from recordings import RATE, at_level, silence, voice

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
pytest.importorskip("uvicorn", reason="the extra 'serve' is not installed")
pytest.importorskip("multipart", reason="the extra 'serve' is not installed")

from serving import BOUNDARY, FORM, SPEECH, Running, encoded, multipart, serving


def test_predict_is_the_same_as_in_python(
    server: Running, predictor: Predictor, tmp_path: Path
) -> None:
    path = tmp_path / "speech.wav"
    path.write_bytes(SPEECH)
    for timeline in (False, True):
        answer = server.upload(f"/api/predict?timeline={timeline}", ("speech.wav", SPEECH))
        assert answer.status == 200
        wanted = predictor.predict(path, timeline=timeline).to_dict()
        assert answer.json == {
            "model": "level", "predictions": [{**wanted, "file": "speech.wav"}], "errors": []
        }  # fmt: skip


@pytest.mark.parametrize("format", ["FLAC", "OGG", "MP3", "AIFF", "CAF", "W64"])
def test_formats_are_told_by_content(
    server: Running, predictor: Predictor, tmp_path: Path, format: str
) -> None:
    content = encoded(voice(2.0), format)
    answer = server.upload("/api/predict", ("speech.txt", content))
    assert answer.status == 200, answer.body
    (tmp_path / "speech.txt").write_bytes(content)
    expected = predictor.predict(tmp_path / "speech.txt").to_dict()
    assert answer.json["predictions"] == [{**expected, "file": "speech.txt"}]


def test_formats_that_only_ffmpeg_reads(server: Running, tmp_path: Path) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("the program ffmpeg is not installed")
    soundfile.write(tmp_path / "a.wav", voice(2.0), RATE)
    command = ["ffmpeg", "-v", "error", "-i", tmp_path / "a.wav", tmp_path / "a.m4a"]
    subprocess.run(command, check=True)
    content = (tmp_path / "a.m4a").read_bytes()
    answer = server.upload("/api/predict", ("a.m4a", content))
    assert answer.status == 200, answer.body
    (prediction,) = answer.json["predictions"]
    assert prediction["file"] == "a.m4a" and prediction["emotion"] in tiny_model.EMOTIONS
    listened = server.upload("/api/listen", ("a.m4a", content))
    samples, rate = soundfile.read(io.BytesIO(listened.body))
    assert rate == 16_000 and len(samples) == pytest.approx(32_000, abs=2_000)


def test_good_files_are_delivered_when_others_are_bad(server: Running) -> None:
    answer = server.upload(
        "/api/predict",
        ("a.wav", SPEECH), ("b.wav", b"no sound"), ("c.wav", SPEECH[:100]), ("d.wav", SPEECH),
    )  # fmt: skip
    assert answer.status == 200
    assert [p["file"] for p in answer.json["predictions"]] == ["a.wav", "d.wav"]
    assert [e["file"] for e in answer.json["errors"]] == ["b.wav", "c.wav"]
    assert all(error["reason"] for error in answer.json["errors"])


def test_recordings_of_one_source_are_labelled_together(tmp_path: Path) -> None:
    predictor = Predictor(tiny_model.write(tmp_path, offsets=tiny_model.offsets()))
    sounds = [at_level(voice(1.0), level) for level in (-27, -17, -7)]  # of a loud voice
    files = []
    for number, samples in enumerate(sounds):
        held = io.BytesIO()
        soundfile.write(held, samples, RATE, format="WAV", subtype="FLOAT")
        files.append((f"{number}.wav", held.getvalue()))
    bad = ("bad.wav", b"no sound")
    with serving(predictor) as running:
        answer = running.upload("/api/predict?together=true", bad, *files).json
        alone = running.upload("/api/predict", *files).json["predictions"]
        refused = running.upload("/api/predict?together=true&timeline=true", *files)
    wanted = predictor.predict_many([Signal(samples, RATE) for samples in sounds], together=True)
    for found, one, file in zip(answer["predictions"], wanted, files, strict=True):
        assert found == {**one.to_dict(), "file": file[0]}  # type: ignore[union-attr]
    assert [found["emotion"] for found in answer["predictions"]] == ["sad", "neutral", "angry"]
    assert [found["emotion"] for found in alone] == ["neutral", "angry", "angry"]
    assert [error["file"] for error in answer["errors"]] == ["bad.wav"]
    assert refused.status == 422 and "cannot be combined with timeline" in refused.json["error"]


def test_a_recording_that_lacks_what_a_feature_needs_is_named(tmp_path: Path) -> None:
    hears = tiny_model.of_feature("contrast")
    low = io.BytesIO()
    soundfile.write(low, voice(2.0, rate=8_000), 8_000, format="WAV")
    with serving(Predictor(tiny_model.write_linear(tmp_path, hears.width, input=hears))) as running:
        answer = running.upload("/api/predict", ("low.wav", low.getvalue()), ("a.wav", SPEECH))
    assert [p["file"] for p in answer.json["predictions"]] == ["a.wav"]
    assert "'contrast' needs a sample rate above" in answer.json["errors"][0]["reason"]


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("empty.wav", b"", "empty"),
        ("text.wav", b"hello" * 1000, "not audio"),
        ("short.wav", encoded(voice(0.05)), "too short"),
        ("zero.wav", encoded(np.zeros(RATE)), "silent"),
        ("../../etc/passwd", b"x", "not audio"),
        ("<script>.wav", b"x", "<script>.wav"),
    ],
)
def test_files_that_cannot_be_used(server: Running, name: str, content: bytes, why: str) -> None:
    answer = server.upload("/api/predict", (name, content))
    assert answer.status == 422
    assert why in answer.json["error"]
    assert answer.headers["content-type"] == "application/json"
    assert "/proc/" not in answer.json["error"] and "/tmp" not in answer.json["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/web/../server.py", 404),
        ("GET", "/web/%2e%2e/server.py", 404),
        ("GET", "/api/predict", 405),
        ("DELETE", "/", 405),
        ("POST", "/api/predict", 422),
    ],
)
def test_other_errors_are_json_too(server: Running, method: str, path: str, status: int) -> None:
    answer = server.ask(method, path)
    assert answer.status == status
    assert list(answer.json) == ["error"]


@pytest.mark.parametrize("path", ["/", "/?page=1", "/web/app.js?content=x&ending=y", "/api/health"])
def test_get_and_head_take_any_query(server: Running, path: str) -> None:
    got, head = server.ask("GET", path), server.ask("HEAD", path)
    assert got.status == head.status == 200
    assert head.body == b"" and head.headers["content-length"] == str(len(got.body))
    assert head.headers.keys() == got.headers.keys()


def test_a_fault_is_answered_as_everything_else(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emoscope.server.api.generate_latest", lambda _: 1 / 0)
    with serving(predictor) as running:
        answer = running.ask("GET", "/metrics")
    assert answer.status == 500 and list(answer.json) == ["error"]
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"garbage", FORM),
        (multipart(("a", SPEECH))[:500], FORM),
        (multipart(("a", SPEECH)), "multipart/form-data"),
        (b'{"files": 1}', "application/json"),
        (b"--" + b"x" * 100_000, FORM),
    ],
)
def test_malformed_forms(server: Running, body: bytes, content_type: str) -> None:
    answer = server.ask("POST", "/api/predict", body, content_type=content_type)
    assert answer.status in (400, 422)
    assert list(answer.json) == ["error"]


def test_an_unknown_model_lists_the_known(server: Running) -> None:
    answer = server.upload("/api/predict?model=levle", ("a.wav", SPEECH))
    assert answer.status == 422
    assert "Did you mean 'level'" in answer.json["error"]


def test_what_a_request_sends_and_nobody_reads_is_refused(server: Running) -> None:
    answer = server.upload("/api/predict?timelin=true", ("a.wav", SPEECH))
    assert answer.status == 422
    assert "unknown parameter 'timelin' in the query; allowed: timeline," in answer.json["error"]
    field = f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="timeline"\r\n\r\ntrue\r\n'
    form = field.encode() + multipart(("a.wav", SPEECH))
    answer = server.ask("POST", "/api/predict", form, content_type=FORM)
    assert answer.status == 422
    assert "'timeline' in the body; allowed: timeline," in answer.json["error"]
    assert "speakers, stream in the query, files in the body" in answer.json["error"]


def test_listen_gives_the_same_sound(server: Running) -> None:
    answer = server.upload("/api/listen", ("speech.aiff", encoded(voice(2.0), "AIFF")))
    assert answer.status == 200
    assert answer.headers["content-type"] == "audio/flac"
    samples, rate = soundfile.read(io.BytesIO(answer.body), dtype="float32")
    assert rate == 16_000
    np.testing.assert_allclose(samples, voice(2.0), atol=1e-4)
    refused = server.upload("/api/listen", ("a", b"x"))
    assert refused.status == 422 and "not audio" in refused.json["error"]
    refused = server.upload("/api/listen", ("a", SPEECH), ("b", SPEECH))
    assert refused.status == 422 and "at most 1 item" in refused.json["error"]


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_listen_gives_all_of_it_at_any_rate(server: Running, rate: int) -> None:
    tone = 0.3 * np.sin(2 * np.pi * 220 * np.arange(rate // 2) / rate)
    content = io.BytesIO()
    soundfile.write(content, tone, rate, format="WAV")
    answer = server.upload("/api/listen", ("tone.wav", content.getvalue()))
    samples, _ = soundfile.read(io.BytesIO(answer.body))
    assert len(samples) == 8_000
    wanted = 0.3 * np.sin(2 * np.pi * 220 * np.arange(8_000) / 16_000)
    np.testing.assert_allclose(samples[100:-100], wanted[100:-100], atol=0.01)


TALK = encoded(np.tile(np.concatenate([voice(2.0), silence(1.0)]), 20))  # a minute


def test_lines_end_with_the_answer(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emoscope.prediction.progress.EVERY", 0.0)
    monkeypatch.setattr("emoscope.audio._BLOCK", 2 * RATE)
    whole = server.upload("/api/predict?timeline=true", ("a.wav", TALK))
    answer = server.upload("/api/predict?timeline=true&stream=true", ("a.wav", TALK))
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    *told, last = map(json.loads, answer.body.splitlines())
    assert last == whole.json
    parts = [line for line in told if line["predictions"]]
    assert parts and all(0 < line["fraction"] <= 1 and line["file"] == "a.wav" for line in told)
    wanted = whole.json["predictions"][0]["segments"]
    for line in parts:
        (found,) = line["predictions"]
        assert found["file"] == "a.wav" and found["segments"][-1]["emotion"] in tiny_model.EMOTIONS
        assert 0 < found["segments"][-1]["end"] <= line["seconds"]
        assert found["segments"][:-1] == wanted[: len(found["segments"]) - 1]
    refused = server.upload("/api/predict?stream=true", ("a.wav", b"no sound"))
    assert refused.status == 422 and "not audio" in refused.json["error"]


def test_lines_end_with_an_error(predictor: Predictor) -> None:
    with serving(predictor, seconds=45.0) as server:
        answer = server.upload("/api/predict?stream=true", ("a.wav", TALK))
    *told, last = map(json.loads, answer.body.splitlines())
    assert told and "longer than the limit of 45 s" in last["error"]


def test_closing_ends_the_work_behind_lines(server: Running) -> None:
    jobs = server.app.state.service.load.jobs
    body = multipart(("a.wav", encoded(np.tile(voice(3.0), 600))))  # half an hour
    head = f"POST /api/predict?stream=true HTTP/1.1\r\nhost: localhost\r\ncontent-type: {FORM}\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        said = b""
        while b"fraction" not in said:
            said += client.recv(65_536)
        (job,) = jobs
    for _ in range(500):
        if not jobs:
            break
        time.sleep(0.01)
    assert not jobs and job.end_reason


def test_many_clients_get_their_own_answers(server: Running) -> None:
    clips = [encoded(0.05 * (1 + n) * voice(1.0, seed=n)) for n in range(6)]
    alone = [server.upload("/api/predict", ("a", clip)).json["predictions"] for clip in clips]
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        together = list(
            pool.map(lambda n: server.upload("/api/predict", ("a", clips[n % 6])), range(48))
        )
    for number, answer in enumerate(together):
        assert answer.json["predictions"] == alone[number % 6]


def test_a_model_may_be_moved_while_it_is_served(tmp_path: Path) -> None:
    path = tiny_model.write(tmp_path)
    size = path.stat().st_size
    with serving(Predictor(path)) as running:
        path.rename(tmp_path / "moved.emoscope")
        assert running.ask("GET", "/api/models").json[0]["bytes"] == size
    with serving(Predictor(path.with_name("moved.emoscope"))) as running:
        assert running.ask("GET", "/api/models").json[0]["bytes"] == size
    loaded = modelfile.unpack((tmp_path / "moved.emoscope").read_bytes(), "in memory")
    with serving(Predictor(loaded)) as running:
        assert running.ask("GET", "/api/models").json[0]["bytes"] is None


def test_two_models_of_one_name_are_refused(
    emoscope: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emoscope.server.run", lambda *_, **__: None)
    paths = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        paths.append(tiny_model.write(tmp_path / folder))
    status, out, err = emoscope("serve", "--model", paths[0], "--model", paths[1])
    assert (status, out) == (2, "")
    assert err.replace("\n", "").endswith("would both be called 'level'; rename one of them")


def test_serving_imports_nothing_heavy() -> None:
    code = (
        "import sys; from emoscope.server import create_app; create_app();"
        "print(sorted({'torch', 'onnx', 'pandas', 'sklearn', 'pyarrow'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_an_address_that_is_taken_is_said_in_one_line(emoscope: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        status, out, err = emoscope("serve", "--port", port)
    assert (status, out) == (2, "")
    assert err.startswith(f"error: cannot listen on 127.0.0.1, port {port}: Address already in use")
