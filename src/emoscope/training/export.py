"""Fitted models as ONNX graphs of the form that :mod:`emoscope.modelfile` describes.

A fitted scikit-learn estimator or one of our networks goes through :func:`from_estimator`, a network
that hears samples through :func:`emoscope.training.network_export.from_waveform` and
:func:`attach_head`.

Linear models are two operators. Other estimators are converted by skl2onnx, which knows them all; a
hand-written converter would have to follow scikit-learn's private attributes for ever.

Needs the extra ``deep`` (``onnx``, ``skl2onnx``; for networks also PyTorch and ``onnxscript``).
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from . import network_export
from .linear import LinearForm, linear_form
from .onnx_tools import OPSET, need, quiet, stripped

Array = NDArray[np.float32]

SMALLEST_PROBABILITY = 1e-12


def attach_head(content: bytes, head: LinearForm) -> bytes:
    """Add standardisation and a linear classifier to a graph that gives ``raw_embedding``.

    Returns
    -------
    bytes
        Outputs ``logits`` (1, n_emotions) and ``embedding`` (1, width), standardised.
    """
    onnx = need("onnx")
    model = onnx.load_from_string(content)
    del model.graph.output[:]
    _add_outputs(model.graph, "raw_embedding", len(head.bias), head.mean, head.scale)
    _add_gemm(model.graph, head.weights, head.bias)
    return stripped(model.SerializeToString())


def from_estimator(estimator: Any, *, mean: Array, scale: Array) -> bytes:
    """A fitted classifier as an ONNX graph.

    Parameters
    ----------
    estimator : fitted classifier
        Any of emoscope's models in its sound form, or a pipeline that skl2onnx converts.
    mean, scale : ndarray of float32, shape (embedding_width,)
        The graph's embedding is the standardised features; of frames, their mean and standard
        deviation over time.

    Returns
    -------
    bytes
        Input ``features`` (n_clips, n_columns) or ``frames`` (1, n_frames, n_bins), outputs
        ``logits`` in the order of ``classes_`` and ``embedding``; ``softmax(logits)`` is
        ``predict_proba``.

    Raises
    ------
    ModelError
        When the estimator has no ONNX form.
    """
    from sklearn.dummy import DummyClassifier

    from ..models.cnn1d import ColumnNetwork
    from ..models.cnn2d import FrameNetwork
    from ..models.stack import StackedLDA

    if isinstance(estimator, ColumnNetwork):
        return network_export.from_column_network(estimator, mean, scale)
    if isinstance(estimator, FrameNetwork):
        return network_export.from_frame_network(estimator, mean, scale)
    if isinstance(estimator, DummyClassifier):
        logits = np.log(np.maximum(estimator.class_prior_, SMALLEST_PROBABILITY))
        return _affine(np.zeros((len(mean), len(logits))), logits, mean, scale)
    if isinstance(estimator, StackedLDA):
        return _from_stack(estimator, mean, scale)
    linear = linear_form(estimator)
    if linear is not None:
        # Its own standardisation, put in terms of the embedding.
        weights = linear.weights * (scale / linear.scale)[:, np.newaxis]
        bias = linear.bias + ((mean - linear.mean) / linear.scale) @ linear.weights
        return _affine(weights, bias, mean, scale)
    return _from_sklearn(estimator, mean, scale)


def _from_sklearn(estimator: Any, mean: Array, scale: Array) -> bytes:
    onnx, skl2onnx = need("onnx"), need("skl2onnx")
    plain, gives_scores = _plain(estimator)
    kind = [("features", skl2onnx.common.data_types.FloatTensorType([None, len(mean)]))]
    try:
        with quiet():
            model = skl2onnx.convert_sklearn(
                plain, initial_types=kind, options={"zipmap": False}, target_opset=OPSET
            )
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"{type(estimator).__name__} has no ONNX form: {reason}") from error
    graph = model.graph
    floor = _floor(estimator)
    if floor is not None:
        _take_logarithms(graph, floor)
    scores = graph.output[1].name
    del graph.output[:]
    if gives_scores:
        # Between two classes libsvm's decision favours the first, scikit-learn's the second.
        operator = "Neg" if len(estimator.classes_) == 2 else "Identity"
        graph.node.append(onnx.helper.make_node(operator, [scores], ["logits"]))
    else:
        smallest = np.array(SMALLEST_PROBABILITY, np.float32)
        graph.initializer.append(onnx.numpy_helper.from_array(smallest, "smallest"))
        graph.node.append(onnx.helper.make_node("Max", [scores, "smallest"], ["at_least"]))
        graph.node.append(onnx.helper.make_node("Log", ["at_least"], ["logits"]))
    _add_outputs(graph, "features", len(estimator.classes_), mean, scale)
    _drop_unused(graph)
    return stripped(model.SerializeToString())


def _floor(estimator: Any) -> Array | None:
    """What is added before logarithms are taken; None where none are."""
    from sklearn.pipeline import Pipeline

    from ..models.scaling import Levels

    first = estimator.steps[0][1] if isinstance(estimator, Pipeline) else estimator
    if isinstance(first, Levels) or getattr(first, "logarithmic", False):
        floor: Array = first.floor_
        return floor
    return None


def _take_logarithms(graph: Any, floor: Array) -> None:
    """Let the graph see :func:`emoscope.models.scaling.levels` of its features."""
    onnx = need("onnx")
    for node in graph.node:
        node.input[:] = ["levels" if name == "features" else name for name in node.input]
    logarithmic = ~np.isnan(floor)
    arrays = {
        "zero": np.array(0, np.float32),
        "floor": np.where(logarithmic, floor, 1).astype(np.float32),
        "logarithmic": logarithmic,
    }
    graph.initializer.extend(onnx.numpy_helper.from_array(a, name) for name, a in arrays.items())
    make = onnx.helper.make_node
    first = [
        make("Max", ["features", "zero"], ["not_negative"]),
        make("Add", ["not_negative", "floor"], ["over_floor"]),
        make("Log", ["over_floor"], ["logarithms"]),
        make("Where", ["logarithmic", "logarithms", "features"], ["levels"]),
    ]
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*first, *rest])


def _plain(estimator: Any) -> tuple[Any, bool]:
    """The estimator in classes that skl2onnx knows, and whether it gives scores for a softmax."""
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import Pipeline, make_pipeline
    from sklearn.svm import SVC

    from ..models.mlp import SpeakerStoppedMLP
    from ..models.scaling import Levels
    from ..models.svm import VotingSVC

    if isinstance(estimator, Pipeline):
        *before, (name, last) = estimator.steps
        before = [step for step in before if not isinstance(step[1], Levels)]
        last, gives_scores = _plain(last)
        return Pipeline([*before, (name, last)]), gives_scores
    if isinstance(estimator, SpeakerStoppedMLP):
        return make_pipeline(estimator.scaler_, estimator.net_), False
    for known in (SVC, MLPClassifier):
        if isinstance(estimator, known) and type(estimator) is not known:
            plain = known()
            vars(plain).update(copy.copy(vars(estimator)))
            return plain, isinstance(estimator, VotingSVC)
    return estimator, False


def _from_stack(estimator: Any, mean: Array, scale: Array) -> bytes:
    """Standardised by the stack's own means, cut off, and one product for all blocks."""
    from ..models.stack import FARTHEST

    onnx = need("onnx")
    own_mean, own_scale, weights, bias = estimator.combined()
    graph = _empty(len(mean))
    _add_outputs(graph, "features", len(bias), mean, scale)
    arrays = {"own_mean": own_mean, "own_scale": own_scale}
    arrays |= {"lowest": np.array(-FARTHEST), "highest": np.array(FARTHEST)}
    for name, values in arrays.items():
        graph.initializer.append(onnx.numpy_helper.from_array(values.astype(np.float32), name))
    make = onnx.helper.make_node
    graph.node.append(make("Sub", ["features", "own_mean"], ["own_centred"]))
    graph.node.append(make("Div", ["own_centred", "own_scale"], ["own_scaled"]))
    graph.node.append(make("Clip", ["own_scaled", "lowest", "highest"], ["clipped"]))
    _add_gemm(graph, weights, bias, of="clipped")
    return _finished(graph)


