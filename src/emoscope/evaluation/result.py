"""The outcome of an experiment: one row per model and test clip, and what follows from the rows.

``predictions`` has the columns :data:`ROW`, one ``p_<emotion>`` per emotion, and those of
:data:`ABOUT_CLIP` that the corpus has. Every score can be computed again from these rows.
"""

import dataclasses
import json
import math
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .. import config, unseen
from .._version import __version__
from ..errors import CorpusError
from ..files import write_together
from ..protocols import SCRIPT_CONTROL, SPEAKER_TEXT, adaptation_of, shares_speakers
from . import metrics, statistics

KEYS = ("model", "features", "protocol")
ROW = (*KEYS, "fold", "clip", "speaker", "emotion", "predicted")
ABOUT_CLIP = ("gender", "intensity", "statement", "text", "channel")
#: Scores that are null in ``results.json`` where there is none; others are left out.
NULLABLE = ("uar_low", "uar_high", "leak_gap")


@dataclasses.dataclass(frozen=True)
class Run:
    """An entry of ``runs``; scores are in [0, 1], NaN or None where not measured."""

    model: str
    features: str
    protocol: str
    uar: float
    uar_low: float | None = None  # 95 % interval over speakers; None with fewer than five
    uar_high: float | None = None
    uar_folds: float = math.nan  # mean over folds
    accuracy: float = math.nan
    macro_f1: float = math.nan
    calibration_error: float = math.nan
    n_clips: int = 0
    n_speakers: int = 0
    fit_seconds: float = math.nan
    predict_seconds: float = math.nan
    best_epochs: list[int | None] | None = None  # for each fold, where training stopped
    chosen: list[Mapping[str, Any] | None] | None = None  # for each fold, by a search
    history: list[Sequence[Mapping[str, float]] | None] | None = None  # for each fold and epoch
    parameters: str | None = None  # the estimator as scikit-learn writes it
    uncertain: float = math.nan  # of a saved model: share of clips with an uncertain label
    unfamiliar: float = math.nan  # of a saved model: share of clips far from its training data
    leak_gap: float | None = None  # UAR on random folds less UAR here
    script_gap: float | None = None  # UAR of the control of speaker+text less UAR of speaker+text
    script_gap_low: float | None = None  # 95 % interval over speakers
    script_gap_high: float | None = None
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # what else the entry says

    @property
    def leaky_uar(self) -> float | None:
        """UAR on random folds, where it was measured."""
        return None if self.leak_gap is None else self.uar + self.leak_gap

    @property
    def was_trained(self) -> bool:
        """Whether the model was trained for this run, not loaded."""
        return not math.isnan(self.fit_seconds)

    @property
    def is_network(self) -> bool:
        """Whether it has learning curves."""
        return any(self.history or [])

    def to_json(self) -> dict[str, Any]:
        """The entry in ``results.json``, without what is not known."""
        fields = {k: v for k, v in vars(self).items() if k != "extra"}
        known = {k: v for k, v in fields.items() if k in NULLABLE or not (v is None or v != v)}
        return {**known, **self.extra}

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> "Run":
        """Read what :meth:`to_json` gave, also in an older version."""
        names = {f.name for f in dataclasses.fields(cls)} - {"extra"}
        known = {k: entry[k] for k in names & set(entry)}
        if 0 < known.get("n_speakers", 0) < statistics.MIN_FOR_INTERVAL:
            known |= {"uar_low": None, "uar_high": None}
        return cls(**known, extra={k: v for k, v in entry.items() if k not in names})


