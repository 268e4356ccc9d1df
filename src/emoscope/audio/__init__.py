"""Reads recordings of any format: decode, check, mix down to mono, resample.

Samples are mono float32 in [-1, 1] at the recording's own rate in Hz. What cannot be trusted is refused
with an AudioError, the only exception of this package; no header is believed. Truncation cannot be seen
in an MP3 without a length header and in NIST SPHERE.
"""

import contextlib
import dataclasses
import math
import os
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
import soundfile
import soxr
from numpy.typing import ArrayLike, NDArray

from ..errors import AudioError
from ..files import sentence
from . import ffmpeg
from .channels import ChannelMeter
from .excerpt import Checks, Excerpt, channel_name, parse_channel
from .opening import URL, finished, is_open, open_binary, os_reason

__all__ = [
    "DIFFERENT_SPEECH", "MAX_RATE", "MIN_RATE", "UNFINISHED", "ChannelMeter", "Excerpt",
    "Recording", "Signal", "blocks", "channel_name", "cut", "each_channel",
    "from_array", "load", "parse_channel", "rate_of", "resample",
]  # fmt: skip

Samples: TypeAlias = NDArray[np.float32]
Recording: TypeAlias = str | bytes | os.PathLike[str] | Excerpt

#: Notes of a signal, on how it was read.
UNFINISHED = (
    "unfinished: the header does not state the length, as when a recorder is interrupted; the file was "
    "read to its end, but audio may be missing"
)
DIFFERENT_SPEECH = "mixed: its two channels hold different speech"

MIN_RATE, MAX_RATE = 4_000, 384_000  # in Hz: outside is a damaged header, not speech
MAX_SAMPLES = 2**29  # that :func:`load` takes: 2**29 * 4 bytes = 2 GiB, 3.1 hours at 48 kHz
_MAX_CHANNELS = 64  # of an array: more are a matrix given the wrong way round
_BLOCK = 2**18  # samples of all channels decoded at a time: 1 MiB
_UNKNOWN_LENGTH = 2**63 - 1  # libsndfile's SF_COUNT_MAX: a stream that does not state its length
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
    notes: tuple[str, ...] = ()  # what its user should know of how it was read, a sentence each

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.rate


def load(recording: Recording, *, max_seconds: float | None = None) -> Signal:
    """Decode a recording or a part of one, mix it down to mono and check that it can be used.

    Parameters
    ----------
    recording : str, bytes, path-like or Excerpt
        A sound or video file, or a URL of :data:`emoscope.audio.opening.PROTOCOLS` (``s3://…``,
        ``https://…``), behind which must be a format that libsndfile knows; or a part or channel.
    max_seconds : float, optional
        Refuse what is longer than this. Without it the limit is :data:`MAX_SAMPLES`.
    """
    pieces = list(blocks(recording, max_seconds=max_seconds, max_samples=MAX_SAMPLES))
    return dataclasses.replace(pieces[0], samples=np.concatenate([p.samples for p in pieces]))


def blocks(
    recording: Recording, *, max_seconds: float | None = None, max_samples: float = math.inf,
    meter: ChannelMeter | None = None,
) -> Iterator[Signal]:  # fmt: skip
    """Decode a recording of any length in pieces, and feed a meter; what the whole tells is last."""
    excerpt, rate, notes = Excerpt.of(recording), MIN_RATE, list[str]()
    checks = Checks(excerpt)
    for piece, rate in _pieces(excerpt, notes):
        limit = min(math.inf if max_seconds is None else max_seconds, max_samples / rate)
        mono = checks.take(piece, at_most=limit * rate, limit=limit)
        if meter:
            meter.feed(piece, rate)
        yield Signal(mono, rate, checks.label, tuple(notes))
    checks.end(rate)


