"""Fetches a corpus from its publisher: resume, checksum, progress, unpacking.

What was received of a file stays in ``<file>.part``. The next attempt asks for the rest only
(HTTP ``Range``, guarded by ``If-Range`` so that a file that has changed meanwhile starts anew). A
file counts as received when its size and checksum are those that the corpus file states; then it is
unpacked, and a marker keeps it from being fetched again.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ..errors import CorpusError, UnknownNameError
from ..files import write_atomically
from .base import CorpusInfo, Download
from .unpack import DamageError, need_space, unpack

if TYPE_CHECKING:
    import requests

Progress: TypeAlias = Callable[[str, int, int | None], None]
"""Called with what is being done, bytes done, and bytes in all where known."""

ATTEMPTS = 5
"""How often in a row a transfer may break without a single byte gained."""

PAUSE = 0.5
"""Seconds before the second attempt; each further pause is twice as long."""

TIMEOUT = (10.0, 60.0)
"""Seconds to wait for a connection, and for the next bytes."""

MAX_BYTES = 20 * 2**30
"""Largest file that is accepted when its publisher states no size: 20 GiB."""

_BLOCK = 2**14  # bytes received at a time, of which a broken transfer loses the last
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


def download(
    info: CorpusInfo,
    target: str | os.PathLike[str],
    *,
    parts: Sequence[str] | None = None,
    mirror: str | None = None,
    progress: Progress | None = None,
) -> Path:
    """Fetch and unpack a corpus; continue where an earlier attempt stopped.

    Parameters
    ----------
    info : CorpusInfo
        The corpus, from :func:`emoscope.corpora.get`.
    target : path-like
        Folder to unpack into; made if need be.
    parts : sequence of str, optional
        Which of the corpus's downloads, by their part's name; all by default.
    mirror : str, optional
        Address of a folder that holds copies of the publisher's files, used instead of it.
    progress : callable, optional
        See :data:`Progress`.

    Returns
    -------
    Path
        The folder, ready for :func:`emoscope.corpus.load`.

    Raises
    ------
    CorpusError
        When the corpus must be obtained by hand, the server refuses, what arrives is not what was
        promised, or the disk is full or not writable. What was received is kept for the next
        attempt unless it is wrong.
    UnknownNameError
        When the corpus has no such part.
    """
    if not info.downloads:
        raise CorpusError(f"{info.title} cannot be downloaded by a program; {info.obtain}")
    known = [d.part for d in info.downloads]
    for part in parts or ():
        if part not in known:
            raise UnknownNameError(f"part of {info.name}", part, known)
    folder = Path(target)
    report: Progress = progress or (lambda what, done, total: None)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            for item in info.downloads:
                if parts is None or item.part in parts:
                    _get(item, folder, mirror, report)
    except OSError as error:
        raise CorpusError(f"{folder}: {_os_reason(error)}") from None
    return folder


@contextlib.contextmanager
def console_progress() -> Iterator[Progress]:
    """A progress bar on standard error for :func:`download`: bytes, speed and time left."""
    from rich import progress as bars
    from rich.console import Console

    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.DownloadColumn(),
        bars.TransferSpeedColumn(),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=Console(stderr=True)) as display:
        tasks: dict[str, bars.TaskID] = {}

        def report(what: str, done: int, total: int | None) -> None:
            if what not in tasks:
                tasks[what] = display.add_task(what, total=total)
            display.update(tasks[what], completed=done, total=total)

        yield report


def _get(item: Download, folder: Path, mirror: str | None, report: Progress) -> None:
    """Fetch, check and unpack one file, doing only what is not done yet."""
    marker = folder / f".{item.file_name}.done"
    if _complete(marker, folder):
        return
    archive = folder / item.file_name
    by_hand = archive.exists()
    if by_hand:
        fault = _fault(item, archive)
        if fault:
            raise CorpusError(f"{archive}: {fault}; move it away and run the command again")
    else:
        partial = folder / f"{item.file_name}.part"
        url = f"{mirror.rstrip('/')}/{item.file_name}" if mirror else item.url
        _fetch(url, item, partial, report)
        fault = _fault(item, partial)
        if fault:
            _discard(partial)
            raise CorpusError(f"{url}: {fault}. It was deleted; run the command again")
        os.replace(partial, archive)
        _origin_file(partial).unlink(missing_ok=True)
    what = f"unpacking {item.file_name}"
    try:
        files = unpack(archive, folder, progress=lambda done, total: report(what, done, total))
    except DamageError as error:
        if by_hand or item.md5 is not None:  # not ours to delete, or what the publisher has
            raise CorpusError(f"{error}; move it away and run the command again") from None
        archive.unlink()
        raise CorpusError(f"{error}. It was deleted; run the command again") from None
    sizes = {str(file.relative_to(folder)): file.stat().st_size for file in files}
    write_atomically(marker, json.dumps(sizes))
    archive.unlink()


def _complete(marker: Path, folder: Path) -> bool:
    """Whether everything that was unpacked is still there, in full."""
    try:
        sizes = json.loads(marker.read_text(encoding="utf-8"))
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (FileNotFoundError, ValueError, AttributeError):
        return False


def _fetch(url: str, item: Download, partial: Path, report: Progress) -> None:
    """Receive the whole file into `partial`, asking again for the rest when a transfer breaks."""
    import requests

    failures = 0
    with requests.Session() as session:
        while True:
            before = partial.stat().st_size if partial.exists() else 0
            if item.size is not None and before == item.size:
                return
            try:
                if _transfer(session, url, item, partial, report):
                    return
                reason = "the server is busy or closed the connection early"
            except (requests.ConnectionError, requests.Timeout):
                reason = "the server cannot be reached or does not answer"
            except requests.exceptions.ChunkedEncodingError:
                reason = "the transfer broke"
            except requests.RequestException as error:
                raise CorpusError(f"{url}: {error}") from None
            gained = partial.exists() and partial.stat().st_size > before
            failures = 1 if gained else failures + 1
            if failures >= ATTEMPTS:
                raise CorpusError(
                    f"{url}: {reason}; what was received is kept, run the command again to continue"
                )
            time.sleep(PAUSE * 2**failures)


def _transfer(
    session: requests.Session, url: str, item: Download, partial: Path, report: Progress
) -> bool:
    """One request; True when the file is complete."""
    have = partial.stat().st_size if partial.exists() else 0
    origin = _origin(partial)
    # Bytes as they are stored: positions in a compressed transfer would mean nothing.
    headers = {"Accept-Encoding": "identity"}
    if have and (origin or item.md5):  # either proves that both parts are of one file
        headers |= {"Range": f"bytes={have}-"} | ({"If-Range": origin} if origin else {})
    with session.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if response.status_code in (408, 429) or response.status_code >= 500:
            return False
        if response.status_code == 416:  # nothing left to send, or a part that does not fit
            _discard(partial)
            return False
        if response.status_code not in (200, 206):
            raise CorpusError(f"{url}: the server answers {response.status_code} {response.reason}")
        start, total = _extent(response)
        if start != (have if response.status_code == 206 else 0):
            _discard(partial)
            return False
        limit = _limit(url, item, total)
        need_space(partial.parent, (total or 0) - start)
        write_atomically(_origin_file(partial), json.dumps(_validator(response)))
        done = start
        with open(partial, "r+b" if start else "wb") as file:
            file.seek(start)
            for block in response.iter_content(_BLOCK):
                done += len(block)
                if done > limit:
                    break
                file.write(block)
                report(item.file_name, done, total)
    if done > limit:
        _discard(partial)
        raise CorpusError(f"{url}: the server sends more than the {limit} bytes expected")
    return total is None or done == total


def _extent(response: requests.Response) -> tuple[int, int | None]:
    """Position of the first byte of a response in the file, and the file's length."""
    if response.status_code == 206:
        match = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if match is None:
            return -1, None
        return int(match[1]), None if match[2] == "*" else int(match[2])
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else None


