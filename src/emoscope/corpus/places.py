"""Finds the recordings that a table names: with other slashes and Unicode forms, and below it."""

import itertools
import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from ..audio.opening import ENDINGS, URL

Parts: TypeAlias = tuple[str, ...]  # of a path

MAX_PARENTS = 4  # how many folders above a table its relative paths may start at
MAX_FILES = 200_000  # below a table, among which names are looked for
_SAMPLE = 1000  # names that decide which folder relative paths start at
#: What stands for a folder: speechbrain's {data_root}, Label Studio's addresses with a code of its own.
_PLACEHOLDER = re.compile(
    r"\A(?:\{\w+\}|\$\w+|\$\{\w+\})[/\\]+"
    r"|\A(?:https?://[^/]+)?/data/(?:local-files/\?d=|upload/(?:\d+/)?(?:[0-9a-f]{8}-)?)"
)


def find(folder: Path, files: Sequence[str]) -> list[str]:
    """The path of each file that a table in `folder` names; as written where there is none.

    What is not there as written is looked for below the folder that the others start at, and taken
    when one file fits, and that file no other name.
    """
    names = {file: _PLACEHOLDER.sub("", file) for file in dict.fromkeys(files)}
    sample = list(filter(None, itertools.islice(names.values(), _SAMPLE)))
    above = [folder, *folder.resolve().parents[:MAX_PARENTS]]
    base = next((b for b in above if any(_at(b, name) for name in sample)), folder)
    paths = {f: n if not n or URL.match(n) else _at(base, n) for f, n in names.items()}
    if lost := [file for file, path in paths.items() if path is None]:
        index = _index(base)
        matches = {file: _match(index, names[file]) for file in lost}
        found = {file: os.path.join(base, *parts) for file, parts in matches.items() if parts}
        meant = Counter(path for path in (*found.values(), *paths.values()) if path)
        for file in lost:
            alone = meant[found.get(file, "")] == 1
            paths[file] = found[file] if alone else os.path.join(base, names[file])
    return [paths[file] or "" for file in files]


def _at(base: Path, name: str) -> str | None:
    """The path of a name below a folder when it is there, with these slashes or others."""
    paths = (os.path.join(base, form) for form in dict.fromkeys((name, name.replace("\\", "/"))))
    return next(filter(os.path.exists, paths), None)


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _index(folder: Path) -> dict[str, list[Parts]]:
    """The files below a folder by their composed names, of recordings also without ending."""
    found = defaultdict[str, list[Parts]](list)
    below = ((place, name) for place, _, names in os.walk(folder) for name in names)
    for place, name in itertools.islice(below, MAX_FILES):
        key = _composed(name)
        for known in {key, _stem(key)}:
            found[known].append((*Path(place).relative_to(folder).parts, name))
    return found


def _match(index: Mapping[str, list[Parts]], name: str) -> Parts | None:
    """The one file that a name means; of several the nearest."""
    wanted = [_composed(part) for part in re.split(r"[/\\]+", name) if part not in ("", ".")]
    elsewhere = re.match(r"[A-Za-z]:|[/\\]", name) is not None
    key = wanted[-1] if wanted else ""
    known = index.get(key) or index.get(_stem(key)) or []
    fits = [parts for parts in known if _lies_in(parts[:-1], wanted[:-1], elsewhere)]
    if len(fits) > 1:
        fits = [parts for parts in fits if len(parts) == len(wanted)]
    return fits[0] if len(fits) == 1 else None


def _lies_in(folders: Sequence[str], wanted: Sequence[str], elsewhere: bool) -> bool:
    """Whether folders end as those wanted, of which the first may be of another machine."""
    count = min(len(folders), len(wanted)) if elsewhere else len(wanted)
    return [*map(_composed, folders)][len(folders) - count :] == [*wanted][len(wanted) - count :]


def _stem(name: str) -> str:
    """A name without the ending of a recording."""
    stem, ending = os.path.splitext(name)
    return stem if ending[1:].casefold() in ENDINGS else name
