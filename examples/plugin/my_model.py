"""A model in one file: the five most similar clips vote."""

from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from emoscope.models import ModelInfo


def build(seed: int) -> Pipeline:
    """The model, unfitted; nothing in it is random."""
    return make_pipeline(StandardScaler(), KNeighborsClassifier(n_neighbors=5))


NEAREST = ModelInfo("nearest", "Nearest neighbours", "vector", build)
