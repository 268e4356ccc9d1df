"""The values of the clips of a run, as they arrive from the store and from workers in any order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import AudioError, FeatureError
from ..features.base import Feature
from ..features.table import Features
from .facts import Facts

Values = NDArray[np.float32]


class Rows:
    """The values of all clips as they arrive."""

    def __init__(self, n_clips: int, features: Sequence[Feature]) -> None:
        specs = [feature.spec for feature in features]
        self.features = [f for i, f in enumerate(features) if specs[i] not in specs[:i]]
        if not self.features:
            raise FeatureError("no features were asked for")
        self.features.append(Facts())
        frames = [feature.name for feature in self.features if feature.kind == "frames"]
        if len(frames) > 1:
            raise FeatureError(
                f"{' and '.join(frames)} both give frames; extract one of them at a time"
            )
        self.done = np.zeros((n_clips, len(self.features)), dtype=bool)
        self.columns: list[str] = []
        self._slices: list[slice] = []
        for feature in self.features:
            start = len(self.columns)
            is_table = feature.kind == "vector" and not isinstance(feature, Facts)
            self.columns += feature.columns if is_table else ()
            self._slices.append(slice(start, len(self.columns)))
        if twice := [c for c in set(self.columns) if self.columns.count(c) > 1]:
            raise FeatureError(f"two of the features have a column '{min(twice)}'")
        # Filled, so that memory is taken now and does not grow as clips are finished.
        self.X = np.full((n_clips, len(self.columns)), np.nan, dtype=np.float32)
        self.frames: list[Values | None] = [None] * n_clips
        self.facts = np.full((n_clips, len(Facts.columns)), np.nan, dtype=np.float32)

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Which clips have all values."""
        return np.asarray(self.done.all(axis=1))

    def put(
        self, number: int, positions: NDArray[np.intp], values: Sequence[Values] | Values
    ) -> None:
        """Take in a feature, by its number, of the clips at some positions."""
        if isinstance(self.features[number], Facts):
            self.facts[positions] = values
        elif self.features[number].kind == "vector":
            self.X[positions, self._slices[number]] = values
        else:
            for position, frames in zip(positions, values, strict=True):
                self.frames[position] = frames
        self.done[positions, number] = True

    def put_clip(
        self, position: int, numbers: Sequence[int], values: Sequence[Values | None]
    ) -> None:
        """Take in features, by their numbers, of one clip; None where it has none."""
        for number, value in zip(numbers, values, strict=True):
            if value is not None:
                self.put(number, np.array([position]), [value])

    def too_low(self, names: Sequence[object], refused: Mapping[int, Any]) -> dict[int, AudioError]:
        """Why clips are not usable whose rate a feature does not take."""
        reasons: dict[int, AudioError] = {}
        for index in set(np.flatnonzero(~self.usable).tolist()) - set(refused):
            try:
                self.features[int(np.argmin(self.done[index]))].check_rate(
                    int(self.facts[index, 0])
                )
            except FeatureError as error:
                reasons[index] = AudioError(names[index], str(error))
        return reasons

    def tables(self, clips: list[str]) -> dict[str, Features]:
        """The values of the usable clips, which are called ``clips``."""
        usable = self.usable
        tables: dict[str, Features] = {}
        asked = [feature for feature in self.features if not isinstance(feature, Facts)]
        if vectors := [feature for feature in asked if feature.kind == "vector"]:
            tables["vector"] = Features(
                clips=clips,
                specs=[feature.spec for feature in vectors],
                columns=tuple(self.columns),
                X=self.X if usable.all() else self.X[usable],
                widths=tuple(len(feature.columns) for feature in vectors),
            )
        for feature in (feature for feature in self.features if feature.kind == "frames"):
            frames = [self.frames[i] for i in np.flatnonzero(usable)]
            tables["frames"] = Features(
                clips=clips,
                specs=[feature.spec],
                columns=tuple(feature.columns),
                frames=[f for f in frames if f is not None],
            )
        return tables
