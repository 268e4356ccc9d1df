"""The command line: one function per command, each thin over the Python API.

Exit status: 0 everything done; 1 some inputs failed, each named on standard error, all others
delivered; 2 usage. Heavy modules are imported inside the commands that need them, so that
``emoscope predict`` starts at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import __version__
from ..errors import AudioError, EmoscopeError, UnknownNameError

app = typer.Typer(
    help="Speech emotion recognition that is honest by default.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Source = Annotated[
    str | None,
    typer.Argument(
        help="Corpus folder or manifest (file,emotion,speaker). Nothing: the embedded RAVDESS "
        "features.",
        show_default=False,
    ),
]
Names = Annotated[str, typer.Option(help="Comma-separated list.")]
FeatureNames = Annotated[
    str | None, typer.Option("--features", help="Comma-separated, e.g. mfcc,chroma,mel.")
]
Emotions = Annotated[
    str | None, typer.Option("--emotions", help="Keep only these, comma-separated.")
]
Out = Annotated[Path, typer.Option("--out", help="Folder for what the command writes.")]
Seed = Annotated[int, typer.Option("--seed", help="Decides everything random.")]
Jobs = Annotated[int | None, typer.Option("--jobs", min=1, help="Processes; by default all cores.")]
Cluster = Annotated[
    str | None, typer.Option("--cluster", help="Address of a Dask scheduler to run on.")
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
        str | None, typer.Option(help="Comma-separated; by default every model.")
    ] = None,
    features: FeatureNames = None,
    protocol: Annotated[
        str, typer.Option(help="How clips are divided into training and test.")
    ] = "speaker-6fold",
    emotions: Emotions = None,
    as_published: Annotated[
        bool, typer.Option("--as-published", help="The published form of each model.")
    ] = False,
    quick: Annotated[bool, typer.Option("--quick", help="A tenth of the epochs.")] = False,
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
    from .. import dataset, experiment, maps, report
    from .. import models as model_registry
    from ..features import DEFAULT
    from ..journal import Journal
    from ..store import Store
    from . import terminal

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
    if "vector" in data.features:
        result.map = maps.of_clips(data.features["vector"], seed=seed)
    result.config["command"] = " ".join(["emoscope", *sys.argv[1:]])
    result.save(out)
    clips = _recordings(data.corpus) if source is not None else None
    report.write(result, out / "report.html", clips=clips)
    terminal.out.print(board.table())
    terminal.out.print(f"report: {out / 'report.html'}", soft_wrap=True)
    _end(data.corpus.rejected)


@app.command()
def reproduce(
    source: Source = None,
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="Few epochs and few seeds; the output says so.")
    ] = False,
    rows: Annotated[
        list[str] | None, typer.Option(help="Only results whose name contains this; repeatable.")
    ] = None,
    seed: Seed = 0,
    jobs: Jobs = None,
    cluster: Cluster = None,
    out: Out = Path("emoscope-out"),
) -> None:
    """Reproduce every published result as published, and measure it on unheard speakers.

    The full run takes hours; stop it whenever you like, the same command goes on where it was.

    Examples: emoscope reproduce --quick · emoscope reproduce path/to/ravdess --out reproduction
    """
    from .. import reproduction
    from . import terminal

    with terminal.progress("training and testing") as tick:
        made = reproduction.reproduce(
            source, out=out, quick=quick, rows=rows, jobs=jobs, cluster=cluster, seed=seed,
            progress=tick,
        )  # fmt: skip
    made.save(out)
    terminal.say_reproduction(made.rows, made.verdicts, made.about)
    terminal.out.print(f"report: {out / 'reproduction.html'}", soft_wrap=True)
    _end(made.rejected)


@app.command()
def audit(
    source: Annotated[
        str,
        typer.Argument(
            help="Manifest with a split column, EmoBox-style folder, saved result, or, with a "
            "second file, the list of training files."
        ),
    ],
    test: Annotated[
        str | None, typer.Argument(help="The list of test files.", show_default=False)
    ] = None,
    *,
    audio: Annotated[
        str | None, typer.Option(help="Folder in which to look for the recordings.")
    ] = None,
    inflation: Annotated[bool, typer.Option(help="Also measure what a leak flatters by.")] = True,
    seed: Seed = 0,
    jobs: Jobs = None,
    cluster: Cluster = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="A .json file for the findings.")
    ] = None,
) -> None:
    """Look for leaks in a split; exit status 1 when there is one.

    Examples: emoscope audit manifest.csv · emoscope audit train.txt test.txt ·
    emoscope audit emoscope-out
    """
    from .. import audit as audits
    from . import terminal

    with terminal.progress("comparing recordings") as tick:
        found = audits.audit(
            source, test, audio=audio, inflation=inflation, seed=seed, jobs=jobs, cluster=cluster,
            progress=tick,
        )  # fmt: skip
    terminal.say_findings(found.verdict, found.findings)
    if out is not None:
        found.save(out)
    terminal.say_rejected(found.rejected)
    if found.leaks or found.rejected:
        raise typer.Exit(1)


@app.command()
def train(
    model: Annotated[str, typer.Argument(help="A model's name.")],
    source: Source = None,
    *,
    features: FeatureNames = None,
    emotions: Emotions = None,
    seed: Seed = 0,
    jobs: Jobs = None,
    cluster: Cluster = None,
    out: Annotated[Path, typer.Option("--out", help="The .emoscope file to write.")],
) -> None:
    """Fit one model on a whole corpus and save it, calibrated on speakers held out in turn.

    Example: emoscope train svm path/to/ravdess --out mine.emoscope
    """
    from .. import dataset, training
    from .. import models as model_registry
    from ..features import DEFAULT
    from ..store import Store
    from . import terminal

    info = model_registry.get(model)
    names = _split(features) or (list(DEFAULT) if info.input == "vector" else ["logmel"])
    with terminal.progress("extracting features") as tick:
        data = dataset.load(
            source, names, emotions=_split(emotions), store=Store.default(), jobs=jobs,
            cluster=cluster, progress=tick,
        )  # fmt: skip
    with terminal.err.status("training"):
        card = training.train(
            model, data.corpus, data.features[info.input], names=names, out=out, seed=seed
        )
    size = out.stat().st_size / 1e6
    terminal.out.print(f"{out}: {card.name}, {size:.1f} MB", soft_wrap=True)
    _end(data.corpus.rejected)


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="A .emoscope file.")],
    source: Annotated[str, typer.Argument(help="Corpus folder or manifest.")],
    *,
    adapt: Annotated[
        str | None, typer.Option(help="speaker or corpus: standardise on its own clips.")
    ] = None,
    emotions: Emotions = None,
    jobs: Jobs = None,
    out: Out = Path("emoscope-out"),
) -> None:
    """Score a saved model on any labelled source.

    Example: emoscope evaluate mine.emoscope path/to/emodb
    """
    from .. import corpus, model_file, report
    from ..training import evaluation
    from . import terminal

    loaded = corpus.load(source)
    if emotions:
        loaded = loaded.select(emotions=_split(emotions))
    result = evaluation.evaluate(model_file.load(model), loaded, adapt=adapt, jobs=jobs)
    result.config["command"] = " ".join(["emoscope", *sys.argv[1:]])
    result.save(out)
    report.write(result, out / "report.html", clips=_recordings(loaded))
    terminal.say_scores(result.leaderboard(), result.config["notes"])
    terminal.out.print(f"report: {out / 'report.html'}", soft_wrap=True)
    _end([AudioError(bad["file"], bad["reason"]) for bad in result.corpus["rejected"]])


@app.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def predict(context: typer.Context) -> None:
    """Recognise the emotion of recordings: label, confidence, probabilities, timeline."""
    from . import predict as predict_command

    raise typer.Exit(predict_command.main(context.args))


@app.command()
def listen(
    *,
    model: Annotated[
        str | None, typer.Option(help="A .emoscope file; by default the shipped model.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="Part of the microphone's name.")] = None,
    save: Annotated[Path | None, typer.Option(help="Keep what is heard, as .wav or .flac.")] = None,
) -> None:
    """Recognise emotion live, through the microphone, until Ctrl+C is pressed."""
    from ..recognition import Predictor, microphone, output
    from . import live

    with microphone.Microphone(device) as source:
        session = microphone.Session(Predictor(model), source.rate, save=save)
        live.show(session.updates(source), session)
    typer.echo(output.table_lines(session.finish(), timeline=True), nl=False)


@app.command()
def serve(
    *,
    model: Annotated[
        list[str] | None, typer.Option(help="A .emoscope file; repeatable, the first is default.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to bind to.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8765,
    name: Annotated[
        list[str] | None, typer.Option(help="A host name it may be addressed by; repeatable.")
    ] = None,
) -> None:
    """Serve the browser page and the HTTP API, on this machine unless told otherwise."""
    from .. import server
    from ..recognition import Predictor
    from . import terminal

    models = {Path(path).stem: Predictor(path) for path in model or []}
    terminal.err.print(f"emoscope is at http://{host}:{port} (stop with Ctrl+C)")
    server.run(models or None, host=host, port=port, hosts=name or ())


@app.command()
def extract(
    source: Annotated[str, typer.Argument(help="Corpus folder or manifest.")],
    *,
    features: FeatureNames = None,
    emotions: Emotions = None,
    jobs: Jobs = None,
    cluster: Cluster = None,
    out: Annotated[Path, typer.Option("--out", help="A .parquet or .csv file.")],
) -> None:
    """Write the features of a corpus as a table, with what the corpus says of each clip.

    Example: emoscope extract path/to/ravdess --features mfcc,chroma,mel --out features.parquet
    """
    from .. import dataset
    from ..features import DEFAULT
    from ..store import Store
    from . import terminal

    if out.suffix not in (".parquet", ".csv"):
        raise EmoscopeError(f"--out {out}: the file must end in .parquet or .csv")
    with terminal.progress("extracting features") as tick:
        data = dataset.load(
            source, _split(features) or DEFAULT, emotions=_split(emotions),
            store=Store.default(), jobs=jobs, cluster=cluster, progress=tick,
        )  # fmt: skip
    dataset.write(data, out)
    terminal.out.print(f"{out}: {len(data.corpus.table)} clips", soft_wrap=True)
    _end(data.corpus.rejected)


@app.command()
def show(
    files: Annotated[list[str], typer.Argument(help="Recordings, drawn side by side.")],
    *,
    out: Annotated[
        Path | None, typer.Option("--out", help="A .png, .svg or .pdf; without it, a window.")
    ] = None,
    dark: Annotated[bool, typer.Option("--dark", help="For dark paper.")] = False,
) -> None:
    """Draw recordings: waveform, spectrograms, log-mel, pitch and energy.

    Example: emoscope show happy.wav sad.wav --out clips.png
    """
    from .. import plots
    from ..audio import media
    from . import terminal

    signals, refused = [], []
    for file in files:
        try:
            signals.append(media.load(file))
        except AudioError as error:
            refused.append(error)
    if signals:
        figure = plots.show(signals, dark=dark)
        if out is None:
            plots.display(figure)
        else:
            _save_figure(figure, out)
            terminal.out.print(str(out), markup=False, soft_wrap=True)
    _end(refused)


@app.command()
def corpora() -> None:
    """List the corpora that can be loaded by name, and what each is."""
    from rich.table import Table

    from ..corpora import get as info_of
    from ..corpora import names
    from . import terminal

    table = Table("name", "corpus", "licence", "emoscope get", box=None, pad_edge=False)
    for name in names():
        info = info_of(name)
        table.add_row(name, info.title, info.licence, "yes" if info.downloads else info.obtain)
    terminal.out.print(table)


@app.command()
def get(
    name: Annotated[str, typer.Argument(help="A corpus from: emoscope corpora.")],
    *,
    to: Annotated[
        Path | None, typer.Option("--to", help="Folder; by default the corpus's name.")
    ] = None,
    part: Annotated[
        list[str] | None, typer.Option(help="Only this part, e.g. speech; repeatable.")
    ] = None,
    mirror: Annotated[
        str | None, typer.Option(help="Address of a folder with copies of the files.")
    ] = None,
) -> None:
    """Download a corpus: resumes, checks and unpacks.

    Example: emoscope get ravdess --part speech
    """
    from ..corpora import download
    from ..corpora import get as info_of
    from . import terminal

    info = info_of(name)
    terminal.err.print(f"{info.title}. Licence: {info.licence}", soft_wrap=True)
    with download.console_progress() as report:
        folder = download.download(
            info, to or Path(name), parts=part, mirror=mirror, progress=report
        )
    terminal.out.print(f"{folder}: ready for: emoscope compare {folder}", soft_wrap=True)


store_app = typer.Typer(help="Look after the extracted features on disk.", no_args_is_help=True)
app.add_typer(store_app, name="store")


@store_app.command("info")
def store_info() -> None:
    """Say where the store is, how large, and what it holds."""
    from ..store import Store
    from . import terminal

    info = Store.default().info()
    terminal.out.print(
        f"{info.folder}: {info.bytes / 1e6:.1f} MB of at most {info.limit / 1e9:.0f} GB",
        soft_wrap=True,
    )
    for shelf in info.shelves:
        terminal.out.print(
            f"  {shelf.spec['name']:<10} {shelf.clips} clips, {shelf.bytes / 1e6:.1f} MB"
        )


@store_app.command("verify")
def store_verify(
    remove: Annotated[bool, typer.Option("--remove", help="Remove what is damaged.")] = False,
) -> None:
    """Read everything and compare it with its checksums; exit status 1 when something is damaged."""
    from ..store import Store
    from . import terminal

    damaged = Store.default().verify(remove=remove)
    for path, reason in damaged:
        terminal.err.print(f"{path}: {reason}", markup=False, soft_wrap=True)
    terminal.out.print(f"{len(damaged)} damaged" if damaged else "everything is whole")
    if damaged:
        raise typer.Exit(1)


@store_app.command("clear")
def store_clear(
    features: Annotated[
        str | None, typer.Option("--features", help="Only these, comma-separated.")
    ] = None,
) -> None:
    """Remove extracted features; they are computed again when needed."""
    from ..store import Store
    from . import terminal

    freed = Store.default().clear(_split(features) or None)
    terminal.out.print(f"{freed / 1e6:.1f} MB removed")


def _split(names: str | None) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()] if names else []


def _save_figure(figure: Any, path: Path) -> None:
    known = figure.canvas.get_supported_filetypes()
    if path.suffix.lstrip(".") not in known:
        raise UnknownNameError("picture format", path.suffix.lstrip("."), known)
    try:
        figure.savefig(path)
    except OSError as error:
        raise EmoscopeError(f"{path}: cannot be written: {error.strerror}") from error


def _recordings(corpus: Any) -> dict[str, str]:
    return dict(zip(corpus.table["clip"], corpus.table["path"], strict=True))


def _end(rejected: list[AudioError]) -> None:
    """Name what was left out; exit status 1 when anything was."""
    from . import terminal

    terminal.say_rejected(rejected)
    if rejected:
        raise typer.Exit(1)


if __name__ == "__main__":
    main()
