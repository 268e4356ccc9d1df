"""Reads what libsndfile cannot: the sound of video files, M4A, WebM, WMA, AMR …

Decoding goes through the ``ffmpeg`` program when it is installed, else through the package ``av``
(PyAV); neither is required. Both are told to accept containers of one recording only: playlists and
other formats that can point at further files or addresses are refused.

Conventions are those of :mod:`emoscope.audio`: mono float32 at the recording's own rate, channels
mixed down by their mean.
"""

from __future__ import annotations

import glob
import math
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from .. import audio
from ..errors import AudioError
from . import Signal, av_stream
from .opening import URL

if TYPE_CHECKING:
    import subprocess

CONTAINERS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dts,eac3,flac,flv,gsm,live_flv,matroska,webm,"
    "mov,mp4,m4a,3gp,3g2,mj2,mp3,mpeg,mpegts,ogg,rm,tak,tta,w64,wav,wv"
)
"""Demuxers of ffmpeg that hold their recording inside the file itself."""

SOUND_ENDINGS = frozenset([
    "wav", "wave", "flac", "ogg", "oga", "opus", "mp3", "aif", "aiff", "aifc", "au", "snd",
    "caf", "w64", "rf64", "m4a", "m4b", "aac", "mka", "wma", "amr", "ac3",
])  # fmt: skip
"""Endings of the names of sound files, which are clips when a corpus is searched."""

ENDINGS = SOUND_ENDINGS | {
    "mp4", "m4v", "mov", "mkv", "webm", "avi", "wmv", "asf", "3gp", "3g2", "mpg", "mpeg",
}  # fmt: skip
"""Endings of the names of sound and video files, which are recordings when a folder is searched."""

PATIENCE = 120.0
"""Seconds that another program may take for the next five seconds of sound."""
_AU_HEADER = 24  # bytes: magic, offset of the samples, size, encoding, rate, channels
_READ_SECONDS = 5.0


def load(path: str | os.PathLike[str], *, max_seconds: float | None = None) -> Signal:
    """Decode a whole recording of any format that this machine can read.

    Parameters
    ----------
    path : str or path-like
        A sound or video file, or a URL as for :func:`emoscope.audio.load`.
    max_seconds : float, optional
        Refuse recordings longer than this.

    Returns
    -------
    Signal

    Raises
    ------
    AudioError
        As :func:`emoscope.audio.load`.
    """
    try:
        return audio.load(path, max_seconds=max_seconds)
    except AudioError as error:
        if not _needs_another_decoder(error, path):
            raise
    name = os.fsdecode(path)
    pieces = list(_checked(_foreign(name), name, max_seconds, max_samples=audio.MAX_SAMPLES))
    return Signal(np.concatenate([piece.samples for piece in pieces]), pieces[0].rate, name)


def blocks(path: str | os.PathLike[str], *, max_seconds: float | None = None) -> Iterator[Signal]:
    """Decode a recording of any length and format piece by piece, in bounded memory.

    Parameters
    ----------
    path : str or path-like
        A sound or video file, or a URL as for :func:`emoscope.audio.load`.
    max_seconds : float, optional
        Refuse recordings longer than this; without it there is no limit.

    Yields
    ------
    Signal
        Consecutive pieces of at most a few seconds.

    Raises
    ------
    AudioError
        As :func:`emoscope.audio.blocks`.
    """
    try:
        yield from audio.blocks(path, max_seconds=max_seconds)
    except AudioError as error:
        if not _needs_another_decoder(error, path):
            raise
        name = os.fsdecode(path)
        yield from _checked(_foreign(name), name, max_seconds)


def _needs_another_decoder(error: AudioError, path: str | os.PathLike[str]) -> bool:
    """Whether libsndfile does not know the format of a file of this machine."""
    return error.reason == audio.UNKNOWN_FORMAT and not URL.match(os.fsdecode(path))


def rate_of(path: str | os.PathLike[str]) -> int:
    """The sample rate of a recording in Hz, from no more than its beginning.

    Raises
    ------
    AudioError
        When its beginning cannot be decoded.
    """
    try:
        return audio.beginning(path, 1).rate
    except AudioError as error:
        if not _needs_another_decoder(error, path):
            raise
    for piece in _foreign(os.fsdecode(path)):
        return piece.rate
    raise AudioError(path, "holds no sound")


