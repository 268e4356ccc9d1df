"""The outcome of an experiment: one row per model and test clip, and what follows from the rows.

``predictions`` has the columns ``model, features, protocol, fold, clip, speaker, emotion, predicted``
and one ``p_<emotion>`` per emotion, followed by what the corpus says of the clip (``gender,
intensity, statement, text, channel`` where it does). Every score is computed from these rows and can
be computed again from the saved ``predictions.csv`` by anyone.
"""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .. import config
from ..errors import CorpusError
from ..files import write_together
from ..protocols import shares_speakers
from . import metrics, statistics

KEYS = ("model", "features", "protocol")
ROW = (*KEYS, "fold", "clip", "speaker", "emotion", "predicted")
ABOUT_CLIP = ("gender", "intensity", "statement", "text", "channel")


@dataclass
class Result:
    """Predictions of several models under one or more protocols, with how they came about.

    Attributes
    ----------
    predictions : DataFrame
        One row per model, protocol and test clip; see the module for the columns.
    runs : list of dict
        One per model, features and protocol: ``uar, uar_low, uar_high, accuracy, macro_f1,
        calibration_error`` (fractions), ``n_clips, n_speakers, fit_seconds, predict_seconds,
        leak_gap`` (UAR on random folds less UAR here, or None), ``history`` (learning curves).
    corpus : dict
        Name, size, licence, citation and the recordings that were left out, with reasons.
    config : dict
        Every option of the run; given again, it gives the same result.
    map : dict
        Two maps of the clips, as :func:`emoscope.evaluation.projection.of_clips` makes them; may be empty.
    """

    predictions: pd.DataFrame
    runs: list[dict[str, Any]]
    corpus: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    map: dict[str, Any] = field(default_factory=dict)

    @property
    def emotions(self) -> list[str]:
        """The emotions in the canonical order, from the probability columns."""
        return [c[2:] for c in self.predictions.columns if c.startswith("p_")]

    @property
    def protocol(self) -> str:
        """The protocol that the result is about: the first that is not random."""
        names = list(dict.fromkeys(str(run["protocol"]) for run in self.runs))
        return next((name for name in names if not shares_speakers(name)), names[0])

    def rows(
        self, model: str, protocol: str | None = None, features: str | None = None
    ) -> pd.DataFrame:
        """The predictions of one run: by default under :attr:`protocol`, on the main features."""
        wanted = {
            "model": model,
            "protocol": protocol or self.protocol,
            "features": features or next(r["features"] for r in self.runs if r["model"] == model),
        }
        p = self.predictions
        return p[np.logical_and.reduce([p[column] == value for column, value in wanted.items()])]

    def leaderboard(self) -> list[dict[str, Any]]:
        """The run of each model on its main features under :attr:`protocol`, best UAR first.

        The main features of a model are those of its first run; what follows is ablation.
        """
        first: dict[str, dict[str, Any]] = {}
        for run in self.runs:
            if run["protocol"] == self.protocol:
                first.setdefault(run["model"], run)
        return sorted(first.values(), key=lambda run: -run["uar"])

    def ablations(self) -> list[dict[str, Any]]:
        """The runs under :attr:`protocol` of the models that were run on several feature sets."""
        of_protocol = [run for run in self.runs if run["protocol"] == self.protocol]
        names = [run["model"] for run in of_protocol]
        return [run for run in of_protocol if names.count(run["model"]) > 1]

    def comparisons(self) -> pd.DataFrame:
        """Every pair of models under :attr:`protocol`: difference, interval, p, Holm's p.

        Empty where there is one model or one speaker; see
        :func:`emoscope.evaluation.statistics.compare_models`.
        """
        rows = {r["model"]: self.rows(r["model"]).sort_values("clip") for r in self.leaderboard()}
        first = next(iter(rows.values()))
        if first["speaker"].nunique() < 2:
            rows = {}
        return statistics.compare_models(
            first["emotion"].to_numpy(),
            {model: table["predicted"].to_numpy() for model, table in rows.items()},
            first["speaker"].to_numpy(),
            seed=int(self.config.get("seed", 0)),
        )

    def save(
        self, folder: str | os.PathLike[str], beside: Mapping[Path, str] | None = None
    ) -> Path:
        """Write ``results.json`` and ``predictions.csv``, all files or none.

        Parameters
        ----------
        folder : path-like
        beside : mapping of Path to str, optional
            Further files of this result, written together with it. The report and the options of
            an older result of emoscope's in the folder do not stay.

        Returns
        -------
        Path
            The folder.
        """
        from .._version import __version__

        out = Path(folder)
        document = {
            "emoscope": __version__,
            "corpus": self.corpus,
            "config": self.config,
            "runs": self.runs,
            "map": self.map,
            "comparisons": self.comparisons().to_dict("records"),
        }
        text = self.predictions.to_csv(index=False, float_format="%.6f", lineterminator="\n")
        document_text = json.dumps(document, indent=1) + "\n"
        own = {out / "predictions.csv": text, out / "results.json": document_text}
        write_together({**own, **(beside or {})})
        for old in (out / "report.html", out / config.FILE):
            if old not in (beside or {}) and old.is_file() and b"emoscope" in old.read_bytes():
                old.unlink()
        return out

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Result:
        """Read what :meth:`save` wrote.

        Raises
        ------
        CorpusError
            When a file is missing or does not hold a result.
        """
        out = Path(folder)
        try:
            document = json.loads((out / "results.json").read_text(encoding="utf-8"))
            if not (out / "predictions.csv").is_file():
                raise CorpusError(f"{out}: holds no saved result (no file predictions.csv)")
            predictions = _read_predictions(out / "predictions.csv")
        except (OSError, ValueError, RecursionError, pd.errors.ParserWarning) as error:
            raise CorpusError(f"{out}: holds no saved result ({error})") from error
        missing = [column for column in ROW if column not in predictions]
        if missing or not isinstance(document, dict) or "runs" not in document:
            raise CorpusError(f"{out}: not a saved result; missing: {', '.join(missing) or 'runs'}")
        about = [document.get(part) or {} for part in ("corpus", "config", "map")]
        if not all(isinstance(part, dict) for part in about):
            raise CorpusError(f"{out}: not a saved result: corpus, config or map is no mapping")
        fault = _fault(document["runs"], predictions)
        if fault:
            raise CorpusError(f"{out}: not a saved result: {fault}")
        return cls(predictions, document["runs"], *about)


