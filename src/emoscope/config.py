"""The options of a run as a TOML file: written beside its result, read back to do it again.

One table per command, one key per option, named as in Python (``as_published``, not
``--as-published``)::

    emoscope = "0.1.0"

    [compare]
    models = ["svm", "forest"]
    protocol = "speaker-6fold"
    seed = 0

Options that were not given and have no value are left out, because TOML has no word for nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .errors import ConfigError, UnknownNameError

VERSION_KEY = "emoscope"
FILE = "run.toml"
"""What the file is called in a folder of results."""


def text(command: str, options: Mapping[str, Any], *, name: str = FILE) -> str:
    """The options of a run as such a file.

    Parameters
    ----------
    command : str
        What was run, e.g. ``"compare"``.
    options : mapping of str to object
        Texts, numbers, paths, and lists of them; None is left out.
    name : str
        What the file will be called.
    """
    import tomlkit

    from ._version import __version__

    document = tomlkit.document()
    document.add(tomlkit.comment(f"Run it again: emoscope {command} --config {name}"))
    document.add(VERSION_KEY, tomlkit.item(__version__))
    table = tomlkit.table()
    for key, value in options.items():
        if value is not None:
            table.add(key, _plain(value))
    document.add(command, table)
    return tomlkit.dumps(document)


def is_one(path: str | os.PathLike[str]) -> bool:
    """Whether a file holds the options of a run, of whatever command and version."""
    try:
        return f"{VERSION_KEY} = " in Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False


def load(path: str | os.PathLike[str], command: str, valid: Iterable[str]) -> dict[str, Any]:
    """Read the options of a command.

    Parameters
    ----------
    path : path-like
        A file as :func:`text` gives it; other commands' tables in it are left alone.
    command : str
        Whose options are wanted.
    valid : iterable of str
        The options that the command has.

    Raises
    ------
    ConfigError
        When the file cannot be read or holds no options of that command.
    UnknownNameError
        When it names an option that does not exist; the message lists those that do.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        document = tomlkit.parse(Path(path).read_text(encoding="utf-8-sig")).unwrap()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (TOMLKitError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not a readable TOML file: {error}") from error
    loose = [key for key, value in document.items() if not isinstance(value, dict)]
    for key in loose:
        if key != VERSION_KEY:
            raise ConfigError(f"{path}: '{key}' stands in no table; put it below [{command}]")
    if command not in document:
        tables = ", ".join(f"[{key}]" for key in document if key not in loose) or "none"
        raise ConfigError(f"{path}: no table [{command}]; tables: {tables}")
    known = list(valid)
    options: dict[str, Any] = document[command]
    for key, value in options.items():
        if key not in known:
            raise UnknownNameError(f"option in {path}", key, known)
        if isinstance(value, dict):
            raise ConfigError(f"{path}: '{key}' is a table; it should be a value or a list")
    return options


def _plain(value: Any) -> Any:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value
