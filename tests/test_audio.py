"""Decoding: equal to independent decoders on good files, a reason in plain words on bad ones."""

import io
import math
import os
import struct
import threading
import wave

import fsspec
import librosa
import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emoscope import audio
from emoscope.audio import opening
from emoscope.dataset import content
from emoscope.errors import AudioError

RATE = 16_000
STEREO = (
    "Actor_01/03-01-02-01-01-02-01",
    "Actor_01/03-01-08-01-02-02-01",
    "Actor_05/03-01-02-01-02-02-05",
    "Actor_20/03-01-03-01-02-01-20",
    "Actor_20/03-01-06-01-01-02-20",
)


def tone(seconds=1.0, rate=RATE):
    time = np.arange(int(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)


def encoded(samples, rate=RATE, form="WAV", subtype=None):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=form, subtype=subtype)
    return file.getvalue()


@pytest.fixture
def write(tmp_path):
    def write(content, name="clip.wav"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


def reason(path, **options):
    with pytest.raises(AudioError) as caught:
        audio.load(path, **options)
    assert caught.value.path == os.fsdecode(path)
    return caught.value.reason


# --- good files -----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG", "MP3", "AIFF", "AU", "W64", "RF64", "CAF"])
@pytest.mark.parametrize("channels", [1, 2])
def test_every_format_gives_its_tone(write, form, channels):
    samples = np.repeat(tone()[:, None], channels, axis=1)
    signal = audio.load(write(encoded(samples, form=form), "misnamed.wav"))
    assert signal.rate == RATE and signal.samples.dtype == np.float32
    assert signal.duration == 1.0
    tolerance = 0.04 if form in ("OGG", "MP3") else 2**-15
    assert np.abs(signal.samples - tone()).max() < tolerance


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_sample_widths(write, subtype):
    step = 2**-7 if subtype == "PCM_U8" else 2**-15
    signal = audio.load(write(encoded(tone(), subtype=subtype)))
    assert np.abs(signal.samples - tone()).max() <= step


@pytest.mark.parametrize("subtype", ["ALAW", "ULAW"])
def test_telephone_codes(write, subtype):
    assert np.abs(audio.load(write(encoded(tone(), subtype=subtype))).samples - tone()).max() < 0.02


def test_equals_the_standard_library(write):
    path = write(encoded(tone()))
    with wave.open(str(path)) as file:
        expected = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 2**15
    np.testing.assert_array_equal(audio.load(path).samples, expected.astype(np.float32))


@pytest.mark.parametrize("channels", [1, 2, 3, 5, 8])
def test_mix_down_equals_librosa(write, channels):
    noise = np.random.default_rng(0).uniform(-0.9, 0.9, (RATE, channels)).astype(np.float32)
    path = write(encoded(noise, subtype="FLOAT"))
    expected, rate = librosa.load(path, sr=None, mono=True)
    np.testing.assert_array_equal(audio.load(path).samples, expected)
    assert rate == RATE


def test_long_files_cross_block_borders(write):
    samples = np.random.default_rng(1).uniform(-0.9, 0.9, 700_001).astype(np.float32)
    path = write(encoded(samples, subtype="FLOAT"))
    np.testing.assert_array_equal(audio.load(path).samples, samples)
    pieces = [piece.samples for piece in audio.blocks(path)]
    assert len(pieces) > 2
    np.testing.assert_array_equal(np.concatenate(pieces), samples)


@pytest.mark.parametrize("rate", [4_000, 8_000, 11_025, 24_414, 48_000, 192_000, 384_000])
def test_any_rate(write, rate):
    assert audio.load(write(encoded(tone(rate=rate), rate))).rate == rate


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x80000000, 0x7FFFFFFF, 0x7FFFF000])
def test_wav_written_into_a_pipe_has_no_size_and_is_whole(write, size):
    content = bytearray(encoded(tone()))
    content[40:44] = struct.pack("<I", size)
    assert audio.load(write(content)).duration == 1.0


def test_wav_that_counts_its_header_as_samples_is_whole(write):
    content = bytearray(encoded(tone()))
    content[40:44] = struct.pack("<I", len(content))
    assert audio.load(write(content)).duration == 1.0


def test_flac_written_into_a_pipe_has_no_length_and_is_whole(write):
    content = bytearray(encoded(tone(), form="FLAC"))
    # STREAMINFO starts after the marker (4 bytes) and block header (4); its bits 108 to 143 are the
    # number of samples, 0 when unknown.
    content[21] &= 0xF0
    content[22:26] = b"\0\0\0\0"
    np.testing.assert_allclose(audio.load(write(content)).samples, tone(), atol=2**-15)


def test_unusual_names(write, tmp_path):
    content = encoded(tone())
    for name in ("a b.wav", "quo'te\".wav", "new\nline.wav", "<b>&amp;$(x).wav", "日本.wav"):
        assert audio.load(write(content, name)).path.endswith(name)
    raw = os.fsencode(tmp_path) + b"/\xff\xfe.wav"
    with open(raw, "wb") as file:
        file.write(content)
    assert os.fsencode(audio.load(raw).path) == raw
    assert audio.load(os.fsdecode(raw)).duration == 1.0


