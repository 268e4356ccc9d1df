"""The published corpora that emoscope knows, one file each; found from this folder."""

from __future__ import annotations

from ..registry import Registry
from .base import CorpusInfo, Download

__all__ = ["CorpusInfo", "Download", "get", "names", "register", "registry"]

registry: Registry[CorpusInfo] = Registry(
    "corpus", __name__, fits=lambda member: isinstance(member, CorpusInfo), wanted="a CorpusInfo"
)
names, get, register = registry.names, registry.get, registry.register
