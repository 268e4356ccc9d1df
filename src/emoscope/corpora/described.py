"""The corpora that a TOML file beside this one describes, since the names of their clips tell all.

The name of the file is that of the corpus, its keys are those of :class:`CorpusInfo` and of its
:class:`Naming`. ``facts`` has of each field the values that exist, separated by blanks (``F01..31`` are
31), or a table of such → what they mean: a text, or columns. ``tell`` has columns of every clip. In
columns ``{speaker}`` is that field of the name.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tomllib

from .base import CorpusInfo, Download, Naming, filled

_RANGE = re.compile(r"(\D*)(\d+)\.\.(\d+)(\D*)")


def read(file: Path) -> CorpusInfo:
    """The corpus that a file describes."""
    told = tomllib.loads(file.read_text("utf-8"))
    labels = [*told["label_map"], *told.get("no_emotion", ())]
    facts: dict[str, dict[str, Any]] = {"label": dict.fromkeys(labels, {})}
    for field, values in told.pop("facts").items():
        pairs = values.items() if isinstance(values, dict) else [(values, {})]
        meant = {value: meaning for words, meaning in pairs for value in _each(words)}
        facts[field] = facts.get(field, {}) | meant
    columns = told.pop("tell", {})
    naming = Naming(
        told.pop("form"), facts, lambda f: filled(columns, f), told.pop("any_case", False)
    )
    downloads = tuple(Download(**item) for item in told.pop("downloads", ()))
    return CorpusInfo(file.stem, parse=naming, downloads=downloads, **told)


def _each(words: str) -> Iterator[str]:
    for word in words.split():
        if found := _RANGE.fullmatch(word):
            before, first, last, behind = found.groups()
            for number in range(int(first), int(last) + 1):
                yield f"{before}{number:0{len(first)}}{behind}"
        else:
            yield word


MEMBERS = {file.stem: read(file) for file in Path(__file__).parent.glob("*.toml")}
