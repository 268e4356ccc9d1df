"""Reads the rows of a CSV, Parquet or JSON Lines file, within limits and without surprises."""

from __future__ import annotations

import io
import json
import re
import stat
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet

from ..corpora.base import Row
from ..errors import CorpusError
from ..files import printable

SUFFIXES = (".csv", ".tsv", ".parquet", ".jsonl")

MAX_BYTES = 2**29
"""Largest file in bytes, unpacked: 512 MiB, some millions of clips."""

MAX_ROWS = 10_000_000
"""Most clips, as many as one process can hold with their features."""

ROWS_PER_BYTE = 20
"""Rows that a byte of a Parquet file may stand for. Numbered file names pack into a tenth of a byte
each at best, 20 million rows of nothing into 80 kB."""

_BATCH = 2**10  # rows of a Parquet file decoded at a time
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
        When the file cannot be read, is not what its ending says, names a column twice, or is
        beyond :data:`MAX_BYTES` or :data:`MAX_ROWS`.
    """
    if path.suffix.lower() != ".jsonl":
        return _records(read_table(path))
    try:
        return _json_rows(read_text(path), path)
    except ValueError as error:
        raise CorpusError(f"{path}: not a readable jsonl manifest: {error}") from None


def read_table(path: Path) -> pd.DataFrame:
    """Return a CSV or Parquet file as a table of objects; refuses what :func:`read_rows` does."""
    try:
        if path.suffix.lower() == ".parquet":
            return _parquet_table(path)
        return _csv_text_table(read_text(path), path)
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, pa.ArrowException) as error:
        # pandas' parser errors are ValueErrors.
        raise CorpusError(f"{path}: not a readable {path.suffix[1:]} manifest: {error}") from None


def read_text(path: Path, limit: int | None = None) -> str:
    """Return the text of a regular file of at most so many bytes, by default :data:`MAX_BYTES`.

    Raises
    ------
    CorpusError
        When it cannot be read, is larger or is not UTF-8.
    """
    try:
        _check_size(path, MAX_BYTES if limit is None else limit)
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise CorpusError(f"{path}: not text in UTF-8; save it again as UTF-8") from None


def _check_size(path: Path, limit: int) -> None:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):  # reading a pipe or a device may never end
        raise CorpusError(f"{path}: not a regular file")
    if found.st_size > limit:
        raise CorpusError(f"{path}: larger than the limit of {limit} bytes")


def _check_rows(path: Path, count: int) -> None:
    if count > MAX_ROWS:
        raise CorpusError(f"{path}: more than the limit of {MAX_ROWS} rows")


def _check_names(names: Iterable[str], where: str) -> None:
    """Refuse two names that are one to a reader, who would believe one of the two columns."""
    seen: dict[str, str] = {}
    for name in names:
        word = printable(name.strip().lower())
        if word and word in seen:
            raise CorpusError(
                f"{where}: the columns '{printable(seen[word])}' and '{printable(name)}' have one "
                "name; leave one of them out"
            )
        seen[word] = name


def _csv_text_table(text: str, path: Path) -> pd.DataFrame:
    header = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=header.count)
    with warnings.catch_warnings():  # rows with a field more than the header
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            return _csv_table(text, delimiter, path)
        except pd.errors.ParserWarning:
            pass
        try:  # as when every row ends with a delimiter: one column more, of nothing
            table = _csv_table(
                f"{header.rstrip()}{delimiter}{text[len(header) :]}", delimiter, path
            )
        except pd.errors.ParserWarning:
            raise ValueError("its rows have more fields than its header") from None
        if table.iloc[:, -1].fillna("").str.strip().any():
            raise ValueError("its rows have more fields than its header")
        return table.iloc[:, :-1]


def _csv_table(text: str, delimiter: str, path: Path) -> pd.DataFrame:
    def parse(**options: Any) -> pd.DataFrame:
        return pd.read_csv(
            io.StringIO(text), sep=delimiter, dtype=str, keep_default_na=False, **options
        )

    # pandas numbers columns of one name, so that the names as written are read on their own.
    _check_names(parse(header=None, nrows=1).iloc[0], str(path))
    table = parse(index_col=False, nrows=MAX_ROWS + 1)
    _check_rows(path, len(table))
    return table


def _json_rows(text: str, path: Path) -> list[Row]:
    rows: list[Row] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                row = json.loads(line, object_pairs_hook=_Pairs)
            except RecursionError:
                raise ValueError(f"line {number} is nested too deeply") from None
            if not isinstance(row, _Pairs):
                raise CorpusError(f"{path}: line {number} is not a JSON object")
            _check_names(row.names, f"{path}: line {number}")
            rows.append(dict(row))
            _check_rows(path, len(rows))
    return rows


class _Pairs(dict[str, Any]):
    """A JSON object that remembers the keys it was written with, also those that occur twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.names = [name for name, _ in pairs]


def _parquet_table(path: Path) -> pd.DataFrame:
    """A Parquet file within the limits, an index with a name among its columns.

    What pandas noted in the file about itself is not used: it is foreign, and pandas trusts it.
    Nor is what the file says of its size: it is decoded in small batches whose bytes are counted,
    and text that repeats stays packed until then.
    """
    _check_size(path, MAX_BYTES)
    with pa.parquet.ParquetFile(path) as file:
        names, count = file.schema_arrow.names, file.metadata.num_rows
        leaves = [file.schema.column(number) for number in range(file.metadata.num_columns)]
    _check_rows(path, count)
    _check_names(names, str(path))
    if count > max(_BATCH, ROWS_PER_BYTE * path.stat().st_size):
        raise CorpusError(
            f"{path}: {count} rows in {path.stat().st_size} bytes; a list of different recordings "
            "does not pack so tightly"
        )
    texts = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
    columns: list[list[Any]] = [[] for _ in names]
    decoded = max((leaf.length * _BATCH for leaf in leaves), default=0)  # of values of fixed length
    with pa.parquet.ParquetFile(path, read_dictionary=texts) as file:
        for batch in file.iter_batches(_BATCH):
            for column, values in zip(columns, batch.columns, strict=True):
                decoded += _bytes(values)
                if decoded > MAX_BYTES:
                    raise CorpusError(
                        f"{path}: larger than the limit of {MAX_BYTES} bytes when unpacked"
                    )
                column += values.to_pylist()
    kept = {n: c for n, c in zip(names, columns, strict=True) if not _NAMELESS.fullmatch(n)}
    return pd.DataFrame(kept, dtype=object)


def _bytes(values: pa.Array) -> int:
    """Bytes of the values when each stands for itself, however often it occurs."""
    if isinstance(values, pa.StructArray):
        return sum(map(_bytes, values.flatten()))
    if isinstance(values, pa.MapArray):  # has no `flatten` of its own
        start, end = values.offsets[0].as_py(), values.offsets[-1].as_py()
        parts = (values.keys, values.items)
        return 8 * len(values) + sum(_bytes(part.slice(start, end - start)) for part in parts)
    if isinstance(values, pa.ListArray | pa.LargeListArray | pa.FixedSizeListArray):
        return 8 * len(values) + _bytes(values.flatten())
    if isinstance(values, pa.DictionaryArray):
        lengths = pa.compute.binary_length(values.dictionary).take(values.indices)
        return int(values.indices.nbytes) + int(pa.compute.sum(lengths).as_py() or 0)
    return int(values.nbytes)


def _records(table: pd.DataFrame) -> list[Row]:
    return [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]
