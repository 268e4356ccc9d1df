"""Cross-corpus figures of the recipe: clips alone and together, coverage and risk of labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from emoscope.evaluation import metrics, statistics
from emoscope.evaluation.result import ABOUT_CLIP, ROW
from emoscope.labels import EMOTIONS, POSITIONS
from emoscope.modelfile.card import Card
from emoscope.models import offsets

from .confidence import Calibration, right
from .recipe import INPUT, EmbeddedClips, Predicted

Double = NDArray[np.float64]
Indices = NDArray[np.intp]

SIZES = (4, 16, 64, 10_000)
AGITATED, QUIET = ("angry", "happy", "fearful", "surprised"), ("neutral", "calm", "sad", "bored")
PLEASANT = ("happy", "calm", "neutral")
UNPLEASANT = ("angry", "sad", "fearful", "disgust")


def card_of(found: Predicted, calibration: Calibration) -> Card:
    """The model card of this head, as far as its predictions depend on it."""
    return Card(
        name="left-out",
        emotions=tuple(EMOTIONS[n] for n in found.emotions),
        input=INPUT,
        embedding_width=1,
        temperature=calibration.temperature,
        uncertain=calibration.uncertain,
        offsets=calibration.offsets,
    )


def shared(clips: EmbeddedClips, found: Predicted) -> tuple[Predicted, Indices]:
    """The clips whose emotion the head knows, and these emotions."""
    emotions = np.intersect1d(clips.labels[found.rows], found.emotions)
    known = np.isin(clips.labels[found.rows], emotions)
    return Predicted(found.rows[known], found.logits[known], found.emotions), emotions


def batches(keys: Sequence[NDArray[np.str_]], size: int, *, seed: int = 0) -> Indices:
    """The batch of each clip: random ones of about `size` among clips with the same keys."""
    rng, joined = (
        np.random.default_rng(seed),
        np.array(["|".join(key) for key in zip(*keys, strict=True)]),
    )
    result, number = np.empty(len(joined), int), 0
    for name in np.unique(joined):
        rows = rng.permutation(np.flatnonzero(joined == name))
        for batch in np.array_split(rows, max(1, round(len(rows) / size))):
            result[batch], number = number, number + 1
    return result


def figures(clips: EmbeddedClips, found: Predicted, calibration: Calibration) -> dict[str, object]:
    """Every figure of a held-out corpus.

    Returns
    -------
    dict
        ``alone`` and ``together`` (by number of clips of a speaker): UAR among shared emotions, with
        the interval over speakers; ``one_emotion``: the same clips in batches of one emotion, and the
        change of the recall of the emotion that loses most; ``doubt``, alone and with 16 clips, when
        all emotions may be answered: coverage and risk (unfamiliar clips count as uncertain),
        accuracy of what is unfamiliar and of what is not, calibration error, and areas under the
        curve of confidence in right answers, of arousal and of valence.
    """
    card, (known, emotions) = card_of(found, calibration), shared(clips, found)
    labels, speakers = clips.labels[known.rows], clips.speakers[known.rows]
    allowed = np.searchsorted(known.emotions, emotions).tolist()
    names = labels.astype(str)

    def answers(groups: Indices) -> Indices:
        return emotions[
            offsets.together(card, known.logits, groups, allowed=allowed).argmax(axis=1)
        ]

    def scored(predicted: Indices) -> dict[str, float]:
        interval = statistics.speaker_interval(names, predicted.astype(str), speakers)
        uar = metrics.uar(names, predicted.astype(str))
        return {"uar": uar, "low": interval.low, "high": interval.high}

    alone = answers(np.arange(len(labels)))
    result: dict[str, object] = {"alone": scored(alone), "n_clips": len(labels)}
    result["emotions"] = [EMOTIONS[n] for n in emotions]
    result["together"] = {n: scored(answers(batches([speakers], n))) for n in SIZES}
    result["one_emotion"] = {}
    for size in SIZES[:3]:
        predicted = answers(batches([speakers, names], size))
        change = [
            np.mean(predicted[labels == e] == e) - np.mean(alone[labels == e] == e)
            for e in emotions
        ]
        result["one_emotion"][size] = {**scored(predicted), "worst_change": float(min(change))}
    return result | _selective(card, clips, found)


def _selective(card: Card, clips: EmbeddedClips, found: Predicted) -> dict[str, object]:
    """Coverage, risk and calibration when all emotions may be answered; arousal and valence."""
    labels, familiar, result = clips.labels[found.rows], found.familiar, {}
    for name, groups in (
        ("alone", np.arange(len(labels))),
        ("together", batches([clips.speakers[found.rows]], 16)),
    ):
        probabilities = offsets.together(card, found.logits, groups)
        confidence = probabilities.max(axis=1)
        good = right(found.emotions[probabilities.argmax(axis=1)], labels)
        sure = (confidence >= card.uncertain.threshold) & familiar
        bins = np.minimum((confidence * 15).astype(int), 14)
        errors = [
            np.mean(bins == b) * abs(good[bins == b].mean() - confidence[bins == b].mean())
            for b in np.unique(bins)
        ]
        places = np.array([POSITIONS[EMOTIONS[n]] for n in found.emotions])
        arousal, valence = (probabilities @ places).T
        result[name] = {
            "accuracy": float(good.mean()),
            "coverage": float(sure.mean()),
            "risk": float(1.0 - good[sure].mean()) if sure.any() else None,
            "unfamiliar": float(1.0 - familiar.mean()),
            "accuracy_unfamiliar": None if familiar.all() else float(good[~familiar].mean()),
            "accuracy_familiar": float(good[familiar].mean()) if familiar.any() else None,
            "calibration_error": float(sum(errors)),
            "tells_right_from_wrong": float(roc_auc_score(good, confidence)),
            "arousal": _area(arousal, labels, AGITATED, QUIET),
            "valence": _area(valence, labels, PLEASANT, UNPLEASANT),
        }
    return {"doubt": result}


def _area(values: Double, labels: Indices, high: Sequence[str], low: Sequence[str]) -> float:
    above, below = (np.isin(labels, [EMOTIONS.index(e) for e in names]) for names in (high, low))
    either = above | below
    return float(roc_auc_score(above[either], values[either]))


def rows(
    clips: EmbeddedClips, found: Predicted, calibration: Calibration, *, model: str, features: str
) -> pd.DataFrame:
    """Rows of a result: each clip alone, and all clips of a speaker together."""
    card, (known, emotions) = card_of(found, calibration), shared(clips, found)
    allowed = np.searchsorted(known.emotions, emotions).tolist()
    parts = []
    for protocol, groups in (
        ("cross-corpus", np.arange(len(known.rows))),
        ("cross-corpus+speaker-adapted", batches([clips.speakers[known.rows]], 10_000)),
    ):
        probabilities = offsets.together(card, known.logits, groups, allowed=allowed)
        told = {"model": model, "features": features, "protocol": protocol, "fold": "1"}
        parts.append(as_rows(clips, known.rows, probabilities, emotions, told))
    return pd.concat(parts, ignore_index=True)


def as_rows(
    clips: EmbeddedClips, test: Indices, probabilities: Double, emotions: Indices,
    told: Mapping[str, str],
) -> pd.DataFrame:  # fmt: skip
    """Rows of a result, with the columns that `told` has the same for all."""
    table = clips.corpus.table.iloc[test].reset_index(drop=True)
    names = np.array(EMOTIONS)
    chosen = names[emotions][probabilities.argmax(axis=1)]
    result = table[["clip", "speaker"]].assign(
        emotion=names[clips.labels[test]], predicted=chosen, **told
    )
    by_emotion = pd.DataFrame(probabilities, columns=[f"p_{names[e]}" for e in emotions])
    about = [column for column in ABOUT_CLIP if column in table]
    return pd.concat([result[list(ROW)], by_emotion, table[about]], axis=1)
