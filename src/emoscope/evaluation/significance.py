"""Many comparisons at once: Holm's correction, and which models cannot be told apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """P-values corrected for their number, so that the chance of any false find stays below alpha.

    Parameters
    ----------
    p_values : array-like of float, shape (n,)
        Each in [0, 1].

    Returns
    -------
    ndarray, shape (n,)
        Corrected p-values in the same order, at most 1.

    References
    ----------
    S. Holm. A simple sequentially rejective multiple test procedure. Scandinavian Journal of
    Statistics 6(2), 1979.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError("p-values must be one-dimensional and each in [0, 1]")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected


def groups(
    scores: Mapping[str, float], comparisons: pd.DataFrame, *, alpha: float = 0.05
) -> list[tuple[str, ...]]:
    """Sets of models that cannot be told apart, best first.

    A group is as large as possible with no significant difference inside; a model can belong to
    several, and two models that share none differ.

    Parameters
    ----------
    scores : mapping from str to float
        The score of each model.
    comparisons : DataFrame
        The table of :func:`compare_models`, for all pairs of these models.
    alpha : float
        Differences with ``p_holm`` below this are significant.

    Returns
    -------
    list of tuple of str
        Each group best model first; groups in the order of their best, then their next best model.
        Every model is in at least one.
    """
    ranked = sorted(scores, key=lambda name: -scores[name])
    different = {
        frozenset(pair)
        for pair in comparisons.loc[comparisons["p_holm"] < alpha, ["first", "second"]].itertuples(
            index=False, name=None
        )
    }
    found: list[frozenset[str]] = [frozenset(ranked)]
    for pair in different:
        found = [
            part
            for group in found
            for part in ([group - {name} for name in pair] if pair <= group else [group])
        ]
        found = [g for g in set(found) if not any(g < other for other in found)]
    ordered = [tuple(name for name in ranked if name in group) for group in found]
    return sorted(ordered, key=lambda group: [ranked.index(name) for name in group])


def letters(found: Sequence[tuple[str, ...]]) -> dict[str, str]:
    """Compact letter display of :func:`groups`: models that share a letter cannot be told apart.

    References
    ----------
    H.-P. Piepho. An algorithm for a letter-based representation of all-pairwise comparisons.
    Journal of Computational and Graphical Statistics 13(2), 2004.
    """
    shown: dict[str, str] = {}
    for i, group in enumerate(found):
        letter = "abcdefghijklmnopqrstuvwxyz"[i] if i < 26 else f"({i + 1})"
        for name in group:
            shown[name] = shown.get(name, "") + letter
    return shown
