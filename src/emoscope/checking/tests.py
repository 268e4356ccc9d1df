"""What a test found, and the tests of correctness and robustness.

A test is a function of the table of answers (:mod:`emoscope.checking.answers`), so that each can be made
again of ``answers.csv``. Titles, reasons, thresholds and their sources are in ``data/checks.toml``.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.optimize
import scipy.stats
import sklearn.metrics

from ..evaluation import metrics, statistics
from ..files import shipped_table
from ..labels import POSITIONS, in_order
from ..modelfile.card import Card
from .sounds import Condition

MAX_BROKEN = 10  # clips that an outcome names
MIN_CLIPS = 8  # of a speaker or sentence, or of an emotion
MEMORY = " (in its training: this score is memory)"


@dataclasses.dataclass(frozen=True)
class Broken:
    """A clip that breaks a test."""

    path: str
    expected: str
    found: str


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One test and what came out."""

    group: str  # correctness, fairness, robustness or behaviour
    name: str  # unique and stable, such as "uar/emodb"
    title: str
    why: str
    value: float  # what was measured; NaN where it was skipped
    threshold: float
    at_least: bool  # whether the value has to be at least, or at most, the threshold
    basis: str  # where the threshold comes from
    clips: tuple[Broken, ...] = ()
    skipped: str = ""  # why it could not be made: then it neither passed nor failed
    memory: bool = False  # whether it was made of clips that the model was trained on

    @property
    def passed(self) -> bool:
        """Whether it was made and the value is on the right side of the threshold."""
        if self.skipped:
            return False
        return bool(self.value >= self.threshold if self.at_least else self.value <= self.threshold)

    @property
    def failed(self) -> bool:
        """Whether it was made and did not pass."""
        return not (self.skipped or self.passed)

    @property
    def word(self) -> str:
        """The outcome in a word."""
        return "skipped" if self.skipped else "passed" if self.passed else "failed"

    @property
    def measured(self) -> str:
        """The value and what it is compared with, in words."""
        side = "at least" if self.at_least else "at most"
        return f"{self.value:.3g}, has to be {side} {self.threshold:.3g}"


@functools.cache
def texts(group: str) -> Mapping[str, Mapping[str, str | float | bool]]:
    """Titles, reasons and thresholds of a group of tests."""
    return dict(shipped_table("checks.toml")[group])


def outcome(
    group: str, key: str, where: str, value: float = math.nan, *, title: str = "",
    threshold: float | None = None, clips: pd.DataFrame | None = None, skipped: str = "",
) -> Outcome:  # fmt: skip
    """The outcome of the test `key` of a group, at `where`: a corpus, a condition or a sound."""
    told = texts(group)[key]
    shown = clips.head(MAX_BROKEN).itertuples() if clips is not None else ()
    made = Outcome(
        group, f"{key}/{where}", str(told["title"]).format(where=title or where), str(told["why"]),
        float(value), float(told["threshold"] if threshold is None else threshold),
        bool(told["at_least"]), str(told["basis"]), skipped=skipped,
    )  # fmt: skip
    broken = tuple(Broken(str(c.path), str(c.emotion), str(c.predicted)) for c in shown)
    return dataclasses.replace(made, clips=broken) if made.failed else made


# --- correctness ---------------------------------------------------------------------------------


def correctness(rows: pd.DataFrame, card: Card) -> Iterator[Outcome]:
    """Every test of the labels of the clips as they are, corpus by corpus."""
    for corpus, part in rows.groupby("corpus", sort=False):
        share = float(part["in_training"].mean())
        part = part.sort_values("confidence", ascending=False)
        made = _Corpus(str(corpus), part, card)
        known = part[part["in_training"]].assign(emotion="new to the model", predicted="known")
        yield made.outcome("contamination", share, clips=known)
        for one in made.outcomes():
            remembered = dataclasses.replace(one, title=one.title + MEMORY, memory=True)
            yield remembered if share else one


