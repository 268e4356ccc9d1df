"""The commands that list, fetch and convert corpora, write features, look after the store, and draw."""

import io
import sys
from pathlib import Path
from typing import Any

from ..errors import AudioError, EmoscopeError, check_known, installed
from ..files import refuse_overwrite, sentence, write_atomically, write_together
from . import commands, keeping, terminal
from .commands import DATA, RECOGNISING, STORE, command


@command(DATA)
def corpora() -> None:
    """List the corpora that emoscope can read, their licences and where to get them."""
    from rich.table import Table

    from ..corpora import registry

    table = Table("name", "corpus", "licence", "emoscope get", box=None, pad_edge=False)
    for name, info in registry.members().items():
        table.add_row(name, info.title, info.licence, "yes" if info.downloads else "no, see below")
    terminal.out.print(table)
    for name, info in registry.members().items():
        if not info.downloads:  # addresses are to be copied: never cut, never folded
            terminal.say(f"{name}: {info.obtain or info.homepage}")


@command(DATA)
def get(
    name: str, *, to: Path | None = None, part: list[str] | None = None, mirror: str | None = None
) -> None:
    """Download a corpus, verify its checksums and unpack it. Resumes broken downloads."""
    from ..corpora import download
    from ..corpora import get as info_of

    info = info_of(name)
    terminal.note(f"{info.title}. Licence: {info.licence}")
    with terminal.transfers() as report:
        to = download.download(info, to or Path(name), parts=part, mirror=mirror, progress=report)
    terminal.say(f"saved in {to}; next: emoscope compare {to}")


@command(DATA, configurable=True)
def extract(
    source: commands.Source, *, features: str | None = None, jobs: int | None = None,
    cluster: str | None = None, out: Path,
) -> None:  # fmt: skip
    """Write the features of a corpus as a table, with the metadata of each clip.

    The options are saved next to it in a .toml file.
    """
    from .. import dataset

    if out.suffix not in (".parquet", ".csv"):
        raise EmoscopeError(f"--out {out}: the file name must end in .parquet or .csv")
    if out.suffix == ".parquet":
        installed("pyarrow", "a Parquet file", "parquet")  # before the work, not after it
    refuse_overwrite(out, *source.places)
    beside = keeping.beside(out, Path(f"{out}.toml"))
    names = commands.features_for("vector", features)
    data = source.dataset(names, jobs=jobs, cluster=cluster)
    for old, new in dataset.write(data, out).items():
        terminal.note(sentence("renamed", old=old, new=new))
    write_together(keeping.options_of(beside, features=names))
    terminal.say(f"{out}: {len(data.corpus.table)} clips")
    commands.end(data.corpus.rejected)


@command(DATA)
def convert(source: commands.Source, *, format: str | None = None, out: Path) -> None:
    """Write a corpus as a manifest, an audformat database or a Hugging Face audio folder.

    Recordings that lie outside such a folder are linked or copied into it.
    """
    from ..corpus import writing

    refuse_overwrite(out, *source.places)
    keeping.keep(out)
    written = writing.write(source.corpus(), out, format=format)
    terminal.say(f"{out}: {len(written)} clips")
    commands.end(written.rejected)


@command(STORE)
def info() -> None:
    """Show where the feature store is, its size and its contents."""
    from ..dataset.store import Store

    store = Store()
    held, most = f"{store.bytes_on_disk() / 1e6:.1f} MB", f"{store.limit / 1e9:.0f} GB"
    terminal.out.print(f"{store.folder}: {held} of at most {most}", soft_wrap=True)
    for name, clips, size in store.features():
        terminal.out.print(f"  {name:<10} {clips} clips, {size / 1e6:.1f} MB")


@command(STORE)
def verify() -> None:
    """Check every stored value against its checksum. Exit status 1 if any is damaged."""
    from ..dataset.store import Store

    store = Store()
    for reason in (damaged := store.verify()):
        terminal.complain(f"{store.path}: {reason}")
    terminal.out.print(f"{len(damaged)} damaged" if damaged else "no damage found")
    if damaged:
        sys.exit(1)


@command(STORE)
def clear(*, features: str | None = None) -> None:
    """Delete stored features. They are computed again when needed."""
    from ..dataset.store import Store
    from ..features import names as registered

    store, names = Store(), commands.split(features)
    valid = {*registered(), *(feature.name for feature in store.features())} if names else set()
    check_known("feature", sorted(valid), *names)
    freed = store.clear(names or None)
    terminal.out.print(f"{freed / 1e6:.1f} MB removed")


@command(RECOGNISING)
def show(
    files: list[str], *, panels: str | None = None, out: Path | None = None, dark: bool = False
) -> None:
    """Draw the waveform, spectrograms, log-mel, pitch and energy of recordings."""
    from .. import audio
    from ..report import plots

    if out is not None:
        refuse_overwrite(out, *files)
        keeping.keep(out, record=out)
    signals, refused = [], []
    for file in files:
        try:
            signals.append(audio.load(file))
        except AudioError as error:
            refused.append(error)
    if signals:
        figure = plots.show(signals, panels=commands.split(panels) or plots.SHOWN, dark=dark)
        if out is None:
            plots.display(figure)
        else:
            save_figure(figure, out)
            terminal.say(str(out))
    commands.end(refused)


@command(RECOGNISING)
def notice(*, use: str | None = None, model: str | None = None, out: Path | None = None) -> None:
    """Print a notice for participants, and which uses the EU's AI Act prohibits."""
    from ..prediction import Predictor
    from ..report import page

    if out is not None and out.suffix.lower() not in (".md", ".html"):
        raise EmoscopeError(f"{out}: name a .md or .html file")
    html = out is not None and out.suffix.lower() == ".html"
    text = page.notice(Predictor(model).card, use, html=html)
    if out is None:
        terminal.out.print(text, end="", markup=False, soft_wrap=not terminal.out.is_terminal)
        return
    keeping.keep(out)
    write_atomically(out, text)
    terminal.say(str(out))


def save_figure(figure: Any, path: Path) -> None:
    """Write a figure in the format that the ending of the path means."""
    content, about = io.BytesIO(), {"Keywords": keeping.mark()}
    try:
        figure.savefig(content, format=path.suffix.lstrip(".") or "png", metadata=about)
        write_atomically(path, content.getvalue())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise EmoscopeError(f"{path}: cannot write the picture: {reason}") from error
