"""A result as one self-contained HTML page: nothing is loaded from anywhere.

Everything on the page is computed from a saved :class:`~emoscope.evaluation.result.Result`; the sentences are
made from its numbers. Recordings are needed only to make the hardest clips playable.
"""

from __future__ import annotations

import base64
import importlib.resources
import io
import os
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from .. import audio
from ..errors import AudioError
from ..evaluation import metrics, statistics
from ..evaluation.result import Result
from ..evaluation.run import Run
from ..files import printable, write_atomically
from ..protocols import shares_speakers
from . import summary

PROTOCOL_WORDS = {
    "evaluate": "a saved model, scored on a corpus that was not divided",
    "speaker-6fold": "six folds, no speaker in training and test at once",
    "luna-5fold": "the five speaker-disjoint folds of Luna-Jiménez et al. 2022",
    "audeering-1.1": "audEERING's speaker-disjoint split, tested on actors 21 to 24",
    "loso": "each speaker is tested by models that never heard them",
    "cross-corpus": "each corpus is tested by models trained on the others",
    "own-split": "the manifest's own split",
    "random-75/25": "random folds: voices are in training and test, so the scores flatter",
    "random-80/20": "random folds: voices are in training and test, so the scores flatter",
}
ADAPTED_WORDS = "; features standardised on unlabelled clips of the {}"

#: Clips shown as hardest, and how many of them are playable at most.
N_HARDEST = 20
#: Rate in Hz and level in dBFS of the playable clips: small, clear and equally loud.
PLAY_RATE, PLAY_PEAK = 16_000, 0.9
SLICES = ("gender", "intensity", "statement", "channel")


def write(
    result: Result, path: str | os.PathLike[str], *, clips: dict[str, str] | None = None
) -> Path:
    """Write the report of a result.

    Parameters
    ----------
    result : Result
        What to report.
    path : path-like
        The HTML file.
    clips : dict of str to str, optional
        Recordings by clip, to make the hardest clips playable.

    Returns
    -------
    Path
    """
    write_atomically(path, render(result, clips=clips))
    return Path(path)


def render(result: Result, *, clips: dict[str, str] | None = None) -> str:
    """The report as HTML; see :func:`write` for the parameters."""
    from .._version import __version__
    from . import plots

    board = result.leaderboard()
    models = [run.model for run in board]
    others = [run.protocol for run in result.runs if run.protocol != result.protocol]
    base, _, adaptation = result.protocol.partition("+")
    words = PROTOCOL_WORDS.get(base, base)
    n_folds = len((result.config.get("folds") or {}).get(result.protocol, []))
    if base == "speaker-6fold" and n_folds not in (0, 6):
        words += f"; of the published six, the {n_folds} whose actors are here"
    if adaptation:
        words += ADAPTED_WORDS.format(adaptation.removesuffix("-adapted"))
    hardest = hardest_clips(result, clips or {})
    return _template("report.html.j2").render(
        css=_asset("base.css") + plots.emotion_css(),
        version=__version__,
        corpus=_shown(result.corpus),
        config=result.config,
        protocol=result.protocol,
        protocol_words=words,
        unseen=not shares_speakers(result.protocol) and not summary.is_evaluation(result),
        random=shares_speakers(result.protocol),
        leak_protocol=next((n for n in others if shares_speakers(n)), None),
        emotions=result.emotions,
        board=board,
        groups=_groups(result),
        lines=summary.reference_lines(result),
        findings=summary.sentences(result),
        slices=_slices(result.rows(models[0])),
        ablation=_ablation(result),
        figures=_figures(result),
        hardest=hardest,
        hardest_words=summary.hardest_words(hardest, len(models)),
        details=[_details(result, run) for run in board],
        percent=lambda share: f"{100 * share:.2f}%",
        seconds=_seconds,
        interval_words=_interval_words,
    )


