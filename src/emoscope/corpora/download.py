"""Fetches a corpus from its publisher: resume, checksum, unpacking.

What was received of a file stays in ``<file>.part``; where a checksum can prove that both parts are of
one file, the next attempt asks for the rest only. How large an archive is unpacked is looked at before.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import time
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ..audio.opening import ENDINGS
from ..errors import CorpusError, check_known
from ..files import sentence, try_lock, write_atomically
from . import CorpusInfo, Download

if TYPE_CHECKING:
    import requests

#: Called with what is being done, bytes done, and bytes in all where known.
Progress: TypeAlias = Callable[[str, int, int | None], None]

ATTEMPTS = 5  # how often in a row a transfer may break without a single byte gained
PAUSE = 0.5  # seconds before the second attempt; each further pause is twice as long
TIMEOUT = (10.0, 60.0)  # seconds to wait for a connection, and for the next bytes
MAX_BYTES = 20 * 2**30  # of a file whose publisher states no size
MAX_RATIO = 100  # of unpacked to packed bytes; speech reaches about 3 : 1, a bomb 1000 : 1

_BLOCK = 2**14  # bytes received at a time, of which a broken transfer loses the last
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)
# zipfile reports encryption as RuntimeError, unknown compression as NotImplementedError.


class DamageError(CorpusError):
    """An archive is not what its publisher put there: damaged, or without a recording."""


def download(
    info: CorpusInfo, target: str | os.PathLike[str], *, parts: Sequence[str] | None = None,
    mirror: str | None = None, progress: Progress | None = None,
) -> Path:  # fmt: skip
    """Fetch and unpack a corpus, or those of its `parts`; continue where an earlier attempt stopped.

    `mirror` is the address of a folder with copies of the publisher's files. After an error what was
    received is kept for the next attempt, unless it is wrong.
    """
    if not info.downloads:
        place = info.obtain or info.homepage
        raise CorpusError(f"{info.title} requires a manual download: {place}")
    names = [item.part for item in info.downloads]
    check_known(f"part of {info.name}", names, *(parts or ()))
    folder = Path(target)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / ".emoscope-get.lock", "a") as lock:
            if not try_lock(lock.fileno()):
                raise CorpusError(f"{folder}: another download into this folder is running")
            for item in info.downloads:
                if parts is None or item.part in parts:
                    _get(item, folder, mirror, progress or (lambda what, done, total: None))
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        reason = f"{error.strerror or error}{place}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            reason = "the disk is full; what was received is kept"
        elif isinstance(error, PermissionError):
            reason = f"no permission to write {error.filename or 'here'}"
        raise CorpusError(f"{folder}: {reason}") from None
    return folder


def _get(item: Download, folder: Path, mirror: str | None, report: Progress) -> None:
    """Fetch, check and unpack one file, doing only what is not done yet."""
    marker = folder / f".{item.file_name}.done"
    if _complete(marker, folder):
        return
    archive = folder / item.file_name
    by_hand = archive.exists()
    if not by_hand:
        partial = folder / f"{item.file_name}.part"
        _fetch(
            f"{mirror.rstrip('/')}/{item.file_name}" if mirror else item.url, item, partial, report
        )
        os.replace(partial, archive)
    try:
        _check(item, archive)
        files = unpack(archive, folder, report)
    except DamageError as error:
        if not by_hand:
            archive.unlink()
        advice = "move it away" if by_hand else "it was deleted"
        raise CorpusError(f"{error}; {advice} and run the command again") from None
    sizes = {str(file.relative_to(folder)): file.stat().st_size for file in files}
    write_atomically(marker, json.dumps(sizes))
    archive.unlink()


def _complete(marker: Path, folder: Path) -> bool:
    """Whether everything that was unpacked is still there."""
    try:
        sizes = json.loads(marker.read_text(encoding="utf-8"))
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (FileNotFoundError, ValueError, AttributeError):
        return False


def _fetch(url: str, item: Download, partial: Path, report: Progress) -> None:
    """Receive the whole file into `partial`, asking again for the rest when a transfer breaks."""
    import requests

    breaks = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
    failures = 0
    with requests.Session() as session:
        while (before := _size(partial)) != item.size:
            try:
                if _receive(session, url, item, partial, report):
                    return
                reason = "the server is busy or closed the connection early"
            except breaks:
                reason = "the server cannot be reached, or the transfer broke"
            except requests.RequestException as error:
                raise CorpusError(f"{url}: {error}") from None
            failures = 1 if _size(partial) > before else failures + 1
            if failures >= ATTEMPTS:
                raise CorpusError(sentence("broke_off", url=url, reason=reason))
            time.sleep(PAUSE * 2**failures)


def _receive(
    session: requests.Session, url: str, item: Download, partial: Path, report: Progress
) -> bool:
    """Ask once for what `partial` lacks; True when the file is complete."""
    done = _size(partial) if item.md5 else 0
    # Bytes as they are stored: positions in a compressed transfer would mean nothing.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={done}-"} if done else {})
    with session.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        status, part = response.status_code, response.headers.get("Content-Range", "")
        if status in (408, 429) or status >= 500:
            return False
        if status == 416 or (status == 206 and not part.startswith(f"bytes {done}-")):
            partial.unlink(missing_ok=True)  # the server has no such part, or sends another
            return False
        if status not in (200, 206):
            raise CorpusError(f"{url}: the server answers {status} {response.reason}")
        done = done if status == 206 else 0
        length = response.headers.get("Content-Length", "")
        total = done + int(length) if length.isdigit() else None
        limit = item.size or MAX_BYTES
        with open(partial, "ab" if done else "wb") as file:
            for block in response.iter_content(_BLOCK):
                done += len(block)
                if done > limit:
                    break
                file.write(block)
                report(item.file_name, done, total)
    if done > limit:
        partial.unlink()
        raise CorpusError(f"{url}: the server sends more than the {limit} bytes expected")
    return total is None or done == total


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _check(item: Download, file: Path) -> None:
    """Compare a file with the size and checksum that its publisher states; a DamageError."""
    size = _size(file)
    if item.size is not None and size != item.size:
        raise DamageError(f"{file}: has {size} bytes, {item.size} are expected")
    if item.md5 is None:  # then the archive's own checksums have to do, when it is unpacked
        return
    md5 = hashlib.md5(usedforsecurity=False)
    with open(file, "rb") as content:
        while block := content.read(2**20):
            md5.update(block)
    if md5.hexdigest() != item.md5:
        raise DamageError(f"{file}: its checksum is {md5.hexdigest()} instead of {item.md5}")


def unpack(archive: Path, target: Path, progress: Progress | None = None) -> list[Path]:
    """Unpack a zip file into an existing folder, replacing files; returns the files written.

    zipfile writes nothing outside the folder, no links, and no more than a member declares.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [
                m for m in opened.infolist() if not m.is_dir() and "__MACOSX" not in m.filename
            ]
            if not any(Path(m.filename).suffix.lower().lstrip(".") in ENDINGS for m in members):
                raise DamageError(f"{archive}: the archive holds no recording")
            total = sum(member.file_size for member in members)
            if total > MAX_RATIO * archive.stat().st_size:
                raise CorpusError(sentence("too_much_unpacked", archive=archive, total=total))
            if damaged := opened.testzip():
                raise zipfile.BadZipFile(f"bad checksum of {damaged}")
            files, done = list[Path](), 0
            for member in members:
                files.append(Path(opened.extract(member, target)))
                done += member.file_size
                if progress is not None:
                    progress(f"unpacking {archive.name}", done, total)
            return files
    except _DAMAGE as error:
        why = f"{archive}: the archive is damaged and cannot be unpacked: {error}"
        raise DamageError(why) from None
