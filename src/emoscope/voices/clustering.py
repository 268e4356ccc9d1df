"""How many voices there are among embeddings of short windows, and which is whose.

Rows are embeddings, shape ``(n_rows, 256)``. The directions in which emotions move voices are taken away
(nuisance attribute projection: Solomonoff, Campbell & Boardman, ICASSP 2005), then the graph of nearest
neighbours is cut by its spectrum (von Luxburg, Statistics and Computing 17(4), 2007; Damle, Minden &
Ying, Information and Inference 8(1), 2019). ``benchmarks/diarisation.py`` measures how well.
"""

import functools
import os

import numpy as np
from numpy.typing import NDArray

from ..files import DATA

Matrix = NDArray[np.float64]

FILE = "voice_emotions.npz"
MOST = 1500  # rows that are clustered, evenly spread over more
NEIGHBOURS = 0.2  # share of the rows that each is linked to, those most alike
FEWEST = 15  # of these: in less than a minute, emotions are not taken for voices
EIGENVALUE = 0.7  # of the graph, from which it stands for a voice
ALIKE = 0.8  # cosine of the means of two halves from which they are one voice
MAX_VOICES = 8  # that are looked for where their number is not given


def comparable(rows: Matrix) -> Matrix:
    """The rows without the mean of all voices and without what emotions change, of unit length."""
    mean, directions = _bundled()
    moved = unit(rows) - mean
    return unit(moved - moved @ directions.T @ directions)


def centres(rows: Matrix, count: int | None = None) -> Matrix:
    """The mean of each voice, of unit length; the rows are in the order of time."""
    one = unit(rows.mean(axis=0, keepdims=True))
    chosen = rows[np.linspace(0, len(rows) - 1, min(MOST, len(rows))).astype(int)]
    if count == 1 or len(chosen) < 3:
        return one
    values, vectors = _spectrum(chosen, max(count or 0, MAX_VOICES))
    if count is None:
        halves = _means(chosen, vectors[:, -2:])
        if len(halves) < 2 or halves[0] @ halves[1] > ALIKE:
            return one
        count = max(1, int((values > EIGENVALUE).sum()))
    return _means(chosen, vectors[:, -count:])


def unit(rows: Matrix) -> Matrix:
    """Rows of unit length."""
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9))


def _spectrum(rows: Matrix, count: int) -> tuple[Matrix, Matrix]:
    """The largest eigenvalues of the normalised graph, ascending, and their vectors."""
    from scipy.linalg import eigh  # which takes as long to import as a label takes

    n_rows, similar = len(rows), rows @ rows.T
    n_near = min(n_rows - 1, max(FEWEST, round(NEIGHBOURS * n_rows)))
    nearest, graph = np.argpartition(-similar, n_near, axis=1)[:, :n_near], np.zeros_like(similar)
    np.put_along_axis(graph, nearest, 1.0, axis=1)
    graph = graph + graph.T
    degree = np.sqrt(graph.sum(axis=1))
    first = max(0, n_rows - count)
    values, vectors = eigh(graph / np.outer(degree, degree), subset_by_index=[first, n_rows - 1])
    return values, vectors


def _means(rows: Matrix, vectors: Matrix) -> Matrix:
    """The mean of each group of rows, by the column that a rotation of their vectors points to."""
    from scipy.linalg import qr

    *_, pivots = qr(vectors.T, pivoting=True, mode="economic")
    left, _, right = np.linalg.svd(vectors[pivots[: vectors.shape[1]]].T)
    labels = np.abs(vectors @ (left @ right)).argmax(axis=1)
    return unit(np.stack([rows[labels == label].mean(axis=0) for label in np.unique(labels)]))


@functools.cache
def _bundled() -> tuple[Matrix, Matrix]:
    """The mean of all voices, and the directions, in rows that are orthonormal."""
    with np.load(os.path.join(DATA, FILE), allow_pickle=False) as file:
        return file["mean"].astype(np.float64), file["directions"].astype(np.float64)
