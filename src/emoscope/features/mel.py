"""Mean power, not decibels, in 128 mel bands, as of librosa 0.11's ``feature.melspectrogram``."""

import dataclasses

from .base import FrameMean
from .spectrum import Matrix, Spectrum


@dataclasses.dataclass(frozen=True)
class Mel(FrameMean):
    """Mean power of a clip in `n_mels` bands."""

    name = "mel"

    n_mels: int = 128

    @property
    def columns(self) -> tuple[str, ...]:
        """``mel_001`` … ``mel_128``, lowest band first."""
        return tuple(f"mel_{band:03d}" for band in range(1, self.n_mels + 1))

    def frames(self, spectrum: Spectrum) -> Matrix:
        """Power of every frame, [shape=(n_frames, n_mels)]."""
        return spectrum.mel_power(self.n_mels)


MEMBERS = {"mel": Mel}
