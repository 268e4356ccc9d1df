"""What IEMOCAP's own files tell of its turns, and what a copy's folders do."""

import itertools
import re
from collections.abc import Mapping
from pathlib import Path, PurePath

from ..labels import canonical
from .base import Row, lines_beside

FILES = {
    "label": ("dialog/EmoEvaluation/*.txt", re.compile(r"\[[^]]+\]\t(Ses\w+)\t(\w{3})\t")),
    "text": ("dialog/transcriptions/*.txt", re.compile(r"(Ses\w+) \[[^]]+\]: *(.*)")),
}


def _label(path: PurePath) -> str:
    """The code of the emotion after which the nearest folder is named."""
    from . import get

    info = get("iemocap")
    codes = {emotion: code for code, emotion in info.label_map.items()}
    folders = [parent.name for parent in path.parents if parent.name]
    known = (f if f in info.no_emotion else codes.get(canonical(f) or "", "") for f in folders)
    return next(filter(None, known), "")


def annotate(root: Path, rows: Mapping[PurePath, Row]) -> Mapping[PurePath, Row]:
    """The label and the words of each turn, as far as the folders of its session hold them."""
    told: dict[str, Row] = {}
    for column, (files, form) in FILES.items():
        for line in itertools.chain(*lines_beside(root, files).values()):
            if found := form.match(line):
                told.setdefault(found[1], {})[column] = found[2]
    return {
        path: {"label": _label(path.relative_to(root))} | told.get(path.stem, {}) for path in rows
    }
