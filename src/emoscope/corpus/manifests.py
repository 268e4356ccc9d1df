"""Manifests: tables that name clips, their emotions and their speakers.

What is read: CSV (comma, semicolon or tab), Parquet and JSON Lines with one clip per row; the
folders of EmoBox (``…_train_….jsonl`` and ``…_test_….jsonl``), of Hugging Face (``metadata.csv``)
and of audformat (``db.yaml``, :mod:`emoscope.corpus.audformat`). Columns may have any of the names in
:data:`ALIASES`; further columns are kept as they are.

A file is looked for relative to the manifest, and failing that relative to the folders above it, as
in EmoBox whose paths start at the root of its repository. Labels are read through
:data:`emoscope.labels.SYNONYMS`; when the column ``corpus`` names a corpus that emoscope knows, its
own codes are understood too, and what its file names tell fills the columns that are missing.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath

import pandas as pd

from .. import corpora
from ..audio.opening import STORES, URL, refusal
from ..corpora.base import COLUMNS, Row, as_table
from ..corpora.folders import SPLITS
from ..errors import AudioError, CorpusError, UnknownNameError
from ..files import printable
from ..labels import EMOTIONS, canonical
from . import audformat
from .references import SUFFIXES, read_rows

ALIASES: Mapping[str, tuple[str, ...]] = {
    "clip": ("clip", "key"),
    "path": ("file", "path", "wav", "audio", "file_name", "filename", "filepath", "audio_path"),
    "label": ("emotion", "emo", "label"),
    "speaker": ("speaker", "spk", "speaker_id", "speakerid", "actor", "subject"),
    "corpus": ("corpus", "dataset"),
    "gender": ("gender", "sex"),
    "text": ("text", "transcription", "transcript", "sentence"),
    "split": ("split", "partition", "subset"),
}
"""Column of a corpus table → the names it may have in a manifest; the first found counts."""

GENDERS: Mapping[str, str] = {
    "f": "female",
    "female": "female",
    "w": "female",
    "woman": "female",
    "m": "male",
    "male": "male",
    "man": "male",
}
"""Words for the gender of a speaker; others are dropped."""

_MAX_PARENTS = 4  # how many folders above a manifest its relative paths may start at
_SAMPLE = 20  # rows whose files decide which folder that is
_SPLIT = re.compile(r"(?:^|[_.\-])(" + "|".join(SPLITS) + r")(?=[_.\-0-9]|$)", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Contents:
    """What a manifest says.

    Attributes
    ----------
    name : str
        The corpus it names, else its own file name.
    table : pandas.DataFrame
        The usable rows, with the columns of :class:`emoscope.corpus.Corpus`.
    rejected : list of AudioError
        The other rows, and tables of a database that contradict each other.
    licence : str
        As far as the manifest states it.
    """

    name: str
    table: pd.DataFrame
    rejected: list[AudioError]
    licence: str = ""


def find(source: str | os.PathLike[str]) -> list[Path] | None:
    """Return the manifest files that a source names or holds; None when it is not a manifest."""
    path = Path(source)
    if path.is_file():
        return [path] if path.name == audformat.HEADER or path.suffix.lower() in SUFFIXES else None
    if not path.is_dir():
        return None
    if (path / audformat.HEADER).is_file():
        return [path / audformat.HEADER]
    for pattern in ("metadata{}", "*/metadata{}"):
        found = sorted(p for s in SUFFIXES for p in path.glob(pattern.format(s)) if p.is_file())
        if found:
            return found
    splits = sorted(p for p in path.glob("*.jsonl") if _SPLIT.search(p.stem) and p.is_file())
    return splits or None


def read(paths: Sequence[Path], *, labels: Mapping[str, str] | None = None) -> Contents:
    """Read the manifest files that :func:`find` returned.

    Parameters
    ----------
    paths : sequence of Path
        The parts of one manifest; each part's split is taken from its name or folder.
    labels : mapping of str to str, optional
        The manifest's words → emotions, for words emoscope does not know.

    Raises
    ------
    CorpusError
        When a file cannot be read, has no column of files or emotions, or no usable row.
    UnknownNameError
        When every row has a label and none means an emotion.
    """
    own = _own_labels(paths[0], labels)
    doubts: list[AudioError] = []
    if paths[0].name == audformat.HEADER:
        database = audformat.read(paths[0].parent)
        name, licence, doubts = database.name, database.licence, database.doubts
        parts = [(paths[0], [_renamed(row, paths[0]) for row in database.rows])]
    else:
        several = len(paths) > 1
        folder = os.path.commonpath([path.resolve().parent for path in paths])
        name, licence = os.path.basename(folder) if several else paths[0].stem, ""
        parts = [(path, list(_part(path, named=several))) for path in paths]
    named = [bool(row.get("corpus")) for _, rows in parts for row in rows]
    if any(named) and not all(named):
        raise CorpusError(
            f"{paths[0]}: {named.count(False)} of {len(named)} rows name no corpus; with some rows "
            "named and others not, one speaker would count as two"
        )
    reader = _Rows(printable(name), own, doubts)
    for path, rows in parts:
        base = _base(path.parent, rows)
        for row in rows:
            reader.add(row, base)
    return reader.contents(paths[0], licence)


class _Rows:
    """Sorts rows into usable and rejected ones."""

    def __init__(self, name: str, labels: Mapping[str, str], doubts: list[AudioError]) -> None:
        self.name, self.labels = name, labels
        self.rows: dict[str, Row] = {}
        self.listed: dict[str, set[str]] = {}
        self.rejected: list[AudioError] = []
        self.doubts = doubts
        self.unknown: list[str] = []

    def add(self, given: Row, base: Path) -> None:
        """Take one row, with its columns renamed; relative paths start at `base`."""
        file, label = given["path"], given["label"]
        path = file if URL.match(file) else os.path.join(base, file)
        known = corpora.registry.members().get(given.get("corpus", "").lower())
        emotion = canonical(label, self.labels)
        if known and emotion is None:
            emotion = known.label_map.get(label)
        if not file:
            self._reject(f"row {len(self.rows) + len(self.rejected) + 1}", "names no file")
        elif reason := _unreachable(path):
            self._reject(printable(path), reason)
        elif not label:
            self._reject(path, "unlabelled: the manifest gives no emotion")
        elif emotion is None:
            self.unknown.append(label)
            self._reject(path, f"label '{printable(label)}' is not an emotion emoscope knows")
        elif given.get("split", "") in self.listed.setdefault(path, set()):
            self._reject(path, "listed more than once; its first row is used")
        else:
            self.listed[path].add(given.get("split", ""))
            told = (known.row(PurePath(file)) or {}) if known else {}
            row = {**told, **{k: v for k, v in given.items() if v != "" or k not in told}}
            row |= {"path": path, "emotion": emotion, "label": printable(label)}
            row["corpus"] = known.name if known else row.get("corpus") or self.name
            row["speaker"] = row.get("speaker", "")
            row["clip"] = self._clip(told.get("clip") or given.get("clip") or printable(file))
            self.rows[row["clip"]] = row

    def _clip(self, name: str) -> str:
        """A name that no clip has yet; a file listed in two splits becomes two clips."""
        clip, count = name, 1
        while clip in self.rows:
            count += 1
            clip = f"{name}#{count}"
        return clip

    def _reject(self, path: str, reason: str) -> None:
        self.rejected.append(AudioError(path, reason))

    def contents(self, path: Path, licence: str) -> Contents:
        """The outcome, once every row was added."""
        if not self.rows and self.unknown and len(self.unknown) == len(self.rejected):
            raise UnknownNameError("emotion", printable(self.unknown[0]), EMOTIONS)
        if not self.rows:
            why = f", the first because it is {self.rejected[0]}" if self.rejected else ""
            raise CorpusError(f"{path}: none of its {len(self.rejected)} rows can be used{why}")
        table = as_table(self.rows.values()).astype(object)
        table = table.where(table.notna(), "")
        named = pd.unique(table["corpus"])
        name = named[0] if len(named) == 1 else self.name
        return Contents(name, table, [*self.doubts, *self.rejected], licence)


def _unreachable(path: str) -> str:
    """Why a manifest may not name this file; empty when it may.

    A manifest may come from anybody. What it names in an object store is asked of the host that the
    user has set up; with an address on the web it would choose which hosts this machine asks.
    """
    if URL.match(path):
        return refusal(path, STORES)
    try:
        return "no file can have this name" if b"\0" in os.fsencode(path) else ""
    except UnicodeEncodeError:
        return "no file can have this name"


def _part(path: Path, *, named: bool) -> Iterator[Row]:
    """Rows of one file; with `named` its split is in its own name or its folder's."""
    split = ""
    if named:
        split = split_in(path.stem) or split_in(path.parent.name)
    for raw in read_rows(path):
        row = _renamed(raw, path)
        yield {"split": split, **row} if split else row


