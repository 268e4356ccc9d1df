"""What a split flatters by: one model on the split as given, and on unheard speakers.

The model is the linear SVM in its sound form on 180 features (MFCC, chroma, mel), quick and without
randomness. The honest side divides the same clips into speaker-disjoint folds whose test part has
about the size of the given one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import StratifiedGroupKFold

from .. import features, models
from ..corpus import Corpus
from ..dataset import extraction
from ..dataset.store import Store
from ..errors import CorpusError
from ..evaluation import metrics
from ..labels import EMOTIONS
from .sources import Split

MODEL = "svm"
FEATURES = ("mfcc", "chroma", "mel")


def estimate(
    X: ArrayLike,
    emotions: ArrayLike,
    speakers: ArrayLike,
    *,
    test: ArrayLike,
    seed: int = 0,
) -> dict[str, Any]:
    """Score a model both ways.

    Parameters
    ----------
    X : array-like of float, shape (n_clips, n_columns)
        Features.
    emotions, speakers : array-like of str, shape (n_clips,)
        The emotion and the speaker of each clip.
    test : array-like of bool, shape (n_clips,)
        Which clips the split tests; the others train.
    seed : int
        Decides the speaker-disjoint folds.

    Returns
    -------
    dict
        ``model, claimed`` (UAR on the split), ``honest`` (UAR over speaker-disjoint folds),
        ``inflation`` (their difference), ``n_folds``.

    Raises
    ------
    ValueError
        When there are fewer than two speakers, or fewer than two emotions to learn from.
    """
    values = np.asarray(X, dtype=np.float32)
    true, voices, tested = np.asarray(emotions), np.asarray(speakers), np.asarray(test, dtype=bool)
    n_speakers = len(np.unique(voices))
    if n_speakers < 2:
        raise ValueError(f"unheard speakers need at least two speakers; found {n_speakers}")
    claimed = metrics.uar(true[tested], _predict(values, true, ~tested, tested, seed))
    n_folds = int(np.clip(round(len(tested) / max(tested.sum(), 1)), 2, min(n_speakers, 10)))
    folds = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    predicted = np.empty_like(true)
    parts = list(folds.split(values, true, groups=voices))
    if any(len(np.unique(true[train])) < 2 for train in [~tested, *(part[0] for part in parts)]):
        raise ValueError("where some speakers are left out, all training clips have one emotion")
    for train, held_out in parts:
        predicted[held_out] = _predict(values, true, train, held_out, seed)
    honest = metrics.uar(true, predicted)
    return {
        "model": models.get(MODEL).title,
        "claimed": claimed,
        "honest": honest,
        "inflation": claimed - honest,
        "n_folds": n_folds,
    }


def of_split(
    split: Split, *, seed: int = 0, jobs: int | None = None, cluster: str | None = None
) -> dict[str, Any] | None:
    """Score a model both ways on the recordings of a split; None when too little is known.

    Parameters
    ----------
    split : Split
        With recordings, emotions and speakers.
    seed, jobs, cluster
        As everywhere.
    """
    clips = split.clips
    whole_files = clips["start"].isna() & clips["end"].isna()
    known = (clips["path"] != "") & (clips["speaker"] != "") & clips["emotion"].isin(EMOTIONS)
    usable = clips[known & whole_files]
    usable = usable.assign(clip=[f"{n}" for n in range(len(usable))], corpus="audited")
    table = pd.DataFrame(usable.assign(label=usable["emotion"])).reset_index(drop=True)
    sides = table.groupby("side")["emotion"].nunique() if len(table) else pd.Series(dtype=int)
    if len(sides) < 2 or sides.min() < 2 or table["speaker"].nunique() < 2:
        return None
    try:
        extracted = extraction.extract(
            Corpus("audited", table), [features.get(name) for name in FEATURES],
            store=Store.default(), jobs=jobs, cluster=cluster,
        )  # fmt: skip
        kept = extracted.corpus.table
        return estimate(
            extracted.features["vector"].values,
            kept["emotion"].to_numpy(dtype=str),
            kept["speaker"].to_numpy(dtype=str),
            test=(kept["side"] == "test").to_numpy(),
            seed=seed,
        )
    except (CorpusError, ValueError):  # no recording can be used, or too few speak or differ
        return None


def _predict(
    values: NDArray[np.float32], true: NDArray[Any], train: Any, test: Any, seed: int
) -> NDArray[Any]:
    fitted = models.get(MODEL).build(seed).fit(values[train], true[train])
    predicted: NDArray[Any] = fitted.predict(values[test])
    return predicted
