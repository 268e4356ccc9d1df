"""Every error that emoscope raises on purpose.

All share the root :class:`EmoscopeError`, so ``except EmoscopeError`` catches what a caller can act
on and nothing else. A message says what was found, what is allowed, and what to do about it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EmoscopeError(Exception):
    """Root of every error that emoscope raises on purpose."""


class AudioError(EmoscopeError):
    """One recording cannot be used.

    Parameters
    ----------
    path : str
        The recording, as the caller named it.
    reason : str
        Why it cannot be used, in words a user understands.
    """

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
    """A model, or a file that should hold one, cannot be used."""


class ConfigError(EmoscopeError):
    """A file of options cannot be used."""


class PluginError(EmoscopeError):
    """What another package offers to emoscope cannot be used.

    Parameters
    ----------
    kind, name : str
        What it offers, e.g. ``"model"``, and under which name.
    origin : str
        The package.
    reason : str
        Why it cannot be used.
    """

    def __init__(self, kind: str, name: str, origin: str, reason: str) -> None:
        super().__init__(kind, name, origin, reason)
        self.kind, self.name, self.origin, self.reason = kind, name, origin, reason

    def __str__(self) -> str:
        return f"the {self.kind} '{self.name}' of {self.origin} cannot be used: {self.reason}"


class MissingExtraError(EmoscopeError, ImportError):
    """An optional part of emoscope is needed and not installed.

    Parameters
    ----------
    what : str
        The thing asked for, e.g. ``"the model 'cnn1d-a'"``.
    package : str
        The package that is missing.
    extra : str
        The extra of emoscope that brings it.
    """

    def __init__(self, what: str, package: str, extra: str) -> None:
        super().__init__(what, package, extra)
        self.what, self.package, self.extra = what, package, extra

    def __str__(self) -> str:
        return (
            f"{self.what} needs the package '{self.package}', which is not installed; "
            f"install it with: pip install 'emoscope[{self.extra}]'"
        )


class UnknownNameError(EmoscopeError, ValueError):
    """A name that nothing answers to; the message lists the valid ones.

    Parameters
    ----------
    kind : str
        What was named: ``"model"``, ``"feature"``, ``"emotion"`` …
    name : str
        The name given.
    valid : iterable of str
        The names that exist.
    """

    def __init__(self, kind: str, name: str, valid: Iterable[str]) -> None:
        super().__init__(kind, name, tuple(valid))
        self.kind, self.name, self.valid = kind, name, tuple(valid)

    def __str__(self) -> str:
        close = difflib.get_close_matches(self.name, self.valid, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        return f"unknown {self.kind} '{self.name}'.{hint} Valid: {', '.join(self.valid)}"
