"""Keeps what a run has left: the same run, told by its mark, may go on; any other needs ``--replace``."""

import contextlib
import datetime
import hashlib
import os
import re
from pathlib import Path
from typing import Any

from .. import config
from ..errors import EmoscopeError
from ..files import printable, sentence, try_lock
from . import commands
from .commands import locked, running

MADE = "Made by: "
# Options that do not decide what a run gives.
INCIDENTAL = ("out", "replace", "jobs", "cluster", "picture", "html")


def options_of(path: Path, **resolved: Any) -> dict[Path, str]:
    """The options of this run, with what the defaults stood for: what to write in which file."""
    time = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    made = f"{MADE}{printable(commands.command_line())} ({time})"
    notes = (made, f"Marks: {mark()} {mark(**resolved)}")
    options = {**running.options, **resolved, "replace": None}
    return {path: config.text(running.command, options, name=path.name, notes=notes)}


def mark(**resolved: Any) -> str:
    """What tells this run from those that would give something else: a digest of its options."""
    options = {k: v for k, v in (running.options | resolved).items() if k not in INCIDENTAL}
    told = {k: _told(v) for k, v in sorted(options.items()) if v is not None and v != []}
    return hashlib.blake2b(repr((running.command, told)).encode(), digest_size=12).hexdigest()


def _told(value: Any) -> list[str]:
    """An option's values in one form, however they were given; names of files are absolute."""
    values = value if isinstance(value, list | tuple) else commands.split(str(value))
    return [os.path.abspath(v) if os.path.exists(v) else ascii(v) for v in map(str, values)]


def keep(*files: str | Path, record: str | Path | None = None, sign: str = "") -> None:
    """Refuse to replace a file unless told to, or `record` has a `sign` (:func:`mark`) of this run."""
    there = next(filter(os.path.isfile, files), None)
    if there is None or running.options["replace"]:
        return
    text = ""
    if record is not None and os.path.isfile(record):
        text = Path(record).read_text(encoding="utf-8", errors="replace")
    if (sign or mark()) in text:
        return
    made = re.search(f"^# {MADE}(.*)", text, re.MULTILINE)
    what = f"exists, made by: {made[1]}" if made else "already exists"
    raise EmoscopeError(f"{there}: {what}; choose another name, or overwrite it with --replace")


def claim(out: Path, *names: str, record: str) -> None:
    """Take a folder for results of those names until this command ends; left empty, it goes again."""
    endings = {Path(name).suffix for name in (record, *names)}
    if not out.is_dir() and (os.path.lexists(out) or out.suffix in endings):
        raise EmoscopeError(sentence("file_given", out=out, names=", ".join(names)))
    keep(*(out / name for name in (record, *names)), record=out / record)
    for new in reversed([folder for folder in (out, *out.parents) if not folder.exists()]):
        locked.callback(_remove_empty, new)
    out.mkdir(parents=True, exist_ok=True)
    try:
        opened = os.open(out, os.O_RDONLY)
    except PermissionError:  # Windows opens no folders
        return
    locked.callback(os.close, opened)
    if not try_lock(opened):
        raise EmoscopeError(f"--out {out}: another run is writing to it")


def beside(out: Path, record: Path) -> Path:
    """The file for the options of a run that writes one file, which it may replace."""
    if record.exists() and not config.is_one(record):
        raise EmoscopeError(f"--out {out}: {record} would be overwritten; choose another name")
    keep(out, record=record)
    return record


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()
