"""What a store holds, as far as its files say of themselves."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

from . import segments
from .segments import DamagedError
from .shelf import files_of


@dataclasses.dataclass(frozen=True)
class ShelfInfo:
    """What is stored of one feature with one set of parameters.

    Attributes
    ----------
    spec : dict
        The feature's specification.
    clips : int
        Number of recordings.
    bytes : int
        Size on disk.
    used : float
        When it was last read or written, in seconds since the epoch.
    """

    spec: dict[str, Any]
    clips: int
    bytes: int
    used: float


@dataclasses.dataclass(frozen=True)
class StoreInfo:
    """What a store holds: its folder, its size and limit in bytes, its shelves."""

    folder: Path
    bytes: int
    limit: int
    shelves: list[ShelfInfo]


def describe(folder: Path) -> ShelfInfo | None:
    """What the segments in a folder hold; None when not one of them can be read."""
    spec, clips, size, used = None, set[bytes](), 0, 0.0
    for path in files_of(folder):
        with contextlib.suppress(DamagedError, OSError):
            (header, keys), status = segments.read_keys(path), path.stat()
            spec = header.spec
            clips.update(keys.tolist())  # two runs may have stored the same recording
            size, used = size + status.st_size, max(used, status.st_mtime)
    return None if spec is None else ShelfInfo(spec, len(clips), size, used)
