"""The graph of a model file: the classifier and, beside its logits, the embedding of a clip."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..audio.level import TrimAndNormalise
from ..features import get as get_feature
from ..features import pretrained
from ..features.table import Features
from ..modelfile.card import FeatureSpec, Input
from ..models import onnx_graph
from ..models.onnx_graph import LinearForm, extend, linear_form, need, serialised, value

Array = NDArray[np.float32]

# Values; smaller tensors stay as they are, and all of one axis: biases, what standardises.
SMALLEST = 4096
# Tensors whose rounding would tell: a spectrum spans ten orders of magnitude.
EXACT = ("log_mel.kernels", "log_mel.filters")


def graph_of(
    fitted: Any, features: Features, names: Sequence[str], mean: Array, scale: Array
) -> tuple[bytes, Input]:
    """The ONNX graph of a fitted model, weights in half precision, and what it takes."""
    linear = linear_form(fitted)
    encoders: list[Any] = [get_feature(name) for name in names if name.startswith("encoder:")]
    if linear and len(encoders) == len(names) and features.X is not None and _fits(encoders):
        from .waveform import LONGEST_SECONDS, WaveformTrunk

        prepare = TrimAndNormalise() if encoders[0].prepare == TrimAndNormalise.name else None
        longest = LONGEST_SECONDS
        given = Input(kind="samples", rate=pretrained.RATE, preprocess=prepare, longest=longest)
        network = WaveformTrunk(encoders).to_onnx(given.shortest, given.longest)
        # The head is small and stays in single precision.
        return attach_head(in_half_precision(network), linear), given
    pairs = zip(names, features.specs, strict=True)
    described = tuple(FeatureSpec(name=name, spec=spec) for name, spec in pairs)
    kind, width = ("features", len(mean)) if features.X is not None else ("frames", len(mean) // 2)
    given = Input(kind=kind, features=described, width=width)
    return in_half_precision(from_estimator(fitted, mean=mean, scale=scale)), given


def large_weights(graph: Any) -> dict[str, Array]:
    """By name, what may be rounded when a graph is stored."""
    onnx = need("onnx")
    arrays = {
        tensor.name: onnx.numpy_helper.to_array(tensor)
        for tensor in graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT and tensor.name not in EXACT
    }
    return {name: a for name, a in arrays.items() if a.size >= SMALLEST and a.ndim > 1}


def in_half_precision(content: bytes) -> bytes:
    """A serialised graph with its weights in 16 bits; a ``Cast`` gives them back as float32."""
    onnx = need("onnx")
    model = onnx.load_from_string(content)
    graph, weights = model.graph, large_weights(model.graph)
    tensors = [tensor for tensor in graph.initializer if tensor.name not in weights]
    nodes = list(graph.node)
    del graph.initializer[:], graph.node[:]
    for name, values in weights.items():
        half, to = f"{name}.half", onnx.TensorProto.FLOAT
        tensors.append(onnx.numpy_helper.from_array(values.astype(np.float16), half))
        graph.node.append(onnx.helper.make_node("Cast", [half], [name], to=to))
    graph.initializer.extend(tensors)
    graph.node.extend(nodes)
    return bytes(model.SerializeToString())


def _fits(encoders: Sequence[Any]) -> bool:
    """Whether encoders are Whisper's, and all take the same sound at its own speed."""
    return len({encoder.prepare for encoder in encoders}) == 1 and all(
        encoder.kind == "vector"
        and pretrained.is_whisper(encoder.model)
        and min(encoder.blocks)
        and encoder.speed == 1
        for encoder in encoders
    )


def attach_head(content: bytes, head: LinearForm) -> bytes:
    """Add standardisation and a linear classifier to a graph that gives ``raw_embedding``."""
    model = need("onnx").load_from_string(content)
    del model.graph.output[:]
    model.graph.output.append(value("logits", len(head.bias)))
    _add_embedding(model.graph, "raw_embedding", head.mean, head.scale)
    extend(model.graph, "head", head_weights=head.weights, head_bias=head.bias)
    return serialised(model)


def from_estimator(estimator: Any, *, mean: Array, scale: Array) -> bytes:
    """A fitted classifier as a graph for a model file; the embedding is standardised."""
    model = onnx_graph.to_onnx(estimator)
    source = model.graph.input[0].name
    if source == "frames":
        source = "frame_statistics"
        extend(model.graph, "frame_statistics", time_axis=[1])
    _add_embedding(model.graph, source, mean, scale)
    return serialised(model)


def _add_embedding(graph: Any, source: str, mean: Array, scale: Array) -> None:
    means, scales = (np.asarray(values, np.float32) for values in (mean, scale))
    extend(graph, "embedding", source, embedding_mean=means, embedding_scale=scales)
    graph.output.append(value("embedding", len(mean)))
