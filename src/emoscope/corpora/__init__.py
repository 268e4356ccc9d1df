"""The published corpora that emoscope knows, one file each; found from this folder."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import PurePath

from ..registry import Registry
from .base import CorpusInfo, Download, Row

__all__ = ["CorpusInfo", "Download", "get", "names", "recognise", "register", "registry"]

registry: Registry[CorpusInfo] = Registry(
    "corpus", __name__, fits=lambda member: isinstance(member, CorpusInfo), wanted="a CorpusInfo"
)
names, get, register = registry.names, registry.get, registry.register


def recognise(paths: Collection[PurePath]) -> tuple[CorpusInfo, dict[PurePath, Row]]:
    """The corpus whose file names most of the paths follow, and what each of those names tells."""
    parsed = [(info, info.rows(paths)) for info in registry.members().values()]
    return max(parsed, key=lambda match: len(match[1]))
