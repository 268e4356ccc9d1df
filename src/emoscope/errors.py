"""Every error that emoscope raises on purpose.

All share the root :class:`EmoscopeError`, so ``except EmoscopeError`` catches what a caller can act
on and nothing else. A message says what was found, what is allowed, and what to do about it.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from typing import Any


class EmoscopeError(Exception):
    """Root of every error that emoscope raises on purpose."""


class AudioError(EmoscopeError):
    """One recording cannot be used: `path` as the caller named it, and the `reason` in plain words."""

    def __init__(self, path: object, reason: str) -> None:
        super().__init__(path, reason)
        self.path = str(path)
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class CorpusError(EmoscopeError):
    """A corpus, manifest or set of labels cannot be used as asked."""


class ProtocolError(EmoscopeError):
    """A protocol does not fit the corpus, or its folds would leak."""


class FeatureError(EmoscopeError, ValueError):
    """A feature cannot be computed as asked."""


class ModelError(EmoscopeError, ValueError):
    """A model or model file cannot be used."""


class ConfigError(EmoscopeError):
    """A file of options cannot be used."""


class PluginError(EmoscopeError):
    """What the package `origin` offers, e.g. the `kind` ``"model"``, cannot be used."""

    def __init__(self, kind: str, name: str, origin: str, reason: str) -> None:
        super().__init__(kind, name, origin, reason)
        self.kind, self.name, self.origin, self.reason = kind, name, origin, reason

    def __str__(self) -> str:
        return f"the {self.kind} '{self.name}' of {self.origin} cannot be used: {self.reason}"


class MissingExtraError(EmoscopeError, ImportError):
    """`what` was asked for needs a `package` that the named `extra` of emoscope installs."""

    def __init__(self, what: str, package: str, extra: str) -> None:
        super().__init__(what, package, extra)
        self.what, self.package, self.extra = what, package, extra

    def __str__(self) -> str:
        return (
            f"{self.what} needs the package '{self.package}', which is not installed; "
            f"install it with: pip install 'emoscope[{self.extra}]'"
        )


def installed(module: str, what: str, extra: str, *, package: str = "") -> Any:
    """A module, imported; a MissingExtraError says that `what` was asked for needs its package."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(what, package or module, extra) from error


class UnknownNameError(EmoscopeError, ValueError):
    """No `kind` (``"model"``, ``"feature"`` …) has that `name`; the message lists the valid ones."""

    def __init__(self, kind: str, name: str, valid: Iterable[str]) -> None:
        super().__init__(kind, name, tuple(valid))
        self.kind, self.name, self.valid = kind, name, tuple(valid)

    def __str__(self) -> str:
        close = difflib.get_close_matches(self.name, self.valid, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        return f"unknown {self.kind} '{self.name}'.{hint} Valid: {', '.join(self.valid)}"
