"""Maps of a corpus: every clip a point in the plane, near clips alike in their features."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..features.table import Features

#: t-SNE's usual perplexity, lowered for corpora too small for it.
PERPLEXITY = 30


def of_clips(features: Features, *, seed: int = 0) -> dict[str, Any]:
    """Two maps of the clips: PCA, which keeps distances, and t-SNE, which keeps neighbours.

    Columns are standardised first; t-SNE starts from the first fifty principal components. The maps
    describe the corpus and take no part in training or testing.

    Parameters
    ----------
    features : Features
        Vectors, one row per clip.
    seed : int
        Of t-SNE.

    Returns
    -------
    dict
        ``clips``, and ``pca`` and ``tsne``: lists of ``[x, y]`` in the clips' order;
        ``pca_variance``, the share of the variance that the PCA map shows.

    References
    ----------
    L. van der Maaten, G. Hinton. Visualizing data using t-SNE. JMLR 9, 2008.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from sklearn.preprocessing import StandardScaler

    standardised = StandardScaler().fit_transform(features.X)
    n_components = min(50, *standardised.shape)
    pca = PCA(n_components, random_state=seed).fit(standardised)
    components = pca.transform(standardised)
    perplexity = min(PERPLEXITY, max(2, (len(features) - 1) // 3))
    tsne = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(components)
    return {
        "clips": features.clips,
        "pca": np.round(components[:, :2], 3).tolist(),
        "tsne": np.round(tsne.astype(float), 3).tolist(),
        "pca_variance": float(pca.explained_variance_ratio_[:2].sum()),
    }
