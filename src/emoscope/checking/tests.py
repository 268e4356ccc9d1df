"""What a test found, and the tests of correctness, robustness and behaviour.

The first two take the table of answers alone, so that each can be made again of ``answers.csv``. Titles,
reasons, thresholds and their sources are in ``data/checks.toml``.
"""

import dataclasses
import functools
import math
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.optimize
import scipy.stats
import sklearn.metrics
import soundfile

from ..audio import Signal, resample
from ..errors import EmoscopeError
from ..evaluation import metrics, statistics
from ..files import shipped_table
from ..labels import POSITIONS, in_order
from ..modelfile.card import Card
from ..prediction import Predictor
from .answers import Row, Tick, answer
from .sounds import Condition, not_speech

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
    share: bool = False  # whether the value is a share of something, shown in percent

    @property
    def word(self) -> str:
        """The outcome in a word; it passed if the value is on the right side of the threshold."""
        good = self.value >= self.threshold if self.at_least else self.value <= self.threshold
        return "skipped" if self.skipped else "passed" if good else "failed"

    @property
    def passed(self) -> bool:
        """Whether it was made and passed."""
        return self.word == "passed"

    @property
    def failed(self) -> bool:
        """Whether it was made and did not pass."""
        return self.word == "failed"

    def shown(self, value: float) -> str:
        """A value of it with a few digits, but never a small one as zero."""
        if self.share:
            return f"{100 * value:.3g} %"
        return f"{value:.3f}" if abs(value) >= 0.001 or value == 0.0 else f"{value:.1g}"

    @property
    def limit(self) -> str:
        """What the value has to be, in words."""
        return f"{'at least' if self.at_least else 'at most'} {self.shown(self.threshold)}"

    @property
    def measured(self) -> str:
        """The value and what it is compared with, in words."""
        return f"{self.shown(self.value)}, has to be {self.limit}"


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
    made = Outcome(
        group, f"{key}/{where}", str(told["title"]).format(where=title or where), str(told["why"]),
        float(value), float(told["threshold"] if threshold is None else threshold),
        bool(told["at_least"]), str(told["basis"]), skipped=skipped, share=bool(told.get("share")),
    )  # fmt: skip
    shown = clips.head(MAX_BROKEN).itertuples() if clips is not None else ()
    broken = tuple(Broken(str(c.path), str(c.emotion), str(c.predicted)) for c in shown)
    return dataclasses.replace(made, clips=broken) if made.failed else made


def correctness(rows: pd.DataFrame, card: Card) -> Iterator[Outcome]:
    """Every test of the labels of the clips as they are, corpus by corpus."""
    for corpus, part in rows.groupby("corpus", sort=False):
        share = float(part["in_training"].mean())
        part = part.sort_values("confidence", ascending=False)
        right = part["predicted"].eq(part["emotion"])
        probabilities = part[[f"p_{emotion}" for emotion in card.emotions]].to_numpy(float)
        made = _Corpus(str(corpus), part, card, right, part[~right], probabilities)
        known = part[part["in_training"]].assign(emotion="new to the model", predicted="known")
        yield made.outcome("contamination", share, clips=known)
        for one in made.outcomes():
            yield dataclasses.replace(one, title=one.title + MEMORY, memory=True) if share else one