def cut(
    path: str, excerpts: Sequence[Excerpt], *, listen: bool = False
) -> Iterator[tuple[int, Signal | AudioError]]:
    """Decode a file once; its parts may overlap and come in any order.

    Yields the number of each part as soon as it is complete, and what :func:`load` would return or
    raise for it. With `listen`, :data:`DIFFERENT_SPEECH` is among the notes of a mix where it is so.
    """
    waiting: list[int] = []  # the earliest last
    for number, excerpt in enumerate(excerpts):
        try:
            excerpt.check()
            waiting.append(number)
        except AudioError as error:
            yield number, error
    waiting.sort(key=lambda number: -excerpts[number].start)
    begun: list[int] = []
    kept: deque[tuple[int, Samples]] = deque()  # blocks, each with the number of its first sample
    position, rate, notes = 0, MIN_RATE, list[str]()
    try:
        for block, rate in _decode(path, notes) if waiting else ():
            _check_rate(rate, path)
            kept.append((position, block))
            position += len(block)
            while waiting and excerpts[waiting[-1]].span(rate)[0] < position:
                begun.append(waiting.pop())
            for number in [n for n in begun if excerpts[n].span(rate)[1] <= position]:
                begun.remove(number)
                yield number, _part(excerpts[number], kept, rate, notes, listen)
            if not (begun or waiting):
                return
            first = min((excerpts[n].span(rate)[0] for n in begun), default=position)
            if position - first > MAX_SAMPLES:
                raise AudioError(path, f"longer than the limit of {MAX_SAMPLES / rate:g} s")
            while kept and kept[0][0] + len(kept[0][1]) <= first:
                kept.popleft()
    except AudioError as error:
        for number in (*begun, *waiting):
            yield number, AudioError(excerpts[number], error.reason)
        return
    for number in (*begun, *waiting):
        try:
            excerpts[number].check_within(position / rate)
            yield number, _part(excerpts[number], kept, rate, notes, listen)
        except AudioError as error:
            yield number, error


def each_channel(path: str) -> list[Excerpt]:
    """One excerpt for every channel of a recording, the left one first."""
    for block, _ in _decode(path, []):
        return [Excerpt(path, channel=channel) for channel in range(block.shape[1])]
    raise AudioError(path, sentence("excerpt.empty"))


def rate_of(path: str | bytes | os.PathLike[str]) -> int:
    """The sample rate of a recording in Hz; an AudioError when its beginning cannot be decoded."""
    name = os.fsdecode(path)
    with contextlib.suppress(_UnknownFormat), _libsndfile(name, []) as source:
        source.read(1)  # a header alone may belong to anything
        return int(source.samplerate)
    for _, rate in ffmpeg.decode(name):
        return rate
    raise AudioError(name, "holds no sound")


def from_array(
    samples: ArrayLike, rate: int | None, name: str = "", *, channel: int | None = None
) -> Signal:
    """Floats in [-1, 1], int16 or int32, (n_samples[, n_channels]), checked as :func:`load` does."""
    label = name or "array"
    if rate is None:
        raise AudioError(label, "samples without a sample rate: give rate= in Hz")
    _check_rate(rate, label)
    values = np.asarray(samples)
    if values.ndim not in (1, 2) or (values.ndim == 2 and values.shape[1] > _MAX_CHANNELS):
        raise AudioError(label, sentence("array_shape", shape=values.shape))
    if values.dtype in (np.int16, np.int32):
        values = values / np.float32(-int(np.iinfo(values.dtype).min))
    elif values.dtype.kind != "f":
        raise AudioError(label, f"samples of type {values.dtype}; expected float, int16 or int32")
    checks = Checks(Excerpt(label, channel=channel))
    mono = checks.take(values if values.ndim == 2 else values[:, None]) if len(values) else values
    checks.end(int(rate))
    return Signal(np.ascontiguousarray(mono, dtype=np.float32), int(rate), name)


def resample(signal: Signal, rate: int) -> Signal:
    """Change the sample rate with soxr's high-quality filter, to as many samples as librosa."""
    if rate == signal.rate:
        return signal
    samples = soxr.resample(signal.samples, signal.rate, rate, quality="HQ")
    length = math.ceil(len(signal.samples) * rate / signal.rate)
    samples = np.pad(samples[:length], (0, max(0, length - len(samples))))
    return dataclasses.replace(signal, samples=samples.astype(np.float32, copy=False), rate=rate)


