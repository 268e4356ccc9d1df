"""What a recording contains, told by a hash of its bytes, and when a file need not be read for it.

Keys are remembered by a file's path and stamp (size, times, identity on disk). A stamp proves nothing
of a file that had just been written, or is from the future: it may have been written again since.
"""

import contextlib
import hashlib
import os
import stat
import time
from typing import NamedTuple

from ..audio import Excerpt, opening
from ..errors import AudioError

KEY_BYTES = 16  # among 10 million recordings, two share a key with a probability of 1.5e-25
SETTLED_SECONDS = 2.0  # the coarsest clock of a file system in use, FAT's
MAX_REMOTE = 2**31  # bytes to read of what a URL names, as many as emoscope.audio fetches
_BLOCK = 2**20


class Stamp(NamedTuple):
    """What tells one state of a file from another without reading it."""

    digest: bytes
    changed: int  # ns since the epoch

    def settled(self, moment: int) -> bool:
        """Whether a change after the moment, in ns since the epoch, would give another stamp."""
        return self.changed + SETTLED_SECONDS * 1e9 < moment


class Content(NamedTuple):
    """What a file held when it was read."""

    key: bytes
    stamp: Stamp | None
    read_at: int  # ns since the epoch


def stamp_of(path: str) -> Stamp | None:
    """The stamp of a file; None where there is none that could be believed, as of a URL."""
    local = opening.local_path(path)
    if local is None:
        return None
    with contextlib.suppress(OSError, ValueError):
        status = os.stat(local)
        # The change time cannot be set at will, unlike the modification time.
        times = (status.st_mtime_ns, status.st_ctime_ns)
        identity = (status.st_size, *times, status.st_ino, status.st_dev)
        if stat.S_ISREG(status.st_mode):
            return Stamp(digest_of(repr(identity).encode()), max(times))
    return None


def digest_of(data: bytes) -> bytes:
    """A hash of as many bytes as every key has."""
    return hashlib.blake2b(data, digest_size=KEY_BYTES).digest()


def read(path: str) -> Content | None:
    """Read a file or URL; None when it cannot be read: why is for the decoder to say."""
    stamp, moment = stamp_of(path), time.time_ns()
    digest = hashlib.blake2b(digest_size=KEY_BYTES)
    try:
        with opening.open_binary(path, limit=MAX_REMOTE) as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except (AudioError, OSError):
        return None
    return Content(digest.digest(), stamp, moment)


def place(path: str) -> bytes:
    """A path as the store knows it: short, and telling nothing of whose files they are."""
    absolute = path if opening.URL.match(path) else os.path.abspath(path)
    return digest_of(os.fsencode(absolute))


def key_of(key: bytes, excerpt: Excerpt) -> bytes:
    """The key of an excerpt of the recording with that key; of the whole it is the same."""
    if not excerpt.is_part and excerpt.channel is None:
        return key
    part = repr((float(excerpt.start), excerpt.end and float(excerpt.end), excerpt.channel))
    return digest_of(key + part.encode())