def test_urls_through_fsspec(tmp_path):
    with fsspec.open("memory://clips/a.flac", "wb") as file:
        file.write(encoded(tone(), form="FLAC"))
    signal = audio.load("memory://clips/a.flac")
    assert signal.duration == 1.0 and signal.path == "memory://clips/a.flac"
    local = tmp_path / "b.wav"
    local.write_bytes(encoded(tone()))
    assert audio.load(f"file://{local}").duration == 1.0
    assert reason("memory://clips/none.wav") == "no such file"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("nowhere://a.wav", "'nowhere://' is not supported; a URL may begin with file, memory, s3"),
        ("webhdfs://127.0.0.1:9/a.wav", "'webhdfs://' is not supported"),
        ("reference://a.wav::/tmp/refs.json", "'reference://' is not supported"),
        ("memory://a.wav::s3://bucket/x", "a URL inside another URL is not"),
        ("simplecache::memory://clips/b.flac", "no such file"),
        ("file:///dev/zero", "not a regular file"),
        ("FILE:///dev/zero", "not a regular file"),
    ],
)
def test_urls_lead_to_few_places(url, says):
    with fsspec.open("memory://clips/b.flac", "wb") as file:
        file.write(encoded(tone(), form="FLAC"))
    assert says in reason(url)
    assert content.read(url) is None and content.stamp_of(url) is None


def test_a_url_of_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert reason(f"file://{tmp_path}/pipe") == "not a regular file"
    assert content.read(f"file://{tmp_path}/pipe") is None


def test_what_a_url_sends_is_bounded(monkeypatch):
    with fsspec.open("memory://clips/long.wav", "wb") as file:
        file.write(bytes(3 * 2**20))
    with pytest.raises(AudioError, match="larger than the limit of 2097152 bytes"):
        opening.open_binary("memory://clips/long.wav", limit=2**21)
    monkeypatch.setattr(content, "MAX_REMOTE", 2**21)
    assert content.read("memory://clips/long.wav") is None


def test_real_stereo_clips_mix_down_exactly(ravdess):
    for clip in STEREO:
        path = ravdess / f"{clip}.flac"
        both, rate = soundfile.read(path, dtype="float32")
        assert both.shape[1] == 2
        signal = audio.load(path)
        assert signal.rate == rate == 48_000
        np.testing.assert_array_equal(signal.samples, both[:, 0])
        np.testing.assert_array_equal(signal.samples, both[:, 1])


