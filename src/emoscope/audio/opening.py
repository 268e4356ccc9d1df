"""Finds and opens what a user names as recordings: files, folders, patterns, and a few kinds of URL.

Nothing but regular files and URLs through fsspec is opened, nothing is waited for. WAV headers that were
never finished, because a recorder died, are completed (:func:`finished`).
"""

import glob
import io
import os
import re
import stat
import struct
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import IO, Any

from ..errors import AudioError

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://")  # how what is not a local file begins
# What a URL in a manifest may begin with: places that the user has set up.
STORES = ("file", "memory", "s3", "gs", "gcs", "az", "abfs", "abfss")
# What any URL may begin with. A name must not be able to reach what else fsspec knows: archives
# within archives, tables of references to other addresses, hosts of every kind.
PROTOCOLS = (*STORES, "http", "https")

#: Endings of the names of sound files, which are clips when a corpus is searched.
SOUND_ENDINGS = frozenset([
    "wav", "wave", "flac", "ogg", "oga", "opus", "mp3", "aif", "aiff", "aifc", "au", "snd",
    "caf", "w64", "rf64", "m4a", "m4b", "aac", "mka", "wma", "amr", "ac3",
])  # fmt: skip
#: Endings of the names of sound and video files, which are recordings when a folder is searched.
ENDINGS = SOUND_ENDINGS | {
    "mp4", "m4v", "mov", "mkv", "webm", "avi", "wmv", "asf", "3gp", "3g2", "mpg", "mpeg",
}  # fmt: skip

_BLOCK = 2**20
_CHUNK = struct.Struct("<4sI")
_TAGS = (b"TAG", b"ID3", b"APE", b"RIF", b"PK\x03")  # of what programs append to a finished file
_HEADER = 2**20  # bytes within which the samples must begin


def find(names: Iterable[str]) -> list[str]:
    """Recordings that files, folders and patterns (``*``, ``?``, ``**``) stand for, each once."""
    recordings: dict[str, None] = {}
    for name in names:
        matches = [name]
        if os.path.isdir(name):
            matches = sorted(below(name))
        elif glob.has_magic(name) and not os.path.lexists(name):
            matches = sorted(p for p in glob.glob(name, recursive=True) if not os.path.isdir(p))
        if not matches:
            kind = "no recordings in this folder" if os.path.isdir(name) else "matches no file"
            raise AudioError(name, kind)
        recordings |= dict.fromkeys(matches)
    return list(recordings)


def below(
    folder: str | os.PathLike[str], endings: Collection[str] = ENDINGS,
    onerror: Callable[[OSError], object] | None = None,
) -> Iterator[str]:  # fmt: skip
    """The files with one of the endings below a folder; links are followed, to each folder once."""
    seen: set[tuple[int, int]] = set()
    for place, folders, names in os.walk(os.fspath(folder), onerror=onerror, followlinks=True):
        info = os.stat(place)
        known = (info.st_dev, info.st_ino) in seen
        seen.add((info.st_dev, info.st_ino))
        folders[:] = [] if known else sorted(name for name in folders if not _is_hidden(name))
        for name in () if known else names:
            ending = os.path.splitext(name)[1].lower().lstrip(".")
            if ending in endings and not _is_hidden(name):
                yield os.path.join(place, name)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"  # which macOS puts into archives


def open_binary(name: str, *, limit: int) -> "Reader":
    """Open a file or URL for a decoder; of a URL at most `limit` bytes are fetched."""
    return _open_url(name, limit) if URL.match(name) else _open_file(name, name)


class Reader(io.BufferedReader):
    """Stays where it is on the impossible seeks that decoders try on damaged files."""

    header = b""  # what a decoder reads at the beginning, instead of what stands there

    def readinto(self, buffer: Any, /) -> int:
        """Read into a buffer, as decoders do."""
        position, count = self.tell(), super().readinto(buffer)
        repaired = self.header[position : position + count]
        buffer[: len(repaired)] = repaired
        return count

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Seek, or do nothing when there is no such place."""
        try:
            return super().seek(offset, whence)
        except (OSError, ValueError):
            return self.tell()


def _open_file(path: str, name: str) -> Reader:
    """Open a regular file; anything else is refused without waiting for it."""
    try:
        # Without O_NONBLOCK, opening a FIFO waits for a writer that may never come.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        raw = Reader(io.FileIO(os.open(path, flags)))
    except OSError as error:
        raise AudioError(name, os_reason(error)) from None
    except ValueError:
        raise AudioError(name, "no such file: this is not a valid file name") from None
    info = os.fstat(raw.fileno())
    if stat.S_ISREG(info.st_mode) and info.st_size:
        return raw
    raw.close()
    raise AudioError(name, "empty file" if stat.S_ISREG(info.st_mode) else "not a regular file")


def _open_url(url: str, limit: int) -> Reader:
    if reason := refusal(url):
        raise AudioError(url, reason)
    if (local := local_path(url)) is not None:
        return _open_file(local, url)
    content = io.BytesIO()
    try:
        system, path = remote(url)
        with system.open(path, "rb") as source:
            # A stream may give fewer bytes than asked for before it ends.
            while content.tell() <= limit and (block := source.read(_BLOCK)):
                content.write(block)
    except OSError as error:
        raise AudioError(url, os_reason(error)) from None
    except Exception as error:  # every protocol brings exceptions of its own
        raise AudioError(url, f"cannot be fetched: {error}") from None
    if not 0 < content.tell() <= limit:
        too_large = f"larger than the limit of {limit} bytes"
        raise AudioError(url, too_large if content.tell() else "empty file")
    content.seek(0)
    return Reader(content)


def refusal(url: str, protocols: Sequence[str] = PROTOCOLS) -> str:
    """Why a URL is not opened; empty when it may be."""
    protocol = url.partition("://")[0]
    if protocol.lower() not in protocols:
        return f"'{protocol}://' is not supported; a URL may begin with {', '.join(protocols)}"
    return "a URL inside another URL is not supported" if "::" in url else ""


def remote(url: str) -> tuple[Any, str]:
    """The file system of a URL that may be opened, and the path there."""
    from fsspec.core import url_to_fs

    if reason := refusal(url):
        raise AudioError(url, reason)
    protocol, _, rest = url.partition("://")
    system, path = url_to_fs(f"{protocol.lower()}://{rest}")
    return system, str(path)


def local_path(name: str) -> str | None:
    """The path on this machine that a name means; None for URLs of anything else."""
    if not URL.match(name):
        return name
    is_file = name.lower().startswith("file://") and not refusal(name)
    return remote(name)[1] if is_file else None


def os_reason(error: OSError) -> str:
    """The operating system's refusal in plain words."""
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, IsADirectoryError):
        return "a folder, not a recording"
    if isinstance(error, PermissionError):
        return "no permission to read it"
    return f"cannot be read: {error.strerror or error}"


def is_open(stated: int) -> bool:
    """Whether that is what encoders leave as a size that they cannot know: the largest, or nearly."""
    return any(largest - 4096 <= stated <= largest for largest in (2**32 - 1, 2**31))


def finished(file: IO[bytes]) -> bytes | None:
    """The header of an unfinished WAV file, up to its samples, as it should be; None of any other.

    Its stated size is then 0, that of the first block, or unknown. What follows a stated size is taken
    for sound only where it cannot be anything else: the header speaks of nothing behind the samples, no
    chunk, tag or padding is there, and of a block more than as much again. Else the decoder decides.
    """
    end = file.seek(0, os.SEEK_END)
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