@dataclasses.dataclass(frozen=True)
class _Corpus:
    """The answers on one corpus, the surest first."""

    name: str
    rows: pd.DataFrame
    card: Card

    def outcome(self, key: str, value: float = math.nan, of: str = "", **more: Any) -> Outcome:
        where, title = (f"{self.name}/{of}", f"{of}, {self.name}") if of else (self.name, "")
        return outcome("correctness", key, where, value, title=title, **more)

    @functools.cached_property
    def wrong(self) -> pd.DataFrame:
        return self.rows[self.rows["predicted"] != self.rows["emotion"]]

    @functools.cached_property
    def right(self) -> pd.Series:
        return self.rows["predicted"].eq(self.rows["emotion"])

    @functools.cached_property
    def probabilities(self) -> np.ndarray:
        columns = [f"p_{emotion}" for emotion in self.card.emotions]
        return np.asarray(self.rows[columns], dtype=float)

    def outcomes(self) -> Iterator[Outcome]:
        rows, emotions = self.rows, in_order(self.rows["emotion"])
        uar = metrics.uar(rows["emotion"], rows["predicted"])
        yield self.outcome("uar", uar, clips=self.wrong)
        yield from self._chance()
        yield from self._per_emotion(emotions)
        yield from self._shares()
        yield from self._calibration()
        yield from self._risk()
        yield from self._groups()
        yield from self._ranking(emotions)

    def _chance(self) -> Iterator[Outcome]:
        chance = 1.0 / len(self.card.emotions)
        speakers = self.rows["speaker"]
        if reason := statistics.no_interval(speakers[speakers != ""].nunique()):
            yield self.outcome("chance", skipped=reason)
        else:
            pair = self.rows["emotion"], self.rows["predicted"]
            low = statistics.speaker_interval(*pair, speakers).low
            yield self.outcome("chance", low, threshold=chance, clips=self.wrong)
        given = sorted({*self.rows["emotion"], *self.rows["predicted"]})
        counts = metrics.confusion(self.rows["emotion"], self.rows["predicted"], emotions=given)
        places = scipy.optimize.linear_sum_assignment(-counts.to_numpy())
        best = counts.to_numpy()[places].sum() / len(self.rows)
        yield self.outcome("order", best - self.right.mean(), clips=self.wrong)

    def _per_emotion(self, emotions: Sequence[str]) -> Iterator[Outcome]:
        pair = self.rows["emotion"], self.rows["predicted"]
        known = sorted({*pair[0], *pair[1]})
        scores = metrics.per_emotion(*pair, emotions=known)
        for emotion in emotions:
            few = scores.loc[emotion, "support"] < MIN_CLIPS
            skipped = f"fewer than {MIN_CLIPS} clips" if few else ""
            for key, column in (("recall", "emotion"), ("precision", "predicted")):
                clips = self.wrong[self.wrong[column] == emotion]
                value = scores.loc[emotion, key]
                yield self.outcome(key, value, emotion, clips=clips, skipped=skipped)

    def _shares(self) -> Iterator[Outcome]:
        columns = ("emotion", "predicted")
        shares = pd.DataFrame(
            {c: self.rows[c].value_counts(normalize=True) for c in columns}
        ).fillna(0.0)
        off = (shares["predicted"] - shares["emotion"]).abs()
        clips = self.wrong[self.wrong["predicted"] == off.idxmax()]
        yield self.outcome("shares", off.max(), clips=clips)
        errors = []
        for _, part in self.rows[self.rows["speaker"] != ""].groupby("speaker"):
            true, given = (part[c].value_counts(normalize=True) for c in columns)
            if len(part) >= MIN_CLIPS:
                each = given.sub(true, fill_value=0.0).abs()
                errors.append(each.sum() / len(self.card.emotions))
        skipped = "" if errors else f"no speaker with {MIN_CLIPS} clips"
        yield self.outcome("speaker-shares", _mean(errors), skipped=skipped)

    def _calibration(self) -> Iterator[Outcome]:
        true = self.rows["emotion"]
        error = metrics.expected_calibration_error(
            true, self.probabilities, emotions=self.card.emotions
        )
        yield self.outcome("calibration", error, clips=self.wrong)
        over = self.rows["confidence"].mean() - self.right.mean()
        yield self.outcome("overconfidence", over, clips=self.wrong)

    def _risk(self) -> Iterator[Outcome]:
        """Whether the card's promise of how many of the surest labels are wrong holds here."""
        promise = self.card.uncertain
        sure = ~self.rows["uncertain"].astype(bool)
        surest = np.arange(len(self.rows)) < round(promise.coverage * len(self.rows))
        for key, chosen in (("risk-certain", sure.to_numpy()), ("risk-coverage", surest)):
            n = int(chosen.sum())
            if not promise.coverage or n < MIN_CLIPS:
                reason = (
                    f"only {n} such labels" if promise.coverage else "the model promises nothing"
                )
                yield self.outcome(key, skipped=reason)
                continue
            most = scipy.stats.binom.ppf(0.95, n, promise.risk) / n
            clips = self.rows[chosen & ~self.right.to_numpy()]
            yield self.outcome(key, 1.0 - self.right[chosen].mean(), threshold=most, clips=clips)

    def _groups(self) -> Iterator[Outcome]:
        for key, column in (("sex", "gender"), ("intensity", "intensity")):
            values = self.rows[column]
            for value, part in self.rows[values != ""].groupby(values):
                if values.nunique() > 1 and len(part) >= MIN_CLIPS:
                    score = metrics.uar(part["emotion"], part["predicted"])
                    clips = self.wrong[self.wrong.index.isin(part.index)]
                    yield self.outcome(key, score, str(value), clips=clips)
        for key, column in (("speaker-worst", "speaker"), ("sentence-worst", "text")):
            values = self.rows[column]
            groups = self.right[values != ""].groupby(values).agg(["size", "mean"])
            groups = groups[groups["size"] >= MIN_CLIPS]
            if len(groups) < 2:
                yield self.outcome(key, skipped=f"fewer than two with {MIN_CLIPS} clips each")
                continue
            worst, overall = groups["mean"].idxmin(), float(self.right.mean())
            n = int(groups["size"][worst])
            by_chance = scipy.stats.binom.ppf(0.05 / len(groups), n, overall) / n
            clips = self.wrong[values[self.wrong.index] == worst]
            value, limit = groups["mean"][worst], min(overall / 2, by_chance)
            yield self.outcome(key, value, threshold=limit, clips=clips)

    def _ranking(self, emotions: Sequence[str]) -> Iterator[Outcome]:
        cells = [self.rows["speaker"], self.rows["emotion"]]
        placed = POSITIONS.keys() >= set(self.card.emotions)
        for n, axis in enumerate(("arousal", "valence")):
            if not placed or len(emotions) < 3:
                few = "fewer than three emotions" if placed else "labels without a usual position"
                yield self.outcome("ranking", of=axis, skipped=few)
                continue
            heard = self.probabilities @ [POSITIONS[emotion][n] for emotion in self.card.emotions]
            means = pd.Series(heard, self.rows.index).groupby(cells).mean()
            meant = [POSITIONS[str(emotion)][n] for _, emotion in means.index]
            constant = means.nunique() < 2
            rho = 0.0 if constant else scipy.stats.spearmanr(means, meant).statistic
            yield self.outcome("ranking", rho, axis)
        for emotion in emotions:
            true = self.rows["emotion"] == emotion
            p = self.rows[f"p_{emotion}"]
            each = [
                sklearn.metrics.roc_auc_score(true[part], p[part])
                for part in self.rows.groupby("speaker").groups.values()
                if 0 < true[part].sum() < len(part)
            ]
            skipped = "" if each else "no speaker with this and another emotion"
            yield self.outcome("detection", _mean(each), emotion, skipped=skipped)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan


