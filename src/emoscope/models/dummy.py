"""The floor: always the most frequent emotion of the training clips, whatever the recording."""

from typing import Any

import numpy as np
from sklearn.dummy import DummyClassifier

from .onnx_graph import SMALLEST_PROBABILITY, linear


class MostFrequent(DummyClassifier):  # type: ignore[misc]  # scikit-learn has no type hints
    """:class:`sklearn.dummy.DummyClassifier` with an ONNX form."""

    def to_onnx(self) -> Any:
        """The logarithms of the shares of the emotions, whatever the features."""
        bias = np.log(np.maximum(self.class_prior_, SMALLEST_PROBABILITY))
        return linear(np.zeros((self.n_features_in_, len(bias))), bias)
