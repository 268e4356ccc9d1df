"""Who speaks, as 256 values of a speaker encoder (:mod:`emoscope.voices`).

It is made to tell voices apart, not emotions, and is not among the default features.
"""

from __future__ import annotations

import dataclasses

from ..voices import encoder
from .base import Feature
from .spectrum import Matrix, Spectrum


@dataclasses.dataclass(frozen=True)
class Voice(Feature):
    """The embedding of a clip's voice, of unit length."""

    name = "voice"

    @property
    def columns(self) -> tuple[str, ...]:
        """``voice_001`` … ``voice_256``."""
        return tuple(f"voice_{number:03d}" for number in range(1, encoder.SIZE + 1))

    def extract(self, spectrum: Spectrum) -> Matrix:
        """The embedding, [shape=(256,)]."""
        return self._finite(encoder.embed(spectrum.signal), spectrum)


MEMBERS = {"voice": Voice}
