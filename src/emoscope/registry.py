"""Finds the members of a family: corpora, features, models, panels of pictures.

A member module of ``emoscope.corpora``, ``emoscope.features``, ``emoscope.models`` or
``emoscope.report.plots`` declares what it offers in one module constant, ``MEMBERS``: a mapping from public
name to member. Nothing else has to be edited to add one. Packages outside emoscope add members
through entry points of the groups ``emoscope.corpora``, ``emoscope.features``, ``emoscope.models`` and
``emoscope.plots`` (the entry point's name is the public name, its
object the member), and a session through :meth:`Registry.register`.

Entry points are listed when a name is asked for that is not emoscope's own, and imported when used:
what is installed beside emoscope costs nothing until then.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import pkgutil
import warnings
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from .errors import PluginError, UnknownNameError

Member = TypeVar("Member")


class Registry(Generic[Member]):
    """The members of one family, found when first asked for.

    Parameters
    ----------
    kind : str
        What a member is called in messages, e.g. ``"model"``.
    package : str
        The package whose modules are searched, e.g. ``"emoscope.models"``.
    group : str, optional
        The entry-point group of other packages' members; the package's name if not given.
    fits : callable
        Whether an object can be a member; asked of what entry points give.
    wanted : str
        What such an object is, for messages, e.g. ``"a ModelInfo"``.
    """

    def __init__(
        self,
        kind: str,
        package: str,
        *,
        fits: Callable[[object], bool],
        wanted: str,
        group: str | None = None,
    ) -> None:
        self.kind, self.package, self.fits, self.wanted = kind, package, fits, wanted
        self.group = group or package
        self._registered: dict[str, Member] = {}
        self._own: dict[str, Member] | None = None
        self._entries: dict[str, importlib.metadata.EntryPoint] | None = None
        self._loaded: dict[str, Member] = {}

    def register(self, name: str, member: Member) -> None:
        """Add a member for the life of this process; a member of the same name is replaced."""
        self._registered[name] = member

    def own(self) -> dict[str, Member]:
        """The members that emoscope brings, in alphabetical order of their modules."""
        if self._own is None:
            found: dict[str, Member] = {}
            package = importlib.import_module(self.package)
            for module in sorted(m.name for m in pkgutil.iter_modules(package.__path__)):
                imported = importlib.import_module(f"{self.package}.{module}")
                found.update(getattr(imported, "MEMBERS", {}))
            self._own = found
        return self._own

    def names(self) -> list[str]:
        """The public names: emoscope's own, those of other packages, those of this session."""
        return list(dict.fromkeys([*self.own(), *self._plugins(), *self._registered]))

    def get(self, name: str) -> Member:
        """The member of that name.

        Raises
        ------
        UnknownNameError
            When there is none; the message lists the valid names.
        PluginError
            When the package that offers it cannot be used.
        """
        if name in self._registered:
            return self._registered[name]
        if name in self.own():
            return self.own()[name]
        if name in self._plugins():
            return self._load(name)
        raise UnknownNameError(self.kind, name, self.names())

    def members(self) -> dict[str, Member]:
        """All members by public name; what other packages offer and cannot be used is left out."""
        found = dict(self.own())
        for name in self._plugins():
            try:
                found[name] = self._load(name)
            except PluginError as error:
                warnings.warn(f"left out: {error}", stacklevel=2)
        return {**found, **self._registered}

    def _plugins(self) -> dict[str, importlib.metadata.EntryPoint]:
        if self._entries is None:
            found = importlib.metadata.entry_points(group=self.group)
            self._entries = self._unclaimed(sorted(found, key=lambda entry: entry.name))
        return self._entries

    def _unclaimed(
        self, entries: Iterable[importlib.metadata.EntryPoint]
    ) -> dict[str, importlib.metadata.EntryPoint]:
        """Entry points by name, less those whose name is taken: a result must mean one thing."""
        free: dict[str, importlib.metadata.EntryPoint] = {}
        for entry in entries:
            if entry.name in self.own() or entry.name in free:
                warnings.warn(
                    f"left out: the {self.kind} '{entry.name}' of {_origin(entry)}; another "
                    f"{self.kind} has that name",
                    stacklevel=4,
                )
            else:
                free[entry.name] = entry
        return free

    def _load(self, name: str) -> Member:
        if name not in self._loaded:
            entry = self._plugins()[name]
            try:
                member = entry.load()
            # Code of other people may fail in any way.
            except Exception as error:
                why = f"{type(error).__name__}: {error}"
                raise PluginError(self.kind, name, _origin(entry), why) from error
            if not self.fits(member):
                why = f"'{entry.value}' is {type(member).__name__}, not {self.wanted}"
                raise PluginError(self.kind, name, _origin(entry), why)
            self._loaded[name] = member
        return self._loaded[name]


def _origin(entry: importlib.metadata.EntryPoint) -> str:
    """The distribution that an entry point is of, with its version."""
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value
