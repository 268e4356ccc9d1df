"""Fitted classifiers as ONNX graphs; imports onnx, skl2onnx and PyTorch when needed.

A graph takes ``features`` (n_clips, n_columns) or ``frames`` (1, n_frames, n_bins) and gives
``logits`` (n_clips, n_emotions), whose softmax is ``predict_proba``.
"""

import contextlib
import copy
import dataclasses
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError, installed
from ..files import shipped_table
from .base import LogLevels

Array = NDArray[np.float32]

OPSET, IR_VERSION = 20, 10
SMALLEST_PROBABILITY = 1e-12
LARGEST = float(np.finfo(np.float32).max)  # a graph holds finite numbers only


@dataclasses.dataclass(frozen=True, eq=False)
class LinearForm:
    """``softmax(((X - mean) / scale) @ weights + bias)`` is a classifier's ``predict_proba``."""

    mean: Array  # (n_columns,)
    scale: Array
    weights: Array  # (n_columns, n_emotions)
    bias: Array  # (n_emotions,)


def linear_form(fitted: Any) -> LinearForm | None:
    """Of logistic regression and discriminant analysis, also after a ``StandardScaler``; else None."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    from .discriminants import ShrinkageLDA

    steps = [step for _, step in fitted.steps] if isinstance(fitted, Pipeline) else [fitted]
    *before, last = steps
    if not isinstance(last, (LogisticRegression, LinearDiscriminantAnalysis, ShrinkageLDA)):
        return None
    if len(before) > 1 or not all(isinstance(step, StandardScaler) for step in before):
        return None
    weights, bias = last.coef_.T, last.intercept_
    if weights.shape[1] == 1:
        # One column decides between two emotions; the other's logit is 0.
        weights = np.column_stack([np.zeros_like(weights), weights])
        bias = np.concatenate([np.zeros_like(bias), bias])
    mean, scale = np.zeros(len(weights)), np.ones(len(weights))
    for scaler in before:  # its attributes say what it found, its parameters what it applies
        mean = scaler.mean_ if scaler.with_mean else mean
        scale = scaler.scale_ if scaler.with_std else scale
    return LinearForm(*(np.asarray(a, dtype=np.float32) for a in (mean, scale, weights, bias)))


def need(package: str) -> Any:
    """A package of the extra ``onnx``, imported."""
    return installed(package, "saving a model", "onnx")


def to_onnx(fitted: Any) -> Any:
    """The graph of a fitted classifier, or of a step of a pipeline, as an ``onnx.ModelProto``."""
    from sklearn.pipeline import Pipeline

    if hasattr(fitted, "to_onnx"):
        return fitted.to_onnx()
    if isinstance(fitted, LogLevels):
        return log_levels(fitted.floor_)
    if isinstance(fitted, Pipeline):
        *before, last = [step for _, step in fitted.steps]
        model = to_onnx(last)
        for step in reversed(before):
            model = chain(to_onnx(step), model)
        return model
    return from_sklearn(fitted)


def extend(graph: Any, part: str, of: str = "", **constants: Any) -> None:
    """Add a part of ``data/graphs.toml``, or nodes as text, to a graph, and its constants."""
    onnx, nodes = need("onnx"), shipped_table("graphs.toml").get(part, part).format(of=of)
    for name, value in constants.items():
        graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value), name))
    graph.node.extend(onnx.parser.parse_node(line) for line in nodes.strip().splitlines())


def value(name: str, width: int) -> Any:
    """What a graph takes or gives: a float32 matrix of that name, a row for each clip."""
    onnx = need("onnx")
    return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n_clips", width])


def graph_model(part: str, output: str, shape: Sequence[int], **constants: Any) -> Any:
    """A model that computes `output` from ``features``; `shape` is the columns of the two."""
    make = need("onnx").helper
    graph = make.make_graph([], "model", [value("features", shape[0])], [value(output, shape[1])])
    extend(graph, part, **constants)
    return make.make_model(
        graph, opset_imports=[make.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )


def linear(
    weights: NDArray[Any], bias: NDArray[Any], *, mean: NDArray[Any] | float = 0.0,
    scale: NDArray[Any] | float = 1.0, limit: float = LARGEST,
) -> Any:  # fmt: skip
    """``clip((features - mean) / scale, -limit, limit) @ weights + bias`` as a model."""
    values = {"mean": mean, "scale": scale, "weights": weights, "bias": bias}
    values |= {"lowest": -limit, "highest": limit}
    arrays = {name: np.asarray(value, np.float32) for name, value in values.items()}
    return graph_model("linear", "logits", weights.shape, **arrays)


def log_levels(floor: Array) -> Any:
    """:func:`emoscope.models.base.log_levels` as a model."""
    logarithmic = ~np.isnan(floor)
    added = np.where(logarithmic, floor, 1).astype(np.float32)
    arrays = {"zero": np.float32(0), "floor": added, "logarithmic": logarithmic}
    return graph_model("log_levels", "levels", (len(floor), len(floor)), **arrays)


def chain(first: Any, second: Any) -> Any:
    """The model that applies `second` to what `first` gives."""
    compose = need("onnx.compose")
    second = compose.add_prefix(second, "then_", rename_outputs=False)
    return compose.merge_models(first, second, [(first.graph.output[0].name, "then_features")])


def from_sklearn(fitted: Any, *, known_as: type | None = None, scores: bool = False) -> Any:
    """A model of scikit-learn, by the converter of `known_as`; its `scores` go through a softmax."""
    onnx, skl2onnx = need("onnx"), need("skl2onnx")
    plain = fitted
    if known_as is not None:
        plain = known_as()
        vars(plain).update(copy.copy(vars(fitted)))
    try:
        kind = skl2onnx.common.data_types.FloatTensorType([None, fitted.n_features_in_])
        options = {"zipmap": False} if hasattr(fitted, "classes_") else None
        with quiet():
            model = skl2onnx.convert_sklearn(
                plain, initial_types=[("features", kind)], options=options, target_opset=OPSET
            )
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"{type(fitted).__name__} has no ONNX form: {reason}") from error
    model.ir_version = IR_VERSION
    # It names some twice, and the least that it needs.
    versions = {opset.domain: opset.version for opset in model.opset_import} | {"": OPSET}
    del model.opset_import[:]
    model.opset_import.extend(onnx.helper.make_opsetid(*opset) for opset in versions.items())
    if not hasattr(fitted, "classes_"):
        return model
    graph, given = model.graph, model.graph.output[1].name
    del graph.output[:]
    if scores:
        two = len(fitted.classes_) == 2
        extend(graph, "logits_of_two_scores" if two else "logits_of_scores", given)
    else:
        smallest = np.float32(SMALLEST_PROBABILITY)
        extend(graph, "logits_of_probabilities", given, smallest=smallest)
    graph.output.append(value("logits", len(fitted.classes_)))
    # What only led to the label is left out.
    model = need("onnx.utils").Extractor(model).extract_model(["features"], ["logits"])
    del model.graph.value_info[:]
    return model


def from_torch(
    module: Any, example: Any, name: str, dynamic: dict[int, Any], *, output: str = "logits"
) -> Any:
    """A ``torch.nn.Module`` of one input, of that name; `dynamic` has a ``Dim`` by axis of it."""
    torch, onnx = need("torch"), need("onnx")
    need("onnxscript")
    with tempfile.TemporaryDirectory() as folder, quiet():
        path = Path(folder) / "model.onnx"
        program = torch.onnx.export(
            module.eval(), (example,), None, dynamo=True, opset_version=OPSET, verbose=False,
            input_names=[name], output_names=[output], dynamic_shapes=(dynamic,),
        )  # fmt: skip
        program.save(path, external_data=False)
        return onnx.load(path)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the exporters' progress and deprecation notes from the user."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with (
        warnings.catch_warnings(), open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
    ):  # fmt: skip
        warnings.simplefilter("ignore")
        yield


def serialised(model: Any) -> bytes:
    """Without the exporter's notes: stack traces with the paths of this machine, shapes, names."""
    model.doc_string, model.producer_name, model.producer_version = "", "emoscope", ""
    del model.metadata_props[:]
    graph = model.graph
    graph.name, graph.doc_string = "model", ""
    del graph.value_info[:], graph.metadata_props[:]
    for node in graph.node:
        node.doc_string = node.name = ""
        del node.metadata_props[:]
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.doc_string = ""
        del value.metadata_props[:]
    return bytes(model.SerializeToString())
