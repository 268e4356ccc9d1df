"""typer's application, made of the declared commands."""

import functools
import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from .. import config
from .._version import __version__
from ..files import shipped_table
from .commands import DATA, SHARED, STORE, Argument, Command, Switch, declared

METAVARS = {Path: "FILE", int: "N", str: "NAME", bool: ""}


def build() -> typer.Typer:
    """The application with the commands that are declared by now."""
    app = typer.Typer(
        help="Speech emotion recognition that is honest by default. To begin: emoscope predict FILE, "
        "emoscope serve (a page in the browser) or emoscope compare.",
        epilog="Exit status: 0 success; 1 some recordings were left out (each is named), or a leak "
        "was found; 2 usage error.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(_version)
    store = typer.Typer(help="Inspect, check or clear the stored features.", no_args_is_help=True)
    app.add_typer(store, name="store", rich_help_panel=DATA)
    examples = shipped_table("command_examples.toml")
    for name, command in declared.items():
        of = store if command.panel == STORE else app
        epilog = "\n\n".join(["Examples:", *examples[name]])
        of.command(epilog=epilog, rich_help_panel=command.panel)(_run(command))
    return app


def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(f"emoscope {__version__}")
        raise typer.Exit


def _run(command: Command) -> Callable[..., None]:
    """What typer calls: a function whose signature says in typer's words what is declared."""

    @functools.wraps(command.function)
    def run(**options: Any) -> None:
        options.pop("config", None)
        command.run(**options)

    parameters = [_for_typer(parameter) for parameter in command.parameters]
    if command.configurable:
        kind = inspect.Parameter.KEYWORD_ONLY
        parameters.append(inspect.Parameter("config", kind, default=None, annotation=_Config))
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return run


def _for_typer(parameter: inspect.Parameter) -> inspect.Parameter:
    kind, declaration = get_args(parameter.annotation)
    help, dashed = declaration.help, f"--{parameter.name.replace('_', '-')}"
    if isinstance(declaration, Argument):
        info = typer.Argument(help=help, show_default=False, metavar=parameter.name.upper())
    elif isinstance(declaration, Switch):
        info = typer.Option(*filter(None, (dashed, declaration.letter)), help=help, metavar="")
    else:
        _, metavar, least, most, package = declaration
        metavar = metavar or _metavar(kind)
        names = _names_of(package) if package else None
        info = typer.Option(metavar=metavar, help=help, min=least, max=most, autocompletion=names)
    return parameter.replace(annotation=Annotated[kind, info])


def _metavar(kind: Any) -> str | None:
    inner = get_args(kind)  # of an optional value, and of several
    return _metavar(inner[0]) if inner else METAVARS.get(kind)


def _names_of(package: str) -> Callable[[str], list[str]]:
    """Completes the last of several names separated by commas."""

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        names = importlib.import_module(f"emoscope.{package}").names()
        return [f"{before}{comma}{name}" for name in names if name.startswith(last)]

    return complete


def _take_config(context: typer.Context, path: Path | None) -> Path | None:
    """Make what a file says the defaults of this run."""
    if path is not None:
        parameters = {p.name: p for p in context.command.params if p.name}
        valid = [name for name in parameters if name not in (*SHARED, "config", "help")]
        context.default_map = config.load(path, str(context.info_name), valid)
        for key, value in context.default_map.items():
            if parameters[key].nargs == -1:
                context.default_map[key] = [value] if isinstance(value, str) else value
            elif isinstance(value, list) and not parameters[key].multiple:  # as it would be typed
                context.default_map[key] = ",".join(map(str, value))
    return path


_Config = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        is_eager=True,
        callback=_take_config,
        help="Read options from a .toml file, such as a result's run.toml; options given here "
        "take precedence.",
    ),
]
