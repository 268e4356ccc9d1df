"""Corpus × features × models × protocol → :class:`~emoscope.evaluation.result.Result`.

A unit of work is one model on one fold. Units run in any order and anywhere
(:mod:`emoscope.compute`), and are put together in a fixed order, so the same seed gives the same
rows however many processes took part. Everything that is learned — scaling, early stopping, the
network itself — sees the training clips of its fold only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import has_fit_parameter

from .. import compute, models, protocols
from ..corpus import Corpus
from ..errors import FeatureError, UnknownNameError
from ..features.table import Features
from ..models import ModelInfo
from .checkpoint import Journal, spelled_out
from .result import ABOUT_CLIP, KEYS, ROW, Result, add_leak_gaps, summarise

#: A quick run trains networks for this share of their epochs.
QUICK_SHARE = 0.1

OnRun = Callable[[dict[str, Any]], None]
OnUnit = Callable[[int, int], None]


@dataclass(frozen=True)
class Task:
    """One model under one protocol: what a line of the leaderboard stands for."""

    model: str
    estimator: Any
    features: str
    data: Features
    protocol: str
    folds: tuple[protocols.Fold, ...]

    @property
    def key(self) -> tuple[str, str, str]:
        """The first columns of every row."""
        return self.model, self.features, self.protocol


@dataclass(frozen=True)
class Unit:
    """One model to fit on one fold, with the data it needs and no more."""

    estimator: Any
    train: Any
    train_emotions: NDArray[Any]
    train_speakers: NDArray[Any]
    test: Any


def compare(
    corpus: Corpus,
    features: Mapping[str, Features],
    *,
    models: Sequence[str] | Mapping[str, BaseEstimator | ModelInfo] | None = None,
    protocol: str = "speaker-6fold",
    leak_protocol: str | None = "random-75/25",
    ablation: Sequence[str] = (),
    as_published: bool = False,
    quick: bool = False,
    seed: int = 0,
    jobs: int | None = None,
    cluster: str | None = None,
    journal: Journal | None = None,
    on_run: OnRun | None = None,
    on_unit: OnUnit | None = None,
) -> Result:
    """Fit and test every model under a protocol, and again on random folds for the leak gap.

    Parameters
    ----------
    corpus : Corpus
        The clips, in the order of the rows of `features`.
    features : mapping of str to Features
        ``"vector"`` and, for the models that read spectrograms, ``"frames"``.
    models : sequence of str, or mapping of str to estimator or ModelInfo, optional
        Names of known models, or models of your own under names of your own (a bare scikit-learn
        estimator gets the vector features). By default every known model whose features are at
        hand.
    protocol, leak_protocol : str
        Names of protocols; `leak_protocol` may be None.
    ablation : sequence of str
        Models that are also run on each feature alone and on all but each, under `protocol`.
    as_published : bool
        The published form of each model instead of its sound one.
    quick : bool
        A tenth of the epochs for networks.
    seed : int
        Decides random folds, initial weights and resampling.
    jobs : int, optional
        Processes on this machine; by default all cores.
    cluster : str, optional
        Address of a Dask scheduler to run on instead.
    journal : Journal, optional
        Where finished units are kept, so that a stopped run continues.
    on_run : callable, optional
        Called with each run as it is complete, but for those of the ablation.
    on_unit : callable, optional
        Called with units done and units in all.

    Returns
    -------
    Result

    Raises
    ------
    UnknownNameError
        For a model or protocol that does not exist, or a model to ablate that is not compared.
    ProtocolError
        When the protocol does not fit the corpus.
    FeatureError
        When a model cannot take the features.
    """
    named_models = () if models is None or isinstance(models, Mapping) else models
    for name, reason in unfit(named_models, features).items():
        raise FeatureError(f"{name}: {reason}; leave it out, or add features")
    estimators = _estimators(models, features, as_published=as_published, quick=quick, seed=seed)
    named = [protocol] if leak_protocol is None else [protocol, leak_protocol]
    made = {name: tuple(protocols.folds(corpus.table, name, seed=seed)) for name in named}
    wanted = [(n, e, data, p) for n, (e, data) in estimators.items() for p in made]
    n_main = len(wanted)
    for name in dict.fromkeys(ablation):
        if name not in estimators:
            raise UnknownNameError("model to ablate", name, estimators)
        estimator, whole = estimators[name]
        wanted += [(name, estimator, part, protocol) for part in _parts(whole)]
    tasks = [
        Task(n, suited(e, data), data.label, _adapted(data, corpus, p), p, made[p])
        for n, e, data, p in wanted
    ]
    describe = {"seed": seed, "as_published": as_published, "quick": quick}
    main = {task.key for task in tasks[:n_main]}
    tables: dict[tuple[str, str, str], pd.DataFrame] = {}
    runs: dict[tuple[str, str, str], dict[str, Any]] = {}
    for task, outcomes in _run(tasks, corpus, describe, jobs, cluster, journal, on_unit):
        tables[task.key] = _rows(task, corpus, outcomes)
        runs[task.key] = _summary(task, tables[task.key], outcomes, seed)
        if on_run is not None and task.key in main:
            on_run(runs[task.key])
    ordered = [task.key for task in tasks]
    run_list = [runs[key] for key in ordered]
    add_leak_gaps(run_list)
    return Result(
        predictions=pd.concat([tables[key] for key in ordered], ignore_index=True),
        runs=run_list,
        corpus=describe_corpus(corpus),
        config={
            "protocol": protocol,
            "leak_protocol": leak_protocol,
            "models": list(estimators),
            "features": sorted({run["features"] for run in run_list}),
            "emotions": corpus.emotions,
            "scaling": "as published" if as_published else "training clips",
            "early_stopping": "as published" if as_published else "training speakers",
            "folds": {name: _fold_record(f, corpus) for name, f in made.items()},
            **describe,
        },
    )


def unfit(names: Iterable[str], features: Mapping[str, Features]) -> dict[str, str]:
    """Which of some known models cannot take the features, and why."""
    vector = features.get("vector")
    width = len(vector.columns) if vector is not None else 0
    needed = {name: models.get(name).fewest_columns for name in names}
    return {
        name: f"it needs at least {fewest} columns of features, and there are {width}"
        for name, fewest in needed.items()
        if 0 < width < fewest
    }


def suited(estimator: Any, data: Features) -> Any:
    """The estimator, told which columns belong to which feature if it leaves ``blocks`` open."""
    if estimator.get_params().get("blocks", ()) is None:
        return clone(estimator).set_params(blocks=list(data.widths))
    return estimator


def describe_corpus(corpus: Corpus) -> dict[str, Any]:
    """What a result keeps of its corpus: size, licence, citation and what was left out."""
    table = corpus.table
    return {
        "name": corpus.name,
        "n_clips": len(table),
        "n_speakers": int(table["speaker"].nunique()),
        "clips_per_emotion": {e: int((table["emotion"] == e).sum()) for e in corpus.emotions},
        "licence": corpus.licence,
        "citation": corpus.citation,
        "rejected": [{"file": bad.path, "reason": bad.reason} for bad in corpus.rejected],
    }


def fit_and_predict(unit: Unit) -> dict[str, Any]:
    """Fit one model on the training clips of one fold and predict its test clips.

    Returns
    -------
    dict
        JSON-serialisable: ``predicted`` (n_test,), ``classes``, ``probabilities``
        (n_test, n_classes), ``fit_seconds, predict_seconds, history, best_epoch``, and ``chosen``,
        what the model chose by itself on training speakers.
    """
    estimator = clone(unit.estimator)
    takes_groups = has_fit_parameter(estimator, "groups")
    extra = {"groups": unit.train_speakers} if takes_groups else {}
    start = time.perf_counter()
    estimator.fit(unit.train, unit.train_emotions, **extra)
    fitted = time.perf_counter()
    predicted = estimator.predict(unit.test)
    probabilities = estimator.predict_proba(unit.test)
    return {
        "predicted": [str(p) for p in predicted],
        "classes": [str(c) for c in estimator.classes_],
        "probabilities": np.asarray(probabilities, dtype=float).tolist(),
        "fit_seconds": fitted - start,
        "predict_seconds": time.perf_counter() - fitted,
        "history": getattr(estimator, "history_", None),
        "best_epoch": getattr(estimator, "best_epoch_", None),
        "chosen": getattr(estimator, "chosen_", None),
    }


def _estimators(
    chosen: Sequence[str] | Mapping[str, BaseEstimator | ModelInfo] | None,
    features: Mapping[str, Features],
    *,
    as_published: bool,
    quick: bool,
    seed: int,
) -> dict[str, tuple[Any, Features]]:
    """Each model by name, built and paired with the features it reads."""
    built: dict[str, tuple[Any, Features]] = {}
    known = chosen if isinstance(chosen, Mapping) else {}
    if chosen is None:
        too_wide = unfit(models.names(), features)
        fitting = (name for name in models.names() if name not in too_wide)
        chosen = [name for name in fitting if models.get(name).input in features]
    for name in chosen:
        info = known[name] if name in known else models.get(name)
        if not isinstance(info, ModelInfo):
            built[name] = (info, _need(features, "vector"))
            continue
        estimator = (info.as_published if as_published else info.build)(seed)
        parameters = estimator.get_params()
        if quick and "epochs" in parameters:
            estimator.set_params(epochs=max(1, round(parameters["epochs"] * QUICK_SHARE)))
        built[name] = (estimator, _need(features, info.input))
    return built


def _need(features: Mapping[str, Features], kind: str) -> Features:
    if kind not in features:
        ask = "logmel" if kind == "frames" else "mfcc"
        raise FeatureError(
            f"a model needs {kind} features and none were extracted; add a feature such as '{ask}'"
        )
    return features[kind]


def _parts(data: Features) -> list[Features]:
    """Each feature alone, then all but each.

    Nothing when there is only one, or when two have one name: a result could not tell them apart.
    """
    names = [spec["name"] for spec in data.specs]
    if len(names) < 2 or len(set(names)) < len(names):
        return []
    alone = [[name] for name in names]
    all_but = [[other for other in names if other != name] for name in names]
    return [data.select(chosen) for chosen in alone + (all_but if len(names) > 2 else [])]


def _adapted(data: Features, corpus: Corpus, protocol: str) -> Features:
    """The features as the protocol's suffix wants them, e.g. standardised on each speaker."""
    _, adaptation = protocols.split_name(protocol)
    if not adaptation:
        return data
    from ..models.adaptation import adapt

    return adapt(data, corpus.table, adaptation)


