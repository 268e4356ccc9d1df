"""Whether two channels hold the speech of two people, or one voice twice.

A voice that two microphones pick up is louder in one of them by much the same all the time; of two
people, now the one channel is much louder, now the other. So channels are called different when each,
relative to its own loud speech, has speech :data:`LOUDER` dB above the other channel at that moment, for
:data:`SECONDS` at least and for :data:`SHARE` of all speech.
"""

import math

import numpy as np
import soxr
from numpy.typing import NDArray

from . import voice_activity as vad

LOUDER = 10.0
SECONDS = 0.5
SHARE = 0.05
LEAKING = 0.3  # share of the other's speech that is speech in a channel into which it leaks
STEADY = 5.0  # dB by which a leak may be louder than it mostly is
_ALIKE = 0.95  # correlation from which one channel copies the other: the block is not listened to
_AS_LOUD = 0.2  # ... where the one has at least that share of the other's power: 7 dB
_SPEECH = 0.5  # probability from which a frame counts as speech
_DISTINCT = 25.0  # dB below a channel's loud speech where breath and reverberation begin
_SHORTEST = 0.1  # seconds of a block that is listened to
_QUIET = -70.0  # dBFS below which a channel is not listened to


class ChannelMeter:
    """Compares two channels, fed in blocks; blocks of any other number of channels are only counted."""

    def __init__(self) -> None:
        self.n_channels = 0
        self._levels, self._speaks = [np.zeros((2, 0))], [np.zeros((2, 0), bool)]
        self._seconds, self._starts = 0.0, [0]  # the frame with which each of these begins

    def feed(self, block: NDArray[np.float32], rate: int) -> None:
        """Take in samples [shape=(n_samples, n_channels)] at a rate in Hz."""
        self.n_channels = block.shape[1]
        if self.n_channels != 2:
            return
        start, self._seconds = self._seconds, self._seconds + len(block) / rate
        products = (block.T @ block).astype(np.float64)
        sides = products.diagonal()
        alike = abs(_correlation(products)) > _ALIKE and sides.min() > _AS_LOUD * sides.max()
        if not alike and len(block) >= _SHORTEST * rate:
            self._starts.append(round(start / vad.FRAME_SECONDS))
            self._listen(block, rate)

    def _listen(self, block: NDArray[np.float32], rate: int) -> None:
        both = [
            vad.Detector().feed(soxr.resample(side, rate, vad.RATE, quality="QQ"), last=True)
            for side in np.ascontiguousarray(block.T)
        ]
        self._levels.append(np.stack([frames.level for frames in both]).astype(np.float64))
        self._speaks.append(np.stack([frames.speech for frames in both]) >= _SPEECH)

    def _own_speech(self) -> tuple[NDArray[np.float64], float]:
        """Seconds of speech that each channel has alone, and of all speech."""
        levels, speaks = self._relative()
        if not speaks.any(axis=1).all():
            return np.zeros(2), 0.0
        own = speaks & (levels - levels[::-1] >= LOUDER) & (levels > -_DISTINCT)
        seconds = np.asarray(own.sum(axis=1) * vad.FRAME_SECONDS)
        return seconds, float(speaks.any(axis=0).sum() * vad.FRAME_SECONDS)

    def _relative(self) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Levels relative to the loud speech of each channel, and where it holds speech."""
        levels, speaks = np.concatenate(self._levels, axis=1), np.concatenate(self._speaks, axis=1)
        speaks &= levels > _QUIET
        for level, said in zip(levels, speaks, strict=True):
            level -= np.percentile(level[said], 95) if said.any() else 0.0
        return levels, speaks

    def other_speaks(self, side: int) -> NDArray[np.bool_]:
        """Frames, of 32 ms, in which speech in one channel is the other's; none if nothing leaks."""
        levels, speaks = self._relative()
        near = np.ones(2 * vad.PAD + 1)
        power = [np.convolve(10 ** (level / 10), near, "same") for level in levels]
        weaker = 10 * np.log10(power[1 - side] / power[side])
        louder = speaks[1 - side] & (weaker >= LOUDER)
        leak = louder & speaks[side]
        if leak.sum() <= LEAKING * louder.sum():
            louder[:] = False
        else:  # a leak is weaker by much the same all the time, a voice of its own by less
            louder &= weaker >= np.median(weaker[leak]) - STEADY
        found, position = np.zeros(round(self._seconds / vad.FRAME_SECONDS) + 1, bool), 0
        for start, block in zip(self._starts, self._levels, strict=True):
            part = louder[position : position + block.shape[1]][: len(found) - start]
            found[start : start + len(part)] |= part
            position += block.shape[1]
        return np.convolve(found, near, "same") > 0.5

    @property
    def different_speech(self) -> bool:
        """Whether each of two channels holds speech that the other does not."""
        if self.n_channels != 2:
            return False
        own, speech = self._own_speech()
        return bool(own.min() >= max(SECONDS, SHARE * speech))


def _correlation(products: NDArray[np.float64]) -> float:
    size = math.sqrt(products[0, 0] * products[1, 1])
    return float(products[0, 1]) / size if size else math.nan
