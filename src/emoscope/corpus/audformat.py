"""Reads audformat databases: https://audeering.github.io/audformat/data-format.html."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from ..errors import AudioError, CorpusError
from ..files import printable, sentence
from . import tables
from .tables import RawRow

HEADER = "db.yaml"
MAX_HEADER = 2**21  # bytes: 2 MiB, some ten thousand speakers
_INDEX = {"filewise": ("file",), "segmented": ("file", "start", "end")}  # of the kinds of tables

Key: TypeAlias = tuple[str, ...]  # a file, and from when to when of a part


def read(folder: Path, *, labelled: bool = True) -> tuple[str, str, list[RawRow], list[AudioError]]:
    """Name, licence and a row per file, or part of one, with an emotion in the database of a folder.

    Rows that need not be `labelled` may be without, where no table has emotions. What one table lists
    twice, or what is in two splits, has a row for each. Last come the tables that contradict the tables
    before them, which are believed; labels of whole files are not used where their parts have labels.
    """
    header = _header(folder)
    descriptions = _mapping(header, "tables")
    files: dict[Key, RawRow] = {}
    repeated, contradictions = list[RawRow](), list[AudioError]()
    told = {name: _told(_mapping(descriptions, name)) for name in descriptions}
    labelled, found = labelled or any("emotion" in names for names in told.values()), not labelled
    for name in sorted(descriptions, key=lambda name: (str(name).count("."), str(name))):
        about = _mapping(descriptions, name)
        kind, schemes = _text(about.get("type")), _mapping(about, "columns")
        of_others = labelled and told[name].isdisjoint(("emotion", "speaker"))
        if kind not in _INDEX or (kind == "segmented" and of_others):
            continue
        split = _text(_mapping(header, "splits", _text(about.get("split_id"))).get("type"))
        rows = _table(folder, str(name), *_INDEX[kind])
        columns = _column_names(schemes, rows[0] if rows else {})
        found = found or "emotion" in columns.values()
        rows = [{columns[key]: value for key, value in row.items()} for row in rows]
        contradictions += _merge(rows, split, files, repeated, f"table '{name}'")
    if not found:
        names = ", ".join(map(str, descriptions)) or "none"
        raise CorpusError(sentence("no_column_emotion", file=folder / HEADER, tables=names))
    speakers = _speakers(folder, header)
    merged = [*files.values(), *({**files[_key(row)], **row} for row in repeated)]
    parts = (row for row in merged if "start" in row and ("emotion" in row or not labelled))
    in_parts = {row["file"] for row in parts}
    merged = [{**files.get(_key({"file": row["file"]}), {}), **row} for row in merged]
    meant = [row for row in merged if "emotion" in row or not labelled]
    used = [row for row in meant if "start" in row or row["file"] not in in_parts]
    if labelled and (unused := len(meant) - len(used)):
        reason = sentence("segments_used", n=unused)
        contradictions.append(AudioError("table of whole files", reason))
    used = [{**speakers.get(str(row.get("speaker")), {}), **row} for row in used]
    name, licence = _text(header.get("name")) or folder.name, _text(header.get("license"))
    return name, licence, used, contradictions


def _told(table: Mapping[object, object]) -> set[object]:
    """The columns of a table and the schemes they follow."""
    columns = _mapping(table, "columns")
    return {*columns, *(_text(_mapping(columns, name).get("scheme_id")) for name in columns)}


def _key(row: RawRow) -> Key:
    return tuple(str(row.get(column, "")) for column in _INDEX["segmented"])


def _merge(
    rows: list[RawRow], split: str, files: dict[Key, RawRow], repeated: list[RawRow], name: str
) -> list[AudioError]:
    """Add what a table says of each file to `files`, and what is a row of its own to `repeated`."""
    seen: set[Key] = set()
    by_column = defaultdict[str, list[str]](list)
    for row in rows:
        key, own = _key(row), {**row, "split": split} if split else row
        before = files.setdefault(key, {})
        if key in seen or ("emotion" in own and before.get("split", split) != split != ""):
            repeated.append(own)
            continue
        seen.add(key)
        for column in ("emotion", "speaker"):
            now, earlier = own.get(column), before.get(column)
            if now and earlier and str(now) != str(earlier):
                said = {"column": column, "now": now, "file": row["file"], "earlier": earlier}
                by_column[column].append(sentence("contradicts", **said))
        before.update({column: own[column] for column in own if column not in before})
    told = ((printable(said[0]), len(said)) for said in by_column.values())
    return [AudioError(name, f"{first}; contradictory rows: {n}") for first, n in told]


def _header(folder: Path) -> dict[object, object]:
    path = folder / HEADER
    try:
        header = yaml.safe_load(tables.read_text(path, MAX_HEADER))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        why = sentence("too_deep") if isinstance(error, RecursionError) else error
        raise CorpusError(f"{path}: not a readable YAML header: {why}") from None
    if not isinstance(header, dict):
        raise CorpusError(f"{path}: not the header of an audformat database")
    return header


def _table(folder: Path, name: str, *index: str) -> list[RawRow]:
    if Path(name).name != name:
        raise CorpusError(f"{folder / HEADER}: invalid table name '{name}'")
    files = [folder / f"db.{name}.{ending}" for ending in ("csv", "parquet", "pkl")]
    path = next(filter(Path.is_file, files), None)
    if path is None:
        raise CorpusError(f"{files[0]}: this table of the database is missing")
    if path.suffix == ".pkl":
        raise CorpusError(sentence("pickled", path=path))
    rows = tables.read(path)
    if rows and (missing := set(index) - set(rows[0])):
        raise CorpusError(f"{path}: no column '{min(missing)}'")
    return rows


def _column_names(columns: Mapping[object, object], row: RawRow) -> dict[str, str]:
    """Column → the scheme it follows, for columns named after a rater; a telling name comes first."""
    names = {column: column for column in row}
    for scheme in ("emotion", "speaker", "gender", "transcription"):
        follows = (str(c) for c in columns if _mapping(columns, c).get("scheme_id") == scheme)
        column = next((column for column in follows if column in row), None)
        if column is not None and scheme not in row:
            names[column] = scheme
    return names


def _speakers(folder: Path, header: Mapping[object, object]) -> dict[str, RawRow]:
    """What the header, or the table it refers to, tells about each speaker."""
    labels = _mapping(header, "schemes", "speaker").get("labels")
    if isinstance(labels, str):
        return {str(row["speaker"]): row for row in _table(folder, labels, "speaker")}
    told = ((str(name), _mapping(labels, name)) for name in _mapping(labels))
    return {name: {str(key): _text(fact) for key, fact in facts.items()} for name, facts in told}


def _text(value: object) -> str:
    """A value of the header as text; empty where it is absent, or nested: aliases unfold to any size."""
    return str(value) if isinstance(value, str | int | float) else ""


def _mapping(section: Any, *keys: object) -> dict[object, object]:
    """A section of the header; empty when it is absent or something else."""
    for key in keys:
        section = section.get(key) if isinstance(section, dict) else None
    return section if isinstance(section, dict) else {}
