"""Features of speech: one file each, all computed from one shared spectrogram.

``names()`` lists them, ``get(text)`` makes one, :func:`extract_feature` gives the 193 named values of
one recording. A new feature is one new file here with ``MEMBERS = {"name": Class}``.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from ..registry import Registry

if TYPE_CHECKING:
    import pandas as pd

    from .base import Feature

DEFAULT = ("mfcc", "chroma", "mel", "contrast", "tonnetz")
"""The 40 + 12 + 128 + 7 + 6 = 193 values that the field computes most."""

registry: Registry[type[Feature]] = Registry("feature", __name__)


def names() -> list[str]:
    """Public names of all features."""
    return registry.names()


def get(text: str) -> Feature:
    """Make a feature from its name, with its argument where it takes one.

    Parameters
    ----------
    text : str
        ``"mfcc"``, or ``"encoder:openai/whisper-tiny.en@layers=2+3"``: what follows the colon is
        the feature's own to read.

    Raises
    ------
    UnknownNameError
        When there is no such feature; the message lists the valid names.
    """
    name, _, argument = text.partition(":")
    member = registry.get(name)
    return member.from_text(argument)


def extract_feature(
    path: str | os.PathLike[str],
    *,
    mfcc: bool = True,
    chroma: bool = True,
    mel: bool = True,
    contrast: bool = True,
    tonnetz: bool = True,
) -> pd.Series:
    """The classical features of one recording: means over frames, as librosa gives them.

    Parameters
    ----------
    path : path-like
        A recording of any format, rate and number of channels that libsndfile reads.
    mfcc, chroma, mel, contrast, tonnetz : bool
        Which to compute: 40, 12, 128, 7 and 6 values.

    Returns
    -------
    Series of float32
        Named values, e.g. ``mfcc_01``; all 193 by default.

    Raises
    ------
    AudioError
        When the recording cannot be used.
    """
    import pandas as pd

    from ..audio import load
    from .spectrum import Spectrum

    asked = dict(zip(DEFAULT, (mfcc, chroma, mel, contrast, tonnetz), strict=True))
    chosen = [get(name) for name, wanted in asked.items() if wanted]
    spectrum = Spectrum(load(path))
    values = [feature.extract(spectrum) for feature in chosen]
    columns = [column for feature in chosen for column in feature.columns]
    joined = np.concatenate(values) if values else np.empty(0, np.float32)
    return pd.Series(joined, index=columns, dtype=np.float32, name=str(path))