def _read_predictions(path: Path) -> pd.DataFrame:
    text_columns = dict.fromkeys((*ROW, *ABOUT_CLIP), str)
    with warnings.catch_warnings():  # rows longer than the header would lose their last field
        warnings.simplefilter("error", pd.errors.ParserWarning)
        return pd.read_csv(path, dtype=text_columns, keep_default_na=False, index_col=False)


def _fault(runs: Any, predictions: pd.DataFrame) -> str:
    """What keeps runs and rows from being those of one result; empty when nothing."""
    if not isinstance(runs, list) or not runs:
        return "it has no runs"
    for number, run in enumerate(runs, start=1):
        named = isinstance(run, dict) and all(isinstance(run.get(key), str) for key in KEYS)
        if not named:
            return f"run {number} does not name its {', '.join(KEYS)}"
        if isinstance(run.get("uar"), bool) or not isinstance(run.get("uar"), int | float):
            return f"run {number} has no UAR"
    told = {tuple(run[key] for key in KEYS) for run in runs}
    absent = told - set(predictions[list(KEYS)].itertuples(index=False, name=None))
    if absent:
        return f"predictions.csv has no row of {', '.join(min(absent))}"
    emotions = [column for column in predictions if column.startswith("p_")]
    texts = [c for c in emotions if not pd.api.types.is_numeric_dtype(predictions[c])]
    return f"column {texts[0]} of predictions.csv holds more than numbers" if texts else ""


def summarise(rows: pd.DataFrame, *, seed: int = 0) -> dict[str, Any]:
    """Score the rows of one model under one protocol.

    Parameters
    ----------
    rows : DataFrame
        Predictions with ``emotion, predicted, speaker, fold`` and the ``p_`` columns.
    seed : int
        Of the resampling behind the interval.

    Returns
    -------
    dict
        ``uar, uar_low, uar_high`` (95 % interval over speakers; None with a single speaker),
        ``uar_folds`` (mean over folds), ``accuracy, macro_f1, calibration_error``, ``n_clips,
        n_speakers``.
    """
    true, predicted = rows["emotion"].to_numpy(), rows["predicted"].to_numpy()
    emotions = [c[2:] for c in rows.columns if c.startswith("p_")]
    probabilities = rows[[f"p_{e}" for e in emotions]].to_numpy()
    speakers = rows["speaker"].to_numpy()
    low = high = None
    if len(np.unique(speakers)) > 1:
        interval = statistics.speaker_interval(true, predicted, speakers, seed=seed)
        low, high = interval.low, interval.high
    by_fold = [metrics.uar(f["emotion"], f["predicted"]) for _, f in rows.groupby("fold")]
    return {
        "uar": metrics.uar(true, predicted),
        "uar_low": low,
        "uar_high": high,
        "uar_folds": math.fsum(by_fold) / len(by_fold),
        "accuracy": metrics.accuracy(true, predicted),
        "macro_f1": metrics.macro_f1(true, predicted),
        "calibration_error": metrics.expected_calibration_error(
            true, probabilities, emotions=emotions
        ),
        "n_clips": len(rows),
        "n_speakers": len(np.unique(speakers)),
    }


def add_leak_gaps(runs: Sequence[dict[str, Any]]) -> None:
    """Set ``leak_gap`` of every speaker-disjoint run that has a random twin; None elsewhere.

    A run that is adapted to its test speakers has none: its twin is not adapted.
    """
    random_uar = {
        (run["model"], run["features"]): run["uar"]
        for run in runs
        if shares_speakers(run["protocol"])
    }
    for run in runs:
        twin = random_uar.get((run["model"], run["features"]))
        alone = shares_speakers(run["protocol"]) or "+" in run["protocol"]
        run["leak_gap"] = None if alone or twin is None else twin - run["uar"]
