"""The models that parameters describe: ``described.toml`` beside this file."""

import dataclasses
import functools
import pkgutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from ..files import shipped_table
from . import ModelInfo
from .base import LogLevels

STEPS = {"levels": LogLevels, "scale": StandardScaler}
SEEDS = ("seed", "random_state")  # what classes call the parameter


def _info(
    name: str, title: str, build: Mapping[str, Any], published: Mapping[str, Any] | None = None,
    search: Mapping[str, Sequence[Any]] = {},
) -> ModelInfo:  # fmt: skip
    step = name.partition("-")[0]  # of a pipeline
    tried = {parameter: list(map(_value, values)) for parameter, values in search.items()}
    form, as_published = (
        functools.partial(_built, step, told) for told in (build, published or build)
    )
    return ModelInfo(name, title, "vector", form, as_published, search=tried)


def _built(step: str, form: Mapping[str, Any], seed: int) -> Any:
    told = {name: _value(value) for name, value in form.items()}
    before, estimator = told.pop("before", ()), pkgutil.resolve_name(told.pop("model"))(**told)
    estimator.set_params(**{name: seed for name in SEEDS if name in estimator.get_params()})
    steps = [(name, STEPS[name]()) for name in before]
    return Pipeline([*steps, (step, estimator)]) if steps else estimator


def _value(told: Any) -> Any:
    if isinstance(told, list):
        return tuple(told)
    return None if told == "none" else told


_TABLE = shipped_table(str(Path(__file__).with_suffix(".toml")))
MEMBERS = {name: _info(name, **told) for name, told in _TABLE.items()}
# No member: only the bundled RAVDESS speech has embeddings (`dataset.bundled.embeddings`).
ON_EMBEDDINGS = dataclasses.replace(
    MEMBERS["lda"], name="encoder-lda", input="embedding", search={},
    title="linear discriminant analysis on the shipped encoder",
)  # fmt: skip
