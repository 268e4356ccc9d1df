"""The commands that look after the extracted features on disk."""

from __future__ import annotations

from typing import Annotated

import typer

from ..errors import UnknownNameError
from .commands import DATA, app, command, split

store_app = typer.Typer(help="Look after the extracted features on disk.", no_args_is_help=True)
app.add_typer(store_app, name="store", rich_help_panel=DATA)


@command(examples=("emoscope store info",), panel="Commands", of=store_app)
def info() -> None:
    """Say where the store is, how large, and what it holds."""
    from ..dataset.store import Store
    from . import terminal

    found = Store.default().info()
    terminal.out.print(
        f"{found.folder}: {found.bytes / 1e6:.1f} MB of at most {found.limit / 1e9:.0f} GB",
        soft_wrap=True,
    )
    for shelf in found.shelves:
        terminal.out.print(
            f"  {shelf.spec['name']:<10} {shelf.clips} clips, {shelf.bytes / 1e6:.1f} MB"
        )


@command(
    examples=("emoscope store verify", "emoscope store verify --remove"),
    panel="Commands",
    of=store_app,
)
def verify(
    remove: Annotated[bool, typer.Option("--remove", help="Remove what is damaged.")] = False,
) -> None:
    """Read everything and compare it with its checksums; exit status 1 when something is damaged."""
    from ..dataset.store import Store
    from . import terminal

    damaged = Store.default().verify(remove=remove)
    for path, reason in damaged:
        terminal.err.print(f"{path}: {reason}", markup=False, soft_wrap=True)
    terminal.out.print(f"{len(damaged)} damaged" if damaged else "everything is whole")
    if damaged:
        raise typer.Exit(1)


@command(
    examples=("emoscope store clear", "emoscope store clear --features mfcc,chroma"),
    panel="Commands",
    of=store_app,
)
def clear(
    features: Annotated[
        str | None, typer.Option("--features", metavar="NAMES", help="Only these, comma-separated.")
    ] = None,
) -> None:
    """Remove extracted features; they are computed again when needed."""
    from ..dataset.store import Store
    from ..features import names as registered
    from . import terminal

    store, names = Store.default(), split(features) or None
    if names:
        valid = {*registered(), *(str(shelf.spec["name"]) for shelf in store.info().shelves)}
        for name in names:
            if name not in valid:
                raise UnknownNameError("feature", name, sorted(valid))
    freed = store.clear(names)
    terminal.out.print(f"{freed / 1e6:.1f} MB removed")
