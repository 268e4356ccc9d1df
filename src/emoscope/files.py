"""Writing files whole or not at all, and showing their names."""

import contextlib
import errno
import functools
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import EmoscopeError

#: Folder of what the package ships: models, bundled features, published results.
DATA = os.path.join(os.path.dirname(__file__), "data")
FOLDER_VARIABLE = "EMOSCOPE_STORE"
_ABANDONED_SECONDS = 3600.0  # a temporary file this old belongs to no run that is alive


def shipped_table(*path: str) -> dict[str, Any]:
    """What a TOML file of the package says, by default one of :data:`DATA`."""
    text = Path(DATA, *path).read_text(encoding="utf-8")
    try:
        import tomllib  # in a sixth of the time
    except ImportError:  # Python 3.10
        import tomlkit

        return tomlkit.parse(text).unwrap()
    return tomllib.loads(text)


_sentences = functools.cache(lambda: shipped_table("sentences.toml"))


def sentence(key: str, /, **values: object) -> str:
    """A sentence of ``data/sentences.toml`` with these values in it; ``table.key`` is in a table."""
    return str(functools.reduce(dict.__getitem__, key.split("."), _sentences())).format(**values)


@functools.cache
def _composed() -> Any:
    import jinja2  # takes longer than a label

    options: Any = {"trim_blocks": True, "undefined": jinja2.StrictUndefined}
    return jinja2.Environment(loader=jinja2.FileSystemLoader(DATA), **options).get_template(
        "said.j2"
    )


def lines(name: str, /, **values: object) -> list[str]:
    """What a macro of ``data/said.j2`` says, line by line."""
    text: str = getattr(_composed().module, name)(**values)
    return [line.strip() for line in text.splitlines() if line.strip()]


def said(name: str, /, **values: object) -> str:
    """The same as one sentence, or as several."""
    return " ".join(lines(name, **values))


def write_atomically(path: str | os.PathLike[str], content: bytes | str) -> None:
    """Write a file whole or not at all; see :func:`write_together`."""
    write_together({Path(path): content})


def write_together(contents: Mapping[Path, bytes | str]) -> None:
    """Write files that belong together: none takes its place before all of them are on the disk.

    Folders are made; an existing file keeps its permissions, and stays as it was when an OSError is
    raised. A link is followed; a pipe or device is written to, not replaced.
    """
    temporaries: dict[Path, Path] = {}
    try:
        for path, content in contents.items():
            data = content.encode("utf-8") if isinstance(content, str) else content
            if os.path.exists(path) and not (path.is_file() or path.is_dir()):
                path.write_bytes(data)  # a pipe or device is there to be written to
                continue
            target = Path(os.path.realpath(path))
            target.parent.mkdir(parents=True, exist_ok=True)
            temporaries[path] = target.with_name(f".{target.name}.{os.urandom(4).hex()}")
            with open(temporaries[path], "xb") as file:
                with contextlib.suppress(OSError):  # there is none yet
                    shutil.copymode(target, temporaries[path])
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        for path, temporary in temporaries.items():
            os.replace(temporary, os.path.realpath(path))
    except BaseException as error:
        for temporary in temporaries.values():
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None:
            error.filename = os.fspath(path)  # the name that the user knows
            del error.filename2  # None would be named as a second file
        raise


def remove_abandoned(folder: Path) -> None:
    """Remove what killed runs were writing in a folder that is ours alone."""
    for path in folder.glob(".*"):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < time.time() - _ABANDONED_SECONDS:
                path.unlink()


def try_lock(opened: int) -> bool:
    """Lock an open file or folder unless another run has; closing it ends the lock."""
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # no locks on this file system
    return True


def refuse_overwrite(out: str | os.PathLike[str], *inputs: object) -> None:
    """Raise an error when an output file is also one of the inputs."""
    for path in inputs:
        with contextlib.suppress(OSError, ValueError, TypeError):
            if os.path.isfile(path) and os.path.samefile(out, path):  # type: ignore[arg-type]
                raise EmoscopeError(f"{out}: is an input of this command; write to another file")


def refuse_unwritable(path: str) -> None:
    """Raise an error where :func:`write_together` would, as far as that is known before the work."""
    import tempfile  # which takes as long to import as the features of a label take

    target = Path(os.path.realpath(path))
    try:
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        if not target.exists() or target.is_file():
            folder = next(folder for folder in target.parents if os.path.exists(folder))
            tempfile.TemporaryFile(dir=folder).close()
        elif not target.is_fifo():  # a device, of which a full one refuses even nothing
            with open(path, "wb", buffering=0) as device:
                device.write(b"")
    except OSError as error:
        raise EmoscopeError(f"{path}: cannot be written: {error.strerror}") from error


def encodable(name: str) -> str:
    """A file name that any file of text can hold: bytes that are not UTF-8 are escaped."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def printable(name: str) -> str:
    """A file name that anything can show: bytes that are not UTF-8, and controls, are escaped."""
    if name.isprintable():
        return name
    shown = encodable(name)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)


def cache_folder() -> Path:
    """The folder for what can be made again: the one that is set, or the user's own."""
    import platformdirs

    try:
        own = os.environ.get(FOLDER_VARIABLE)
        return Path(own or platformdirs.user_cache_dir("emoscope", False))
    except RuntimeError:
        raise EmoscopeError(sentence("no_home", variable=FOLDER_VARIABLE)) from None
