"""What a corpus is to emoscope: its facts, its label map and the rule of its file names."""

import dataclasses
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path, PurePath
from typing import Any, TypeAlias

import pandas as pd

from ..audio.opening import SOUND_ENDINGS, below
from ..errors import AudioError

Row: TypeAlias = dict[str, Any]

#: The columns that every table of clips has, all text; see :mod:`emoscope.corpus`.
COLUMNS = ("clip", "path", "emotion", "label", "speaker", "corpus")

#: Folder names that are splits and not speakers → name of the split.
SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("dev", "val", "valid", "validation", "evaluation"), "dev"),
    **dict.fromkeys(("test", "testing"), "test"),
}


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


Facts: TypeAlias = Mapping[str, Collection[str] | Mapping[str, Any]]

_TOLD = (
    "label", "speaker", "gender", "text", "intensity", "repetition", "channel", "modality", "split"
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Naming:
    """How a corpus names its clips: the form of a name, and what exists of each of its fields.

    Fields called as a column fill it, with what a mapping in `facts` makes of the value, which may be
    further columns; a ``statement`` is also the ``text``, which has blanks for underscores. A name of
    the form with other values is of another recording.
    """

    #: Regular expression of the end of a path, without its ending; the named groups are the fields.
    form: str
    facts: Facts  # field → the values that exist; of fields that are not here any does
    #: Fields → what else they tell; a KeyError is a combination that does not exist.
    tell: Callable[[Row], Row] = lambda fields: {}
    any_case: bool = False  # of letters; the fields are in lower case then

    def fields(self, path: PurePath) -> Row | None:
        """The fields of a name of the form; None for other names."""
        text = "/".join([*path.parts[-5:-1], path.stem])
        flags = re.DOTALL | (re.IGNORECASE if self.any_case else 0)
        match = re.fullmatch(f"(?:.*/)?(?:{self.form})", text, flags)
        if match is None:
            return None
        fields = {name: value for name, value in match.groupdict().items() if value}
        return {n: v.lower() for n, v in fields.items()} if self.any_case else fields

    def foreign(self, fields: Row) -> Row:
        """Those fields whose value does not exist in the corpus."""
        return {n: v for n, v in fields.items() if v not in self.facts.get(n, (v,))}

    def __call__(self, path: PurePath) -> Row | None:
        """The row of a clip, or None when there is no clip of this name."""
        fields = self.fields(path)
        if fields is None or self.foreign(fields):
            return None
        row, further = Row(), Row()
        for name, value in fields.items():
            facts = self.facts.get(name)
            meant = facts[value] if isinstance(facts, Mapping) else value
            if isinstance(meant, Mapping):
                further |= filled(meant, fields)
            if isinstance(meant, Mapping) or name == "label":
                meant = value
            if name == "statement":
                row |= {"text": meant, "statement": value}
            elif name in _TOLD:
                row[name] = meant.replace("_", " ") if name == "text" else meant
        try:
            return row | self.tell(fields) | further
        except KeyError:
            return None


def filled(columns: Mapping[str, Any], fields: Row) -> Row:
    """Columns with the values of fields, which their texts have as ``{speaker}``."""
    return {c: v.format_map(fields) if isinstance(v, str) else v for c, v in columns.items()}


@dataclasses.dataclass(frozen=True)
class CorpusInfo:
    """A published corpus: what it is, where it comes from, how its file names are read."""

    name: str
    title: str
    licence: str
    citation: str
    homepage: str
    label_map: Mapping[str, str]  # the corpus's own label → common emotion name
    #: Path → row of a clip (``label``, ``speaker``; ``clip`` where the stem does not identify it) or
    #: None: a :class:`Naming`, or any function.
    parse: Callable[[PurePath], Row | None]
    file_names: str  # that rule in words, for messages
    example: str  # the path of one clip, relative to the corpus folder
    downloads: tuple[Download, ...] = ()  # what ``emoscope get`` fetches
    obtain: str = ""  # how to get it otherwise
    #: Folder of the corpus and rows of its clips → further columns of each, from files beside them.
    annotate: Callable[[Path, Mapping[PurePath, Row]], Mapping[PurePath, Row]] | None = None
    #: Label that is no emotion → what it means; the empty label is one that `annotate` has to tell.
    no_emotion: Mapping[str, str] = dataclasses.field(default_factory=dict)
    performance: str = "{clip}"  # columns that are equal in several recordings of one performance

    def row(self, path: PurePath) -> Row | None:
        """What the name of a clip tells, or None for others; the emotion is empty where it is none."""
        parsed = self.parse(path)
        emotion = None if parsed is None else self.label_map.get(parsed["label"], "")
        if parsed is None or not (emotion or parsed["label"] in self.no_emotion):
            return None
        clip = {"clip": path.stem, "path": str(path), "emotion": emotion, "corpus": self.name}
        return clip | parsed

    def rows(self, paths: Iterable[PurePath]) -> dict[PurePath, Row]:
        """The row of each path that is a clip of this corpus; see :meth:`row`."""
        return {path: row for path in paths if (row := self.row(path)) is not None}

    def annotated(
        self, root: Path, rows: Mapping[PurePath, Row], labels: Mapping[str, str]
    ) -> dict[PurePath, Row]:
        """The rows with what accompanying files tell, and with emotions also by the user's labels."""
        told = self.annotate(root, rows) if self.annotate is not None else {}
        full = {path: row | told.get(path, {}) for path, row in rows.items()}
        words = {**self.label_map, **labels}
        return {path: row | {"emotion": words.get(row["label"], "")} for path, row in full.items()}

    def table(self, root: Path, rows: Mapping[PurePath, Row]) -> pd.DataFrame:
        """The table of the clips below `root`, sorted; of each performance the audio nearest to it."""
        clips: dict[tuple[str, str], Row] = {}
        for path in sorted(rows, key=lambda path: _rank(path, rows[path])):
            performance = self.performance.format_map(rows[path])
            clips.setdefault((performance, rows[path]["label"]), rows[path])
        chosen = [dict(row) for row in clips.values()]
        count = Counter(row["clip"] for row in chosen)
        for row in chosen:
            row["clip"] += f"_{row['label']}" if count[row["clip"]] > 1 else ""
        return as_table(sorted(chosen, key=lambda row: str(row["clip"])))


def lines_beside(root: Path, pattern: str) -> dict[Path, list[str]]:
    """The lines of a corpus's own files: anywhere below `root`, or else up to two folders above."""
    for found in (root.rglob(pattern), root.parent.glob(pattern), root.parent.parent.glob(pattern)):
        if files := sorted(p for p in found if p.is_file() and not p.name.startswith(".")):
            return {p: p.read_bytes().decode("utf-8-sig", "replace").splitlines() for p in files}
    return {}


def is_film(path: PurePath) -> bool:
    """Whether a recording is a film by its ending."""
    return path.suffix.lower().lstrip(".") not in SOUND_ENDINGS


def _rank(path: PurePath, row: Row) -> tuple[bool, bool, int, str]:
    return row.get("modality", "audio") != "audio", is_film(path), len(path.parts), str(path)


def as_table(rows: Iterable[Row]) -> pd.DataFrame:
    """Rows as a table, :data:`COLUMNS` first; of Python's text, for Arrow's cannot hold every path."""
    table = pd.DataFrame(list(rows), dtype=object)
    table = table.reindex(columns=[*COLUMNS, *(c for c in table if c not in COLUMNS)])
    for name in table:
        values = table[name]
        if len(values) and all(type(value) is int for value in values):
            table[name] = values.astype("int64")
    return table


def list_audio(
    root: str | os.PathLike[str], endings: Collection[str] = SOUND_ENDINGS
) -> tuple[list[Path], list[AudioError]]:
    """Every file with one of the endings below a folder, sorted, and the folders not readable."""
    unreadable: list[OSError] = []
    recordings = sorted(map(Path, below(root, endings, unreadable.append)))
    errors = [AudioError(e.filename, f"folder cannot be read: {e.strerror}") for e in unreadable]
    return recordings, errors
