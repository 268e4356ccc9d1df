"""Reads audformat databases: a header ``db.yaml`` and its tables.

Only what emoscope needs, and only plain data: the header through YAML's safe loader, tables from
CSV or Parquet. Pickled tables, which the audformat package prefers when they are there, are
refused, because opening one can run code.

Format: https://audeering.github.io/audformat/data-format.html
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import yaml

from ..errors import CorpusError
from .files import parquet_table

HEADER = "db.yaml"

Row = dict[str, Any]


def read(folder: Path) -> tuple[str, str, list[Row]]:
    """Read a database.

    Parameters
    ----------
    folder : Path
        Where ``db.yaml`` lies.

    Returns
    -------
    name, licence : str
        As the header states them.
    rows : list of dict
        One per file that has an emotion: ``file``, ``emotion``, the other columns of all tables of
        whole files, what is known of the speaker, and ``split`` where tables have one.

    Raises
    ------
    CorpusError
        When the header or a table cannot be read, or no table of whole files has an emotion.
    """
    header = _header(folder)
    tables = _mapping(header, "tables")
    rows: dict[str, Row] = {}
    found = False
    for name in sorted(tables, key=lambda name: (str(name).count("."), str(name))):
        about = tables[name] if isinstance(tables[name], dict) else {}
        if about.get("type") != "filewise":
            continue
        table = _table(folder, str(name), "file")
        columns = _column_names(_mapping(about, "columns"), table)
        found = found or "emotion" in columns.values()
        split = _split(header, about)
        for values in table.rename(columns=columns).to_dict("records"):
            row = rows.setdefault(str(values["file"]), {})
            for column, value in values.items():
                row.setdefault(str(column), value)
            if split:
                row.setdefault("split", split)
    if not found:
        raise CorpusError(
            f"{folder / HEADER}: no table of whole files has a column 'emotion'; "
            f"tables: {', '.join(map(str, tables)) or 'none'}"
        )
    speakers = _speakers(folder, header)
    labelled = [row for row in rows.values() if "emotion" in row]
    complete = [{**speakers.get(str(row.get("speaker")), {}), **row} for row in labelled]
    return str(header.get("name", folder.name)), str(header.get("license") or ""), complete


def _header(folder: Path) -> dict[str, Any]:
    path = folder / HEADER
    try:
        header = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read: {error.strerror}") from None
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
    try:
        if path.is_file():
            table = pd.read_csv(path, dtype=str, keep_default_na=False)
        elif path.with_suffix(".parquet").is_file():
            table = parquet_table(path.with_suffix(".parquet"))
        elif path.with_suffix(".pkl").is_file():
            raise CorpusError(
                f"{path.with_suffix('.pkl')}: a pickled table, which could run code when opened; "
                "save the database as CSV: db.save(folder, storage_format='csv')"
            )
        else:
            raise CorpusError(f"{path}: this table of the database is missing")
    except (OSError, ValueError, pa.ArrowException) as error:
        raise CorpusError(f"{path}: not a readable table: {error}") from None
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
    split = _mapping(header, "splits").get(str(table.get("split_id")))
    return str(split.get("type", "")) if isinstance(split, dict) else ""


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


def _mapping(parent: Mapping[str, Any], key: str) -> dict[str, Any]:
    """A section of the header; empty when it is absent or something else."""
    section = parent.get(key)
    return section if isinstance(section, dict) else {}
