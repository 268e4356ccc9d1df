"""One line of a result: the scores of a model on its features under a protocol."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..protocols import shares_speakers
from . import metrics, statistics

KEYS = ("model", "features", "protocol")
#: Scores that are null in ``results.json`` where there is none; others are left out.
NULLABLE = ("uar_low", "uar_high", "leak_gap")


@dataclasses.dataclass(frozen=True)
class Run:
    """One model on one set of features under one protocol: an entry of ``runs`` in ``results.json``.

    Attributes
    ----------
    model, features, protocol : str
        What was run, on which features, and how clips were divided.
    uar, accuracy, macro_f1, calibration_error : float
        Scores of all test clips together, in [0, 1].
    uar_low, uar_high : float or None
        95 % interval of UAR over speakers; None with a single speaker.
    uar_folds : float
        Mean over folds of the UAR of each.
    n_clips, n_speakers : int
        Size of the test.
    fit_seconds, predict_seconds : float
        Time over all folds; NaN when a saved model was scored.
    best_epochs, chosen, history : list or None
        For each fold, the epoch at which training stopped, the parameters that a search chose, and
        the learning curve (one mapping per epoch); None in place of a fold where there is none.
    parameters : str or None
        The estimator as scikit-learn writes it.
    uncertain, unfamiliar : float
        Of a saved model: share of clips with an uncertain label, and far from its training data.
    leak_gap : float or None
        UAR on random folds less UAR here; None where nothing was run on random folds.
    extra : mapping
        Whatever else a ``results.json`` says of the run.
    """

    model: str
    features: str
    protocol: str
    uar: float
    uar_low: float | None = None
    uar_high: float | None = None
    uar_folds: float = math.nan
    accuracy: float = math.nan
    macro_f1: float = math.nan
    calibration_error: float = math.nan
    n_clips: int = 0
    n_speakers: int = 0
    fit_seconds: float = math.nan
    predict_seconds: float = math.nan
    best_epochs: list[int | None] | None = None
    chosen: list[Mapping[str, Any] | None] | None = None
    history: list[Sequence[Mapping[str, float]] | None] | None = None
    parameters: str | None = None
    uncertain: float = math.nan
    unfamiliar: float = math.nan
    leak_gap: float | None = None
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)

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
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        extra = fields.pop("extra")
        known = {k: v for k, v in fields.items() if k in NULLABLE or not _is_absent(v)}
        return {**known, **extra}

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> Run:
        """Read what :meth:`to_json` gave, also in an older version."""
        names = {f.name for f in dataclasses.fields(cls)} - {"extra"}
        known = {k: v for k, v in entry.items() if k in names}
        return cls(**known, extra={k: v for k, v in entry.items() if k not in names})


def _is_absent(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def summarise(rows: pd.DataFrame, *, seed: int = 0, **recorded: Any) -> Run:
    """Score the predictions of one model under one protocol.

    Parameters
    ----------
    rows : DataFrame
        Predictions with the columns of :data:`ROW` and the ``p_`` columns.
    seed : int
        Of the resampling behind the interval.
    **recorded
        What else the run is to hold: fields of :class:`Run`.
    """
    true, predicted = rows["emotion"].to_numpy(), rows["predicted"].to_numpy()
    emotions = [c[2:] for c in rows.columns if c.startswith("p_")]
    probabilities = rows[[f"p_{e}" for e in emotions]].to_numpy()
    speakers = rows["speaker"].to_numpy()
    n_speakers = len(np.unique(speakers))
    low = high = None
    if n_speakers > 1:
        interval = statistics.speaker_interval(true, predicted, speakers, seed=seed)
        low, high = interval.low, interval.high
    by_fold = [metrics.uar(f["emotion"], f["predicted"]) for _, f in rows.groupby("fold")]
    model, features, protocol = (str(rows[key].iloc[0]) for key in KEYS)
    return Run(
        model,
        features,
        protocol,
        uar=metrics.uar(true, predicted),
        uar_low=low,
        uar_high=high,
        uar_folds=math.fsum(by_fold) / len(by_fold),
        accuracy=metrics.accuracy(true, predicted),
        macro_f1=metrics.macro_f1(true, predicted),
        calibration_error=metrics.expected_calibration_error(
            true, probabilities, emotions=emotions
        ),
        n_clips=len(rows),
        n_speakers=n_speakers,
        **recorded,
    )


def with_leak_gaps(runs: Sequence[Run]) -> list[Run]:
    """The runs with ``leak_gap`` set where a speaker-disjoint run has a twin on random folds.

    A run that is adapted to its test speakers has none: its twin is not adapted.
    """
    random_uar = {(r.model, r.features): r.uar for r in runs if shares_speakers(r.protocol)}

    def gap(run: Run) -> float | None:
        twin = random_uar.get((run.model, run.features))
        alone = shares_speakers(run.protocol) or "+" in run.protocol
        return None if alone or twin is None else twin - run.uar

    return [dataclasses.replace(run, leak_gap=gap(run)) for run in runs]
