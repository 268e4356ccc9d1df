"""What makes a recording hard to classify: too short, silent, without speech, clipped, noisy."""

import numpy as np
from numpy.typing import NDArray

from ..files import sentence
from .voice_activity import FRAME_SECONDS, NO_FRAMES, Frames

MIN_SPEECH_SECONDS = 0.5  # two or three syllables; with less speech a label is a guess
QUIET = -60.0  # dBFS of the loudest frame below which a recording is called silent
#: Share of clipped samples from which a recording is called clipped. 66 clips of RAVDESS and EMO-DB
#: stay below 2.5e-5 as they are; with 6 dB of clipping all of them exceed 3e-4.
CLIPPED = 1e-4
NOISY = 12.0  # signal-to-noise ratio in dB below which a recording is called noisy
_CEILING = 0.99  # of the peak: three samples in a row above it count as clipped
_BACKGROUND = 0.1  # share of the frames, the quietest, that are taken for the background
_SPEECH = 0.5  # probability from which a frame counts as speech


class Quality:
    """Measures one recording, fed in pieces of any length."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._peak, self._n_samples, self._noise = 0.0, 0, 0.0
        self._clipped = list[NDArray[np.float64]]()  # seconds at which samples are clipped
        self._frames = [NO_FRAMES]

    def feed(self, samples: NDArray[np.float32], rate: int) -> None:
        """Take in samples at the recording's own rate in Hz: resampling would hide clipping."""
        magnitude = np.abs(samples)
        peak = float(magnitude.max(initial=0.0))
        if peak * _CEILING > self._peak:
            self._clipped = []  # what looked like the ceiling so far was not
        self._peak = max(self._peak, peak)
        high = magnitude >= _CEILING * self._peak
        clipped = np.flatnonzero(high[2:] & high[1:-1] & high[:-2])
        if len(clipped):
            self._clipped.append(self.seconds + clipped / rate)
        self._n_samples += len(samples)
        self.seconds += len(samples) / rate

    def feed_frames(self, frames: Frames) -> None:
        """Take in frames of the voice activity detector."""
        self._frames.append(frames)
        self._noise = 0.0

    @property
    def frames(self) -> Frames:
        """All frames so far."""
        whole = Frames(*(np.concatenate(part) for part in zip(*self._frames, strict=True)))
        self._frames = [whole]
        return whole

    @property
    def clipped(self) -> float:
        """Share of the samples that are clipped, in [0, 1]."""
        return sum(map(len, self._clipped)) / max(1, self._n_samples)

    def part(self, start: float, end: float) -> "Quality":
        """The quality of a part, in seconds, against the background of the whole recording."""
        part, rate = Quality(), self._n_samples / max(self.seconds, 1e-9)
        first, stop = (round(time / FRAME_SECONDS) for time in (start, end))
        part.feed_frames(Frames(*(values[first:stop] for values in self.frames)))
        self._clipped = [clipped := np.concatenate([np.zeros(0), *self._clipped])]
        part._clipped = [clipped[slice(*np.searchsorted(clipped, (start, end)))]]
        part._n_samples, part._peak = round((end - start) * rate), self._peak
        part._noise = self.noise
        return part

    @property
    def noise(self) -> float:
        """Mean power of the quietest tenth of the recording."""
        if not self._noise:
            power = np.sort(_power(self.frames.level))
            self._noise = float(power[: max(1, round(_BACKGROUND * len(power)))].mean())
        return self._noise

    @property
    def snr(self) -> float:
        """Speech against the quietest tenth of the recording, in dB; NaN without speech."""
        speech, level = self.frames
        if not (speech >= _SPEECH).any():
            return float("nan")
        signal = float(_power(level[speech >= _SPEECH]).mean()) - self.noise
        return float(10.0 * np.log10(max(signal, 1e-12) / self.noise))

    def warnings(self) -> list[str]:
        """The warnings, most serious first; empty for a good recording."""
        if not len(self.frames.level) or self.frames.level.max() < QUIET:
            return [sentence("quality.silent", least=QUIET)]
        warnings, snr = [], self.snr
        speech = float(np.count_nonzero(self.frames.speech >= _SPEECH) * FRAME_SECONDS)
        if speech == 0.0:
            warnings.append(sentence("quality.no_speech"))
        elif speech < MIN_SPEECH_SECONDS:
            told = {"seconds": speech, "least": MIN_SPEECH_SECONDS}
            warnings.append(sentence("quality.too_short", **told))
        if self._peak > 10 ** (QUIET / 20) and self.clipped > CLIPPED:
            warnings.append(sentence("quality.is_clipped", clipped=self.clipped))
        if snr < NOISY:
            warnings.append(sentence("quality.is_noisy", snr=snr, least=NOISY))
        return warnings


def _power(level: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray(10.0 ** (level.astype(np.float64) / 10.0))
