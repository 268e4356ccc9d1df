"""The published corpora that emoscope knows, one file each; found from this folder."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import PurePath

from ..registry import Registry
from .base import CorpusInfo, Download, Naming, Row

__all__ = [
    "PARTS", "CorpusInfo", "Download", "Match", "Naming", "get", "names", "register", "registry",
]  # fmt: skip

PARTS = ("speech", "song", "both")  # of a corpus that has a column ``channel``


registry: Registry[CorpusInfo] = Registry(
    "corpus", __name__, fits=lambda member: isinstance(member, CorpusInfo), wanted="a CorpusInfo"
)
names, get, register = registry.names, registry.get, registry.register

#: A few names with values that do not exist are damaged; more of them, or more of one, are not.
_DAMAGED, _RECURRING, _DAMAGED_SHARE = 2, 5, 0.05
#: What a corpus needs to count beside a larger one: clips, labels, share of the folders it lies in.
_CLIPS, _LABELS, _SHARE = 5, 2, 0.05


@dataclasses.dataclass(frozen=True)
class Match:
    """The paths that are clips of a corpus, and those that have only the form of its names."""

    info: CorpusInfo
    rows: dict[PurePath, Row]
    foreign: dict[PurePath, Row]  # path → those of its fields whose values do not exist

    def without(self, claimed: Collection[PurePath]) -> Match:
        """The match less some paths."""
        rows = {path: row for path, row in self.rows.items() if path not in claimed}
        foreign = {path: told for path, told in self.foreign.items() if path not in claimed}
        return Match(self.info, rows, foreign)

    @property
    def is_other(self) -> bool:
        """Whether these are recordings of another kind, whose names only look alike."""
        values = Counter(item for fields in self.foreign.values() for item in fields.items())
        share = len(self.foreign) / max(1, len(self.foreign) + len(self.rows))
        recurring = max(values.values(), default=0) >= _RECURRING and share > _DAMAGED_SHARE / 5
        return recurring or (len(self.foreign) > _DAMAGED and share > _DAMAGED_SHARE)

    def is_further(self, folders: Mapping[PurePath, int]) -> bool:
        """Whether these are a corpus beside a larger one, not names that look so by accident."""
        labels = {row["label"] for row in self.rows.values()}
        among = sum(folders[folder] for folder in {path.parent for path in self.rows})
        several = len(labels) >= _LABELS or "" in labels
        return several and len(self.rows) >= max(_CLIPS, _SHARE * among)

    def difference(self, paths: Collection[PurePath] | None = None) -> str:
        """In words which values the names have that the corpus has not, of all or some paths."""
        found: dict[str, set[str]] = {}
        for path in self.foreign if paths is None else paths:
            for name, value in self.foreign.get(path, {}).items():
                found.setdefault(name, set()).add(value)
        facts = getattr(self.info.parse, "facts", {})
        return "; ".join(
            f"{name} {_some(values)} ({self.info.name} has {_some(facts[name])})"
            for name, values in sorted(found.items())
        )


def _some(values: Collection[str]) -> str:
    first, *rest = sorted(values)
    return ", ".join([first, *rest]) if len(rest) < 4 else f"{first}, {rest[0]} … {rest[-1]}"


def matches(paths: Collection[PurePath]) -> tuple[list[Match], list[Match]]:
    """The corpora among some paths, largest first, and those whose names only look alike."""
    found = []
    for info in registry.members().values():
        naming = info.parse if isinstance(info.parse, Naming) else None
        told = {path: naming and naming.fields(path) for path in paths}
        rows = info.rows(path for path in paths if told[path] or not naming)
        left = {path: fields for path, fields in told.items() if fields and path not in rows}
        foreign = {path: naming.foreign(fields) for path, fields in left.items() if naming}
        found.append(Match(info, rows, foreign))
    folders = Counter(path.parent for path in paths)
    claimed: set[PurePath] = set()
    corpora: list[Match] = []
    alike: list[Match] = []
    for match in sorted(found, key=lambda match: -len(match.rows)):
        match = match.without(claimed)
        if match.is_other:
            alike.append(match)
        elif match.rows and (not corpora or match.is_further(folders)):
            corpora.append(match)
        else:
            continue
        claimed |= match.rows.keys()
    alike = [dataclasses.replace(m, foreign=m.without(claimed).foreign) for m in alike]
    return corpora, [match for match in alike if match.is_other]
