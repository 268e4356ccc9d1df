"""Runs a model: a table with a row per clip and condition, which every test is made of.

Columns: ``corpus, clip, path, speaker, emotion, gender, age, intensity, text`` of the clip, ``f0`` (Hz,
mean), ``in_training``; ``condition``; ``predicted, confidence, uncertain, warnings`` and
``p_<emotion>``. A changed clip that cannot be classified has an empty label. ``emotion`` is one of those
that the model knows: other clips are left out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
import pandas as pd

from ..audio import Signal, f0_energy, resample
from ..corpus import Corpus
from ..errors import AudioError, EmoscopeError
from ..evaluation.saved_model import each_clip, in_threads, in_training
from ..prediction import Predictor
from .sounds import RATE, Condition, random

Row: TypeAlias = Mapping[str, object]
Tick: TypeAlias = Callable[[], None]

COLUMNS = ("corpus", "clip", "path", "speaker", "emotion", "gender", "age", "intensity", "text")
TRAINING = "training data:"  # how the warning of a known recording begins


@dataclasses.dataclass(frozen=True, eq=False)
class Clip:
    """A clip that is checked under every condition, at the rate of the model or :data:`RATE`."""

    name: str
    corpus: str
    speaker: str
    signal: Signal


@dataclasses.dataclass(frozen=True, eq=False)
class Answers:
    """What a model says of the clips as they are."""

    table: pd.DataFrame
    kept: dict[int, Clip]  # by their row in the table
    rejected: list[AudioError]


def sample(table: pd.DataFrame, at_most: int, seed: int) -> pd.DataFrame:
    """So many clips of each corpus, evenly over its speakers and emotions; in the same order."""
    chosen = []
    for corpus, part in table.groupby("corpus", sort=False):
        shuffled = part.iloc[random(seed, "sample", str(corpus)).permutation(len(part))]
        turn = shuffled.groupby(["speaker", "emotion"]).cumcount()
        chosen += list(turn.sort_values(kind="stable").index[:at_most])
    return table.loc[table.index.isin(chosen)]


def answer(predictor: Predictor, signal: Signal) -> Row:
    """What a model says of a sound, as ``predict`` says it."""
    try:
        found = predictor.predict(signal)
    except EmoscopeError as error:
        return {"predicted": "", "confidence": 0.0, "uncertain": True, "warnings": str(error)}
    probabilities = {f"p_{emotion}": p for emotion, p in found.probabilities.items()}
    said = {"uncertain": found.uncertain, "warnings": "; ".join(found.warnings)}
    label = {"predicted": found.emotion, "confidence": found.confidence}
    return {"condition": "", **label, **said, **probabilities}


def clean(
    predictor: Predictor, corpus: Corpus, kept: pd.Index, *, jobs: int | None, tick: Tick
) -> Answers:
    """Run a model on the clips of a corpus, and keep the sound of some for :func:`changed`."""
    table = corpus.table.reindex(columns=list(COLUMNS)).astype(object).fillna("")
    held = dict[int, Clip]()
    rate = max(RATE, predictor.card.input.rate)

    def of_clip(number: int, signal: Signal) -> Row:
        about = table.iloc[number]
        if table.index[number] in kept:
            sound = resample(signal, min(rate, signal.rate))
            names = (about["clip"], about["corpus"], about["speaker"])
            held[number] = Clip(*names, dataclasses.replace(sound, notes=()))
        found = answer(predictor, signal)
        if not found["predicted"]:
            raise AudioError(signal.path, str(found["warnings"]))
        pitch = f0_energy.f0(signal)
        heard = pitch[np.isfinite(pitch)]
        return {**about, "f0": float(heard.mean()) if len(heard) else np.nan, **found}

    outcomes = each_clip(corpus, of_clip, jobs=jobs, tick=tick)
    rejected = [one for one in outcomes if isinstance(one, AudioError)]
    rows = {n: one for n, one in enumerate(outcomes) if not isinstance(one, AudioError)}
    answers = pd.DataFrame.from_dict(rows, orient="index")
    if len(answers):
        known = answers["warnings"].str.contains(TRAINING, regex=False)
        answers["in_training"] = known | in_training(predictor.card, answers)
    return Answers(answers, {n: held[n] for n in sorted(held) if n in rows}, rejected)


def changed(
    predictor: Predictor, clean: Answers, condition: Condition, *,
    seed: int, jobs: int | None, tick: Tick,
) -> pd.DataFrame:  # fmt: skip
    """The answers on the kept clips under a condition, by the rows of the same clips."""

    def of_clip(clip: Clip) -> Row:
        others = [
            other.signal for other in clean.kept.values()
            if other.corpus == clip.corpus and other.speaker != clip.speaker
        ]  # fmt: skip
        return answer(predictor, condition.of(clip.signal, others, clip=clip.name, seed=seed))

    rows = []
    for row in in_threads(of_clip, clean.kept.values(), jobs):
        rows.append({**row, "condition": condition.name})
        tick()
    found = pd.DataFrame(rows, index=list(clean.kept))
    about = clean.table.loc[found.index, [*COLUMNS, "f0", "in_training"]]
    return pd.concat([about, found], axis=1)
