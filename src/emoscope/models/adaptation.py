"""Standardising on unlabelled clips of one speaker, or of the recordings at hand.

A voice, a microphone and a room move every feature of a clip by about as much as an emotion does.
No label is used, but clips of the test speaker are, so a figure measured this way carries the
suffix ``+speaker-adapted`` or ``+corpus-adapted``. The model is trained on such features, too; what
one that was not makes of several clips of a source is in :mod:`emoscope.models.offsets`.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils.validation import check_array

from ..errors import ProtocolError, UnknownNameError
from ..protocols import ADAPTATIONS

if TYPE_CHECKING:
    import pandas as pd

    from ..features.table import Features

# Relative to the largest value of a column; a column that does not vary becomes 0.
SMALLEST_SCALE = 1e-6


def adapt(features: Features, table: pd.DataFrame, adaptation: str) -> Features:
    """Features standardised as the suffix of a protocol says; frames over all frames of a group.

    Of each column the mean over the group is taken away, and the rest divided by its deviation.
    """
    if adaptation not in ADAPTATIONS:
        raise UnknownNameError("adaptation", adaptation, ADAPTATIONS)
    if adaptation == "speaker-adapted":
        unknown = int((table["speaker"] == "").sum())
        if unknown:
            raise ProtocolError(
                f"'+speaker-adapted' needs the speaker of every clip; {unknown} of {len(table)} "
                "have none"
            )
        groups = table["unique_speaker"].to_numpy(dtype=str)
    else:
        groups = table["corpus"].to_numpy(dtype=str)
    clips = [values if features.X is None else values[np.newaxis] for values in features.values]
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        values = check_array(np.concatenate([clips[row] for row in rows]), dtype=np.float64)
        mean = values.mean(axis=0)
        deviation = np.sqrt(((values - mean) ** 2).mean(axis=0))
        largest = np.maximum(np.abs(values).max(axis=0), np.finfo(np.float32).tiny)
        scale = np.maximum(deviation, SMALLEST_SCALE * largest)
        for row in rows:
            clips[row] = np.asarray((clips[row] - mean) / scale, dtype=np.float32)
    if features.X is None:
        return dataclasses.replace(features, frames=clips)
    return dataclasses.replace(features, X=np.concatenate(clips))
