"""Parameters chosen on speakers that the result is not judged on.

A search is itself a model: inside every fold of a protocol it tries parameters on training speakers
left out, keeps the best and learns from all training speakers. Its score on the test speakers is
therefore what tuning is worth on voices that nobody has heard, and stands beside the same model
untuned. What each fold chose is recorded; folds that disagree say that the choice hardly matters.
"""

from __future__ import annotations

import dataclasses
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn import config_context
from sklearn.model_selection import ParameterGrid, RandomizedSearchCV, StratifiedGroupKFold
from sklearn.utils.validation import has_fit_parameter

from .. import models
from ..corpus import Corpus
from ..errors import ModelError
from ..features.table import Features
from ..models import ModelInfo
from . import comparison
from .checkpoint import Journal
from .comparison import OnRun, OnUnit
from .result import Result

#: Parts that the training speakers are divided into.
N_INNER = 4


class SpeakerSearch(RandomizedSearchCV):  # type: ignore[misc]  # scikit-learn has no type hints
    """scikit-learn's random search, its folds and the estimator both told who speaks.

    Attributes
    ----------
    chosen_ : dict
        The best parameters.
    """

    def fit(self, X: Any, y: ArrayLike, groups: ArrayLike | None = None) -> SpeakerSearch:
        """Try, choose and learn; `groups` is the speaker of each clip.

        Raises
        ------
        ModelError
            When there are fewer speakers than parts of them to leave out.
        """
        known = len(np.unique(np.asarray(groups))) if groups is not None else 0
        if groups is not None and known < N_INNER:
            raise ModelError(
                f"tuning leaves out {N_INNER} parts of the training speakers; there are {known}"
            )
        with config_context(enable_metadata_routing=True), warnings.catch_warnings():
            # An emotion that none of the speakers left out shows has no recall to average.
            warnings.filterwarnings("ignore", "y_pred contains classes not in y_true")
            if has_fit_parameter(self.estimator, "groups"):
                self.estimator.set_fit_request(groups=True)
            super().fit(X, y, groups=groups)
        self.chosen_ = dict(self.best_params_)
        return self

    @property
    def history_(self) -> Any:
        """Learning curve of the network that was kept, where it is one."""
        return getattr(self.best_estimator_, "history_", None)

    @property
    def best_epoch_(self) -> Any:
        """Epochs it was trained for."""
        return getattr(self.best_estimator_, "best_epoch_", None)


@dataclasses.dataclass(frozen=True)
class Tuning:
    """The outcome of :func:`tune`.

    Attributes
    ----------
    result : Result
        The model as it is and, under ``NAME-tuned``, with parameters chosen inside each fold; the
        run of the latter has ``chosen``, a dict per fold.
    model : str
    trials : list of dict
        Everything tried on all speakers: ``parameters``, ``uar`` and its standard deviation over
        parts ``uar_std``; best first.
    """

    result: Result
    model: str
    trials: list[dict[str, Any]]

    @property
    def parameters(self) -> dict[str, Any]:
        """The best on all speakers: what to train with for use on other voices."""
        chosen: dict[str, Any] = self.trials[0]["parameters"]
        return chosen


def search(info: ModelInfo, *, trials: int, seed: int) -> SpeakerSearch:
    """The search over a model's parameters, not yet fitted.

    Parameters
    ----------
    info : ModelInfo
    trials : int
        Most sets of parameters to try; where there are no more, all are.
    seed : int
        Draws them, and the parts of the speakers.

    Raises
    ------
    ModelError
        When the model has nothing to tune.
    """
    if not info.search:
        tunable = [name for name in models.names() if models.get(name).search]
        raise ModelError(f"'{info.name}' has nothing to tune; these have: {', '.join(tunable)}")
    return SpeakerSearch(
        info.build(seed),
        dict(info.search),
        n_iter=min(trials, len(ParameterGrid(dict(info.search)))),
        scoring="balanced_accuracy",
        cv=StratifiedGroupKFold(N_INNER, shuffle=True, random_state=seed),
        random_state=seed,
    )


