"""Reads the rows of Parquet, Feather and Arrow files; clips inside become files of the cache.

Numbers of labels become the names that the schema of Hugging Face's ``datasets`` gives them.
"""

import hashlib
import itertools
import json
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from ..audio.opening import ENDINGS
from ..errors import CorpusError
from ..files import cache_folder, sentence
from . import tables
from .tables import RawRow

#: Rows that a byte of a Parquet file may stand for; numbered file names reach 10, rows of nothing 250.
ROWS_PER_BYTE = 20
MAX_AUDIO = 2**35  # bytes of clips in one file, unpacked: 32 GiB

_BATCH, _CLIPS = 2**10, 2**4  # rows decoded at a time, without and with clips inside
_NAMELESS = re.compile(r"__index_level_\d+__")  # what pandas calls the column of a nameless index


def rows(path: Path) -> Iterator[RawRow]:
    """The rows of a file, its bytes counted as they are unpacked; a ValueError when it is none."""
    tables.check_size(path, MAX_AUDIO)
    try:
        schema, batches = (_parquet if path.suffix.lower() == ".parquet" else _arrow)(path)
        tables.check_names(schema.names, str(path))
        names, inside = _names(schema), [f.name for f in schema if _holds_clips(f.type)]
        limit = MAX_AUDIO if inside else tables.MAX_BYTES
        left = {True: MAX_AUDIO, False: tables.MAX_BYTES}  # bytes of clips, and of all else
        tables.check_size(path, limit)
        cells = (zip(*batch.columns, strict=True) for batch in batches)
        for number, columns in enumerate(itertools.chain.from_iterable(cells), start=1):
            row = {name: cell.as_py() for name, cell in zip(schema.names, columns, strict=True)}
            for name, value in row.items():
                left[name in inside] -= _bytes(value)
            if min(left.values()) < 0:
                raise CorpusError(f"{path}: larger than the limit of {limit} bytes when unpacked")
            row |= {name: words.get(row[name], row[name]) for name, words in names.items()}
            for name in inside:
                clip = row[name] or {}
                listed = PurePath(clip.get("path") or f"{path.stem}-{number}")
                if (data := clip.get("bytes")) is not None:
                    row = {"clip": listed.stem, **row, name: _unpacked(data, listed.suffix)}
                else:
                    row[name] = clip.get("path")
            yield {name: v for name, v in row.items() if not _NAMELESS.fullmatch(name)}
    except pa.ArrowException as error:
        raise ValueError(error) from None


def _arrow(path: Path) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """The schema and batches of an Arrow file, or of a stream as ``datasets`` writes them."""
    source = pa.memory_map(str(path))
    try:
        file = pa.ipc.open_file(source)
        return file.schema, (file.get_batch(n) for n in range(file.num_record_batches))
    except pa.ArrowInvalid:
        source.seek(0)
        stream = pa.ipc.open_stream(source)
        return stream.schema, iter(stream)


def _parquet(path: Path) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """The schema, and batches in which text that repeats stays packed."""
    with pa.parquet.ParquetFile(path) as file:
        schema, count = file.schema_arrow, file.metadata.num_rows
        leaves = [file.schema.column(number) for number in range(file.metadata.num_columns)]
        texts = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
    inside = any(_holds_clips(field.type) for field in schema)
    tables.check_size(path, MAX_AUDIO if inside else tables.MAX_BYTES)
    tables.check_rows(path, count)
    if count > max(_BATCH, ROWS_PER_BYTE * (size := path.stat().st_size)):
        raise CorpusError(sentence("too_many_rows", path=path, n=count, size=size))
    file = pa.parquet.ParquetFile(path, read_dictionary=[] if inside else texts)
    return schema, file.iter_batches(_CLIPS if inside else _BATCH)


def _holds_clips(kind: pa.DataType) -> bool:
    return pa.types.is_struct(kind) and {"bytes", "path"} <= {field.name for field in kind}


def _names(schema: pa.Schema) -> dict[str, dict[object, str]]:
    """The names of labels that are written as numbers, by column."""
    try:
        told = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = dict(told.get("info", {}).get("features", {}))
    except (ValueError, TypeError, AttributeError, RecursionError):
        return {}
    names: dict[str, Any] = {c: f.get("names") for c, f in features.items() if isinstance(f, dict)}
    numbered = [field.name for field in schema if pa.types.is_integer(field.type)]
    listed = {name: names[name] for name in numbered if isinstance(names.get(name), list)}
    return {name: dict(enumerate(map(str, words))) for name, words in listed.items()}


def _unpacked(data: bytes, suffix: str) -> str:
    """The path of a clip's bytes in the cache; a clip that is there already is not written again."""
    ending = suffix.lower() if suffix[1:].lower() in ENDINGS else ""
    name = hashlib.sha256(data).hexdigest()
    path = cache_folder() / "clips" / name[:2] / f"{name}{ending}"
    try:
        if not path.is_file() or path.stat().st_size != len(data):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{name}.{secrets.token_hex(4)}")
            temporary.write_bytes(data)
            os.replace(temporary, path)
    except OSError as error:
        raise CorpusError(f"{path}: cannot be written: {error.strerror or error}") from None
    return str(path)


def _bytes(value: object) -> int:
    if isinstance(value, dict | list | tuple):
        return 8 + sum(map(_bytes, value.values() if isinstance(value, dict) else value))
    return len(value) if isinstance(value, str | bytes) else 8
