"""Finds the recordings that a table names: with other slashes, Unicode forms and case, and below it."""

from __future__ import annotations

import itertools
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ..audio.opening import ENDINGS, URL

MAX_PARENTS = 4  # how many folders above a table its relative paths may start at
MAX_FILES = 200_000  # below a table, among which names are looked for
_SAMPLE = 1000  # names that decide which folder relative paths start at
#: What stands for a folder: speechbrain's {data_root}, Label Studio's addresses with a code of its own.
_PLACEHOLDER = re.compile(
    r"(?:\{\w+\}|\$\w+|\$\{\w+\})[/\\]+"
    r"|(?:https?://[^/]+)?/data/(?:local-files/\?d=|upload/(?:\d+/)?(?:[0-9a-f]{8}-)?)"
)


def find(folder: Path, files: Sequence[str]) -> list[str]:
    """The path of each file that a table in `folder` names; as written where there is none.

    A name that is not there as written is looked for below the folder that the others start at: in
    another case or Unicode form, in sub-folders, without its ending, and after the folders of another
    machine. It is taken when one file fits, and that file no other name of the table.
    """
    names = {
        file: file[len(m[0]) :] if (m := _PLACEHOLDER.match(file)) else file
        for file in dict.fromkeys(files)
    }
    sample = list(filter(None, itertools.islice(names.values(), _SAMPLE)))
    above = [folder, *folder.resolve().parents[:MAX_PARENTS]]
    base = next((b for b in above if any(_at(b, name) for name in sample)), folder)
    paths = {
        file: name if not name or URL.match(name) else _at(base, name)
        for file, name in names.items()
    }
    if lost := [file for file, path in paths.items() if path is None]:
        index = _Index(base)
        matches = {file: index.find(names[file]) for file in lost}
        meant = Counter(path for path in (*matches.values(), *paths.values()) if path)
        for file, match in matches.items():
            alone = match and meant[match] == 1
            paths[file] = match if alone else os.path.join(base, names[file])
    return [paths[file] or "" for file in files]


def _at(base: Path, name: str) -> str | None:
    """The path of a name below a folder when it is there, with these slashes or others."""
    paths = (os.path.join(base, form) for form in dict.fromkeys((name, name.replace("\\", "/"))))
    return next(filter(os.path.exists, paths), None)


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text.casefold())


class _Index:
    """The files below a folder, by their names and by the names without ending, of recordings."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.by_name: dict[str, list[tuple[str, ...]]] = {}
        for parts in itertools.islice(self._files(), MAX_FILES):
            name = _folded(parts[-1])
            stem, _, ending = name.rpartition(".")
            for key in (name, stem) if ending in ENDINGS else (name,):
                self.by_name.setdefault(key, []).append(parts)

    def _files(self) -> Iterator[tuple[str, ...]]:
        for place, folders, names in os.walk(self.folder):
            folders.sort()
            above = Path(place).relative_to(self.folder).parts
            yield from ((*above, name) for name in sorted(names) if not name.startswith("."))

    def find(self, name: str) -> str:
        """The one file that a name means, in this case and form if it can be; empty when none is."""
        wanted = tuple(part for part in re.split(r"[/\\]+", name) if part not in ("", "."))
        if not wanted:
            return ""
        elsewhere = re.match(r"[A-Za-z]:|[/\\]", name) is not None
        for form in (_composed, _folded):
            candidates = self.by_name.get(_folded(wanted[-1]), ())
            fits = [parts for parts in candidates if _ends(parts, wanted, form, elsewhere)]
            nearest = (
                [parts for parts in fits if len(parts) == len(wanted)] if len(fits) > 1 else []
            )
            for found in (fits, nearest):
                if len(found) == 1:
                    return os.path.join(self.folder, *found[0])
            if fits:
                return ""
        return ""


def _ends(
    parts: tuple[str, ...], wanted: tuple[str, ...], form: Callable[[str], str], elsewhere: bool
) -> bool:
    """Whether a path ends as the one wanted, whose first folders may be of another machine."""
    count = min(len(parts), len(wanted)) if elsewhere else len(wanted)
    own, other = list(map(form, parts[-count:])), list(map(form, wanted[-count:]))
    if own[-1] != other[-1]:
        own[-1] = os.path.splitext(own[-1])[0]
    return own == other
