"""Hears a corpus: are its names voices, and which clips are of one voice where nobody says?"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .. import features, voices
from ..corpus import Corpus
from ..errors import CorpusError
from ..protocols import N_FOLDS, VOICE_FOLDS, VOICES, split_name
from ..voices import VoiceCheck
from .extraction import Dataset, Progress, extract
from .store import Store

STYLE = ("emotion", "intensity")  # columns that together say how a clip is spoken


def hear(
    corpus: Corpus,
    protocol: str,
    *,
    store: Store | None = None,
    jobs: int | None = None,
    cluster: str | None = None,
    progress: Progress | None = None,
) -> Corpus:
    """Group the voices of a corpus where its protocol needs that, else check its speakers by ear.

    The corpus comes back with what was heard in ``voices`` and, of what is to be known, among the
    notes. CorpusError when voices are to be grouped and a clip cannot be read.
    """

    def embedded(clips: pd.DataFrame) -> Dataset:
        return extract(
            dataclasses.replace(corpus, table=clips, rejected=[], notes=[]),
            [features.get("voice")],
            store=store, jobs=jobs, cluster=cluster, progress=progress,
        )  # fmt: skip

    if split_name(protocol)[0] == VOICE_FOLDS:
        return _grouped(corpus, embedded(corpus.table))
    checks = check_speakers(corpus.table, embedded)
    doubts = [doubt for check in checks.values() for doubt in check.suspicions]
    return dataclasses.replace(corpus, voices=words(checks), notes=[*corpus.notes, *doubts])


def words(checks: Mapping[str, VoiceCheck]) -> str:
    """What was heard of each corpus, in sentences."""
    several = len(checks) > 1
    return " ".join(f"{n}: {check.text}" if several else check.text for n, check in checks.items())


def check_speakers(
    table: pd.DataFrame, embedded: Callable[[pd.DataFrame], Dataset]
) -> dict[str, VoiceCheck]:
    """Check the speakers of each corpus in a table by ear; `embedded` gives the voices of a part."""
    return {
        str(name): _check(clips.reset_index(drop=True), embedded)
        for name, clips in table.groupby("corpus", sort=False)
    }


def _check(clips: pd.DataFrame, embedded: Callable[[pd.DataFrame], Dataset]) -> VoiceCheck:
    names = clips["speaker"].to_numpy(dtype=str)
    rows, reason = voices.to_embed(names)
    if reason:
        return VoiceCheck(left_out=reason)
    try:
        heard = embedded(clips.iloc[rows])
    except CorpusError:
        return VoiceCheck(left_out="no recording can be read")
    table = heard.corpus.table
    vectors, speakers = np.asarray(heard.features["vector"].X), table["speaker"].to_numpy(dtype=str)
    check = voices.verify(vectors, speakers, styles(table))
    n_named = len(set(names) - {""})
    return check if check.left_out else dataclasses.replace(check, n_few=n_named - check.n_names)


def styles(table: pd.DataFrame) -> NDArray[np.str_]:
    """How each clip is spoken, as far as a table tells."""
    told = [table[column].fillna("").astype(str) for column in STYLE if column in table]
    return np.array([" ".join(words) for words in zip(*told, strict=True)], dtype=str)


def _grouped(corpus: Corpus, heard: Dataset) -> Corpus:
    if len(heard.corpus) < len(corpus):
        raise CorpusError(f"voices cannot be grouped: {heard.corpus.rejected[0]}")
    vectors = np.asarray(heard.features["vector"].X)
    groups = voices.group(vectors, styles=styles(corpus.table), least=N_FOLDS)
    said = (
        f"{len(corpus)} clips were put into {groups.max() + 1} groups by the sound of their voices; "
        "a group may hold several speakers, and some clips are in a wrong one."
    )
    table = corpus.table.assign(**{VOICES: [f"voice {number + 1:02d}" for number in groups]})
    return dataclasses.replace(corpus, table=table.astype({VOICES: object}), voices=said)
