"""Runs models on folds, here or anywhere, and never the same fit twice.

A unit is one model on one fold: it learns from the training clips and predicts the test clips.
"""

import contextlib
import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sklearn
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import has_fit_parameter

from .. import compute
from ..features.table import Features
from ..files import remove_abandoned, write_atomically
from ..models.base import by_share, weight_parameter
from ..protocols import Fold

#: Other packages whose version decides what a model learns.
LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch")

LEARNED = ("history", "best_epoch", "chosen")  # what an outcome keeps of an estimator

OnUnit = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True, eq=False)
class Unit:
    """One model, unfitted, on one fold; features, emotions and speakers are of all clips."""

    estimator: Any
    features: Features
    emotions: NDArray[Any]
    fold: Fold
    speakers: NDArray[Any] | None = None  # for estimators that hold out training speakers
    about: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # what else decides, as JSON
    score_training: bool = False  # also predict the training clips
    shares: pd.DataFrame | None = None  # of the ratings of all clips, a column for each emotion
    is_long: bool = False  # handed over last: brief units go by the dozen, which it would hold up
    cost: int = 1  # the cheapest are handed over first, of long units the costliest: none is left

    @property
    def training(self) -> tuple[NDArray[Any], NDArray[Any] | None, pd.DataFrame | None]:
        """Emotions, speakers and shares of ratings of the training clips."""
        rows, speakers, shares = self.fold.train, self.speakers, self.shares
        of_shares = None if shares is None else shares.iloc[rows]
        return self.emotions[rows], None if speakers is None else speakers[rows], of_shares


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a unit; ``probabilities`` has a column for each of ``classes``."""

    predicted: list[str]
    classes: list[str]
    probabilities: list[list[float]]
    fit_seconds: float
    predict_seconds: float
    history: list[dict[str, float]] | None = None
    best_epoch: int | None = None
    chosen: dict[str, Any] | None = None
    training_accuracy: float | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Work:
    """A unit as it is handed to a process: with the clips it needs and no more."""

    estimator: Any
    #: Values, emotions, speakers and shares of ratings, as :func:`fit` takes them.
    train: tuple[Any, NDArray[Any], NDArray[Any] | None, pd.DataFrame | None]
    test: Any
    score_training: bool = False


def run(
    units: Sequence[Unit], *, checkpoint: "Checkpoint | None" = None, jobs: int | None = None,
    cluster: str | None = None, on_unit: OnUnit | None = None,
) -> Iterator[tuple[int, Outcome]]:  # fmt: skip
    """Fit and test every unit; yields their positions and outcomes as they complete.

    A `checkpoint` keeps outcomes and gives those of units that were finished before; `on_unit`
    gets cost done and in all.
    """
    identities = _identities(units) if checkpoint is not None else []
    pending = list(range(len(units)))
    for n, identity in enumerate(identities):
        assert checkpoint is not None
        if (stored := checkpoint.get(identity)) is not None:
            pending.remove(n)
            yield n, Outcome(**stored)
    total = sum(unit.cost for unit in units)
    done = total - sum(units[n].cost for n in pending)
    for is_long in (False, True):
        batch = [n for n in pending if units[n].is_long == is_long]
        batch.sort(key=lambda n: units[n].cost, reverse=is_long)
        works = (_work(units[n]) for n in batch)
        for position, outcome in compute.run(fit_and_predict, works, jobs=jobs, cluster=cluster):
            if isinstance(outcome, Exception):
                raise outcome
            n = batch[position]
            if checkpoint is not None:
                checkpoint.put(identities[n], vars(outcome))
            done += units[n].cost
            if on_unit is not None:
                on_unit(done, total)
            yield n, outcome


def fit_and_predict(work: Work) -> Outcome:
    """Fit one model on the training clips of one fold and predict its test clips."""
    start = time.perf_counter()
    estimator = fit(work.estimator, *work.train)
    fitted = time.perf_counter()
    predicted = estimator.predict(work.test)
    probabilities = estimator.predict_proba(work.test)
    end = time.perf_counter()
    values, emotions, *_ = work.train
    right = estimator.predict(values) == emotions if work.score_training else None
    return Outcome(
        predicted=[str(emotion) for emotion in predicted],
        classes=[str(emotion) for emotion in estimator.classes_],
        probabilities=np.asarray(probabilities, dtype=float).tolist(),
        fit_seconds=fitted - start,
        predict_seconds=end - fitted,
        **{name: getattr(estimator, f"{name}_", None) for name in LEARNED},
        training_accuracy=None if right is None else float(np.mean(right)),
    )


def fit(
    estimator: Any, values: Any, emotions: NDArray[Any], speakers: NDArray[Any] | None = None,
    shares: pd.DataFrame | None = None,
) -> Any:  # fmt: skip
    """A fitted copy, told of speakers and of `shares` of ratings where it takes them."""
    estimator, options = clone(estimator), dict[str, Any]()
    if shares is not None and (weight := weight_parameter(estimator)) is not None:
        clips, emotions, options[weight] = by_share(shares)
        values, speakers = rows_of(values, clips), None if speakers is None else speakers[clips]
    if speakers is not None and has_fit_parameter(estimator, "groups"):
        options["groups"] = speakers
    return estimator.fit(values, emotions, **options)


def rows_of(values: Any, rows: NDArray[np.intp]) -> Any:
    """Some clips of ``Features.values``: rows of a matrix, or a list of frames."""
    return values[rows] if isinstance(values, np.ndarray) else [values[row] for row in rows]


def _work(unit: Unit) -> Work:
    train, test = (rows_of(unit.features.values, r) for r in (unit.fold.train, unit.fold.test))
    return Work(unit.estimator, (train, *unit.training), test, unit.score_training)


def _identities(units: Sequence[Unit]) -> list[dict[str, Any]]:
    digests = {id(features): features.fingerprint() for features in {u.features for u in units}}

    def identity(unit: Unit) -> dict[str, Any]:
        emotions, speakers, shares = unit.training
        return {
            **unit.about,
            "estimator": spelled_out(unit.estimator),
            "data": digests[id(unit.features)],
            "emotions": emotions.tolist(),
            "speakers": None if speakers is None else speakers.tolist(),
            "train": unit.fold.train.tolist(),
            "test": unit.fold.test.tolist(),
            "score_training": unit.score_training,
            "shares": None if shares is None else shares.to_dict("list"),
        }

    return [identity(unit) for unit in units]


def spelled_out(estimator: BaseEstimator) -> str:
    """All parameters of an estimator, also those that have their defaults."""
    with sklearn.config_context(print_changed_only=False):
        return str(estimator.__repr__(N_CHAR_MAX=1_000_000))  # else shortened


class Checkpoint:
    """Outcomes of finished units by all that decides them, also the code: a JSON file each."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        remove_abandoned(self.folder)

    def get(self, unit: Mapping[str, Any]) -> Any | None:
        """The recorded outcome of a unit, or None when it has not been done."""
        try:
            stored = json.loads(self.path(unit).read_text(encoding="utf-8"))
            whole = stored["digest"] == _digest([stored["unit"], stored["outcome"]])
            return stored["outcome"] if whole and stored["unit"] == _identity(unit) else None
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None

    def put(self, unit: Mapping[str, Any], outcome: Any) -> None:
        """Record the outcome of a unit."""
        stored = {"unit": _identity(unit), "outcome": outcome}
        stored["digest"] = _digest([stored["unit"], outcome])
        write_atomically(self.path(unit), json.dumps(stored))

    def path(self, unit: Mapping[str, Any]) -> Path:
        """The file that belongs to a unit."""
        return self.folder / f"{_digest(_identity(unit))}.json"


def _identity(unit: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps({**unit, "code": _code()}))


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode("utf-8"), digest_size=12).hexdigest()


@functools.cache
def _code() -> str:
    """A digest of this package's code and of the versions of what it trains with."""
    digest = hashlib.blake2b(digest_size=12)
    root = Path(__file__).parents[1]
    for path in sorted(root.rglob("*.py")):
        digest.update(os.fsencode(path.relative_to(root)) + b"\0" + path.read_bytes())
    for name in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            digest.update(f"{name} {importlib.metadata.version(name)}\n".encode())
    return digest.hexdigest()
