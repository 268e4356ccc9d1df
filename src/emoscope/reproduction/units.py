"""The training runs behind a reproduction: one published model on one split each.

The outcome of a unit is kept as it finishes, and networks keep their state while they train, so a
run that was stopped goes on where it was.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.resources
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils.validation import has_fit_parameter

from .. import compute, models, protocols
from ..dataset import Dataset
from ..errors import CorpusError, ModelError
from ..evaluation import metrics
from ..evaluation.checkpoint import Journal, spelled_out

#: Epochs of networks in a quick run, and seeds of the split for the mean.
QUICK_EPOCHS, QUICK_SEEDS = 10, 3
#: Seeds of the split over which the mean and the range are taken; the published 7 is one of them.
SEEDS = 10
#: Six folds of five picture networks would train all night; one published split does.
HONEST = {"vector": "speaker-6fold", "frames": "audeering-1.1"}
RANDOM = {"vector": "random-75/25", "frames": "random-80/20"}
#: Families of models, by how their public names begin; whatever fits none is classical.
FAMILIES = {"mlp": "MLP", "cnn1d": "CNN-1D", "cnn2d": "CNN-2D"}
CLASSICAL = "classical"
#: Families quick enough to train on every seed of the split.
SEEDED = (CLASSICAL, "MLP")


@dataclasses.dataclass(frozen=True)
class Row:
    """One published result and how to build its model."""

    name: str
    published: float
    family: str
    input: str
    build: Callable[[int], Any]


@dataclasses.dataclass(frozen=True)
class Unit:
    """One model on one split.

    Attributes
    ----------
    row : Row
        What it reproduces.
    estimator : scikit-learn classifier
        Unfitted.
    epochs : int or None
        Epochs of a network; None for classical models.
    protocol, fold
        Where it trains and is tested.
    identity : dict
        Everything that decides its outcome.
    """

    row: Row
    estimator: Any
    epochs: int | None
    protocol: str
    fold: protocols.Fold
    identity: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Work:
    """A unit as it is handed to a process."""

    estimator: Any
    train: Any
    train_emotions: NDArray[Any]
    test: Any
    test_emotions: NDArray[Any]
    checkpoint: str | None


def published() -> dict[str, Any]:
    """What was published: ``rows, claims, emotions, features, split, epochs, known_faults``."""
    file = importlib.resources.files("emoscope") / "data" / "published.json"
    document: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return document


def train_and_test(work: Work) -> dict[str, Any]:
    """Fit one model and score it on the clips it learned from and on those it did not.

    Returns
    -------
    dict
        JSON-serialisable: ``predicted`` (n_test,), ``accuracy`` and ``training`` (fractions),
        ``seconds``.
    """
    start = time.perf_counter()
    estimator = _fitted(work)
    predicted = estimator.predict(work.test)
    learned = estimator.predict(work.train)
    return {
        "predicted": [str(emotion) for emotion in predicted],
        "accuracy": metrics.accuracy(work.test_emotions, predicted),
        "training": metrics.accuracy(work.train_emotions, learned),
        "seconds": time.perf_counter() - start,
    }


def _fitted(work: Work) -> Any:
    """Train, from the checkpoint where there is one; one of an older version is thrown away."""
    estimator = clone(work.estimator)
    if not (work.checkpoint and has_fit_parameter(estimator, "checkpoint")):
        return estimator.fit(work.train, work.train_emotions)
    try:
        return estimator.fit(work.train, work.train_emotions, checkpoint=work.checkpoint)
    except ModelError:
        if not Path(work.checkpoint).exists():
            raise
        Path(work.checkpoint).unlink()
        return estimator.fit(work.train, work.train_emotions, checkpoint=work.checkpoint)


def published_rows(facts: Mapping[str, Any], wanted: Sequence[str] | None = None) -> list[Row]:
    """The published results with their models; only those whose name contains a wanted text.

    Raises
    ------
    CorpusError
        When nothing published has such a name.
    """
    builds = {
        name: (info, build)
        for info in map(models.get, models.names())
        for name, build in info.published.items()
    }
    made = []
    for fact in facts["rows"]:
        info, build = builds[fact["model"]]
        family = FAMILIES.get(info.name.split("-")[0], CLASSICAL)
        made.append(Row(fact["model"], fact["published"], family, info.input, build))
    chosen = [row for row in made if wanted is None or any(text in row.name for text in wanted)]
    if not chosen:
        raise CorpusError(f"no published result is called {', '.join(wanted or [])}")
    return chosen


def plan(
    rows: Sequence[Row], data: Dataset, split_seed: int, *, quick: bool, seed: int
) -> list[Unit]:
    """All units: the published split first, then unheard speakers, then more seeds of the split."""
    n_seeds = QUICK_SEEDS if quick else SEEDS
    others = [other for other in range(n_seeds) if other != split_seed]
    prints = {kind: features.fingerprint() for kind, features in data.features.items()}
    stages = [(RANDOM, rows, [split_seed]), (HONEST, rows, [0])]
    stages.append((RANDOM, [row for row in rows if row.family in SEEDED], others))
    return [
        unit
        for protocol_of, stage_rows, seeds in stages
        for row in stage_rows
        for split in seeds
        for unit in _units(row, protocol_of[row.input], split, data, prints[row.input], quick, seed)
    ]


def _units(
    row: Row, protocol: str, split_seed: int, data: Dataset, digest: str, quick: bool, seed: int
) -> list[Unit]:
    estimator = row.build(seed)
    name = next((n for n in ("epochs", "max_iter") if n in estimator.get_params()), None)
    epochs = None
    if row.family != CLASSICAL and name is not None:
        epochs = QUICK_EPOCHS if quick else int(estimator.get_params()[name])
        estimator.set_params(**{name: epochs})
    table = data.corpus.table
    shared = {
        "row": row.name,
        "estimator": spelled_out(estimator),
        "data": digest,
        "emotions": table["emotion"].tolist(),
        "protocol": protocol,
        "epochs": epochs,
        "seed": seed,
    }
    return [
        Unit(
            row,
            estimator,
            epochs,
            protocol,
            fold,
            {**shared, "train": fold.train.tolist(), "test": fold.test.tolist()},
        )  # fmt: skip
        for fold in protocols.folds(table, protocol, seed=split_seed)
    ]


def run(
    units: Sequence[Unit],
    data: Dataset,
    journal: Journal,
    *,
    jobs: int | None = None,
    cluster: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[dict[str, Any]]:
    """The outcome of every unit, from the journal or by :func:`train_and_test`."""
    outcomes = [journal.get(unit.identity) for unit in units]
    pending = [n for n, outcome in enumerate(outcomes) if outcome is None]
    # Brief units are handed over by the dozen; a network among them would hold up the others.
    brief = [n for n in pending if units[n].row.family == CLASSICAL]
    long = [n for n in pending if units[n].row.family != CLASSICAL]
    done = len(units) - len(pending)
    for batch in (brief, long):
        works = (_work(units[n], data, journal, cluster) for n in batch)
        for place, outcome in compute.run(train_and_test, works, jobs=jobs, cluster=cluster):
            if isinstance(outcome, Exception):
                raise outcome
            n = batch[place]
            outcomes[n] = outcome
            journal.put(units[n].identity, outcome)
            with contextlib.suppress(OSError):
                journal.path(units[n].identity, ".checkpoint").unlink()
            done += 1
            if progress is not None:
                progress(done, len(units))
    return [outcome for outcome in outcomes if outcome is not None]


def _work(unit: Unit, data: Dataset, journal: Journal, cluster: str | None) -> Work:
    values = data.features[unit.row.input]
    emotions = data.corpus.table["emotion"].to_numpy(dtype=str)
    train, test = unit.fold.train, unit.fold.test
    # A cluster's workers need not see this machine's files.
    checkpoint = None if cluster else str(journal.path(unit.identity, ".checkpoint"))
    return Work(
        unit.estimator, values.rows(train).values, emotions[train], values.rows(test).values,
        emotions[test], checkpoint,
    )  # fmt: skip
