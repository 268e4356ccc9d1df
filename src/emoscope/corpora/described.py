"""The corpora that a TOML file beside this one describes.

The name of the file is that of the corpus, its keys are those of :class:`CorpusInfo` and of its
:class:`Naming`. ``facts`` has of each field the values that exist, separated by blanks (``F01..31`` are
31), or a table of such → what they mean: a text, or columns. ``tell`` has columns of every clip. In
columns ``{speaker}`` is that field of the name. ``beside`` is a ``file`` of the corpus that tells more
of each ``clip`` or ``speaker``: column → its name there. Where that is not enough, ``tell`` and
``annotate`` name functions of this module.
"""

import csv
import functools
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

from ..files import shipped_table
from ..labels import canonical
from . import CorpusInfo, Download, Naming, Row, filled, registry

#: Column of a table beside a corpus → what a word in it means; nothing where it is no such.
_READ: Mapping[str, Callable[[str], Any]] = {
    "gender": lambda word: word.lower() if word.lower() in ("female", "male") else "",
    "age": lambda word: int(word) if word.isdecimal() else 0,
}
_RANGE = re.compile(r"(\D*)(\d+)\.\.(\d+)(\D*)")
_IEMOCAP = {  # column → the files that tell it, and the form of their lines
    "label": ("dialog/EmoEvaluation/*.txt", re.compile(r"\[[^]]+\]\t(Ses\w+)\t(\w{3})\t")),
    "text": ("dialog/transcriptions/*.txt", re.compile(r"(Ses\w+) \[[^]]+\]: *(.*)")),
}
_SPLIT = re.compile(r"(?<![a-z])(train|dev|test)(?![a-z])")


def read(file: Path) -> CorpusInfo:
    """The corpus that a file describes."""
    told = shipped_table(str(file))
    labels = [*told["label_map"], *told.get("no_emotion", ())]
    facts: dict[str, dict[str, Any]] = {"label": dict.fromkeys(labels, {})}
    for field, values in told.pop("facts").items():
        pairs = values.items() if isinstance(values, dict) else [(values, {})]
        meant = {value: meaning for words, meaning in pairs for value in _each(words)}
        facts[field] = facts.get(field, {}) | meant
    columns = told.pop("tell", {})
    tell = globals()[columns] if isinstance(columns, str) else lambda f: filled(columns, f)
    naming = Naming(told.pop("form"), facts, tell, told.pop("any_case", False))
    if table := told.pop("beside", None):
        told["annotate"] = functools.partial(_told_beside, table)
    elif "annotate" in told:
        told["annotate"] = globals()[told["annotate"]]
    downloads = tuple(Download(**item) for item in told.pop("downloads", ()))
    return CorpusInfo(file.stem, parse=naming, downloads=downloads, **told)


def _lines_beside(root: Path, pattern: str) -> dict[Path, list[str]]:
    """The lines of a corpus's own files: anywhere below `root`, or else up to two folders above."""
    for found in (root.rglob(pattern), root.parent.glob(pattern), root.parent.parent.glob(pattern)):
        if files := sorted(p for p in found if p.is_file() and not p.name.startswith(".")):
            return {p: p.read_bytes().decode("utf-8-sig", "replace").splitlines() for p in files}
    return {}


def _told_beside(
    table: Mapping[str, str], root: Path, rows: Mapping[PurePath, Row]
) -> Mapping[PurePath, Row]:
    """What a table tells of the clips or speakers of rows."""
    key = "clip" if "clip" in table else "speaker"
    told: dict[str, Row] = {}
    for file, lines in _lines_beside(root, table["file"]).items():
        for line in csv.DictReader(lines, delimiter="\t" if file.suffix == ".tsv" else ","):
            words = {column: line.get(name) for column, name in table.items() if column != "file"}
            if None not in words.values():
                values = {c: _READ.get(c, str)(word) for c, word in words.items() if word}
                name = PurePath(values.pop(key, "")).stem
                told[name] = {column: value for column, value in values.items() if value}
    return {path: told.get(row[key], {}) for path, row in rows.items()}


def _each(words: str) -> Iterator[str]:
    for word in words.split():
        if found := _RANGE.fullmatch(word):
            before, first, last, behind = found.groups()
            for number in range(int(first), int(last) + 1):
                yield f"{before}{number:0{len(first)}}{behind}"
        else:
            yield word


def esd(fields: Row) -> Row:
    """A speaker's clips are numbered 1 to 1750, 350 of each emotion in one order of sentences."""
    language = "zh" if fields["speaker"] <= "0010" else "en"
    sentence = f"{language}-{(int(fields['number']) - 1) % 350 + 1:03}"
    return {"clip": "{speaker}_{number}_{label}".format_map(fields), "text": sentence}


def iemocap(root: Path, rows: Mapping[PurePath, Row]) -> Mapping[PurePath, Row]:
    """The label and the words of each turn: of its session's files, else the label of a folder."""
    told: dict[str, Row] = {}
    for column, (files, form) in _IEMOCAP.items():
        for line in itertools.chain(*_lines_beside(root, files).values()):
            if found := form.match(line):
                told.setdefault(found[1], {})[column] = found[2]
    return {
        path: {"label": _code(path.relative_to(root))} | told.get(path.stem, {}) for path in rows
    }


def _code(path: PurePath) -> str:
    """IEMOCAP's code of the emotion after which the nearest folder is named."""
    info = registry.get("iemocap")
    codes = {emotion: code for code, emotion in info.label_map.items()}
    folders = [parent.name for parent in path.parents if parent.name]
    known = (f if f in info.no_emotion else codes.get(canonical(f) or "", "") for f in folders)
    return next(filter(None, known), "")


def meld(root: Path, rows: Mapping[PurePath, Row]) -> Mapping[PurePath, Row]:
    """What the tables of the three splits say of each film."""
    told: dict[tuple[str, str], Row] = {}
    for file, lines in _lines_beside(root, "*_sent_emo.csv").items():
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


MEMBERS = {file.stem: read(file) for file in Path(__file__).parent.glob("*.toml")}
