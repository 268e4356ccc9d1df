"""Reads recordings of any format: decode, check, mix down to mono, resample.

Samples are mono float32 in [-1, 1] at the recording's own rate in Hz; durations are in seconds.
libsndfile decodes what it knows and FFmpeg, where there is one, everything else (:mod:`.ffmpeg`).
Formats are told by their content. What cannot be trusted is refused with an AudioError; no other
exception leaves this package, and a header is never believed: memory grows only with samples that
were really decoded. Truncation cannot be seen in an MP3 without a length header and in NIST SPHERE.
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
from numpy.typing import ArrayLike, NDArray

from ..errors import AudioError
from . import ffmpeg
from .opening import URL, open_binary, os_reason

__all__ = ["MAX_RATE", "MIN_RATE", "Signal", "blocks", "from_array", "load", "rate_of", "resample"]

Samples: TypeAlias = NDArray[np.float32]

MIN_RATE, MAX_RATE = 4_000, 384_000  # in Hz: outside is a damaged header, not speech
MAX_SAMPLES = 2**29  # that :func:`load` takes: 2**29 * 4 bytes = 2 GiB, 3.1 hours at 48 kHz
_MIN_SECONDS = 0.1  # below it there is no syllable, and fewer than ten frames of a 10 ms hop
_MAX_CHANNELS = 64  # of an array: more are a matrix given the wrong way round
_MAX_PEAK = 10.0  # lossy decoders overshoot 1 by a few per cent, integers stored as floats by far
_SILENCE = 2.0**-15  # samples that span no more than one 16-bit step are silent
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
    """One recording in memory."""

    samples: Samples  # mono, in [-1, 1], [shape=(n_samples,)]
    rate: int  # in Hz
    path: str = ""  # where it came from, as the caller named it; empty for samples made in memory

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.rate


def load(path: str | bytes | os.PathLike[str], *, max_seconds: float | None = None) -> Signal:
    """Decode a recording, mix it down to mono and check that it can be used.

    Parameters
    ----------
    path : str, bytes or path-like
        A sound or video file, or a URL of :data:`emoscope.audio.opening.PROTOCOLS` (``s3://…``,
        ``https://…``), behind which must be a format that libsndfile knows.
    max_seconds : float, optional
        Refuse recordings longer than this. Without it the limit is :data:`MAX_SAMPLES`.

    Raises
    ------
    AudioError
        When the recording is missing, not a regular file, not readable, empty, not audio, damaged,
        truncated, too long, too short, silent, or holds values that are not samples.
    """
    name = os.fsdecode(path)
    pieces = list(_checked(name, max_seconds, max_samples=MAX_SAMPLES))
    return Signal(np.concatenate([piece.samples for piece in pieces]), pieces[0].rate, name)


def blocks(
    path: str | bytes | os.PathLike[str], *, max_seconds: float | None = None
) -> Iterator[Signal]:
    """Decode a recording of any length in pieces; what only the whole tells is raised last."""
    yield from _checked(os.fsdecode(path), max_seconds)


def rate_of(path: str | bytes | os.PathLike[str]) -> int:
    """The sample rate of a recording in Hz; an AudioError when its beginning cannot be decoded."""
    name = os.fsdecode(path)
    with contextlib.suppress(_UnknownFormat), _libsndfile(name) as source:
        source.read(1)  # a header alone may belong to anything
        return int(source.samplerate)
    for _, rate in _ffmpeg(name):
        return rate
    raise AudioError(name, "holds no sound")


def from_array(samples: ArrayLike, rate: int | None, name: str = "") -> Signal:
    """Floats in [-1, 1], int16 or int32, (n_samples[, n_channels]), checked as :func:`load` does."""
    label = name or "array"
    if rate is None:
        raise AudioError(label, "samples without a sample rate: give rate= in Hz")
    _check_rate(rate, label)
    values = np.asarray(samples)
    if values.ndim not in (1, 2) or (values.ndim == 2 and values.shape[1] > _MAX_CHANNELS):
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
    low, high = (float(mono.min()), float(mono.max())) if len(mono) else (0.0, 0.0)
    _check_range(low, high, label)
    _check_whole(len(mono), low, high, signal.rate, channels, label)
    return signal


def resample(signal: Signal, rate: int) -> Signal:
    """Change the sample rate with soxr's high-quality filter, to as many samples as librosa."""
    if rate == signal.rate:
        return signal
    samples = soxr.resample(signal.samples, signal.rate, rate, quality="HQ")
    length = math.ceil(len(signal.samples) * rate / signal.rate)
    samples = np.pad(samples[:length], (0, max(0, length - len(samples))))
    return Signal(samples.astype(np.float32, copy=False), rate, signal.path)


def _checked(
    name: str, max_seconds: float | None, *, max_samples: float = math.inf
) -> Iterator[Signal]:
    """Mono pieces of a recording, each checked; what only the whole can tell follows the last."""
    count, low, high, rate, channels = 0, math.inf, -math.inf, MIN_RATE, 1
    for block, rate in _decode(name):
        _check_rate(rate, name)
        count, channels = count + len(block), block.shape[1]
        limit = min(math.inf if max_seconds is None else max_seconds, max_samples / rate)
        if count > limit * rate:
            raise AudioError(name, f"longer than the limit of {limit:g} s")
        # The same mean over the same memory layout as librosa.to_mono, hence the same bits.
        mono = block.mean(axis=1) if channels > 1 else block[:, 0]
        lowest, highest = float(mono.min()), float(mono.max())
        _check_range(lowest, highest, name)
        low, high = min(low, lowest), max(high, highest)
        yield Signal(mono, rate, name)
    _check_whole(count, low, high, rate, channels, name)


def _decode(name: str) -> Iterator[tuple[Samples, int]]:
    """Blocks of samples [shape=(n_samples, n_channels)] with their rate in Hz."""
    with contextlib.suppress(_UnknownFormat), _libsndfile(name) as source:
        _check_sizes(source, name)
        n_frames = max(1, _BLOCK // source.channels)
        count = 0
        while len(block := source.read(n_frames, dtype="float32", always_2d=True)):
            count += len(block)
            yield block, source.samplerate
        if count < source.frames != _UNKNOWN_LENGTH:
            raise AudioError(
                name,
                f"truncated: its header promises {source.frames / source.samplerate:.2f} s, "
                f"the file holds {count / source.samplerate:.2f} s",
            )
        return
    yield from _ffmpeg(name)


class _UnknownFormat(Exception):
    """libsndfile does not know a local file's format; FFmpeg may."""


class _Sequential(soundfile.SoundFile):  # type: ignore[misc]
    """Reads front to back only: streams of unknown length cannot seek to their end."""

    def seekable(self) -> bool:
        """Never: soundfile would seek after each block."""
        return False


@contextlib.contextmanager
def _libsndfile(name: str) -> Iterator[_Sequential]:
    """libsndfile's decoder of a recording; whatever it or the system refuses is an AudioError."""
    with contextlib.ExitStack() as stack:
        raw = stack.enter_context(open_binary(name, limit=4 * MAX_SAMPLES))
        try:
            yield stack.enter_context(_Sequential(raw))
        except OSError as error:
            raise AudioError(name, os_reason(error)) from None
        except soundfile.SoundFileError as error:
            detail = getattr(error, "error_string", str(error)).removeprefix("Error : ").rstrip(".")
            if "Format not recognised" in detail or "unimplemented" in detail:
                if URL.match(name):
                    raise AudioError(name, "not audio that libsndfile can read") from None
                raise _UnknownFormat from None
            if "does not exist" in detail:  # an MP3 stream without a whole frame
                detail = "no complete frame of audio"
            reason = f"damaged or truncated, the decoder says: {detail}"
            raise AudioError(name, reason) from None


def _ffmpeg(name: str) -> Iterator[tuple[Samples, int]]:
    """Blocks from FFmpeg's decoders."""
    try:
        yield from ffmpeg.decode(name)
    except ffmpeg.DecodingError as error:
        raise AudioError(name, str(error)) from None


def _check_sizes(source: soundfile.SoundFile, name: str) -> None:
    """Refuse a header that speaks of more bytes than there are, which libsndfile only logs."""
    for what, stated, actual in _WRONG_SIZE.findall(source.extra_info):
        if what.lower().startswith("riff") and source.format not in ("RF64", "W64"):
            continue  # the chunk of samples may still be whole, and has a line of its own
        excess = int(stated) - int(actual)
        if excess > _HEADER_BYTES and int(stated) not in _STREAMING_SIZES:
            raise AudioError(
                name, f"truncated: its header promises {stated} bytes, the file holds {actual}"
            )
    if _UNFINISHED_OGG.search(source.extra_info):
        raise AudioError(name, "truncated: the stream does not end with a whole last page")


def _check_rate(rate: int, name: str) -> None:
    if not MIN_RATE <= rate <= MAX_RATE:
        raise AudioError(name, f"sample rate {rate} Hz is not within {MIN_RATE} to {MAX_RATE} Hz")


def _check_range(low: float, high: float, name: str) -> None:
    """Refuse values that are not samples."""
    if not (math.isfinite(low) and math.isfinite(high)):
        raise AudioError(name, "contains values that are not numbers (NaN or infinity)")
    if max(-low, high) > _MAX_PEAK:
        raise AudioError(
            name, f"samples reach {max(-low, high):.3g}, but float samples must lie within -1 and 1"
        )


def _check_whole(count: int, low: float, high: float, rate: int, channels: int, name: str) -> None:
    """Refuse recordings that hold too little, or nothing that changes."""
    if not count:
        raise AudioError(name, "empty: a header without samples")
    if count < _MIN_SECONDS * rate:
        raise AudioError(
            name, f"too short: {1000 * count / rate:.0f} ms, at least 100 ms are needed"
        )
    if high - low <= _SILENCE:
        why = " (or its channels cancel each other)" if channels > 1 else ""
        raise AudioError(name, f"silent: all samples have the same value{why}")
