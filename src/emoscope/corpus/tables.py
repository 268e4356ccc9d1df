"""Reads the rows of a CSV, Parquet, JSON or JSON Lines file as they stand, within limits."""

import codecs
import csv
import io
import itertools
import json
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

from ..audio.opening import ENDINGS
from ..errors import CorpusError, installed
from ..files import printable, sentence

RawRow: TypeAlias = dict[str, object]

COLUMNAR = (".parquet", ".feather", ".arrow")
SUFFIXES = (".csv", ".tsv", ".jsonl", ".json", *COLUMNAR)

MAX_BYTES = 2**29  # of a file, unpacked: 512 MiB, some millions of clips
MAX_ROWS = 10_000_000  # as many clips as one process can hold with their features


def read(path: Path) -> list[RawRow]:
    """The rows of a file with one of :data:`SUFFIXES`; any other is a list of files, one a line."""
    suffix = path.suffix.lower()
    rows: Iterable[RawRow]
    try:
        if suffix in COLUMNAR:
            installed("pyarrow", str(path), "parquet")
            from . import arrow

            rows = arrow.rows(path)
        elif suffix == ".jsonl":
            rows = _json_lines(read_text(path), path)
        elif suffix == ".json":
            rows = _json_rows(read_text(path), path)
        elif suffix in SUFFIXES:
            rows = _csv_rows(read_text(path), path)
        else:  # a line with # in front is a remark
            lines = map(str.strip, read_text(path).splitlines())
            rows = ({"file": line} for line in lines if line and not line.startswith("#"))
        read_rows = list(itertools.islice(rows, MAX_ROWS + 1))
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, csv.Error) as error:
        raise CorpusError(f"{path}: not a readable {suffix[1:]} manifest: {error}") from None
    check_rows(path, len(read_rows))
    return read_rows


def read_text(path: Path, limit: int | None = None) -> str:
    """The text of a regular file, in UTF-8 or in UTF-16 with a mark; lines end in one character."""
    try:
        check_size(path, limit or MAX_BYTES)
        data = path.read_bytes()
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read: {error.strerror or error}") from None
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        if wide:
            raise CorpusError(f"{path}: not text in UTF-16; save it again as UTF-8") from None
        row, byte = 1 + data.count(b"\n", 0, error.start), data[error.start : error.start + 1]
        told = {"row": row, "byte": byte.hex(), "letter": byte.decode("cp1252", "replace")}
        raise CorpusError(sentence("not_utf8", path=path, **told)) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def names_recording(text: object) -> bool:
    """Whether this is text that ends as the names of recordings do."""
    return isinstance(text, str) and text.rpartition(".")[2].lower() in ENDINGS


def check_size(path: Path, limit: int) -> None:
    """Refuse what is no regular file, or has more bytes."""
    info = path.stat()
    if not stat.S_ISREG(info.st_mode):  # reading a pipe or a device may never end
        raise CorpusError(f"{path}: not a regular file")
    if info.st_size > limit:
        raise CorpusError(f"{path}: larger than the limit of {limit} bytes")


def check_rows(path: Path, count: int) -> None:
    """Refuse more rows than the limit."""
    if count > MAX_ROWS:
        raise CorpusError(f"{path}: more than the limit of {MAX_ROWS} rows")


def check_names(names: Iterable[str], where: str) -> None:
    """Refuse two names that are one to a reader, who would believe one of the two columns."""
    seen: dict[str, str] = {}
    for name in names:
        word = printable(name.strip().lower())
        if word and word in seen:
            two = f"the columns '{printable(seen[word])}' and '{printable(name)}'"
            raise CorpusError(f"{where}: {two} have the same name; remove one of them")
        seen[word] = name


def _csv_rows(text: str, path: Path) -> Iterator[RawRow]:
    if told := re.match(r"sep=(.)\n", text, re.IGNORECASE):  # Excel's own line
        text = text[told.end() :]
    delimiter = told[1] if told else max(",;\t|", key=text.split("\n", 1)[0].count)
    lines = filter(None, csv.reader(io.StringIO(text), delimiter=delimiter, strict=True))
    names = next(lines, None)
    if names is None:
        raise ValueError("it is empty")
    check_names(names, str(path))
    for number, values in enumerate(lines, 1):
        # Every row may end with a delimiter: one column more, of nothing.
        if any(value.strip() for value in values[len(names) :]):
            counts = {"row": number, "n": len(values), "header": len(names)}
            raise ValueError(sentence("fields", delimiter=delimiter, **counts))
        yield dict(itertools.zip_longest(names, values[: len(names)], fillvalue=""))


def _json_lines(text: str, path: Path) -> Iterator[RawRow]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield _object(_parsed(line, f"line {number}"), path, f"line {number}")


def _json_rows(text: str, path: Path) -> Iterator[RawRow]:
    """A list of objects, objects by the names of their clips, columns, or after all an object a line."""
    try:
        whole = _parsed(text, "it")
    except json.JSONDecodeError as error:
        if not error.msg.startswith("Extra data"):
            raise
        yield from _json_lines(text, path)
        return
    if isinstance(whole, dict):
        lists = [value for value in whole.values() if isinstance(value, list)]
        if len(lists) == 1:
            whole = lists[0]
        elif all(isinstance(value, dict) for value in whole.values()):
            whole = list(_named_objects(whole))
    if not isinstance(whole, list):
        raise CorpusError(f"{path}: neither a list of JSON objects nor named JSON objects")
    for number, row in enumerate(whole, start=1):
        yield _object(row, path, f"object {number}")


def _named_objects(objects: dict[str, RawRow]) -> Iterator[RawRow]:
    """Objects by the names of clips or files; or by those of columns, with rows by number, as in pandas."""
    if all(name.isdecimal() for value in objects.values() for name in value):
        numbers = dict.fromkeys(number for values in objects.values() for number in values)
        yield from ({c: v.get(number) for c, v in objects.items()} for number in numbers)
    else:
        for name, value in objects.items():
            yield {"file" if names_recording(name) else "clip": name, **value}


def _parsed(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError(f"{what} is nested too deeply") from None


def _object(row: Any, path: Path, what: str) -> RawRow:
    if not isinstance(row, dict):
        raise CorpusError(f"{path}: {what} is not a JSON object")
    check_names(row, f"{path}: {what}")
    return row
