"""Who speaks, as 256 values of a speaker encoder (:mod:`emoscope.voices`): not of emotions."""

from ..voices import encoder
from .base import Feature
from .spectrum import Matrix, Spectrum


class Voice(Feature):
    """The embedding of a clip's voice, of unit length."""

    name = "voice"
    version = 2  # 1 took its mel bands in double precision
    columns = tuple(f"voice_{number:03d}" for number in range(1, encoder.SIZE + 1))

    def extract(self, spectrum: Spectrum) -> Matrix:
        """The embedding, [shape=(256,)]."""
        return self._finite(encoder.embed(spectrum.signal), spectrum)


MEMBERS = {"voice": Voice}
