"""Finds the members of a family: corpora, features, models, panels of figures.

A module of ``emoscope.corpora``, ``emoscope.features``, ``emoscope.models`` or
``emoscope.report.plots`` declares its members in one constant, ``MEMBERS``: a mapping from public
name to member. Nothing else has to be edited to add one. Other packages add members through entry
points of the groups ``emoscope.corpora``, ``emoscope.features``, ``emoscope.models`` and
``emoscope.plots`` (the entry point's name is the public name, its object the member), and a session
through :meth:`Registry.register`. Entry points are imported when they are used.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import pkgutil
import warnings
from collections.abc import Callable
from typing import Generic, TypeVar

from .errors import PluginError, UnknownNameError

Member = TypeVar("Member")
EntryPoints = dict[str, importlib.metadata.EntryPoint]


class Registry(Generic[Member]):
    """The members of one family, found when first asked for.

    Parameters
    ----------
    kind : str
        What a member is called in messages, e.g. ``"model"``.
    package : str
        The package whose modules are searched, e.g. ``"emoscope.models"``.
    fits : callable
        Whether an object can be a member; applied to what entry points give.
    wanted : str
        What such an object is, for messages, e.g. ``"a ModelInfo"``.
    group : str, optional
        The entry-point group of other packages' members; by default the package's name.
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
        self._entries: EntryPoints | None = None
        self._loaded: dict[str, Member] = {}

    def register(self, name: str, member: Member) -> None:
        """Add a member for the life of this process, or replace the one of that name."""
        self._registered[name] = member

    def own(self) -> dict[str, Member]:
        """The members that emoscope brings, in alphabetical order of their modules."""
        if self._own is None:
            package = importlib.import_module(self.package)
            modules = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
            self._own = {}
            for name in modules:
                module = importlib.import_module(f"{self.package}.{name}")
                self._own.update(getattr(module, "MEMBERS", {}))
        return self._own

    def names(self) -> list[str]:
        """The public names: emoscope's own, those of other packages, those of this session."""
        return list(dict.fromkeys([*self.own(), *self._plugins(), *self._registered]))

    def get(self, name: str) -> Member:
        """Return the member of that name.

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
        """All members by public name; plugins that cannot be used are left out with a warning."""
        members = dict(self.own())
        for name in self._plugins():
            try:
                members[name] = self._load(name)
            except PluginError as error:
                warnings.warn(f"left out: {error}", stacklevel=2)
        return {**members, **self._registered}

    def _plugins(self) -> EntryPoints:
        """Entry points by name, less those whose name is taken: a result must mean one thing."""
        if self._entries is None:
            self._entries = {}
            entries = importlib.metadata.entry_points(group=self.group)
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.name in self.own() or entry.name in self._entries:
                    warnings.warn(
                        f"left out: the {self.kind} '{entry.name}' of {_origin(entry)}; another "
                        f"{self.kind} has that name",
                        stacklevel=3,
                    )
                else:
                    self._entries[entry.name] = entry
        return self._entries

    def _load(self, name: str) -> Member:
        if name not in self._loaded:
            entry = self._plugins()[name]
            try:
                member = entry.load()
            # Other people's code may fail in any way.
            except Exception as error:
                reason = f"{type(error).__name__}: {error}"
                raise PluginError(self.kind, name, _origin(entry), reason) from error
            if not self.fits(member):
                reason = f"'{entry.value}' is {type(member).__name__}, not {self.wanted}"
                raise PluginError(self.kind, name, _origin(entry), reason)
            self._loaded[name] = member
        return self._loaded[name]


def _origin(entry: importlib.metadata.EntryPoint) -> str:
    """The distribution that an entry point is of, with its version."""
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value
