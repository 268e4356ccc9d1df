"""What a recording contains, told by its bytes; remembered for files that have not changed since.

The key of a recording is a hash of its bytes, so a copy, a rename or another corpus with the same
recording has the same key. Hashing reads the whole file; to spare that, :class:`KnownFiles`
remembers keys by a file's path and stamp (size, times, identity on disk). A stamp proves that a
file is unchanged only if it was already :data:`SETTLED_SECONDS` old when the file was read: one
that is written twice within the resolution of its clock looks the same both times. A stamp from
the future, as after a clock was set back, proves nothing either.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import sqlite3
import stat
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...audio import opening

KEY_BYTES = 16
"""128 bits: among 10 million recordings, two share a key with a probability of 1.5e-25."""

SETTLED_SECONDS = 2.0
"""The coarsest clock of a file system in use, FAT's."""

MAX_REMOTE = 2**31
"""Most bytes to read of what a URL names, as many as :mod:`emoscope.audio` fetches: 2 GiB."""

_BLOCK = 2**20
_SECOND = 10**9  # nanoseconds
_WAIT_SECONDS = 10.0  # for another run that is writing


@dataclasses.dataclass(frozen=True)
class Stamp:
    """What tells one state of a file from another without reading it.

    Attributes
    ----------
    identity : tuple
        Size, times and place on disk, or what a remote store vouches for.
    changed : int
        Nanoseconds since the epoch at which the file last changed; 0 when the identity is derived
        from the content and no clock is involved.
    """

    identity: tuple[Any, ...]
    changed: int

    def settled(self, moment: int) -> bool:
        """Whether a change after the moment, in ns since the epoch, would give another stamp."""
        return self.changed + SETTLED_SECONDS * _SECOND < moment


@dataclasses.dataclass(frozen=True)
class Content:
    """What a file held when it was read: its key, its stamp, and the moment in ns."""

    key: bytes
    stamp: Stamp | None
    read_at: int


def stamp(path: str) -> Stamp | None:
    """The stamp of a file or URL; None where there is none that could be believed."""
    local = opening.local_path(path)
    if local is None:
        return _remote_stamp(path)
    try:
        found = os.stat(local)
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    # The change time cannot be set at will, unlike the modification time.
    identity = (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev)
    return Stamp(identity, max(found.st_mtime_ns, found.st_ctime_ns))


def _remote_stamp(url: str) -> Stamp | None:
    with contextlib.suppress(Exception):  # each file system has errors of its own
        system, path = opening.remote(url)
        about = system.info(path)
        vouched = [about[k] for k in ("ETag", "etag", "md5Hash", "content_md5") if about.get(k)]
        return Stamp((about.get("size"), *map(str, vouched)), 0) if vouched else None
    return None


def read(path: str) -> Content | None:
    """Read a file or URL and identify its content.

    Returns
    -------
    Content or None
        None when it cannot be read, or is not a file: why is for the decoder to say.
    """
    local = opening.local_path(path)
    before, moment = stamp(path), time.time_ns()
    if before is None and local is not None:
        return None
    with contextlib.suppress(Exception), _open(path, local) as file:
        digest, count = hashlib.blake2b(digest_size=KEY_BYTES), 0
        while block := file.read(_BLOCK):
            digest.update(block)
            count += len(block)
            if local is None and count > MAX_REMOTE:
                return None
        return Content(digest.digest(), before, moment)
    return None


def _open(path: str, local: str | None) -> Any:
    if local is not None:
        return open(local, "rb", buffering=0)
    system, place = opening.remote(path)
    return system.open(place, "rb")


class KnownFiles:
    """Keys of files that were read before, in one SQLite file that several runs may share.

    It only spares work: when it is damaged it is begun anew, and when it cannot be read the files
    are.

    Parameters
    ----------
    database : Path
        Made when the first key is recorded.
    """

    def __init__(self, database: Path) -> None:
        self.database = database

    def find(self, paths: Iterable[str]) -> list[bytes | None]:
        """The keys of files that have not changed since they were read, None for all others."""
        paths = list(paths)
        if not self.database.exists():
            return [None] * len(paths)
        try:
            with contextlib.closing(self._connect(write=False)) as connection:
                return [self._find(connection, path) for path in paths]
        except sqlite3.OperationalError:  # busy, or not readable by us
            return [None] * len(paths)
        except sqlite3.DatabaseError:
            self.forget()
            return [None] * len(paths)

    def add(self, read: Iterable[tuple[str, Content]]) -> None:
        """Remember what files held, where their stamps can be believed.

        Raises
        ------
        OSError
            When it cannot be written.
        """
        rows = [
            (_name(path), _fingerprint(content.stamp), content.key)
            for path, content in read
            if content.stamp is not None and content.stamp.settled(content.read_at)
        ]
        if not rows:
            return
        self.database.parent.mkdir(parents=True, exist_ok=True)
        try:
            with contextlib.closing(self._connect(write=True)) as connection, connection:
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS files"
                    " (path BLOB PRIMARY KEY, stamp BLOB, key BLOB) WITHOUT ROWID"
                )
                connection.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", rows)
        except sqlite3.OperationalError as error:
            raise OSError(str(error)) from error
        except sqlite3.DatabaseError:
            self.forget()

    def forget(self) -> None:
        """Remove everything that is known."""
        for suffix in ("", "-journal"):
            with contextlib.suppress(OSError):
                os.unlink(f"{self.database}{suffix}")

    def _connect(self, *, write: bool) -> sqlite3.Connection:
        mode = "rwc" if write else "ro"
        uri = f"{self.database.absolute().as_uri()}?mode={mode}"
        return sqlite3.connect(uri, uri=True, timeout=_WAIT_SECONDS)

    @staticmethod
    def _find(connection: sqlite3.Connection, path: str) -> bytes | None:
        now = stamp(path)
        if now is None:
            return None
        query = "SELECT key FROM files WHERE path = ? AND stamp = ?"
        row = connection.execute(query, (_name(path), _fingerprint(now))).fetchone()
        return bytes(row[0]) if row else None


def _name(path: str) -> bytes:
    """A path as the database knows it: short, and telling nothing of whose files they are."""
    absolute = path if opening.URL.match(path) else os.path.abspath(path)
    return hashlib.blake2b(os.fsencode(absolute), digest_size=KEY_BYTES).digest()


def _fingerprint(stamp: Stamp | None) -> bytes:
    identity = repr(stamp.identity if stamp else None).encode()
    return hashlib.blake2b(identity, digest_size=KEY_BYTES).digest()
