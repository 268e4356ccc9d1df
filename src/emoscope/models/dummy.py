"""The floor: always the most frequent emotion of the training clips, whatever the recording."""

from __future__ import annotations

from sklearn.dummy import DummyClassifier

from .base import ModelInfo


def build(seed: int) -> DummyClassifier:
    """The only form there is; nothing in it is random."""
    return DummyClassifier(strategy="prior", random_state=seed)


MEMBERS = {"dummy": ModelInfo("dummy", "Most frequent emotion", "vector", build, build)}
