"""Whether what the original project concluded holds: on its own split, and on unseen speakers.

A claim like "these beat those" is assessed over all pairs of one of each: how often it is true, the
mean difference on unseen speakers, and an exact test that exchanges predictions by speaker.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..evaluation import metrics, sentence, statistics
from ..files import lines, said, shipped_table
from ..protocols import shares_speakers

CLASSICAL = "classical"
NETWORKS = ("MLP", "CNN-1D", "CNN-2D")
SCORES = tuple(map(attrgetter, ("published", "reproduced", "honest")))
OVERFIT = 95.0  # training accuracy in percent that the claim about overfitting names


@dataclass(frozen=True)
class Row:
    """One published result, reproduced; accuracies in percent.

    ``reproduced`` is on the published split, with mean and range over ``n_splits`` seeds;
    ``honest`` on unseen speakers; ``training`` and ``honest_training`` on the clips learned from.
    """

    model: str
    family: str
    published: float
    reproduced: float
    reproduced_mean: float | None
    reproduced_low: float | None
    reproduced_high: float | None
    n_splits: int
    training: float
    honest: float
    honest_low: float | None
    honest_high: float | None
    honest_training: float
    honest_protocol: str
    random_protocol: str
    n_test: int
    epochs: int | None
    seconds: float

    @property
    def short_name(self) -> str:
        """The name of the published result without its layers."""
        name = self.model.split(":")[0]
        return name.replace(", features not scaled", "").replace(", random_state 0", "")


@dataclass(frozen=True)
class Verdict:
    """What became of a claim; None where the rows cannot tell whether it holds."""

    claim: str
    verdict: str
    holds_reproduced: bool | None
    holds_honest: bool | None
    evidence: list[str]


#: Whether a claim holds reproduced, and on unseen speakers; with the sentences that tell why.
Judged: TypeAlias = tuple[bool | None, bool | None, list[str]]
WORDS = {True: "holds", False: "fails", None: "unknown"}


def assess(texts: Sequence[str], rows: Sequence[Row], predictions: pd.DataFrame) -> list[Verdict]:
    """Assess each of the four published claims, given in the order of :data:`ASSESSMENTS`."""
    words, verdicts = shipped_table("verdicts.toml"), []
    for text, assess_claim in zip(texts, ASSESSMENTS, strict=True):
        reproduced, honest, evidence = assess_claim(rows, predictions)
        verdict = words[WORDS[reproduced]][WORDS[honest]]
        verdicts.append(Verdict(text, verdict, reproduced, honest, evidence))
    return verdicts


def _networks_overfit(rows: Sequence[Row], _: pd.DataFrame) -> Judged:
    if not (networks := [row for row in rows if row.family in NETWORKS]):
        return None, None, ["No network was trained."]
    n_over = sum(row.training > OVERFIT for row in networks)
    n_over_honest = sum(row.honest_training > OVERFIT for row in networks)
    evidence = lines(
        "overfit", networks=networks, limit=OVERFIT, n_over=n_over, n_honest=n_over_honest,
        loss=np.mean([row.training - row.reproduced for row in networks]),
        honest=np.mean([row.honest_training - row.honest for row in networks]),
        classical=[row for row in rows if row.family == CLASSICAL],
    )  # fmt: skip
    half = len(networks) / 2
    return n_over > half, n_over_honest > half, evidence


def _cnns_differ(rows: Sequence[Row], predictions: pd.DataFrame) -> Judged:
    """Among 1-D networks, which share input, optimiser and budget: more than chance would give?"""
    networks = [row for row in rows if row.family == "CNN-1D"]
    if len(networks) < 2:
        return None, None, ["Fewer than two 1-D CNNs were trained."]
    published, reproduced, honest = (np.ptp([of(row) for row in networks]) for of in SCORES)
    # Two scores of n clips each differ by chance with this standard deviation at most.
    n_test, mean = networks[0].n_test, np.mean([row.reproduced for row in networks]) / 100
    chance = 100 * np.sqrt(2 * mean * (1 - mean) / n_test)
    emotions, speakers, predicted = _on_unseen_speakers(predictions, networks)
    table = statistics.compare_models(emotions, predicted, speakers, metrics.accuracy)
    n_apart = int((table["p_holm"] < statistics.ALPHA).sum())
    evidence = lines(
        "spans", n=len(networks), published=published, reproduced=reproduced, honest=honest,
        chance=chance, n_test=n_test, n_apart=n_apart, n_pairs=len(table),
        n_speakers=len(set(speakers)), smallest=table["p_holm"].min(),
    )  # fmt: skip
    return bool(reproduced > 2.5 * chance), n_apart > 0, evidence


def _beats(
    first: str, first_families: Sequence[str], second: str, second_family: str, rows: Sequence[Row],
    predictions: pd.DataFrame,
) -> Judged:  # fmt: skip
    """Assess "`first` beats `second` in most cases" over all pairs of one of each."""
    ours = [row for row in rows if row.family in first_families]
    theirs = [row for row in rows if row.family == second_family]
    if not ours or not theirs:
        return None, None, [f"Not both {first} and {second} were trained."]
    published, reproduced, honest = (
        float(np.mean([of(a) > of(b) for a in ours for b in theirs])) for of in SCORES
    )
    shares = {"published": published, "reproduced": reproduced, "honest": honest}
    n_pairs = len(ours) * len(theirs)
    evidence = [sentence("pairs", n=n_pairs, first=first, second=second, **shares)]
    if not (same := [row for row in ours if row.honest_protocol == theirs[0].honest_protocol]):
        return reproduced > 0.5, None, evidence
    # The pairs' clips are stacked, so a speaker is exchanged in all pairs at once.
    emotions, speakers, predicted = _on_unseen_speakers(predictions, [*same, *theirs])
    pairs = [(predicted[a.model], predicted[b.model]) for a in same for b in theirs]
    left, right = map(np.concatenate, zip(*pairs, strict=True))
    emotions, speakers = np.tile(emotions, len(pairs)), np.tile(speakers, len(pairs))
    arguments = (emotions, left, right, speakers, metrics.accuracy)
    interval, p = statistics.difference_interval(*arguments), statistics.paired_test(*arguments)
    counts = {"n_speakers": len(set(speakers)), "left_out": len(ours) - len(same)}
    evidence.append(said("difference", interval=interval, p=p, **counts))
    holds_honest = honest > 0.5 and interval.estimate > 0 and p < statistics.ALPHA
    return reproduced > 0.5, holds_honest, evidence


ASSESSMENTS: tuple[Callable[[Sequence[Row], pd.DataFrame], Judged], ...] = (
    partial(_beats, "networks", NETWORKS, "classical models", CLASSICAL),
    _networks_overfit,
    # On the same 180 features and split, which only the 1-D networks share with the MLPs.
    partial(_beats, "1-D CNNs", ["CNN-1D"], "MLPs", "MLP"),
    _cnns_differ,
)


def _on_unseen_speakers(
    predictions: pd.DataFrame, rows: Sequence[Row]
) -> tuple[NDArray[Any], NDArray[Any], dict[str, NDArray[Any]]]:
    """Emotions and speakers of the clips, and what each model predicts."""
    names = [row.model for row in rows]
    unseen = ~predictions["protocol"].map(shares_speakers)
    table = predictions[predictions["model"].isin(names) & unseen]
    clips = table.pivot(index=["clip", "speaker", "emotion"], columns="model", values="predicted")
    emotions, speakers = (
        clips.index.get_level_values(n).to_numpy() for n in ("emotion", "speaker")
    )
    return emotions, speakers, {name: clips[name].to_numpy() for name in names}