@dataclasses.dataclass
class Result:
    """Predictions of several models under one or more protocols, with how they came about."""

    predictions: pd.DataFrame  # see the module for the columns
    runs: list[Run]
    # Name, size, licence, citation and the recordings that were left out, with reasons.
    corpus: dict[str, Any] = dataclasses.field(default_factory=dict)
    # Every option of the run; given again, it gives the same result.
    config: dict[str, Any] = dataclasses.field(default_factory=dict)
    _comparisons: pd.DataFrame | None = dataclasses.field(default=None, init=False, repr=False)

    @property
    def emotions(self) -> list[str]:
        """The emotions in the canonical order, from the probability columns."""
        return [c[2:] for c in self.predictions.columns if c.startswith("p_")]

    @property
    def protocol(self) -> str:
        """The protocol that the result is about: the first that is not random."""
        names = list(dict.fromkeys(run.protocol for run in self.runs))
        return next((name for name in names if not shares_speakers(name)), names[0])

    @property
    def tested_on(self) -> str:
        """What was held out, in words; empty where a saved model was scored, as its notes tell."""
        if self.protocol.partition("+")[0] == "evaluate":
            return ""
        return unseen.WORDS[unseen.of_record(self.corpus, self.protocol)]

    def rows(self, model: str, protocol: str = "", features: str = "") -> pd.DataFrame:
        """The predictions of one run: by default under :attr:`protocol`, on the main features."""
        features = features or next(run.features for run in self.runs if run.model == model)
        wanted = [model, features, protocol or self.protocol]
        return self.predictions[(self.predictions[list(KEYS)] == wanted).all(axis=1)]

    def leaderboard(self) -> list[Run]:
        """Each model's run under :attr:`protocol` on its main, its first, features, best UAR first."""
        first: dict[str, Run] = {}
        for run in self.runs:
            if run.protocol == self.protocol:
                first.setdefault(run.model, run)
        return sorted(first.values(), key=lambda run: -run.uar)

    def ablations(self) -> list[Run]:
        """The runs under :attr:`protocol` of the models that were run on several feature sets."""
        of_protocol = [run for run in self.runs if run.protocol == self.protocol]
        names = [run.model for run in of_protocol]
        return [run for run in of_protocol if names.count(run.model) > 1]

    def comparisons(self) -> pd.DataFrame:
        """Every pair of models, see :func:`.statistics.compare_models`; none with one speaker."""
        if self._comparisons is None:
            rows = {r.model: self.rows(r.model).sort_values("clip") for r in self.leaderboard()}
            first = next(iter(rows.values()))
            if first["speaker"].nunique() < 2:
                rows = {}
            given = {model: table["predicted"].to_numpy() for model, table in rows.items()}
            true, speakers = (first[name].to_numpy() for name in ("emotion", "speaker"))
            seed = int(self.config.get("seed", 0))
            self._comparisons = statistics.compare_models(true, given, speakers, seed=seed)
        return self._comparisons

    def save(self, folder: str | os.PathLike[str], beside: Mapping[Path, str] = {}) -> Path:
        """Write the result and the files `beside` it, all or none; no older report stays."""
        out = Path(folder)
        document = {
            "emoscope": __version__,
            "corpus": self.corpus,
            "config": self.config,
            "runs": [run.to_json() for run in self.runs],
            "comparisons": self.comparisons().to_dict("records"),
        }
        table = self.predictions.to_csv(index=False, float_format="%.6f", lineterminator="\n")
        text = json.dumps(document, indent=1) + "\n"
        write_together({out / "predictions.csv": table, out / "results.json": text, **beside})
        for old in (out / "report.html", out / config.FILE):
            if old not in beside and old.is_file() and b"emoscope" in old.read_bytes():
                old.unlink()
        return out

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> "Result":
        """Read what :meth:`save` wrote; CorpusError when the folder holds no whole result."""
        out = Path(folder)
        try:
            document = json.loads((out / "results.json").read_text(encoding="utf-8"))
            if not (out / "predictions.csv").is_file():
                raise CorpusError(f"{out}: holds no saved result (no file predictions.csv)")
            text_columns = dict.fromkeys((*ROW, *ABOUT_CLIP), str)
            with warnings.catch_warnings():  # rows longer than the header would lose a field
                warnings.simplefilter("error", pd.errors.ParserWarning)
                predictions = pd.read_csv(
                    out / "predictions.csv", dtype=text_columns, keep_default_na=False,
                    index_col=False,
                )  # fmt: skip
        except (OSError, ValueError, RecursionError, pd.errors.ParserWarning) as error:
            raise CorpusError(f"{out}: holds no saved result ({error})") from error
        if fault := _fault(document, predictions):
            raise CorpusError(f"{out}: not a saved result: {fault}")
        corpus, options = (document.get(part) or {} for part in ("corpus", "config"))
        runs = [Run.from_json(entry) for entry in document["runs"]]
        return cls(predictions, runs, corpus, options)


