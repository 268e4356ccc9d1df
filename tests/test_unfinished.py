"""WAV files that a recorder left unfinished, and finished ones that must not be taken for such."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from emoscope import audio
from emoscope.errors import AudioError
from recordings import voice

RATE = 16_000
SOUND = (voice(1.5) * 32767).astype("<i2")
FORMAT = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16)


def chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def wav(sound: bytes, *, riff: int | None = None, data: int | None = None, before=b"", behind=b""):
    data = len(sound) if data is None else data
    body = b"WAVE" + before + FORMAT + b"data" + struct.pack("<I", data) + sound + behind
    return b"RIFF" + struct.pack("<I", len(body) if riff is None else riff) + body


def load(tmp_path, content: bytes) -> audio.Signal:
    (tmp_path / "some.wav").write_bytes(content)
    return audio.load(tmp_path / "some.wav")


WHOLE = SOUND.tobytes()
UNKNOWN = 0xFFFFFFFF


@pytest.mark.parametrize(
    "header",
    [
        {"riff": 0, "data": 0},
        {"riff": 36, "data": 0},
        {"riff": 4088, "data": 0, "before": chunk(b"JUNK", bytes(28))},
        {"riff": 36 + 2048, "data": 2048},
        {"riff": 36 + 16000, "data": 16000},
        {"riff": 0, "data": 4096},
        {"riff": UNKNOWN, "data": UNKNOWN},
        {"riff": 0, "data": UNKNOWN},
        {"riff": 0x7FFFFFFF, "data": 0x7FFFFFDB},
        {"riff": UNKNOWN, "data": UNKNOWN - 100},
    ],
    ids=str,
)
@pytest.mark.parametrize("silence", [0, 70_000])
def test_what_follows_is_read_and_said(tmp_path, header, silence):
    sound = WHOLE + bytes(silence) if header["data"] else bytes(silence) + WHOLE
    signal = load(tmp_path, wav(sound, **header))
    np.testing.assert_array_equal(signal.samples, np.frombuffer(sound, "<i2") / np.float32(32768))
    assert signal.notes == (audio.UNFINISHED,)
    assert audio.rate_of(tmp_path / "some.wav") == RATE


BEHIND = {
    "nothing": b"",
    "list": chunk(b"LIST", b"INFOINAM" + bytes(3)),
    "id3 larger than the sound": chunk(b"id3 ", bytes(range(256)) * 100),
    "several": chunk(b"bext", bytes(700)) + chunk(b"smpl", bytes(36)) + chunk(b"cue ", bytes(4)),
    "tag": b"TAG" + bytes(range(125)),
    "padding": bytes(50_000),
    "few bytes": b"\x90" * 100,
}


@pytest.mark.parametrize("behind", BEHIND, ids=str)
@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize("n_samples", [8_000, 7_999, 24_000])
def test_finished_files_stay_as_they_are(tmp_path, behind, counted, n_samples):
    """Whatever stands behind the samples, and whether or not the size of the whole counts it."""
    sound = SOUND[:n_samples].tobytes()
    riff = None if counted else 36 + len(sound)
    signal = load(tmp_path, wav(sound, riff=riff, behind=BEHIND[behind]))
    np.testing.assert_array_equal(signal.samples, SOUND[:n_samples] / np.float32(32768))
    assert signal.notes == ()


def test_truncated_and_empty_files_are_still_refused(tmp_path):
    with pytest.raises(AudioError, match="truncated"):
        load(tmp_path, wav(WHOLE)[:-10_000])
    with pytest.raises(AudioError, match="empty"):
        load(tmp_path, wav(b""))
    with pytest.raises(AudioError, match="empty"):
        load(tmp_path, wav(b"", behind=chunk(b"LIST", b"INFOINAM" + bytes(300))))
