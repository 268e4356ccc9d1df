"""What the descriptions of corpora cannot say: functions that their ``tell`` and ``annotate`` name."""

import csv
import itertools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath

from ..labels import canonical
from .base import Row, lines_beside

_IEMOCAP = {  # column → the files that tell it, and the form of their lines
    "label": ("dialog/EmoEvaluation/*.txt", re.compile(r"\[[^]]+\]\t(Ses\w+)\t(\w{3})\t")),
    "text": ("dialog/transcriptions/*.txt", re.compile(r"(Ses\w+) \[[^]]+\]: *(.*)")),
}
_SPLIT = re.compile(r"(?<![a-z])(train|dev|test)(?![a-z])")


def ravdess(fields: Row) -> Row:
    """Who speaks; a KeyError for what RAVDESS does not have."""
    if (fields["label"], fields["intensity"]) == ("01", "02"):
        raise KeyError("neutral has no strong intensity")
    return {"gender": "female" if int(fields["speaker"]) % 2 == 0 else "male"}


def esd(fields: Row) -> Row:
    """A speaker's clips are numbered 1 to 1750, 350 of each emotion in one order of sentences."""
    language = "zh" if fields["speaker"] <= "0010" else "en"
    sentence = f"{language}-{(int(fields['number']) - 1) % 350 + 1:03}"
    return {"clip": "{speaker}_{number}_{label}".format_map(fields), "text": sentence}


def iemocap(root: Path, rows: Mapping[PurePath, Row]) -> Mapping[PurePath, Row]:
    """The label and the words of each turn: of its session's files, else the label of a folder."""
    told: dict[str, Row] = {}
    for column, (files, form) in _IEMOCAP.items():
        for line in itertools.chain(*lines_beside(root, files).values()):
            if found := form.match(line):
                told.setdefault(found[1], {})[column] = found[2]
    return {
        path: {"label": _code(path.relative_to(root))} | told.get(path.stem, {}) for path in rows
    }


def _code(path: PurePath) -> str:
    """IEMOCAP's code of the emotion after which the nearest folder is named."""
    from . import get

    info = get("iemocap")
    codes = {emotion: code for code, emotion in info.label_map.items()}
    folders = [parent.name for parent in path.parents if parent.name]
    known = (f if f in info.no_emotion else codes.get(canonical(f) or "", "") for f in folders)
    return next(filter(None, known), "")


def meld(root: Path, rows: Mapping[PurePath, Row]) -> Mapping[PurePath, Row]:
    """What the tables of the three splits say of each film."""
    told: dict[tuple[str, str], Row] = {}
    for file, lines in lines_beside(root, "*_sent_emo.csv").items():
        split = _split([file.name])
        for row in csv.DictReader(lines, restval=""):
            name = "dia{Dialogue_ID}_utt{Utterance_ID}".format_map(row)
            about = {"label": row["Emotion"].lower(), "speaker": row["Speaker"], "split": split}
            about |= {"clip": f"{split}_{name}", "text": row["Utterance"]}
            told[split, name] = about
    return {
        path: told.get((_split(part.name for part in path.parents), path.stem), {}) for path in rows
    }


def _split(names: Iterable[str]) -> str:
    return next((found[1] for name in names if (found := _SPLIT.search(name.lower()))), "")
