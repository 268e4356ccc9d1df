"""What a result says, in sentences that are made only when its numbers bear them out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..evaluation import metrics
from ..evaluation.result import Result, Run
from ..labels import in_order
from ..protocols import shares_speakers

if TYPE_CHECKING:
    from .page import HardClip

#: Human listeners on RAVDESS speech, audio only: 0.67 accuracy over eight emotions (Luna-Jiménez et
#: al. 2022, Table 1, from the ratings of Livingstone and Russo 2018). Emotions are near balanced, so
#: accuracy and UAR are within a point of each other.
HUMAN_RAVDESS = 0.67
HUMAN_SOURCE = "accuracy in forced choice, ten ratings a clip (Luna-Jiménez et al. 2022, Table 1)"


@dataclass(frozen=True)
class Sentence:
    """One sentence of a report."""

    text: str
    warn: bool = False  # when it speaks of a trap rather than of a success


@dataclass(frozen=True)
class ReferenceLine:
    """A score to hold a model against, in [0, 1], and where it comes from."""

    name: str
    value: float
    source: str | None = None


def reference_lines(result: Result) -> list[ReferenceLine]:
    """Scores to hold a model against: chance, and human listeners where they were measured."""
    n_emotions = len(tested_emotions(result))
    lines = [ReferenceLine("chance", 1 / n_emotions)]
    channels = set(result.predictions.get("channel", ["speech"]))
    if result.corpus.get("name") == "ravdess" and n_emotions == 8 and channels == {"speech"}:
        lines.append(ReferenceLine("human listeners", HUMAN_RAVDESS, HUMAN_SOURCE))
    return lines


def is_evaluation(result: Result) -> bool:
    """Whether a saved model was scored, which may have heard the speakers; its notes tell."""
    return result.protocol.partition("+")[0] == "evaluate"


def tested_emotions(result: Result) -> list[str]:
    """The emotions that the protocol tests; ``cross-corpus`` leaves out those of one corpus only."""
    rows = result.predictions
    return in_order(rows.loc[rows["protocol"] == result.protocol, "emotion"].unique())


def sentences(result: Result) -> list[Sentence]:
    """What a comparison says, most important first."""
    board = [run for run in result.leaderboard() if run.model != "dummy"]
    if not board:
        return []
    notes = [*(result.corpus.get("notes") or []), *(result.config.get("notes") or [])]
    said = [Sentence(f"{note[0].upper()}{note[1:]}.", warn=True) for note in notes]
    makers = (_best, _leak, script_gap, _human, _emotions, _confusion, _speakers, _networks)
    return said + list(filter(None, (maker(result, board) for maker in makers)))


def hardest_words(hardest: Sequence[HardClip]) -> str:
    """One sentence about the clips that most models get wrong."""
    if not hardest:
        return ""
    emotions = [clip.emotion for clip in hardest]
    commonest = max(sorted(set(emotions)), key=emotions.count)
    every = sum(clip.n_wrong == clip.n_models for clip in hardest)
    return (
        f"{len(hardest)} of the clips that more than half of the models get wrong; every model fails "
        f"on {every} of them, and {emotions.count(commonest)} are {commonest}."
    )


def _best(result: Result, board: Sequence[Run]) -> Sentence:
    best = board[0]
    chance = 1 / len(tested_emotions(result))
    if best.uar <= chance:
        return Sentence(f"No model beats chance; the best, {best.model}, has UAR {best.uar:.3f}.")
    if shares_speakers(best.protocol):
        return Sentence(
            f"{best.model} reaches UAR {best.uar:.3f} on random folds, where voices leak."
        )
    span = ""
    if best.uar_low is not None:
        span = f" (95 % interval {best.uar_low:.3f} to {best.uar_high:.3f})"
    verb = "is best with" if len(board) > 1 else "has"
    tested_on = f", on {result.tested_on}" if result.tested_on else ""
    return Sentence(
        f"{best.model} {verb} UAR {best.uar:.3f}{span}, {best.uar / chance:.1f} times "
        f"chance{tested_on}."
    )


def _leak(result: Result, board: Sequence[Run]) -> Sentence | None:
    gaps = [(run.leak_gap, run) for run in board if run.leak_gap is not None]
    if not gaps:
        return None
    mean = float(np.mean([gap for gap, _ in gaps]))
    if mean <= 0:
        return Sentence(f"Random folds do not flatter here: the mean leak gap is {mean:+.3f}.")
    _, largest = max(gaps, key=lambda pair: pair[0])
    return Sentence(
        f"Random folds would have claimed {mean:.3f} more UAR on average; most for "
        f"{largest.model}: {largest.leaky_uar:.3f} instead of {largest.uar:.3f}. The difference is "
        "recognised voices, not emotions.",
        warn=True,
    )


def script_gap(result: Result, board: Sequence[Run]) -> Sentence | None:
    """What the best model of which it was measured loses when sentences are unseen as well."""
    run = next((run for run in board if run.script_gap is not None), None)
    if run is None:
        return None
    is_one = run.script_gap_low is not None and run.script_gap_low > 0
    return Sentence(
        f"The script gap of {run.model} is {run.script_gap:+.3f} UAR (95 % interval "
        f"{run.script_gap_low:+.3f} to {run.script_gap_high:+.3f}): what it loses when the sentence "
        "of a test clip is unseen as well as the voice, with as many training clips"
        + ("; known words flattered." if is_one else "; the interval includes none."),
        warn=is_one,
    )


def _human(result: Result, board: Sequence[Run]) -> Sentence | None:
    best = board[0]
    _, *human = (line.value for line in reference_lines(result))
    if not human or shares_speakers(best.protocol):
        return None
    gap = best.accuracy - human[0]
    where = "above" if gap >= 0 else "below"
    return Sentence(
        f"Human listeners recognise {human[0]:.0%} of these recordings; {best.model} "
        f"recognises {best.accuracy:.0%}, {abs(gap) * 100:.0f} points {where} them.",
        warn=gap < 0,
    )


def _emotions(result: Result, board: Sequence[Run]) -> Sentence:
    rows = result.rows(board[0].model)
    scores = metrics.per_emotion(rows["emotion"], rows["predicted"], emotions=result.emotions)
    recall = scores.loc[tested_emotions(result), "recall"]
    easy, hard = recall.idxmax(), recall.idxmin()
    return Sentence(
        f"Easiest for {board[0].model} is {easy} (recall {recall[easy]:.2f}), hardest {hard} "
        f"({recall[hard]:.2f})."
    )


def _confusion(result: Result, board: Sequence[Run]) -> Sentence | None:
    rows = result.rows(board[0].model)
    counts = metrics.confusion(rows["emotion"], rows["predicted"], emotions=result.emotions)
    shares = counts.div(counts.sum(axis=1).clip(lower=1), axis=0).to_numpy(copy=True)
    np.fill_diagonal(shares, 0)
    true, predicted = np.unravel_index(int(shares.argmax()), shares.shape)
    if shares[true, predicted] == 0:
        return None
    return Sentence(
        f"Its commonest confusion: {shares[true, predicted]:.0%} of {result.emotions[true]} clips "
        f"are predicted as {result.emotions[predicted]}."
    )


def _speakers(result: Result, board: Sequence[Run]) -> Sentence | None:
    uar = metrics.by_group(result.rows(board[0].model), "speaker")["uar"]
    if len(uar) < 2:
        return None
    return Sentence(
        f"Speakers differ: {board[0].model} has UAR {uar.min():.2f} on speaker {uar.idxmin()} "
        f"and {uar.max():.2f} on speaker {uar.idxmax()}.",
        warn=bool(uar.max() - uar.min() > 0.3),
    )


def _networks(result: Result, board: Sequence[Run]) -> Sentence | None:
    network = next((run for run in board if run.is_network), None)
    classical = next((run for run in board if not run.is_network), None)
    if network is None or classical is None:
        return None
    verb = "beats" if network.uar > classical.uar else "does not beat"
    ratio = network.fit_seconds / max(classical.fit_seconds, 1e-9)
    times = f"{ratio:.0f} times" if ratio >= 10 else f"{ratio:.1f} times"
    return Sentence(
        f"The best network, {network.model}, {verb} the best classical model, {classical.model}: "
        f"{network.uar:.3f} against {classical.uar:.3f}, at {times} the training time."
    )
