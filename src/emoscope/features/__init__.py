"""Acoustic features: named, versioned, one file each, from one shared spectrogram per clip."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import FeatureError
from ..registry import Registry

if TYPE_CHECKING:
    import pandas as pd

    from .base import Feature

__all__ = ["DEFAULT", "extract_feature", "get", "names", "register", "registry"]

DEFAULT = ("mfcc", "chroma", "mel", "contrast", "tonnetz")
"""The 40 + 12 + 128 + 7 + 6 = 193 values that most SER projects start from."""


def _is_feature(member: object) -> bool:
    from .base import Feature

    return isinstance(member, type) and issubclass(member, Feature)


registry: Registry[type[Feature]] = Registry(
    "feature", __name__, fits=_is_feature, wanted="a class derived from Feature"
)
names, register = registry.names, registry.register


def get(text: str) -> Feature:
    """The feature that a user named: ``"mfcc"``, or with what it asks for, ``"encoder:MODEL"``."""
    name, _, argument = text.partition(":")
    return registry.get(name).from_text(argument)


def get_all(names: Sequence[str] | str) -> list[Feature]:
    """The features of several names; a text is divided at its commas."""
    names = names.split(",") if isinstance(names, str) else names
    return [get(name.strip()) for name in names]


def extract_feature(
    path: str | os.PathLike[str], *, mfcc: bool = True, chroma: bool = True, mel: bool = True,
    contrast: bool = True, tonnetz: bool = True,
) -> pd.Series[float]:  # fmt: skip
    """The classic values of one recording, a file or an fsspec URL, at its native rate.

    Means over frames, ``mfcc_01`` … ``tonnetz_major_y``: 40, 12, 128, 7 and 6 in this order. An
    AudioError when the recording cannot be used, a FeatureError when its rate is too low.
    """
    import numpy as np
    import pandas as pd

    from ..audio import load
    from .spectrum import Spectrum

    switches = (mfcc, chroma, mel, contrast, tonnetz)
    if not (chosen := [get(name) for name, is_on in zip(DEFAULT, switches, strict=True) if is_on]):
        raise FeatureError(f"no feature asked for; switch on one or more of {', '.join(DEFAULT)}")
    spectrum = Spectrum(load(path))
    values = np.concatenate([feature.extract(spectrum) for feature in chosen])
    return pd.Series(values, index=[column for feature in chosen for column in feature.columns])
