"""The models, as ``described.toml`` beside this file has them."""

import dataclasses
import functools
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from ..files import shipped_table
from . import ModelInfo
from .base import LogLevels
from .network import Conv, Dense, Dropout, Layer, Pool

STEPS = {"levels": LogLevels, "scale": StandardScaler}
LAYERS: Mapping[str, Callable[..., Layer]] = {
    "conv": Conv, "pool": Pool, "dropout": Dropout, "dense": Dense,
}  # fmt: skip
SEEDS = ("seed", "random_state")  # what classes call the parameter


def _info(
    name: str, title: str, build: Mapping[str, Any], published: Mapping[str, Any] | None = None,
    search: Mapping[str, Sequence[Any]] = {}, layers: Sequence[Any] = (), **more: Any,
) -> ModelInfo:  # fmt: skip
    tried = {parameter: list(map(_value, values)) for parameter, values in search.items()}
    shared: dict[str, Any] = {"step": name.partition("-")[0]}  # of a pipeline
    if layers:
        shared["layers"] = tuple(LAYERS[kind](*map(_value, values)) for kind, *values in layers)
    form, as_published = (
        functools.partial(_built, {**shared, **told}) for told in (build, published or build)
    )
    told = {"input": "vector", **more}
    return ModelInfo(name, title, build=form, as_published=as_published, search=tried, **told)


def _built(form: Mapping[str, Any], seed: int) -> Any:
    told = {name: _value(value) for name, value in form.items()}
    step, before, kind = told.pop("step"), told.pop("before", ()), told.pop("model")
    estimator = pkgutil.resolve_name(kind)(**told)
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
