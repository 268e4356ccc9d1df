"""The store as a whole: its shelves, the files it knows, its size limit.

Layout of the folder: ``features-1/NAME-vVERSION-HASH/*.parquet`` (one folder per feature and
parameters, see :mod:`emoscope.dataset.store.shelf`), ``files-1.sqlite`` (see
:mod:`emoscope.dataset.store.content`) and ``lock``. The lock is only for what removes segments (merging,
evicting, clearing); reading and adding need none. It is an advisory lock of the ``filelock``
package, which the operating system releases when its holder dies.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import filelock
import numpy as np
import platformdirs
from numpy.typing import NDArray

from ...errors import EmoscopeError
from ...features.base import Feature
from . import segments
from .content import Content, KnownFiles
from .info import StoreInfo, describe
from .segments import DamagedError, Values
from .shelf import Shelf, files_of

FOLDER_VARIABLE = "EMOSCOPE_STORE"
LIMIT_VARIABLE = "EMOSCOPE_STORE_LIMIT"

DEFAULT_LIMIT = 20 * 10**9
"""Bytes. Of the 193 named values, 25 million clips; of a log-mel spectrogram, 200,000."""

EVICT_TO = 0.9
"""Share of the limit that is left after evicting, so that it is not done again at once."""

FLUSH_SECONDS = 1.0
"""Most of the work that being killed can cost."""

FLUSH_BYTES = 32 * 2**20
FLUSHES_PER_TIDY = 64
FILES_PER_WRITE = 10_000
"""A database takes longer to write than values, and what it knows is easily found out again."""

LOCK_SECONDS = 60.0


class Store:
    """Features on disk.

    Parameters
    ----------
    folder : path-like, optional
        By default the environment variable EMOSCOPE_STORE, or else the user's cache folder.
    limit : int, optional
        Size in bytes above which what was not used for longest is removed. By default the
        environment variable EMOSCOPE_STORE_LIMIT, in GB, or else :data:`DEFAULT_LIMIT`.

    Raises
    ------
    EmoscopeError
        When the limit is not a positive number, or the user has no cache folder.

    Notes
    -----
    Nothing is made on disk before the first value is stored. Where it cannot be written, the run
    goes on without storing, after one warning.
    """

    def __init__(
        self, folder: str | os.PathLike[str] | None = None, *, limit: int | None = None
    ) -> None:
        self.folder = Path(folder or os.environ.get(FOLDER_VARIABLE) or _cache_folder())
        self.limit = _limit_from_environment() if limit is None else limit
        if self.limit <= 0:
            raise EmoscopeError(f"the store's limit must be a positive size, not {self.limit}")
        self._features = self.folder / "features-1"
        self._known = KnownFiles(self.folder / "files-1.sqlite")
        self._shelves: dict[Path, Shelf] = {}
        self._by_identity: dict[int, tuple[Feature, Shelf]] = {}
        self._read: list[tuple[str, Content]] = []
        self._writable = True
        self._flushed_at = time.monotonic()
        self._flushes = 0

    @classmethod
    def default(cls) -> Store:
        """The store that commands use: as the environment says, or the user's cache folder."""
        return cls()

    def holds(self, feature: Feature) -> bool:
        """Whether there may be values of a feature for any recording."""
        return bool(self._shelf(feature).segments())

    def find(self, paths: Iterable[str]) -> list[bytes | None]:
        """The keys of recordings that are known and unchanged; None for those to be read."""
        return self._known.find(paths)

    def read(
        self, feature: Feature, keys: Sequence[bytes]
    ) -> Iterator[tuple[NDArray[np.intp], Values | list[Values]]]:
        """Stored values of a feature, a part at a time.

        Parameters
        ----------
        feature : Feature
            What is wanted.
        keys : sequence of bytes
            Of which recordings.

        Yields
        ------
        positions : ndarray of intp [shape=(n_found,)]
            Where in ``keys``.
        values : ndarray of float32 [shape=(n_found, n_columns)], or list of (n_frames, n_columns)
            The values, of a vector feature and of one that gives frames.
        """
        yield from self._shelf(feature).read(np.array(keys, segments.KEY))

    def remember(self, path: str, content: Content) -> None:
        """Take note of what a file holds; on disk after :meth:`flush`, sometimes earlier."""
        self._read.append((path, content))

    def put(self, feature: Feature, key: bytes, values: Values) -> None:
        """Store a feature of a recording; what was put is on disk about a second later."""
        if self._writable:
            self._shelf(feature).put(key, values)

    def flush_if_due(self) -> None:
        """Write what was put when that was a second ago, or is much."""
        waiting = sum(shelf.waiting_bytes for shelf in self._shelves.values())
        if time.monotonic() - self._flushed_at > FLUSH_SECONDS or waiting > FLUSH_BYTES:
            self._flush_values()
            if len(self._read) > FILES_PER_WRITE:
                self._flush_files()
            self._flushes += 1
            if self._flushes % FLUSHES_PER_TIDY == 0:
                self.tidy()

    def flush(self) -> None:
        """Write everything that was put."""
        self._flush_values()
        self._flush_files()

    def _flush_values(self) -> None:
        for shelf in self._shelves.values():
            self._unless_read_only(shelf.flush)
        self._flushed_at = time.monotonic()

    def _flush_files(self) -> None:
        read, self._read = self._read, []
        self._unless_read_only(lambda: self._known.add(read))

    def tidy(self) -> None:
        """Merge small segments and keep to the size limit, unless another run is at it."""
        if os.path.exists(self._features):
            self._unless_read_only(self._tidy)

    def _tidy(self) -> None:
        with contextlib.suppress(filelock.Timeout), self._lock(0):
            for shelf in self._shelves.values():
                shelf.merge()
            self._evict()

    def _evict(self) -> None:
        found = [(path, path.stat()) for path in self._segments()]
        total = sum(status.st_size for _, status in found)
        if total <= self.limit:
            return
        for path, status in sorted(found, key=lambda item: item[1].st_mtime):
            path.unlink(missing_ok=True)
            total -= status.st_size
            if total <= EVICT_TO * self.limit:
                return

    def info(self) -> StoreInfo:
        """What the store holds."""
        found = [describe(folder) for folder in self._folders()]
        shelves = [shelf for shelf in found if shelf is not None]
        return StoreInfo(self.folder, sum(s.bytes for s in shelves), self.limit, shelves)

    def verify(self, *, remove: bool = False) -> list[tuple[Path, str]]:
        """Read everything and compare it with its checksums.

        Parameters
        ----------
        remove : bool
            Remove what is damaged; it would be found and computed again anyway.

        Returns
        -------
        list of (Path, str)
            Damaged files, each with what was found.
        """
        damaged: list[tuple[Path, str]] = []
        for path in self._segments():
            try:
                segments.read(path)
            except DamagedError as error:
                damaged.append((path, str(error)))
                if remove:
                    path.unlink(missing_ok=True)
            except FileNotFoundError:
                continue  # merged by another run
        return damaged

    def clear(self, names: Iterable[str] | None = None) -> int:
        """Remove stored features.

        Parameters
        ----------
        names : iterable of str, optional
            Of these features, with whatever parameters; by default everything.

        Returns
        -------
        int
            Bytes that were removed.

        Raises
        ------
        EmoscopeError
            When something cannot be removed.
        """
        if not self.folder.exists():
            return 0
        chosen = None if names is None else set(names)
        removed = 0
        with self._lock(LOCK_SECONDS):
            for folder in self._folders():
                known = describe(folder)
                if chosen is None or (known is not None and known.spec["name"] in chosen):
                    size = sum(path.stat().st_size for path in files_of(folder))
                    try:
                        shutil.rmtree(folder)
                    except OSError as error:
                        raise EmoscopeError(f"{folder}: cannot be removed: {error}") from error
                    removed += size
            if chosen is None:
                self._known.forget()
        return removed

    def _shelf(self, feature: Feature) -> Shelf:
        # Found by identity first, for making a specification may read model files.
        if id(feature) not in self._by_identity:
            shelf = Shelf(self._features, feature)
            shelf = self._shelves.setdefault(shelf.folder, shelf)
            self._by_identity[id(feature)] = (
                feature,
                shelf,
            )  # kept alive, so that the id is its own
        return self._by_identity[id(feature)][1]

    def _folders(self) -> list[Path]:
        return sorted(self._features.glob("*/"))

    def _segments(self) -> Iterator[Path]:
        for folder in self._folders():
            yield from files_of(folder)

    def _lock(self, seconds: float) -> filelock.BaseFileLock:
        return filelock.FileLock(self.folder / "lock", timeout=seconds)

    def _unless_read_only(self, write: Callable[[], None]) -> None:
        if not self._writable:
            return
        try:
            write()
        except (OSError, NotImplementedError) as error:  # the latter: no locks on this file system
            self._writable = False
            warnings.warn(
                f"{self.folder}: {error}; the run goes on without storing features",
                RuntimeWarning,
                stacklevel=4,
            )


def _cache_folder() -> str:
    try:
        return platformdirs.user_cache_dir("emoscope", False)
    except RuntimeError:
        raise EmoscopeError(
            f"this user has no home; set {FOLDER_VARIABLE} to a folder for extracted features"
        ) from None


def _limit_from_environment() -> int:
    text = os.environ.get(LIMIT_VARIABLE)
    if text is None:
        return DEFAULT_LIMIT
    try:
        return int(float(text) * 10**9)
    except (ValueError, OverflowError):
        raise EmoscopeError(f"{LIMIT_VARIABLE}={text} is not a number of GB") from None
