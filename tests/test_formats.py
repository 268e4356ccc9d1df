"""Formats beyond libsndfile, arrays, folders and patterns."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from emoscope import audio
from emoscope.audio import ffmpeg, opening
from emoscope.errors import AudioError
from recordings import RATE, voice

FFMPEG = shutil.which("ffmpeg")

pytestmark = pytest.mark.filterwarnings("error::ResourceWarning")


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("media") / "voice.wav"
    left, right = voice(2.0), voice(2.0, 180.0)
    soundfile.write(path, np.stack([left, right], axis=1), RATE)
    return path


@pytest.fixture(params=["ffmpeg", "pyav"])
def decoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "ffmpeg" and FFMPEG is None:
        pytest.skip("the program ffmpeg is not installed")
    if request.param == "pyav":
        pytest.importorskip("av", reason="the package 'av' is not installed")
        monkeypatch.setattr(ffmpeg.shutil, "which", lambda name: None)
    return str(request.param)


def converted(recording: Path, ending: str, codec: str = "aac", **options: str) -> Path:
    """The recording in another format, made by PyAV."""
    av = pytest.importorskip("av", reason="the package 'av' is not installed")
    path = recording.with_suffix(ending)
    samples, rate = soundfile.read(path.with_suffix(".wav"), dtype="float32")
    with av.open(str(path), "w", options=options) as container:
        try:
            stream = container.add_stream(codec, rate=48_000 if codec == "libopus" else rate)
            stream.layout = "stereo"
            stream.open()
        except (ValueError, av.FFmpegError):
            pytest.skip(f"this PyAV has no encoder {codec}")
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples).reshape(1, -1), format="flt", layout="stereo"
        )
        frame.sample_rate = rate
        fitting = av.AudioResampler(
            stream.format.name, "stereo", stream.rate, stream.frame_size or None
        )
        for part in [*fitting.resample(frame), *fitting.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return path


def test_lossless_sound_of_a_video_file_is_the_same(recording: Path, decoder: str) -> None:
    path = converted(recording, ".mkv", "pcm_f32le")
    wanted, found = audio.load(recording), audio.load(path)
    assert found.rate == wanted.rate
    np.testing.assert_allclose(found.samples, wanted.samples, atol=1e-6)
    assert audio.rate_of(path) == audio.rate_of(recording) == RATE


@pytest.mark.parametrize(
    ("ending", "codec"),
    [(".m4a", "aac"), (".mp4", "aac"), (".webm", "libopus"), (".wma", "wmav2"), (".aac", "aac")],
)
def test_lossy_formats(recording: Path, decoder: str, ending: str, codec: str) -> None:
    found = audio.load(converted(recording, ending, codec))
    assert found.duration == pytest.approx(2.0, abs=0.15)
    assert np.abs(found.samples).max() == pytest.approx(0.3, abs=0.15)


def test_truncated_files_are_refused(recording: Path, decoder: str, tmp_path: Path) -> None:
    content = converted(recording, ".m4a", movflags="faststart").read_bytes()
    short = tmp_path / "short.m4a"
    short.write_bytes(content[: 2 * len(content) // 3])
    with pytest.raises(AudioError, match="ffmpeg reports"):
        audio.load(short)


def test_playlists_open_no_other_file(recording: Path, decoder: str, tmp_path: Path) -> None:
    target = converted(recording, ".m4a")
    playlist = tmp_path / "list.m3u8"
    playlist.write_text(f"#EXTM3U\n#EXTINF:2,\nfile://{target}\n#EXT-X-ENDLIST\n")
    concatenation = tmp_path / "list.txt"
    concatenation.write_text(f"ffconcat version 1.0\nfile {target}\n")
    for path in (playlist, concatenation):
        with pytest.raises(AudioError, match="not audio"):
            audio.load(path)


def test_text_is_not_audio(decoder: str, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no sound in here\n" * 100)
    with pytest.raises(AudioError, match="not audio") as caught:
        audio.load(path)
    assert str(tmp_path) not in caught.value.reason  # it may be a path that nobody gave


def test_without_a_decoder_the_message_names_one(
    recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = converted(recording, ".m4a")
    monkeypatch.setattr(ffmpeg.shutil, "which", lambda name: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(AudioError, match="ffmpeg or the Python package 'av'"):
        audio.load(path)


def test_video_without_sound(decoder: str, tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="the package 'av' is not installed")
    path = tmp_path / "mute.mp4"
    with av.open(str(path), "w") as film:
        stream = film.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for _ in range(10):
            image = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            film.mux(stream.encode(image))
        film.mux(stream.encode(None))
    with pytest.raises(AudioError, match="holds no sound"):
        audio.load(path)


def test_longer_than_the_limit(recording: Path) -> None:
    for path in (recording, converted(recording, ".mkv", "pcm_f32le")):
        with pytest.raises(AudioError, match="longer than the limit of 1 s"):
            audio.load(path, max_seconds=1.0)


@pytest.mark.parametrize(
    ("samples", "wanted"),
    [
        (np.array([0.5, -0.5] * 1000), [0.5, -0.5]),
        (np.array([16384, -16384] * 1000, np.int16), [0.5, -0.5]),
        (np.array([2**30, -(2**30)] * 1000, np.int32), [0.5, -0.5]),
        (np.array([[1.0, 0.0], [-1.0, 0.0]] * 1000), [0.5, -0.5]),
    ],
)
def test_arrays(samples: np.ndarray, wanted: list[float]) -> None:
    signal = audio.from_array(samples, 16_000)
    assert signal.samples.dtype == np.float32
    np.testing.assert_allclose(signal.samples[:2], wanted)


@pytest.mark.parametrize(
    ("samples", "rate", "why"),
    [
        (np.ones(4000), None, "give rate="),
        (np.ones(4000), 10, "sample rate 10 Hz"),
        (np.ones(4000), 16_000, "silent"),
        (np.zeros(10), 16_000, "too short"),
        (np.full(4000, np.nan), 16_000, "not numbers"),
        (1e4 * np.sin(np.arange(4000)), 16_000, "must lie within"),
        (np.ones((2, 16_000)), 16_000, "shape"),
        (np.ones((2, 2, 2)), 16_000, "shape"),
        (np.array(["a"] * 4000), 16_000, "type"),
        (np.ones(4000, np.uint8), 16_000, "type uint8"),
        ([], 16_000, "empty"),
    ],
)
def test_arrays_that_are_no_recording(samples: np.ndarray, rate: int | None, why: str) -> None:
    with pytest.raises(AudioError, match=why):
        audio.from_array(samples, rate)


def test_find_expands_folders_and_patterns(tmp_path: Path) -> None:
    for name in ("b.wav", "a.FLAC", "deep/c.mp4", "deep/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    inside = [str(tmp_path / name) for name in ("a.FLAC", "b.wav", "deep/c.mp4")]
    assert opening.find([str(tmp_path)]) == inside
    assert opening.find([str(tmp_path / "*.wav")]) == [inside[1]]
    assert opening.find([str(tmp_path / "**/*.mp4")]) == [inside[2]]
    assert opening.find([inside[1], str(tmp_path)]) == [inside[1], inside[0], inside[2]]
    assert opening.find(["missing.wav"]) == ["missing.wav"]


def test_find_takes_brackets_in_a_name_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "take [1].wav"
    path.touch()
    assert opening.find([str(path)]) == [str(path)]


def test_find_says_what_stands_for_nothing(tmp_path: Path) -> None:
    for name, why in ((str(tmp_path), "no recordings in"), (str(tmp_path / "*.wav"), "matches no")):
        with pytest.raises(AudioError, match=why):
            opening.find([name])


def test_tags_that_are_not_utf8_cost_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    av = pytest.importorskip("av", reason="the package 'av' is not installed")
    path = tmp_path / "film.avi"
    with av.open(str(path), "w") as film:
        film.metadata["title"] = "a readable title"
        stream = film.add_stream("pcm_s16le", rate=RATE, layout="mono")
        samples = (voice(1.0) * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate = RATE
        film.mux([*stream.encode(frame), *stream.encode(None)])
    content = path.read_bytes()
    assert content.count(b"a readable title") == 1
    path.write_bytes(content.replace(b"a readable title", b"\xff\xfe\x80eadable title"))
    monkeypatch.setattr(ffmpeg.shutil, "which", lambda name: None)
    np.testing.assert_allclose(audio.load(path).samples, samples / 32768, atol=1e-6)


def test_a_file_that_crashes_its_decoder_costs_itself_alone(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crash = tmp_path / "crash.py"
    crash.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    monkeypatch.setattr(ffmpeg.shutil, "which", lambda name: None)
    monkeypatch.setattr(ffmpeg, "__file__", str(crash))
    path = tmp_path / "film.mp4"
    path.write_bytes(b"no sound in here")
    with pytest.raises(AudioError, match="the decoder crashed"):
        audio.load(path)
    assert audio.load(recording).duration == 2.0


def test_a_file_that_keeps_its_decoder_busy_for_ever_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = tmp_path / "busy.py"
    busy.write_text("while True: pass\n")
    monkeypatch.setattr(ffmpeg.shutil, "which", lambda name: None)
    monkeypatch.setattr(ffmpeg, "__file__", str(busy))
    monkeypatch.setattr(ffmpeg, "PATIENCE", 0.3)
    path = tmp_path / "film.mp4"
    path.write_bytes(b"no sound in here")
    with pytest.raises(AudioError, match=r"returned no audio within 0\.3 s"):
        audio.load(path)


def test_a_reader_that_has_heard_enough_ends_the_decoder(recording: Path, decoder: str) -> None:
    pieces = audio.blocks(converted(recording, ".mkv", "pcm_f32le"))
    assert next(pieces).rate == RATE
    pieces.close()
