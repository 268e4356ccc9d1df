"""What a result says, in sentences computed from its numbers.

A sentence is made only when the numbers bear it out; none is canned.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..evaluation import metrics
from ..evaluation.result import Result
from ..evaluation.run import Run
from ..labels import in_order
from ..protocols import shares_speakers

#: Human listeners on RAVDESS speech, audio only: 0.67 accuracy over eight emotions (Luna-Jiménez et
#: al. 2022, Table 1, from the ratings of Livingstone and Russo 2018). Emotions are near balanced, so
#: accuracy and UAR are within a point of each other.
HUMAN_RAVDESS = 0.67
HUMAN_SOURCE = "accuracy in forced choice, ten ratings a clip (Luna-Jiménez et al. 2022, Table 1)"


def reference_lines(result: Result) -> list[dict[str, Any]]:
    """Scores to hold a model against: chance, and human listeners where they were measured."""
    lines: list[dict[str, Any]] = [
        {"name": "chance", "value": 1 / len(tested(result)), "source": None}
    ]
    about = result.predictions
    sung = "channel" in about and set(about["channel"]) - {"speech"}
    if result.corpus.get("name") == "ravdess" and len(tested(result)) == 8 and not sung:
        lines.append({"name": "human listeners", "value": HUMAN_RAVDESS, "source": HUMAN_SOURCE})
    return lines


def is_evaluation(result: Result) -> bool:
    """Whether a saved model was scored, which may have heard the speakers; its notes tell."""
    return result.protocol.partition("+")[0] == "evaluate"


def tested(result: Result) -> list[str]:
    """The emotions that the protocol tests; ``cross-corpus`` leaves out those of one corpus only."""
    rows = result.predictions
    return in_order(rows.loc[rows["protocol"] == result.protocol, "emotion"].unique())


def sentences(result: Result) -> list[dict[str, Any]]:
    """The findings of a comparison, most important first.

    Returns
    -------
    list of dict
        ``text``, and ``warn``: whether it speaks of a trap rather than of a success.
    """
    board = [run for run in result.leaderboard() if run.model != "dummy"]
    if not board:
        return []
    makers = (_best, _leak, _human, _emotions, _confusion, _speakers, _networks)
    made = [maker(result, board) for maker in makers]
    said = [finding for finding in made if finding is not None]
    notes = result.config.get("notes") or []
    return [_say(f"{note[0].upper()}{note[1:]}.", warn=True) for note in notes] + said


def hardest_words(hardest: Sequence[dict[str, Any]], n_models: int) -> str:
    """One sentence about the clips that most models get wrong."""
    if not hardest:
        return ""
    emotions = [clip["emotion"] for clip in hardest]
    commonest = max(sorted(set(emotions)), key=emotions.count)
    every = sum(clip["wrong"] == clip["models"] for clip in hardest)
    return (
        f"{len(hardest)} of the clips that more than half of the models get wrong; every model fails "
        f"on {every} of them, and {emotions.count(commonest)} are {commonest}."
    )


def _best(result: Result, board: Sequence[Run]) -> dict[str, Any]:
    best = board[0]
    chance = 1 / len(tested(result))
    if best.uar <= chance:
        return _say(f"No model beats chance; the best, {best.model}, has UAR {best.uar:.3f}.")
    span = ""
    if best.uar_low is not None:
        span = f" (95 % interval {best.uar_low:.3f} to {best.uar_high:.3f})"
    if shares_speakers(best.protocol):
        return _say(f"{best.model} reaches UAR {best.uar:.3f} on random folds, where voices leak.")
    verb = "is best with" if len(board) > 1 else "has"
    heard = "" if is_evaluation(result) else ", on speakers it never heard"
    return _say(
        f"{best.model} {verb} UAR {best.uar:.3f}{span}, {best.uar / chance:.1f} times "
        f"chance{heard}."
    )


def _leak(result: Result, board: Sequence[Run]) -> dict[str, Any] | None:
    gaps = {run.leak_gap: run for run in board if run.leak_gap is not None}
    if not gaps:
        return None
    largest, mean = (
        gaps[max(gaps)],
        float(np.mean([run.leak_gap for run in board if run.leak_gap is not None])),
    )
    if mean <= 0:
        return _say(f"Random folds do not flatter here: the mean leak gap is {mean:+.3f}.")
    return _say(
        f"Random folds would have claimed {mean:.3f} more UAR on average; most for "
        f"{largest.model}: {largest.leaky_uar:.3f} instead of {largest.uar:.3f}. The difference is "
        "recognised voices, not emotions.",
        warn=True,
    )


def _human(result: Result, board: Sequence[Run]) -> dict[str, Any] | None:
    human = next((x for x in reference_lines(result) if x["name"] == "human listeners"), None)
    best = board[0]
    if human is None or shares_speakers(best.protocol):
        return None
    gap = best.accuracy - human["value"]
    where = "above" if gap >= 0 else "below"
    return _say(
        f"Human listeners recognise {human['value']:.0%} of these recordings; {best.model} "
        f"recognises {best.accuracy:.0%}, {abs(gap) * 100:.0f} points {where} them.",
        warn=gap < 0,
    )


def _emotions(result: Result, board: Sequence[Run]) -> dict[str, Any]:
    rows = result.rows(board[0].model)
    scores = metrics.per_emotion(rows["emotion"], rows["predicted"], emotions=result.emotions)
    recall = scores.loc[tested(result), "recall"]
    easy, hard = recall.idxmax(), recall.idxmin()
    return _say(
        f"Easiest for {board[0].model} is {easy} (recall {recall[easy]:.2f}), hardest {hard} "
        f"({recall[hard]:.2f})."
    )


def _confusion(result: Result, board: Sequence[Run]) -> dict[str, Any] | None:
    rows = result.rows(board[0].model)
    counts = metrics.confusion(rows["emotion"], rows["predicted"], emotions=result.emotions)
    shares = counts.div(counts.sum(axis=1).clip(lower=1), axis=0).to_numpy(copy=True)
    np.fill_diagonal(shares, 0)
    true, predicted = np.unravel_index(int(shares.argmax()), shares.shape)
    if shares[true, predicted] == 0:
        return None
    return _say(
        f"Its commonest confusion: {shares[true, predicted]:.0%} of {result.emotions[true]} clips "
        f"are heard as {result.emotions[predicted]}."
    )


def _speakers(result: Result, board: Sequence[Run]) -> dict[str, Any] | None:
    rows = result.rows(board[0].model)
    uar = pd.Series(
        {s: metrics.uar(part["emotion"], part["predicted"]) for s, part in rows.groupby("speaker")}
    )
    if len(uar) < 2:
        return None
    return _say(
        f"Speakers differ: {board[0].model} has UAR {uar.min():.2f} on speaker {uar.idxmin()} "
        f"and {uar.max():.2f} on speaker {uar.idxmax()}.",
        warn=bool(uar.max() - uar.min() > 0.3),
    )


def _networks(result: Result, board: Sequence[Run]) -> dict[str, Any] | None:
    networks = [run for run in board if run.is_network]
    classical = [run for run in board if not run.is_network]
    if not networks or not classical:
        return None
    network, other = networks[0], classical[0]
    gap = network.uar - other.uar
    verb = "beats" if gap > 0 else "does not beat"
    return _say(
        f"The best network, {network.model}, {verb} the best classical model, {other.model}: "
        f"{network.uar:.3f} against {other.uar:.3f}, at {_ratio(network, other)} the training "
        "time."
    )


def _ratio(one: Run, other: Run) -> str:
    ratio = one.fit_seconds / max(other.fit_seconds, 1e-9)
    return f"{ratio:.0f} times" if ratio >= 10 else f"{ratio:.1f} times"


def _say(text: str, *, warn: bool = False) -> dict[str, Any]:
    return {"text": text, "warn": warn}
