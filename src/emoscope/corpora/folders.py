"""A corpus of the user's own, sorted into one folder per emotion.

``happy/clip1.wav``, ``sad/clip2.wav`` and so on, at any depth. A folder is an emotion when its name
is one of emoscope's or a synonym (:data:`emoscope.labels.SYNONYMS`). Who speaks is told by the one
other level of folders that varies, or by what stands before the first underscore of every file name;
and only when there are several such names, each under several emotions. Otherwise the speaker stays
empty, and protocols that need it say so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from ..files import printable
from ..labels import canonical
from .base import Row, as_table

#: Folder names that are splits and not speakers → name of the split.
SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("dev", "val", "valid", "validation"), "dev"),
    **dict.fromkeys(("test", "testing"), "test"),
}


def scan(
    root: Path, paths: Sequence[Path], labels: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """The table of those `paths` that lie in an emotion's folder; `labels` are further names."""
    rows: list[Row] = []
    other_folders: list[tuple[str, ...]] = []
    for path in paths:
        relative = path.relative_to(root)
        folders = relative.parts[:-1]
        named = [folder for folder in folders if canonical(folder, labels)]
        if not named:
            continue
        splits = [SPLITS[folder.lower()] for folder in folders if folder.lower() in SPLITS]
        others = tuple(f for f in folders if f != named[-1] and f.lower() not in SPLITS)
        other_folders.append(others)
        rows.append(
            {
                "clip": printable(str(relative.with_suffix(""))),
                "path": str(path),
                "emotion": canonical(named[-1], labels),
                "label": printable(named[-1]),
                "speaker": "",
                "corpus": printable(root.resolve().name),
                **({"split": splits[0]} if splits else {}),
            }
        )
    stems = [Path(row["path"]).stem for row in rows]
    prefixes = [stem.partition("_")[0] for stem in stems] if all("_" in s for s in stems) else []
    for names in (_varying_folder(other_folders), prefixes):
        if _may_be_speakers(names, rows):
            for row, name in zip(rows, names, strict=True):
                row["speaker"] = printable(name)
            break
    count = Counter(row["clip"] for row in rows)
    for row in rows:
        if count[row["clip"]] > 1:  # clips that differ in their ending alone
            row["clip"] += printable(Path(row["path"]).suffix)
    return as_table(sorted(rows, key=lambda row: str(row["clip"])))


def _varying_folder(folders: Sequence[tuple[str, ...]]) -> list[str]:
    """The one level of folders besides the emotion that varies, if there is exactly one."""
    if len({len(names) for names in folders}) != 1:
        return []
    varying = [level for level in zip(*folders, strict=True) if len(set(level)) > 1]
    return list(varying[0]) if len(varying) == 1 else []


def _may_be_speakers(names: Sequence[str], rows: Sequence[Row]) -> bool:
    """Whether there are several, and each speaks in several emotions."""
    emotions: dict[str, set[str]] = {}
    for name, row in zip(names, rows, strict=False):
        emotions.setdefault(name, set()).add(row["emotion"])
    return len(emotions) > 1 and all(len(spoken) > 1 for spoken in emotions.values())
