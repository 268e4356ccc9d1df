"""How far a recording is from what a model was trained on.

:class:`Domain` is a Gaussian with a low-rank covariance (probabilistic principal components) over
standardised embeddings; its :meth:`~Domain.distance` is the Mahalanobis distance divided by the
square root of the number of dimensions, so that training data lie around 1 whatever the width. The
threshold is a quantile of the distances of speakers that the fit had not heard, which are larger
than those of its own.

Source: Tipping & Bishop, "Probabilistic principal component analysis", J. R. Stat. Soc. B 61(3),
1999; Lee et al., "A simple unified framework for detecting out-of-distribution samples", NeurIPS
2018.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Fold = tuple[NDArray[np.intp], NDArray[np.intp]]

RANK = 32
QUANTILE = 0.99


@dataclasses.dataclass(frozen=True, eq=False)
class Domain:
    """Where the training data lie.

    Attributes
    ----------
    mean : ndarray of float32, shape (width,)
    components : ndarray of float32, shape (rank, width)
        Orthonormal directions of largest variance.
    variances : ndarray of float32, shape (rank,)
        Variance along each of them.
    residual : float
        Variance along every other direction.
    threshold : float
        Distance beyond which a recording is called far from the training data.
    """

    mean: Array
    components: Array
    variances: Array
    residual: float
    threshold: float

    @classmethod
    def fit(
        cls,
        embeddings: Array,
        folds: Iterable[Fold],
        *,
        rank: int = RANK,
        quantile: float = QUANTILE,
    ) -> Domain:
        """Fit to the embeddings of training clips.

        Parameters
        ----------
        embeddings : ndarray of float32, shape (n_clips, width)
        folds : iterable of (train, test) index arrays
            Speaker-disjoint; their test distances give the threshold.
        rank : int
            Directions with a variance of their own, at most.
        quantile : float
            Share of unheard training clips that lie within the threshold.
        """
        held_out = [
            _gaussian(embeddings[train], rank).distance(embeddings[test]) for train, test in folds
        ]
        whole = _gaussian(embeddings, rank)
        return dataclasses.replace(
            whole, threshold=float(np.quantile(np.concatenate(held_out), quantile))
        )

    def distance(self, embeddings: Array) -> Array:
        """Distance of recordings from the training data.

        Parameters
        ----------
        embeddings : ndarray of float32, shape (n_clips, width)

        Returns
        -------
        ndarray of float32, shape (n_clips,)
            At least 0; around 1 for data like the training data.
        """
        centred = np.asarray(embeddings, dtype=np.float64) - self.mean
        along = centred @ self.components.T.astype(np.float64)
        outside = np.maximum((centred**2).sum(axis=1) - (along**2).sum(axis=1), 0.0)
        squared = (along**2 / self.variances).sum(axis=1) + outside / self.residual
        return np.asarray(np.sqrt(squared / centred.shape[1]), dtype=np.float32)


def _gaussian(embeddings: Array, rank: int) -> Domain:
    mean = embeddings.mean(axis=0, dtype=np.float64)
    centred = embeddings - mean
    n_clips, width = centred.shape
    rank = max(1, min(rank, n_clips - 2, width - 1))
    if n_clips < width:
        # The eigenvectors of the smaller Gram matrix give those of the covariance.
        values, vectors = np.linalg.eigh(centred @ centred.T / n_clips)
        values, vectors = values[::-1][:rank], vectors[:, ::-1][:, :rank]
        components = (vectors / np.sqrt(np.maximum(values, 1e-12) * n_clips)).T @ centred
    else:
        values, vectors = np.linalg.eigh(centred.T @ centred / n_clips)
        values, components = values[::-1][:rank], vectors[:, ::-1][:, :rank].T
    total = (centred**2).sum() / n_clips
    residual = max((total - values.sum()) / max(1, width - rank), 1e-6 * total / width, 1e-12)
    return Domain(
        mean=mean.astype(np.float32),
        components=components.astype(np.float32),
        # A direction that happened to vary less than the rest would make its noise look far.
        variances=np.maximum(values, residual).astype(np.float32),
        residual=float(residual),
        threshold=float("inf"),
    )
