"""Checks the decision trees of a graph before onnxruntime builds them.

onnxruntime follows every path from its root by recursion, and a path of 100,000 decisions
ends the process. A forest has millions of nodes, so nothing here takes them one by one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .onnx_fields import ScanError

DEEPEST = 1000
"""Decisions from the root to a leaf."""


def check(lists: dict[str, list[Any]]) -> None:
    """Raise unless every path through the trees comes to its end.

    Parameters
    ----------
    lists : dict of str to list
        Attributes of a ``TreeEnsembleClassifier`` in their parts: texts, and integers in arrays or
        in runs of fields as they are stored.

    Raises
    ------
    ScanError
        With the reason.
    """
    names = ("nodes_treeids", "nodes_nodeids", "nodes_truenodeids", "nodes_falsenodeids")
    trees, nodes, *branches = (whole(lists.get(name, [])) for name in names)
    inner = np.array([mode != b"LEAF" for mode in lists.get("nodes_modes", [])], bool)
    if any(len(found) != len(nodes) for found in (trees, *branches, inner)):
        raise ScanError("its trees are not whole")
    if not all(((found >= 0) & (found < 1 << 31)).all() for found in (trees, nodes, *branches)):
        raise ScanError("its trees are numbered wrongly")
    keys = trees << 31 | nodes
    order = np.argsort(keys)
    children = []
    for branch in branches:
        wanted = (trees << 31 | branch)[inner]
        places = np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)
        if (keys[order[places]] != wanted).any():
            raise ScanError("its trees lead nowhere")
        targets = np.zeros(len(nodes), np.intp)
        targets[inner] = order[places]
        children.append(targets)
    # Nodes that are reached by as many steps as were taken, from wherever.
    reached = np.ones(len(nodes), bool)
    for _ in range(DEEPEST):
        start = np.flatnonzero(reached & inner)
        if not len(start):
            return
        reached = np.zeros(len(nodes), bool)
        for targets in children:
            reached[targets[start]] = True
    raise ScanError(f"it has trees of more than {DEEPEST} decisions one after another")


def whole(parts: list[Any]) -> NDArray[np.int64]:
    """The integers of an attribute from its parts: runs as they are stored, and single ones."""
    return np.concatenate(
        [np.empty(0, np.int64), *(_run(p) if isinstance(p, bytes) else p for p in parts)]
    )


def _run(stored: bytes) -> NDArray[np.int64]:
    """The integers of a run of single fields: a tag, then seven bits a byte, lowest first."""
    content = np.frombuffer(stored, np.uint8).astype(np.int64)
    # Tags and last bytes take turns; what lies between them has the highest bit.
    short = np.flatnonzero(content < 0x80)
    tags, ends = short[::2], short[1::2]
    values = np.zeros(len(tags), np.int64)
    for n in range(int((ends - tags).max())):
        at = np.minimum(tags + 1 + n, ends)
        values |= np.where(tags + 1 + n <= ends, (content[at] & 0x7F) << 7 * n, 0)
    return values
