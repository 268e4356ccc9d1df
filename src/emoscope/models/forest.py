"""Random forest: many trees on resampled clips and columns, averaged.

One thread on purpose: the trees' probabilities are then added in one order, and predictions are the
same to the last bit on every run.
"""

from __future__ import annotations

from functools import partial

from sklearn.ensemble import RandomForestClassifier

from .base import ModelInfo


def build(seed: int) -> RandomForestClassifier:
    """The sound form: more trees than published, small leaves refused, emotions balanced."""
    return RandomForestClassifier(
        n_estimators=300, min_samples_leaf=2, class_weight="balanced_subsample", random_state=seed
    )


def published(seed: int, *, trees: int) -> RandomForestClassifier:
    """The published form: nothing set but the number of trees."""
    return RandomForestClassifier(n_estimators=trees, random_state=seed)


PUBLISHED = {
    "random forest, 100 trees, random_state 0": partial(published, trees=100),
    "random forest, 20 trees, random_state 0": partial(published, trees=20),
}

MEMBERS = {
    "forest": ModelInfo(
        "forest",
        "Random forest",
        "vector",
        build,
        PUBLISHED["random forest, 100 trees, random_state 0"],
        PUBLISHED,
        search={"min_samples_leaf": [1, 2, 4, 8], "max_features": ["sqrt", 0.1, 0.2, 0.4]},
    )
}
