"""Temperature, threshold and offsets of sources of a shipped model.

Confidence is calibrated cross-corpus, because the voices, rooms and languages of users are in no training
corpus: each corpus in turn is predicted by a classifier trained on the others. What recordings of one
source have in common is learned from held-out speakers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from emoscope.labels import EMOTIONS
from emoscope.modelfile import softmax
from emoscope.modelfile.card import SourceOffsets, Uncertain
from emoscope.models import offsets
from emoscope.training import calibration

from .recipe import EmbeddedClips, Predicted

LEAST = 0.05
"""Coverage below which there is no threshold: a few clips would decide it."""
RISK = 0.3
"""Share of wrong answers among those that are let pass, mean over corpora left out."""
BATCH = 8
"""Clips of one speaker and emotion, whose spread tells batches of one emotion from others."""
ALIKE, APART = 0.65, 2.0
"""Share of such batches that are taken to be of one emotion; how much wider those of several are."""


@dataclasses.dataclass(frozen=True, eq=False)
class Calibration:
    """What a card needs for confidence: temperature, offsets of sources, threshold of uncertain labels."""

    temperature: float
    offsets: SourceOffsets
    uncertain: Uncertain


def calibrate(
    clips: EmbeddedClips, unseen: Predicted, left_out: Sequence[Predicted]
) -> Calibration:
    """Calibrate on held-out corpora; learn source offsets from held-out speakers."""
    scale = temperature(clips, left_out)
    labels = np.searchsorted(unseen.emotions, clips.labels[unseen.rows])
    told = (labels, clips.speakers[unseen.rows], clips.corpora[unseen.rows])
    learned = offsets.fit(unseen.logits, *told, temperature=scale)
    low = one_emotion_spread(clips, unseen.emotions, learned, left_out)
    learned = dataclasses.replace(learned, low=low, high=APART * low)
    return Calibration(scale, learned, threshold(clips, left_out, scale))


def one_emotion_spread(
    clips: EmbeddedClips,
    emotions: NDArray[np.intp],
    learned: SourceOffsets,
    left_out: Sequence[Predicted],
) -> float:
    """Spread that most batches of one emotion stay below; median over held-out corpora."""
    found = []
    for one in left_out:
        known = np.searchsorted(emotions, one.emotions)  # a head of fewer corpora knows fewer
        covariance = learned.covariance.astype(np.float64)[known][:, known]
        X, labels = offsets.centred(one.logits), clips.labels[one.rows]
        spreads = []
        for speaker in np.unique(clips.speakers[one.rows]):
            for label in np.unique(labels):
                rows = np.flatnonzero((clips.speakers[one.rows] == speaker) & (labels == label))
                for batch in np.array_split(rows, max(1, round(len(rows) / BATCH))):
                    if len(batch) > 1:
                        spreads.append(offsets.spread(X[batch], covariance, len(batch)))
        found.append(np.quantile(spreads, ALIKE))
    return float(np.median(found))


def temperature(clips: EmbeddedClips, left_out: Sequence[Predicted]) -> float:
    """The median of the temperatures that calibrate each held-out corpus; robust to one hopeless corpus."""
    fitted = []
    for found in left_out:
        known = np.isin(clips.labels[found.rows], found.emotions)
        labels = np.searchsorted(found.emotions, clips.labels[found.rows[known]])
        fitted.append(calibration.temperature(found.logits[known], labels))
    return float(np.median(fitted))


def threshold(clips: EmbeddedClips, left_out: Sequence[Predicted], temperature: float) -> Uncertain:
    """The lowest confidence above which at most :data:`RISK` of the labels are wrong, cross-corpus.

    Every corpus has the same weight, for coverage and for risk. Unfamiliar clips are always uncertain.
    """
    confidence, wrong, weight = [], [], []
    for found in left_out:
        sure = softmax(found.logits / temperature).max(axis=1)
        confidence.append(np.where(found.familiar, sure, -1.0))
        answers = found.emotions[found.logits.argmax(axis=1)]
        wrong.append(~right(answers, clips.labels[found.rows]))
        weight.append(np.full(len(found.rows), 1.0 / len(found.rows) / len(left_out)))
    order = np.argsort(-np.concatenate(confidence), kind="stable")
    sure, mistaken, weights = (np.concatenate(x)[order] for x in (confidence, wrong, weight))
    coverage = np.cumsum(weights)
    risk = np.cumsum(weights * mistaken) / coverage
    allowed = np.flatnonzero((risk <= RISK) & (sure > 0))
    if not len(allowed) or coverage[allowed[-1]] < LEAST:  # nothing is to be relied on
        return Uncertain(threshold=1.0, coverage=0.0, risk=0.0, held_out="corpora")
    last = int(allowed[-1])
    return Uncertain(
        threshold=float(sure[last]),
        coverage=float(coverage[last]),
        risk=float(risk[last]),
        held_out="corpora",
    )


def right(answers: NDArray[np.intp], labels: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Whether answers are right; calm is no mistake where the label is neutral."""
    calm, neutral = EMOTIONS.index("calm"), EMOTIONS.index("neutral")
    return np.asarray((answers == labels) | ((answers == calm) & (labels == neutral)))
