"""The four published 1-D convolutional networks, which read the feature vector as a sequence.

Filters slide along neighbouring columns, so their order matters: MFCC, chroma, mel bands.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import validate_data

from . import ModelInfo
from .network import Conv, Dropout, Layer, NetworkClassifier, Pool
from .onnx_graph import from_torch, need

CONV = Conv(128, (1, 5))
POOL = Pool((1, 8), "valid")


def _b(rate: float) -> tuple[Layer, ...]:
    """Architecture B, whose dropout rate is all that tells C from it."""
    drop = Dropout(rate)
    return (CONV, drop, POOL, CONV, POOL, drop, CONV, drop)


ARCHITECTURES: dict[str, tuple[Layer, ...]] = {
    "a": (CONV, Dropout(0.1), POOL, CONV, Dropout(0.1)),
    "b": _b(0.25),
    "c": _b(0.1),
    "d": (*_b(0.1), CONV, Dropout(0.1)),
}


class ColumnNetwork(NetworkClassifier):
    """A network over the columns of a feature vector; parameters as in the base class."""

    initial_weights = "glorot"
    takes_logarithms = True

    def _check(self, X: Any, *, reset: bool) -> tuple[NDArray[np.float32], int]:
        X = validate_data(self, X, dtype=np.float32, reset=reset)
        return X, X.shape[1]

    def _grids(self, X: NDArray[np.float32]) -> NDArray[np.float32]:
        return X[:, np.newaxis]

    def to_onnx(self) -> Any:
        """Scaling and the plain layers."""
        torch = need("torch")
        from .network.module import ScaledNetwork

        module = ScaledNetwork(self, lambda features: features[:, None])
        n_clips = torch.export.Dim("n_clips", min=1)
        return from_torch(module, torch.zeros(2, self.n_features_in_), "features", {0: n_clips})


def _info(letter: str) -> ModelInfo:
    layers = ARCHITECTURES[letter]
    rate = next(layer.rate for layer in layers if isinstance(layer, Dropout))
    return ModelInfo(
        f"cnn1d-{letter}",
        f"1-D CNN on the feature vector, {layers.count(CONV)} convolutions, dropout {rate}",
        "vector",
        # Chosen without test folds: docs/decisions.md.
        lambda seed: ColumnNetwork(
            layers, learning_rate=2e-3, epochs=25, patience=None, one_cycle=True, seed=seed
        ),
        # Raw columns, eight outputs.
        lambda seed: ColumnNetwork.published(
            layers, seed, n_outputs=8, optimiser="keras-rmsprop", learning_rate=5e-5, batch_size=20
        ),
        search={"learning_rate": [2e-4, 5e-4, 1e-3, 2e-3], "batch_size": [16, 32, 64]},
        fewest_columns=math.prod(layer.size[1] for layer in layers if isinstance(layer, Pool)),
        needs="torch",
    )


MEMBERS = {f"cnn1d-{letter}": _info(letter) for letter in ARCHITECTURES}
