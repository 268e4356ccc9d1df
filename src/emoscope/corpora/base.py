"""What a corpus is to emoscope: its facts, its label map and the rule of its file names."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePath
from typing import Any, TypeAlias

import pandas as pd

from ..audio.opening import SOUND_ENDINGS
from ..errors import AudioError

Row: TypeAlias = dict[str, Any]

#: The columns that every table of clips has, all text; see :mod:`emoscope.corpus`.
COLUMNS = ("clip", "path", "emotion", "label", "speaker", "corpus")


@dataclasses.dataclass(frozen=True)
class Download:
    """One file of a corpus on its publisher's server."""

    url: str
    size: int | None = None  # bytes; None where the publisher does not state it, as with md5
    md5: str | None = None  # hexadecimal
    part: str = ""  # what it holds where a corpus comes in parts: "speech", "song"

    @property
    def file_name(self) -> str:
        """The last part of the URL's path."""
        return self.url.split("?")[0].rsplit("/", 1)[-1]


@dataclasses.dataclass(frozen=True)
class CorpusInfo:
    """A published corpus: what it is, where it comes from, how its file names are read."""

    name: str
    title: str
    licence: str
    citation: str
    homepage: str
    label_map: Mapping[str, str]  # the corpus's own label → common emotion name
    #: Path of a clip → its row (``label``, ``speaker``, and ``clip`` where the file's stem does not
    #: identify the clip), or None when the name does not follow the corpus's rule (see :func:`by_stem`).
    parse: Callable[[PurePath], Row | None]
    file_names: str  # that rule in words, for messages
    example: str  # the path of one clip, relative to the corpus folder
    downloads: tuple[Download, ...] = ()  # what ``emoscope get`` fetches
    obtain: str = ""  # how to get it otherwise
    #: Folder of the corpus → facts of each speaker that only an accompanying file tells.
    speaker_facts: Callable[[Path], Mapping[str, Row]] | None = None

    def row(self, path: PurePath) -> Row | None:
        """Everything the name of a clip tells, or None when it is not a clip of this corpus."""
        parsed = self.parse(path)
        if parsed is None or parsed["label"] not in self.label_map:
            return None
        emotion = self.label_map[parsed["label"]]
        clip = {"clip": path.stem, "path": str(path), "emotion": emotion, "corpus": self.name}
        return {**clip, **parsed}

    def rows(self, paths: Iterable[PurePath]) -> dict[PurePath, Row]:
        """The row of each path that is a clip of this corpus; see :meth:`row`."""
        return {path: row for path in paths if (row := self.row(path)) is not None}

    def table(self, root: Path, rows: Mapping[PurePath, Row]) -> pd.DataFrame:
        """The table of the clips below `root`, sorted; of copies of one the nearest to it counts."""
        clips: dict[str, Row] = {}
        for path in sorted(rows, key=lambda path: (len(path.parts), str(path))):
            clips.setdefault(rows[path]["clip"], rows[path])
        facts = self.speaker_facts(root) if clips and self.speaker_facts is not None else {}
        return as_table(
            {**clips[clip], **facts.get(clips[clip]["speaker"], {})} for clip in sorted(clips)
        )


def by_stem(pattern: str, tell: Callable[[Row], Row], path: PurePath) -> Row | None:
    """What `tell` makes of a pattern's named groups, when the clip's stem matches it.

    A code that its tables do not have (KeyError) is of no clip of the corpus.
    """
    fields = re.fullmatch(pattern, path.stem)
    with contextlib.suppress(KeyError):
        return tell(fields.groupdict()) if fields else None
    return None


def as_table(rows: Iterable[Row]) -> pd.DataFrame:
    """Rows as a table that has at least :data:`COLUMNS`, in that order.

    Text stays Python text: a path may hold bytes that are not UTF-8, which Arrow text cannot.
    """
    table = pd.DataFrame(list(rows), dtype=object)
    table = table.reindex(columns=[*COLUMNS, *(c for c in table if c not in COLUMNS)])
    for name in table:
        values = table[name]
        if len(values) and all(type(value) is int for value in values):
            table[name] = values.astype("int64")
    return table


def list_audio(root: str | os.PathLike[str]) -> tuple[list[Path], list[AudioError]]:
    """Find every sound file below a folder, sorted, and every folder that cannot be read.

    Films are left alone, for many corpora hold each clip as a film too; so are hidden files and the
    resource forks that macOS puts into archives. Links to folders are followed, each folder once.
    """
    recordings: list[Path] = []
    unreadable: list[OSError] = []
    seen: set[tuple[int, int]] = set()
    for folder, subfolders, files in os.walk(root, onerror=unreadable.append, followlinks=True):
        info = os.stat(folder)
        if (info.st_dev, info.st_ino) in seen:
            subfolders.clear()
            continue
        seen.add((info.st_dev, info.st_ino))
        subfolders[:] = sorted(s for s in subfolders if s != "__MACOSX" and not s.startswith("."))
        for file in files:
            ending = os.path.splitext(file)[1].lower().lstrip(".")
            if ending in SOUND_ENDINGS and not file.startswith("."):
                recordings.append(Path(folder, file))
    errors = [AudioError(e.filename, f"folder cannot be read: {e.strerror}") for e in unreadable]
    return sorted(recordings), errors
