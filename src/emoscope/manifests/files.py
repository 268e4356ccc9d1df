"""Reads the rows of a CSV, Parquet or JSON Lines file, within limits and without surprises."""

from __future__ import annotations

import io
import json
import re
import warnings
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from ..corpora.base import Row
from ..errors import CorpusError

SUFFIXES = (".csv", ".tsv", ".parquet", ".jsonl")

MAX_BYTES = 2**29
"""Largest file in bytes, unpacked: 512 MiB, some millions of clips."""
_NAMELESS = re.compile(r"__index_level_\d+__")  # what pandas calls the column of a nameless index


def read_rows(path: Path) -> list[Row]:
    """Return the rows as they stand, column by column.

    Parameters
    ----------
    path : Path
        A file with one of :data:`SUFFIXES`; the delimiter of a CSV file is found from its header.

    Raises
    ------
    CorpusError
        When the file cannot be read, is not what its ending says, or is beyond :data:`MAX_BYTES`.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise CorpusError(f"{path}: larger than the limit of {MAX_BYTES} bytes")
        if path.suffix.lower() == ".parquet":
            return _records(parquet_table(path))
        text = path.read_text(encoding="utf-8-sig")
        return _json_rows(text, path) if path.suffix.lower() == ".jsonl" else _csv_rows(text)
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise CorpusError(f"{path}: not text in UTF-8; save it again as UTF-8") from None
    except (ValueError, pa.ArrowException) as error:
        # JSONDecodeError and pandas' parser errors are ValueErrors.
        raise CorpusError(f"{path}: not a readable {path.suffix[1:]} manifest: {error}") from None


def _csv_rows(text: str) -> list[Row]:
    header = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=header.count)
    with warnings.catch_warnings():  # rows with a field more than the header
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            return _records(_csv_table(text, delimiter))
        except pd.errors.ParserWarning:
            pass
        try:  # as when every row ends with a delimiter: one column more, of nothing
            table = _csv_table(f"{header.rstrip()}{delimiter}{text[len(header) :]}", delimiter)
        except pd.errors.ParserWarning:
            raise ValueError("its rows have more fields than its header") from None
        if table.iloc[:, -1].fillna("").str.strip().any():
            raise ValueError("its rows have more fields than its header")
        return _records(table.iloc[:, :-1])


def _csv_table(text: str, delimiter: str) -> pd.DataFrame:
    return pd.read_csv(
        io.StringIO(text), sep=delimiter, dtype=str, keep_default_na=False, index_col=False
    )


def _json_rows(text: str, path: Path) -> list[Row]:
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                row = json.loads(line)
            except RecursionError:
                raise ValueError(f"line {number} is nested too deeply") from None
            if not isinstance(row, dict):
                raise CorpusError(f"{path}: line {number} is not a JSON object")
            rows.append(row)
    return rows


def parquet_table(path: Path) -> pd.DataFrame:
    """A Parquet file within :data:`MAX_BYTES`, an index with a name among its columns.

    What pandas noted in the file about itself is not used: it is foreign, and pandas trusts it.
    """
    with pa.parquet.ParquetFile(path) as file:
        groups = range(file.metadata.num_row_groups)
        size = sum(file.metadata.row_group(group).total_byte_size for group in groups)
        if max(size, file.metadata.num_rows) > MAX_BYTES:
            raise CorpusError(f"{path}: larger than the limit of {MAX_BYTES} bytes when unpacked")
        table = file.read().replace_schema_metadata(None).to_pandas()
    return table.loc[:, [not _NAMELESS.fullmatch(str(column)) for column in table.columns]]


def _records(table: pd.DataFrame) -> list[Row]:
    return [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]
