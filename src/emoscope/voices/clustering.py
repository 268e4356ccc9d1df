"""How many voices there are among embeddings, and which is whose.

Rows are embeddings of unit length, shape ``(n_rows, n_values)``; their products are cosines.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

MOST = 1500  # rows that are clustered, evenly spread over more; the others join the nearest
MAX_VOICES = 8  # that are looked for where their number is not given
APART = 0.35  # mean cosine distance of two clusters from which they are two voices
LEAST = 0.05  # share of the rows that a voice has; fewer are outliers of another voice


def centres(rows: Matrix, count: int | None = None) -> Matrix:
    """The mean of each voice, of unit length, the most frequent first; of `count` voices, if given.

    Agglomerative, by the mean cosine distance: Sneath & Sokal, "Numerical Taxonomy", 1973.
    """
    if count == 1 or len(rows) < 2:
        return unit(rows.mean(axis=0, keepdims=True))
    from scipy.cluster.hierarchy import (
        fcluster,
        linkage,
    )  # which takes as long to import as a label

    chosen = rows[np.linspace(0, len(rows) - 1, min(MOST, len(rows))).astype(int)]
    tree = linkage(chosen, "average", "cosine")
    least = max(1, round(LEAST * len(chosen)))
    if count is None:
        labels = fcluster(tree, APART, "distance")
        sizes = np.bincount(labels)
        count = min(MAX_VOICES, max(1, int((sizes >= least).sum())))
    else:
        for n_clusters in range(count, len(chosen) + 1):
            labels = fcluster(tree, n_clusters, "maxclust")
            sizes = np.bincount(labels)
            if (sizes >= least).sum() >= count:
                break
    largest = np.argsort(-sizes, kind="stable")[:count]
    return unit(np.stack([chosen[labels == label].mean(axis=0) for label in largest]))


def unit(rows: Matrix) -> Matrix:
    """Rows of unit length."""
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9))
