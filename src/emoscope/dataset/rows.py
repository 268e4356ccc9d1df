"""The values of the clips of a run, as they arrive, and what must be said of the recordings."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..audio import DIFFERENT_SPEECH, UNFINISHED
from ..errors import AudioError, FeatureError
from ..features.base import Feature
from ..features.spectrum import Matrix, Spectrum
from ..features.table import Features
from ..files import sentence

OUTLIERS = 0.05  # share of the clips that may have a lower rate than the corpus, and are refused
Values = NDArray[np.float32]


class Facts(Feature):
    """The sample rate in Hz, and 1 where a note was made; stored, for a run that decodes nothing."""

    name = "recording"
    columns = ("recording_rate", "recording_different_speech", "recording_unfinished")

    def extract(self, spectrum: Spectrum) -> Matrix:
        """The facts of one clip, shape (3,)."""
        notes = spectrum.signal.notes
        flags = [DIFFERENT_SPEECH in notes, UNFINISHED in notes]
        return np.array([spectrum.rate, *flags], dtype=np.float32)


class Rows:
    """The values of all clips, which arrive in any order."""

    def __init__(self, n_clips: int, features: Sequence[Feature]) -> None:
        specs = [feature.spec for feature in features]
        self.features = [f for i, f in enumerate(features) if specs[i] not in specs[:i]]
        if not self.features:
            raise FeatureError("no features were asked for")
        self.features.append(Facts())
        frames = [feature.name for feature in self.features if feature.kind == "frames"]
        if len(frames) > 1:
            raise FeatureError(sentence("both_give_frames", both=" and ".join(frames)))
        self.done = np.zeros((n_clips, len(self.features)), dtype=bool)
        self.columns: list[str] = []
        self._slices: list[slice] = []
        for feature in self.features[:-1]:
            start = len(self.columns)
            self.columns += feature.columns if feature.kind == "vector" else ()
            self._slices.append(slice(start, len(self.columns)))
        if twice := [c for c in set(self.columns) if self.columns.count(c) > 1]:
            raise FeatureError(f"two of the features have a column '{min(twice)}'")
        # Filled, so that memory is taken now and does not grow as clips are finished.
        self.X = np.full((n_clips, len(self.columns)), np.nan, dtype=np.float32)
        self.frames = [np.zeros((0, 0), dtype=np.float32)] * n_clips
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

    def put_clip(self, position: int, numbers: list[int], values: list[Values | None]) -> None:
        """Take in features, by their numbers, of one clip; None where it has none."""
        for number, value in zip(numbers, values, strict=True):
            if value is not None:
                self.put(number, np.array([position]), [value])

    def too_low(self, names: Sequence[object], refused: Mapping[int, Any]) -> dict[int, AudioError]:
        """Why clips are not usable whose rate a feature does not take."""
        reasons: dict[int, AudioError] = {}
        for index in set(np.flatnonzero(~self.usable).tolist()) - set(refused):
            lacking = self.features[int(np.argmin(self.done[index]))]
            try:
                lacking.check_rate(int(self.facts[index, 0]))
            except FeatureError as error:
                reasons[index] = AudioError(names[index], str(error))
        return reasons

    def tables(self, clips: list[str]) -> dict[str, Features]:
        """The values of the usable clips, which are called ``clips``."""
        usable, tables, asked = self.usable, dict[str, Features](), self.features[:-1]
        if vectors := [feature for feature in asked if feature.kind == "vector"]:
            widths = tuple(len(feature.columns) for feature in vectors)
            specs, columns = [feature.spec for feature in vectors], tuple(self.columns)
            X = self.X if usable.all() else self.X[usable]
            tables["vector"] = Features(clips, specs, columns, X, widths=widths)
        for feature in (feature for feature in asked if feature.kind == "frames"):
            frames = [self.frames[i] for i in np.flatnonzero(usable)]
            columns = tuple(feature.columns)
            tables["frames"] = Features(clips, [feature.spec], columns, frames=frames)
        return tables


def corpus_rate(facts: NDArray[np.float32]) -> float:
    """The rate in Hz that all clips have at least, but for few; infinity where none is known."""
    rates = facts[:, 0][np.isfinite(facts[:, 0])]
    return float(np.quantile(rates, OUTLIERS, method="lower")) if len(rates) else np.inf


def replacements(
    asked: Sequence[Feature], found: Sequence[Feature | None], rate: float
) -> Iterator[str]:
    """What must be said of features that others stand for, or none, a sentence each."""
    for feature, other in zip(asked, found, strict=True):
        if other is None:
            yield sentence("not_at_rate", feature=feature, rate=rate)
        elif other is not feature:
            counts = {"n": len(other.columns), "of": len(feature.columns)}
            yield sentence("other_at_rate", feature=feature, rate=rate, other=other.name, **counts)


def notes_on(facts: NDArray[np.float32], table: pd.DataFrame) -> Iterator[str]:
    """What must be said of usable clips with these facts, of a corpus's table, a sentence each."""
    rates = Counter(facts[:, 0].astype(int).tolist())
    if len(rates) > 1:
        counts = ", ".join(f"{count} at {rate} Hz" for rate, count in sorted(rates.items()))
        yield sentence("rates_differ", counts=counts, half=min(rates) // 2, least=min(rates))
    _, different, unfinished = np.count_nonzero(facts, axis=0).tolist()
    if different and "audio_channel" not in table:  # else somebody has chosen
        yield sentence("different_speech", n=different, of=len(facts))
    if unfinished:
        yield sentence("unfinished", n=unfinished, of=len(facts))
