"""What all commands share: their options, their manners, and how they are declared.

Every command has ``--quiet`` (results and errors alone), ``--verbose`` (how long each step took, and
where an error came from) and examples in its ``--help``. A command whose options decide a result
also has ``--config``: a file of options (:mod:`emoscope.config`), over which the command line wins.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import config
from ..errors import AudioError, EmoscopeError
from ..files import try_lock

Function = Callable[..., Any]

app = typer.Typer(
    help="Speech emotion recognition that is honest by default.",
    epilog="Exit status: 0 everything done; 1 some recordings were left out, each named, or a leak "
    "was found; 2 wrong usage.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

#: What this command has claimed.
_claimed = contextlib.ExitStack()

#: Headings of the commands in ``emoscope --help``.
COMPARING, RECOGNISING, DATA = "Compare and check", "Recognise and draw", "Corpora and features"


def names_of(package: str) -> Callable[[str], list[str]]:
    """Completes the last of several names separated by commas."""

    def complete(incomplete: str) -> list[str]:
        import importlib

        before, comma, last = incomplete.rpartition(",")
        names = importlib.import_module(f"emoscope.{package}").names()
        return [f"{before}{comma}{name}" for name in names if name.startswith(last)]

    return complete


Source = Annotated[
    str | None,
    typer.Argument(
        help="Corpus folder or manifest (file,emotion,speaker). Nothing: the embedded RAVDESS "
        "features.",
        show_default=False,
    ),
]
FeatureNames = Annotated[
    str | None,
    typer.Option(
        "--features",
        metavar="NAMES",
        help="Comma-separated, e.g. mfcc,chroma,mel.",
        autocompletion=names_of("features"),
    ),
]
ModelNames = Annotated[
    str | None,
    typer.Option(
        "--models",
        metavar="NAMES",
        help="Comma-separated; by default every model.",
        autocompletion=names_of("models"),
    ),
]
ModelFile = Annotated[
    str | None, typer.Option(metavar="FILE", help="A .emoscope file; by default the shipped model.")
]
Emotions = Annotated[
    str | None,
    typer.Option("--emotions", metavar="NAMES", help="Keep only these, comma-separated."),
]
Out = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Folder for what the command writes.")
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Decides everything random.")]
Jobs = Annotated[
    int | None, typer.Option("--jobs", metavar="N", min=1, help="Processes; by default all cores.")
]
Cluster = Annotated[
    str | None,
    typer.Option("--cluster", metavar="URL", help="Address of a Dask scheduler to run on."),
]


def command(
    *,
    examples: Sequence[str],
    panel: str,
    name: str | None = None,
    of: typer.Typer = app,
    configurable: bool = False,
) -> Callable[[Function], Function]:
    """Declare a command: its examples, its heading, and the options that every command has.

    Parameters
    ----------
    examples : sequence of str
        Command lines to show in its help.
    panel : str
        The heading it stands under.
    name : str, optional
        By default the function's.
    of : Typer
        The application it belongs to.
    configurable : bool
        Whether it takes ``--config``; such a function has a parameter ``context``.
    """
    added = [_QUIET, _VERBOSE, *([_CONFIG] if configurable else [])]

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function, eval_str=True)

        @functools.wraps(function)
        def run(**given: Any) -> Any:
            _set_volume(quiet=given.pop("quiet"), verbose=given.pop("verbose"))
            given.pop("config", None)
            with _claimed:
                return function(**given)

        parameters = [*signature.parameters.values(), *added]
        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        epilog = "\n\n".join(["Examples:", *examples])
        of.command(name, epilog=epilog, rich_help_panel=panel)(run)
        return function

    return decorate


def options_of(context: typer.Context, path: Path, **resolved: Any) -> dict[Path, str]:
    """The options of this run, with what the defaults stood for: what to write in which file."""
    known = {**context.params, **resolved}
    names = [parameter.name for parameter in context.command.params]
    own = {name: known[name] for name in names if name in known and name not in _MANNERS}
    return {path: config.text(str(context.info_name), own, name=path.name)}


def claim(out: Path) -> None:
    """Keep other runs from writing to a folder of results until this command ends.

    Raises
    ------
    EmoscopeError
        When another run is writing to it.
    """
    out.mkdir(parents=True, exist_ok=True)
    try:
        folder = os.open(out, os.O_RDONLY)
    except PermissionError:  # Windows opens no folders
        return
    _claimed.callback(os.close, folder)
    if not try_lock(folder):
        raise EmoscopeError(f"--out {out}: another run is writing to it")


def split(names: str | None) -> list[str]:
    """The names in a comma-separated list."""
    return [name.strip() for name in names.split(",") if name.strip()] if names else []


def recordings(corpus: Any) -> dict[str, str]:
    """Path of each clip, for the players of a report."""
    return dict(zip(corpus.table["clip"], corpus.table["path"], strict=True))


def end(rejected: Iterable[AudioError]) -> None:
    """Name what was left out; exit status 1 when anything was."""
    from . import terminal

    left_out = list(rejected)
    terminal.say_rejected(left_out)
    if left_out:
        raise typer.Exit(1)


def words() -> str:
    """The command line as it was typed, for the record."""
    return " ".join(["emoscope", *sys.argv[1:]])


def _take_config(context: typer.Context, path: Path | None) -> Path | None:
    """Make what a file says the defaults of this run."""
    if path is not None:
        parameters = {p.name: p for p in context.command.params if p.name}
        valid = [name for name in parameters if name not in (*_MANNERS, "help")]
        options = config.load(path, str(context.info_name), valid)
        context.default_map = {
            key: _as_typed(value, several=parameters[key].multiple)
            for key, value in options.items()
        }
    return path


def _as_typed(value: Any, *, several: bool) -> Any:
    """A value as the command line gives it: lists of names are separated by commas there."""
    if isinstance(value, list) and not several:
        return ",".join(map(str, value))
    return value


def _set_volume(*, quiet: bool, verbose: bool) -> None:
    from . import terminal

    terminal.status.quiet = quiet
    terminal.details.quiet = quiet or not verbose
    if quiet:
        warnings.simplefilter("ignore")


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)


_QUIET = _parameter(
    "quiet", Annotated[bool, typer.Option("--quiet", "-q", help="Results and errors alone.")], False
)
_VERBOSE = _parameter(
    "verbose",
    Annotated[
        bool,
        typer.Option(
            "--verbose", "-v", help="Also how long each step took, and origins of errors."
        ),
    ],
    False,
)
_CONFIG = _parameter(
    "config",
    Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            is_eager=True,
            callback=_take_config,
            help="Options from a .toml file, such as the run.toml of a result; what is given here "
            "wins.",
        ),
    ],
    None,
)
_MANNERS = ("quiet", "verbose", "config")
