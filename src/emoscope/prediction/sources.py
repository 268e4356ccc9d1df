"""What can be classified, and how it is read: files, parts and channels of them, samples in memory."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .. import audio
from ..audio import ChannelMeter, Excerpt, Signal, parse_channel
from ..errors import AudioError

Source: TypeAlias = (
    "str | os.PathLike[str] | Excerpt | Signal | NDArray[Any] | Sequence[float] | Iterator[Signal]"
)
#: Gives what an excerpt says of a recording piece by piece, and feeds a meter with its channels.
Blocks: TypeAlias = "Callable[[Excerpt, ChannelMeter | None], Iterator[Signal]]"

EACH = "each"  # the channel that stands for all of them, one after the other


def opened(source: Source, rate: int | None) -> tuple[Blocks, Excerpt]:
    """How a recording is read, and all of it or the part that was named."""
    if isinstance(source, Excerpt):  # says itself which channel
        return lambda excerpt, meter: audio.blocks(excerpt), source
    if isinstance(source, (str, os.PathLike)):
        return lambda excerpt, meter: audio.blocks(excerpt, meter=meter), Excerpt.of(source)
    if isinstance(source, Iterator):
        return lambda excerpt, meter: _mono(source, excerpt), Excerpt("")
    signal = source if isinstance(source, Signal) else Signal(np.asarray(source), rate or 0)

    def blocks(excerpt: Excerpt, meter: ChannelMeter | None) -> Iterator[Signal]:
        samples: NDArray[Any] = signal.samples
        sound = audio.from_array(samples, signal.rate or None, signal.path, channel=excerpt.channel)
        if meter and samples.ndim == 2:
            full_scale = -float(np.iinfo(samples.dtype).min) if samples.dtype.kind == "i" else 1.0
            meter.feed((samples / full_scale).astype(np.float32), sound.rate)
        yield dataclasses.replace(sound, notes=signal.notes)

    return blocks, Excerpt(signal.path)


def _mono(pieces: Iterator[Signal], excerpt: Excerpt) -> Iterator[Signal]:
    if excerpt.channel is not None:
        raise AudioError("pieces", "are mono already; choose a channel where they are made")
    return pieces


def choose(excerpt: Excerpt, channel: str) -> list[Excerpt]:
    """The excerpt of the channel that a user names, of every channel, or of the mix."""
    if channel.strip().lower() != EACH:
        return [dataclasses.replace(excerpt, channel=parse_channel(channel))]
    try:
        channels = audio.each_channel(excerpt.path)
    except AudioError:  # as whoever classifies it will be told
        return [excerpt]
    return channels if len(channels) > 1 else [excerpt]


def choose_one(excerpt: Excerpt, channel: str) -> Excerpt:
    """The same where no more than one will do."""
    if channel.strip().lower() == EACH:
        told = (
            "gives several: give audio.each_channel(file) to Predictor.predict_many, or choose one"
        )
        raise AudioError(excerpt, f"channel 'each' {told}")
    return choose(excerpt, channel)[0]