def hardest_clips(result: Result, clips: dict[str, str]) -> list[dict[str, Any]]:
    """The clips that more than half of the models get wrong, most often wrong first.

    Among clips that equally many models get wrong, those whose true emotion was given the lowest
    probability on average come first.

    Returns
    -------
    list of dict
        ``clip, emotion, heard`` (the commonest wrong prediction), ``wrong, models`` and ``audio``, a
        data URL or None.
    """
    models = [run.model for run in result.leaderboard() if run.model != "dummy"]
    if len(models) < 2:
        return []
    rows = pd.concat([result.rows(model) for model in models])
    columns = rows[[f"p_{emotion}" for emotion in result.emotions]].to_numpy()
    true = rows["emotion"].map({emotion: i for i, emotion in enumerate(result.emotions)})
    rows = rows.assign(
        wrong=rows["emotion"] != rows["predicted"], given=columns[np.arange(len(rows)), true]
    )
    by_clip = rows.groupby("clip").agg(
        emotion=("emotion", "first"), wrong=("wrong", "sum"), given=("given", "mean")
    )
    by_clip = by_clip[by_clip["wrong"] > len(models) / 2]
    ordered = by_clip.sort_values(["wrong", "given"], ascending=[False, True], kind="stable")
    mistakes = rows[rows["wrong"]].groupby("clip")["predicted"]
    return [
        {
            "clip": printable(str(clip)),
            "emotion": row["emotion"],
            "heard": mistakes.get_group(clip).mode().iloc[0],
            "wrong": int(row["wrong"]),
            "models": len(models),
            "audio": _playable(clips.get(str(clip))),
        }
        for clip, row in ordered.head(N_HARDEST).iterrows()
    ]


def _playable(path: str | None) -> str | None:
    """A recording as a small OGG data URL; None when it is not at hand."""
    if not path:
        return None
    import soundfile

    try:
        signal = audio.resample(audio.load(path), PLAY_RATE)
    except AudioError:
        return None
    samples = signal.samples * (PLAY_PEAK / max(float(np.abs(signal.samples).max()), 1e-9))
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, PLAY_RATE, format="OGG", subtype="VORBIS")
    return "data:audio/ogg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _details(result: Result, run: Run) -> dict[str, Any]:
    """Confusion, per-emotion scores and learning curve of one model."""
    rows = result.rows(run.model)
    counts = metrics.confusion(rows["emotion"], rows["predicted"], emotions=result.emotions)
    shares = counts.div(counts.sum(axis=1).clip(lower=1), axis=0)
    confusion = [
        {
            "emotion": true,
            "n": int(counts.loc[true].sum()),
            "cells": [
                {
                    "emotion": predicted,
                    "share": float(shares.loc[true, predicted]),
                    "n": int(counts.loc[true, predicted]),
                    "diagonal": true == predicted,
                }
                for predicted in result.emotions
            ],
        }
        for true in result.emotions
    ]
    table = metrics.per_emotion(rows["emotion"], rows["predicted"], emotions=result.emotions)
    return {
        "name": run.model,
        "run": run,
        "n_folds": rows["fold"].nunique(),
        "confusion": confusion,
        "per_emotion": table.rename_axis("emotion").reset_index().to_dict("records"),
        "curve": _curve(run),
    }


def _parts(rows: pd.DataFrame, column: str) -> list[dict[str, Any]]:
    """Scores of the parts of a corpus that a column tells apart."""
    return [
        {
            "value": value,
            "n": len(part),
            "uar": metrics.uar(part["emotion"], part["predicted"]),
            "accuracy": metrics.accuracy(part["emotion"], part["predicted"]),
        }
        for value, part in rows.groupby(column)
    ]


def _slices(rows: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {"name": column, "rows": _parts(rows, column)}
        for column in SLICES
        if column in rows and rows[column].nunique() > 1
    ]


