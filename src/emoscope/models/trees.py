"""One decision tree, which can be read, and a random forest: many trees, averaged.

The forest uses one thread on purpose: the trees' probabilities are then added in one order.
"""

from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

from .base import seeded
from .info import ModelInfo

PUBLISHED_TREES = {
    "decision tree, max_depth 2": seeded(DecisionTreeClassifier, max_depth=2),
    "decision tree, max_depth 6": seeded(DecisionTreeClassifier, max_depth=6),
    "decision tree, max_depth 9, random_state 0": seeded(DecisionTreeClassifier, max_depth=9),
}
PUBLISHED_FORESTS = {
    "random forest, 100 trees, random_state 0": seeded(RandomForestClassifier, n_estimators=100),
    "random forest, 20 trees, random_state 0": seeded(RandomForestClassifier, n_estimators=20),
}

MEMBERS = {
    "forest": ModelInfo(
        "forest",
        "random forest",
        "vector",
        seeded(
            RandomForestClassifier,
            n_estimators=300,
            min_samples_leaf=2,
            class_weight="balanced_subsample",
        ),
        PUBLISHED_FORESTS["random forest, 100 trees, random_state 0"],
        PUBLISHED_FORESTS,
        search={"min_samples_leaf": [1, 2, 4, 8], "max_features": ["sqrt", 0.1, 0.2, 0.4]},
    ),
    "tree": ModelInfo(
        "tree",
        "decision tree",
        "vector",
        seeded(DecisionTreeClassifier, min_samples_leaf=10, class_weight="balanced"),
        PUBLISHED_TREES["decision tree, max_depth 9, random_state 0"],
        PUBLISHED_TREES,
        search={"min_samples_leaf": [2, 5, 10, 20, 40], "max_depth": [None, 6, 9, 12]},
    ),
}
