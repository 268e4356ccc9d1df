"""What a feature is: named, parametrised, versioned, computed from the shared spectrum of one clip.

All is float32. A *vector* feature gives one value per column, a *frames* feature (n_frames, n_columns).
"""

import dataclasses
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np

from ..errors import FeatureError
from ..files import sentence
from .spectrum import Matrix, Spectrum

Spec: TypeAlias = dict[str, Any]  # a feature's name, version and parameters: JSON


@dataclasses.dataclass(frozen=True)
class Feature(ABC):
    """One feature; subclasses with parameters are frozen dataclasses."""

    name: ClassVar[str]  # as given to ``--features``
    # Raised whenever the same parameters would give other values: others are never served.
    version: ClassVar[int] = 1
    kind: ClassVar[Literal["vector", "frames"]] = "vector"
    min_rate: ClassVar[float] = 0.0  # in Hz: it can be computed of samples at a higher rate

    @classmethod
    def from_text(cls, text: str) -> "Feature":
        """Make the feature from what follows its name and a colon; most take nothing."""
        if text:
            raise FeatureError(f"the feature '{cls.name}' takes no argument; found ':{text}'")
        return cls()

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """Names of the values, e.g. ``mfcc_01``; one per column of :meth:`extract`."""

    @abstractmethod
    def extract(self, spectrum: Spectrum) -> Matrix:
        """The feature, (n_columns,) or (n_frames, n_columns) by its `kind`, or a FeatureError."""

    def at_rate(self, rate: float) -> "Feature | None":
        """This feature, or the one that stands for it at a rate in Hz; None when there is none."""
        return self if rate > self.min_rate else None

    def check_rate(self, rate: int) -> None:
        """Raise a FeatureError when the feature cannot be computed at a rate in Hz."""
        if rate <= self.min_rate:
            raise FeatureError(sentence("rate_too_low", feature=self, rate=rate))

    @property
    def spec(self) -> Spec:
        """What identifies the values."""
        return {"name": self.name, "version": self.version, **dataclasses.asdict(self)}

    def _finite(self, values: Matrix, spectrum: Spectrum) -> Matrix:
        if not np.isfinite(values).all():
            raise FeatureError(sentence("not_finite", signal=spectrum.signal, name=self.name))
        return values


class FrameMean(Feature):
    """A vector feature: the mean over frames of a function of the spectrum."""

    @abstractmethod
    def frames(self, spectrum: Spectrum) -> Matrix:
        """The values of every frame, [shape=(n_frames, n_columns)]."""

    def extract(self, spectrum: Spectrum) -> Matrix:
        """Mean over frames."""
        means = np.asarray(self.frames(spectrum).mean(axis=0, dtype=np.float64), np.float32)
        return self._finite(means, spectrum)