def _ablation(result: Result) -> dict[str, Any] | None:
    """UAR of each model on each feature set: one row per set, in the order they were run."""
    runs = result.ablations()
    if not runs:
        return None
    models = list(dict.fromkeys(run.model for run in runs))
    sets = list(dict.fromkeys(run.features for run in runs))
    uar = {(run.features, run.model): run.uar for run in runs}
    everything = sets[0].split("+")

    def words(label: str) -> str:
        names = label.split("+")
        absent = [name for name in everything if name not in names]
        if len(names) == 1 or not absent:
            return label if absent else "all"
        return f"all but {absent[0]}"

    lowest, highest = min(uar.values()), max(uar.values())
    return {
        "models": models,
        "rows": [
            {
                "features": words(label),
                "cells": [
                    {
                        "uar": uar[label, model],
                        "shade": (uar[label, model] - lowest) / max(highest - lowest, 1e-9),
                    }
                    for model in models
                ],
            }
            for label in sets
        ],
    }


def _groups(result: Result) -> dict[str, str]:
    """Letters per model; models that share one cannot be told apart."""
    comparisons = result.comparisons()
    if comparisons.empty:
        return {}
    scores = {run.model: run.uar for run in result.leaderboard()}
    return statistics.letters(statistics.groups(scores, comparisons))


def _curve(run: Run) -> str | None:
    histories = [history for history in run.history or [] if history]
    if not histories:
        return None
    from . import plots

    return plots.to_svg(lambda ax: plots.learning_curves(histories, ax=ax), size=(9, 3))


def _figures(result: Result) -> list[dict[str, str]]:
    from . import plots

    board = result.leaderboard()
    best = board[0].model
    rows = result.rows(best)
    figures = []
    if rows["speaker"].nunique() > 1:
        parts = _parts(rows, "speaker")
        height = 1.0 + 0.18 * len(parts)
        figures.append(
            (
                lambda ax: plots.slices(parts, ax=ax),
                (5.5, height),
                f"UAR of {best} for each speaker (and how many clips of each).",
            )
        )
    probabilities = rows[[f"p_{e}" for e in result.emotions]].to_numpy()
    curve = metrics.reliability(rows["emotion"], probabilities, emotions=result.emotions)
    figures.append(
        (
            lambda ax: plots.reliability(curve, ax=ax),
            (5.5, 4.2),
            f"Calibration of {best}: how often it is right at each confidence. On the diagonal, "
            "confidence can be believed.",
        )
    )
    if len(board) > 1:
        figures.append(
            (
                lambda ax: plots.cost(board, ax=ax),
                (5.5, 4.2),
                "UAR against cost: the line joins the models that none beats in both.",
            )
        )
    if result.map:
        emotions = rows.set_index("clip")["emotion"].reindex(result.map.clips)
        known = emotions.notna().to_numpy()
        points = np.asarray(result.map.tsne)[known]
        figures.append(
            (
                lambda ax: plots.embedding_map(points, emotions[known].tolist(), ax=ax),
                (5.5, 4.6),
                "Every clip by its features (t-SNE): near clips sound alike to a model. Labels stand "
                "near the middle of their emotion.",
            )
        )
    return [
        {"svg": plots.to_svg(draw, size=size), "caption": caption}
        for draw, size, caption in figures
    ]


def _shown(corpus: dict[str, Any]) -> dict[str, Any]:
    rejected = [{**bad, "file": printable(bad["file"])} for bad in corpus.get("rejected", [])]
    return {**corpus, "rejected": rejected}


def _interval_words(run: Run) -> str:
    if run.uar_low is None:
        return f"UAR {run.uar:.3f}"
    return f"UAR {run.uar:.3f}, 95 % interval {run.uar_low:.3f} to {run.uar_high:.3f}"


def _seconds(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def _asset(name: str) -> str:
    return (importlib.resources.files("emoscope.report") / "templates" / name).read_text("utf-8")


def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("emoscope.report"),
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(name)