# --- robustness ----------------------------------------------------------------------------------


def robustness(clean: pd.DataFrame, changed: pd.DataFrame, condition: Condition) -> list[Outcome]:
    """How many labels a condition changes, and what of the UAR it takes; rows of the same clips."""
    level = texts("levels")[condition.level]
    moved = changed["predicted"].to_numpy() != clean["predicted"].to_numpy()
    broken = changed.assign(emotion=clean["predicted"].to_numpy())[moved]
    wrong = moved & (clean["predicted"] == clean["emotion"]).to_numpy()
    lost = metrics.uar(clean["emotion"], clean["predicted"])
    lost -= metrics.uar(changed["emotion"], changed["predicted"])
    made = []
    for key, value, clips in (("changed", moved.mean(), broken), ("loss", lost, changed[wrong])):
        limit = float(level[key])
        one = outcome(
            "robustness", key, condition.name, value, title=condition.title, threshold=limit,
            clips=clips,
        )  # fmt: skip
        name = f"{condition.name}/{ {'changed': 'labels', 'loss': 'uar'}[key] }"
        known = bool(clean["in_training"].any())
        made.append(dataclasses.replace(one, name=name, basis=str(level["basis"]), memory=known))
    return made


def memory(clean: pd.DataFrame, copied: pd.DataFrame) -> Iterator[Outcome]:
    """Whether clips are recognised better than copies that nobody can tell from them."""
    for corpus, part in clean.groupby("corpus", sort=False):
        copies = copied.loc[part.index]
        right, still = (p["predicted"] == p["emotion"] for p in (part, copies))
        clips = copies[right & ~still]
        yield outcome(
            "correctness", "memory", str(corpus), right.mean() - still.mean(), clips=clips
        )
