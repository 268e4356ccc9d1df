"""What makes decoded samples unusable, told while they are mixed down to mono."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import AudioError
from .excerpt import Excerpt, channel_name

Values: TypeAlias = NDArray[Any]

_MIN_SECONDS = 0.1  # below it there is no syllable, and fewer than ten frames of a 10 ms hop
_MAX_PEAK = 10.0  # lossy decoders overshoot 1 by a few per cent, integers stored as floats by far
_SILENCE = 2.0**-15  # samples that span no more than one 16-bit step are silent
_CANCELLED = 0.1  # share of two channels' mean power below which their mix is what cancelling left


class Checks:
    """Mixes samples down to mono and tells what makes them unusable; fed from front to back."""

    def __init__(self, excerpt: Excerpt | None = None, label: str = "") -> None:
        self.label = label or str(excerpt)
        self._channel = excerpt.channel if excerpt else None
        self._count, self._low, self._high, self._channels = 0, math.inf, -math.inf, 1
        self._mixed = self._each = 0.0  # sums of squares of a stereo mix, and of its channels

    def take(self, block: Values, *, at_most: float = math.inf, limit: float = 0.0) -> Values:
        """Mono samples of a block [shape=(n_samples, n_channels)], all of which are in range."""
        self._count, self._channels = self._count + len(block), block.shape[1]
        if self._count > at_most:
            raise AudioError(self.label, f"longer than the limit of {limit:g} s")
        mono = self._mono(block)
        low, high = float(mono.min()), float(mono.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise AudioError(self.label, "contains values that are not numbers (NaN or infinity)")
        if (peak := max(-low, high)) > _MAX_PEAK:
            raise AudioError(
                self.label, f"samples reach {peak:.3g}, but float samples must lie within -1 and 1"
            )
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
            there = "is one channel" if self._channels == 1 else f"are {self._channels} channels"
            raise AudioError(
                self.label, f"has no channel {channel_name(self._channel)}: there {there}"
            )
        return np.ascontiguousarray(block[:, self._channel])

    def end(self, rate: int) -> None:
        """Refuse what holds too little, or nothing that changes."""
        if not self._count:
            raise AudioError(self.label, "empty: a header without samples")
        if self._count < _MIN_SECONDS * rate:
            length = f"{1000 * self._count / rate:.0f} ms"
            raise AudioError(self.label, f"too short: {length}, at least 100 ms are needed")
        if self._mixed < _CANCELLED * self._each:
            raise AudioError(
                self.label,
                "its two channels are nearly inverted copies of each other: in the mix they cancel, "
                "and what remains is a faint residue; choose one of them with --channel left",
            )
        if self._high - self._low <= _SILENCE:
            raise AudioError(self.label, "silent: all samples have the same value")
