"""Fitted models as ONNX graphs of the form that :mod:`emoscope.model_file` describes.

A network that hears samples goes through :func:`from_waveform`, a fitted scikit-learn estimator or
one of our networks through :func:`from_estimator`.

Linear models are two operators. Other estimators are converted by skl2onnx, which knows them all; a
hand-written converter would have to follow scikit-learn's private attributes for ever.

Needs the extra ``deep`` (``onnx``, ``skl2onnx``; for networks also PyTorch and ``onnxscript``).
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MissingExtraError, ModelError
from .linear import LinearForm, linear_form

Array = NDArray[np.float32]

OPSET = 20
SMALLEST_PROBABILITY = 1e-12


def need(package: str) -> Any:
    """A package of the extra ``deep``."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingExtraError("saving a model", package, "deep") from error


# --- PyTorch --------------------------------------------------------------------------------------


def from_waveform(trunk: Any, *, shortest: int, longest: int) -> bytes:
    """A network from samples to embedding as an ONNX graph.

    Parameters
    ----------
    trunk : torch.nn.Module
        In evaluation mode; :class:`emoscope.training.waveform.WaveformTrunk`, or any that takes
        (1, n_samples) and gives (1, width).
    shortest, longest : int
        Samples of the shortest and the longest clip the graph has to take.

    Returns
    -------
    bytes
        Input ``samples``, output ``raw_embedding``; :func:`attach_head` completes it.
    """
    torch = need("torch")
    n_samples = torch.export.Dim("n_samples", min=shortest, max=longest)
    example = torch.zeros(1, 2 * shortest).uniform_(-0.1, 0.1)
    return _from_torch(trunk, example, "samples", {1: n_samples}, outputs=("raw_embedding",))


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


def _from_torch(
    module: Any,
    example: Any,
    name: str,
    dynamic: dict[int, Any],
    *,
    outputs: tuple[str, ...] = ("logits", "embedding"),
) -> bytes:
    torch = need("torch")
    need("onnxscript")
    with tempfile.TemporaryDirectory() as folder, quiet():
        path = Path(folder) / "model.onnx"
        program = torch.onnx.export(
            module,
            (example,),
            None,
            dynamo=True,
            opset_version=OPSET,
            input_names=[name],
            output_names=list(outputs),
            dynamic_shapes=(dynamic,),
            verbose=False,
        )
        program.save(path, external_data=False)
        return stripped(path.read_bytes())


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the exporters' progress and deprecation notes from the user."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings(), open(os.devnull, "w") as nowhere:
        warnings.simplefilter("ignore")
        try:
            with contextlib.redirect_stdout(nowhere):
                yield
        finally:
            logger.setLevel(level)


def stripped(content: bytes) -> bytes:
    """Without the exporter's notes: stack traces with the paths of this machine, shapes, names."""
    onnx = need("onnx")
    model = onnx.load_from_string(content)
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


# --- estimators -----------------------------------------------------------------------------------


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
        return _from_column_network(estimator, mean, scale)
    if isinstance(estimator, FrameNetwork):
        return _from_frame_network(estimator, mean, scale)
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
    arrays = {"own_mean": own_mean, "own_scale": own_scale, "weights": weights, "bias": bias}
    arrays |= {"lowest": np.array(-FARTHEST), "highest": np.array(FARTHEST)}
    make = onnx.helper.make_node
    nodes = [
        make("Sub", ["features", "own_mean"], ["own_centred"]),
        make("Div", ["own_centred", "own_scale"], ["own_scaled"]),
        make("Clip", ["own_scaled", "lowest", "highest"], ["clipped"]),
        make("Gemm", ["clipped", "weights", "bias"], ["logits"]),
    ]
    given = onnx.helper.make_tensor_value_info(
        "features", onnx.TensorProto.FLOAT, ["n_clips", len(mean)]
    )
    tensors = [
        onnx.numpy_helper.from_array(np.asarray(values, np.float32), name)
        for name, values in arrays.items()
    ]
    graph = onnx.helper.make_graph(nodes, "model", [given], [], tensors)
    _add_outputs(graph, "features", len(bias), mean, scale)
    opset = onnx.helper.make_opsetid("", OPSET)
    model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=10)
    return stripped(model.SerializeToString())


