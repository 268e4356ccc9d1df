"""The published 1-D convolutional networks, which read the feature vector as a sequence.

Filters slide along neighbouring columns, so their order matters: MFCC, chroma, mel bands.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import validate_data

from .network import NetworkClassifier
from .onnx_graph import from_torch, need


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
