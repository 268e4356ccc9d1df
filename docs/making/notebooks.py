"""The notebooks as pages; myst-nb executes them."""

import functools
from collections.abc import Callable
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "notebooks"


def pages() -> dict[str, Callable[[], bytes]]:
    """One maker per notebook."""
    return {
        f"notebooks/{path.name}": functools.partial(path.read_bytes)
        for path in sorted(FOLDER.glob("*.ipynb"))
    }