def _affine(weights: NDArray[Any], bias: NDArray[Any], mean: Array, scale: Array) -> bytes:
    """A graph whose logits are ``embedding @ weights + bias``."""
    onnx = need("onnx")
    given = onnx.helper.make_tensor_value_info(
        "features", onnx.TensorProto.FLOAT, ["n_clips", len(mean)]
    )
    graph = onnx.helper.make_graph([], "model", [given], [])
    _add_outputs(graph, "features", len(bias), mean, scale)
    _add_gemm(graph, weights, bias)
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


def _add_gemm(graph: Any, weights: NDArray[Any], bias: NDArray[Any]) -> None:
    """Add the node that computes ``logits`` from ``embedding``."""
    onnx = need("onnx")
    for name, values in (("head_weights", weights), ("head_bias", bias)):
        tensor = onnx.numpy_helper.from_array(np.asarray(values, np.float32), name)
        graph.initializer.append(tensor)
    given = ["embedding", "head_weights", "head_bias"]
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


def _from_column_network(estimator: Any, mean: Array, scale: Array) -> bytes:
    """One of our convolutional networks over feature vectors."""
    torch = need("torch")

    class Plain(torch.nn.Module):  # type: ignore[misc, name-defined]
        """Scaling, the network's plain layers, and the standardised features beside them."""

        def __init__(self) -> None:
            super().__init__()
            self.network = estimator.module_.eval()
            floor = np.broadcast_to(estimator.floor_, mean.shape)
            self.register_buffer("logarithmic", torch.tensor(~np.isnan(floor)))
            learned = {
                "own_floor": np.nan_to_num(floor, nan=1.0),
                "own_mean": np.broadcast_to(estimator.mean_, mean.shape),
                "own_scale": np.broadcast_to(estimator.scale_, mean.shape),
                "mean": mean,
                "scale": scale,
            }
            for name, values in learned.items():
                self.register_buffer(name, torch.tensor(np.array(values, np.float32)))

        def forward(self, features: Any) -> Any:
            logarithms = torch.log(features.clamp(min=0) + self.own_floor)
            levels = torch.where(self.logarithmic, logarithms, features)
            scaled = (levels - self.own_mean) / self.own_scale
            logits = self.network.plain(scaled[:, None])[:, : len(estimator.classes_)]
            return logits, (features - self.mean) / self.scale

    example = torch.zeros(2, len(mean))
    return _from_torch(Plain().eval(), example, "features", {0: torch.export.Dim("n_clips", min=1)})


def _from_frame_network(estimator: Any, mean: Array, scale: Array) -> bytes:
    """One of our networks over the middle frames of a log-mel spectrogram."""
    torch = need("torch")
    from ..models.cnn2d import POOL

    spare = -estimator.n_features_in_ % POOL.size[1]

    class Plain(torch.nn.Module):  # type: ignore[misc, name-defined]
        """Cutting or padding, merging, scaling, the plain layers; statistics as embedding."""

        def __init__(self) -> None:
            super().__init__()
            self.network = estimator.module_.eval()
            learned = {
                "own_mean": estimator.mean_,
                "own_scale": estimator.scale_,
                "mean": mean,
                "scale": scale,
            }
            for name, values in learned.items():
                self.register_buffer(name, torch.tensor(np.array(values, np.float32)))

        def forward(self, frames: Any) -> Any:
            n_frames = frames.shape[1]
            wanted = torch.arange(estimator.frames) + (n_frames - estimator.frames) // 2
            inside = ((wanted >= 0) & (wanted < n_frames))[None, :, None]
            picked = frames[:, wanted.clamp(0, n_frames - 1)]
            quietest = frames.amin(dim=(1, 2), keepdim=True)
            grid = torch.where(inside, picked, quietest)
            grid = torch.cat([grid, grid[:, :, -1:].expand(-1, -1, spare)], dim=2)
            merged = grid.unflatten(1, (-1, estimator.merge)).mean(dim=2)
            scaled = (merged - self.own_mean) / self.own_scale
            logits = self.network.plain(scaled)[:, : len(estimator.classes_)]
            return logits, (torch.cat(frame_statistics(frames), dim=1) - self.mean) / self.scale

    def frame_statistics(frames: Any) -> list[Any]:
        centred = frames - frames.mean(dim=1, keepdim=True)
        return [frames.mean(dim=1), (centred**2).mean(dim=1).sqrt()]

    example = torch.zeros(1, 2 * estimator.frames, estimator.n_features_in_)
    dynamic = {1: torch.export.Dim("n_frames", min=2)}
    return _from_torch(Plain().eval(), example, "frames", dynamic)
