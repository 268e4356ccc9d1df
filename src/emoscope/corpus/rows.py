"""Reads whatever lists recordings: tables, audformat databases, annotation files, lists of files.

All values are text. ``file`` is the recording as written, ``path`` where that is (:mod:`.places`). The
other columns of :data:`ALIASES` are there when the source has them, ``label`` as written; so are
``start`` and ``end`` in seconds (:mod:`.times`), empty for the beginning and the end of the file and as
written where they are no times, and ``audio_channel``. Further columns keep their names in lower case.
"""

import contextlib
import dataclasses
import fnmatch
import functools
import json
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from ..audio.excerpt import channel_name, parse_channel
from ..corpora import COLUMNS, SPLITS
from ..errors import AudioError, CorpusError, UnknownNameError
from ..files import printable, sentence, shipped_table
from ..labels import canonical
from . import audformat, places, tables, tiers, times
from .tables import RawRow

Row: TypeAlias = dict[str, str]

_NAMES = shipped_table("columns.toml")
#: Column of a row → the names it may have in a source; the first found counts.
ALIASES: Mapping[str, list[str]] = {c: names.split() for c, names in _NAMES["columns"].items()}

SUFFIXES = (*tables.SUFFIXES, *tiers.SUFFIXES)

#: Column → what a word in it means.
_MEANING: Mapping[str, Callable[[str], str]] = {
    "split": lambda word: SPLITS.get(word.lower(), word),
    "speaker": lambda word: "" if word.lower() in _NAMES["unknown_speakers"] else word,
    "gender": lambda word: _NAMES["genders"].get(word.lower(), ""),
}

