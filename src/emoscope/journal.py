"""Finished units of work on disk, so that a run that was stopped goes on where it was.

A unit is identified by everything that decides its outcome: a JSON-serialisable mapping. Its outcome
is one JSON file, written whole or not at all; a file that cannot be read counts as not done.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .files import write_atomically


class Journal:
    """Outcomes of finished units in one folder.

    Parameters
    ----------
    folder : path-like
        Made when the first outcome is recorded.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)

    def get(self, unit: Mapping[str, Any]) -> Any | None:
        """The recorded outcome of a unit, or None when it has not been done."""
        try:
            stored = json.loads(self.path(unit).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return stored["outcome"] if stored.get("unit") == json.loads(_canonical(unit)) else None

    def put(self, unit: Mapping[str, Any], outcome: Any) -> None:
        """Record the outcome of a unit, atomically."""
        text = json.dumps({"unit": unit, "outcome": outcome})
        write_atomically(self.path(unit), text.encode("utf-8"))

    def path(self, unit: Mapping[str, Any], suffix: str = ".json") -> Path:
        """The file that belongs to a unit; also where its training checkpoints may stand."""
        digest = hashlib.blake2b(_canonical(unit).encode("utf-8"), digest_size=12).hexdigest()
        return self.folder / f"{digest}{suffix}"


def _canonical(unit: Mapping[str, Any]) -> str:
    return json.dumps(unit, sort_keys=True, separators=(",", ":"))
