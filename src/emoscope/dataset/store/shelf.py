"""The stored values of one feature with one set of parameters: a folder of segments.

Writers only ever add segments under names of their own, so any number of runs may write at once and
a reader needs no lock. What two runs both computed is there twice, with equal values, until
:meth:`Shelf.merge` makes few large segments out of many small ones.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import FeatureError
from ...features.base import Feature
from ...files import remove_abandoned
from . import segments
from .segments import DamagedError, Header, Keys, Segment, Values

SMALL_BYTES = 16 * 2**20
"""Segments below this are merged: reading a thousand small files takes longer than their values."""

MERGED_BYTES = 64 * 2**20
"""About the size of a merged segment; one is in memory at a time."""

FEW = 4
"""So many small segments are left alone."""

LARGEST_VALUES = 2**30
"""Bytes of one clip above which it is not stored: a segment addresses 2 GiB."""


class Shelf:
    """Stored values of one feature.

    Parameters
    ----------
    store : Path
        The folder that holds all shelves.
    feature : Feature
        Its specification decides the folder, and is compared with every segment read.

    Raises
    ------
    FeatureError
        When the specification is not JSON-serialisable.
    """

    def __init__(self, store: Path, feature: Feature) -> None:
        try:
            text = json.dumps(feature.spec, sort_keys=True)
        except (TypeError, ValueError) as error:
            raise FeatureError(
                f"the specification of '{feature.name}' cannot be stored: {error}"
            ) from error
        self.spec: dict[str, Any] = json.loads(text)
        self.columns = list(feature.columns)
        self.is_vector = feature.kind == "vector"
        name = re.sub(r"[^A-Za-z0-9.-]+", "_", f"{feature.name}-v{feature.version}")
        digest = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
        self.folder = store / f"{name}-{digest}"
        self._keys: list[bytes] = []
        self._values: list[Values] = []
        self.waiting_bytes = 0

    def segments(self) -> list[Path]:
        """The files, in no order that means anything."""
        return files_of(self.folder)

    def read(self, wanted: Keys) -> Iterator[tuple[NDArray[np.intp], Values | list[Values]]]:
        """Look recordings up, segment by segment.

        Parameters
        ----------
        wanted : ndarray of S16 [shape=(n_clips,)]
            Keys of recordings; one may occur more than once.

        Yields
        ------
        positions : ndarray of intp [shape=(n_found,)]
            Where in ``wanted``.
        values : ndarray of float32 [shape=(n_found, n_columns)], or list of (n_frames, n_columns)
            The values, of a vector feature and of one that gives frames.
        """
        index = _Index(wanted)
        seen: set[Path] = set()
        # A segment that vanishes was merged into one that the next look at the folder shows.
        while fresh := [path for path in self.segments() if path not in seen]:
            seen.update(fresh)
            for path in fresh:
                positions, rows = self._match(path, index)
                if len(positions) and (segment := self._load(path)) is not None:
                    with contextlib.suppress(OSError):
                        os.utime(path)  # the last to be evicted
                    yield positions, self._rows(segment, rows)

    def _match(self, path: Path, index: _Index) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        keys = np.zeros(0, segments.KEY)
        with _reporting_damage(path):
            header, found = segments.read_keys(path)
            self._check(header)
            keys = found
        return index.match(keys)

    def _load(self, path: Path) -> Segment | None:
        """A segment; None when it is damaged, of another feature, or gone."""
        with _reporting_damage(path):
            segment = segments.read(path)
            self._check(segment.header)
            if self.is_vector and len(segment.frames) != len(segment.keys):
                raise DamagedError("it does not hold one row per clip")
            return segment
        return None

    def _check(self, header: Header) -> None:
        if (header.spec, header.columns) != (self.spec, self.columns):
            raise DamagedError("it holds another feature than its folder says")

    def _rows(self, segment: Segment, rows: NDArray[np.intp]) -> Values | list[Values]:
        if self.is_vector:
            return segment.frames[rows]
        return [segment.clip(row).copy() for row in rows]  # the segment itself is let go

    def put(self, key: bytes, values: Values) -> None:
        """Take the values of a recording; :meth:`flush` writes them."""
        if values.nbytes <= LARGEST_VALUES:
            self._keys.append(key)
            self._values.append(values)
            self.waiting_bytes += values.nbytes

    def flush(self) -> None:
        """Write what was put, or forget it when that fails.

        Raises
        ------
        OSError
            When it cannot be written.
        """
        keys, values = self._keys, self._values
        self._keys, self._values, self.waiting_bytes = [], [], 0
        if keys:
            self._write(keys, values)

    def _write(self, keys: Sequence[bytes], values: Sequence[Values]) -> None:
        path = self.folder / f"{secrets.token_hex(8)}{segments.SUFFIX}"
        try:
            segments.write(path, keys, values, spec=self.spec, columns=self.columns)
        except FileNotFoundError:  # another run has just cleared the folder away
            segments.write(path, keys, values, spec=self.spec, columns=self.columns)

    def merge(self) -> None:
        """Make few large segments out of many small ones; the caller holds the store's lock.

        New segments are complete before old ones are removed, so that being killed in between
        leaves values twice, never not at all.

        Raises
        ------
        OSError
            When it cannot be written.
        """
        remove_abandoned(self.folder)
        small = [p for p in self.segments() if _size(p) < SMALL_BYTES]
        if len(small) <= FEW:
            return
        taken: list[Path] = []
        found: dict[bytes, Values] = {}
        for path in small:
            if (segment := self._load(path)) is None:
                continue
            found.update((segment.key(row), segment.clip(row)) for row in range(len(segment.keys)))
            taken.append(path)
            if sum(v.nbytes for v in found.values()) >= MERGED_BYTES:
                self._replace(taken, found)
                taken, found = [], {}
        if len(taken) > 1:
            self._replace(taken, found)

    def _replace(self, old: Sequence[Path], found: dict[bytes, Values]) -> None:
        self._write(list(found), list(found.values()))
        for path in old:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def _reporting_damage(path: Path) -> Iterator[None]:
    """Remove a damaged segment and say so; pass over one that is gone or may not be read."""
    try:
        yield
    except DamagedError as error:
        warnings.warn(
            f"stored features are damaged and will be computed again: {path}: {error}",
            RuntimeWarning,
            stacklevel=2,
        )
        with contextlib.suppress(OSError):
            path.unlink()
    except OSError:
        return


class _Index:
    """Finds the keys of a segment among those that are wanted."""

    def __init__(self, wanted: Keys) -> None:
        self._order = np.argsort(wanted, kind="stable")
        self._sorted = wanted[self._order]

    def match(self, keys: Keys) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Positions among the wanted, and the row of the segment that each one has."""
        first = np.searchsorted(self._sorted, keys, "left")
        counts = np.searchsorted(self._sorted, keys, "right") - first
        rows = np.repeat(np.arange(len(keys)), counts)
        # Within each run of equal keys count 0, 1, 2 …: the same recording under several names.
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return self._order[np.repeat(first, counts) + within], rows


def files_of(folder: Path) -> list[Path]:
    """The segments in a folder, none when it does not exist."""
    with contextlib.suppress(OSError):
        return [p for p in folder.iterdir() if p.suffix == segments.SUFFIX and p.name[0] != "."]
    return []


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