def _fault(document: Any, predictions: pd.DataFrame) -> str:
    missing = [column for column in ROW if column not in predictions]
    if missing or not isinstance(document, dict) or "runs" not in document:
        return f"missing: {', '.join(missing) or 'runs'}"
    if not all(isinstance(document.get(part) or {}, dict) for part in ("corpus", "config")):
        return "corpus or config is no mapping"
    if not isinstance(runs := document["runs"], list) or not runs:
        return "it has no runs"
    for number, run in enumerate(runs, start=1):
        if not isinstance(run, dict) or not all(isinstance(run.get(key), str) for key in KEYS):
            return f"run {number} does not name its {', '.join(KEYS)}"
        if isinstance(run.get("uar"), bool) or not isinstance(run.get("uar"), int | float):
            return f"run {number} has no UAR"
    keys = {tuple(run[key] for key in KEYS) for run in runs}
    if absent := keys - set(predictions[list(KEYS)].itertuples(index=False, name=None)):
        return f"predictions.csv has no row of {', '.join(min(absent))}"
    emotions = [column for column in predictions if column.startswith("p_")]
    texts = [c for c in emotions if not pd.api.types.is_numeric_dtype(predictions[c])]
    return f"column {texts[0]} of predictions.csv holds more than numbers" if texts else ""


def result_rows(clips: pd.DataFrame, probabilities: pd.DataFrame) -> pd.DataFrame:
    """:attr:`Result.predictions` from rows of a corpus with the first columns of it added."""
    clips = clips.reset_index(drop=True).assign(speaker=clips["unique_speaker"].to_numpy())
    about = [column for column in ABOUT_CLIP if column in clips]
    return pd.concat([clips[list(ROW)], probabilities.add_prefix("p_"), clips[about]], axis=1)


def summarise(rows: pd.DataFrame, *, seed: int = 0, **recorded: Any) -> Run:
    """Score the predictions of one model under one protocol; `recorded` goes into the run as is."""
    true, predicted = rows["emotion"].to_numpy(), rows["predicted"].to_numpy()
    emotions = [c[2:] for c in rows.columns if c.startswith("p_")]
    probabilities = rows[[f"p_{e}" for e in emotions]].to_numpy()
    speakers = rows["speaker"].to_numpy()
    unknown = rows["speaker"].str.fullmatch("|.*/")  # of one corpus, of several
    n_speakers = 0 if unknown.any() else len(np.unique(speakers))
    low = high = None
    if not statistics.no_interval(n_speakers):
        interval = statistics.speaker_interval(true, predicted, speakers, seed=seed)
        low, high = interval.low, interval.high
    by_fold = [metrics.uar(f["emotion"], f["predicted"]) for _, f in rows.groupby("fold")]
    model, features, protocol = (str(rows[key].iloc[0]) for key in KEYS)
    error = metrics.expected_calibration_error(true, probabilities, emotions=emotions)
    return Run(
        model, features, protocol, metrics.uar(true, predicted), low, high,
        uar_folds=math.fsum(by_fold) / len(by_fold), accuracy=metrics.accuracy(true, predicted),
        macro_f1=metrics.macro_f1(true, predicted), calibration_error=error, n_clips=len(rows),
        n_speakers=n_speakers, **recorded,
    )  # fmt: skip


def with_gaps(runs: Sequence[Run], rows: Sequence[pd.DataFrame], *, seed: int = 0) -> list[Run]:
    """The runs, given with their rows, with leak gap and, under the first protocol, script gap."""
    random_uar = {(r.model, r.features): r.uar for r in runs if shares_speakers(r.protocol)}
    rows_of = {(r.model, r.features, r.protocol): t for r, t in zip(runs, rows, strict=True)}

    def measured(run: Run) -> Run:
        twin = random_uar.get((run.model, run.features))
        # The twin of a run that is adapted to its test speakers is not adapted.
        if twin is not None and not (shares_speakers(run.protocol) or adaptation_of(run.protocol)):
            run = dataclasses.replace(run, leak_gap=twin - run.uar)
        keys = ((run.model, run.features, name) for name in (SPEAKER_TEXT, SCRIPT_CONTROL))
        apart, control = map(rows_of.get, keys)
        if run.protocol != runs[0].protocol or apart is None or control is None:
            return run
        clips = apart["emotion"], control["predicted"], apart["predicted"], apart["speaker"]
        gap = statistics.difference_interval(*clips, seed=seed)
        ends: Any = {"script_gap_low": gap.low, "script_gap_high": gap.high}
        return dataclasses.replace(run, script_gap=gap.estimate, **ends)

    return [measured(run) for run in runs]
