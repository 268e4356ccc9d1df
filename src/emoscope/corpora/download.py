"""Fetches a corpus from its publisher: resume, checksum, unpacking.

What was received of a file stays in ``<file>.part``; the next attempt asks for the rest only. An archive
is not trusted: where its members would go and how large they are is looked at before decompressing.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import stat
import time
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeAlias

from ..audio.opening import ENDINGS
from ..errors import CorpusError, check_known
from ..files import try_lock, write_atomically
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
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)
# zipfile reports encryption as RuntimeError, unknown compression as NotImplementedError.


class DamageError(CorpusError):
    """An archive cannot be what its publisher put there: damaged, or without a recording."""


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
    if by_hand := archive.exists():
        if fault := _fault(item, archive):
            raise CorpusError(f"{archive}: {fault}; move it away and run the command again")
    else:
        partial = folder / f"{item.file_name}.part"
        url = f"{mirror.rstrip('/')}/{item.file_name}" if mirror else item.url
        _fetch(url, item, partial, report)
        if fault := _fault(item, partial):
            partial.unlink()
            raise CorpusError(f"{url}: {fault}. It was deleted; run the command again")
        os.replace(partial, archive)
    try:
        files = unpack(archive, folder, report)
    except DamageError as error:
        advice = "; move it away and run the command again"
        if not by_hand and item.md5 is None:  # ours to delete, and not what the publisher has
            archive.unlink()
            advice = ". It was deleted; run the command again"
        raise CorpusError(f"{error}{advice}") from None
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
                advice = "what was received is kept, run the command again to continue"
                raise CorpusError(f"{url}: {reason}; {advice}")
            time.sleep(PAUSE * 2**failures)


def _receive(
    session: requests.Session, url: str, item: Download, partial: Path, report: Progress
) -> bool:
    """Ask once for what `partial` lacks; True when the file is complete."""
    have, version_file = _size(partial), partial.with_name(f".{item.file_name}.version")
    version = version_file.read_text(encoding="utf-8") if version_file.exists() else ""
    # Bytes as they are stored: positions in a compressed transfer would mean nothing.
    headers = {"Accept-Encoding": "identity"}
    if have and (version or item.md5):  # either proves that both parts are of one file
        headers |= {"Range": f"bytes={have}-"} | ({"If-Range": version} if version else {})
    with session.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        status = response.status_code
        if status in (408, 429) or status >= 500:
            return False
        if status not in (200, 206, 416):
            raise CorpusError(f"{url}: the server answers {status} {response.reason}")
        done, length = 0, response.headers.get("Content-Length", "")
        if status != 200:
            part = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if part is None or int(part[1]) != have:  # another part than was asked for, or none
                partial.unlink(missing_ok=True)
                return False
            done, length = have, part[2]
        total = int(length) if length.isdigit() else None
        if item.size is not None and total not in (None, item.size):
            found = f"the server offers {total} bytes, but {item.file_name} has {item.size}"
            raise CorpusError(f"{url}: {found}; the file was replaced or the address is wrong")
        limit = item.size or min(total or MAX_BYTES, MAX_BYTES)
        _need_space(partial.parent, (total or 0) - done)
        tag = response.headers.get("ETag", "")
        strong = tag and not tag.startswith("W/")  # weak tags cannot guard a range
        write_atomically(version_file, tag if strong else response.headers.get("Last-Modified", ""))
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


def _fault(item: Download, file: Path) -> str:
    """What differs from the size and checksum that the corpus file states; empty when nothing."""
    size = _size(file)
    if item.size is not None and size != item.size:
        return f"the file has {size} bytes, {item.size} are expected"
    if item.md5 is None:  # then the archive's own checksums have to do, when it is unpacked
        return ""
    md5 = hashlib.md5(usedforsecurity=False)
    with open(file, "rb") as content:
        while block := content.read(2**20):
            md5.update(block)
    fault = f"checksum {md5.hexdigest()} instead of {item.md5}: the file is damaged or was replaced"
    return fault if md5.hexdigest() != item.md5 else ""


def unpack(archive: Path, target: Path, progress: Progress | None = None) -> list[Path]:
    """Unpack a zip file into an existing folder, replacing files; returns the files written."""
    try:
        with zipfile.ZipFile(archive) as opened:
            files = _checked(archive, opened)
            total, done = sum(member.file_size for member in files.values()), 0
            _need_space(target, total)
            for path, member in files.items():
                member.filename = str(path)
                try:  # zipfile reads no more than the member declares, and checks its CRC at the end
                    opened.extract(member, target)
                except BaseException:
                    (target / path).unlink(missing_ok=True)
                    raise
                done += member.file_size
                if progress is not None:
                    progress(f"unpacking {archive.name}", done, total)
            return [target / path for path in files]
    except _DAMAGE as error:
        why = f"{archive}: the archive is damaged and cannot be unpacked: {error}"
        raise DamageError(why) from None


def _checked(archive: Path, opened: zipfile.ZipFile) -> dict[PurePosixPath, zipfile.ZipInfo]:
    """The files of an archive by where they go, relative to the target folder."""
    files = {}
    for member in opened.infolist():
        path = PurePosixPath(member.filename.replace("\\", "/"))
        inside = path.parts and not path.is_absolute() and ".." not in path.parts
        if not inside or ":" in member.filename or stat.S_ISLNK(member.external_attr >> 16):
            found = f"holds '{member.filename}', which would be written outside its folder"
            raise CorpusError(f"{archive}: the archive {found}; nothing was unpacked")
        if not member.is_dir() and path.parts[0] != "__MACOSX":
            files[path] = member
    if not any(path.suffix.lower().lstrip(".") in ENDINGS for path in files):
        raise DamageError(f"{archive}: the archive holds no recording")
    total = sum(member.file_size for member in files.values())
    if total > MAX_RATIO * archive.stat().st_size:
        raise CorpusError(f"{archive}: would unpack to {total} bytes, which no audio archive does")
    return files


def _need_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise CorpusError(f"{folder}: {needed / 1e6:.0f} MB needed, {free / 1e6:.0f} MB free")