def _affine(weights: NDArray[Any], bias: NDArray[Any], mean: Array, scale: Array) -> bytes:
    """A graph whose logits are ``embedding @ weights + bias``."""
    graph = _empty(len(mean))
    _add_outputs(graph, "features", len(bias), mean, scale)
    _add_gemm(graph, weights, bias)
    return _finished(graph)


def _empty(n_columns: int) -> Any:
    """A graph that takes features and does nothing yet."""
    onnx = need("onnx")
    given = onnx.helper.make_tensor_value_info(
        "features", onnx.TensorProto.FLOAT, ["n_clips", n_columns]
    )
    return onnx.helper.make_graph([], "model", [given], [])


def _finished(graph: Any) -> bytes:
    onnx = need("onnx")
    opset = onnx.helper.make_opsetid("", OPSET)
    model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=10)
    return stripped(model.SerializeToString())


def _add_outputs(graph: Any, source: str, n_emotions: int, mean: Array, scale: Array) -> None:
    """Declare ``logits`` and add the nodes that standardise `source` as ``embedding``."""
    onnx = need("onnx")
    for name, values in (("embedding_mean", mean), ("embedding_scale", scale)):
        array = np.asarray(values, np.float32)
        graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    make = onnx.helper.make_node
    graph.node.append(make("Sub", [source, "embedding_mean"], ["centred"]))
    graph.node.append(make("Div", ["centred", "embedding_scale"], ["embedding"]))
    for name, width in (("logits", n_emotions), ("embedding", len(mean))):
        graph.output.append(
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n_clips", width])
        )


def _add_gemm(graph: Any, weights: NDArray[Any], bias: NDArray[Any], of: str = "embedding") -> None:
    """Add the node that computes ``logits`` from the values of that name."""
    onnx = need("onnx")
    for name, values in (("head_weights", weights), ("head_bias", bias)):
        tensor = onnx.numpy_helper.from_array(np.asarray(values, np.float32), name)
        graph.initializer.append(tensor)
    given = [of, "head_weights", "head_bias"]
    graph.node.append(onnx.helper.make_node("Gemm", given, ["logits"]))


def _drop_unused(graph: Any) -> None:
    """Remove what only led to the label output."""
    wanted = {output.name for output in graph.output}
    used = []
    for node in reversed(graph.node):
        if wanted & set(node.output):
            wanted |= set(node.input)
            used.append(node)
    kept = [tensor for tensor in graph.initializer if tensor.name in wanted]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(reversed(used))
    graph.initializer.extend(kept)
