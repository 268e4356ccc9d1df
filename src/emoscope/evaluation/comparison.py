"""Corpus × features × models × protocol → :class:`~emoscope.evaluation.result.Result`.

The units of :mod:`.engine` are put together in a fixed order, so the same seed gives the same rows
however many processes took part. Everything that is learned — scaling, early stopping, the network
itself — sees the training clips of its fold only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from sklearn.base import BaseEstimator, clone

from .. import models, protocols
from ..corpus import Corpus
from ..errors import FeatureError, UnknownNameError
from ..features.table import Features
from ..models import ModelInfo
from . import engine
from .engine import Checkpoint, OnUnit, Outcome, Unit
from .result import Result, Run, project, result_rows, summarise, with_leak_gaps

#: A quick run trains networks for this share of their epochs.
QUICK_SHARE = 0.1

OnRun = Callable[[Run], None]
Models = Sequence[str] | Mapping[str, BaseEstimator | ModelInfo] | None


@dataclass(frozen=True)
class Options:
    """What a comparison is told of its protocols and models."""

    protocol: str
    leak_protocol: str | None
    as_published: bool
    quick: bool
    seed: int


@dataclass(frozen=True, eq=False)
class Task:
    """One model under one protocol: what a line of the leaderboard stands for."""

    model: str
    estimator: Any
    features: str
    data: Features
    protocol: str
    folds: tuple[protocols.Fold, ...]


def compare(
    corpus: Corpus,
    features: Mapping[str, Features],
    *,
    models: Models = None,
    protocol: str = "speaker-6fold",
    leak_protocol: str | None = "random-75/25",
    ablation: Sequence[str] = (),
    as_published: bool = False,
    quick: bool = False,
    seed: int = 0,
    jobs: int | None = None,
    cluster: str | None = None,
    checkpoint: Checkpoint | None = None,
    on_run: OnRun | None = None,
    on_unit: OnUnit | None = None,
    project_clips: bool = False,
    command: str | None = None,
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
        estimator gets the vector features); by default every known model that can be run.
    protocol, leak_protocol : str
        Names of protocols; `leak_protocol` may be None.
    ablation : sequence of str
        Models that are also run on each feature alone and on all but each, under `protocol`.
    as_published, quick : bool
        The published form of each model; a tenth of the epochs for networks.
    seed : int
        Decides random folds, initial weights and resampling.
    jobs, cluster, checkpoint, on_unit
        As for :func:`emoscope.evaluation.engine.run`.
    on_run : callable, optional
        Called with each run as it is complete, but for those of the ablation.
    project_clips, command : bool, str
        Whether to project the clips onto a plane, for the report; the command line to record.

    Raises
    ------
    UnknownNameError, ProtocolError, FeatureError
        For a name that does not exist, a protocol that does not fit the corpus, or a model that
        cannot take the features.
    """
    options = Options(protocol, leak_protocol, as_published, quick, seed)
    tasks = _tasks(corpus, features, models, ablation, options)
    units = [unit for task in tasks for unit in _units(task, corpus, options)]
    finished = engine.run(units, checkpoint=checkpoint, jobs=jobs, cluster=cluster, on_unit=on_unit)
    result = _result(tasks, finished, corpus, options, on_run)
    result.map = project(features["vector"], seed=seed) if project_clips else None
    result.config |= {"command": command} if command is not None else {}
    return result


def _result(
    tasks: Sequence[Task],
    finished: Iterable[tuple[int, Outcome]],
    corpus: Corpus,
    options: Options,
    on_run: OnRun | None,
) -> Result:
    """Put the outcomes together in the order of the tasks."""
    main_features = {task.model: task.features for task in reversed(tasks)}
    tables: dict[Task, pd.DataFrame] = {}
    runs: dict[Task, Run] = {}
    for task, outcomes in _by_task(tasks, finished):
        tables[task] = _rows(task, corpus, outcomes)
        runs[task] = summarise(
            tables[task],
            seed=options.seed,
            fit_seconds=sum(o.fit_seconds for o in outcomes),
            predict_seconds=sum(o.predict_seconds for o in outcomes),
            best_epochs=[o.best_epoch for o in outcomes],
            chosen=[o.chosen for o in outcomes],
            history=[o.history for o in outcomes],
            parameters=repr(task.estimator),
        )
        if on_run is not None and task.features == main_features[task.model]:
            on_run(runs[task])
    scheme = "as published" if options.as_published else "training {}"
    folds = {task.protocol: task.folds for task in tasks}
    return Result(
        predictions=pd.concat([tables[task] for task in tasks], ignore_index=True),
        runs=with_leak_gaps([runs[task] for task in tasks]),
        corpus=describe_corpus(corpus),
        config={
            "protocol": options.protocol,
            "leak_protocol": options.leak_protocol,
            "models": list(dict.fromkeys(task.model for task in tasks)),
            "features": sorted({task.features for task in tasks}),
            "emotions": corpus.emotions,
            "scaling": scheme.format("clips"),
            "early_stopping": scheme.format("speakers"),
            "folds": {name: _fold_record(made, corpus) for name, made in folds.items()},
            "seed": options.seed,
            "as_published": options.as_published,
            "quick": options.quick,
        },
    )