def find(names: Iterable[str]) -> list[str]:
    """Recordings that files, folders and patterns stand for.

    Parameters
    ----------
    names : iterable of str
        A folder stands for every recording in it at any depth, told by the ending of its name; a
        pattern (``*``, ``?``, ``**``) for every file it matches; anything else for itself.

    Returns
    -------
    list of str
        In the order given, each folder and pattern in alphabetical order, without repetitions.

    Raises
    ------
    AudioError
        When a folder or pattern stands for nothing.
    """
    found: dict[str, None] = {}
    for name in names:
        matches = [name]
        if os.path.isdir(name):
            matches = sorted(_recordings(name))
        elif glob.has_magic(name) and not os.path.lexists(name):
            matches = sorted(p for p in glob.glob(name, recursive=True) if not os.path.isdir(p))
        if not matches:
            kind = "a folder without recordings" if os.path.isdir(name) else "matches no file"
            raise AudioError(name, kind)
        found.update(dict.fromkeys(matches))
    return list(found)


def _recordings(folder: str) -> Iterator[str]:
    for place, _, names in os.walk(folder):
        for name in names:
            if os.path.splitext(name)[1].lower().lstrip(".") in ENDINGS:
                yield os.path.join(place, name)


def from_array(samples: Any, rate: int | None, name: str = "") -> Signal:
    """Take samples that are already in memory.

    Parameters
    ----------
    samples : array-like, shape (n_samples,) or (n_samples, n_channels)
        Floats in [-1, 1], or integers of 16 or 32 bits, which are scaled to that range.
    rate : int
        Sample rate in Hz.
    name : str, optional
        What the recording is called in messages.

    Returns
    -------
    Signal

    Raises
    ------
    AudioError
        When there is no rate, or the values, shape or length cannot be a recording.
    """
    label = name or "array"
    if rate is None:
        raise AudioError(label, "samples without a sample rate: give rate= in Hz")
    if not audio.MIN_RATE <= rate <= audio.MAX_RATE:
        raise AudioError(
            label,
            f"sample rate {rate} Hz is not within {audio.MIN_RATE} to {audio.MAX_RATE} Hz",
        )
    values = np.asarray(samples)
    if values.ndim not in (1, 2) or (values.ndim == 2 and values.shape[1] > 64):
        raise AudioError(
            label, f"an array of shape {values.shape}; (n_samples,) or (n_samples, n_channels) fits"
        )
    if values.dtype in (np.int16, np.int32):
        values = values / np.float32(-int(np.iinfo(values.dtype).min))
    elif values.dtype.kind != "f":
        raise AudioError(label, f"samples of type {values.dtype}; floats, int16 or int32 fit")
    channels = values.shape[1] if values.ndim == 2 else 1
    mono = values.mean(axis=1) if values.ndim == 2 else values
    signal = Signal(np.ascontiguousarray(mono, dtype=np.float32), int(rate), name)
    audio.check(signal.samples, signal.rate, channels, label)
    return signal


def _checked(
    pieces: Iterable[Signal],
    name: str,
    max_seconds: float | None,
    *,
    max_samples: float = math.inf,
) -> Iterator[Signal]:
    """The checks of :mod:`emoscope.audio` on pieces from another decoder."""
    longest = math.inf if max_seconds is None else max_seconds
    count, low, high, rate = 0, math.inf, -math.inf, audio.MIN_RATE
    for piece in pieces:
        rate, count = piece.rate, count + len(piece.samples)
        limit = min(longest, max_samples / rate)
        if count > limit * rate:
            raise AudioError(name, f"longer than the limit of {limit:g} s")
        lowest, highest = float(piece.samples.min()), float(piece.samples.max())
        audio.check_range(lowest, highest, name)
        low, high = min(low, lowest), max(high, highest)
        yield piece
    audio.check_whole(count, low, high, rate, 1, name)


def _foreign(path: str) -> Iterator[Signal]:
    """Decode with whichever of ffmpeg and PyAV is here."""
    import importlib.util

    program = shutil.which("ffmpeg")
    if program:
        return _ffmpeg(program, path)
    if importlib.util.find_spec("av"):
        return _pyav(path)
    raise AudioError(
        path,
        f"{audio.UNKNOWN_FORMAT}; video files and further formats are read when the program "
        "ffmpeg or the package 'av' is installed",
    )


