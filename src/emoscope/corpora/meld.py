"""What MELD's tables tell of its films."""

import csv
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath

from .base import Row, lines_beside

_SPLIT = re.compile(r"(?<![a-z])(train|dev|test)(?![a-z])")


def _split(names: Iterable[str]) -> str:
    return next((found[1] for name in names if (found := _SPLIT.search(name.lower()))), "")


def annotate(root: Path, rows: Mapping[PurePath, Row]) -> Mapping[PurePath, Row]:
    """What the tables of the three splits say of each film."""
    told: dict[tuple[str, str], Row] = {}
    for file, lines in lines_beside(root, "*_sent_emo.csv").items():
        split = _split([file.name])
        for row in csv.DictReader(lines, restval=""):
            name = "dia{Dialogue_ID}_utt{Utterance_ID}".format_map(row)
            told[split, name] = {
                "clip": f"{split}_{name}",
                "label": row["Emotion"].lower(),
                "speaker": row["Speaker"],
                "text": row["Utterance"],
                "split": split,
            }
    return {
        path: told.get((_split(part.name for part in path.parents), path.stem), {}) for path in rows
    }