_SHARD = f"*-{'[0-9]' * 5}-of-{'[0-9]' * 5}*"  # how Hugging Face numbers the files of a data set
_NEEDED = {"file": "files", "label": "emotions", "speaker": "speakers"}
_DIMENSIONS = frozenset(("arousal", "activation", "valence", "dominance"))
_RAVDESS = frozenset(("modality", "vocal_channel", "statement", "repetition"))
_SPLIT = re.compile(r"(?:^|[_.\-])(" + "|".join(SPLITS) + r")(?=[_.\-0-9]|$)", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Listing:
    """What a source says."""

    name: str
    rows: list[Row]
    licence: str = ""
    contradictions: Sequence[AudioError] = ()  # tables of a database that contradict others
    rejected: Sequence[AudioError] = ()  # files without emotions among several of annotations
    notes: Sequence[str] = ()


def find(source: str | os.PathLike[str]) -> list[Path] | None:
    """Return the files of rows that a source is or holds; None when there are none."""
    path = Path(source)
    if path.is_file():
        known = path.name == audformat.HEADER or path.suffix.lower() in SUFFIXES
        return [path] if known else None
    metadata = ("metadata", "*/metadata", "data/*/metadata", _SHARD, f"*/{_SHARD}")
    layouts = [[audformat.HEADER], *([name + end for end in tables.SUFFIXES] for name in metadata)]
    for patterns in layouts:
        if found := sorted(p for pattern in patterns for p in path.glob(pattern) if p.is_file()):
            return found
    return sorted(p for p in path.glob("*.jsonl") if _SPLIT.search(p.stem) and p.is_file()) or None


def annotated(folder: Path) -> list[Path]:
    """The annotation files below a folder."""
    below = (path for path in folder.rglob("[!.]*") if path.suffix.lower() in tiers.SUFFIXES)
    return sorted(filter(Path.is_file, below))


def beside(root: Path) -> dict[Path, list[Row]]:
    """The tables in a folder, with the rows of those that tell the emotions of recordings below it."""
    found = dict[Path, list[Row]]()
    for path in sorted(p for p in root.iterdir() if p.suffix.lower() in tables.SUFFIXES):
        found[path] = []
        with contextlib.suppress(CorpusError):
            part = _rows(tables.read(path), path, ("file", "label"))
            there = sum(os.path.isfile(row["path"]) for row in part)
            found[path] = part if 2 * there >= len(part) else []
    return found


def read(
    files: Sequence[Path], *, labelled: bool = True, labels: Mapping[str, str] | None = None
) -> Listing:
    """Read the files that :func:`find` returned, the parts of one source, or a list of recordings.

    Rows that are to be `labelled` need a column or a tier of emotions; `labels` are words of its own.
    """
    first, several = files[0], len(files) > 1
    needed = ("file", "label") if labelled else ("file",)
    if first.name == audformat.HEADER:
        name, licence, raw_rows, contradictions = audformat.read(first.parent, labelled=labelled)
        return Listing(printable(name), _rows(raw_rows, first, needed), licence, contradictions)
    folder = os.path.commonpath([path.resolve().parent for path in files])
    shards = several or fnmatch.fnmatch(first.stem, _SHARD)
    name = printable(os.path.basename(folder.removesuffix("/data")) if shards else first.stem)
    rows, rejected, notes = list[Row](), list[AudioError](), Counter[str]()
    for path in files:
        try:
            raw_rows, note = _raw_rows(path, labels or {} if labelled else None)
        except CorpusError as error:
            if not several or path.suffix.lower() not in tiers.SUFFIXES:
                raise
            rejected.append(AudioError(path, str(error).removeprefix(f"{path}: ")))
            continue
        notes.update([note] if note else ())
        split = split_in(path.stem) or split_in(path.parent.name) if several else ""
        told = {"split": split} if split else {}
        rows += [{**told, **row} for row in _rows(raw_rows, path, needed)]
    if len(rejected) == len(files):
        raise CorpusError(sentence("none_usable", folder=folder, n=len(files), first=rejected[0]))
    said = [f"{name}: {note}{f' ({n} files)' if n > 1 else ''}" for note, n in notes.items()]
    return Listing(name, rows, rejected=rejected, notes=said)


def _rows(raw_rows: Sequence[RawRow], path: Path, needed: Sequence[str]) -> list[Row]:
    rows = [_renamed(raw, path, needed) for raw in raw_rows]
    _name_channels(rows)
    places_of = places.find(path.parent, [row["file"] for row in rows])
    return [{**row, "path": place} for row, place in zip(rows, places_of, strict=True)]


def _raw_rows(path: Path, labels: Mapping[str, str] | None) -> tuple[list[RawRow], str]:
    """The rows of a file, of tiers those with emotions where `labels` are given; and a note."""
    of_tiers = path.suffix.lower() in tiers.SUFFIXES
    raw_rows = tiers.read(path) if of_tiers else tables.read(path)
    regions = raw_rows if of_tiers else tiers.regions(raw_rows, path)
    if regions is None or labels is None:
        return regions or raw_rows, ""
    return tiers.emotions(regions, labels, str(path))


def _renamed(raw: Mapping[str, object], path: Path, needed: Sequence[str]) -> Row:
    """A row with one name for each column and every value as text."""
    known, further, timed = _columns(tuple(raw), path)
    named = {*known, "file"} if timed and "label" not in needed else set(known)  # or of one file
    for column in (name for name in needed if name not in named):
        scales = "" if _DIMENSIONS.isdisjoint(further) else "; dimensions are not emotions"
        found = f"{', '.join(map(printable, raw)) or 'nothing'}{scales}"
        told = {"of": _NEEDED[column], "names": ", ".join(ALIASES[column]), "found": found}
        raise CorpusError(sentence("no_column", path=path, **told))
    file = raw.get(known.get("file", ""))
    if isinstance(file, dict) and isinstance(file.get("path"), str) and "bytes" not in file:
        raw = {**raw, known["file"]: file["path"]}
    elif isinstance(file, dict | bytes):
        raise CorpusError(f"{path}: contains audio, but not as {{bytes, path}}; save it as files")
    row = {"file": ""} | {column: _text(raw[key]) for column, key in known.items()}
    row |= {column: printable(_text(raw[key])) for column, key in further.items()}
    row |= _span({column: (_text(raw[key]), unit) for column, (key, unit) in timed.items()})
    texts = ("clip", "speaker", "corpus", "gender", "text", "split")
    return row | {c: printable(_MEANING.get(c, str)(row[c])) for c in texts if c in row}


@functools.lru_cache
def _columns(keys: tuple[str, ...], path: Path) -> tuple[Row, Row, times.Columns]:
    """The keys of rows by the columns of :data:`ALIASES` that they are, the others, those of times."""
    by_name = {key.strip().lower(): key for key in keys}
    by_word = {re.sub(r"[\s-]+", "_", name): key for name, key in by_name.items()}
    aliases = ((c, name) for c, names in ALIASES.items() for name in reversed(names))
    known = {column: by_word[name] for column, name in aliases if name in by_word}
    try:
        timed = times.columns(by_name)
    except ValueError as error:
        raise CorpusError(f"{path}: the column {error}") from None
    used = {*known.values(), *(key for key, _ in timed.values())}
    named = ((printable(name), key) for name, key in by_name.items() if name and key not in used)
    own = {*COLUMNS, *known, "start", "end"}
    return known, {name: key for name, key in named if name not in own}, timed


def _span(texts: Mapping[str, tuple[str, float]]) -> Row:
    """``start`` and ``end`` in seconds, of the times of a row with their units."""
    row: Row = {column: text for column, (text, _) in texts.items()}
    duration = row.pop("duration", None)
    try:
        read = {column: times.seconds(*told) for column, told in texts.items()}
    except ValueError:
        return row if duration is None else {**row, "end": duration}
    if duration is not None:
        read["end"] = read["start"] + read.pop("duration")
    return {c: "" if math.isnan(time) else repr(round(time, 9)) for c, time in read.items()}


def _name_channels(rows: Sequence[Row]) -> None:
    """Give channels of recordings their names, in a column ``channel`` too when all of it is such."""
    column = "audio_channel" if any("audio_channel" in row for row in rows) else "channel"
    if column == "channel" and rows and _RAVDESS & set(rows[0]):
        return  # RAVDESS has a ``channel`` of its own, of speech and song
    words = {row.get(column, "") for row in rows}
    counted_from_0 = "0" in words and all(word.isdigit() for word in words if word)
    names: dict[str, str] = {}
    for word in words:
        plain = {"l": "left", "r": "right"}.get(word.lower(), word)
        try:
            counted = str(int(word) + 1) if word and counted_from_0 else plain
            names[word] = channel_name(parse_channel(counted))
        except UnknownNameError:
            if column == "channel":
                return
    for row in rows:
        if column in row:
            word = row.pop(column)
            row["audio_channel"] = names.get(word, word)


def split_in(name: str) -> str:
    """The split that the name of a file or folder tells: ``train``, ``dev``, ``test`` or none."""
    return SPLITS[match[1].lower()] if (match := _SPLIT.search(name)) else ""


def _text(value: object) -> str:
    """A cell as text; missing values are empty, whole numbers have no decimal point."""
    if value is None or value != value:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, bytes):  # text in a Parquet column that does not say so
        return value.decode("utf-8", "backslashreplace").strip()
    return str(value).strip()


