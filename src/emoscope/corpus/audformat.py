"""Reads audformat databases: a header ``db.yaml`` and its tables.

Only what emoscope needs, and only plain data: the header through YAML's safe loader, tables from
CSV or Parquet. Pickled tables, which the audformat package prefers when they are there, are
refused, because opening one can run code.

Format: https://audeering.github.io/audformat/data-format.html
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from ..errors import AudioError, CorpusError
from ..files import printable
from .references import read_table, read_text

HEADER = "db.yaml"

MAX_HEADER = 2**21
"""Largest header in bytes: 2 MiB, some ten thousand speakers."""

MAX_NODES = 200_000
"""Most values in a header, each counted as often as it is referred to."""

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Database:
    """What a database says.

    Attributes
    ----------
    name, licence : str
        As the header states them.
    rows : list of dict
        One per file that has an emotion: ``file``, ``emotion``, the other columns of all tables of
        whole files, what is known of the speaker, and ``split`` where tables have one. A file that
        one table lists twice, or that is in two splits, has a row for each.
    doubts : list of AudioError
        Tables that say another emotion or speaker than the tables before them, which are believed.
    """

    name: str
    licence: str
    rows: list[Row]
    doubts: list[AudioError]


def read(folder: Path) -> Database:
    """Read a database.

    Parameters
    ----------
    folder : Path
        Where ``db.yaml`` lies.

    Raises
    ------
    CorpusError
        When the header or a table cannot be read, or no table of whole files has an emotion.
    """
    header = _header(folder)
    tables = _mapping(header, "tables")
    rows: dict[str, Row] = {}
    again: list[Row] = []
    doubts: list[AudioError] = []
    found = False
    for name in sorted(tables, key=lambda name: (str(name).count("."), str(name))):
        about = tables[name] if isinstance(tables[name], dict) else {}
        if about.get("type") != "filewise":
            continue
        table = _table(folder, str(name), "file")
        columns = _column_names(_mapping(about, "columns"), table)
        found = found or "emotion" in columns.values()
        split = _split(header, about)
        doubts += _merge(table.rename(columns=columns), split, rows, again, f"table '{name}'")
    if not found:
        raise CorpusError(
            f"{folder / HEADER}: no table of whole files has a column 'emotion'; "
            f"tables: {', '.join(map(str, tables)) or 'none'}"
        )
    speakers = _speakers(folder, header)
    merged = [*rows.values(), *({**rows[str(row["file"])], **row} for row in again)]
    labelled = [row for row in merged if "emotion" in row]
    complete = [{**speakers.get(str(row.get("speaker")), {}), **row} for row in labelled]
    name, licence = _text(folder, header, "name") or folder.name, _text(folder, header, "license")
    return Database(name, licence, complete, doubts)


def _merge(
    table: pd.DataFrame, split: str, rows: dict[str, Row], again: list[Row], name: str
) -> list[AudioError]:
    """Add what a table says of each file to `rows`, and what is a row of its own to `again`."""
    seen: set[str] = set()
    contradictions: dict[str, list[str]] = {}
    for values in table.to_dict("records"):
        file, own = str(values["file"]), {str(column): value for column, value in values.items()}
        if split:
            own["split"] = split
        row = rows.setdefault(file, {})
        elsewhere = "emotion" in own and row.get("split", split) != split != ""
        if file in seen or elsewhere:
            again.append(own)
            continue
        seen.add(file)
        for column in ("emotion", "speaker"):
            said, before = own.get(column), row.get(column)
            if said and before and str(said) != str(before):
                contradictions.setdefault(column, []).append(
                    f"says {column} '{said}' of {file}, where an earlier table says '{before}', "
                    "which is used"
                )
        for column, value in own.items():
            row.setdefault(column, value)
    return [
        AudioError(name, f"{printable(found[0])}; rows that contradict: {len(found)}")
        for found in contradictions.values()
    ]


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no type hints
    """Refuses headers that unfold into more than they are: each alias counts as what it stands for.

    YAML is composed into nodes before anything is made of them.
    """

    count = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose one value, counting it."""
        sizes: dict[int, int] = self.__dict__.setdefault("sizes", {})
        is_alias, before = self.check_event(yaml.AliasEvent), self.count
        node = super().compose_node(parent, index)
        if is_alias and id(node) not in sizes:
            raise yaml.YAMLError("a value refers to itself")
        self.count += sizes[id(node)] if is_alias else 1
        sizes.setdefault(id(node), self.count - before)
        if self.count > MAX_NODES:
            raise yaml.YAMLError(f"more than {MAX_NODES} values")
        return node