def _run(
    tasks: Sequence[Task],
    corpus: Corpus,
    describe: Mapping[str, Any],
    jobs: int | None,
    cluster: str | None,
    journal: Journal | None,
    on_unit: OnUnit | None,
) -> Iterator[tuple[Task, list[dict[str, Any]]]]:
    """Run every unit of every task; yields a task with its outcomes when its last unit is done."""
    places = [(t, f) for t, task in enumerate(tasks) for f in range(len(task.folds))]
    identities = [_identity(tasks[t], f, corpus, describe) for t, f in places]
    outcomes: list[list[dict[str, Any] | None]] = [[None] * len(task.folds) for task in tasks]
    pending = []
    for n, ((t, f), identity) in enumerate(zip(places, identities, strict=True)):
        outcomes[t][f] = journal.get(identity) if journal is not None else None
        if outcomes[t][f] is None:
            pending.append(n)
    complete = [t for t in range(len(tasks)) if all(o is not None for o in outcomes[t])]
    for t in complete:
        yield tasks[t], [o for o in outcomes[t] if o is not None]
    units = (_unit(tasks[places[n][0]], places[n][1], corpus) for n in pending)
    done = len(places) - len(pending)
    for position, outcome in compute.run(fit_and_predict, units, jobs=jobs, cluster=cluster):
        if isinstance(outcome, Exception):
            raise outcome
        n = pending[position]
        t, f = places[n]
        outcomes[t][f] = outcome
        if journal is not None:
            journal.put(identities[n], outcome)
        done += 1
        if on_unit is not None:
            on_unit(done, len(places))
        if all(o is not None for o in outcomes[t]):
            yield tasks[t], [o for o in outcomes[t] if o is not None]


