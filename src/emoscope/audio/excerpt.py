"""A part of a recording: from when to when, which of its channels, and whether it can be used."""

import dataclasses
import math
import os
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import AudioError, UnknownNameError
from ..files import sentence

SLACK = 0.05  # seconds that a part may end beyond its file: tables round, lossy formats pad
CHOICES = ("left", "right", "1", "2", "…", "each", "mix")
_NAMES = ("left", "right")
_MIN_SECONDS = 0.1  # below it there is no syllable, and fewer than ten frames of a 10 ms hop
_MAX_PEAK = 10.0  # lossy decoders overshoot 1 by a few per cent, integers stored as floats by far
_SILENCE = 2.0**-15  # samples that span no more than one 16-bit step are silent
_CANCELLED = 0.1  # share of two channels' mean power below which their mix is what cancelling left

Values: TypeAlias = NDArray[Any]


@dataclasses.dataclass(frozen=True)
class Excerpt:
    """What is taken of a recording; by default all of it, its channels mixed."""

    path: str
    start: float = 0.0  # seconds
    end: float | None = None  # seconds; None: to the end of the recording
    channel: int | None = None  # from 0, which is the left one; None: the mean of all

    @classmethod
    def of(cls, source: "str | bytes | os.PathLike[str] | Excerpt") -> "Excerpt":
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
        return round(self.start * rate), math.inf if self.end is None else round(self.end * rate)

    def check(self) -> None:
        """Refuse times and channels that no recording can have, as an AudioError."""
        times = [self.start] if self.end is None else [self.start, self.end]
        if not all(math.isfinite(time) and time >= 0.0 for time in times):
            raise AudioError(self, "start and end must be times in seconds, 0 or more")
        if self.end is not None and self.end <= self.start:
            raise AudioError(self, "ends before it starts" if self.end < self.start else "is empty")
        if self.channel is not None and self.channel < 0:
            raise AudioError(self, "channel numbers start at 0")

    def check_within(self, seconds: float) -> None:
        """Refuse, as an AudioError, what does not lie within a file of that length."""
        length = f"the file is {seconds:.2f} s long"
        if self.end is not None and self.start + 100 <= self.end <= 1000 * (seconds + SLACK):
            length += "; if the times are in milliseconds, name the columns start_ms and end_ms"
        if self.is_part and self.start >= seconds:
            raise AudioError(self, f"starts after the end of the file: {length}")
        if self.end is not None and self.end > seconds + SLACK:
            raise AudioError(self, f"ends after the end of the file: {length}")


def by_file(excerpts: Sequence[Excerpt]) -> dict[str, list[int]]:
    """The numbers of the excerpts of each file, in their order."""
    files: dict[str, list[int]] = {}
    for number, excerpt in enumerate(excerpts):
        files.setdefault(excerpt.path, []).append(number)
    return files


def parse_channel(text: str) -> int | None:
    """The channel that ``left``, ``right`` or a number from 1 names; None for ``mix`` and nothing."""
    word = text.strip().lower()
    if word in ("", "mix"):
        return None
    if word in _NAMES:
        return _NAMES.index(word)
    if word.isascii() and word.isdigit() and 0 < int(word) < 1000:
        return int(word) - 1
    raise UnknownNameError("channel", text, CHOICES)


def channel_name(channel: int | None) -> str:
    """What people call a channel: ``left`` for 0, ``right`` for 1, ``3`` for 2; empty for the mix."""
    if channel is None:
        return ""
    return _NAMES[channel] if channel < len(_NAMES) else str(channel + 1)


def _seconds(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".") if math.isfinite(value) else str(value)


class Checks:
    """Mixes samples down to mono and tells what makes them unusable; fed from front to back."""

    def __init__(self, excerpt: Excerpt) -> None:
        self.label, self._channel = str(excerpt), excerpt.channel
        self._count, self._low, self._high, self._channels = 0, math.inf, -math.inf, 1
        self._mixed = self._each = 0.0  # sums of squares of a stereo mix, and of its channels

    def take(self, block: Values, *, at_most: float = math.inf, limit: float = 0.0) -> Values:
        """Mono samples of a block [shape=(n_samples, n_channels)], all of which are in range."""
        self._count, self._channels = self._count + len(block), block.shape[1]
        if self._count > at_most:
            raise AudioError(self.label, sentence("excerpt.too_long", limit=limit))
        mono = self._mono(block)
        low, high = float(mono.min()), float(mono.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise AudioError(self.label, sentence("excerpt.not_numbers"))
        if (peak := max(-low, high)) > _MAX_PEAK:
            raise AudioError(self.label, sentence("excerpt.out_of_range", peak=peak))
        self._low, self._high = min(self._low, low), max(self._high, high)
        if self._channels == 2 and self._channel is None:
            self._mixed += float(np.vdot(mono, mono))
            self._each += float(np.vdot(block, block)) / 2
        return mono

    def _mono(self, block: Values) -> Values:
        if self._channel is None:
            # The same mean over the same memory layout as librosa.to_mono, hence the same bits.
            return np.asarray(block.mean(axis=1)) if self._channels > 1 else block[:, 0]
        if self._channel >= self._channels:
            there = "one channel" if self._channels == 1 else f"{self._channels} channels"
            told = {"asked": channel_name(self._channel), "there": there}
            raise AudioError(self.label, sentence("excerpt.no_channel", **told))
        return np.ascontiguousarray(block[:, self._channel])

    def end(self, rate: int) -> None:
        """Refuse what holds too little, or nothing that changes."""
        if not self._count:
            raise AudioError(self.label, sentence("excerpt.empty"))
        if self._count < _MIN_SECONDS * rate:
            length = 1000 * self._count / rate
            raise AudioError(self.label, sentence("excerpt.too_short", length=length))
        if self._mixed < _CANCELLED * self._each:
            raise AudioError(self.label, sentence("excerpt.cancelled"))
        if self._high - self._low <= _SILENCE:
            raise AudioError(self.label, sentence("excerpt.silent"))
