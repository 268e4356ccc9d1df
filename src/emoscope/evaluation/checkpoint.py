"""Finished units of work on disk, so that a run that was stopped goes on where it was.

A unit is identified by everything that decides its outcome: a JSON-serialisable mapping, and the code
that did the work, for an outcome of other code is not one of this. Its outcome is one JSON file,
written whole or not at all; a file that is damaged or cannot be read counts as not done.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sklearn
from sklearn.base import BaseEstimator

from ..files import remove_abandoned, write_atomically

#: Other packages whose version decides what a model learns.
LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch")


class Journal:
    """Outcomes of finished units in one folder.

    Parameters
    ----------
    folder : path-like
        Made when the first outcome is recorded.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        remove_abandoned(self.folder)

    def get(self, unit: Mapping[str, Any]) -> Any | None:
        """The recorded outcome of a unit, or None when it has not been done."""
        try:
            stored = json.loads(self.path(unit).read_text(encoding="utf-8"))
            whole = stored["digest"] == _digest([stored["unit"], stored["outcome"]])
            return stored["outcome"] if whole and stored["unit"] == _identity(unit) else None
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None

    def put(self, unit: Mapping[str, Any], outcome: Any) -> None:
        """Record the outcome of a unit, atomically."""
        stored = {"unit": _identity(unit), "outcome": outcome}
        stored["digest"] = _digest([stored["unit"], outcome])
        write_atomically(self.path(unit), json.dumps(stored))

    def path(self, unit: Mapping[str, Any], suffix: str = ".json") -> Path:
        """The file that belongs to a unit; also where its training checkpoints may stand."""
        return self.folder / f"{_digest(_identity(unit))}{suffix}"


def spelled_out(estimator: BaseEstimator) -> str:
    """All parameters of an estimator, also those that have their defaults."""
    with sklearn.config_context(print_changed_only=False):
        return str(estimator.__repr__(N_CHAR_MAX=1_000_000))  # else shortened


def _identity(unit: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps({**unit, "code": _code()}))


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode("utf-8"), digest_size=12).hexdigest()


@functools.cache
def _code() -> str:
    """A digest of this package's code and of the versions of what it trains with."""
    digest = hashlib.blake2b(digest_size=12)
    root = Path(__file__).parent
    for path in sorted(root.rglob("*.py")):
        digest.update(os.fsencode(path.relative_to(root)) + b"\0" + path.read_bytes())
    for name in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            digest.update(f"{name} {importlib.metadata.version(name)}\n".encode())
    return digest.hexdigest()
