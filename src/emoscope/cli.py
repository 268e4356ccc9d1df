"""The command line: one function per command, each thin over the Python API.

Exit status: 0 everything done; 1 some inputs failed, each named on standard error, all others
delivered; 2 usage. Heavy modules are imported inside the commands that need them, so that
``emoscope predict`` starts at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from . import __version__
from .errors import EmoscopeError

app = typer.Typer(
    help="Speech emotion recognition that is honest by default.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Source = Annotated[
    Optional[str],
    typer.Argument(
        help="Corpus folder or manifest (file,emotion,speaker). Nothing: the embedded RAVDESS "
        "features.",
        show_default=False,
    ),
]
Names = Annotated[str, typer.Option(help="Comma-separated list.")]
FeatureNames = Annotated[
    Optional[str], typer.Option("--features", help="Comma-separated, e.g. mfcc,chroma,mel.")
]
Emotions = Annotated[
    Optional[str], typer.Option("--emotions", help="Keep only these, comma-separated.")
]
Out = Annotated[Path, typer.Option("--out", help="Folder for what the command writes.")]
Seed = Annotated[int, typer.Option("--seed", help="Decides everything random.")]
Jobs = Annotated[
    Optional[int], typer.Option("--jobs", min=1, help="Processes; by default all cores.")
]
Cluster = Annotated[
    Optional[str], typer.Option("--cluster", help="Address of a Dask scheduler to run on.")
]

#: Models quick enough to be run on every subset of the features by the way.
ABLATION_MODELS = ("svm", "svm-rbf", "tree")


def main() -> None:
    """Run the command line; errors of our own kind end it with one line, not a traceback."""
    try:
        app()
    except EmoscopeError as error:
        from . import terminal

        terminal.err.print("[bold red]error:[/]", end=" ")
        terminal.err.print(str(error), markup=False, soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(f"emoscope {__version__}")
        raise typer.Exit


@app.command()
def compare(
    source: Source = None,
    *,
    models: Annotated[
        Optional[str], typer.Option(help="Comma-separated; by default every model.")
    ] = None,
    features: FeatureNames = None,
    protocol: Annotated[
        str, typer.Option(help="How clips are divided into training and test.")
    ] = "speaker-6fold",
    emotions: Emotions = None,
    as_published: Annotated[
        bool, typer.Option("--as-published", help="The published form of each model.")
    ] = False,
    quick: Annotated[bool, typer.Option("--quick", help="A fifth of the epochs.")] = False,
    leak_gap: Annotated[
        bool, typer.Option(help="Also run on random folds, to show what a leak would claim.")
    ] = True,
    seed: Seed = 0,
    jobs: Jobs = None,
    cluster: Cluster = None,
    out: Out = Path("emoscope-out"),
) -> None:
    """Compare models on unseen speakers: train, test, leak gap, report.

    Examples: emoscope compare · emoscope compare path/to/ravdess --models svm,forest ·
    emoscope compare manifest.csv --protocol loso
    """
    from . import dataset, experiment, models as model_registry, report, terminal
    from .features import DEFAULT
    from .journal import Journal
    from .store import Store

    chosen = _split(models) or model_registry.names()
    infos = {name: model_registry.get(name) for name in chosen}
    wanted = _split(features) or list(DEFAULT)
    if any(info.input == "frames" for info in infos.values()):
        wanted.append("logmel")
    with terminal.progress("extracting features") as tick:
        data = dataset.load(
            source, wanted, emotions=_split(emotions), store=Store.default(), jobs=jobs,
            cluster=cluster, progress=tick,
        )  # fmt: skip
    leak_protocol = "random-75/25" if leak_gap and not protocol.startswith("random-") else None
    ablation = [name for name in ABLATION_MODELS if name in chosen]
    with terminal.Leaderboard(protocol, leak_protocol) as board:
        result = experiment.compare(
            data.corpus, data.features, models=chosen, protocol=protocol,
            leak_protocol=leak_protocol, ablation=ablation, as_published=as_published, quick=quick, seed=seed,
            jobs=jobs, cluster=cluster, journal=Journal(out / "finished"),
            on_run=board.on_run, on_unit=board.on_unit,
        )  # fmt: skip
    result.config["command"] = " ".join(["emoscope", *sys.argv[1:]])
    result.save(out)
    report.write(result, out / "report.html")
    terminal.out.print(board.table())
    terminal.out.print(f"report: {out / 'report.html'}", soft_wrap=True)
    _end(data.corpus.rejected)


def _split(names: str | None) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()] if names else []


def _end(rejected: list) -> None:
    """Name what was left out; exit status 1 when anything was."""
    from . import terminal

    terminal.say_rejected(rejected)
    if rejected:
        raise typer.Exit(1)


if __name__ == "__main__":
    main()
