"""Chroma: how the magnitude of the spectrum spreads over the twelve pitch classes.

Each frame is scaled so that its strongest class is 1. Values are those of librosa 0.11's
``feature.chroma_stft(S=abs(librosa.stft(y)), sr=sr)``: of magnitudes, not of powers.
"""

import numpy as np

from . import filters, kernel
from .base import FrameMean
from .spectrum import Matrix, Spectrum

PITCH_CLASSES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


class Chroma(FrameMean):
    """Mean chroma of a clip."""

    name = "chroma"
    version = 2  # 1 was summed in single precision
    columns = tuple(f"chroma_{pitch}" for pitch in PITCH_CLASSES)

    def frames(self, spectrum: Spectrum) -> Matrix:
        """Strength of each pitch class in every frame, 0 to 1, [shape=(n_frames, 12)]."""
        weights = filters.chroma_filters(spectrum.rate, spectrum.n_fft, spectrum.tuning())
        exact = np.zeros((len(weights), 16))  # the last four are a vector's rest
        exact[:, : len(PITCH_CLASSES)] = weights
        classes = np.empty((spectrum.n_frames, len(PITCH_CLASSES)), dtype=np.float32)
        for frames, magnitude in spectrum.magnitudes():
            if kernel.is_used(spectrum.n_fft):
                kernel.call("chroma", magnitude, *magnitude.shape, exact, classes[frames])
                continue
            # Sums over a thousand bins are divided by the size of the processor's cache; in double
            # precision the order leaves no trace in what is rounded.
            classes[frames] = magnitude.astype(np.float64) @ exact[:, :12]
        strongest = classes.max(axis=1, keepdims=True)
        strongest[strongest < np.finfo(np.float32).tiny] = 1
        return np.asarray(classes / strongest)


MEMBERS = {"chroma": Chroma}
