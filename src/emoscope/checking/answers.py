"""Runs a model: a table with a row per clip and condition, from which every test is made.

The clip's ``corpus, clip, path, speaker, emotion, gender, age, intensity, text, f0`` (mean, Hz) and
``in_training``; ``condition``; ``predicted`` (empty if a changed clip cannot be classified), ``confidence,
uncertain, warnings`` and ``p_<emotion>``. Only clips of emotions that the model knows.
"""

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
from ..prediction.known import TRAINING
from .sounds import RATE, Condition, random

Row: TypeAlias = Mapping[str, object]
Tick: TypeAlias = Callable[[], None]

COLUMNS = ("corpus", "clip", "path", "speaker", "emotion", "gender", "age", "intensity", "text")


@dataclasses.dataclass(frozen=True, eq=False)
class Answers:
    """What a model says of the clips as they are."""

    table: pd.DataFrame
    kept: dict[int, Signal]  # by row: the clips that are heard under every condition
    rejected: list[AudioError]


def sample(table: pd.DataFrame, at_most: int, seed: int) -> pd.DataFrame:
    """So many clips of each corpus, evenly over its speakers and emotions; in the same order."""
    chosen = []
    for corpus, part in table.groupby("corpus", sort=False):
        shuffled = part.iloc[random(seed, "sample", str(corpus)).permutation(len(part))]
        turn = shuffled.groupby(["speaker", "emotion"]).cumcount()
        chosen += list(turn.sort_values(kind="stable").index[:at_most])
    return table.loc[table.index.isin(chosen)]


def answer(predictor: Predictor, sound: Signal | str) -> Row:
    """What a model says of a sound or a file, as ``predict`` says it."""
    try:
        found = predictor.predict(sound)
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
    held = dict[int, Signal]()
    rate = max(RATE, predictor.card.input.rate)

    def of_clip(number: int, signal: Signal) -> Row:
        about = table.iloc[number]
        if table.index[number] in kept:
            held[number] = dataclasses.replace(resample(signal, min(rate, signal.rate)), notes=())
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
    about = clean.table.loc[list(clean.kept), [*COLUMNS, "f0", "in_training"]]
    voices = list(zip(about["corpus"], about["speaker"], clean.kept.values(), strict=True))

    def of_clip(number: int) -> Row:
        clip, (corpus, speaker, signal) = about["clip"].iloc[number], voices[number]
        others = [heard for of, who, heard in voices if of == corpus and who != speaker]
        return answer(predictor, condition.of(signal, others, clip=clip, seed=seed))

    rows = []
    for row in in_threads(of_clip, range(len(voices)), jobs):
        rows.append({**row, "condition": condition.name})
        tick()
    return pd.concat([about, pd.DataFrame(rows, index=about.index)], axis=1)
