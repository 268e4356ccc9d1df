"""One decision tree, which can be read, and a random forest: many trees, averaged.

The forest uses one thread on purpose: the trees' probabilities are then added in one order.
"""

from __future__ import annotations

from functools import partial

from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

from .base import ModelInfo


def published_tree(seed: int, *, depth: int) -> DecisionTreeClassifier:
    """The published form: nothing set but the depth."""
    return DecisionTreeClassifier(max_depth=depth, random_state=seed)


def published_forest(seed: int, *, trees: int) -> RandomForestClassifier:
    """The published form: nothing set but the number of trees."""
    return RandomForestClassifier(n_estimators=trees, random_state=seed)


PUBLISHED_TREES = {
    "decision tree, max_depth 2": partial(published_tree, depth=2),
    "decision tree, max_depth 6": partial(published_tree, depth=6),
    "decision tree, max_depth 9, random_state 0": partial(published_tree, depth=9),
}
PUBLISHED_FORESTS = {
    "random forest, 100 trees, random_state 0": partial(published_forest, trees=100),
    "random forest, 20 trees, random_state 0": partial(published_forest, trees=20),
}

MEMBERS = {
    "forest": ModelInfo(
        "forest",
        "Random forest",
        "vector",
        lambda seed: RandomForestClassifier(
            300, min_samples_leaf=2, class_weight="balanced_subsample", random_state=seed
        ),
        PUBLISHED_FORESTS["random forest, 100 trees, random_state 0"],
        PUBLISHED_FORESTS,
        search={"min_samples_leaf": [1, 2, 4, 8], "max_features": ["sqrt", 0.1, 0.2, 0.4]},
    ),
    "tree": ModelInfo(
        "tree",
        "Decision tree",
        "vector",
        lambda seed: DecisionTreeClassifier(
            min_samples_leaf=10, class_weight="balanced", random_state=seed
        ),
        PUBLISHED_TREES["decision tree, max_depth 9, random_state 0"],
        PUBLISHED_TREES,
        search={"min_samples_leaf": [2, 5, 10, 20, 40], "max_depth": [None, 6, 9, 12]},
    ),
}
