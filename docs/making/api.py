"""The reference of every public name, from the docstrings: one page per module or package."""

import functools
import pkgutil
from collections.abc import Callable

import emoscope

#: Pages in the order of the table of contents, with the modules that each is about.
SUBJECTS = {
    "sound": ("audio",),
    "corpora": ("corpus", "corpora", "labels"),
    "features": (
        "features",
        "dataset",
    ),  # fmt: skip
    "models": ("models",),
    "comparing": (
        "protocols",
        "evaluation",
    ),  # fmt: skip
    "reporting": ("report", "audit", "reproduction"),
    "recognising": ("prediction", "modelfile", "training", "server"),
    "around": ("compute", "config", "registry", "files", "errors"),
}
TITLES = {
    "sound": "Sound",
    "corpora": "Corpora",
    "features": "Features",
    "models": "Models",
    "comparing": "Comparing",
    "reporting": "Reports and pictures",
    "recognising": "Recognising and training",
    "around": "Around them",
}
#: The command line has a page of its own.
ELSEWHERE = {"cli", "__main__"}


def modules() -> list[str]:
    """Every public module of the package, by its dotted name."""
    found = pkgutil.walk_packages(emoscope.__path__, "emoscope.")
    return [m.name for m in found if not any(p.startswith("_") for p in m.name.split("."))]


def subject(module: str) -> str | None:
    """The page that a module stands on; None for those that have none."""
    first = module.split(".")[1]
    if first in ELSEWHERE:
        return None
    return next((page for page, names in SUBJECTS.items() if first in names), "around")


def pages() -> dict[str, Callable[[], str]]:
    """One maker per page, and the page that lists them."""
    made = {f"api/{page}.md": functools.partial(_page, page) for page in SUBJECTS}
    return {"api/index.md": _index, **made}


def _index() -> str:
    names = "\n".join(f"| {{py:obj}}`{n} <{_target(n)}>` | {_summary(n)} |" for n in _public())
    entries = "\n".join(SUBJECTS)
    return f"""# Python

`import emoscope` gives these names; each is imported when it is first used.

| name | what it is |
|---|---|
{names}

Everything else lives in modules by subject, and can be imported from there.

```{{toctree}}
:maxdepth: 1

{entries}
```
"""


def _page(page: str) -> str:
    order = SUBJECTS[page]
    mine = [name for name in modules() if subject(name) == page]
    mine.sort(key=lambda n: order.index(n.split(".")[1]) if n.split(".")[1] in order else 99)
    blocks = [
        f"## {name}\n\n```{{eval-rst}}\n.. automodule:: {name}\n   :members:\n"
        "   :ignore-module-all:\n   :show-inheritance:\n```\n"
        for name in mine
    ]
    return f"# {TITLES[page]}\n\n" + "\n".join(blocks)


def _public() -> list[str]:
    return [name for name in emoscope.__all__ if name != "__version__"]


def _target(name: str) -> str:
    member = getattr(emoscope, name)
    return f"{member.__module__}.{member.__qualname__}"


def _summary(name: str) -> str:
    return (getattr(emoscope, name).__doc__ or "").strip().splitlines()[0]