def _renamed(raw: Row, path: Path) -> Row:
    """A row with the column names of a corpus table and every value as text."""
    given = {key.strip().lower(): key for key in raw}
    row: Row = {}
    used: set[str] = set()
    for column, names in ALIASES.items():
        name = next((name for name in names if name in given), None)
        if name is not None:
            used.add(given[name])
            if column == "path" and isinstance(raw[given[name]], dict | bytes):
                raise CorpusError(f"{path}: holds the audio itself; save the clips as files")
            row[column] = as_text(raw[given[name]])
    for column, what in (("path", "files"), ("label", "emotions")):
        if column not in row:
            raise CorpusError(
                f"{path}: no column of {what}; it may be called {', '.join(ALIASES[column])}. "
                f"Found: {', '.join(printable(key) for key in raw) or 'nothing'}"
            )
    for key, value in raw.items():
        name = printable(key.strip().lower())
        if key not in used and name not in COLUMNS and name not in row and name:
            row[name] = printable(as_text(value))
    if "split" in row:
        row["split"] = SPLITS.get(row["split"].lower(), row["split"])
    if "gender" in row:
        row["gender"] = GENDERS.get(row["gender"].lower(), "")
    for column in ("clip", "speaker", "corpus", "text", "split"):
        if column in row:
            row[column] = printable(row[column])
    return row


