"""The options of a run as a TOML file, one table per command: written beside its result, and read back."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ._version import __version__
from .errors import ConfigError, check_known

FILE = "run.toml"  # in a folder of results
_VERSION_KEY = "emoscope"


def text(
    command: str, options: Mapping[str, Any], *, name: str = FILE, notes: Iterable[str] = ()
) -> str:
    """The options of a run, without those that are None, as TOML; `name` is the file's."""
    import tomlkit

    document = tomlkit.document()
    for note in (f"Run it again: emoscope {command} --config {name}", *notes):
        document.add(tomlkit.comment(note))
    document.add(_VERSION_KEY, tomlkit.item(__version__))
    given = {key: _plain(value) for key, value in options.items() if value is not None}
    document.add(command, tomlkit.item(given))
    return tomlkit.dumps(document)


def is_one(path: str | os.PathLike[str]) -> bool:
    """Whether a file holds the options of a run, of any command and version."""
    try:
        return f"{_VERSION_KEY} = " in Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False


def load(path: str | os.PathLike[str], command: str, valid: Iterable[str]) -> dict[str, Any]:
    """The options of one command, which has to know them all; a ConfigError where there are none."""
    document, allowed = _read(path), list(valid)
    tables: dict[str, dict[str, Any]] = {k: v for k, v in document.items() if isinstance(v, dict)}
    for key in sorted(document.keys() - tables.keys() - {_VERSION_KEY}):
        raise ConfigError(f"{path}: '{key}' is outside any table; put it below [{command}]")
    if command not in tables:
        names = ", ".join(f"[{key}]" for key in tables) or "none"
        raise ConfigError(f"{path}: no table [{command}]; tables: {names}")
    check_known(f"option in {path}", allowed, *tables[command])
    for key, value in tables[command].items():
        if isinstance(value, dict):
            raise ConfigError(f"{path}: '{key}' is a table; it should be a value or a list")
    return tables[command]


def words(path: str | os.PathLike[str]) -> dict[str, str]:
    """Read a file of words and what they mean: ``exc = "happy"``, also below ``[labels]``."""
    document = _read(path)
    table = document.get("labels", document)
    if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
        raise ConfigError(f'{path}: give one word a line with its emotion, such as exc = "happy"')
    return dict(table)


def _read(path: str | os.PathLike[str]) -> dict[str, Any]:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        return tomlkit.parse(Path(path).read_text(encoding="utf-8-sig")).unwrap()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (TOMLKitError, ValueError, RecursionError) as error:
        what = "not a readable TOML file, where text is in quotes"
        raise ConfigError(f"{path}: {what}: {error}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value
