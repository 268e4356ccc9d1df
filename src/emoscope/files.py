"""Writing files whole or not at all, and showing their names."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

#: Folder of what the package ships: models, embedded features, published results.
DATA = os.path.join(os.path.dirname(__file__), "data")


def write_atomically(path: str | os.PathLike[str], content: bytes | str) -> None:
    """Write a file whole or not at all: into a temporary neighbour, synced, then renamed.

    Parameters
    ----------
    path : path-like
        The file; missing parent folders are made, an existing file is replaced.
    content : bytes or str
        Text is encoded as UTF-8.

    Raises
    ------
    OSError
        When it cannot be written; an existing file is then as it was.
    """
    write_together({path: content})


def write_together(contents: Mapping[str | os.PathLike[str], bytes | str]) -> None:
    """Write files that belong together: none takes its place before all of them are on the disk.

    Parameters
    ----------
    contents : mapping of path-like to bytes or str
        As for :func:`write_atomically`.

    Raises
    ------
    OSError
        When one cannot be written; existing files are then as they were.
    """
    temporaries: dict[Path, Path] = {}
    try:
        for path, content in contents.items():
            target = Path(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            temporaries[target] = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
            with open(temporaries[target], "xb") as file:
                file.write(content.encode("utf-8") if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
        for target, temporary in temporaries.items():
            os.replace(temporary, target)
    except BaseException as error:
        for temporary in temporaries.values():
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None:
            error.filename = os.fspath(target)  # the name that the user knows
        raise


def encodable(name: str) -> str:
    """A file name that any file of text can hold: bytes that are not UTF-8 are escaped."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def printable(name: str) -> str:
    """A file name that anything can show: bytes that are not UTF-8, and controls, are escaped."""
    shown = encodable(name)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)
