"""One decision tree: the weakest of the classical models, and the one that can be read.

The sound form grows until a leaf would hold fewer than ten clips, about 1 % of a training fold,
which keeps a leaf from describing a single speaker; the published forms limit the depth instead.
"""

from __future__ import annotations

from functools import partial

from sklearn.tree import DecisionTreeClassifier

from .base import ModelInfo


def build(seed: int) -> DecisionTreeClassifier:
    """The sound form. A tree needs no scaling: only the order of values counts."""
    return DecisionTreeClassifier(min_samples_leaf=10, class_weight="balanced", random_state=seed)


def published(seed: int, *, depth: int) -> DecisionTreeClassifier:
    """The published form: nothing set but the depth."""
    return DecisionTreeClassifier(max_depth=depth, random_state=seed)


PUBLISHED = {
    "decision tree, max_depth 2": partial(published, depth=2),
    "decision tree, max_depth 6": partial(published, depth=6),
    "decision tree, max_depth 9, random_state 0": partial(published, depth=9),
}

MEMBERS = {
    "tree": ModelInfo(
        "tree",
        "Decision tree",
        "vector",
        build,
        PUBLISHED["decision tree, max_depth 9, random_state 0"],
        PUBLISHED,
        search={"min_samples_leaf": [2, 5, 10, 20, 40], "max_depth": [None, 6, 9, 12]},
    )
}
