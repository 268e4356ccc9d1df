"""What a result says, in sentences that are made only when its numbers bear them out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..evaluation import metrics, sentence, statistics
from ..evaluation.result import Result, Run
from ..files import said
from ..labels import in_order
from ..protocols import alone, shares_speakers
from ..unseen import units_of

PRETRAINED = "encoder"  # features of a pretrained network: what learns on them is not classical

#: On RAVDESS speech, audio only, from the ratings of Livingstone and Russo 2018. Emotions are near
#: balanced, so accuracy and UAR are within a point of each other.
HUMAN_RAVDESS = 0.67
HUMAN_SOURCE = "accuracy in forced choice, ten ratings a clip (Luna-Jiménez et al. 2022, Table 1)"


@dataclass(frozen=True)
class Sentence:
    """One sentence of a report."""

    text: str
    warn: bool = False  # when it speaks of a trap rather than of a success


def chance(result: Result) -> float:
    """The UAR of guessing."""
    return 1 / len(tested_emotions(result))


def human_listeners(result: Result) -> float | None:
    """The accuracy, which is no UAR, of human listeners where it was measured."""
    channels = set(result.predictions.get("channel", ["speech"]))
    measured = result.corpus.get("name") == "ravdess" and channels == {"speech"}
    return HUMAN_RAVDESS if measured and len(tested_emotions(result)) == 8 else None


def tested_emotions(result: Result) -> list[str]:
    """The emotions that the protocol tests; ``cross-corpus`` leaves out those of one corpus only."""
    rows = result.predictions
    return in_order(rows.loc[rows["protocol"] == result.protocol, "emotion"].unique())


def sentences(result: Result) -> list[Sentence]:
    """What a comparison says, most important first."""
    if not (board := [run for run in result.leaderboard() if run.model != "dummy"]):
        return []
    notes = [*(result.corpus.get("notes") or []), *(result.config.get("notes") or [])]
    found = [Sentence(f"{note[0].upper()}{note[1:]}.", warn=True) for note in notes]
    makers = (_first, _leak, script_gap, _human, _emotions, _confusion, _speakers, _networks)
    found += filter(None, (maker(result, board) for maker in makers))
    return found + channel_gains(result, board)


def hardest_words(hardest: Sequence[Any]) -> str:
    """One sentence about the clips that most models get wrong."""
    if not hardest:
        return ""
    emotions = [clip.emotion for clip in hardest]
    commonest = max(sorted(set(emotions)), key=emotions.count)
    every = sum(clip.n_wrong == clip.n_models for clip in hardest)
    count = emotions.count(commonest)
    return sentence("hardest", n=len(hardest), every=every, commonest=commonest, count=count)


def verdict(result: Result) -> str:
    """The sentence on the model with the highest UAR, and on those that are not told apart from it."""
    board = [run for run in result.leaderboard() if run.model != "dummy"]
    return _first(result, board).text if board else ""


def _first(result: Result, board: Sequence[Run]) -> Sentence:
    others = [run.model for run in board[1:]]
    told = {"chance": chance(result), "can_differ": can_differ, "units": units_of(result.corpus)[1]}
    alike = _alike(result, board[0].model, others) if others else []
    interval = _interval(result, board, metrics.uar)
    text = said("first", result=result, board=board, alike=alike, interval=interval, **told)
    return Sentence(text)


def can_differ(result: Result) -> bool:
    """Whether the test over speakers could ever tell two of the models apart."""
    n_speakers = int(result.rows(result.leaderboard()[0].model)["speaker"].nunique())
    return 2.0 ** (1 - n_speakers) * len(result.comparisons()) < statistics.ALPHA


def _alike(result: Result, model: str, others: Sequence[str]) -> list[str]:
    """Those of the other models that the test over speakers does not tell from a model."""
    table = result.comparisons()
    apart = table[table["p_holm"] < statistics.ALPHA]
    pairs = {frozenset(pair) for pair in zip(apart["first"], apart["second"], strict=True)}
    return [other for other in others if frozenset((model, other)) not in pairs]


def _interval(
    result: Result, board: Sequence[Run], metric: statistics.Metric
) -> statistics.Interval | None:
    """Of the first model, wider for its being the first of several; None with too few speakers."""
    if statistics.no_interval(board[0].n_speakers):
        return None
    rows, level = result.rows(board[0].model), 1 - statistics.ALPHA / len(board)
    return statistics.speaker_interval(
        rows["emotion"], rows["predicted"], rows["speaker"], metric, level=level
    )


def _leak(result: Result, board: Sequence[Run]) -> Sentence | None:
    if not (gaps := [(run.leak_gap, run) for run in board if run.leak_gap is not None]):
        return None
    mean = float(np.mean([gap for gap, _ in gaps]))
    _, largest = max(gaps, key=lambda pair: pair[0])
    random = next(run.protocol for run in result.runs if shares_speakers(run.protocol))
    both = pd.concat(
        result.rows(run.model).merge(result.rows(run.model, random), on="clip", suffixes=("", "_r"))
        for _, run in gaps
    )
    columns = (both[name] for name in ("emotion", "predicted_r", "predicted", "speaker"))
    is_real = both["speaker"].nunique() > 1 and statistics.paired_test(*columns) < statistics.ALPHA
    units = units_of(result.corpus)[1]
    text = said("leak", mean=mean, largest=largest, is_real=is_real, units=units)
    return Sentence(text, warn=mean > 0)


def script_gap(result: Result, board: Sequence[Run]) -> Sentence | None:
    """What the first model of which it was measured loses when sentences are unseen as well."""
    if (run := next((run for run in board if run.script_gap is not None), None)) is None:
        return None
    low, high = run.script_gap_low or 0.0, run.script_gap_high or 0.0
    return Sentence(said("script_gap", run=run, low=low, high=high), warn=low > 0)


def channel_gains(result: Result, board: Sequence[Run]) -> list[Sentence]:
    """What song in training adds to the recognition of speech, and speech to that of song."""
    found = []
    for channel, other in (("speech", "song"), ("song", "speech")):
        protocol = alone(result.protocol, channel)
        measured = {run.model for run in result.runs if run.protocol == protocol}
        if (run := next((run for run in board if run.model in measured), None)) is None:
            continue
        rows = result.rows(run.model, protocol)
        both = rows.merge(result.rows(run.model), on="clip", suffixes=("", "_both"))
        columns = (both[name] for name in ("emotion", "predicted_both", "predicted", "speaker"))
        gain = statistics.difference_interval(*columns)
        text = said("channel_gain", channel=channel, other=other, run=run, gain=gain)
        found.append(Sentence(text, warn=gain.high < 0))
    return found


def _human(result: Result, board: Sequence[Run]) -> Sentence | None:
    first, interval = board[0], _interval(result, board, metrics.accuracy)
    human = human_listeners(result)
    if human is None or shares_speakers(first.protocol) or interval is None:
        return None
    text = said("human", human=human, first=first, interval=interval)
    return Sentence(text, warn=first.accuracy < human)


def _emotions(result: Result, board: Sequence[Run]) -> Sentence | None:
    rows = result.rows(board[0].model)
    scores = metrics.per_emotion(rows["emotion"], rows["predicted"], emotions=result.emotions)
    recall = scores.loc[tested_emotions(result), "recall"]
    easy, hard = recall.idxmax(), recall.idxmin()
    if easy == hard:
        return None
    told = {"easy": easy, "hard": hard, "recall": (recall[easy], recall[hard])}
    return Sentence(sentence("emotions", model=board[0].model, **told))


def _confusion(result: Result, board: Sequence[Run]) -> Sentence | None:
    rows = result.rows(board[0].model)
    counts = metrics.confusion(rows["emotion"], rows["predicted"], emotions=result.emotions)
    shares = counts.div(counts.sum(axis=1).clip(lower=1), axis=0).to_numpy(copy=True)
    np.fill_diagonal(shares, 0)
    true, predicted = np.unravel_index(int(shares.argmax()), shares.shape)
    if shares[true, predicted] == 0:
        return None
    names = {"true": result.emotions[true], "predicted": result.emotions[predicted]}
    return Sentence(sentence("confusion", share=shares[true, predicted], **names))


def _speakers(result: Result, board: Sequence[Run]) -> Sentence | None:
    uar = metrics.by_group(result.rows(board[0].model), "speaker")["uar"]
    if len(uar) < 2 or uar.min() == uar.max():
        return None
    whose, units = units_of(result.corpus)
    ends = {"low": uar.min(), "lowest": uar.idxmin(), "high": uar.max(), "highest": uar.idxmax()}
    text = said("speakers", units=units, model=board[0].model, whose=whose, **ends)
    return Sentence(text, warn=bool(uar.max() - uar.min() > 0.3))


def _networks(result: Result, board: Sequence[Run]) -> Sentence | None:
    network = next((run for run in board if run.is_network), None)
    others = [run for run in board if not run.is_network]
    classical = next((run for run in others if run.features != PRETRAINED), None)
    if network is None or classical is None:
        return None
    alike = _alike(result, network.model, [classical.model])
    return Sentence(said("networks", network=network, classical=classical, alike=alike))


def answers(run: Run) -> list[tuple[str, dict[str, Any]]]:
    """What a saved model may answer with, and then its ``uar``, ``uar_low``, ``uar_high``, ``chance``."""
    free, chance = run.extra.get("free"), run.extra.get("chance")
    if not free or not chance:
        return []
    n_known, n_tested = round(1 / free["chance"]), round(1 / chance)
    rows = [(f"answering freely among its {n_known} emotions, as emoscope predict does", free)]
    if n_tested < n_known:
        asked = f"with answers among the {n_tested} emotions tested"
        rows.append((asked, {**vars(run), "chance": chance}))
    return rows
