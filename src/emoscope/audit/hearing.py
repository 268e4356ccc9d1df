"""Whether the speakers that a split names are voices, as far as their recordings tell."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import pandas as pd

from ..corpus import Corpus
from ..dataset import extraction, voices
from ..dataset.store import Store
from ..features import get
from ..labels import EMOTIONS
from ..voices import VoiceCheck
from .checks import Evidence
from .sources import Split


def check(
    splits: Sequence[Split], *, jobs: int | None = None, cluster: str | None = None
) -> Mapping[str, VoiceCheck]:
    """Check the speakers of each corpus; nothing where no clip of a known emotion is at hand."""
    clips = pd.concat([split.clips for split in splits]).drop_duplicates(["listed", "start", "end"])
    known = clips[(clips["path"] != "") & clips["emotion"].isin(EMOTIONS)].reset_index(drop=True)
    table = known.assign(clip=known.index.astype(str), label=known["emotion"])
    work = functools.partial(
        extraction.extract, features=[get("voice")], store=Store(), jobs=jobs, cluster=cluster
    )
    return voices.check_speakers(table, lambda part: work(Corpus("audited", part)))


def evidence(
    checks: Mapping[str, VoiceCheck], splits: Sequence[Split]
) -> dict[str, list[Evidence]]:
    """What the checks found, by kind of finding; of pairs of names, on which sides they stand."""
    found: dict[str, list[Evidence]] = {}
    for finding in (finding for check in checks.values() for finding in check.findings):
        kind = str(finding.kind)
        if len(finding.names) == 2 and any(_divides(split, *finding.names) for split in splits):
            kind = "voice-on-both-sides"
        piece = {"speakers": list(finding.names), "score": round(finding.score, 3)}
        found.setdefault(kind, []).append(piece)
    return found


def _divides(split: Split, one: str, other: str) -> bool:
    clips = split.clips
    sides = [set(clips.loc[clips["speaker"] == name, "side"]) for name in (one, other)]
    return any(a != b for a in sides[0] for b in sides[1])
