"""The pages that nobody writes: made from the source, from ``results/`` and from pictures."""

from pathlib import Path

from . import api, colours, commands, conversations, gallery, measured, notebooks

MAKERS = {
    "static/colours.css": colours.css,
    "commands.md": commands.page,
    "contributing.md": measured.contributing,
    **api.pages(),
    **measured.pages(),
    **conversations.pages(),
    **gallery.pages(),
    **notebooks.pages(),
}


def write(folder: Path) -> None:
    """Write every generated page; one that would not change is left alone, and Sphinx with it."""
    for name, maker in MAKERS.items():
        made = maker()
        content = made if isinstance(made, bytes) else made.encode()
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_bytes() != content:
            path.write_bytes(content)
    for path in folder.rglob("*"):
        if path.is_file() and str(path.relative_to(folder)) not in MAKERS:
            path.unlink()
