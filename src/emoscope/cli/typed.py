"""typer's application, made of the declared commands and of what ``commands.toml`` says of them."""

import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from .. import config
from .._version import __version__
from ..features import kernel
from ..files import shipped_table
from .commands import DATA, LETTERS, SHARED, STORE, Command, declared

METAVARS = {Path: "FILE", int: "N", str: "NAME", bool: ""}


def build() -> typer.Typer:
    """The application with the commands that are declared by now."""
    texts = shipped_table("commands.toml")
    app = typer.Typer(
        **texts["emoscope"], no_args_is_help=True, pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )  # fmt: skip
    app.callback(invoke_without_command=True)(_version)
    store = typer.Typer(help="Inspect, check or clear the stored features.", no_args_is_help=True)
    app.add_typer(store, name="store", rich_help_panel=DATA)
    for name, command in declared.items():
        of = store if command.panel == STORE else app
        epilog = "\n\n".join(["Examples:", *texts[name]["examples"]])
        run = _run(command, texts["shared"] | texts[name])
        of.command(epilog=epilog, rich_help_panel=command.panel)(run)
    return app


def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(f"emoscope {__version__}\nfeatures: {kernel.status()}")
        raise typer.Exit


def _run(command: Command, texts: Mapping[str, Any]) -> Callable[..., None]:
    """What typer calls: a function whose signature says in typer's words what is declared."""

    @functools.wraps(command.function)
    def run(**options: Any) -> None:
        options.pop("config", None)
        command.run(**options)

    parameters = [_for_typer(p, texts[p.name]) for p in command.parameters]
    if command.configurable:
        info = typer.Option(is_eager=True, callback=_take_config, **texts["config"])
        kind, annotation = inspect.Parameter.KEYWORD_ONLY, Annotated[Path | None, info]
        parameters.append(inspect.Parameter("config", kind, default=None, annotation=annotation))
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return run


def _for_typer(parameter: inspect.Parameter, text: str | Mapping[str, Any]) -> inspect.Parameter:
    name, kind, default = parameter.name, parameter.annotation, parameter.default
    told = {"help": text} if isinstance(text, str) else dict(text)
    if parameter.kind is not parameter.KEYWORD_ONLY:
        info = typer.Argument(show_default=False, metavar=name.upper(), **told)
    elif kind is bool and not default:
        words = filter(None, (f"--{name.replace('_', '-')}", LETTERS.get(name)))
        info = typer.Option(*words, metavar="", **told)
    else:
        info = typer.Option(**{"metavar": _metavar(kind), **told})
    return parameter.replace(annotation=Annotated[kind, info])


def _metavar(kind: Any) -> str | None:
    inner = get_args(kind)  # of an optional value, and of several
    return _metavar(inner[0]) if inner else METAVARS.get(kind)


def _take_config(context: typer.Context, path: Path | None) -> Path | None:
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