def _pieces(excerpt: Excerpt, notes: list[str]) -> Iterator[tuple[Samples, int]]:
    """What decoded blocks hold of an excerpt, with their rate."""
    excerpt.check()
    position = 0
    for block, rate in _decode(excerpt.path, notes):
        _check_rate(rate, excerpt.path)
        if len(piece := _within(block, position, excerpt, rate)):
            yield piece, rate
        position += len(block)
        if position >= excerpt.span(rate)[1]:
            return
    if position:
        excerpt.check_within(position / rate)


def _part(
    excerpt: Excerpt, kept: Iterable[tuple[int, Samples]], rate: int, notes: list[str], listen: bool
) -> Signal | AudioError:
    checks, meter = Checks(excerpt), ChannelMeter()
    within = [_within(block, position, excerpt, rate) for position, block in kept]
    try:
        pieces = [checks.take(piece) for piece in within if len(piece)]
        checks.end(rate)
    except AudioError as error:
        return error
    for piece in within if listen and excerpt.channel is None else ():
        meter.feed(piece, rate)
    told = [*notes, DIFFERENT_SPEECH] if meter.different_speech else notes
    return Signal(np.concatenate(pieces), rate, checks.label, tuple(told))


def _within(block: Samples, position: int, excerpt: Excerpt, rate: int) -> Samples:
    """What of a block, whose first sample has that number, belongs to an excerpt."""
    first, stop = excerpt.span(rate)
    return block[max(0, first - position) : max(0, int(min(stop - position, len(block))))]


def _decode(name: str, notes: list[str]) -> Iterator[tuple[Samples, int]]:
    """Blocks [shape=(n_samples, n_channels)] with their rate in Hz; notes is added to before."""
    with contextlib.suppress(_UnknownFormat), _libsndfile(name, notes) as source:
        _check_sizes(source, name)
        n_frames = max(1, _BLOCK // source.channels)
        count = 0
        while len(block := source.read(n_frames, dtype="float32", always_2d=True)):
            count += len(block)
            yield block, source.samplerate
        if count < source.frames != _UNKNOWN_LENGTH:
            promised, held = (n / source.samplerate for n in (source.frames, count))
            raise AudioError(name, sentence("header_states", promised=promised, held=held))
        return
    yield from ffmpeg.decode(name)


class _UnknownFormat(Exception):
    """libsndfile does not know a local file's format; FFmpeg may."""


class _Sequential(soundfile.SoundFile):  # type: ignore[misc]
    """Reads front to back only: streams of unknown length cannot seek to their end."""

    def seekable(self) -> bool:
        return False  # else soundfile would seek after each block


@contextlib.contextmanager
def _libsndfile(name: str, notes: list[str]) -> Iterator[_Sequential]:
    """libsndfile's decoder of a recording; whatever it or the system refuses is an AudioError."""
    with open_binary(name, limit=4 * MAX_SAMPLES) as raw:
        try:
            if header := finished(raw):
                raw.header = header
                notes.append(UNFINISHED)
            with _Sequential(raw) as source:
                yield source
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
            raise AudioError(name, f"damaged or truncated; the decoder reports: {detail}") from None


def _check_sizes(source: soundfile.SoundFile, name: str) -> None:
    """Refuse a header that speaks of more bytes than there are, which libsndfile only logs."""
    for what, stated, actual in _WRONG_SIZE.findall(source.extra_info):
        if what.lower().startswith("riff") and source.format not in ("RF64", "W64"):
            continue  # the chunk of samples may still be whole, and has a line of its own
        excess = int(stated) - int(actual)
        if excess > _HEADER_BYTES and not is_open(int(stated)):
            raise AudioError(name, sentence("audio.wrong_bytes", stated=stated, held=actual))
    if _UNFINISHED_OGG.search(source.extra_info):
        raise AudioError(name, "truncated: the last page of the stream is incomplete")


def _check_rate(rate: int, name: str) -> None:
    if not MIN_RATE <= rate <= MAX_RATE:
        limits = {"least": MIN_RATE, "most": MAX_RATE}
        raise AudioError(name, sentence("audio.wrong_rate", rate=rate, **limits))
