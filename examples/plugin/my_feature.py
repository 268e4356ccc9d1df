"""A feature in one file: how often the waveform crosses zero, in crossings a second."""

import numpy as np
from numpy.typing import NDArray

from emoscope.features.base import Feature
from emoscope.features.spectrum import Spectrum


class Crossings(Feature):
    """Rate of zero crossings of a clip."""

    name = "crossings"

    @property
    def columns(self) -> tuple[str, ...]:
        """One column."""
        return ("crossings_per_second",)

    def extract(self, spectrum: Spectrum) -> NDArray[np.float32]:
        """The rate, [shape=(1,)]."""
        signal = spectrum.signal
        crossings = np.count_nonzero(np.diff(np.signbit(signal.samples)))
        return np.array([crossings / signal.duration], dtype=np.float32)
