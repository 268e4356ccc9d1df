"""Linear discriminants of any set of speakers from sums that are kept per speaker.

What discriminant analysis needs of its training clips are sums: of the clips of each emotion, and
of the products of their columns. Kept per speaker, they give the classifier of any set of speakers
by addition and one Cholesky factorisation, so that choosing the shrinkage on unseen speakers
inside every fold of a protocol costs seconds.

The model: a clip is the mean of its emotion, plus what its corpus adds to every emotion alike, plus
a residual with one covariance for all, which is shrunk towards a multiple of the identity. Emotions
are equally likely beforehand.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from emoscope.models.onnx_graph import LinearForm

Array = NDArray[np.float32]
Double = NDArray[np.float64]

IMPOSSIBLE = -1e4
"""Bias of an emotion that no training clip has."""
_RIDGE = 1e-6
"""Keeps the emotions' means determined when an emotion occurs in one corpus alone."""


class SufficientStatistics:
    """Sums over the clips of each speaker.

    Parameters
    ----------
    copies : iterable of ndarray of float32, shape (n_clips, n_columns)
        The clips as recorded, and changed copies of them, row for row.
    labels : ndarray of int, shape (n_clips,)
        Number of the emotion, 0 to ``n_emotions - 1``.
    speakers, corpora : ndarray of str, shape (n_clips,)
        A speaker belongs to one corpus.
    n_emotions : int
    """

    def __init__(
        self,
        copies: Sequence[Array],
        labels: NDArray[np.intp],
        speakers: NDArray[np.str_],
        corpora: NDArray[np.str_],
        n_emotions: int,
    ) -> None:
        # Standardised on a fixed reference first: float32 sums of squares then lose nothing.
        self._centre = copies[0].mean(axis=0, dtype=np.float64).astype(np.float32)
        self._std = np.maximum(copies[0].std(axis=0, dtype=np.float64), 1e-6).astype(np.float32)
        self.n_emotions = n_emotions
        self._products: dict[str, Array] = {}
        self._sums: dict[str, Double] = {}
        self._counts: dict[str, Double] = {}
        self._corpus: dict[str, str] = {}
        for speaker in map(str, np.unique(speakers)):
            rows = np.flatnonzero(speakers == speaker)
            values = np.concatenate([self._reduced(copy[rows]) for copy in copies])
            one_hot = np.eye(n_emotions)[np.tile(labels[rows], len(copies))]
            self._products[speaker] = values.T @ values
            self._sums[speaker] = one_hot.T @ values
            self._counts[speaker] = one_hot.sum(axis=0)
            self._corpus[speaker] = str(corpora[rows[0]])

    def _reduced(self, values: Array) -> Array:
        return np.asarray((values - self._centre) / self._std, dtype=np.float32)

    def discriminants(
        self, speakers: Collection[str], shrinkages: Iterable[float]
    ) -> list[LinearForm]:
        """The classifiers trained on the clips of some speakers, one for each shrinkage.

        Parameters
        ----------
        speakers : collection of str
        shrinkages : iterable of float
            In (0, 1].

        Returns
        -------
        list of LinearForm
            Their logits are log-probabilities up to a constant per clip; an emotion that the
            speakers never show gets :data:`IMPOSSIBLE`.
        """
        products = np.zeros_like(next(iter(self._products.values())))
        for speaker in speakers:
            products += self._products[speaker]
        counts, sums = self._by_corpus(speakers)
        total, known = counts.sum(), np.flatnonzero(counts.sum(axis=0))
        mean = sums.sum(axis=(0, 1)) / total
        variance = products.diagonal().astype(np.float64) / total - mean**2
        std = np.sqrt(np.maximum(variance, 1e-8))
        effects, explained = _effects(counts[:, known], sums[:, known])
        covariance = (products - explained.astype(np.float32)) / np.float32(total)
        covariance /= std[:, np.newaxis].astype(np.float32)
        covariance /= std.astype(np.float32)
        means = (effects - mean) / std
        forms = []
        for shrinkage in shrinkages:
            coefficients, bias = _discriminant(covariance, means, shrinkage)
            weights = np.zeros((len(mean), self.n_emotions), np.float32)
            biases = np.full(self.n_emotions, IMPOSSIBLE, np.float32)
            weights[:, known], biases[known] = coefficients.T, bias
            centre = self._centre + self._std * mean
            scale = self._std * std
            arrays = (np.asarray(a, np.float32) for a in (centre, scale, weights, biases))
            forms.append(LinearForm(*arrays))
        return forms

    def _by_corpus(self, speakers: Collection[str]) -> tuple[Double, Double]:
        """Counts (n_corpora, n_emotions) and sums (n_corpora, n_emotions, n_columns)."""
        names = sorted({self._corpus[speaker] for speaker in speakers})
        counts = np.zeros((len(names), self.n_emotions))
        sums = np.zeros((len(names), self.n_emotions, len(self._centre)))
        for speaker in speakers:
            corpus = names.index(self._corpus[speaker])
            counts[corpus] += self._counts[speaker]
            sums[corpus] += self._sums[speaker]
        return counts, sums


def _effects(counts: Double, sums: Double) -> tuple[Double, Double]:
    """Means of the emotions in an average corpus, and the products that the model explains.

    Least squares of ``emotion + corpus`` from counts and sums per corpus and emotion.
    """
    n_corpora, n_emotions = counts.shape
    cells = [(c, e) for c in range(n_corpora) for e in range(n_emotions) if counts[c, e]]
    design = np.zeros((len(cells), n_emotions + n_corpora))
    for row, (corpus, emotion) in enumerate(cells):
        design[row, emotion] = 1.0
        # Less their mean, so that an emotion's mean is that of an average corpus.
        design[row, n_emotions:] = -1.0 / n_corpora
        design[row, n_emotions + corpus] += 1.0
    weights = np.array([counts[cell] for cell in cells])
    cell_sums = np.stack([sums[cell] for cell in cells])
    normal = design.T @ (weights[:, np.newaxis] * design)
    normal += _RIDGE * weights.sum() * np.diag([0.0] * n_emotions + [1.0] * n_corpora)
    right = design.T @ cell_sums
    effects = np.linalg.solve(normal, right)
    fitted = design @ effects
    # The products of the residuals are products - sums' fitted - fitted' sums + fitted' n fitted.
    cross = cell_sums.T @ fitted
    explained = cross + cross.T - (fitted * weights[:, np.newaxis]).T @ fitted
    return effects[:n_emotions], explained


def _discriminant(covariance: Array, means: Double, shrinkage: float) -> tuple[Double, Double]:
    """Coefficients (n_emotions, n_columns) and bias (n_emotions,)."""
    shrunk = np.float32(1.0 - shrinkage) * covariance
    common = float(np.trace(covariance)) / len(covariance)
    shrunk[np.diag_indices_from(shrunk)] += np.float32(shrinkage * common)
    centre = means.mean(axis=0)
    offsets = means - centre
    factor = cho_factor(shrunk, overwrite_a=True, check_finite=False)
    coefficients = cho_solve(factor, offsets.T.astype(np.float32)).T.astype(np.float64)
    bias = -0.5 * (coefficients * offsets).sum(axis=1) - coefficients @ centre
    return coefficients, bias
