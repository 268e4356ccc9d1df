"""Finds the members of a family (corpora, features, models) from its folder.

A member module of ``emoscope.corpora``, ``emoscope.features`` or ``emoscope.models`` declares what it
offers in one module constant, ``MEMBERS``: a mapping from public name to member. Nothing else has to
be edited to add one. Packages outside emoscope add members through the entry-point groups
``emoscope.corpora``, ``emoscope.features`` and ``emoscope.models`` (the entry point's name is the
public name, its object the member), and a session through :meth:`Registry.register`.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import pkgutil
from typing import Generic, TypeVar

from .errors import UnknownNameError

Member = TypeVar("Member")


class Registry(Generic[Member]):
    """The members of one family, found when first asked for.

    Parameters
    ----------
    kind : str
        What a member is called in messages, e.g. ``"model"``.
    package : str
        The package whose modules are searched, e.g. ``"emoscope.models"``; also the entry-point group.
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind, self.package = kind, package
        self._registered: dict[str, Member] = {}
        self._found: dict[str, Member] | None = None

    def register(self, name: str, member: Member) -> None:
        """Add a member for the life of this process; a member of the same name is replaced."""
        self._registered[name] = member

    def members(self) -> dict[str, Member]:
        """All members by public name, in alphabetical order of their modules."""
        if self._found is None:
            found: dict[str, Member] = {}
            package = importlib.import_module(self.package)
            for module in sorted(m.name for m in pkgutil.iter_modules(package.__path__)):
                imported = importlib.import_module(f"{self.package}.{module}")
                found.update(getattr(imported, "MEMBERS", {}))
            for entry in importlib.metadata.entry_points(group=self.package):
                found[entry.name] = entry.load()
            self._found = found
        return {**self._found, **self._registered}

    def names(self) -> list[str]:
        """The public names, in the order of :meth:`members`."""
        return list(self.members())

    def get(self, name: str) -> Member:
        """The member of that name.

        Raises
        ------
        UnknownNameError
            When there is none; the message lists the valid names.
        """
        members = self.members()
        if name not in members:
            raise UnknownNameError(self.kind, name, members)
        return members[name]
