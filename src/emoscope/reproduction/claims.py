"""Whether what the original project concluded holds: on its own split, and on unheard speakers.

A claim of the form "these models beat those" is judged over all pairs of one of each: how often it
is true, and the mean difference on unheard speakers with a 95 % interval and an exact test that
exchanges both sides' predictions speaker by speaker.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..evaluation import metrics, statistics
from ..protocols import shares_speakers

Line = Mapping[str, Any]

CLASSICAL = ("classical",)
NETWORKS = ("MLP", "CNN-1D", "CNN-2D")
#: Training accuracy in percent that the claim about overfitting names.
OVERFIT = 95.0
#: Differences with a smaller p-value are taken for real.
ALPHA = 0.05


def judge(
    texts: Sequence[str], lines: Sequence[Line], predictions: pd.DataFrame
) -> list[dict[str, Any]]:
    """Judge each of the four published claims.

    Parameters
    ----------
    texts : sequence of str
        The claims' own words, in the order of :data:`JUDGES`.
    lines : sequence of mapping
        The rows of a :class:`~emoscope.reproduction.Reproduction`.
    predictions : DataFrame
        Its predictions.

    Returns
    -------
    list of dict
        ``claim``, ``verdict`` (a few words), ``holds_reproduced`` and ``holds_honest`` (True, False
        or None where the rows cannot tell) and ``evidence`` (list of sentences).
    """
    return [
        {"claim": text, **decide(lines, predictions)}
        for text, decide in zip(texts, JUDGES, strict=True)
    ]


def _networks_beat_classical(lines: Sequence[Line], predictions: pd.DataFrame) -> dict[str, Any]:
    return _beats("networks", NETWORKS, "classical models", CLASSICAL, lines, predictions)


def _cnn_beats_mlp(lines: Sequence[Line], predictions: pd.DataFrame) -> dict[str, Any]:
    """On the same 180 features and split, which only the 1-D networks share with the MLPs."""
    return _beats("1-D CNNs", ("CNN-1D",), "MLPs", ("MLP",), lines, predictions)


def _networks_overfit(lines: Sequence[Line], _: pd.DataFrame) -> dict[str, Any]:
    networks = [line for line in lines if line["family"] in NETWORKS]
    if not networks:
        return _verdict(None, None, ["No network was trained."])
    over = [line for line in networks if line["training"] > OVERFIT]
    gap = [line["training"] - line["reproduced"] for line in networks]
    honest = [line["honest_training"] - line["honest"] for line in networks]
    also_honest = sum(line["honest_training"] > OVERFIT for line in networks)
    evidence = [
        f"{len(over)} of {len(networks)} networks pass {OVERFIT:.0f} % on the clips they learned "
        f"from (range {_span([line['training'] for line in networks])}).",
        f"They lose {np.mean(gap):.1f} points on average on the published test clips, and "
        f"{np.mean(honest):.1f} on speakers they never heard: most of the overfitting is to voices "
        "and cannot be seen on a split that shares them."
        if np.mean(honest) > 1.5 * np.mean(gap)
        else f"They lose {np.mean(gap):.1f} points on average on the published test clips and "
        f"{np.mean(honest):.1f} on speakers they never heard.",
    ]
    below = [line["model"] for line in networks if line["training"] <= OVERFIT]
    if below:
        evidence.append(f"Not above {OVERFIT:.0f} %: {'; '.join(below)}.")
    classical = [line["training"] for line in lines if line["family"] in CLASSICAL]
    if classical:
        high = sum(score > OVERFIT for score in classical)
        evidence.append(f"{high} of the {len(classical)} classical models pass it too.")
    half = len(networks) / 2
    return _verdict(len(over) > half, also_honest > half, evidence)


def _cnns_differ(lines: Sequence[Line], predictions: pd.DataFrame) -> dict[str, Any]:
    """Among 1-D networks, which share input, optimiser and budget: more than chance would give?"""
    networks = [line for line in lines if line["family"] == "CNN-1D"]
    if len(networks) < 2:
        return _verdict(None, None, ["Fewer than two 1-D CNNs were trained."])
    ranges = {key: _range(networks, key) for key in ("published", "reproduced", "honest")}
    # Two scores of n clips each differ by chance with this standard deviation at most.
    n_test, mean = networks[0]["n_test"], np.mean([n["reproduced"] for n in networks]) / 100
    chance = 100 * np.sqrt(2 * mean * (1 - mean) / n_test)
    honest = _honest(predictions, [n["model"] for n in networks])
    table = statistics.compare_models(
        honest.index.get_level_values("emotion").to_numpy(),
        {name: honest[name].to_numpy() for name in honest},
        honest.index.get_level_values("speaker").to_numpy(),
        metrics.accuracy,
    )
    apart = table[table["p_holm"] < ALPHA]
    evidence = [
        f"The four architectures span {ranges['published']:.1f} points as published, "
        f"{ranges['reproduced']:.1f} reproduced and {ranges['honest']:.1f} on unheard speakers."
        if len(networks) == 4
        else f"{len(networks)} architectures span {ranges['reproduced']:.1f} points reproduced and "
        f"{ranges['honest']:.1f} on unheard speakers.",
        f"Two models of equal worth differ by {chance:.1f} points (one standard deviation) on "
        f"{n_test} independent test clips.",
        f"On unheard speakers {len(apart)} of {len(table)} pairs differ beyond chance (exact test "
        f"over {honest.index.get_level_values('speaker').nunique()} speakers, Holm's correction; "
        f"smallest p {table['p_holm'].min():.2g}).",
    ]
    return _verdict(bool(ranges["reproduced"] > 2.5 * chance), len(apart) > 0, evidence)


JUDGES: tuple[Callable[[Sequence[Line], pd.DataFrame], dict[str, Any]], ...] = (
    _networks_beat_classical,
    _networks_overfit,
    _cnn_beats_mlp,
    _cnns_differ,
)


def _beats(
    first: str,
    first_families: Sequence[str],
    second: str,
    second_families: Sequence[str],
    lines: Sequence[Line],
    predictions: pd.DataFrame,
) -> dict[str, Any]:
    """Judge "`first` beats `second` in most cases" over all pairs of one of each."""
    ours = [line for line in lines if line["family"] in first_families]
    theirs = [line for line in lines if line["family"] in second_families]
    if not ours or not theirs:
        return _verdict(None, None, [f"Not both {first} and {second} were trained."])
    wins = {
        key: float(np.mean([a[key] > b[key] for a in ours for b in theirs]))
        for key in ("published", "reproduced", "honest")
    }
    n_pairs = len(ours) * len(theirs)
    evidence = [
        f"Of {n_pairs} pairs of one of the {first} and one of the {second}, the first is better in "
        f"{wins['published']:.0%} as published, {wins['reproduced']:.0%} reproduced and "
        f"{wins['honest']:.0%} on unheard speakers."
    ]
    same = [a for a in ours if a["honest_protocol"] == theirs[0]["honest_protocol"]]
    paired = _paired(same, theirs, predictions)
    if paired is None:
        return _verdict(wins["reproduced"] > 0.5, None, evidence)
    interval, p_value, n_speakers = paired
    evidence.append(
        f"On unheard speakers the mean difference is {100 * interval.estimate:+.1f} points "
        f"(95 % interval {100 * interval.low:+.1f} to {100 * interval.high:+.1f}; exact test over "
        f"{n_speakers} speakers, p {_p(p_value)})."
        + ("" if len(same) == len(ours) else f" {len(ours) - len(same)} picture networks, tested "
           "on other clips, are not in this test.")
    )  # fmt: skip
    honest = wins["honest"] > 0.5 and interval.estimate > 0 and p_value < ALPHA
    return _verdict(wins["reproduced"] > 0.5, honest, evidence)


def _paired(
    ours: Sequence[Line], theirs: Sequence[Line], predictions: pd.DataFrame
) -> tuple[statistics.Interval, float, int] | None:
    """Mean difference over all pairs on unheard speakers, its interval, p-value, speakers.

    The pairs' clips are stacked, so a speaker is exchanged in all pairs at once.
    """
    if not ours or not theirs:
        return None
    honest = _honest(predictions, [line["model"] for line in (*ours, *theirs)])
    pairs = [(a["model"], b["model"]) for a in ours for b in theirs]
    stacked = [np.concatenate([honest[pair[side]].to_numpy() for pair in pairs]) for side in (0, 1)]
    emotions = np.tile(honest.index.get_level_values("emotion").to_numpy(), len(pairs))
    speakers = np.tile(honest.index.get_level_values("speaker").to_numpy(), len(pairs))
    arguments = (emotions, stacked[0], stacked[1], speakers, metrics.accuracy)
    interval = statistics.difference_interval(*arguments)
    return interval, statistics.paired_test(*arguments), len(set(speakers))


def _honest(predictions: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Predictions on unheard speakers: one column per model, indexed by clip."""
    rows = predictions[
        predictions["model"].isin(names) & ~predictions["protocol"].map(shares_speakers)
    ]
    wide = rows.pivot(index=["clip", "speaker", "emotion"], columns="model", values="predicted")
    return wide[list(names)]


def _verdict(
    reproduced: bool | None, honest: bool | None, evidence: Sequence[str]
) -> dict[str, Any]:
    words = {
        (True, True): "holds, also on unheard speakers",
        (True, False): "holds on the published split, cannot be shown on unheard speakers",
        (False, True): "does not hold on the published split, but on unheard speakers",
        (False, False): "does not hold",
        (True, None): "holds on the published split; not tested on unheard speakers",
        (False, None): "does not hold on the published split; not tested on unheard speakers",
    }
    return {
        "verdict": words.get((reproduced, honest), "cannot be judged"),  # type: ignore[arg-type]
        "holds_reproduced": reproduced,
        "holds_honest": honest,
        "evidence": list(evidence),
    }


def _range(lines: Sequence[Line], key: str) -> float:
    values = [float(line[key]) for line in lines]
    return max(values) - min(values)


def _span(values: Sequence[float]) -> str:
    return f"{min(values):.1f} to {max(values):.1f} %"


def _p(value: float) -> str:
    return "below 0.001" if value < 0.001 else f"{value:.3f}"
