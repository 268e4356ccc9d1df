"""Parts of recordings that an annotation file or a table gives, whether or not it labels them."""

from __future__ import annotations

import dataclasses
import math
import os

from ..errors import CorpusError
from . import rows, times


@dataclasses.dataclass(frozen=True)
class Segment:
    """A part of a recording and what was written of it."""

    file: str  # path of the recording named, or of the one beside of the same name; empty: unknown
    start: float  # seconds; NaN: its beginning
    end: float  # seconds; NaN: its end
    label: str = ""  # as written
    tier: str = ""
    speaker: str = ""
    channel: str = ""  # "left", "right", "3" …; empty: not told
    problem: str = ""  # why its times cannot be used; empty when they can


def read(path: str | os.PathLike[str]) -> list[Segment]:
    """Read the segments of a TextGrid, EAF, SRT, WebVTT or Label Studio file, or of any table.

    They are in the order of the file and of all its tiers. One without readable times has NaN, and
    ``problem`` says why; a file that cannot be read or tells no times at all is a CorpusError.
    """
    files = rows.find(path)
    if files is None:
        raise CorpusError(
            f"{path}: no such file, or none that tells parts of recordings; those end in "
            f"{', '.join(rows.SUFFIXES)}"
        )
    listed = rows.read(files, labelled=False).rows
    if not listed:
        raise CorpusError(f"{path}: holds no parts; intervals without text and points are none")
    if not any(row.get("start") or row.get("end") for row in listed):
        raise CorpusError(
            f"{path}: tells no times; its columns of times may be called start and end (seconds), "
            f"or start and duration. Found: {', '.join(k for k in listed[0] if k != 'path')}"
        )
    return list(map(_segment, listed))


def _segment(row: rows.Row) -> Segment:
    start, end = row.get("start", ""), row.get("end", "")
    problem = times.problem(start, end)
    first, last = (math.nan, math.nan) if problem else (times.seconds(start), times.seconds(end))
    names = ("label", "tier", "speaker", "audio_channel")
    label, tier, speaker, channel = (row.get(name, "") for name in names)
    return Segment(row["path"], first, last, label, tier, speaker, channel, problem)