def _ffmpeg(program: str, path: str) -> Iterator[Signal]:
    """Decode with the ffmpeg program: its output is a Sun AU stream of 32-bit floats."""
    command = [program, "-nostdin", "-v", "error", "-xerror", "-protocol_whitelist", "file"]
    command += ["-format_whitelist", CONTAINERS, "-i", _url(path)]
    command += ["-map", "0:a:0", "-c:a", "pcm_f32be", "-f", "au", "pipe:1"]
    return _from_process(command, path, _ffmpeg_reason)


def _pyav(path: str) -> Iterator[Signal]:
    """Decode with PyAV, in a process of its own: a damaged file can crash its decoders."""
    command = [sys.executable, "-I", av_stream.__file__, _url(path), CONTAINERS]
    return _from_process(command, path, _pyav_reason)


def _url(path: str) -> str:
    return f"file:{os.path.abspath(path)}"


def _from_process(
    command: Sequence[str], path: str, reason: Callable[[str], str]
) -> Iterator[Signal]:
    """The sound that a program writes; what it says when it fails goes through `reason`."""
    import subprocess
    import tempfile

    with tempfile.TemporaryFile() as messages:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=messages
        )
        assert process.stdout is not None
        try:
            yield from _watched(_au_pieces(process.stdout, path), process, path)
            status = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AudioError(path, f"damaged: its decoder did not end in {PATIENCE:g} s") from None
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
        messages.seek(0)
        said = messages.read(100_000).decode(errors="replace")
        if status < 0:
            raise AudioError(path, "damaged: its decoder crashed")
        # A Matroska file that breaks off is no error to ffmpeg, only a remark.
        if status or "ended prematurely" in said:
            raise AudioError(path, reason(said))


def _watched(
    pieces: Iterator[Signal], process: subprocess.Popen[bytes], path: str
) -> Iterator[Signal]:
    """The pieces, as long as the next one comes in time; a file can make a decoder turn for ever."""
    late = False

    def end() -> None:
        nonlocal late
        late = True
        process.kill()

    while True:
        timer = threading.Timer(PATIENCE, end)
        timer.daemon = True
        timer.start()
        try:
            piece = next(pieces, None)
        finally:
            timer.cancel()
        if late:
            raise AudioError(path, f"damaged: its decoder found nothing within {PATIENCE:g} s")
        if piece is None:
            return
        yield piece


def _au_pieces(stream: IO[bytes], path: str) -> Iterator[Signal]:
    """Mono pieces of an AU stream (big-endian 32-bit floats)."""
    header = stream.read(_AU_HEADER)
    if len(header) < _AU_HEADER:
        return
    _, offset, _, _, rate, channels = np.frombuffer(header, ">u4").tolist()
    if not audio.MIN_RATE <= rate <= audio.MAX_RATE:
        raise AudioError(
            path, f"sample rate {rate} Hz is not within {audio.MIN_RATE} to {audio.MAX_RATE} Hz"
        )
    stream.read(offset - _AU_HEADER)
    frame = 4 * channels
    for content in iter(lambda: stream.read(frame * int(rate * _READ_SECONDS)), b""):
        whole = len(content) - len(content) % frame
        values = np.frombuffer(content[:whole], ">f4").astype(np.float32).reshape(-1, channels)
        if len(values):
            yield Signal(values.mean(axis=1), rate, path)


def _ffmpeg_reason(messages: str) -> str:
    """ffmpeg's refusal in one line."""
    if "matches no streams" in messages:
        return "holds no sound"
    if "not on whitelist" in messages or "Invalid data found" in messages:
        return "not audio that libsndfile or ffmpeg can read"
    lines = [line.strip() for line in messages.splitlines() if line.strip()]
    return f"damaged or truncated, ffmpeg says: {lines[-1] if lines else 'nothing'}"


def _pyav_reason(message: str) -> str:
    """PyAV's refusal in one line."""
    said = message.strip()
    return said if said == "holds no sound" else f"damaged or not audio, PyAV says: {said}"