@dataclasses.dataclass(frozen=True)
class _Corpus:
    name: str
    rows: pd.DataFrame
    card: Card
    right: pd.Series
    wrong: pd.DataFrame
    probabilities: np.ndarray

    def outcome(self, key: str, value: float = math.nan, of: str = "", **more: Any) -> Outcome:
        where, title = (f"{self.name}/{of}", f"{of}, {self.name}") if of else (self.name, "")
        return outcome("correctness", key, where, value, title=title, **more)

    def outcomes(self) -> Iterator[Outcome]:
        true, predicted, speakers = (self.rows[c] for c in ("emotion", "predicted", "speaker"))
        known, emotions = self.card.emotions, in_order(true)
        yield self.outcome("uar", metrics.uar(true, predicted), clips=self.wrong)
        if reason := statistics.no_interval(speakers[speakers != ""].nunique()):
            yield self.outcome("chance", skipped=reason)
        else:
            low = statistics.speaker_interval(true, predicted, speakers).low
            yield self.outcome("chance", low, threshold=1.0 / len(known), clips=self.wrong)
        counts = sklearn.metrics.confusion_matrix(true, predicted)
        best = counts[scipy.optimize.linear_sum_assignment(-counts)].sum() / len(true)
        yield self.outcome("order", best - self.right.mean(), clips=self.wrong)
        yield from self._per_emotion(emotions)
        yield from self._shares()
        error = metrics.expected_calibration_error(true, self.probabilities, emotions=known)
        yield self.outcome("calibration", error, clips=self.wrong)
        over = self.rows["confidence"].mean() - self.right.mean()
        yield self.outcome("overconfidence", over, clips=self.wrong)
        yield from self._risk()
        yield from self._groups()
        yield from self._ranking(emotions)

    def _per_emotion(self, emotions: Sequence[str]) -> Iterator[Outcome]:
        pair = self.rows["emotion"], self.rows["predicted"]
        scores = metrics.per_emotion(*pair, emotions=sorted({*pair[0], *pair[1]}))
        for emotion in emotions:
            few = scores.loc[emotion, "support"] < MIN_CLIPS
            skipped = f"fewer than {MIN_CLIPS} clips" if few else ""
            for key, column in (("recall", "emotion"), ("precision", "predicted")):
                clips = self.wrong[self.wrong[column] == emotion]
                value = scores.loc[emotion, key]
                yield self.outcome(key, value, emotion, clips=clips, skipped=skipped)

    def _shares(self) -> Iterator[Outcome]:
        off = _off(self.rows)
        clips = self.wrong[self.wrong["predicted"] == off.idxmax()]
        yield self.outcome("shares", off.max(), clips=clips)
        by_speaker = self.rows[self.rows["speaker"] != ""].groupby("speaker")
        enough = (part for _, part in by_speaker if len(part) >= MIN_CLIPS)
        errors = [_off(part).sum() / len(self.card.emotions) for part in enough]
        skipped = "" if errors else f"no speaker with {MIN_CLIPS} clips"
        yield self.outcome("speaker-shares", np.mean(errors or [math.nan]), skipped=skipped)

    def _risk(self) -> Iterator[Outcome]:
        """Whether the card's promise of how many of the surest labels are wrong holds here."""
        promise = self.card.uncertain
        sure = ~self.rows["uncertain"].astype(bool)
        surest = np.arange(len(self.rows)) < round(promise.coverage * len(self.rows))
        for key, chosen in (("risk-certain", sure.to_numpy()), ("risk-coverage", surest)):
            n = int(chosen.sum())
            if not promise.coverage or n < MIN_CLIPS:
                few = f"only {n} such labels" if promise.coverage else "the model promises nothing"
                yield self.outcome(key, skipped=few)
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
            rho = 0.0 if means.nunique() < 2 else scipy.stats.spearmanr(means, meant).statistic
            yield self.outcome("ranking", rho, axis)
        for emotion in emotions:
            true = self.rows["emotion"] == emotion
            p = self.rows[f"p_{emotion}"]
            parts = self.rows.groupby("speaker").groups.values()
            both = (part for part in parts if 0 < true[part].sum() < len(part))
            each = [sklearn.metrics.roc_auc_score(true[part], p[part]) for part in both]
            skipped = "" if each else "no speaker with this and another emotion"
            yield self.outcome("detection", np.mean(each or [math.nan]), emotion, skipped=skipped)


def _off(rows: pd.DataFrame) -> pd.Series:
    """By how much the share of each label is off."""
    true, given = (rows[c].value_counts(normalize=True) for c in ("emotion", "predicted"))
    return given.sub(true, fill_value=0.0).abs()


def robustness(clean: pd.DataFrame, changed: pd.DataFrame, condition: Condition) -> list[Outcome]:
    """How many labels a condition changes, and what of the UAR it takes; rows of the same clips."""
    level = texts("levels")[condition.level]
    moved = changed["predicted"].to_numpy() != clean["predicted"].to_numpy()
    broken = changed.assign(emotion=clean["predicted"].to_numpy())[moved]
    wrong = moved & (clean["predicted"] == clean["emotion"]).to_numpy()
    lost = metrics.uar(clean["emotion"], clean["predicted"])
    lost -= metrics.uar(changed["emotion"], changed["predicted"])
    known, basis, made = bool(clean["in_training"].any()), str(level["basis"]), []
    for key, name, value, clips in (
        ("changed", "labels", moved.mean(), broken), ("loss", "uar", lost, changed[wrong])
    ):  # fmt: skip
        more: Any = {"title": condition.title, "threshold": float(level[key]), "clips": clips}
        one = outcome("robustness", key, condition.name, value, **more)
        name = f"{condition.name}/{name}"
        made.append(dataclasses.replace(one, name=name, basis=basis, memory=known))
    return made


