"""openSMILE's eGeMAPS and ComParE 2016 sets, computed by the package ``opensmile`` where installed.

eGeMAPSv02: Eyben et al., IEEE Trans. Affective Computing 7(2), 2016; ComParE 2016: Schuller et al.,
Interspeech 2016; both at the clip's native rate. openSMILE is free for private, research and educational
use only; **commercial use needs audEERING's permission**, and emoscope does not install it unasked.
"""

import dataclasses
import functools
from typing import Any

import numpy as np

from ..errors import FeatureError, installed
from .base import Feature
from .spectrum import Matrix, Spectrum


@functools.lru_cache(maxsize=2)
def _smile(name: str, feature_set: str) -> Any:
    what = f"the feature '{name}' (openSMILE: its licence does not allow commercial use)"
    opensmile = installed("opensmile", what, "opensmile")
    return opensmile.Smile(
        feature_set=getattr(opensmile.FeatureSet, feature_set),
        feature_level=opensmile.FeatureLevel.Functionals,
    )


@dataclasses.dataclass(frozen=True)
class Egemaps(Feature):
    """eGeMAPSv02: 88 functionals; research and private use only."""

    name = "egemaps"
    feature_set: str = "eGeMAPSv02"

    @property
    def columns(self) -> tuple[str, ...]:
        """openSMILE's own names with the set's name before them."""
        names = _smile(self.name, self.feature_set).feature_names
        return tuple(f"{self.name}_{name}" for name in names)

    def extract(self, spectrum: Spectrum) -> Matrix:
        """Functionals of one clip; a FeatureError when it is too short for one of them."""
        signal, smile = spectrum.signal, _smile(self.name, self.feature_set)
        values = smile.process_signal(signal.samples, signal.rate).to_numpy(np.float32)[0]
        if not np.isfinite(values).all():
            n, reason = np.count_nonzero(~np.isfinite(values)), "is too short for this set"
            found = f"{signal.path}: {n} values of '{self.name}' are undefined"
            raise FeatureError(f"{found}; {signal.duration:.2f} s {reason}")
        return np.asarray(values, dtype=np.float32)


@dataclasses.dataclass(frozen=True)
class Compare2016(Egemaps):
    """ComParE 2016: 6373 functionals; research and private use only."""

    name = "compare2016"
    feature_set: str = "ComParE_2016"


MEMBERS = {"egemaps": Egemaps, "compare2016": Compare2016}
