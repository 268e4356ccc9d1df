"""Features as a scikit-learn transformer: recordings in, columns out.

>>> make_pipeline(FeatureTransformer(["mfcc", "mel"]), SVC()).fit(paths, emotions)  # doctest: +SKIP
"""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from .. import features
from ..audio import Signal
from ..errors import FeatureError
from ..features.base import Feature
from ..files import sentence
from . import extraction
from .store import Store


class FeatureTransformer(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Turns recordings into features.

    Parameters
    ----------
    features : str or sequence of str
        Names, as :func:`emoscope.features.get` reads them; or one text with commas between them.
    rate : int
        Sample rate in Hz of recordings that are given as samples.
    store : path-like, optional
        A folder in which the features of files are kept and looked for: in a grid search every
        fold asks for the same clips.
    jobs : int or None
        Processes; None takes all cores.
    """

    def __init__(
        self, features: str | Sequence[str] = features.DEFAULT, *, rate: int = 16_000,
        store: str | os.PathLike[str] | None = None, jobs: int | None = 1,
    ) -> None:  # fmt: skip
        self.features = features
        self.rate = rate
        self.store = store
        self.jobs = jobs

    def fit(self, X: Any, y: Any = None) -> "FeatureTransformer":
        """Check the names of the features and the form of the recordings; nothing is learned."""
        self._chosen()
        self._recordings(X)
        return self

    def transform(self, X: Any) -> Any:
        """Compute the features of recordings, or read them from the store.

        `X` holds paths, or is a table or array with one column of them; or
        :class:`~emoscope.audio.Signal` objects; or samples at ``rate``: arrays, or one of shape
        (n_clips, n_samples). Returned is float32 of shape (n_clips, n_columns) or, for a feature that
        gives frames, an object array of matrices (n_frames, n_bins).
        """
        store = None if self.store is None else Store(self.store)
        given = self._recordings(X), self._chosen()
        tables = extraction.extract_recordings(*given, store=store, jobs=self.jobs)
        if "frames" not in tables:
            return tables["vector"].X
        matrices = tables["frames"].frames or []
        rows = np.empty(len(matrices), dtype=object)
        rows[:] = matrices
        return rows

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Names of the columns, e.g. ``mfcc_01``; `input_features` is ignored."""
        names = [column for feature in self._chosen() for column in feature.columns]
        return np.array(names, dtype=object)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _chosen(self) -> list[Feature]:
        chosen = features.get_all(self.features)
        if len({feature.kind for feature in chosen}) != 1:
            found = ", ".join(feature.name for feature in chosen) or "none"
            raise FeatureError(sentence("vectors_or_frames", found=found))
        return chosen

    def _recordings(self, X: Any) -> list[Any]:
        if hasattr(X, "__array__") and not hasattr(X, "__iter__"):
            X = np.asarray(X)
        if getattr(X, "ndim", 1) == 2:
            table = validate_data(self, X, dtype=None, ensure_all_finite=False)
            if table.dtype.kind in "OUS" and table.shape[1] == 1:
                return list(map(str, table[:, 0]))
            return [Signal(row, self.rate) for row in check_array(table, dtype=np.float32)]
        if isinstance(X, (str, os.PathLike, Signal)):
            raise ValueError(f"found a single recording, {X!r}; give a list: [{X!r}]")
        recordings = list(X)
        if recordings and all(isinstance(r, (str, os.PathLike, Signal)) for r in recordings):
            return recordings
        if recordings and all(np.ndim(r) == 1 for r in recordings):
            return [Signal(np.asarray(r, dtype=np.float32), self.rate) for r in recordings]
        # Sparse matrices, numbers without a second axis, nothing at all: scikit-learn says it best.
        check_array(X)
        raise ValueError("X holds neither paths nor signals nor arrays of samples")
