"""Whether what the original project concluded holds: on its own split, and on unseen speakers.

A claim like "these beat those" is assessed over all pairs of one of each: how often it is true, the
mean difference on unseen speakers, and an exact test that exchanges predictions by speaker.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter

import numpy as np
import pandas as pd

from ..evaluation import metrics, statistics
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


def assess(texts: Sequence[str], rows: Sequence[Row], predictions: pd.DataFrame) -> list[Verdict]:
    """Assess each of the four published claims, given in the order of :data:`ASSESSMENTS`."""
    return [
        replace(assess_claim(rows, predictions), claim=text)
        for text, assess_claim in zip(texts, ASSESSMENTS, strict=True)
    ]


def _networks_overfit(rows: Sequence[Row], _: pd.DataFrame) -> Verdict:
    if not (networks := [row for row in rows if row.family in NETWORKS]):
        return _verdict(None, None, ["No network was trained."])
    training = [row.training for row in networks]
    n_over = sum(accuracy > OVERFIT for accuracy in training)
    n_over_honest = sum(row.honest_training > OVERFIT for row in networks)
    loss = np.mean([row.training - row.reproduced for row in networks])
    honest_loss = np.mean([row.honest_training - row.honest for row in networks])
    evidence = [
        f"{n_over} of {len(networks)} networks pass {OVERFIT:.0f} % on the training clips of the "
        f"published split (range {min(training):.1f} to {max(training):.1f} %), {n_over_honest} on "
        "those of the test on unseen speakers.",
        f"They lose {loss:.1f} points on average on the published test clips, and "
        f"{honest_loss:.1f} on unseen speakers: a split that shares voices shows little of it."
        if honest_loss > 1.5 * loss
        else f"They lose {loss:.1f} points on average on the published test clips and "
        f"{honest_loss:.1f} on unseen speakers.",
    ]
    if below := [row.short_name for row in networks if row.training <= OVERFIT]:
        evidence.append(f"Not above {OVERFIT:.0f} % on the published split: {'; '.join(below)}.")
    if classical := [row.training for row in rows if row.family == CLASSICAL]:
        n_high = sum(accuracy > OVERFIT for accuracy in classical)
        evidence.append(f"{n_high} of the {len(classical)} classical models pass it too.")
    half = len(networks) / 2
    return _verdict(n_over > half, n_over_honest > half, evidence)


def _cnns_differ(rows: Sequence[Row], predictions: pd.DataFrame) -> Verdict:
    """Among 1-D networks, which share input, optimiser and budget: more than chance would give?"""
    networks = [row for row in rows if row.family == "CNN-1D"]
    if len(networks) < 2:
        return _verdict(None, None, ["Fewer than two 1-D CNNs were trained."])
    published, reproduced, honest = (np.ptp([of(row) for row in networks]) for of in SCORES)
    # Two scores of n clips each differ by chance with this standard deviation at most.
    n_test, mean = networks[0].n_test, np.mean([row.reproduced for row in networks]) / 100
    chance = 100 * np.sqrt(2 * mean * (1 - mean) / n_test)
    by_model = _on_unseen_speakers(predictions, networks)
    speakers = by_model.index.get_level_values("speaker").to_numpy()
    table = statistics.compare_models(
        by_model.index.get_level_values("emotion").to_numpy(),
        {name: by_model[name].to_numpy() for name in by_model},
        speakers,
        metrics.accuracy,
    )
    n_apart = int((table["p_holm"] < statistics.ALPHA).sum())
    evidence = [
        f"The four architectures span {published:.1f} points as published, "
        f"{reproduced:.1f} reproduced and {honest:.1f} on unseen speakers."
        if len(networks) == 4
        else f"{len(networks)} architectures span {reproduced:.1f} points reproduced and "
        f"{honest:.1f} on unseen speakers.",
        f"Two models of equal worth differ by {chance:.1f} points (one standard deviation) on "
        f"{n_test} independent test clips.",
        f"On unseen speakers {n_apart} of {len(table)} pairs differ beyond chance (exact test "
        f"over {len(set(speakers))} speakers, Holm's correction; "
        f"smallest p {table['p_holm'].min():.2g}).",
    ]
    return _verdict(bool(reproduced > 2.5 * chance), n_apart > 0, evidence)


def _beats(
    first: str, first_families: Sequence[str], second: str, second_family: str, rows: Sequence[Row],
    predictions: pd.DataFrame,
) -> Verdict:  # fmt: skip
    """Assess "`first` beats `second` in most cases" over all pairs of one of each."""
    ours = [row for row in rows if row.family in first_families]
    theirs = [row for row in rows if row.family == second_family]
    if not ours or not theirs:
        return _verdict(None, None, [f"Not both {first} and {second} were trained."])
    published, reproduced, honest = (
        float(np.mean([of(a) > of(b) for a in ours for b in theirs])) for of in SCORES
    )
    evidence = [
        f"Of {len(ours) * len(theirs)} pairs of one of the {first} and one of the {second}, the "
        f"first scores higher in {published:.0%} as published, {reproduced:.0%} reproduced and "
        f"{honest:.0%} on unseen speakers."
    ]
    if not (same := [row for row in ours if row.honest_protocol == theirs[0].honest_protocol]):
        return _verdict(reproduced > 0.5, None, evidence)
    # The pairs' clips are stacked, so a speaker is exchanged in all pairs at once.
    by_model = _on_unseen_speakers(predictions, [*same, *theirs])
    pairs = [(a.model, b.model) for a in same for b in theirs]
    left, right = (
        np.concatenate([by_model[pair[side]].to_numpy() for pair in pairs]) for side in (0, 1)
    )
    emotions, speakers = (
        np.tile(by_model.index.get_level_values(level).to_numpy(), len(pairs))
        for level in ("emotion", "speaker")
    )
    arguments = (emotions, left, right, speakers, metrics.accuracy)
    interval, p = statistics.difference_interval(*arguments), statistics.paired_test(*arguments)
    left_out = len(ours) - len(same)
    evidence.append(
        f"On unseen speakers the mean difference is {100 * interval.estimate:+.1f} points "
        f"(95 % interval {100 * interval.low:+.1f} to {100 * interval.high:+.1f}; exact test over "
        f"{len(set(speakers))} speakers, p {'below 0.001' if p < 0.001 else f'{p:.3f}'})."
        + (f" {left_out} spectrogram networks, tested on other clips, are not in this test."
           if left_out else "")
    )  # fmt: skip
    holds_honest = honest > 0.5 and interval.estimate > 0 and p < statistics.ALPHA
    return _verdict(reproduced > 0.5, holds_honest, evidence)


ASSESSMENTS: tuple[Callable[[Sequence[Row], pd.DataFrame], Verdict], ...] = (
    partial(_beats, "networks", NETWORKS, "classical models", CLASSICAL),
    _networks_overfit,
    # On the same 180 features and split, which only the 1-D networks share with the MLPs.
    partial(_beats, "1-D CNNs", ["CNN-1D"], "MLPs", "MLP"),
    _cnns_differ,
)


def _on_unseen_speakers(predictions: pd.DataFrame, rows: Sequence[Row]) -> pd.DataFrame:
    """Predictions of the rows' models: one column per model, indexed by clip."""
    names = [row.model for row in rows]
    unseen = ~predictions["protocol"].map(shares_speakers)
    table = predictions[predictions["model"].isin(names) & unseen]
    wide = table.pivot(index=["clip", "speaker", "emotion"], columns="model", values="predicted")
    return wide[names]


def _verdict(reproduced: bool | None, honest: bool | None, evidence: list[str]) -> Verdict:
    words = {
        (True, True): "holds, also on unseen speakers",
        (True, False): "holds on the published split, cannot be shown on unseen speakers",
        (False, True): "does not hold on the published split, but on unseen speakers",
        (False, False): "does not hold",
        (True, None): "holds on the published split; not tested on unseen speakers",
        (False, None): "does not hold on the published split; not tested on unseen speakers",
    }
    verdict = "cannot be judged" if reproduced is None else words[reproduced, honest]
    return Verdict("", verdict, reproduced, honest, evidence)
