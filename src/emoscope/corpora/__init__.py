"""The published corpora that emoscope knows, one file each; found from this folder."""

from __future__ import annotations

from ..registry import Registry
from .base import CorpusInfo, Download

__all__ = ["CorpusInfo", "Download", "get", "names", "register", "registry"]

registry: Registry[CorpusInfo] = Registry(
    "corpus", __name__, fits=lambda found: isinstance(found, CorpusInfo), wanted="a CorpusInfo"
)


def names() -> list[str]:
    """Names of all corpora."""
    return registry.names()


def get(name: str) -> CorpusInfo:
    """Return the corpus of that name.

    Raises
    ------
    UnknownNameError
        When there is none; the message lists the valid names.
    """
    return registry.get(name)


def register(name: str, info: CorpusInfo) -> None:
    """Add a corpus for the life of this process; one of the same name is replaced."""
    registry.register(name, info)
