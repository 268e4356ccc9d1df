"""What a run must say of its recordings: their rates, and how they were read.

The facts of a clip are kept in the store like a feature of it, so that a run that decodes nothing
says the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..audio import DIFFERENT_SPEECH, UNFINISHED, Signal
from ..features.base import Feature
from ..features.spectrum import Matrix, Spectrum

OUTLIERS = 0.05  # share of the clips that may have a lower rate than the corpus, and are refused


class Facts(Feature):
    """The sample rate in Hz, and 1 where a note was made: of different speech, of a broken header."""

    name = "recording"
    columns = ("recording_rate", "recording_different_speech", "recording_unfinished")

    def extract(self, spectrum: Spectrum) -> Matrix:
        """The facts of one clip, shape (3,)."""
        return of(spectrum.signal)


def of(signal: Signal) -> Matrix:
    """The facts of a clip that was decoded."""
    flags = [DIFFERENT_SPEECH in signal.notes, UNFINISHED in signal.notes]
    return np.array([signal.rate, *flags], dtype=np.float32)


def corpus_rate(facts: NDArray[np.float32]) -> float:
    """The rate in Hz that all clips have at least, but for few; infinity where none is known."""
    rates = facts[:, 0][np.isfinite(facts[:, 0])]
    return float(np.quantile(rates, OUTLIERS, method="lower")) if len(rates) else np.inf


def replacements(
    asked: Sequence[Feature], found: Sequence[Feature | None], rate: float
) -> Iterator[str]:
    """What must be said of features that others stand for, or none, a sentence each."""
    for feature, other in zip(asked, found, strict=True):
        why = (
            f"'{feature.name}' needs a sample rate above {feature.min_rate:.0f} Hz, and clips have "
        )
        if other is None:
            yield f"{why}{rate:.0f} Hz: it is left out for all of them"
        elif other is not feature:
            count = f"{len(other.columns)} instead of {len(feature.columns)} values"
            yield f"{why}{rate:.0f} Hz: '{other.name}' stands for it, with {count} for each of them"


def notes(facts: NDArray[np.float32], table: pd.DataFrame) -> Iterator[str]:
    """What must be said of usable clips with these facts, of a corpus's table, a sentence each."""
    rates = Counter(facts[:, 0].astype(int).tolist())
    if len(rates) > 1:
        counts = ", ".join(f"{count} at {rate} Hz" for rate, count in sorted(rates.items()))
        yield (
            f"sample rates differ, {counts}: above {min(rates) // 2} Hz only some of the clips have "
            "sound, so features differ by recording as well as by emotion; resample all recordings "
            f"to {min(rates)} Hz before comparing them"
        )
    _, different, unfinished = np.count_nonzero(facts, axis=0).tolist()
    if different and "audio_channel" not in table:  # else somebody has chosen
        yield (
            f"{different} of {len(facts)} clips have two channels with different speech, and their "
            "label may be of either; they are mixed: choose with --channel left, right or each"
        )
    if unfinished:
        yield (
            f"{unfinished} of {len(facts)} clips are of files whose header does not state their "
            "length, as of a recorder that was stopped; they are read to the end of the file"
        )