def _limit(url: str, item: Download, total: int | None) -> int:
    """Most bytes to accept; refuses at once a file of another size than the corpus states."""
    if item.size is not None and total is not None and total != item.size:
        raise CorpusError(
            f"{url}: the server offers {total} bytes, but {item.file_name} has {item.size}; "
            "the file was replaced or the address is wrong"
        )
    if total is not None and total > MAX_BYTES:
        raise CorpusError(f"{url}: {total} bytes is beyond the limit of {MAX_BYTES}")
    return item.size or total or MAX_BYTES


def _validator(response: requests.Response) -> str:
    """What tells this version of the file from others; weak tags cannot guard a range."""
    tag: str = response.headers.get("ETag", "")
    if tag and not tag.startswith("W/"):
        return tag
    modified: str = response.headers.get("Last-Modified", "")
    return modified


def _origin_file(partial: Path) -> Path:
    return partial.with_name(f"{partial.name}.json")


def _origin(partial: Path) -> str:
    """The validator of the version that `partial` holds the beginning of."""
    try:
        origin = json.loads(_origin_file(partial).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return ""
    return origin if isinstance(origin, str) else ""


def _fault(item: Download, file: Path) -> str:
    """What differs from the size and checksum that the corpus file states; empty when nothing.

    Where the publisher states no checksum, the archive's own have to do, when it is unpacked.
    """
    size = file.stat().st_size
    if item.size is not None and size != item.size:
        return f"the file has {size} bytes, {item.size} are expected"
    if item.md5 is None:
        return ""
    digest = hashlib.md5(usedforsecurity=False)
    with open(file, "rb") as content:
        while block := content.read(_BLOCK):
            digest.update(block)
    if digest.hexdigest() == item.md5:
        return ""
    return (
        f"checksum {digest.hexdigest()} instead of {item.md5}: the file is damaged or was replaced"
    )


def _discard(partial: Path) -> None:
    partial.unlink(missing_ok=True)
    _origin_file(partial).unlink(missing_ok=True)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep two downloads from writing into one folder; released when the process ends, however."""
    with open(folder / ".emoscope-get.lock", "a") as file:
        try:
            import fcntl
        except ImportError:  # not a POSIX system: a second download there is the user's to avoid
            yield
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CorpusError(f"{folder}: another download into this folder is running") from None
        yield


def _os_reason(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full; what was received is kept"
    if isinstance(error, PermissionError):
        return f"no permission to write {error.filename or 'here'}"
    return f"{error.strerror or error}{f' ({error.filename})' if error.filename else ''}"
