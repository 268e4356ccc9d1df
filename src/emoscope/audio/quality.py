"""What makes a recording hard to judge: too short, silent, without speech, clipped, noisy.

Each finding is one warning, a keyword followed by the measured value and what it means, such as
``"noisy: the speech is 8 dB above the background; labels are unreliable below 12 dB"``. Levels are
in dB relative to full scale (dBFS), times in seconds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .voice_activity import FRAME_SECONDS, Frames

SHORTEST_SPEECH = 0.5
"""Seconds of speech below which a label is a guess: two or three syllables."""
QUIET = -60.0
"""dBFS of the loudest frame below which a recording is called silent."""
CLIPPED = 1e-4
"""Share of samples in flat tops from which a recording is called clipped. 66 clips of RAVDESS and
EMO-DB stay below 2.5e-5 as they are; with 6 dB of clipping all of them exceed 3e-4."""
NOISY = 12.0
"""Signal-to-noise ratio in dB below which a recording is called noisy."""
_FLAT = 0.99  # of the peak: how near to it three samples in a row must be to count as a flat top
_QUIETEST = 0.1  # share of the frames that are taken for the background
_SPEECH = 0.5  # probability from which a frame counts as speech


class Quality:
    """Measures one recording, fed in pieces of any length."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._peak, self._flat, self._samples = 0.0, 0, 0
        self._frames: list[Frames] = []

    def feed(self, samples: NDArray[np.float32], rate: int) -> None:
        """Take in samples as they were recorded.

        Parameters
        ----------
        samples : ndarray of float32, shape (n_samples,)
            At the recording's own rate: resampling rounds flat tops off.
        rate : int
            Hz.
        """
        magnitude = np.abs(samples)
        peak = float(magnitude.max(initial=0.0))
        if peak * _FLAT > self._peak:
            self._flat = 0  # what looked like the ceiling so far was not
        self._peak = max(self._peak, peak)
        high = magnitude >= _FLAT * self._peak
        self._flat += int(np.count_nonzero(high[2:] & high[1:-1] & high[:-2]))
        self._samples += len(samples)
        self.seconds += len(samples) / rate

    def feed_frames(self, frames: Frames) -> None:
        """Take in what the voice activity detector heard."""
        self._frames.append(frames)

    @property
    def frames(self) -> Frames:
        """All frames so far."""
        if not self._frames:
            return Frames(np.zeros(0, np.float32), np.zeros(0, np.float32))
        whole = Frames(*(np.concatenate(part) for part in zip(*self._frames, strict=True)))
        self._frames = [whole]
        return whole

    @property
    def clipped(self) -> float:
        """Share of the samples that lie in flat tops, in [0, 1]."""
        return self._flat / max(1, self._samples)

    @property
    def speech_seconds(self) -> float:
        """Seconds of the frames that hold speech."""
        return float(np.count_nonzero(self.frames.speech >= _SPEECH) * FRAME_SECONDS)

    @property
    def snr(self) -> float:
        """Signal-to-noise ratio in dB: speech against the quietest tenth of the recording.

        NaN without speech. A recording cut so close that it holds no pause is underestimated.
        """
        speech, level = self.frames
        power = 10.0 ** (level.astype(np.float64) / 10.0)
        if not (speech >= _SPEECH).any():
            return float("nan")
        quietest = max(1, round(_QUIETEST * len(power)))
        noise = float(np.sort(power)[:quietest].mean())
        signal = float(power[speech >= _SPEECH].mean()) - noise
        return float(10.0 * np.log10(max(signal, 1e-12) / noise))

    def warnings(self) -> list[str]:
        """The findings, most serious first; empty for a good recording."""
        if not len(self.frames.level) or self.frames.level.max() < QUIET:
            return [f"silent: nothing is louder than {QUIET:g} dBFS"]
        found = []
        speech, snr = self.speech_seconds, self.snr
        if speech == 0.0:
            found.append("no speech: no voice was found; the label describes some other sound")
        elif speech < SHORTEST_SPEECH:
            found.append(
                f"too short: {speech:.2f} s of speech; labels are guesses below "
                f"{SHORTEST_SPEECH:g} s"
            )
        if self._peak > 10 ** (QUIET / 20) and self.clipped > CLIPPED:
            found.append(
                f"clipped: {self.clipped:.2%} of the samples are cut off at full scale; "
                "record at a lower level"
            )
        if snr < NOISY:
            found.append(
                f"noisy: the speech is {snr:.0f} dB above the background; labels are unreliable "
                f"below {NOISY:g} dB"
            )
        return found