def test_real_corpus_has_its_five_stereo_clips_and_its_length(ravdess):
    paths = sorted(ravdess.glob("*/*.flac"))
    infos = [soundfile.info(path) for path in paths]
    stereo = [
        f"{p.parent.name}/{p.stem}" for p, i in zip(paths, infos, strict=True) if i.channels > 1
    ]
    assert tuple(stereo) == STEREO
    assert sum(info.frames / info.samplerate for info in infos) == pytest.approx(5328.96, abs=0.01)
    sample = paths[:: len(paths) // 20]
    for path in sample:
        assert audio.load(path).duration == soundfile.info(path).duration


# --- resampling -----------------------------------------------------------------------------------


@pytest.mark.parametrize("source,wanted", [(48_000, 22_050), (16_000, 22_050), (44_100, 16_000)])
def test_resampling_equals_librosa(source, wanted):
    noise = np.random.default_rng(2).uniform(-0.5, 0.5, source + 7).astype(np.float32)
    ours = audio.resample(audio.Signal(noise, source), wanted)
    theirs = librosa.resample(noise, orig_sr=source, target_sr=wanted, res_type="soxr_hq")
    assert ours.rate == wanted and ours.samples.dtype == np.float32
    np.testing.assert_array_equal(ours.samples, theirs)


@given(length=st.integers(100, 5000), source=st.integers(4000, 96000), to=st.integers(4000, 96000))
@settings(max_examples=50, deadline=None)
def test_resampled_length(length, source, to):
    signal = audio.Signal(np.zeros(length, np.float32), source)
    assert len(audio.resample(signal, to).samples) == math.ceil(length * to / source)


def test_resampling_to_the_same_rate_is_free():
    signal = audio.Signal(tone(), RATE, "x")
    assert audio.resample(signal, RATE) is signal


def test_resampling_keeps_a_tone():
    ours = audio.resample(audio.Signal(tone(rate=48_000), 48_000), 22_050)
    np.testing.assert_allclose(ours.samples[500:-500], tone(rate=22_050)[500:-500], atol=1e-3)


# --- bad files ------------------------------------------------------------------------------------


def test_missing_and_irregular(tmp_path, write):
    assert reason(tmp_path / "none.wav") == "no such file"
    assert reason(tmp_path) == "a folder, not a recording"
    assert reason(write(b"")) == "empty file"
    assert "this is not a valid file name" in reason("a\0b.wav")
    assert "this is not a valid file name" in reason("\ud800.wav")
    loop = tmp_path / "loop.wav"
    loop.symlink_to(loop)
    assert "symbolic links" in reason(loop)
    assert "too long" in reason("x" * 5000)


def test_fifo_and_device_are_refused_at_once(tmp_path):
    fifo = tmp_path / "fifo.wav"
    os.mkfifo(fifo)
    outcome = []
    worker = threading.Thread(target=lambda: outcome.append(reason(fifo)), daemon=True)
    worker.start()
    worker.join(10)
    assert outcome == ["not a regular file"]
    assert reason("/dev/zero") == "not a regular file"


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_no_permission(write):
    path = write(encoded(tone()))
    path.chmod(0)
    assert reason(path) == "no permission to read it"


def test_no_permission_is_named(write, monkeypatch):
    path = write(encoded(tone()))

    def refuse(*args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    assert reason(path) == "no permission to read it"


@pytest.mark.parametrize("content", [b"hello" * 100, b"<html></html>" * 9, bytes(4000), b"RIFF"])
def test_not_audio(write, content):
    assert "not audio" in reason(write(content)) or "damaged" in reason(write(content))


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG", "MP3", "AIFF", "AU", "W64", "RF64", "CAF"])
@pytest.mark.parametrize("kept", [0.99, 0.5, 0.1])
def test_truncation_is_seen(write, form, kept):
    content = encoded(np.random.default_rng(3).normal(0, 0.1, 3 * RATE), form=form)
    told = reason(write(content[: int(kept * len(content))]))
    assert "truncated" in told or "damaged" in told


def test_twenty_hours_in_one_kilobyte(write):
    flac = bytearray(encoded(tone(0.2), form="FLAC"))
    flac[21] |= 0x0F
    flac[22:26] = b"\xff\xff\xff\xff"
    assert "truncated" in reason(write(flac, "a.flac"))
    wav = bytearray(encoded(tone(0.03)))
    wav[40:44] = struct.pack("<I", 20 * 3600 * RATE * 2 % 2**32)
    assert "truncated" in reason(write(wav, "b.wav"))


def test_limit_on_length(write):
    path = write(encoded(tone(2.0)))
    assert reason(path, max_seconds=1.5) == "longer than the limit of 1.5 s"
    assert audio.load(path, max_seconds=2.0).duration == 2.0


def test_flac_bomb_stops_at_the_limit(write, monkeypatch):
    monkeypatch.setattr(audio, "MAX_SAMPLES", 300_000)
    bomb = encoded(np.zeros(4_000_000, np.float32), form="FLAC")
    assert len(bomb) < 40_000
    assert "longer than the limit" in reason(write(bomb))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_numbers(write, bad):
    samples = tone()
    samples[100] = bad
    assert "not numbers" in reason(write(encoded(samples, subtype="FLOAT")))


def test_wrong_scale(write):
    told = reason(write(encoded(tone() * 32768, subtype="FLOAT")))
    assert "1.64e+04" in told and "-1 and 1" in told
    assert audio.load(write(encoded(tone() * 2.5, subtype="FLOAT"))).samples.max() > 1


@pytest.mark.parametrize("level", [0.0, 0.5, -1.0])
def test_silence_and_constant(write, level):
    assert "silent" in reason(write(encoded(np.full(RATE, level, np.float32))))


def test_one_step_of_noise_is_silence(write):
    steps = np.random.default_rng(4).integers(0, 2, RATE) / 2**15
    assert "silent" in reason(write(encoded(steps)))


def test_channels_that_cancel(write):
    both = np.stack([tone(), -tone()], axis=1)
    assert "cancel" in reason(write(encoded(both, subtype="FLOAT")))


def test_short_and_empty_recordings(write):
    assert "no samples" in reason(write(encoded(np.zeros(0, np.float32))))
    assert "too short: 0 ms" in reason(write(encoded(tone()[:1])))
    assert "too short: 10 ms" in reason(write(encoded(tone(0.01))))
    assert audio.load(write(encoded(tone(0.1)))).duration == 0.1


@pytest.mark.parametrize("rate", [1, 3_999, 384_001, 1_000_000])
def test_impossible_rates(write, rate):
    assert f"sample rate {rate} Hz" in reason(write(encoded(tone(), rate)))


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG", "MP3"])
@given(data=st.data())
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_damage_anywhere_gives_samples_or_a_reason(write, form, data):
    content = bytearray(encoded(tone(0.3), form=form))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    del content[data.draw(st.integers(1, len(content))) :]
    try:
        signal = audio.load(write(content), max_seconds=600)
    except AudioError as error:
        assert error.reason
    else:
        assert np.isfinite(signal.samples).all() and len(signal.samples)