def _header(folder: Path) -> dict[str, Any]:
    path = folder / HEADER
    try:
        header = yaml.load(read_text(path, MAX_HEADER), _Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise CorpusError(f"{path}: not a readable YAML header: {error}") from None
    if not isinstance(header, dict):
        raise CorpusError(f"{path}: not the header of an audformat database")
    return header


def _table(folder: Path, name: str, index: str) -> pd.DataFrame:
    """One table, all values as text, its index a column."""
    path = folder / f"db.{name}.csv"
    if Path(name).name != name:
        raise CorpusError(f"{folder / HEADER}: a table cannot be called '{name}'")
    if path.is_file():
        table = read_table(path)
    elif path.with_suffix(".parquet").is_file():
        table = read_table(path.with_suffix(".parquet"))
    elif path.with_suffix(".pkl").is_file():
        raise CorpusError(
            f"{path.with_suffix('.pkl')}: a pickled table, which could run code when opened; "
            "save the database as CSV: db.save(folder, storage_format='csv')"
        )
    else:
        raise CorpusError(f"{path}: this table of the database is missing")
    if index not in table.columns:
        raise CorpusError(f"{path}: no column '{index}'")
    return table


def _column_names(columns: Mapping[str, Any], table: pd.DataFrame) -> dict[str, str]:
    """Column → the scheme it follows, where a scheme says what the column is.

    A rater's column is often named after the rater; a column whose own name says it comes first.
    """
    names: dict[str, str] = {}
    for scheme in ("emotion", "speaker", "gender", "transcription"):
        if scheme in table.columns:
            continue
        for column, about in columns.items():
            follows = about.get("scheme_id") if isinstance(about, dict) else None
            if follows == scheme and column in table.columns:
                names[column] = scheme
                break
    return {**{column: column for column in map(str, table.columns)}, **names}


def _split(header: Mapping[str, Any], table: Mapping[str, Any]) -> str:
    """``train``, ``dev`` or ``test`` when the table belongs to one."""
    split_id = table.get("split_id")
    named = split_id if isinstance(split_id, str | int) else None
    split = _mapping(header, "splits").get(str(named))
    kind = split.get("type", "") if isinstance(split, dict) else ""
    return kind if isinstance(kind, str) else ""


def _speakers(folder: Path, header: Mapping[str, Any]) -> dict[str, Row]:
    """What the header, or the table it refers to, tells about each speaker."""
    scheme = _mapping(header, "schemes").get("speaker")
    labels = scheme.get("labels") if isinstance(scheme, dict) else None
    if isinstance(labels, dict):
        return {
            str(name): {str(key): fact for key, fact in facts.items()}
            for name, facts in labels.items()
            if isinstance(facts, dict)
        }
    if isinstance(labels, str):
        return {
            str(row["speaker"]): row for row in _table(folder, labels, "speaker").to_dict("records")
        }
    return {}


def _text(folder: Path, header: Mapping[str, Any], key: str) -> str:
    """A text or number of the header; empty when it is absent."""
    value = header.get(key)
    if isinstance(value, dict | list | set):
        raise CorpusError(f"{folder / HEADER}: '{key}' is no text")
    return "" if value is None else str(value)


def _mapping(parent: Mapping[str, Any], key: str) -> dict[str, Any]:
    """A section of the header; empty when it is absent or something else."""
    section = parent.get(key)
    return section if isinstance(section, dict) else {}
