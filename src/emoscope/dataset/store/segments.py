"""One Parquet file of stored features: written whole or not at all, checked when read.

A segment holds the values of one feature for some recordings: the column ``key`` (16 bytes, see
:mod:`emoscope.dataset.store.content`) and the column ``values`` (the float32 of a clip, little-endian, row
by row). Raw bytes because Parquet reads them twice as fast as lists of numbers. The metadata entry
``emoscope`` is a JSON object with the feature's specification and the columns' names. Every page
carries a checksum, and so does that entry.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from numpy.typing import NDArray

from ...files import write_atomically
from .content import KEY_BYTES

Values = NDArray[np.float32]
Keys = NDArray[np.bytes_]
Parsed = TypeVar("Parsed")

KEY = np.dtype(f"S{KEY_BYTES}")
VALUE = np.dtype("<f4")

SUFFIX = ".parquet"
_ABOUT, _DIGEST = b"emoscope", b"emoscope-digest"


class DamagedError(Exception):
    """A segment that does not hold what was written; the text says what was found."""


@dataclasses.dataclass(frozen=True)
class Header:
    """What a segment says of itself.

    Attributes
    ----------
    spec : dict
        The feature's specification.
    columns : list of str
        Names of the feature's columns.
    clips : int
        Number of recordings.
    """

    spec: dict[str, Any]
    columns: list[str]
    clips: int


@dataclasses.dataclass(frozen=True)
class Segment:
    """The rows of one segment.

    Attributes
    ----------
    header : Header
        What it says of itself.
    keys : ndarray of S16 [shape=(n_clips,)]
    ends : ndarray of int64 [shape=(n_clips + 1,)]
        The frames of clip ``i`` are ``frames[ends[i]:ends[i + 1]]``.
    frames : ndarray of float32 [shape=(n_frames_of_all_clips, n_columns)]
    """

    header: Header
    keys: Keys
    ends: NDArray[np.int64]
    frames: Values

    def key(self, row: int) -> bytes:
        """The recording of one row."""
        return self.keys[row : row + 1].tobytes()

    def clip(self, row: int) -> Values:
        """The frames of one clip, [shape=(n_frames, n_columns)]."""
        return self.frames[self.ends[row] : self.ends[row + 1]]


def write(
    path: Path,
    keys: Sequence[bytes],
    values: Sequence[Values],
    *,
    spec: dict[str, Any],
    columns: Sequence[str],
) -> int:
    """Write a segment.

    Parameters
    ----------
    path : Path
        The file; it appears when it is complete and on disk.
    keys : sequence of bytes
        The recordings.
    values : sequence of ndarray of float32 [shape=(..., n_columns)]
        Their values.
    spec, columns
        The feature's.

    Returns
    -------
    int
        Size of the file in bytes.
    """
    rows = [np.ascontiguousarray(v, dtype=VALUE).tobytes() for v in values]
    ends = np.zeros(len(rows) + 1, dtype=np.int32)
    np.cumsum([len(row) for row in rows], out=ends[1:])
    table = pa.table(
        {
            "key": _array(pa.binary(KEY_BYTES), len(keys), b"".join(keys)),
            "values": _array(pa.binary(), len(keys), ends.tobytes(), b"".join(rows)),
        }
    )
    about = json.dumps({"spec": spec, "columns": list(columns)}).encode()
    sink = pa.BufferOutputStream()
    pa.parquet.write_table(
        table.replace_schema_metadata({_ABOUT: about, _DIGEST: _digest(about)}),
        sink,
        compression="none",  # of float32 it saves an eighth and doubles the time
        use_dictionary=False,
        write_statistics=False,
        write_page_checksum=True,
    )
    content = sink.getvalue().to_pybytes()
    write_atomically(path, content)
    return len(content)


def _array(kind: pa.DataType, length: int, *buffers: bytes) -> pa.Array:
    return pa.Array.from_buffers(kind, length, [None, *(pa.py_buffer(b) for b in buffers)])


def read_keys(path: Path) -> tuple[Header, Keys]:
    """What a segment says of itself, and its recordings.

    Raises
    ------
    OSError
        When the file cannot be opened.
    DamagedError
        When it is not a segment.
    """
    return _parsed(path, lambda file: _with_keys(file, ["key"])[:2])


def read(path: Path) -> Segment:
    """All of a segment; raises as :func:`read_keys` does."""
    return _parsed(path, _segment)


def _parsed(path: Path, parse: Callable[[Any], Parsed]) -> Parsed:
    """Apply a function to the open file; whatever is wrong with its content becomes one error."""
    with open(path, "rb") as file:
        try:
            return parse(pa.parquet.ParquetFile(file, page_checksum_verification=True))
        except (DamagedError, MemoryError):
            raise
        except Exception as error:  # Arrow has no common root for what damage may cause
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk's, not Arrow's
            raise DamagedError(str(error).partition("\n")[0] or repr(error)) from error


def _header(file: Any) -> Header:
    metadata = file.schema_arrow.metadata
    if metadata[_DIGEST] != _digest(metadata[_ABOUT]):
        raise DamagedError("its description is damaged")
    about = json.loads(metadata[_ABOUT])
    return Header(about["spec"], about["columns"], file.metadata.num_rows)


def _digest(about: bytes) -> bytes:
    return hashlib.blake2b(about, digest_size=KEY_BYTES).hexdigest().encode()


def _with_keys(file: Any, columns: list[str]) -> tuple[Header, Keys, Any]:
    header = _header(file)
    table = file.read(columns, use_threads=False)
    keys = table.column("key").combine_chunks()
    if keys.type != pa.binary(KEY_BYTES) or keys.null_count or len(keys) != header.clips:
        raise DamagedError("its column 'key' is not one of keys")
    return header, np.frombuffer(keys.buffers()[1] or b"", KEY, len(keys)), table


def _segment(file: Any) -> Segment:
    header, keys, table = _with_keys(file, ["key", "values"])
    values = table.column("values").combine_chunks()
    if values.type != pa.binary() or values.null_count:
        raise DamagedError("its column 'values' is not one of values")
    _, buffer, data = values.buffers()
    ends = np.frombuffer(buffer, np.int32, len(keys) + 1).astype(np.int64)
    frames = np.frombuffer(data or b"", VALUE).reshape(-1, len(header.columns))
    width = frames.shape[1] * VALUE.itemsize
    if (ends % width).any() or ends[0] != 0 or ends[-1] != frames.nbytes:
        raise DamagedError("its rows do not have as many values as columns")
    return Segment(header, keys, ends // width, frames)
