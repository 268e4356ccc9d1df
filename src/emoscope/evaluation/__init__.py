"""Metrics, intervals and tests over speakers; comparison, search, results and their sentences."""

import functools
from typing import Any

from ..files import shipped_table


@functools.cache
def _sentences() -> dict[str, Any]:
    return shipped_table("sentences.toml")


def sentence(key: str, **values: object) -> str:
    """A sentence of ``data/sentences.toml`` with these values in it."""
    return str(_sentences()[key]).format(**values)
