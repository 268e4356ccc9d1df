"""Tonal centroids of the harmonic component: where its chroma lies in the tonal network.

Six coordinates: the pitch classes on circles of fifths, minor thirds and major thirds: C. Harte,
M. Sandler and M. Gasser, "Detecting harmonic change in musical audio", ACM Workshop on Audio and
Music Computing Multimedia, 2006. Values are those of
``librosa.feature.tonnetz(y=librosa.effects.harmonic(y), sr=sr)``, librosa 0.11.

Memory for a long recording: its harmonic component and what that is resampled to, together two and
a half times the memory of its samples.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import FeatureError
from . import constant_q, harmonic
from .base import FrameMean
from .spectrum import Spectrum

AXES = ("fifth_x", "fifth_y", "minor_x", "minor_y", "major_x", "major_y")


@functools.cache
def _directions() -> NDArray[np.float32]:
    """Coordinates of the pitch classes, [shape=(12, 6)]."""
    pitch = np.arange(12)[:, None]
    # One pitch class further is 7/6, 3/2 and 2/3 of half a turn; thirds weigh as Harte et al. set.
    turns = pitch * np.array([7 / 6, 3 / 2, 2 / 3])
    circles = np.stack([np.sin(np.pi * turns), np.cos(np.pi * turns)], axis=2)
    radius = np.array([1.0, 1.0, 0.5])[:, None]
    return np.asarray((circles * radius).reshape(12, 6), dtype=np.float32)


def tonnetz(spectrum: Spectrum) -> NDArray[np.float32]:
    """Tonal centroid of every frame, each coordinate in [-1, 1], [shape=(n_frames, 6)].

    Raises
    ------
    FeatureError
        When the rate is too low for the highest of the seven octaves.
    """
    needed = 2 * constant_q.highest_frequency(0.5)
    if spectrum.rate <= needed:
        raise FeatureError(
            f"'tonnetz' needs a sample rate above {needed:.0f} Hz, and this clip has "
            f"{spectrum.rate} Hz; leave the feature out, or resample the recording"
        )
    samples = harmonic.harmonic_part(spectrum)
    tuning = harmonic.tuning(samples, spectrum, constant_q.BINS_PER_OCTAVE)
    chroma = constant_q.chroma(samples, spectrum.rate, tuning)
    total = chroma.sum(axis=1, keepdims=True)
    total[total < np.finfo(np.float32).tiny] = 1
    return np.asarray((chroma / total) @ _directions())


@dataclasses.dataclass(frozen=True)
class Tonnetz(FrameMean):
    """Mean tonal centroid of a clip."""

    name: ClassVar[str] = "tonnetz"

    @property
    def columns(self) -> tuple[str, ...]:
        """``tonnetz_fifth_x`` … ``tonnetz_major_y``."""
        return tuple(f"tonnetz_{axis}" for axis in AXES)

    def frames(self, spectrum: Spectrum) -> NDArray[np.float32]:
        """Tonal centroid of every frame, [shape=(n_frames, 6)]."""
        return tonnetz(spectrum)


MEMBERS = {"tonnetz": Tonnetz}