def label_map(path: Path) -> dict[str, str]:
    """The words → emotions of EmoBox's ``label_map.json`` beside or above a JSON Lines file."""
    files = [folder / "label_map.json" for folder in (path.parent, path.parent.parent)]
    file = next(filter(Path.is_file, files if path.suffix.lower() == ".jsonl" else ()), None)
    if file is None:
        return {}
    try:
        words = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CorpusError(f"{file}: not a readable label map: {error}") from None
    pairs = words.items() if isinstance(words, dict) else ()
    return {word: emotion for word, common in pairs if (emotion := canonical(str(common)))}


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


def segments(path: str | os.PathLike[str]) -> list[Segment]:
    """Read the segments of a TextGrid, EAF, SRT, WebVTT or Label Studio file, or of any table.

    One without readable times has NaN, and ``problem`` says why; a file without any is a CorpusError.
    """
    if (files := find(path)) is None:
        raise CorpusError(sentence("no_list_of_parts", path=path, endings=", ".join(SUFFIXES)))
    listed = read(files, labelled=False).rows
    if not listed:
        raise CorpusError(f"{path}: contains no parts; points and empty intervals do not count")
    if not any(row.get("start") or row.get("end") for row in listed):
        columns = ", ".join(name for name in listed[0] if name != "path")
        raise CorpusError(sentence("no_times", path=path, columns=columns))
    found = list[Segment]()
    for row in listed:
        span = row.get("start", ""), row.get("end", "")
        problem = times.problem(*span)
        start, end = (math.nan if problem else times.seconds(time) for time in span)
        names = ("label", "tier", "speaker", "audio_channel")
        label, tier, speaker, channel = (row.get(name, "") for name in names)
        found.append(Segment(row["path"], start, end, label, tier, speaker, channel, problem))
    return found
