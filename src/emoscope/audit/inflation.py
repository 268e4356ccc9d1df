"""How much too high scores on a split are: a linear SVM on it, and on speaker-disjoint folds."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import features, models
from ..corpus import Corpus
from ..dataset import extraction
from ..dataset.store import Store
from ..errors import CorpusError
from ..evaluation import engine, metrics
from ..features.table import Features
from ..protocols import Fold, grouped
from .sources import Split, audible

MODEL = "svm"
FEATURES = ("mfcc", "chroma", "mel")


@dataclass(frozen=True)
class Inflation:
    """UAR on the split (``claimed``), over ``n_folds`` speaker-disjoint folds, and the difference."""

    model: str
    claimed: float
    honest: float
    inflation: float
    n_folds: int


def of_split(
    split: Split, *, seed: int = 0, jobs: int | None = None, cluster: str | None = None
) -> Inflation | None:
    """Score a model both ways on the recordings of a split; None when too little is known."""
    table = audible(split.clips[split.clips["speaker"] != ""]).assign(corpus="audited")
    sides = table.groupby("side")["emotion"].nunique()
    if len(sides) < 2 or sides.min() < 2 or table["speaker"].nunique() < 2:
        return None
    try:
        corpus, kinds = Corpus("audited", table), [features.get(name) for name in FEATURES]
        found = extraction.extract(corpus, kinds, store=Store(), jobs=jobs, cluster=cluster)
        clips, data = found.corpus.table, found.features["vector"]
        emotions, speakers = (clips[name].to_numpy(dtype=str) for name in ("emotion", "speaker"))
        test = (clips["side"] == "test").to_numpy()
        return estimate(data, emotions, speakers, test=test, seed=seed, jobs=jobs, cluster=cluster)
    except (CorpusError, ValueError):  # no recording can be used, or too few speak or differ
        return None


def estimate(
    data: Features, emotions: NDArray[np.str_], speakers: NDArray[np.str_], *,
    test: NDArray[np.bool_], seed: int = 0, jobs: int | None = None, cluster: str | None = None,
) -> Inflation:  # fmt: skip
    """Score a model on the clips that `test` marks, and on speaker-disjoint folds of all clips."""
    most = min(len(np.unique(speakers)), 10)  # one speaker cannot be divided: the splitter raises
    n_folds = int(np.clip(round(len(test) / max(test.sum(), 1)), 2, most))
    given = Fold("given", np.flatnonzero(~test), np.flatnonzero(test))
    folds = [given, *grouped(emotions, speakers, n_folds, seed)]
    if any(len(np.unique(emotions[fold.train])) < 2 for fold in folds):
        raise ValueError("without the held-out speakers, all training clips have one emotion")
    estimator = models.get(MODEL).build(seed)
    units = [engine.Unit(estimator, data, emotions, fold) for fold in folds]
    predicted = {n: o.predicted for n, o in engine.run(units, jobs=jobs, cluster=cluster)}
    claimed = metrics.uar(emotions[test], np.array(predicted.pop(0)))
    unseen = np.empty_like(emotions)
    for n, labels in predicted.items():
        unseen[folds[n].test] = labels
    honest = metrics.uar(emotions, unseen)
    return Inflation(models.get(MODEL).title, claimed, honest, claimed - honest, n_folds)