def memory(clean: pd.DataFrame, copied: pd.DataFrame) -> Iterator[Outcome]:
    """Whether clips are recognised better than copies that nobody can tell from them."""
    for name, part in clean.groupby("corpus", sort=False):
        copies = copied.loc[part.index]
        right, still = (p["predicted"] == p["emotion"] for p in (part, copies))
        clips = copies[right & ~still]
        yield outcome("correctness", "memory", str(name), right.mean() - still.mean(), clips=clips)


SURE = 0.8  # of a model that does not say from which confidence on it is sure
LEAST_SHIFT = 0.05  # of a probability, below which a changed label was one of two equally probable


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
        yield outcome("behaviour", "marked", name, value, title=title, clips=clips, skipped=skipped)
        try:
            alone = predictor.infer(signal)
            value = 0.0 if alone.distance > 1.0 else float(alone.probabilities.max())
            label = predictor.emotions[int(alone.probabilities.argmax())]
        except EmoscopeError as error:  # a model that fails is no better than one that is sure
            value, label = 1.0, str(error)
        clips = clips.assign(predicted=f"{label} {value:.2f}")
        yield outcome("behaviour", "alone", name, value, title=title, threshold=limit, clips=clips)
        tick()


def consistency(
    predictor: Predictor, signals: Sequence[Signal], *, jobs: int | None, tick: Tick
) -> Iterator[Outcome]:
    """Whether the same recording gets the same answer, however and beside whatever it is given."""
    first = [answer(predictor, signal) for signal in signals]
    tick()
    yield _equal("repeat", first, [answer(predictor, signal) for signal in signals], signals)
    tick()
    reverse = [*predictor.predict_many(reversed(signals), jobs=jobs)][::-1]
    each = [{f"p_{e}": p for e, p in getattr(one, "probabilities", {}).items()} for one in reverse]
    yield _equal("order", first, each, signals)
    tick()
    for name, told in texts("copies").items():
        copies, form = [], {key: str(told[key]) for key in ("format", "subtype")}
        for signal in signals:
            sound = resample(signal, int(told.get("rate") or signal.rate))
            with tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, "clip")
                samples = np.repeat(sound.samples[:, None], int(told.get("channels", 1)), axis=1)
                soundfile.write(path, samples, sound.rate, **form)
                found = answer(predictor, path)
            copies.append({**found, "predicted": found["predicted"] or found["warnings"]})
        clips = _broken(first, copies, signals)
        other = clips["emotion"] != clips["predicted"]
        moved = other & (_shifts(first, copies) > LEAST_SHIFT)
        more = {"title": str(told["title"]), "clips": clips[moved]}
        yield outcome("behaviour", "copy", name, moved.mean(), **more)
        tick()


def _equal(
    key: str, first: Sequence[Row], second: Sequence[Row], signals: Sequence[Signal]
) -> Outcome:
    """The largest difference of a probability, which has to be none but of rounding."""
    off = _shifts(first, second)
    clips = _broken(first, [{"predicted": f"off by {value:.4f}"} for value in off], signals)
    return outcome("behaviour", key, "probabilities", off.max(), clips=clips[off > 1e-4])


def _shifts(first: Sequence[Row], second: Sequence[Row]) -> np.ndarray:
    """The largest difference of a probability of each clip; 1 where one answer has none."""
    names = [column for column in first[0] if column.startswith("p_")]
    a, b = (pd.DataFrame(rows).reindex(columns=names).to_numpy(float) for rows in (first, second))
    return np.asarray(np.nan_to_num(np.abs(a - b), nan=1.0).max(axis=1))


def _broken(first: Sequence[Row], found: Sequence[Row], signals: Sequence[Signal]) -> pd.DataFrame:
    paths = [signal.path for signal in signals]
    expected, labels = ([row["predicted"] for row in rows] for rows in (first, found))
    return pd.DataFrame({"path": paths, "emotion": expected, "predicted": labels})
