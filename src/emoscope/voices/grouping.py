"""Groups of recordings by who speaks, where nobody says.

Ward's method (J. Ward, JASA 58, 1963); ``benchmarks/voices.py`` says how often it is wrong.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Groups are merged up to this share of the height at which all are one. Lower heights divide a voice,
#: which is worse than two voices in one group: it would stand on both sides of a fold.
HEIGHT = 0.35
CLIPS_A_GROUP = 8  # on average at least: of fewer the heights tell nothing
MAX_CLIPS = 5_000  # clustered at once, 100 MB of distances; others join the nearest group


def group(
    embeddings: NDArray[np.float32],
    n: int | None = None,
    *,
    styles: NDArray[np.str_] | None = None,
    least: int = 1,
) -> NDArray[np.intp]:
    """The group of every recording by its voice, numbered from 0 as they first occur: (n_clips,).

    What moves the embeddings (n_clips, 256) of one of the `styles`, emotions, alike is not the
    voice. A number of groups that is estimated is no count of voices: two from 16 clips on, and no
    more than an eighth of the clips, but `least`.
    """
    from scipy.cluster.hierarchy import fcluster, linkage

    n_clips = len(embeddings)
    if n_clips < 2:
        return np.zeros(n_clips, dtype=np.intp)
    clips = embeddings.astype(np.float64)
    for style in np.unique(styles) if styles is not None else ():
        clips[styles == style] -= clips[styles == style].mean(axis=0)
    if styles is not None:
        clips /= np.maximum(np.linalg.norm(clips, axis=1, keepdims=True), 1e-9)
    seen = np.arange(n_clips)
    if n_clips > MAX_CLIPS:
        seen = np.sort(np.random.default_rng(0).permutation(n_clips)[:MAX_CLIPS])
    tree = linkage(clips[seen], "ward")
    heights = tree[:, 2]
    if n is None:
        n_high = 1 + int((heights > HEIGHT * heights[-1]).sum())
        n = max(least, min(n_high, n_clips // CLIPS_A_GROUP))
    labels = fcluster(tree, min(n, len(seen)), "maxclust")
    if n_clips > MAX_CLIPS:
        means = np.stack([clips[seen][labels == k].mean(axis=0) for k in np.unique(labels)])
        labels = np.argmin(np.square(means).sum(axis=1) - 2 * clips @ means.T, axis=1)
    _, first, positions = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[positions]
