"""Parameters chosen on speakers that the result is not measured on.

A search is itself a model: inside every fold of a protocol it tries parameters on training speakers
left out, keeps the best and learns from all training speakers.
"""

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

from .. import models, protocols
from ..corpus import Corpus
from ..errors import ModelError, check_known
from ..features.table import Features
from ..models import ModelInfo
from . import comparison, sentence
from .result import Result

N_INNER = 4  # parts that the training speakers are divided into


class SpeakerSearch(RandomizedSearchCV):  # type: ignore[misc]  # scikit-learn has no type hints
    """scikit-learn's random search, its folds and the estimator both told who speaks."""

    def fit(self, X: Any, y: ArrayLike, groups: ArrayLike | None = None) -> "SpeakerSearch":
        """Try, choose and learn; `groups` is the speaker of each clip."""
        if groups is not None:
            _check_speakers(groups)
        with config_context(enable_metadata_routing=True), warnings.catch_warnings():
            # An emotion that none of the speakers left out shows has no recall to average.
            warnings.filterwarnings("ignore", "y_pred contains classes not in y_true")
            if has_fit_parameter(self.estimator, "groups"):
                self.estimator.set_fit_request(groups=True)
            super().fit(X, y, groups=groups)
        self.chosen_ = dict(self.best_params_)
        kept = getattr(self, "best_estimator_", None)  # none without refit
        self.history_ = getattr(kept, "history_", None)
        self.best_epoch_ = getattr(kept, "best_epoch_", None)
        return self


@dataclasses.dataclass(frozen=True)
class Trial:
    """Parameters that were tried: mean and standard deviation of UAR over parts of the speakers."""

    parameters: Mapping[str, Any]
    uar: float
    uar_std: float


def _check_speakers(speakers: ArrayLike, where: str = "") -> None:
    if (n_speakers := len(np.unique(np.asarray(speakers)))) < N_INNER:
        raise ModelError(sentence("few_speakers", where=where, parts=N_INNER, n=n_speakers))


def search(info: ModelInfo, *, trials: int, seed: int) -> SpeakerSearch:
    """The search over a model's parameters, not yet fitted; ModelError when it has none to tune."""
    if not info.search:
        tunable = [name for name in models.names() if models.get(name).search]
        raise ModelError(f"'{info.name}' has nothing to tune; these have: {', '.join(tunable)}")
    space, folds = dict(info.search), StratifiedGroupKFold(N_INNER, shuffle=True, random_state=seed)
    n, scoring = min(trials, len(ParameterGrid(space))), "balanced_accuracy"
    return SpeakerSearch(
        info.build(seed), space, n_iter=n, scoring=scoring, cv=folds, random_state=seed
    )


def measure(
    corpus: Corpus, features: Mapping[str, Features], model: str, *, trials: int, seed: int,
    **options: Any,
) -> Result:  # fmt: skip
    """Run a model as it is and, under ``NAME-tuned``, with parameters chosen inside each fold."""
    info = models.get(model)
    tuned_search = search(info, trials=trials, seed=seed)
    speakers = corpus.table["unique_speaker"].to_numpy(dtype=str)
    for fold in protocols.folds(corpus.table, options.get("protocol", "speaker-6fold"), seed=seed):
        _check_speakers(speakers[fold.train], f"fold {fold.name}: ")
    tuned = dataclasses.replace(
        info, name=f"{model}-tuned", title=f"{info.title}, tuned", build=lambda seed: tuned_search
    )
    return comparison.compare(
        corpus, features, models={model: info, tuned.name: tuned}, leak_protocol=None, seed=seed,
        **options,
    )  # fmt: skip


def choose(
    corpus: Corpus, features: Mapping[str, Features], model: str, *, trials: int, seed: int
) -> list[Trial]:
    """Try parameters on all speakers, best first."""
    info = models.get(model)
    final = search(info, trials=trials, seed=seed).set_params(refit=False)
    told = (corpus.table[name].to_numpy(dtype=str) for name in ("emotion", "unique_speaker"))
    final.fit(features[info.input].values, *told)
    columns = (final.cv_results_[f] for f in ("params", "mean_test_score", "std_test_score"))
    tried = [Trial(dict(p), float(mean), float(std)) for p, mean, std in zip(*columns, strict=True)]
    return sorted(tried, key=lambda trial: -trial.uar)


def to_json(model: str, trials: Sequence[Trial], features: Sequence[str]) -> str:
    """What was chosen on all speakers, as a file for ``emoscope train --parameters``."""
    chosen = {"model": model, "features": list(features), "parameters": dict(trials[0].parameters)}
    return json.dumps({**chosen, "trials": [vars(trial) for trial in trials]}, indent=1) + "\n"


def load(path: str | os.PathLike[str], model: str) -> dict[str, Any]:
    """The parameters in a file that ``emoscope tune`` wrote; ModelError when it does not fit."""
    name_of_file = os.fspath(path)
    try:
        document = json.loads(Path(path).read_text("utf-8"))
        chosen, tuned = dict(document["parameters"]), document["model"]
    except OSError as error:
        raise ModelError(f"{name_of_file}: cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ModelError(f"{name_of_file}: no parameters as emoscope tune writes them") from error
    if tuned != model:
        raise ModelError(f"{name_of_file}: parameters of '{tuned}', not of '{model}'")
    space = models.get(model).search
    for name, value in chosen.items():
        check_known(f"parameter of '{model}' in {name_of_file}", space, name)
        tried = {json.dumps(one): one for one in space[name]}
        check_known(f"value of {name} in {name_of_file}", tried, written := json.dumps(value))
        chosen[name] = tried[written]
    return chosen
