"""Opens what a user names as a recording: a regular file, or a URL through fsspec.

Nothing else is opened, nothing is waited for, and every refusal is an
:class:`~emoscope.errors.AudioError` in plain words.
"""

from __future__ import annotations

import io
import os
import re
import stat
from typing import IO

from ..errors import AudioError

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://")
"""How the name of something that is not a local file begins."""


def open_binary(name: str, *, limit: int) -> IO[bytes]:
    """Open a recording for a decoder.

    Parameters
    ----------
    name : str
        A file name, or a URL that fsspec understands.
    limit : int
        Most bytes to fetch from elsewhere; local files are read as they are decoded.

    Raises
    ------
    AudioError
        When there is nothing to read under that name, or it may not be read.
    """
    return _open_url(name, limit) if URL.match(name) else _open_file(name, name)


class _Reader(io.BufferedReader):
    """Stays where it is on the impossible seeks that decoders try on damaged files."""

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Seek, or do nothing when there is no such place."""
        try:
            return super().seek(offset, whence)
        except (OSError, ValueError):
            return self.tell()


def _open_file(path: str, name: str) -> IO[bytes]:
    """Open a regular file; anything else is refused without waiting for it."""
    try:
        # Without O_NONBLOCK, opening a FIFO waits for a writer that may never come.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        raw = _Reader(io.FileIO(os.open(path, flags)))
    except OSError as error:
        raise AudioError(name, os_reason(error)) from None
    except ValueError:
        raise AudioError(name, "no such file: no file can have this name") from None
    info = os.fstat(raw.fileno())
    if stat.S_ISREG(info.st_mode) and info.st_size:
        return raw
    raw.close()
    raise AudioError(name, "empty file" if stat.S_ISREG(info.st_mode) else "not a regular file")


def _open_url(url: str, limit: int) -> IO[bytes]:
    """Fetch what a URL names into memory."""
    from fsspec.core import url_to_fs

    try:
        system, path = url_to_fs(url)
        if "file" in ([system.protocol] if isinstance(system.protocol, str) else system.protocol):
            return _open_file(path, url)
        with system.open(path, "rb") as remote:
            content: bytes = remote.read(limit + 1)
    except AudioError:
        raise
    except OSError as error:
        raise AudioError(url, os_reason(error)) from None
    except Exception as error:  # every protocol brings exceptions of its own
        raise AudioError(url, f"cannot be fetched: {error}") from None
    if not content:
        raise AudioError(url, "empty file")
    if len(content) > limit:
        raise AudioError(url, f"larger than the limit of {limit} bytes")
    return _Reader(io.BytesIO(content))


def os_reason(error: OSError) -> str:
    """The operating system's refusal in plain words."""
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, IsADirectoryError):
        return "a directory, not a recording"
    if isinstance(error, PermissionError):
        return "no permission to read it"
    return f"cannot be read: {error.strerror or error}"
