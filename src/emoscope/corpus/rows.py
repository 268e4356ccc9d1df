"""The one reader of foreign rows: whatever lists recordings, with one name for each column.

A source is a CSV (comma, semicolon or tab), Parquet or JSON Lines file with one clip per row; such
files that belong together, as EmoBox (``…_train_….jsonl``, ``…_test_….jsonl``) and Hugging Face
(``metadata.csv`` in each split's folder) have them; an audformat database; or a list of files.

All values of the rows are text. ``file`` is the recording as the source writes it, ``path`` where
that is: relative to the source, or else to a folder above it, as in EmoBox. The other columns of
:data:`ALIASES` are there when the source has them, ``label`` as written; further columns are kept
under their names in lower case.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from ..audio.opening import URL
from ..corpora.base import COLUMNS
from ..corpora.folders import SPLITS
from ..errors import AudioError, CorpusError
from ..files import printable
from ..labels import canonical
from . import audformat, tables

Row: TypeAlias = dict[str, str]

#: Column of a row → the names it may have in a source; the first found counts.
ALIASES: Mapping[str, tuple[str, ...]] = {
    "clip": ("clip", "key"),
    "file": ("file", "path", "wav", "audio", "file_name", "filename", "filepath", "audio_path"),
    "label": ("emotion", "emo", "label"),
    "speaker": ("speaker", "spk", "speaker_id", "speakerid", "actor", "subject"),
    "corpus": ("corpus", "dataset"),
    "gender": ("gender", "sex"),
    "text": ("text", "transcription", "transcript", "sentence"),
    "split": ("split", "partition", "subset"),
    "rater": ("rater", "rater_id", "annotator", "annotator_id", "worker", "worker_id", "coder"),
}

#: Words for the gender of a speaker; others are dropped.
GENDERS: Mapping[str, str] = {
    **dict.fromkeys(("f", "female", "w", "woman"), "female"),
    **dict.fromkeys(("m", "male", "man"), "male"),
}

_NEEDED = {"file": "files", "label": "emotions"}
_MAX_PARENTS = 4  # how many folders above a source its relative paths may start at
_SAMPLE = 1000  # rows whose files decide which folder that is
_SPLIT = re.compile(r"(?:^|[_.\-])(" + "|".join(SPLITS) + r")(?=[_.\-0-9]|$)", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Listing:
    """What a source says."""

    name: str
    rows: list[Row]
    licence: str = ""
    contradictions: Sequence[AudioError] = ()  # tables of a database that contradict others


def find(source: str | os.PathLike[str]) -> list[Path] | None:
    """Return the files of rows that a source is or holds; None when there are none."""
    path = Path(source)
    if path.is_file():
        known = path.name == audformat.HEADER or path.suffix.lower() in tables.SUFFIXES
        return [path] if known else None
    if not path.is_dir():
        return None
    if (path / audformat.HEADER).is_file():
        return [path / audformat.HEADER]
    for pattern in ("metadata{}", "*/metadata{}"):
        candidates = (p for s in tables.SUFFIXES for p in path.glob(pattern.format(s)))
        if metadata := sorted(candidate for candidate in candidates if candidate.is_file()):
            return metadata
    return sorted(p for p in path.glob("*.jsonl") if _SPLIT.search(p.stem) and p.is_file()) or None


def read(files: Sequence[Path], *, labelled: bool = True) -> Listing:
    """Read the files that :func:`find` returned, the parts of one source, or a list of recordings.

    With several, each part's split is taken from its name or folder. Rows that are to be `labelled`
    need a column of emotions.
    """
    first, several = files[0], len(files) > 1
    licence, contradictions = "", list[AudioError]()
    if first.name == audformat.HEADER:
        name, licence, raw_rows, contradictions = audformat.read(first.parent)
        parts = [(first, raw_rows)]
    else:
        folder = os.path.commonpath([path.resolve().parent for path in files])
        name = os.path.basename(folder) if several else first.stem
        parts = [(path, tables.read(path)) for path in files]
    needed = ("file", "label") if labelled else ("file",)
    rows: list[Row] = []
    for path, raw_rows in parts:
        split = split_in(path.stem) or split_in(path.parent.name) if several else ""
        told = {"split": split} if split else {}
        part = [{**told, **_renamed(raw, path, needed)} for raw in raw_rows]
        base = _base(path.parent, part)
        for row in part:
            file = row["file"]
            row["path"] = file if URL.match(file) else os.path.join(base, file)
        rows += part
    return Listing(printable(name), rows, licence, contradictions)


def _renamed(raw: Mapping[str, object], path: Path, needed: Sequence[str]) -> Row:
    """A row with one name for each column and every value as text."""
    known, further = _columns(tuple(raw))
    for column in needed:
        if column not in known:
            raise CorpusError(
                f"{path}: no column of {_NEEDED[column]}; it may be called "
                f"{', '.join(ALIASES[column])}. "
                f"Found: {', '.join(printable(key) for key in raw) or 'nothing'}"
            )
    if isinstance(raw[known["file"]], dict | bytes):
        raise CorpusError(f"{path}: holds the audio itself; save the clips as files")
    row = {column: _text(raw[key]) for column, key in known.items()}
    row |= {column: printable(_text(raw[key])) for column, key in further.items()}
    if "split" in row:
        row["split"] = SPLITS.get(row["split"].lower(), row["split"])
    if "gender" in row:
        row["gender"] = GENDERS.get(row["gender"].lower(), "")
    texts = ("clip", "speaker", "corpus", "text", "split")
    return row | {column: printable(row[column]) for column in texts if column in row}


@functools.lru_cache
def _columns(keys: tuple[str, ...]) -> tuple[dict[str, str], dict[str, str]]:
    """The keys of rows by the columns of :data:`ALIASES` that they are, and the others by name."""
    by_name = {key.strip().lower(): key for key in keys}
    first = {c: next((n for n in names if n in by_name), None) for c, names in ALIASES.items()}
    known = {column: by_name[name] for column, name in first.items() if name is not None}
    further = {
        printable(name): key
        for name, key in by_name.items()
        if name and key not in known.values() and printable(name) not in {*COLUMNS, *known}
    }
    return known, further


def split_in(name: str) -> str:
    """The split that the name of a file or folder tells: ``train``, ``dev``, ``test`` or none."""
    match = _SPLIT.search(name)
    return SPLITS[match[1].lower()] if match else ""


def _text(value: object) -> str:
    """A cell as text; missing values are empty, whole numbers have no decimal point."""
    if value is None or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, bytes):  # text in a Parquet column that does not say so
        return value.decode("utf-8", "backslashreplace").strip()
    return str(value).strip()


def _base(folder: Path, rows: Sequence[Row]) -> Path:
    """The folder that relative paths start at: the source's own, or one above it."""
    files = [row["file"] for row in rows[:_SAMPLE] if row["file"]]
    above = [folder, *folder.resolve().parents[:_MAX_PARENTS]]
    there = (base for base in above if any(os.path.exists(base / file) for file in files))
    return next(there, folder)


def label_map(path: Path) -> dict[str, str]:
    """The words → emotions of EmoBox's ``label_map.json`` beside or above a JSON Lines file."""
    files = (folder / "label_map.json" for folder in (path.parent, path.parent.parent))
    file = next(filter(Path.is_file, files), None)
    if path.suffix.lower() != ".jsonl" or file is None:
        return {}
    try:
        words = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CorpusError(f"{file}: not a readable label map: {error}") from None
    pairs = words.items() if isinstance(words, dict) else ()
    emotions = {word: canonical(str(common)) for word, common in pairs}
    return {word: emotion for word, emotion in emotions.items() if emotion}
