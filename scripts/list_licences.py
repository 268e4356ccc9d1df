"""Writes the licence of every package that emoscope needs, with those that these need in turn.

``python scripts/list_licences.py`` reads what is installed and writes
``results/guarantees/licences.md``; nothing is looked up anywhere.
"""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

OUT = Path(__file__).parents[1] / "results" / "guarantees" / "licences.md"
EXTRAS = ("", "deep", "serve", "listen", "video", "opensmile", "cluster")


def needed(name, extra, found):
    """Adds to `found` the packages that one needs with an extra, as far as they are installed."""
    from packaging.requirements import Requirement

    for text in metadata.requires(name) or ():
        requirement = Requirement(text)
        key = re.sub(r"[-_.]+", "-", requirement.name).lower()
        marker = requirement.marker
        if key in found or (marker and not marker.evaluate({"extra": extra})):
            continue
        try:
            found[key] = metadata.metadata(requirement.name)
        except metadata.PackageNotFoundError:
            continue
        for inner in requirement.extras or {""}:
            needed(requirement.name, inner, found)


def licence(about):
    """The licence as the package states it: an expression, a classifier, or its own words."""
    classified = [
        line.rpartition("::")[2].strip()
        for line in about.get_all("Classifier", [])
        if line.startswith("License ::") and line.rpartition("::")[2].strip() != "OSI Approved"
    ]
    own = (about.get("License") or "").strip().split("\n")[0][:60]
    return about.get("License-Expression") or "; ".join(classified) or own or "not stated"


def main():
    lines = ["# Licences of the packages emoscope needs", ""]
    lines.append("As the installed packages state them; `python scripts/list_licences.py`.")
    listed = {}
    for extra in EXTRAS:
        found = {}
        needed("emoscope", extra, found)
        new = {name: about for name, about in sorted(found.items()) if name not in listed}
        listed |= new
        lines += ["", f"## {f'Extra `{extra}`' if extra else 'Always'}", ""]
        lines += ["| package | version | licence |", "|---|---|---|"]
        lines += [
            f"| {name} | {about['Version']} | {licence(about)} |" for name, about in new.items()
        ]
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{len(listed)} packages: {OUT}")


if __name__ == "__main__":
    main()
