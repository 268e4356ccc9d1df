"""One decision tree, which can be read, and a random forest: many trees, averaged.

The forest uses one thread on purpose: the trees' probabilities are then added in one order.
"""

from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

from . import ModelInfo
from .base import seeded

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
        seeded(RandomForestClassifier, n_estimators=100),
        search={"min_samples_leaf": [1, 2, 4, 8], "max_features": ["sqrt", 0.1, 0.2, 0.4]},
    ),
    "tree": ModelInfo(
        "tree",
        "decision tree",
        "vector",
        seeded(DecisionTreeClassifier, min_samples_leaf=10, class_weight="balanced"),
        seeded(DecisionTreeClassifier, max_depth=9),
        search={"min_samples_leaf": [2, 5, 10, 20, 40], "max_depth": [None, 6, 9, 12]},
    ),
}
