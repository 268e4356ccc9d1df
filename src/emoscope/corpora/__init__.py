"""The published corpora that emoscope knows: facts, labels and file names, a file each in this folder."""

from __future__ import annotations

import dataclasses
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path, PurePath
from typing import Any, TypeAlias

import pandas as pd

from ..audio.opening import SOUND_ENDINGS, below
from ..errors import AudioError
from ..files import shipped_table
from ..registry import Registry

Row: TypeAlias = dict[str, Any]

#: The columns that every table of clips has, all text; see :mod:`emoscope.corpus`.
COLUMNS = ("clip", "path", "emotion", "label", "speaker", "corpus")

#: Folder names that are splits and not speakers → name of the split.
SPLITS: Mapping[str, str] = shipped_table("columns.toml")["splits"]
PARTS = ("speech", "song", "both")  # of a corpus that has a column ``channel``

_TOLD = (
    "label", "speaker", "gender", "text", "intensity", "repetition", "channel", "modality", "split"
)  # fmt: skip
#: A few names with values that do not exist are damaged; more of them, or more of one, are not.
_DAMAGED, _RECURRING, _DAMAGED_SHARE = 2, 5, 0.05
#: What a corpus needs to count beside a larger one: clips, labels, share of the folders it lies in.
_CLIPS, _LABELS, _SHARE = 5, 2, 0.05


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
class Naming:
    """How a corpus names its clips: the form of a name, and what exists of each of its fields.

    Fields called as a column fill it, with what a mapping in `facts` makes of the value, which may be
    further columns; a ``statement`` is also the ``text``, which has blanks for underscores. A name of
    the form with other values is of another recording.
    """

    #: Regular expression of the end of a path, without its ending; the named groups are the fields.
    form: str
    #: Field → the values that exist; of fields that are not here any does.
    facts: Mapping[str, Collection[str] | Mapping[str, Any]]
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

    def annotated(
        self, root: Path, rows: Mapping[PurePath, Row], labels: Mapping[str, str]
    ) -> dict[PurePath, Row]:
        """The rows with what accompanying files tell, and with emotions also by the user's labels."""
        told = self.annotate(root, rows) if self.annotate is not None else {}
        full = {path: row | told.get(path, {}) for path, row in rows.items()}
        words = {**self.label_map, **labels}
        return {path: row | {"emotion": words.get(row["label"], "")} for path, row in full.items()}

    def table(self, rows: Mapping[PurePath, Row]) -> pd.DataFrame:
        """The table of the clips, sorted; of each performance the audio nearest to the top folder."""

        def rank(path: PurePath) -> tuple[bool, bool, int, str]:
            is_audio = rows[path].get("modality", "audio") == "audio"
            return not is_audio, is_film(path), len(path.parts), str(path)

        clips: dict[tuple[str, str], Row] = {}
        for path in sorted(rows, key=rank):
            performance = self.performance.format_map(rows[path])
            clips.setdefault((performance, rows[path]["label"]), dict(rows[path]))
        count = Counter(row["clip"] for row in clips.values())
        for row in clips.values():
            row["clip"] += f"_{row['label']}" if count[row["clip"]] > 1 else ""
        return as_table(sorted(clips.values(), key=lambda row: str(row["clip"])))


registry: Registry[CorpusInfo] = Registry(
    "corpus", __name__, fits=lambda member: isinstance(member, CorpusInfo), wanted="a CorpusInfo"
)
names, get, register = registry.names, registry.get, registry.register


@dataclasses.dataclass(frozen=True)
class Match:
    """The paths that are clips of a corpus, and those that have only the form of its names."""

    info: CorpusInfo
    rows: dict[PurePath, Row]
    foreign: dict[PurePath, Row]  # path → those of its fields whose values do not exist

    @classmethod
    def of(cls, info: CorpusInfo, paths: Collection[PurePath]) -> Match:
        """What is among some paths."""
        naming = info.parse if isinstance(info.parse, Naming) else None
        fields = {path: naming.fields(path) if naming else {} for path in paths}
        formed = {path: told for path, told in fields.items() if told is not None}
        rows = {path: row for path in formed if (row := info.row(path)) is not None}
        left = {path: fields for path, fields in formed.items() if path not in rows}
        return cls(info, rows, {p: naming.foreign(told) for p, told in left.items() if naming})

    def without(self, claimed: Collection[PurePath]) -> Match:
        """The match less some paths."""
        rows = {path: row for path, row in self.rows.items() if path not in claimed}
        foreign = {path: told for path, told in self.foreign.items() if path not in claimed}
        return Match(self.info, rows, foreign)

    @property
    def is_other(self) -> bool:
        """Whether these are recordings of another kind, whose names only look alike."""
        values = Counter(item for fields in self.foreign.values() for item in fields.items())
        share = len(self.foreign) / max(1, len(self.foreign) + len(self.rows))
        recurring = max(values.values(), default=0) >= _RECURRING and share > _DAMAGED_SHARE / 5
        return recurring or (len(self.foreign) > _DAMAGED and share > _DAMAGED_SHARE)

    def is_further(self, folders: Mapping[PurePath, int]) -> bool:
        """Whether these are a corpus beside a larger one, not names that look so by accident."""
        labels = {row["label"] for row in self.rows.values()}
        among = sum(folders[folder] for folder in {path.parent for path in self.rows})
        several = len(labels) >= _LABELS or "" in labels
        return several and len(self.rows) >= max(_CLIPS, _SHARE * among)

    def difference(self, paths: Collection[PurePath] | None = None) -> str:
        """In words which values the names have that the corpus has not, of all or some paths."""
        found = defaultdict[str, set[str]](set)
        for path in self.foreign if paths is None else paths:
            for name, value in self.foreign.get(path, {}).items():
                found[name].add(value)
        facts = getattr(self.info.parse, "facts", {})
        return "; ".join(
            f"{name} {_some(values)} ({self.info.name} has {_some(facts[name])})"
            for name, values in sorted(found.items())
        )


def _some(values: Collection[str]) -> str:
    first, *rest = sorted(values)
    return ", ".join([first, *rest]) if len(rest) < 4 else f"{first}, {rest[0]} … {rest[-1]}"


def matches(paths: Collection[PurePath]) -> tuple[list[Match], list[Match]]:
    """The corpora among some paths, largest first, and those whose names only look alike."""
    found = [Match.of(info, paths) for info in registry.members().values()]
    folders = Counter(path.parent for path in paths)
    claimed: set[PurePath] = set()
    corpora, alike = list[Match](), list[Match]()
    for match in sorted(found, key=lambda match: -len(match.rows)):
        match = match.without(claimed)
        if match.is_other:
            alike.append(match)
        elif match.rows and (not corpora or match.is_further(folders)):
            corpora.append(match)
        else:
            continue
        claimed |= match.rows.keys()
    alike = [dataclasses.replace(m, foreign=m.without(claimed).foreign) for m in alike]
    return corpora, [match for match in alike if match.is_other]


def is_film(path: PurePath) -> bool:
    """Whether a recording is a film by its ending."""
    return path.suffix.lower().lstrip(".") not in SOUND_ENDINGS


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
