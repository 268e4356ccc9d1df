"""How much a table may hold; nothing that a file says of itself is believed."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

from ..errors import CorpusError
from ..files import printable

RawRow: TypeAlias = dict[str, object]

MAX_BYTES = 2**29  # of a file, unpacked: 512 MiB, some millions of clips
MAX_ROWS = 10_000_000  # as many clips as one process can hold with their features


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
            raise CorpusError(f"{where}: {two} have one name; leave one of them out")
        seen[word] = name
