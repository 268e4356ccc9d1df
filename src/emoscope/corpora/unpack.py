"""Unpacks a corpus archive, trusting nothing that it says.

Members may not leave the target folder, be links, or grow beyond what the archive declares and what
is sensible for audio; all of that is looked at before the first of them is decompressed. Each file
appears whole or not at all.
"""

from __future__ import annotations

import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from ..audio.opening import ENDINGS
from ..errors import CorpusError

MAX_RATIO = 100
"""Largest ratio of unpacked to packed bytes; speech reaches about 3 : 1, a bomb 1000 : 1."""

_BLOCK = 2**20

_FAULTS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)
# zipfile reports encryption as RuntimeError, unknown compression as NotImplementedError.


class DamageError(CorpusError):
    """An archive cannot be what its publisher put there: damaged, or without a recording."""


def unpack(
    archive: Path, target: Path, *, progress: Callable[[int, int], None] | None = None
) -> list[Path]:
    """Unpack a zip file into a folder; files that are there already are replaced.

    Parameters
    ----------
    archive : Path
        The zip file.
    target : Path
        An existing folder.
    progress : callable, optional
        Called with bytes written and bytes in all.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    CorpusError
        When the archive is damaged or hostile, or does not fit on the disk.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [(m, _destination(archive, m)) for m in opened.infolist() if not m.is_dir()]
            members = [(m, path) for m, path in members if path.parts[0] != "__MACOSX"]
            if not any(_is_audio(path) for _, path in members):
                raise DamageError(f"{archive}: the archive holds no recording")
            total = _checked_size(archive, members, target)
            done, written = 0, []
            for member, path in members:
                file = target.joinpath(*path.parts)
                _within(target, file, archive)
                _extract(opened, member, file)
                done += member.file_size
                written.append(file)
                if progress:
                    progress(done, total)
            return written
    except _FAULTS as error:
        raise DamageError(
            f"{archive}: the archive is damaged and cannot be unpacked: {error}"
        ) from None


def _is_audio(path: PurePosixPath) -> bool:
    return path.suffix.lower().lstrip(".") in ENDINGS


def _destination(archive: Path, member: zipfile.ZipInfo) -> PurePosixPath:
    """Where a member goes, relative to the target folder."""
    path = PurePosixPath(member.filename.replace("\\", "/"))
    outside = path.is_absolute() or ".." in path.parts or ":" in member.filename or not path.parts
    if outside or stat.S_ISLNK(member.external_attr >> 16):
        raise CorpusError(
            f"{archive}: the archive holds '{member.filename}', which would be written outside its "
            "folder; nothing was unpacked"
        )
    return path


def _checked_size(
    archive: Path, members: list[tuple[zipfile.ZipInfo, PurePosixPath]], target: Path
) -> int:
    """Bytes of all members, when they are plausible and fit on the disk."""
    total = sum(member.file_size for member, _ in members)
    if total > MAX_RATIO * archive.stat().st_size:
        raise CorpusError(f"{archive}: would unpack to {total} bytes, which no audio archive does")
    if len({path for _, path in members}) < len(members):
        raise CorpusError(f"{archive}: the archive holds several files of the same name")
    need_space(target, total)
    return total


def need_space(folder: Path, wanted: int) -> None:
    """Refuse to begin what cannot be finished on this disk."""
    free = shutil.disk_usage(folder).free
    if wanted > free:
        raise CorpusError(f"{folder}: {wanted / 1e6:.0f} MB needed, {free / 1e6:.0f} MB free")


def _within(target: Path, file: Path, archive: Path) -> None:
    """Refuse to write through a link that leads out of the target folder."""
    if not file.parent.resolve().is_relative_to(target.resolve()):
        raise CorpusError(f"{archive}: '{file.parent}' is a link that leads out of {target}")


def _extract(opened: zipfile.ZipFile, member: zipfile.ZipInfo, file: Path) -> None:
    """Write one member; zipfile reads no more than it declares, and checks its CRC at the end."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.part")
    try:
        with opened.open(member) as source, open(temporary, "wb") as sink:
            shutil.copyfileobj(source, sink, _BLOCK)
        os.replace(temporary, file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