def _unit(task: Task, fold: int, corpus: Corpus) -> Unit:
    train, test = task.folds[fold].train, task.folds[fold].test
    return Unit(
        estimator=task.estimator,
        train=task.data.rows(train).values,
        train_emotions=corpus.table["emotion"].to_numpy(dtype=str)[train],
        train_speakers=corpus.table["unique_speaker"].to_numpy(dtype=str)[train],
        test=task.data.rows(test).values,
    )


def _identity(task: Task, fold: int, corpus: Corpus, describe: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that decides the outcome of a unit."""
    f = task.folds[fold]
    return {
        "model": task.model,
        "estimator": spelled_out(task.estimator),
        "data": task.data.fingerprint(),
        "emotions": corpus.table["emotion"].iloc[f.train].tolist(),
        "speakers": corpus.table["unique_speaker"].iloc[f.train].tolist(),
        "protocol": task.protocol,
        "train": f.train.tolist(),
        "test": f.test.tolist(),
        **describe,
    }


def _rows(task: Task, corpus: Corpus, outcomes: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """The rows of one task, fold after fold."""
    tables = []
    about = [column for column in ABOUT_CLIP if column in corpus.table]
    speakers = corpus.table["unique_speaker"].to_numpy(dtype=str)
    for fold, outcome in zip(task.folds, outcomes, strict=True):
        clips = corpus.table.iloc[fold.test]
        rows = clips[["clip", "emotion"]].reset_index(drop=True)
        rows["speaker"] = speakers[fold.test]
        rows["predicted"] = outcome["predicted"]
        rows["fold"] = fold.name
        rows[list(KEYS)] = task.key
        rows = rows[list(ROW)]
        by_class = pd.DataFrame(outcome["probabilities"], columns=outcome["classes"])
        probabilities = by_class.reindex(columns=corpus.emotions, fill_value=0.0).add_prefix("p_")
        tables.append(pd.concat([rows, probabilities, clips[about].reset_index(drop=True)], axis=1))
    return pd.concat(tables, ignore_index=True)


def _summary(
    task: Task, rows: pd.DataFrame, outcomes: Sequence[dict[str, Any]], seed: int
) -> dict[str, Any]:
    return {
        **dict(zip(KEYS, task.key, strict=True)),
        **summarise(rows, seed=seed),
        "fit_seconds": sum(o["fit_seconds"] for o in outcomes),
        "predict_seconds": sum(o["predict_seconds"] for o in outcomes),
        "best_epochs": [o["best_epoch"] for o in outcomes],
        "chosen": [o.get("chosen") for o in outcomes],
        "history": [o["history"] for o in outcomes],
        "parameters": repr(task.estimator),
    }


def _fold_record(made: Sequence[protocols.Fold], corpus: Corpus) -> list[dict[str, Any]]:
    """Sizes and test speakers of each fold, so that a saved result can be audited."""
    speakers = corpus.table["unique_speaker"].to_numpy(dtype=str)
    return [
        {
            "fold": fold.name,
            "n_train": len(fold.train),
            "n_test": len(fold.test),
            "train_speakers": sorted(set(speakers[fold.train])),
            "test_speakers": sorted(set(speakers[fold.test])),
        }
        for fold in made
    ]
