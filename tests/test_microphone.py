"""Listening live: an injected stream, machines without a microphone, a real virtual one."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import tiny_model
from emoscope import server
from emoscope.cli import terminal
from emoscope.errors import AudioError, EmoscopeError, MissingExtraError
from emoscope.prediction import Predictor
from emoscope.prediction.microphone import Block, Microphone, Session
from recordings import RATE, at_level, silence, voice


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    sad, angry = (at_level(voice(3.0, 100.0), level) for level in (-35, -15))
    return np.concatenate([silence(1.0), sad, silence(3.5), angry, silence(1.0)])


def blocks(samples: np.ndarray, seconds: float = 0.1, rate: int = RATE) -> Iterator[Block]:
    step = round(seconds * rate)
    for start in range(0, len(samples), step):
        yield Block(samples[start : start + step], time.perf_counter())


def test_labels_follow_the_voice(predictor: Predictor, sound: np.ndarray) -> None:
    session = Session(predictor, RATE)
    updates = list(session.updates(blocks(sound)))
    assert len(updates) == len(sound) // 1600
    by_time = {round(update.seconds, 1): update for update in updates}
    assert by_time[0.9].emotion is None and not by_time[0.9].speaking
    assert by_time[3.9].emotion == "sad" and by_time[3.9].speaking
    assert by_time[7.4].emotion is None  # nobody has spoken for a while
    assert by_time[10.4].emotion == "angry"
    first = next(update for update in updates if update.emotion)
    assert first.seconds == pytest.approx(2.0, abs=0.4)  # a second after the voice began
    assert by_time[3.0].level == pytest.approx(-35, abs=6)
    for update in updates:
        assert sum(update.probabilities.values()) == pytest.approx(1.0 if update.emotion else 0.0)


def test_a_voice_is_known_by_what_it_has_said(tmp_path: Path) -> None:
    """It is 8 dB louder than most: its neutral sounds angry until more of it was heard."""
    predictor = Predictor(tiny_model.write(tmp_path, offsets=tiny_model.offsets()))
    parts = [at_level(voice(3.0, 100.0), level) for level in (-27, -17, -7) * 2]
    session = Session(predictor, RATE)
    gap = silence(0.5)
    *_, last = session.updates(blocks(np.concatenate([*(np.r_[p, gap] for p in parts), parts[1]])))
    assert last.emotion == "neutral"
    assert session.stream.shown[-1].inference.probabilities.argmax() == 2  # angry by itself
    newest = session.stream.newest(1000)[-1].inference.probabilities
    assert newest[0] > 0.5


def test_what_was_heard_is_a_prediction_with_a_timeline(
    predictor: Predictor, sound: np.ndarray
) -> None:
    session = Session(predictor, RATE)
    for _ in session.updates(blocks(sound)):
        pass
    found = session.finish()
    assert found.file == "microphone"
    assert [segment.emotion for segment in found.segments if segment.is_speech] == ["sad", "angry"]


def test_latency_is_measured_from_the_arrival_of_the_sound(
    predictor: Predictor, sound: np.ndarray
) -> None:
    session = Session(predictor, RATE)
    late = (Block(block.samples, block.arrived - 0.25) for block in blocks(sound))
    given = [u.latency for u in session.updates(late) if u.latency is not None]
    assert given == session.latencies
    assert all(0.25 < latency < 0.75 for latency in given)


def test_arrays_of_any_size_and_rate_can_be_injected(
    predictor: Predictor, sound: np.ndarray
) -> None:
    import soxr

    session = Session(predictor, 44_100)
    given = soxr.resample(sound, RATE, 44_100)
    updates = list(session.updates(np.array_split(given, 37)))
    assert {update.emotion for update in updates} >= {"sad", "angry", None}


@pytest.mark.parametrize("ending", ["wav", "flac"])
def test_the_recording_is_kept_on_request(
    predictor: Predictor, sound: np.ndarray, tmp_path: Path, ending: str
) -> None:
    path = tmp_path / f"kept.{ending}"
    session = Session(predictor, RATE, save=path)
    updates = session.updates(blocks(sound))
    for _ in range(50):
        next(updates)
    updates.close()  # as Ctrl+C does
    samples, rate = soundfile.read(path, dtype="float32")
    assert rate == RATE
    np.testing.assert_allclose(samples, sound[: 50 * 1600], atol=1e-4)
    assert session.finish().file == str(path)


def test_a_recording_that_cannot_be_written(predictor: Predictor, tmp_path: Path) -> None:
    for path in (tmp_path / "missing" / "a.wav", tmp_path / "a.nonsense"):
        with pytest.raises(EmoscopeError, match="cannot be recorded to"):
            next(Session(predictor, RATE, save=path).updates([silence(0.1)]))


def test_nothing_heard(predictor: Predictor) -> None:
    session = Session(predictor, RATE)
    assert list(session.updates([])) == []
    with pytest.raises(AudioError, match="nothing was heard"):
        session.finish()


def console(animated: bool) -> terminal.Console:
    return terminal.Console(file=io.StringIO(), force_terminal=animated, width=100, height=30)


@pytest.mark.parametrize("lost", [0, 1, 3])
def test_lost_sound_is_said_at_the_end(
    predictor: Predictor,
    sound: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    emoscope: Any,
    lost: int,
) -> None:
    class Overloaded(contextlib.nullcontext):  # type: ignore[type-arg]
        rate = RATE

        def __init__(self, device: str | None) -> None:
            super().__init__(self)
            self.lost = lost

        def __iter__(self) -> Iterator[Block]:
            yield from blocks(sound)
            raise KeyboardInterrupt

    monkeypatch.setattr("emoscope.prediction.microphone.Microphone", Overloaded)
    status, out, err = emoscope("listen", "--model", predictor.model.path)
    assert status == 0 and "angry" in out
    wanted = {0: "", 1: "audio was lost once, because", 3: "audio was lost 3 times, because"}
    about, *rest = err.splitlines()
    assert about == predictor.card.about.text
    assert "".join(rest)[: len(wanted[lost])] == wanted[lost] and bool(rest) is bool(lost)


def test_outside_a_terminal_each_label_is_a_line(predictor: Predictor, sound: np.ndarray) -> None:
    session, screen = Session(predictor, RATE), console(False)
    terminal.show_live(session.updates(blocks(sound)), session.latencies, screen)
    lines = screen.file.getvalue().splitlines()
    assert len(lines) == len(session.latencies)
    said = r" +\d+\.\d s  (sad|angry|neutral) +\d+%  \w+ \(arousal .*\), .* \(valence .*\)"
    assert all(re.fullmatch(said, line) for line in lines)


def test_the_live_view_shows_label_level_and_latency(
    predictor: Predictor, sound: np.ndarray
) -> None:
    session, screen = Session(predictor, RATE), console(True)

    def until_interrupted():  # type: ignore[no-untyped-def]
        yield from session.updates(blocks(sound))
        raise KeyboardInterrupt

    terminal.show_live(until_interrupted(), session.latencies, screen)
    text = screen.file.getvalue()
    for expected in ("listening …", "sad", "angry", "speaking", "latency "):
        assert expected in text


def test_the_colours_are_those_of_the_pictures_and_the_page() -> None:
    from emoscope.report.plots.style import EMOTION_COLOURS

    page = Path(server.__file__).with_name("web") / "style.css"
    found = re.findall(r"--(\w+): (#[0-9a-f]{6})", page.read_text(encoding="utf-8"))
    for name, pair in EMOTION_COLOURS.items():
        assert tuple(colour for known, colour in found if known == name) == pair


class PortAudioError(Exception):
    pass


def fake_sounddevice(monkeypatch: pytest.MonkeyPatch, devices: list[dict[str, object]]) -> None:
    def query_devices(device: object = None, kind: str | None = None) -> object:
        if kind is None:
            return devices
        if not devices:
            raise PortAudioError("Error querying device -1")
        return devices[0]

    def refuse(**options: object) -> None:
        raise PortAudioError("Device unavailable")

    module = types.SimpleNamespace(
        PortAudioError=PortAudioError, query_devices=query_devices, InputStream=refuse
    )
    monkeypatch.setitem(sys.modules, "sounddevice", module)


def test_without_a_microphone_the_message_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_sounddevice(monkeypatch, [])
    with pytest.raises(EmoscopeError, match="no microphone; connect one, or use: emoscope predict"):
        Microphone()


def test_a_microphone_that_cannot_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    device = {"name": "USB", "default_samplerate": 48000.0, "max_input_channels": 1}
    fake_sounddevice(monkeypatch, [device])
    with pytest.raises(EmoscopeError, match=r"cannot be opened \(Device unavailable\).*USB"):
        Microphone()


def test_without_the_package_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(MissingExtraError, match=r"emoscope\[listen\]"):
        Microphone()


def test_a_disk_that_fills_up_ends_the_recording_not_the_listening(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "heard.wav"
    session = Session(predictor, RATE, save=path)
    write, calls = soundfile.SoundFile.write, []

    def until_full(file: soundfile.SoundFile, samples: object) -> None:
        calls.append(samples)
        if len(calls) > 3:
            raise soundfile.LibsndfileError(2, "no space: ")
        write(file, samples)

    monkeypatch.setattr(soundfile.SoundFile, "write", until_full)
    heard = np.concatenate([silence(0.2), at_level(voice(3.0, 100.0), -15)])
    for _ in session.updates(blocks(heard)):
        pass
    assert session.unsaved is not None and "heard.wav: holds 0." in session.unsaved
    assert session.finish().emotion == "angry" and len(calls) == 4


def test_an_older_recording_is_never_replaced(predictor: Predictor, tmp_path: Path) -> None:
    path = tmp_path / "heard.wav"
    path.write_bytes(b"of yesterday")
    with pytest.raises(EmoscopeError, match="exists; give another name"):
        next(Session(predictor, RATE, save=path).updates(blocks(silence(1.0))))
    assert path.read_bytes() == b"of yesterday"


@pytest.fixture
def cable(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A virtual cable: what is played into it comes out of its microphone."""
    pytest.importorskip(
        "sounddevice", reason="the PortAudio library is not installed", exc_type=OSError
    )
    if not all(map(shutil.which, ("pulseaudio", "pactl", "paplay"))):
        pytest.skip("pulseaudio is not installed")
    (tmp_path / ".asoundrc").write_text(
        "pcm.!default { type pulse }\nctl.!default { type pulse }\n"
    )
    tmp_path.chmod(0o700)
    named = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    environment = {**os.environ, **named}
    command = ["pulseaudio", "--daemonize=no", "-n", "--use-pid-file=no", "--exit-idle-time=-1"]
    command += ["--load=module-native-protocol-unix", "--load=module-null-sink sink_name=cable"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    daemon = subprocess.Popen(command, env=environment, **quiet)
    try:
        for _ in range(50):
            select = ["pactl", "set-default-source", "cable.monitor"]
            if subprocess.run(select, env=environment, **quiet).returncode == 0:
                break
            time.sleep(0.1)
        else:
            pytest.skip("pulseaudio does not start here")
        yield environment
    finally:
        daemon.terminate()
        daemon.wait(timeout=10)


LISTENER = """
import json, sys
from emoscope.errors import EmoscopeError
from emoscope.prediction.microphone import Microphone, Session
from emoscope.prediction import Predictor
try:
    microphone = Microphone()
except EmoscopeError as error:
    print(json.dumps({"error": str(error)}))
    sys.exit()
session = Session(Predictor(sys.argv[1]), microphone.rate)
with microphone:
    print("ready", flush=True)
    labels = []
    for update in session.updates(microphone):
        labels.append(update.emotion)
        if update.seconds > 5.0:
            break
print(json.dumps({"labels": labels, "latencies": session.latencies, "lost": microphone.lost,
                  "rate": microphone.rate, "emotion": session.finish().emotion}))
"""


def test_real_sound_through_a_virtual_microphone(
    cable: dict[str, str], predictor: Predictor, tmp_path: Path
) -> None:
    path = tmp_path / "speech.wav"
    samples = np.concatenate([silence(0.2), *[at_level(voice(1.5, 100.0), -15)] * 4])
    soundfile.write(path, samples, RATE)
    listener = subprocess.Popen(
        [sys.executable, "-c", LISTENER, predictor.model.path],
        env=cable, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert listener.stdout is not None
    first = listener.stdout.readline()
    if "error" in first:
        pytest.skip(f"PortAudio cannot reach pulseaudio here: {first}")
    player = subprocess.Popen(["paplay", "--device=cable", str(path)], env=cable)
    output, _ = listener.communicate(timeout=30)
    player.terminate()
    player.wait(timeout=10)
    found = json.loads(output)
    assert found["emotion"] == "angry" and "angry" in found["labels"]
    assert found["lost"] == 0
    assert max(found["latencies"]) < 0.5
