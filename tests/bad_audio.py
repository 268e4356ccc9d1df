"""A corpus of bad audio, and of good audio that looks bad: ``python tests/bad_audio.py FOLDER``.

Nothing here is a real recording: each file is a synthetic voice of half a second, or bytes that are
no recording at all. Every case states whether it can be used and, if not, the reason that must be
given. The files lie in folders ``speaker/emotion``, so the whole is a corpus that every command takes.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import os
import re
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile

from recordings import voice

RATE = 16_000
SPEAKERS, EMOTIONS = ("anna", "bert", "cleo", "dora"), ("happy", "sad")
PERMISSION = "without permission"
TRUNCATED = "truncated|damaged"
FOREIGN = "not audio|damaged|truncated"


@dataclasses.dataclass(frozen=True)
class Case:
    """One file.

    Attributes
    ----------
    name : str
        What is special about it.
    file : str
        Its name; bytes that are not UTF-8 are surrogate escapes.
    content : bytes or None
    reason : str
        Pattern of the reason for which it is refused; empty when it can be used.
    make : callable, optional
        Makes what is no regular file with content.
    """

    name: str
    file: str
    content: bytes | None = None
    reason: str = ""
    make: Callable[[str], object] | None = None

    @property
    def good(self) -> bool:
        """Whether it can be used."""
        return not self.reason

    def write(self, path: str) -> None:
        """Make the file."""
        if self.make is not None:
            self.make(path)
        if self.content is not None:
            with open(path, "xb") as file:
                file.write(self.content)
        if self.name == PERMISSION:
            os.chmod(path, 0)


@functools.cache
def speech(rate: int = RATE, seconds: float = 0.5) -> np.ndarray:
    return np.resize(voice(seconds, rate=max(rate, 4000)), max(1, round(seconds * rate)))


def encoded(
    samples: np.ndarray | None = None,
    form: str = "WAV",
    subtype: str | None = None,
    rate: int = RATE,
) -> bytes:
    """Samples in a format of libsndfile."""
    file = io.BytesIO()
    samples = speech(rate) if samples is None else samples
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    with soundfile.SoundFile(file, "w", rate, channels, subtype, format=form) as sound:
        for start in range(0, len(samples), 2**16):  # libsndfile crashes on more of Vorbis at once
            sound.write(samples[start : start + 2**16])
    return file.getvalue()


def wav(
    data: bytes | None = None,
    *,
    code: int = 1,
    channels: int = 1,
    rate: int = RATE,
    bits: int = 16,
    block: int = 2,
    stated: int | None = None,
    format_size: int = 16,
) -> bytes:
    """A WAV file whose header says what it is told to say; a chunk of text stands before the data."""
    data = encoded()[44:] if data is None else data
    form = struct.pack("<HHIIHH", code, channels, rate, rate * block, block, bits)
    body = b"WAVEfmt " + struct.pack("<I", format_size) + form
    body += b"LIST" + struct.pack("<I", 12) + b"INFOISFT\0\0\0\0"
    body += b"data" + struct.pack("<I", len(data) if stated is None else stated) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def lasting(frames: int) -> bytes:
    """A FLAC file of a fifth of a second whose header states any number of frames."""
    content = bytearray(encoded(speech(seconds=0.2), "FLAC"))
    # STREAMINFO starts after the marker (4 bytes) and block header (4); its bits 108 to 143 are the
    # number of frames.
    content[21] = content[21] & 0xF0 | frames >> 32
    content[22:26] = struct.pack(">I", frames & 0xFFFFFFFF)
    return bytes(content)


def truncated() -> Iterator[Case]:
    """Every format cut off, and WAV at the border of every chunk."""
    whole = wav()
    places = {
        "in its first word": 3,
        "after RIFF": 4,
        "after the size of RIFF": 8,
        "after WAVE": 12,
        "in the format": 30,
        "after the format": 36,
        "in the text": 50,
        "after the text": 56,
        "before the size of the data": 60,
        "in the samples": 5000,
        "before the last samples": len(whole) - 200,
    }
    for where, size in places.items():
        yield Case(f"WAV cut off {where}", f"cut-{size}.wav", whole[:size], FOREIGN)
    yield Case("WAV cut off before its samples", "header.wav", whole[:64], "no samples|trunc")
    for form in ("FLAC", "OGG", "MP3", "AIFF", "AU", "W64", "RF64", "CAF"):
        content = encoded(form=form)
        file = f"cut.{form.lower()}"
        yield Case(f"{form} cut off in the middle", file, content[: len(content) // 2], TRUNCATED)


def headers() -> Iterator[Case]:
    """Headers that lie."""
    yield Case("no byte", "empty.wav", b"", "empty file")
    yield Case("no samples", "no-samples.wav", wav(b""), "no samples")
    hours = wav(b"\1\0" * 500, stated=20 * 3600 * 2 * RATE)
    yield Case("20 hours in a header, 1 kB", "20-hours.wav", hours, "truncated")
    yield Case("20 hours in a FLAC header", "20-hours.flac", lasting(20 * 3600 * RATE), "truncated")
    yield Case("most frames in a FLAC header", "36-bits.flac", lasting(2**36 - 1), "truncated")
    yield Case("data larger than the file", "larger.wav", wav(stated=100_000), "truncated")
    yield Case("size of a pipe: all bits", "pipe.wav", wav(stated=0xFFFFFFFF))
    yield Case("size of a pipe: first bit", "pipe-2.wav", wav(stated=0x80000000))
    yield Case("wrong size of RIFF", "riff.wav", b"RIFF\1\0\0\0" + wav()[8:])
    yield Case("format of size 0", "format-0.wav", wav(format_size=0), FOREIGN)
    yield Case("format of 2 GB", "format-2g.wav", wav(format_size=2**31), FOREIGN)
    yield Case("no channel", "channels-0.wav", wav(channels=0, block=0), FOREIGN)
    yield Case("65535 channels", "channels-65535.wav", wav(channels=65_535), FOREIGN)
    yield Case("no bits", "bits-0.wav", wav(bits=0), FOREIGN)
    yield Case("an unknown code", "code.wav", wav(code=0x7FFF), FOREIGN)
    for rate in (0, 1, 3999, 500_000, 2**31 - 1, 2**32 - 1):
        content = wav(rate=0)[:24] + struct.pack("<I", rate) + wav()[28:]
        yield Case(f"{rate} Hz", f"rate-{rate}.wav", content, "sample rate|damaged|not audio")


def endings() -> Iterator[Case]:
    """Files that are not what they are called."""
    for form in ("AIFF", "MP3", "FLAC", "OGG"):
        yield Case(f"{form} called .wav", f"really-{form.lower()}.wav", encoded(form=form))
    yield Case("WAV called .mp3", "really-wav.mp3", encoded())
    for name, content in {
        "text": b"no sound in here\n" * 50,
        "HTML": b"<html><script>alert(1)</script></html>" * 9,
        "zeros": bytes(4000),
        "random bytes": np.random.default_rng(0).bytes(4000),
        "an archive": b"PK\3\4" + bytes(400),
        "a program": b"\x7fELF\2\1\1" + bytes(400),
        "a pickle": b"\x80\4cos\nsystem\n(S'true'\ntR.",
        "a picture": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(100),
        "a playlist": b"#EXTM3U\n#EXTINF:2,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        "a list for ffmpeg": b"ffconcat version 1.0\nfile /etc/passwd\n",
    }.items():
        yield Case(f"{name} called .wav", f"{name.replace(' ', '-')}.wav", content, FOREIGN)


def samples() -> Iterator[Case]:
    """Unusual samples."""
    for subtype in ("PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ALAW", "ULAW", "IMA_ADPCM",
                    "MS_ADPCM", "GSM610"):  # fmt: skip
        content = encoded(subtype=subtype)
        yield Case(f"samples of {subtype}", f"{subtype.lower()}.wav", content)
    for channels in range(1, 9):
        content = encoded(np.repeat(speech()[:, None], channels, axis=1))
        yield Case(f"{channels} channels", f"channels-{channels}.wav", content)
    for rate in (4000, 8000, 11_025, 22_050, 44_100, 48_000, 96_000, 192_000, 384_000):
        yield Case(f"{rate} Hz", f"rate-{rate}.wav", encoded(rate=rate))
    loud = np.clip(20 * speech(), -1, 1)
    yield Case("clipping at full scale", "clipping.wav", encoded(loud))
    short = {"1 sample": 1, "10 ms": RATE // 100, "99 ms": RATE // 10 - 16}
    for name, count in short.items():
        yield Case(name, f"{name.replace(' ', '-')}.wav", encoded(speech()[:count]), "too short")
    flat = np.ones(RATE // 2, np.float32)
    hole, beyond = speech().copy(), speech().copy()
    hole[100], beyond[100] = np.nan, np.inf
    for name, values, why in (
        ("digital silence", 0 * flat, "silent"),
        ("a constant", 0.5 * flat, "silent"),
        ("not a number", hole, "not numbers"),
        ("infinity", beyond, "not numbers"),
        ("values of 16 bits as floats", 32_768 * speech(), "must lie within"),
        ("the largest floats", 3e38 * np.sign(speech()), "must lie within|not numbers"),
        ("channels that cancel", np.stack([speech(), -speech()], axis=1), "cancel"),
    ):
        file = f"{name.replace(' ', '-')}.wav"
        yield Case(name, file, encoded(values, subtype="FLOAT"), why)
    hours = np.zeros((4_000_000, 8), np.int16)
    yield Case("a bomb: 32 million zeros", "bomb.flac", encoded(hours, "FLAC"), "silent")


def names() -> Iterator[Case]:
    """Names that end up in tables, pages and terminals."""
    for name in (
        "with spaces .wav", "-n.wav", "--help.wav", "quo'te\"s.wav", "new\nline.wav",
        "tab\tbell\a.wav", "<img src=x onerror=alert(1)>.wav", "&amp;{{7*7}}.wav",
        "$(reboot);`id`|&.wav", "$x$ %s%n.wav",
        "=1+1,'.wav", "take [1].wav", "*.wav", "~.wav", "[bold red]markup.wav", "\x1b[31mred.wav",
        "日本語.wav", "\u202egnp.wav", os.fsdecode(b"\xff\xfe.wav"), "x" * 251 + ".wav",
    ):  # fmt: skip
        yield Case(f"named {ascii(name[:40])}", name, encoded())


def _device(path: str) -> None:
    os.symlink("/dev/zero", path)


def _socket(path: str) -> None:
    listener = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(os.path.dirname(path))  # the address of a socket is at most 107 bytes long
    listener.bind(os.path.basename(path))
    os.chdir(here)
    listener.close()


def places() -> Iterator[Case]:
    """What is no file, or may not be read."""
    yield Case("a FIFO", "fifo.wav", None, "not a regular file", os.mkfifo)
    yield Case("a directory", "directory.wav", None, "folder", os.mkdir)
    yield Case("a link to itself", "loop.wav", None, "symbolic links", lambda p: os.symlink(p, p))
    yield Case(
        "a link to nothing", "nothing.wav", None, "no such file", lambda p: os.symlink("x", p)
    )
    yield Case("a link to a device", "device.wav", None, "not a regular file", _device)
    yield Case("a socket", "socket.wav", None, "regular file|cannot be read", _socket)
    yield Case(PERMISSION, "permission.wav", encoded(), "no permission")


@functools.cache
def cases() -> tuple[Case, ...]:
    """Every case; half a dozen plain files among them."""
    plain = (
        Case(f"plain {n}", f"plain-{n}.wav", encoded((n + 3) / 10 * speech())) for n in range(6)
    )
    parts = (plain, truncated(), headers(), endings(), samples(), names(), places())
    return tuple(case for part in parts for case in part)


def write(folder: Path) -> dict[str, Case]:
    """Make the corpus; gives the case of each path."""
    found = {}
    for number, case in enumerate(cases()):
        speaker = SPEAKERS[number % len(SPEAKERS)]
        emotion = EMOTIONS[number // len(SPEAKERS) % len(EMOTIONS)]
        place = folder / speaker / emotion
        place.mkdir(parents=True, exist_ok=True)
        path = f"{place}/{case.file}"
        case.write(path)
        found[path] = case
    return found


def fits(case: Case, reason: str) -> bool:
    """Whether the reason given is the one that was expected."""
    return bool(case.reason and re.search(case.reason, reason))


if __name__ == "__main__":
    print(f"{len(write(Path(sys.argv[1])))} files in {sys.argv[1]}")
