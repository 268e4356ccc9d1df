"""The commands that list, fetch and convert corpora, and write features."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import EmoscopeError
from ..files import refuse_overwrite
from .commands import DATA, Cluster, Emotions, FeatureNames, Jobs, command, end, split

TABLES = (".parquet", ".csv", ".arff")


@command(examples=("emoscope corpora",), panel=DATA)
def corpora() -> None:
    """List the corpora that can be loaded by name, and what each is."""
    from rich.table import Table

    from ..corpora import registry
    from . import terminal

    table = Table("name", "corpus", "licence", "emoscope get", box=None, pad_edge=False)
    for name, info in registry.members().items():
        table.add_row(name, info.title, info.licence, "yes" if info.downloads else "no, see below")
    terminal.out.print(table)
    for name, info in registry.members().items():
        if not info.downloads:  # addresses are to be copied: never cut, never folded
            terminal.out.print(f"{name}: {info.obtain}", soft_wrap=True)


@command(
    examples=("emoscope get ravdess --part speech", "emoscope get emodb --to corpora/emodb"),
    panel=DATA,
)
def get(
    name: Annotated[str, typer.Argument(help="A corpus from: emoscope corpora.")],
    *,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="DIR", help="Folder; by default the corpus's name."),
    ] = None,
    part: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this part, e.g. speech; repeatable."),
    ] = None,
    mirror: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Address of a folder with copies of the files."),
    ] = None,
) -> None:
    """Download a corpus: resumes, checks and unpacks."""
    from ..corpora import download
    from ..corpora import get as info_of
    from . import terminal

    info = info_of(name)
    terminal.status.print(f"{info.title}. Licence: {info.licence}", soft_wrap=True)
    with terminal.transfers() as report:
        folder = download.download(
            info, to or Path(name), parts=part, mirror=mirror, progress=report
        )
    terminal.out.print(f"{folder}: ready for: emoscope compare {folder}", soft_wrap=True)


@command(
    examples=(
        "emoscope extract path/to/ravdess --out features.parquet",
        "emoscope extract manifest.csv --features mfcc,chroma,mel --out features.arff",
    ),
    panel=DATA,
)
def extract(
    source: Annotated[str, typer.Argument(help="Corpus folder or manifest.")],
    *,
    features: FeatureNames = None,
    emotions: Emotions = None,
    jobs: Jobs = None,
    cluster: Cluster = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="A .parquet, .csv or .arff file.")
    ],
) -> None:
    """Write the features of a corpus as a table, with what the corpus says of each clip."""
    from .. import dataset
    from ..dataset.store import Store
    from ..features import DEFAULT
    from . import terminal

    if out.suffix not in TABLES:
        raise EmoscopeError(f"--out {out}: the file must end in {' or '.join(TABLES)}")
    refuse_overwrite(out, source)
    with terminal.progress("extracting features") as tick:
        data = dataset.load(
            source, split(features) or DEFAULT, emotions=split(emotions),
            store=Store.default(), jobs=jobs, cluster=cluster, progress=tick,
        )  # fmt: skip
    for old, new in dataset.write(data, out).items():
        terminal.status.print(
            f"column '{old}' of the corpus has the name of a feature's; it is '{new}' in the file",
            markup=False, soft_wrap=True,
        )  # fmt: skip
    terminal.out.print(f"{out}: {len(data.corpus.table)} clips", soft_wrap=True)
    end(data.corpus.rejected)


@command(
    examples=(
        "emoscope convert path/to/ravdess --out ravdess.csv",
        "emoscope convert my-recordings --out database --format audformat",
        "emoscope convert manifest.csv --out folder --format huggingface",
    ),
    panel=DATA,
)
def convert(
    source: Annotated[str, typer.Argument(help="Corpus folder or manifest.")],
    *,
    emotions: Emotions = None,
    format: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="audformat, huggingface, csv, parquet or jsonl; by default told by the ending.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="PATH", help="A file, or a folder.")],
) -> None:
    """Write a corpus as a manifest, an audformat database or a Hugging Face audio folder.

    Recordings outside such a folder are linked or copied into it.
    """
    from .. import corpus
    from ..corpus import writing
    from . import terminal

    refuse_overwrite(out, source)
    loaded = corpus.load(source)
    if emotions:
        loaded = loaded.select(emotions=split(emotions))
    written = writing.write(loaded, out, format=format)
    terminal.out.print(f"{out}: {len(written)} clips", soft_wrap=True)
    end(written.rejected)