def split_in(name: str) -> str:
    """The split that the name of a file or folder tells: ``train``, ``dev``, ``test`` or none."""
    match = _SPLIT.search(name)
    return SPLITS[match[1].lower()] if match else ""


def as_text(value: object) -> str:
    """A cell as text; missing values are empty, whole numbers have no decimal point."""
    if value is None or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, bytes):  # text in a Parquet column that does not say so
        return value.decode("utf-8", "backslashreplace").strip()
    return str(value).strip()


def _base(folder: Path, rows: Sequence[Row]) -> Path:
    """The folder that relative paths start at: the manifest's own, or one above it."""
    files = [row["path"] for row in rows[:_SAMPLE] if row["path"]]
    above = [folder, *folder.resolve().parents[:_MAX_PARENTS]]
    there = (base for base in above if any(os.path.exists(base / file) for file in files))
    return next(there, folder)


def _own_labels(path: Path, labels: Mapping[str, str] | None) -> dict[str, str]:
    """The caller's words, and those of EmoBox's ``label_map.json`` beside or above a manifest."""
    own: dict[str, str] = {}
    for folder in (path.parent, path.parent.parent):
        file = folder / "label_map.json"
        if path.suffix.lower() == ".jsonl" and file.is_file():
            try:
                found = json.loads(file.read_text(encoding="utf-8"))
            except (OSError, ValueError, RecursionError) as error:
                raise CorpusError(f"{file}: not a readable label map: {error}") from None
            pairs = found.items() if isinstance(found, dict) else ()
            meant = ((word, canonical(str(common))) for word, common in pairs)
            own = {word: emotion for word, emotion in meant if emotion}
            break
    return {**own, **(labels or {})}
