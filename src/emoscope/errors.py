"""Every error that emoscope raises on purpose; a message says what was found, and what to do about it."""

import difflib
import importlib
from collections.abc import Collection, Iterable
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
    """What another package offers cannot be used: a kind (``"model"``), its name, the package, the reason."""

    def __str__(self) -> str:
        kind, name, origin, reason = self.args
        return f"the {kind} '{name}' of {origin} cannot be used: {reason}"


class MissingExtraError(EmoscopeError, ImportError):
    """What was asked for, the package that it needs, the extra of emoscope that installs it."""

    def __str__(self) -> str:
        what, package, extra = self.args
        hint = f"install it with: pip install 'emoscope[{extra}]'"
        return f"{what} needs the package '{package}', which is not installed; {hint}"


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

    def __str__(self) -> str:
        kind, name, valid = self.args
        close = difflib.get_close_matches(name, valid, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        return f"unknown {kind} '{name}'.{hint} Valid: {', '.join(valid)}"


def check_known(kind: str, valid: Collection[str], *names: str) -> None:
    """Raise an UnknownNameError for the first of some names that is not valid."""
    for name in names:
        if name not in valid:
            raise UnknownNameError(kind, name, valid)