def incompatible_models(names: Iterable[str], features: Mapping[str, Features]) -> dict[str, str]:
    """Which of some known models cannot take the features, and why."""
    vector = features.get("vector")
    width = len(vector.columns) if vector is not None else 0
    needed = {name: models.get(name).fewest_columns for name in names}
    return {
        name: f"it needs at least {fewest} columns of features, and there are {width}"
        for name, fewest in needed.items()
        if 0 < width < fewest
    }


def with_feature_blocks(estimator: Any, data: Features) -> Any:
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


def _tasks(
    corpus: Corpus,
    features: Mapping[str, Features],
    chosen: Models,
    ablation: Sequence[str],
    options: Options,
) -> list[Task]:
    """Every model under every protocol, then the ablation under the first."""
    estimators = _estimators(chosen, features, options)
    named = [name for name in (options.protocol, options.leak_protocol) if name is not None]
    folds = {name: tuple(protocols.folds(corpus.table, name, seed=options.seed)) for name in named}
    runs = [(model, *estimators[model], name) for model in estimators for name in folds]
    for model in dict.fromkeys(ablation):
        if model not in estimators:
            raise UnknownNameError("model to ablate", model, estimators)
        estimator, whole = estimators[model]
        runs += [(model, estimator, part, options.protocol) for part in _parts(whole)]
    return [
        Task(
            model, with_feature_blocks(estimator, data), data.label, _adapted(data, corpus, name),
            name, folds[name],
        )
        for model, estimator, data, name in runs
    ]  # fmt: skip


def _estimators(
    chosen: Models, features: Mapping[str, Features], options: Options
) -> dict[str, tuple[Any, Features]]:
    """Each model by name, built and paired with the features it reads."""
    known = chosen if isinstance(chosen, Mapping) else {}
    names = list(models.names() if chosen is None else chosen)
    incompatible = incompatible_models([name for name in names if name not in known], features)
    if chosen is None:
        names = [n for n in names if n not in incompatible and models.get(n).input in features]
    elif incompatible:
        name, reason = next(iter(incompatible.items()))
        raise FeatureError(f"{name}: {reason}; leave it out, or add features")
    built: dict[str, tuple[Any, Features]] = {}
    for name in names:
        info = known[name] if name in known else models.get(name)
        if not isinstance(info, ModelInfo):
            built[name] = (info, _need(features, "vector"))
            continue
        estimator = (info.as_published if options.as_published else info.build)(options.seed)
        epochs = estimator.get_params().get("epochs")
        if options.quick and epochs is not None:
            estimator.set_params(epochs=max(1, round(epochs * QUICK_SHARE)))
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
    """Each feature alone, then all but each; nothing when a result could not tell them apart."""
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


def _units(task: Task, corpus: Corpus, options: Options) -> list[Unit]:
    about = {"model": task.model, **vars(options), "protocol": task.protocol}
    del about["leak_protocol"]
    emotions = corpus.table["emotion"].to_numpy(dtype=str)
    speakers = corpus.table["unique_speaker"].to_numpy(dtype=str)
    return [Unit(task.estimator, task.data, emotions, f, speakers, about) for f in task.folds]


def _by_task(
    tasks: Sequence[Task], finished: Iterable[tuple[int, Outcome]]
) -> Iterator[tuple[Task, list[Outcome]]]:
    """Each task with its outcomes, fold after fold, as soon as the last is there."""
    task_of = [task for task in tasks for _ in task.folds]
    outcomes: dict[Task, dict[int, Outcome]] = {task: {} for task in tasks}
    for n, outcome in finished:
        task = task_of[n]
        outcomes[task][n] = outcome
        if len(outcomes[task]) == len(task.folds):
            yield task, [outcomes[task][position] for position in sorted(outcomes[task])]


def _rows(task: Task, corpus: Corpus, outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """The predictions of one task, fold after fold."""
    tables = []
    for fold, outcome in zip(task.folds, outcomes, strict=True):
        by_class = pd.DataFrame(outcome.probabilities, columns=outcome.classes)
        probabilities = by_class.reindex(columns=corpus.emotions, fill_value=0.0)
        clips = corpus.table.iloc[fold.test].assign(
            model=task.model, features=task.features, protocol=task.protocol, fold=fold.name,
            predicted=outcome.predicted,
        )  # fmt: skip
        tables.append(result_rows(clips, probabilities))
    return pd.concat(tables, ignore_index=True)


def _fold_record(folds: Sequence[protocols.Fold], corpus: Corpus) -> list[dict[str, Any]]:
    """Sizes and speakers of each fold, so that a saved result can be audited."""
    speakers = corpus.table["unique_speaker"].to_numpy(dtype=str)
    return [
        {
            "fold": fold.name,
            "n_train": len(fold.train),
            "n_test": len(fold.test),
            "train_speakers": sorted(set(speakers[fold.train])),
            "test_speakers": sorted(set(speakers[fold.test])),
        }
        for fold in folds
    ]
