"""A part of a recording: from when to when, and which of its channels."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Sequence

from ..errors import AudioError, UnknownNameError

SLACK = 0.05  # seconds that a part may end beyond its file: tables round, lossy formats pad
CHOICES = ("left", "right", "1", "2", "…", "each", "mix")
_NAMES = ("left", "right")


@dataclasses.dataclass(frozen=True)
class Excerpt:
    """What is taken of a recording; by default all of it, its channels mixed.

    It holds the samples ``round(start * rate)`` … ``round(end * rate) - 1``.
    """

    path: str
    start: float = 0.0  # seconds
    end: float | None = None  # seconds; None: to the end of the recording
    channel: int | None = None  # from 0, which is the left one; None: the mean of all

    @classmethod
    def of(cls, source: str | bytes | os.PathLike[str] | Excerpt) -> Excerpt:
        """What a caller has named: an excerpt, or a path, which is all of the recording."""
        return source if isinstance(source, Excerpt) else cls(os.fsdecode(source))

    @property
    def is_part(self) -> bool:
        """Whether it begins or ends elsewhere than its recording."""
        return self.start != 0.0 or self.end is not None

    def __str__(self) -> str:
        """The path and, of less than the whole, what: ``talk.wav (1.5–3.25 s, left)``."""
        end = "end" if self.end is None else f"{_seconds(self.end)} s"
        told = [f"{_seconds(self.start)}–{end}"] if self.is_part else []
        told += [] if self.channel is None else [channel_name(self.channel)]
        return f"{self.path} ({', '.join(told)})" if told else self.path

    def span(self, rate: int) -> tuple[int, float]:
        """The numbers of its first sample and of the one behind its last, at a rate in Hz."""
        stop = math.inf if self.end is None else round(self.end * rate)
        return round(self.start * rate), stop

    def check(self) -> None:
        """Refuse times and channels that no recording can have, as an AudioError."""
        times = [self.start] if self.end is None else [self.start, self.end]
        if not all(math.isfinite(time) and time >= 0.0 for time in times):
            raise AudioError(self, "start and end must be times in seconds, 0 or more")
        if self.end is not None and self.end <= self.start:
            raise AudioError(self, "ends before it starts" if self.end < self.start else "is empty")
        if self.channel is not None and self.channel < 0:
            raise AudioError(self, "channels are counted from 0")

    def check_within(self, seconds: float) -> None:
        """Refuse, as an AudioError, what does not lie within a file of that length."""
        length = f"the file is {seconds:.2f} s long"
        if self.end is not None and self.start + 100 <= self.end <= 1000 * (seconds + SLACK):
            length += "; if its times are in milliseconds, call the columns start_ms and end_ms"
        if self.is_part and self.start >= seconds:
            raise AudioError(self, f"starts behind the end of its file: {length}")
        if self.end is not None and self.end > seconds + SLACK:
            raise AudioError(self, f"ends behind the end of its file: {length}")


def by_file(excerpts: Sequence[Excerpt]) -> dict[str, list[int]]:
    """The numbers of the excerpts of each file, in their order."""
    files: dict[str, list[int]] = {}
    for number, excerpt in enumerate(excerpts):
        files.setdefault(excerpt.path, []).append(number)
    return files


def parse_channel(text: str) -> int | None:
    """The channel that ``left``, ``right`` or a number from 1 names; None for ``mix`` and nothing.

    ``each`` is no single channel: callers ask :func:`emoscope.audio.each_channel` for those. An
    UnknownNameError lists what is allowed.
    """
    word = text.strip().lower()
    if word in ("", "mix"):
        return None
    if word in _NAMES:
        return _NAMES.index(word)
    if word.isascii() and word.isdigit() and 0 < int(word) < 1000:
        return int(word) - 1
    raise UnknownNameError("channel", text, CHOICES)


def channel_name(channel: int) -> str:
    """What people call a channel: ``left`` for 0, ``right`` for 1, ``3`` for 2."""
    return _NAMES[channel] if channel < len(_NAMES) else str(channel + 1)


def _seconds(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".") if math.isfinite(value) else str(value)
