"""What every writer of ONNX graphs needs: the packages, silence, and graphs without notes.

Needs the extra ``deep``.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import warnings
from collections.abc import Iterator
from typing import Any

from ..errors import MissingExtraError

OPSET = 20


def need(package: str) -> Any:
    """A package of the extra ``deep``."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingExtraError("saving a model", package, "deep") from error


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
