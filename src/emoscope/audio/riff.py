"""WAV files whose header was never finished: their recorder died, or wrote to where it cannot go back.

The size of the samples is then 0, that of the first block, or unknown. What follows a stated size is
taken for sound only where it cannot be anything else: the header speaks of nothing behind the samples,
no chunk, tag or padding is there, and of a block more than as much again. Everything else is left to
the decoder.
"""

from __future__ import annotations

import os
import struct
from typing import IO


def is_open(stated: int) -> bool:
    """Whether that is what encoders leave as a size that they cannot know: the largest, or nearly."""
    return any(largest - 4096 <= stated <= largest for largest in (2**32 - 1, 2**31))


_CHUNK = struct.Struct("<4sI")
_TAGS = (b"TAG", b"ID3", b"APE", b"RIF", b"PK\x03")  # of what programs append to a finished file
_HEADER = 2**20  # bytes within which the samples must begin


def finished(file: IO[bytes]) -> bytes | None:
    """The header of an unfinished WAV file, up to its samples, as it should be; None of any other.

    Where the decoder reads to the end of the file as it is, nothing is changed in it.
    """
    file.seek(0, os.SEEK_END)
    end = file.tell()
    found = _data_chunk(file, end)
    file.seek(0)
    if found is None:
        return None
    at, stated, rate = found
    header = bytearray(file.read(at))
    file.seek(0)
    if is_open(stated):
        return bytes(header) if at + stated > end else None
    behind = at + stated + stated % 2
    claimed = 8 + _CHUNK.unpack_from(header)[1]
    is_block = stated == 0 or (stated < rate and claimed <= behind and end - behind >= stated)
    if not is_block or end <= behind or _is_known(file, behind, end, padded=stated > 0):
        return None
    struct.pack_into("<I", header, 4, min(end - 8, 0xFFFFFFFF))
    struct.pack_into("<I", header, at - 4, min(end - at, 0xFFFFFFFF))
    return bytes(header)


def _data_chunk(file: IO[bytes], end: int) -> tuple[int, int, int] | None:
    """Where the samples of a WAV file begin, their stated bytes, and bytes per second."""
    file.seek(0)
    magic, position, rate = file.read(12), 12, 0
    if magic[:4] != b"RIFF" or magic[8:] != b"WAVE":
        return None
    while position + 8 <= min(end, _HEADER):
        file.seek(position)
        name, size = _CHUNK.unpack(file.read(8))
        if name == b"data":
            return (position + 8, size, rate) if rate else None
        if name == b"fmt " and size >= 16 and position + 20 <= end:
            rate = struct.unpack("<8xI", file.read(12))[0]
        position += 8 + size + size % 2
    return None


def _is_known(file: IO[bytes], position: int, end: int, *, padded: bool) -> bool:
    """Whether chunks, a tag or, where it may be padded, zeros stand from a position to the end."""
    file.seek(position)
    start = file.read(2**16)
    file.seek(0)
    if start.startswith(_TAGS) or (padded and not any(start)):
        return True
    while position + 8 <= end:
        file.seek(position)
        name, size = _CHUNK.unpack(file.read(8))
        if not (name.isascii() and name.decode().isprintable()):
            break
        position += 8 + size + size % 2
    file.seek(0)
    return end - 8 < position <= end + 1
