"""Extracted features on disk, so that a second run reads instead of computing.

One SQLite file holds values as little-endian float32, each row with a checksum, found by what a
recording contains (:mod:`emoscope.dataset.content`) and by the feature's specification. Where it cannot
be read or written, the run warns once and computes.
"""

import contextlib
import json
import os
import sqlite3
import time
import warnings
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import EmoscopeError
from ..features.base import Feature
from ..files import cache_folder, shipped_table
from . import content
from .content import Content

Values = NDArray[np.float32]

LIMIT_VARIABLE = "EMOSCOPE_STORE_LIMIT"
FILE = "features-2.sqlite"
FILES = (FILE, f"{FILE}-wal", f"{FILE}-shm")
DEFAULT_LIMIT = 20 * 10**9  # bytes: the 193 values of 20 million clips, 200,000 spectrograms
EVICT_TO = 0.9  # of the limit, so that it is not done again at once
FLUSH_SECONDS = 1.0  # most of the work that being killed can cost
FLUSH_BYTES = 32 * 2**20
BUSY_SECONDS = 30.0  # to wait for another run that is writing
KEYS_PER_QUERY = 500
VALUE = np.dtype("<f4")

SQL = shipped_table("store.toml")


class FeatureInfo(NamedTuple):
    """What is stored of one feature with one set of parameters."""

    name: str
    clips: int
    bytes: int


