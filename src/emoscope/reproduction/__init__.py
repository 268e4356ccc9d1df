"""Every result that the original student project published: reproduced, and measured honestly.

Each row of ``data/published.json`` is trained as published (four emotions, 180 unscaled features or
150 × 150 spectrogram pictures, random split, fixed epochs) and beside it as it should have been
measured: the same model and features on speakers that it never heard. A unit of work is one model
on one split. Its outcome is kept as it finishes, and networks keep their state while they train, so
a run that was stopped goes on where it was.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .. import dataset
from ..dataset.store import Store
from ..errors import AudioError, CorpusError
from ..evaluation import metrics, statistics
from ..evaluation.checkpoint import Journal
from ..files import write_together
from ..protocols import shares_speakers
from . import claims
from . import units as units_of
from .units import QUICK_EPOCHS, Row, Unit, published


@dataclasses.dataclass
class Reproduction:
    """The outcome of :func:`reproduce`.

    Attributes
    ----------
    rows : list of dict
        One per published result, percent: ``model, family, published, reproduced`` (accuracy on the
        published split), ``reproduced_mean, reproduced_low, reproduced_high, n_splits`` (over seeds
        of the split; None where there is one), ``training, honest, honest_low, honest_high`` (95 %
        interval over speakers), ``honest_protocol, epochs, seconds``.
    verdicts : list of dict
        One per published claim: ``claim, verdict, evidence`` (sentences).
    predictions : DataFrame
        ``model, family, protocol, clip, speaker, emotion, predicted`` on the published split and on
        unheard speakers.
    about : dict
        Corpus, what was used of it, and every option of the run.
    rejected : list of AudioError
        Recordings that were left out.
    """

    rows: list[dict[str, Any]]
    verdicts: list[dict[str, Any]]
    predictions: pd.DataFrame
    about: dict[str, Any]
    rejected: list[AudioError] = dataclasses.field(default_factory=list)

    def save(self, out: str | os.PathLike[str], beside: Mapping[Path, str] | None = None) -> Path:
        """Write ``reproduction.json``, ``reproduction.csv`` and ``reproduction.html``.

        All or none, together with the files `beside` them. No other result has files of these
        names, so that a comparison in the same folder stays.
        """
        from .report import render

        folder = Path(out)
        document = {"about": self.about, "rows": self.rows, "verdicts": self.verdicts}
        text = self.predictions.to_csv(index=False, lineterminator="\n")
        write_together(
            {
                folder / "reproduction.csv": text,
                folder / "reproduction.json": json.dumps(document, indent=1) + "\n",
                folder / "reproduction.html": render(self),
                **(beside or {}),
            }
        )
        return folder


def reproduce(
    source: str | None = None,
    *,
    out: str | os.PathLike[str] = "emoscope-out",
    quick: bool = False,
    rows: Sequence[str] | None = None,
    jobs: int | None = None,
    cluster: str | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Reproduction:
    """Train every published model as published, and again on unheard speakers.

    Parameters
    ----------
    source : str, optional
        Folder of RAVDESS, speech or speech and song; by default the embedded features of the speech
        half.
    out : path-like
        Folder for finished units; run again with the same folder, it goes on where it was.
    quick : bool
        Train networks for :data:`QUICK_EPOCHS` epochs only.
    rows : sequence of str, optional
        Only the published results whose names contain one of these texts.
    jobs, cluster
        As for :func:`emoscope.compute.run`.
    seed : int
        Decides initial weights; the split's seed is the published one.
    progress : callable, optional
        Called with units done and units in all.

    Returns
    -------
    Reproduction

    Raises
    ------
    CorpusError
        When the source lacks one of the four emotions.
    ProtocolError
        When the source is not RAVDESS.
    """
    facts = published()
    data = dataset.load(
        source, [*facts["features"], "logmel"], emotions=facts["emotions"],
        store=Store.default(), jobs=jobs, cluster=cluster,
    )  # fmt: skip
    table = data.corpus.table
    absent = set(facts["emotions"]) - set(table["emotion"])
    if absent:
        raise CorpusError(f"the published results need clips that are {', '.join(sorted(absent))}")
    planned = units_of.plan(
        units_of.published_rows(facts, rows), data, facts["split"]["seed"], quick=quick, seed=seed
    )
    journal = Journal(Path(out) / "finished")
    outcomes = units_of.run(planned, data, journal, jobs=jobs, cluster=cluster, progress=progress)
    finished: dict[str, list[tuple[Unit, dict[str, Any]]]] = {}
    for unit, outcome in zip(planned, outcomes, strict=True):
        finished.setdefault(unit.row.name, []).append((unit, outcome))
    made = [_assemble(pairs[0][0].row, pairs, data) for pairs in finished.values()]
    predictions = pd.concat([part for _, part in made], ignore_index=True)
    lines = [line for line, _ in made]
    has_song = "channel" in table and (table["channel"] == "song").any()
    about = {
        "corpus": data.corpus.name,
        "part": "speech and song" if has_song else "speech alone",
        "n_clips": len(table),
        "n_speakers": int(table["speaker"].nunique()),
        "published_clips": facts["split"]["clips"],
        "split_seed": facts["split"]["seed"],
        "epochs": QUICK_EPOCHS if quick else facts["epochs"],
        "published_epochs": facts["epochs"],
        "quick": quick,
        "seed": seed,
        "seconds": round(sum(line["seconds"] for line in lines), 1),
        "rejected": [{"file": bad.path, "reason": bad.reason} for bad in data.corpus.rejected],
        "licence": data.corpus.licence,
        "citation": data.corpus.citation,
    }
    verdicts = claims.judge(facts["claims"], lines, predictions)
    return Reproduction(lines, verdicts, predictions, about, data.corpus.rejected)


def _assemble(
    row: Row, finished: Sequence[tuple[Unit, dict[str, Any]]], data: dataset.Dataset
) -> tuple[dict[str, Any], pd.DataFrame]:
    """One line of the outcome, and its predictions."""
    random = [(u, o) for u, o in finished if shares_speakers(u.protocol)]
    honest = [(u, o) for u, o in finished if not shares_speakers(u.protocol)]
    as_published, first = random[0]
    over_seeds = [100 * o["accuracy"] for _, o in random]
    parts = [_predictions(u, o, data) for u, o in [random[0], *honest]]
    unheard = pd.concat(parts[1:], ignore_index=True)
    interval = statistics.speaker_interval(
        unheard["emotion"], unheard["predicted"], unheard["speaker"], metrics.accuracy
    )
    several = len(over_seeds) > 1
    line = {
        "model": row.name,
        "family": row.family,
        "published": row.published,
        "reproduced": 100 * first["accuracy"],
        "reproduced_mean": float(np.mean(over_seeds)) if several else None,
        "reproduced_low": min(over_seeds) if several else None,
        "reproduced_high": max(over_seeds) if several else None,
        "n_splits": len(over_seeds),
        "training": 100 * first["training"],
        "honest": 100 * interval.estimate,
        "honest_low": 100 * interval.low,
        "honest_high": 100 * interval.high,
        "honest_training": 100 * float(np.mean([o["training"] for _, o in honest])),
        "honest_protocol": honest[0][0].protocol,
        "random_protocol": as_published.protocol,
        "n_test": len(first["predicted"]),
        "epochs": as_published.epochs,
        "seconds": sum(o["seconds"] for _, o in finished),
    }
    rounded = {k: round(v, 2) if isinstance(v, float) else v for k, v in line.items()}
    return rounded, pd.concat(parts, ignore_index=True)


def _predictions(unit: Unit, outcome: Mapping[str, Any], data: dataset.Dataset) -> pd.DataFrame:
    clips = data.corpus.table.iloc[unit.fold.test]
    rows = clips[["clip", "speaker", "emotion"]].reset_index(drop=True)
    rows["predicted"] = outcome["predicted"]
    rows.insert(0, "protocol", unit.protocol)
    rows.insert(0, "family", unit.row.family)
    rows.insert(0, "model", unit.row.name)
    return rows
