"""Compares the voices of a corpus with its speakers, and groups clips by voice where nobody names any.

Groups are made by Ward's method (JASA 58, 1963); ``benchmarks/voices.py`` says how often it errs.
"""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .. import features, voices
from ..corpus import Corpus
from ..errors import CorpusError
from ..files import sentence
from ..protocols import N_FOLDS, VOICE_FOLDS, VOICES, split_name
from ..voices import VoiceCheck
from .extraction import Dataset, Progress, extract
from .store import Store

#: Groups are merged up to this share of the height at which all are one. Lower heights divide a voice,
#: which is worse than two voices in one group: it would stand on both sides of a fold.
HEIGHT = 0.35
CLIPS_A_GROUP = 8  # on average at least: of fewer the heights tell nothing
MAX_CLIPS = 5_000  # clustered at once, 100 MB of distances; others join the nearest group
STYLE = ("emotion", "intensity")  # columns that together say how a clip is spoken


def check_or_group(
    corpus: Corpus, protocol: str, *, store: Store | None = None, jobs: int | None = None,
    cluster: str | None = None, progress: Progress | None = None,
) -> Corpus:  # fmt: skip
    """Group clips by voice where the protocol needs that, else check the speakers by their voices.

    The corpus comes back with the outcome in ``voices``, and with doubts among its notes.
    """

    def embedded(clips: pd.DataFrame) -> Dataset:
        part = dataclasses.replace(corpus, table=clips, rejected=[], notes=[])
        voice = features.get("voice")
        return extract(part, [voice], store=store, jobs=jobs, cluster=cluster, progress=progress)

    if split_name(protocol)[0] == VOICE_FOLDS:
        return _grouped(corpus, embedded(corpus.table))
    checks = check_speakers(corpus.table, embedded)
    doubts = [doubt for check in checks.values() for doubt in check.suspicions]
    return corpus.noting(*doubts, voices=words(checks))


def words(checks: Mapping[str, VoiceCheck]) -> str:
    """The outcome for each corpus, in sentences."""
    several = len(checks) > 1
    return " ".join(f"{n}: {check.text}" if several else check.text for n, check in checks.items())


def check_speakers(
    table: pd.DataFrame, embedded: Callable[[pd.DataFrame], Dataset]
) -> dict[str, VoiceCheck]:
    """Check the speakers of each corpus in a table; `embedded` gives the embeddings of a part."""
    parts = ((str(n), p.reset_index(drop=True)) for n, p in table.groupby("corpus", sort=False))
    return {name: _check(clips, embedded) for name, clips in parts}


def _check(clips: pd.DataFrame, embedded: Callable[[pd.DataFrame], Dataset]) -> VoiceCheck:
    names = clips["speaker"].to_numpy(dtype=str)
    rows, reason = voices.to_embed(names)
    if reason:
        return VoiceCheck(left_out=reason)
    try:
        embeddings = embedded(clips.iloc[rows])
    except CorpusError:
        return VoiceCheck(left_out="no recording can be read")
    table = embeddings.corpus.table
    vectors = np.asarray(embeddings.features["vector"].X)
    check = voices.verify(vectors, table["speaker"].to_numpy(dtype=str), styles(table))
    n_named = len(set(names) - {""})
    return check if check.left_out else dataclasses.replace(check, n_few=n_named - check.n_names)


def styles(table: pd.DataFrame) -> NDArray[np.str_]:
    """How each clip is spoken, as far as a table tells."""
    told = [table[column].fillna("").astype(str) for column in STYLE if column in table]
    return np.array([" ".join(words) for words in zip(*told, strict=True)], dtype=str)


def _grouped(corpus: Corpus, embeddings: Dataset) -> Corpus:
    if len(embeddings.corpus) < len(corpus):
        raise CorpusError(f"voices cannot be grouped: {embeddings.corpus.rejected[0]}")
    vectors = np.asarray(embeddings.features["vector"].X)
    groups = group(vectors, styles=styles(corpus.table), least=N_FOLDS)
    said = sentence("grouped", n=len(corpus), groups=groups.max() + 1)
    table = corpus.table.assign(**{VOICES: [f"voice {number + 1:02d}" for number in groups]})
    return dataclasses.replace(corpus, table=table.astype({VOICES: object}), voices=said)


def group(
    embeddings: NDArray[np.float32], n: int | None = None, *,
    styles: NDArray[np.str_] | None = None, least: int = 1,
) -> NDArray[np.intp]:  # fmt: skip
    """The group of every recording by its voice, numbered from 0 as they first occur: (n_clips,).

    What moves the embeddings (n_clips, 256) of one of the `styles`, emotions, alike is not the voice.
    Where `n` is estimated, it is no more than an eighth of the clips, but `least`.
    """
    from scipy.cluster.hierarchy import fcluster, linkage

    n_clips = len(embeddings)
    if n_clips < 2:
        return np.zeros(n_clips, dtype=np.intp)
    clips = embeddings.astype(np.float64)
    if styles is not None:
        for style in np.unique(styles):
            clips[styles == style] -= clips[styles == style].mean(axis=0)
        clips /= np.maximum(np.linalg.norm(clips, axis=1, keepdims=True), 1e-9)
    seen = np.sort(np.random.default_rng(0).permutation(n_clips)[:MAX_CLIPS])
    tree = linkage(clips[seen], "ward")
    if n is None:
        n_high = 1 + int((tree[:, 2] > HEIGHT * tree[-1, 2]).sum())
        n = max(least, min(n_high, n_clips // CLIPS_A_GROUP))
    labels = fcluster(tree, min(n, len(seen)), "maxclust")
    if n_clips > MAX_CLIPS:
        means = np.stack([clips[seen][labels == k].mean(axis=0) for k in np.unique(labels)])
        labels = np.argmin(np.square(means).sum(axis=1) - 2 * clips @ means.T, axis=1)
    _, first, positions = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[positions]