def tune(
    corpus: Corpus,
    features: Mapping[str, Features],
    model: str,
    *,
    protocol: str = "speaker-6fold",
    trials: int = 20,
    seed: int = 0,
    jobs: int | None = None,
    cluster: str | None = None,
    journal: Journal | None = None,
    on_run: OnRun | None = None,
    on_unit: OnUnit | None = None,
) -> Tuning:
    """Measure what tuning a model is worth, then choose parameters on all speakers.

    :func:`measure` and :func:`choose`, one after the other.

    Parameters
    ----------
    corpus, features, protocol, seed, jobs, cluster, journal, on_run, on_unit
        As for :func:`emoscope.evaluation.comparison.compare`.
    model : str
        Public name.
    trials : int
        See :func:`search`.

    Returns
    -------
    Tuning

    Raises
    ------
    ModelError
        When the model has nothing to tune, or there are fewer speakers than parts.
    """
    result = measure(
        corpus, features, model, protocol=protocol, trials=trials, seed=seed, jobs=jobs,
        cluster=cluster, journal=journal, on_run=on_run, on_unit=on_unit,
    )  # fmt: skip
    return Tuning(result, model, choose(corpus, features, model, trials=trials, seed=seed))


def measure(
    corpus: Corpus,
    features: Mapping[str, Features],
    model: str,
    *,
    trials: int,
    seed: int,
    **options: Any,
) -> Result:
    """The model as it is, and tuned inside each fold; parameters as for :func:`tune`."""
    info = models.get(model)
    wanted = search(info, trials=trials, seed=seed)
    tuned = dataclasses.replace(
        info, name=f"{model}-tuned", title=f"{info.title}, tuned", build=lambda seed: wanted
    )
    return comparison.compare(
        corpus, features, models={model: info, tuned.name: tuned}, leak_protocol=None, seed=seed,
        **options,
    )  # fmt: skip


def choose(
    corpus: Corpus, features: Mapping[str, Features], model: str, *, trials: int, seed: int
) -> list[dict[str, Any]]:
    """Try parameters on all speakers; see :attr:`Tuning.trials` for what is given."""
    info = models.get(model)
    final = search(info, trials=trials, seed=seed).set_params(refit=False)
    emotions = corpus.table["emotion"].to_numpy(dtype=str)
    speakers = corpus.table["unique_speaker"].to_numpy(dtype=str)
    final.fit(features[info.input].values, emotions, speakers)
    table = final.cv_results_
    columns = (table["params"], table["mean_test_score"], table["std_test_score"])
    found: list[dict[str, Any]] = [
        {"parameters": dict(parameters), "uar": float(mean), "uar_std": float(spread)}
        for parameters, mean, spread in zip(*columns, strict=True)
    ]
    return sorted(found, key=lambda trial: -trial["uar"])


def text(tuning: Tuning, features: Sequence[str]) -> str:
    """What was chosen on all speakers, as a file for ``emoscope train --parameters``."""
    document = {
        "model": tuning.model,
        "features": list(features),
        "parameters": tuning.parameters,
        "trials": tuning.trials,
    }
    return json.dumps(document, indent=1) + "\n"


def load(path: str | os.PathLike[str], model: str) -> dict[str, Any]:
    """The parameters in a file that :func:`save` wrote.

    Raises
    ------
    ModelError
        When it cannot be read, is of another model, names parameters that are not tuned or gives one
        a value that no search tries.
    """
    try:
        document = json.loads(Path(path).read_text("utf-8"))
        chosen, tuned = dict(document["parameters"]), document["model"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise ModelError(
            f"{os.fspath(path)}: no parameters as emoscope tune writes them"
        ) from error
    if tuned != model:
        raise ModelError(f"{os.fspath(path)}: parameters of '{tuned}', not of '{model}'")
    search_space = models.get(model).search
    if unknown := sorted(set(chosen) - set(search_space)):
        raise ModelError(
            f"{os.fspath(path)}: '{model}' has no parameter {', '.join(unknown)} to tune; "
            f"valid: {', '.join(search_space)}"
        )
    # JSON has no tuples; a choice that was one must be one again.
    chosen = {k: tuple(v) if isinstance(v, list) else v for k, v in chosen.items()}
    for name, value in chosen.items():
        tried = [
            one for one in search_space[name] if isinstance(one, bool) == isinstance(value, bool)
        ]
        if value not in tried:
            raise ModelError(
                f"{os.fspath(path)}: {name} is {json.dumps(value)}, which no search tries; "
                f"it tries {json.dumps(list(search_space[name]))[1:-1]}"
            )
    return chosen