class Store:
    """Features on disk; above ``limit`` bytes, what was stored first is removed."""

    def __init__(
        self, folder: str | os.PathLike[str] | None = None, *, limit: int | None = None
    ) -> None:
        self.folder = Path(folder or cache_folder())
        self.limit = _limit_from_environment() if limit is None else limit
        if self.limit <= 0:
            raise EmoscopeError(f"the store's limit must be a positive size, not {self.limit}")
        self.path = self.folder / FILE
        self._usable = True
        self._identities: dict[int, tuple[Feature, bytes]] = {}  # the feature is kept alive
        self._values: list[tuple[bytes, bytes, int, bytes]] = []
        self._files: list[tuple[bytes, bytes, bytes]] = []
        self._waiting_bytes = 0
        self._flushed_at = time.monotonic()

    def holds(self, feature: Feature) -> bool:
        """Whether there are values of a feature for any recording."""
        return any(self._rows("held", [self._identity(feature)]))

    def find(self, paths: Sequence[str]) -> list[Content | None]:
        """What files hold that have not changed since :meth:`remember`; None for all others."""
        places = [content.place(path) for path in paths]
        known = {place: kept for rows in self._rows("files", places) for place, *kept in rows}
        contents: list[Content | None] = []
        for path, place in zip(paths, places, strict=True):
            stamp = content.stamp_of(path) if place in known else None
            unchanged = stamp is not None and stamp.digest == known[place][0]
            contents.append(Content(known[place][1], stamp, time.time_ns()) if unchanged else None)
        return contents

    def read(
        self, feature: Feature, keys: Sequence[bytes]
    ) -> Iterator[tuple[NDArray[np.intp], Values | list[Values]]]:
        """Stored values of a feature, a part at a time, with the positions in ``keys``."""
        identity, shape, damaged = self._identity(feature), (-1, len(feature.columns)), 0
        positions: dict[bytes, list[int]] = {}  # a key may occur more than once
        for position, key in enumerate(keys):
            positions.setdefault(key, []).append(position)
        for rows in self._rows("values", list(positions), identity):
            whole = [row for row in rows if _is_whole(identity, *row)]
            damaged += len(rows) - len(whole)
            found = [(place, data) for key, data, _ in whole for place in positions[key]]
            places = np.array([place for place, _ in found], dtype=np.intp)
            if feature.kind == "vector":
                joined = b"".join(data for _, data in found)
                yield places, np.frombuffer(joined, VALUE).reshape(shape)
            else:
                copies = [np.frombuffer(bytearray(data), VALUE) for _, data in found]
                yield places, [copy.reshape(shape) for copy in copies]
        if damaged:
            self._warn(f"{damaged} values of '{feature.name}' are damaged and computed again")

    def put(self, feature: Feature, key: bytes, values: Values) -> None:
        """Store a feature of a recording; it is on disk after :meth:`flush`, or a second later."""
        if self._usable:
            data = np.ascontiguousarray(values, dtype=VALUE).tobytes()
            identity = self._identity(feature)
            self._values.append((key, data, _checksum(identity, key, data), identity))
            self._waiting_bytes += len(data)
            self._flush_if_due()

    def remember(self, path: str, read: Content | None) -> None:
        """Take note of what a file holds, where its stamp can be believed."""
        if self._usable and read and read.stamp and read.stamp.settled(read.read_at):
            self._files.append((content.place(path), read.stamp.digest, read.key))
            self._flush_if_due()

    def _flush_if_due(self) -> None:
        due = time.monotonic() - self._flushed_at > FLUSH_SECONDS
        if due or self._waiting_bytes > FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write everything that was put; when that fails, warn and store nothing more."""
        values, self._values = self._values, []
        files, self._files = self._files, []
        self._waiting_bytes, self._flushed_at = 0, time.monotonic()
        if not self._usable or not (values or files):
            return
        names = [(identity, feature.name) for feature, identity in self._identities.values()]
        with self._or_without():
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._open() as database:
                with database:
                    database.execute("BEGIN IMMEDIATE")
                    database.executemany(SQL["name"], names)
                    database.executemany(SQL["put"], values)
                    database.executemany(SQL["remember"], files)
                self._evict(database)

    def _evict(self, database: sqlite3.Connection) -> None:
        """Keep to the limit: remove what was stored first."""
        excess = database.execute(SQL["size"]).fetchone()[0] - self.limit
        if excess > 0:
            database.execute(SQL["evict"], (excess + int((1 - EVICT_TO) * self.limit),))
            database.executescript("PRAGMA incremental_vacuum")

    def features(self) -> list[FeatureInfo]:
        """What the store holds."""
        with self._maintaining() as database:
            return [FeatureInfo(*row) for row in database.execute(SQL["contents"])]

    def verify(self) -> list[str]:
        """What is damaged, and how; a run computes it again."""
        with self._maintaining() as database:
            if (state := database.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
                raise sqlite3.DatabaseError(state)
            rows = database.execute(SQL["rows"])
            damaged = [(row, name) for row, name, *stored in rows if not _is_whole(*stored)]
        return [f"row {row} ({name}) is not what its checksum says" for row, name in damaged]

    def clear(self, names: Sequence[str] | None = None) -> int:
        """Remove features of these names, or everything; the number of bytes that were removed."""
        before = self.bytes_on_disk()
        if names is None:
            for path in map(self.folder.joinpath, FILES):
                path.unlink(missing_ok=True)
        else:
            with self._maintaining() as database:
                for query in ("clear", "forget"):
                    database.execute(_of_many(query, len(names)), names)
                database.executescript(SQL["shrink"])
        return before - self.bytes_on_disk()

    def bytes_on_disk(self) -> int:
        """The size of the store."""
        paths = (self.folder / name for name in (FILE, f"{FILE}-wal"))
        return sum(path.stat().st_size for path in paths if path.is_file())

    def _identity(self, feature: Feature) -> bytes:
        # Kept for each object, for making a specification may read model files.
        if id(feature) not in self._identities:
            text = json.dumps([feature.spec, list(feature.columns)], sort_keys=True)
            self._identities[id(feature)] = feature, content.digest_of(text.encode())
        return self._identities[id(feature)][1]

    def _exists(self) -> bool:
        with contextlib.suppress(OSError):
            return os.path.getsize(self.path) > 0
        return False

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        # Where SQLite may not make files beside the database, it reads only what nobody changes.
        mode = "rwc" if os.access(self.folder, os.W_OK) else "ro&immutable=1"
        uri = f"{self.path.absolute().as_uri()}?mode={mode}"
        with contextlib.closing(
            sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
        ) as database:
            if database.execute("SELECT 1 FROM sqlite_master").fetchone() is None:
                database.executescript(SQL["schema"])
            with contextlib.suppress(sqlite3.OperationalError):  # another run is at it
                database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            yield database

    def _rows(self, query: str, keys: Sequence[Any], *first: bytes) -> Iterator[list[Any]]:
        """Answers of a query, some keys at a time; none where it cannot be read."""
        if not self._usable or not self._exists():
            return
        with self._or_without(), self._open() as database:
            for start in range(0, len(keys), KEYS_PER_QUERY):
                batch = keys[start : start + KEYS_PER_QUERY]
                found = database.execute(_of_many(query, len(batch)), (*first, *batch))
                yield found.fetchall()

    @contextlib.contextmanager
    def _or_without(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            self._usable = False
            self._warn(f"{error}; the run goes on without storing features")

    @contextlib.contextmanager
    def _maintaining(self) -> Iterator[sqlite3.Connection]:
        """The database, an empty one where there is none; what fails is an error here."""
        if not self._exists():
            with contextlib.closing(sqlite3.connect(":memory:")) as database:
                database.executescript(SQL["schema"])
                yield database
            return
        try:
            with self._open() as database:
                yield database
        except sqlite3.Error as error:
            raise EmoscopeError(f"{error}; emoscope store clear removes {self.path}") from error

    def _warn(self, text: str) -> None:
        warnings.warn(f"{self.path}: {text}", RuntimeWarning, stacklevel=4)


def _of_many(query: str, count: int) -> str:
    """A query of :data:`SQL` for that many values."""
    return str(SQL[query]).format(marks=",".join("?" * count))


def _checksum(identity: bytes, key: bytes, data: bytes) -> int:
    return zlib.crc32(data, zlib.crc32(identity + key))


def _is_whole(*row: Any) -> bool:
    """Whether a row is what was written; of a damaged one even the types may differ."""
    *parts, checksum = row
    return all(isinstance(part, bytes) for part in parts) and _checksum(*parts) == checksum


def _limit_from_environment() -> int:
    text = os.environ.get(LIMIT_VARIABLE, f"{DEFAULT_LIMIT / 10**9}")
    try:
        return int(float(text) * 10**9)
    except (ValueError, OverflowError):
        raise EmoscopeError(f"{LIMIT_VARIABLE}={text} is not a number of GB") from None
