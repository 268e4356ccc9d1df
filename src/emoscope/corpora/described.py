"""The corpora that a TOML file beside this one describes.

The name of the file is that of the corpus, its keys are those of :class:`CorpusInfo` and of its
:class:`Naming`. ``facts`` has of each field the values that exist, separated by blanks (``F01..31`` are
31), or a table of such → what they mean: a text, or columns. ``tell`` has columns of every clip. In
columns ``{speaker}`` is that field of the name. ``beside`` is a ``file`` of the corpus that tells more
of each ``clip`` or ``speaker``: column → its name there. Where that is not enough, ``tell`` and
``annotate`` name functions of a module: ``details.esd``.
"""

import csv
import functools
import importlib
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

from ..files import shipped_table
from .base import CorpusInfo, Download, Naming, Row, filled, lines_beside

#: Column of a table beside a corpus → what a word in it means; nothing where it is no such.
_READ: Mapping[str, Callable[[str], Any]] = {
    "gender": lambda word: word.lower() if word.lower() in ("female", "male") else "",
    "age": lambda word: int(word) if word.isdecimal() else 0,
}
_RANGE = re.compile(r"(\D*)(\d+)\.\.(\d+)(\D*)")


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
    tell = _function(columns) if isinstance(columns, str) else lambda f: filled(columns, f)
    naming = Naming(told.pop("form"), facts, tell, told.pop("any_case", False))
    if table := told.pop("beside", None):
        told["annotate"] = functools.partial(_told_beside, table)
    elif "annotate" in told:
        told["annotate"] = _function(told["annotate"])
    downloads = tuple(Download(**item) for item in told.pop("downloads", ()))
    return CorpusInfo(file.stem, parse=naming, downloads=downloads, **told)


def _function(name: str) -> Any:
    module, _, function = name.partition(".")
    return getattr(importlib.import_module(f".{module}", __package__), function)


def _told_beside(
    table: Mapping[str, str], root: Path, rows: Mapping[PurePath, Row]
) -> Mapping[PurePath, Row]:
    """What a table tells of the clips or speakers of rows."""
    key = "clip" if "clip" in table else "speaker"
    told: dict[str, Row] = {}
    for file, lines in lines_beside(root, table["file"]).items():
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


MEMBERS = {file.stem: read(file) for file in Path(__file__).parent.glob("*.toml")}
