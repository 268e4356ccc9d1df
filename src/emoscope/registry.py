"""Finds the members of a family: corpora, features, models, panels of figures.

A module of the family's package maps public names to members in one constant, ``MEMBERS``. Other
packages add members through entry points of the groups ``emoscope.corpora``, ``emoscope.features``,
``emoscope.models`` and ``emoscope.plots`` (public name = object), imported when they are used.
"""

import functools
import importlib
import importlib.metadata
import pkgutil
import warnings
from collections.abc import Callable
from typing import Generic, TypeVar

from .errors import PluginError, check_known

Member = TypeVar("Member")
EntryPoints = dict[str, importlib.metadata.EntryPoint]


class Registry(Generic[Member]):
    """The members of one family (`kind`, e.g. ``"model"``), found in a package when first asked for.

    `fits` tells whether what an entry point gives is a member, as messages name it: `wanted`.
    """

    def __init__(
        self, kind: str, package: str, *,
        fits: Callable[[object], bool], wanted: str, group: str | None = None,
    ) -> None:  # fmt: skip
        self.kind, self.package, self.fits, self.wanted = kind, package, fits, wanted
        self.group = group or package
        self._registered: dict[str, Member] = {}

    def register(self, name: str, member: Member) -> None:
        """Add a member for the life of this process, or replace the one of that name."""
        self._registered[name] = member

    @functools.cached_property
    def own(self) -> dict[str, Member]:
        """The members that emoscope brings, in alphabetical order."""
        path = importlib.import_module(self.package).__path__
        modules = (f"{self.package}.{module.name}" for module in pkgutil.iter_modules(path))
        families = (getattr(importlib.import_module(name), "MEMBERS", {}) for name in modules)
        members = {name: member for family in families for name, member in family.items()}
        return dict(sorted(members.items()))

    def names(self) -> list[str]:
        """The public names: emoscope's own, those of other packages, those of this session."""
        return list(dict.fromkeys([*self.own, *self._plugins, *self._registered]))

    def get(self, name: str) -> Member:
        """The member of that name, or an UnknownNameError; a PluginError when it cannot be used."""
        if name in (known := {**self.own, **self._registered}):
            return known[name]
        check_known(self.kind, self.names(), name)
        return self._load(name)

    def members(self) -> dict[str, Member]:
        """All members by public name; plugins that cannot be used are left out with a warning."""
        members = dict(self.own)
        for name in self._plugins:
            try:
                members[name] = self._load(name)
            except PluginError as error:
                warnings.warn(f"left out: {error}", stacklevel=2)
        return {**members, **self._registered}

    @functools.cached_property
    def _plugins(self) -> EntryPoints:
        """Entry points by name, less those whose name is taken: a result must mean one thing."""
        found: EntryPoints = {}
        entries = importlib.metadata.entry_points(group=self.group)
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name in self.own or entry.name in found:
                what = f"the {self.kind} '{entry.name}' of {_origin(entry)}"
                warnings.warn(f"left out: {what}; another {self.kind} has that name", stacklevel=4)
            else:
                found[entry.name] = entry
        return found

    def _load(self, name: str) -> Member:
        entry = self._plugins[name]
        try:
            member: Member = entry.load()
        except Exception as error:  # other people's code may fail in any way
            reason = f"{type(error).__name__}: {error}"
            raise PluginError(self.kind, name, _origin(entry), reason) from error
        if not self.fits(member):
            reason = f"'{entry.value}' is {type(member).__name__}, not {self.wanted}"
            raise PluginError(self.kind, name, _origin(entry), reason)
        return member


def _origin(entry: importlib.metadata.EntryPoint) -> str:
    """The distribution that an entry point is of, with its version."""
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value
