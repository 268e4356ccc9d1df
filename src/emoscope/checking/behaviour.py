"""Tests that need no corpus: sounds that are no speech, and answers that must not change."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import soundfile

from ..audio import Signal, resample
from ..errors import EmoscopeError
from ..prediction import Predictor
from .answers import Row, Tick, answer
from .sounds import not_speech
from .tests import Outcome, outcome, texts

GROUP = "behaviour"
SURE = 0.8  # of a model that does not say from which confidence on it is sure
HIGHER = 48_000  # Hz of the copies at another rate
#: The ways to write a recording again: format, subtype, channels and rate (0: its own).
COPIES: Mapping[str, tuple[str, str, int, int]] = {
    "flac": ("FLAC", "PCM_24", 1, 0), "wav-24": ("WAV", "PCM_24", 1, 0),
    "wav-float": ("WAV", "FLOAT", 1, 0), "stereo": ("WAV", "FLOAT", 2, 0),
    "rate-48000": ("WAV", "FLOAT", 1, HIGHER),
}  # fmt: skip


def without_speech(predictor: Predictor, tick: Tick) -> Iterator[Outcome]:
    """Whether sounds in which nobody speaks are uncertain, with and without the speech detector."""
    promise, titles = predictor.card.uncertain, texts("sounds")
    limit = promise.threshold if promise.coverage else SURE
    for name, signal in not_speech():
        title = str(titles[name])
        found = answer(predictor, signal)
        value = 0.0 if found["uncertain"] else float(str(found["confidence"]))
        skipped = "" if promise.coverage else "every label of this model is marked uncertain"
        clips = pd.DataFrame([{**found, "path": title, "emotion": "uncertain"}])
        yield outcome(GROUP, "marked", name, value, title=title, clips=clips, skipped=skipped)
        try:
            alone = predictor.infer(signal)
            value = 0.0 if alone.distance > 1.0 else float(alone.probabilities.max())
            label = predictor.emotions[int(alone.probabilities.argmax())]
        except EmoscopeError as error:  # a model that fails is no better than one that is sure
            value, label = 1.0, str(error)
        clips = clips.assign(predicted=f"{label} {value:.2f}")
        yield outcome(GROUP, "alone", name, value, title=title, threshold=limit, clips=clips)
        tick()


def consistency(
    predictor: Predictor, signals: Sequence[Signal], *, jobs: int | None, tick: Tick
) -> Iterator[Outcome]:
    """Whether the same recording gets the same answer, however and beside whatever it is given."""
    first = [answer(predictor, signal) for signal in signals]
    tick()
    again = [answer(predictor, signal) for signal in signals]
    yield _equal("repeat", first, again, signals)
    tick()
    found = [*predictor.predict_many(reversed(signals), jobs=jobs)][::-1]
    each = [{f"p_{e}": p for e, p in getattr(one, "probabilities", {}).items()} for one in found]
    yield _equal("order", first, each, signals)
    tick()
    for name, (format, subtype, channels, rate) in COPIES.items():
        copies = []
        for signal in signals:
            sound = resample(signal, rate or signal.rate)
            with tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, "clip")
                samples = np.repeat(sound.samples[:, None], channels, axis=1)
                soundfile.write(path, samples, sound.rate, subtype, format=format)
                copies.append(_of_file(predictor, path))
        moved = [a["predicted"] != b["predicted"] for a, b in zip(first, copies, strict=True)]
        clips = _broken(first, copies, signals)[moved]
        yield outcome(
            GROUP,
            "copy",
            name,
            float(np.mean(moved)),
            title=str(texts("copies")[name]),
            clips=clips,
        )
        tick()


def _of_file(predictor: Predictor, path: str) -> Row:
    try:
        return {"predicted": predictor.predict(path).emotion}
    except EmoscopeError as error:
        return {"predicted": str(error)}


def _equal(
    key: str, first: Sequence[Row], second: Sequence[Row], signals: Sequence[Signal]
) -> Outcome:
    """The largest difference of a probability, which has to be none but of rounding."""
    names = [column for column in first[0] if column.startswith("p_")]
    a, b = (pd.DataFrame(rows).reindex(columns=names).to_numpy(float) for rows in (first, second))
    off = np.nan_to_num(np.abs(a - b), nan=1.0).max(axis=1)
    clips = _broken(first, [{"predicted": f"off by {value:.4f}"} for value in off], signals)
    return outcome(GROUP, key, "probabilities", off.max(), clips=clips[off > 1e-4])


def _broken(first: Sequence[Row], found: Sequence[Row], signals: Sequence[Signal]) -> pd.DataFrame:
    paths = [signal.path for signal in signals]
    expected, labels = ([row["predicted"] for row in rows] for rows in (first, found))
    return pd.DataFrame({"path": paths, "emotion": expected, "predicted": labels})
