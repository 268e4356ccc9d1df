"""Corpus × features × models × protocol → :class:`~emoscope.evaluation.result.Result`.

The same seed gives the same rows however many processes took part. Everything that is learned —
scaling, early stopping, the network itself — sees the training clips of its fold only.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import pandas as pd
from sklearn.base import BaseEstimator, clone

from .. import models, protocols
from ..corpus import Corpus, ratings, speakers
from ..errors import FeatureError, ProtocolError, check_known
from ..features.table import Features
from ..models import ModelInfo
from ..models.base import adapt, weight_parameter
from ..models.network import NetworkClassifier
from . import engine, sentence
from .engine import Checkpoint, OnUnit, Outcome, Unit
from .result import Result, Run, result_rows, summarise, with_gaps

# How many fits of a linear model one fit takes as long as: of a network, by what it reads, or another.
NETWORK_COST = {"vector": 40, "frames": 160}
COST = {"mlp": 8, "forest": 20}
QUICK_SHARE = 0.1  # of their epochs, for which a quick run trains networks

OnRun = Callable[[Run], None]
Models = Sequence[str] | Mapping[str, BaseEstimator | ModelInfo] | None


@dataclass(frozen=True, eq=False)
class _Task:
    model: str
    features: str
    protocol: str
    units: tuple[Unit, ...]


def compare(
    corpus: Corpus, features: Mapping[str, Features], *, models: Models = None,
    protocol: str = "speaker-6fold", leak_protocol: str | None = "random-75/25",
    ablation: Sequence[str] = (), script_gap: Sequence[str] = (), as_published: bool = False,
    quick: bool = False, raters: str = "majority", seed: int = 0, jobs: int | None = None,
    cluster: str | None = None, checkpoint: Checkpoint | None = None, on_run: OnRun | None = None,
    on_unit: OnUnit | None = None, command: str | None = None,
) -> Result:  # fmt: skip
    """Fit and test every model under a protocol, and again on random folds for the leak gap.

    UnknownNameError, ProtocolError or FeatureError where the arguments do not fit together.
    ``config["no_leak_gap"]`` names the emotion that random test clips lack, where there is no leak gap.

    Parameters
    ----------
    features
        In the order of the clips ``"vector"``, and ``"frames"`` for models that read spectrograms.
    models
        Names of known models, by default of all that can be run; or models of your own under names
        of your own (a bare scikit-learn estimator gets the vector features).
    ablation, script_gap
        Models that are also run on each feature alone and on all but each; and under ``speaker+text``
        and its control (``config["no_script_gap"]`` says why not where the corpus does not allow it),
        and on speech and song alone where the corpus has both.
    as_published, quick, raters
        The published form of each model; a tenth of the epochs for networks; "soft" to train models
        that take weights on the shares of a clip's ratings.
    command
        The command line to record.
    """
    options = {"seed": seed, "as_published": as_published, "quick": quick, "raters": raters}
    estimators = _estimators(models, features, options)
    named, told = (protocol, leak_protocol), dict[str, str]()
    tasks = _tasks(corpus, estimators, named, ablation, script_gap, options, told)
    units = [unit for task in tasks for unit in task.units]
    finished = engine.run(units, checkpoint=checkpoint, jobs=jobs, cluster=cluster, on_unit=on_unit)
    result = _result(tasks, finished, corpus, seed, as_published, on_run)
    asked = {"protocol": protocol, "leak_protocol": leak_protocol}
    result.config = {**asked, **result.config, **options, **told}
    result.config |= {"command": command} if command is not None else {}
    return result


def _result(
    tasks: Sequence[_Task], finished: Iterable[tuple[int, Outcome]], corpus: Corpus, seed: int,
    as_published: bool, on_run: OnRun | None,
) -> Result:  # fmt: skip
    main_features = {task.model: task.features for task in reversed(tasks)}
    tables: dict[_Task, pd.DataFrame] = {}
    runs: dict[_Task, Run] = {}
    task_of = [task for task in tasks for _ in task.units]
    by_fold: dict[_Task, dict[int, Outcome]] = {task: {} for task in tasks}
    for n, outcome in finished:
        task = task_of[n]
        by_fold[task][n] = outcome
        if len(by_fold[task]) < len(task.units):
            continue
        outcomes = [by_fold[task][position] for position in sorted(by_fold[task])]
        tables[task] = _rows(task, corpus, outcomes)
        runs[task] = summarise(
            tables[task],
            seed=seed,
            fit_seconds=sum(o.fit_seconds for o in outcomes),
            predict_seconds=sum(o.predict_seconds for o in outcomes),
            best_epochs=[o.best_epoch for o in outcomes],
            chosen=[o.chosen for o in outcomes],
            history=[o.history for o in outcomes],
            parameters=repr(task.units[0].estimator),
        )
        if on_run is not None and task.features == main_features[task.model]:
            on_run(runs[task])
    scheme = "as published" if as_published else "training {}"
    folds = {task.protocol: [unit.fold for unit in task.units] for task in tasks}
    rows = [tables[task] for task in tasks]
    config = {
        "models": list(dict.fromkeys(task.model for task in tasks)),
        "features": sorted({task.features for task in tasks}),
        "emotions": corpus.emotions,
        "scaling": scheme.format("clips"),
        "early_stopping": scheme.format("speakers"),
        "folds": {name: _fold_record(name, made, corpus) for name, made in folds.items()},
    }
    measured = with_gaps([runs[task] for task in tasks], rows, seed=seed)
    return Result(pd.concat(rows, ignore_index=True), measured, describe_corpus(corpus), config)


def incompatible_models(
    infos: Mapping[str, ModelInfo], features: Mapping[str, Features], raters: str = "majority"
) -> dict[str, str]:
    """Which of some known models cannot take the features or ratings, and why."""
    vector, reasons = features.get("vector"), dict[str, str]()
    width = len(vector.columns) if vector is not None else 0
    for name, info in infos.items():
        if info.input == "vector" and 0 < width < (fewest := info.fewest_columns):
            reasons[name] = f"it needs at least {fewest} columns of features, and there are {width}"
        elif info.input not in features:
            wanted = "spectrograms (logmel)" if info.input == "frames" else "values (mfcc, …)"
            reasons[name] = f"it needs {wanted}, and there are none"
        elif raters == "soft" and weight_parameter(info.build(0)) is None:
            reasons[name] = "it takes no weights of clips, so no shares of ratings"
        elif info.needs and find_spec(info.needs) is None:
            reasons[name] = f"it needs {info.needs}: pip install 'emoscope[deep]'"
    return reasons


def with_feature_blocks(estimator: Any, data: Features) -> Any:
    """The estimator, told which columns belong to which feature if it leaves ``blocks`` open."""
    if estimator.get_params().get("blocks", ()) is None:
        return clone(estimator).set_params(blocks=list(data.widths))
    return estimator


def describe_corpus(corpus: Corpus) -> dict[str, Any]:
    """What a result keeps of its corpus: size, speakers, licence, citation, what was left out."""
    table = corpus.table
    return {
        "name": corpus.name,
        "n_clips": len(table),
        "n_speakers": len(corpus.speakers),
        "speakers": speakers.record(corpus),
        "clips_per_emotion": {e: int((table["emotion"] == e).sum()) for e in corpus.emotions},
        "licence": corpus.licence,
        "citation": corpus.citation,
        "voices": corpus.voices,
        "notes": list(corpus.notes),
        **({"raters": [vars(a) for a in corpus.agreements]} if corpus.agreements else {}),
        "rejected": [{"file": bad.path, "reason": bad.reason} for bad in corpus.rejected],
    }


def _tasks(
    corpus: Corpus, estimators: Mapping[str, tuple[Any, Features]], named: Sequence[str | None],
    ablation: Sequence[str], script_gap: Sequence[str], options: Mapping[str, Any],
    told: dict[str, str],
) -> list[_Task]:  # fmt: skip
    """Every model under every protocol, also of ablations and script gaps; `told` gets why not."""
    table, seed = corpus.table, options["seed"]
    emotions, speakers = (table[c].to_numpy(dtype=str) for c in ("emotion", "unique_speaker"))
    folds = {name: protocols.folds(table, name, seed=seed) for name in named if name is not None}
    scripts: dict[str, list[protocols.Fold]] = {}
    main, *leaky = folds
    tested = {name: {e for f in folds[name] for e in emotions[f.test]} for name in folds}
    for name in leaky:
        if lacking := sorted(tested[main] - tested[name]):
            told["no_leak_gap"] = f"no test clip of {name} is {' or '.join(lacking)}"
            del folds[name]
    if script_gap:
        try:
            scripts = protocols.script_gap_folds(table, seed=seed)
        except ProtocolError as error:
            told["no_script_gap"] = str(error)
        scripts |= protocols.channel_folds(folds[main], table, main)
    runs = [(model, *estimators[model], name) for model in estimators for name in folds]
    check_known("model to run again", estimators, *ablation, *script_gap)
    for model in dict.fromkeys(ablation):
        estimator, whole = estimators[model]
        runs += [(model, estimator, part, main) for part in _parts(whole)]
    runs += [(m, *estimators[m], name) for m in script_gap for name in scripts if name not in folds]
    shares = ratings.shares(corpus.table, options["raters"])
    tasks = []
    for model, estimator, data, name in runs:
        with_blocks = with_feature_blocks(estimator, data)
        adaptation = protocols.adaptation_of(name)
        adapted = adapt(data, corpus.table, adaptation) if adaptation else data
        about = {"model": model, "protocol": name, **options}
        is_long = isinstance(estimator, NetworkClassifier)
        kind = "vector" if data.frames is None else "frames"
        cost = NETWORK_COST[kind] if is_long else COST.get(model, 1)
        work: dict[str, Any] = {"shares": shares, "is_long": is_long, "cost": cost}
        parts = (scripts | folds)[name]
        units = (Unit(with_blocks, adapted, emotions, f, speakers, about, **work) for f in parts)
        tasks.append(_Task(model, data.label, name, tuple(units)))
    return tasks


def _estimators(
    chosen: Models, features: Mapping[str, Features], options: Mapping[str, Any]
) -> dict[str, tuple[Any, Features]]:
    names = models.names() if chosen is None else chosen
    known = chosen if isinstance(chosen, Mapping) else {n: models.get(n) for n in names}
    infos = {name: model for name, model in known.items() if isinstance(model, ModelInfo)}
    incompatible = incompatible_models(infos, features, options["raters"])
    if chosen is None:
        known = {name: info for name, info in infos.items() if name not in incompatible}
    elif incompatible:
        name, reason = next(iter(incompatible.items()))
        raise FeatureError(f"{name}: {reason}; leave it out")
    built: dict[str, tuple[Any, Features]] = {}
    for name, estimator in known.items():
        kind = "vector"
        if isinstance(estimator, ModelInfo):
            kind = estimator.input
            build = estimator.as_published if options["as_published"] else estimator.build
            estimator = build(options["seed"])
            epochs = estimator.get_params().get("epochs")
            if options["quick"] and epochs is not None:
                estimator.set_params(epochs=max(1, round(epochs * QUICK_SHARE)))
        elif options["raters"] == "soft" and weight_parameter(estimator) is None:
            raise FeatureError(f"{name}: takes no weights of clips (sample_weight); leave it out")
        elif kind not in features:
            raise FeatureError(sentence("no_vector"))
        built[name] = (estimator, features[kind])
    return built


def _parts(data: Features) -> list[Features]:
    """Each feature alone, then all but each; nothing when a result could not tell them apart."""
    names = [spec["name"] for spec in data.specs]
    if len(names) < 2 or len(set(names)) < len(names):
        return []
    alone = [[name] for name in names]
    all_but = [[other for other in names if other != name] for name in names]
    return [data.select(chosen) for chosen in alone + (all_but if len(names) > 2 else [])]


def _rows(task: _Task, corpus: Corpus, outcomes: Sequence[Outcome]) -> pd.DataFrame:
    tables = []
    for unit, outcome in zip(task.units, outcomes, strict=True):
        by_class = pd.DataFrame(outcome.probabilities, columns=outcome.classes)
        probabilities = by_class.reindex(columns=corpus.emotions, fill_value=0.0)
        clips = corpus.table.iloc[unit.fold.test].assign(
            model=task.model, features=task.features, protocol=task.protocol, fold=unit.fold.name,
            predicted=outcome.predicted,
        )  # fmt: skip
        tables.append(result_rows(clips, probabilities))
    return pd.concat(tables, ignore_index=True)


def _fold_record(
    protocol: str, folds: Sequence[protocols.Fold], corpus: Corpus
) -> list[dict[str, Any]]:
    """Sizes, speakers and held-out sentences of each fold, so that a saved result can be audited."""
    speakers = corpus.table["unique_speaker"].to_numpy(dtype=str)
    holds_out = protocols.base_of(protocol) == protocols.SPEAKER_TEXT
    spoken = protocols.sentences(corpus.table) if holds_out else None
    records: list[dict[str, Any]] = []
    for fold in folds:
        sizes = {"fold": fold.name, "n_train": len(fold.train), "n_test": len(fold.test)}
        sides = {"train_speakers": fold.train, "test_speakers": fold.test}
        heard = {name: sorted(set(speakers[rows])) for name, rows in sides.items()}
        said = {} if spoken is None else {"train_sentences": sorted(set(spoken[fold.train]))}
        records.append({**sizes, **heard, **said})
    return records
