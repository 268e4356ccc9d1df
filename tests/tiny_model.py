"""A real, small ``.emoscope`` model for tests: the level of the sound decides.

``embedding = (log10 of the mean square, log10 of the mean square of the difference)`` and
``logit_k = 4 (2 c_k e - c_k^2)``: the emotion whose centre ``c_k`` is nearest to the level wins.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from emoscope import features, modelfile
from emoscope.modelfile.card import (
    Card,
    FeatureSpec,
    Input,
    Measurement,
    OutOfDomainDetector,
    SourceOffsets,
    Training,
    TrainingCorpus,
    Uncertain,
)

EMOTIONS = ("neutral", "sad", "angry")
CENTRES = np.array([-2.5, -3.5, -1.5], np.float32)  # -25, -35 and -15 dBFS
SHARPNESS = 4.0
HEAD = np.array([[1, 0, -1], [0, 1, -1]], np.float32)


@functools.cache
def graph() -> bytes:
    """The ONNX graph."""
    weights = np.zeros((2, 3), np.float32)
    weights[0] = 2 * SHARPNESS * CENTRES
    constants = {
        "weights": weights,
        "bias": -SHARPNESS * CENTRES**2,
        "tiny": np.float32(1e-12),
        "ln10": np.float32(np.log(10)),
        **{name: np.array([value]) for name, value in (("zero", 0), ("one", 1), ("minus", -1))},
        "end": np.array([2**30]),
    }
    nodes = [
        ("Slice", ["samples", "one", "end", "one"], "later"),
        ("Slice", ["samples", "zero", "minus", "one"], "earlier"),
        ("Sub", ["later", "earlier"], "difference"),
        *(
            node
            for name in ("samples", "difference")
            for node in (
                ("Mul", [name, name], f"{name}2"),
                ("ReduceMean", [f"{name}2"], f"{name}_power"),
                ("Add", [f"{name}_power", "tiny"], f"{name}_safe"),
                ("Log", [f"{name}_safe"], f"{name}_log"),
                ("Div", [f"{name}_log", "ln10"], f"{name}_level"),
            )
        ),
        ("Concat", ["samples_level", "difference_level"], "embedding"),
        ("MatMul", ["embedding", "weights"], "product"),
        ("Add", ["product", "bias"], "logits"),
    ]
    axes = {"ReduceMean": {"axes": [1], "keepdims": 1}, "Concat": {"axis": 1}}
    slices = {"Slice": ["one_axis"]}
    constants["one_axis"] = np.array([1])
    made = [
        helper.make_node(
            kind,
            [*inputs[:3], *slices[kind]] if kind == "Slice" else inputs,
            [output],
            **axes.get(kind, {}),
        )
        for kind, inputs, output in nodes
    ]
    whole = helper.make_graph(
        made,
        "level",
        [helper.make_tensor_value_info("samples", TensorProto.FLOAT, [1, "n_samples"])],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 3]),
            helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [1, 2]),
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(whole, opset_imports=opset, ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def card(**changes: object) -> Card:
    """The card; keyword arguments replace values."""
    mean = np.array([-2.5, -3.5], np.float32)
    domain = OutOfDomainDetector(
        mean=mean,
        components=np.eye(2, dtype=np.float32)[:1],
        variances=np.ones(1, np.float32),
        residual=1.0,
        threshold=1.5,
    )
    values = {
        "name": "level",
        "emotions": EMOTIONS,
        "input": Input(kind="samples", rate=16_000, shortest=0.2, longest=30.0),
        "embedding_width": 2,
        "temperature": 1.0,
        "uncertain": Uncertain(threshold=0.6, coverage=0.9, risk=0.1),
        "domain": domain,
        "training": Training(
            corpora=(
                TrainingCorpus(
                    name="synthetic", licence="CC0", citation="none", speakers=("a", "b")
                ),
            ),
            recipe={"recipe": "closed form", "seed": 0},
        ),
        "results": (Measurement(corpus="synthetic", protocol="loso", uar=1.0),),
        "licence": "CC0-1.0",
        "notices": ("made for tests",),
    }
    return Card(**{**values, **changes})


def offsets() -> SourceOffsets:
    """Sources are louder or softer: a level of 10 dB more is a logit of 8 more for the next emotion."""
    step = CENTRES - CENTRES.mean()
    means = 2 * SHARPNESS * np.outer(step, step) - SHARPNESS * (step**2 - np.mean(step**2))
    covariance = 4 * np.outer(step, step)  # 2.5 dB within an emotion
    return SourceOffsets(
        means=means.astype(np.float32),
        covariance=covariance.astype(np.float32),
        gain=100.0,
        floor=0.0,
        temperature=1.0,
        low=0.4,
        high=0.8,
        consensus=0.5,
    )


def logits(samples: np.ndarray) -> np.ndarray:
    """The logits the model gives, in closed form."""
    level = np.log10(np.mean(np.square(samples, dtype=np.float64)) + 1e-12)
    return SHARPNESS * (2 * CENTRES * level - CENTRES**2)


def write(folder: Path, **changes: object) -> Path:
    """Save the model in a folder."""
    return modelfile.save(folder / "level.emoscope", graph(), card(**changes))


def expected(samples: np.ndarray) -> np.ndarray:
    """The probabilities the model gives, in closed form."""
    weights = np.exp(logits(samples) - logits(samples).max())
    return weights / weights.sum()


def write_linear(folder: Path, width: int, **changes: object) -> Path:
    """Save a model of features: ``embedding`` is their first two columns scaled down."""
    select = np.zeros((width, 2), np.float32)
    select[0, 0] = select[1, 1] = 0.01
    made = helper.make_graph(
        [
            helper.make_node("MatMul", ["features", "select"], ["embedding"]),
            helper.make_node("MatMul", ["embedding", "head"], ["logits"]),
        ],
        "linear",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", width])],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3]),
            helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", 2]),
        ],
        [numpy_helper.from_array(select, "select"), numpy_helper.from_array(HEAD, "head")],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path = folder / "linear.emoscope"
    return modelfile.save(path, model.SerializeToString(), card(**changes))


def of_feature(name: str = "mfcc") -> Input:
    """What a model of one feature takes."""
    feature = features.get(name)
    spec = json.loads(json.dumps(feature.spec))
    described = (FeatureSpec(name=name, spec=spec),)
    return Input(kind="features", features=described, width=len(feature.columns))


def expected_linear(values: np.ndarray) -> np.ndarray:
    """The probabilities of the model of :func:`write_linear`."""
    logits = 0.01 * values[:2] @ HEAD
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()
