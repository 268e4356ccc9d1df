"""A corpus of the user's own, sorted into one folder per emotion.

``happy/clip1.wav``, ``sad/clip2.wav`` and so on, at any depth. A folder is an emotion when its name
is one of emoscope's or a synonym (:data:`emoscope.labels.SYNONYMS`). Who speaks is not told here:
:mod:`emoscope.corpus.guessing` looks what names say of it.
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
    **dict.fromkeys(("dev", "val", "valid", "validation", "evaluation"), "dev"),
    **dict.fromkeys(("test", "testing"), "test"),
}


def scan(
    root: Path, paths: Sequence[Path], labels: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """The table of those `paths` that lie in an emotion's folder; `labels` are further names."""
    rows: list[Row] = []
    for path in paths:
        relative = path.relative_to(root)
        folders = relative.parts[:-1]
        named = [folder for folder in folders if canonical(folder, labels)]
        if not named:
            continue
        splits = [SPLITS[folder.lower()] for folder in folders if folder.lower() in SPLITS]
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
    count = Counter(row["clip"] for row in rows)
    for row in rows:
        if count[row["clip"]] > 1:  # clips that differ in their ending alone
            row["clip"] += printable(Path(row["path"]).suffix)
    return as_table(sorted(rows, key=lambda row: str(row["clip"])))
