"""Reads recordings: decode, check, mix down, resample.

Conventions: samples are mono float32 in [-1, 1] at the recording's own rate in Hz; durations are in
seconds. Everything that libsndfile reads is accepted (WAV, FLAC, OGG, MP3, AIFF …), told by its
content and never by its file name. What cannot be trusted is refused with an
:class:`~emoscope.errors.AudioError` that says why; no other exception leaves :func:`load`, and a
header is never believed: memory grows only with samples that were really decoded.

Truncation cannot be seen in an MP3 without a length header and in NIST SPHERE files.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import re
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from ..errors import AudioError
from .opening import open_binary, os_reason

Samples: TypeAlias = NDArray[np.float32]

MIN_SECONDS = 0.1
"""Shortest clip that is accepted: below it there is no syllable to judge, and fewer than ten frames
of the usual 10 ms hop."""

MIN_RATE, MAX_RATE = 4_000, 384_000
"""Sample rates in Hz that are accepted; anything outside is a damaged header, not speech."""

MAX_SAMPLES = 2**29
"""Longest recording after mixing down: 2**29 samples * 4 bytes = 2 GiB, 3.1 hours at 48 kHz."""

MAX_PEAK = 10.0
"""Largest magnitude that is accepted: 20 dB over full scale. Lossy decoders overshoot by a few per
cent; integers stored as floats exceed it a thousandfold."""

SILENCE = 2.0**-15
"""A recording whose samples span no more than one 16-bit step is silent."""

UNKNOWN_FORMAT = "not audio that libsndfile can read"
"""The reason given for formats that another decoder may know."""

_BLOCK = 2**18  # samples of all channels decoded at a time: 1 MiB
_UNKNOWN_LENGTH = 2**63 - 1  # libsndfile's SF_COUNT_MAX: a stream that does not state its length
# What encoders that write into a pipe leave as the size of the data they cannot know yet.
_STREAMING_SIZES = {0xFFFFFFFF, 0x80000000, 0x7FFFFFFF, 0x7FFFF000}
_HEADER_BYTES = 64  # some writers count the header as samples; nothing is missing then
_WRONG_SIZE = re.compile(
    r"(riff(?: size)?|data(?: size)?|ssnd)\s*:\s*(\d+) \(should be (\d+)\)", re.IGNORECASE
)
_UNFINISHED_OGG = re.compile(r"Ogg ?: (?:Last page lacks an end|Junk after the last page)")


@dataclasses.dataclass(frozen=True, eq=False)
class Signal:
    """One recording in memory.

    Attributes
    ----------
    samples : ndarray of float32 [shape=(n_samples,)]
        Mono samples in [-1, 1].
    rate : int
        Sample rate in Hz.
    path : str
        Where it came from, as the caller named it; ``""`` for samples made in memory.
    """

    samples: Samples
    rate: int
    path: str = ""

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.rate


def load(path: str | bytes | os.PathLike[str], *, max_seconds: float | None = None) -> Signal:
    """Decode a recording, mix it down to mono and check that it can be used.

    Parameters
    ----------
    path : str, bytes or path-like
        A file, or a URL of :data:`emoscope.audio.opening.PROTOCOLS` (``s3://…``, ``https://…``).
    max_seconds : float, optional
        Refuse recordings longer than this. Without it the limit is :data:`MAX_SAMPLES`.

    Returns
    -------
    Signal
        The mean of the channels, float32, at the recording's own rate.

    Raises
    ------
    AudioError
        When the recording is missing, not a regular file, not readable, empty, not audio, damaged,
        truncated, too long, too short, silent, or holds values that are not samples.
    """
    name = os.fsdecode(path)
    with _opened(name) as source:
        limit = MAX_SAMPLES / source.samplerate if max_seconds is None else max_seconds
        pieces = list(_decode(source, name, min(limit, MAX_SAMPLES / source.samplerate)))
        samples = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
        check(samples, source.samplerate, source.channels, name)
        return Signal(samples, source.samplerate, name)


def blocks(
    path: str | bytes | os.PathLike[str], *, max_seconds: float | None = None
) -> Iterator[Signal]:
    """Decode a recording of any length piece by piece, in bounded memory.

    Parameters
    ----------
    path : str, bytes or path-like
        A file, or a URL as for :func:`load`.
    max_seconds : float, optional
        Refuse recordings longer than this; without it there is no limit.

    Yields
    ------
    Signal
        Consecutive pieces, mixed down as by :func:`load`, at the recording's own rate.

    Raises
    ------
    AudioError
        As :func:`load`; what only the whole recording can tell (truncated, too short, silent) is
        raised after its last piece.
    """
    name = os.fsdecode(path)
    with _opened(name) as source:
        limit = math.inf if max_seconds is None else max_seconds
        count, low, high = 0, math.inf, -math.inf
        for piece in _decode(source, name, limit):
            lowest, highest = float(piece.min()), float(piece.max())
            check_range(lowest, highest, name)
            low, high, count = min(low, lowest), max(high, highest), count + len(piece)
            yield Signal(piece, source.samplerate, name)
        check_whole(count, low, high, source.samplerate, source.channels, name)


def beginning(path: str | bytes | os.PathLike[str], n_samples: int) -> Signal:
    """Decode no more than the first samples of a recording, without the checks of :func:`load`.

    Raises
    ------
    AudioError
        When the recording cannot be opened or its beginning not be decoded.
    """
    name = os.fsdecode(path)
    with _opened(name) as source:
        samples = source.read(n_samples, dtype="float32", always_2d=True).mean(axis=1)
        return Signal(samples, source.samplerate, name)


@contextlib.contextmanager
def _opened(name: str) -> Iterator[_Sequential]:
    """The decoder of a recording; whatever it or the system refuses becomes an AudioError."""
    with contextlib.ExitStack() as stack:
        raw = stack.enter_context(open_binary(name, limit=4 * MAX_SAMPLES))
        try:
            yield stack.enter_context(_Sequential(raw))
        except soundfile.SoundFileError as error:
            raise AudioError(name, _unreadable(error)) from None
        except OSError as error:
            raise AudioError(name, os_reason(error)) from None


def resample(signal: Signal, rate: int) -> Signal:
    """Change the sample rate, with soxr's high-quality filter.

    Parameters
    ----------
    signal : Signal
        The recording.
    rate : int
        Wanted rate in Hz.

    Returns
    -------
    Signal
        ``ceil(n_samples * rate / signal.rate)`` samples, the length that librosa gives; the signal
        itself when it already has that rate.
    """
    if rate == signal.rate:
        return signal
    samples = soxr.resample(signal.samples, signal.rate, rate, quality="HQ")
    wanted = math.ceil(len(signal.samples) * rate / signal.rate)
    samples = np.pad(samples[:wanted], (0, max(0, wanted - len(samples))))
    return Signal(samples.astype(np.float32, copy=False), rate, signal.path)


class _Sequential(soundfile.SoundFile):  # type: ignore[misc]
    """Reads front to back only: streams of unknown length cannot seek to their end."""

    def seekable(self) -> bool:
        """Never: soundfile would seek after each block."""
        return False


def _decode(source: soundfile.SoundFile, name: str, max_seconds: float) -> Iterator[Samples]:
    """Mono samples piece by piece, never more than the limit and one block."""
    if not MIN_RATE <= source.samplerate <= MAX_RATE:
        raise AudioError(
            name, f"sample rate {source.samplerate} Hz is not within {MIN_RATE} to {MAX_RATE} Hz"
        )
    _check_sizes(source, name)
    frames = max(1, _BLOCK // source.channels)
    count = 0
    while len(block := source.read(frames, dtype="float32", always_2d=True)):
        count += len(block)
        if count > max_seconds * source.samplerate:
            raise AudioError(name, f"longer than the limit of {max_seconds:g} s")
        # The same mean over the same memory layout as librosa.to_mono, hence the same bits.
        yield block.mean(axis=1) if source.channels > 1 else block[:, 0]
    promised = source.frames
    if count < promised != _UNKNOWN_LENGTH:
        raise AudioError(
            name,
            f"truncated: its header promises {promised / source.samplerate:.2f} s, "
            f"the file holds {count / source.samplerate:.2f} s",
        )


def _check_sizes(source: soundfile.SoundFile, name: str) -> None:
    """Refuse a file whose header speaks of more bytes than there are.

    libsndfile quietly corrects such sizes, and says so only in its log.
    """
    for what, stated, found in _WRONG_SIZE.findall(source.extra_info):
        if what.lower().startswith("riff") and source.format not in ("RF64", "W64"):
            continue  # the chunk of samples may still be whole, and has a line of its own
        excess = int(stated) - int(found)
        if excess > _HEADER_BYTES and int(stated) not in _STREAMING_SIZES:
            raise AudioError(
                name, f"truncated: its header promises {stated} bytes, the file holds {found}"
            )
    if _UNFINISHED_OGG.search(source.extra_info):
        raise AudioError(name, "truncated: the stream does not end with a whole last page")


def check(samples: Samples, rate: int, channels: int, name: str) -> None:
    """Refuse samples that no feature can be computed from.

    Parameters
    ----------
    samples : ndarray of float32 [shape=(n_samples,)]
        A whole recording, mixed down.
    rate : int
        Sample rate in Hz.
    channels : int
        How many channels were mixed down.
    name : str
        What the recording is called in messages.

    Raises
    ------
    AudioError
        As :func:`load` does for the recording as a whole.
    """
    low, high = (float(samples.min()), float(samples.max())) if len(samples) else (0.0, 0.0)
    check_range(low, high, name)
    check_whole(len(samples), low, high, rate, channels, name)


def check_range(low: float, high: float, name: str) -> None:
    """Refuse values that are not samples."""
    if not (math.isfinite(low) and math.isfinite(high)):
        raise AudioError(name, "contains values that are not numbers (NaN or infinity)")
    if max(-low, high) > MAX_PEAK:
        raise AudioError(
            name, f"samples reach {max(-low, high):.3g}, but float samples must lie within -1 and 1"
        )


def check_whole(count: int, low: float, high: float, rate: int, channels: int, name: str) -> None:
    """Refuse recordings that hold too little, or nothing that changes."""
    if not count:
        raise AudioError(name, "empty: a header without samples")
    if count < MIN_SECONDS * rate:
        raise AudioError(
            name, f"too short: {1000 * count / rate:.0f} ms, at least 100 ms are needed"
        )
    if high - low <= SILENCE:
        why = " (or its channels cancel each other)" if channels > 1 else ""
        raise AudioError(name, f"silent: all samples have the same value{why}")


def _unreadable(error: soundfile.SoundFileError) -> str:
    """Tell what libsndfile does not know from what it knows and finds damaged."""
    detail = getattr(error, "error_string", str(error)).removeprefix("Error : ").rstrip(".")
    if "Format not recognised" in detail or "unimplemented" in detail:
        return UNKNOWN_FORMAT
    if "does not exist" in detail:  # how libsndfile reports an MP3 stream without a whole frame
        detail = "no complete frame of audio"
    return f"damaged or truncated, the decoder says: {detail}"
