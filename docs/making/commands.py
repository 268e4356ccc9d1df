"""The reference of every command, from the commands themselves."""

import typer.main

from emoscope.cli import application

INTRODUCTION = """# Commands

Every command has `--help`, `--quiet` and `--verbose`; commands that make a result take `--config`, a
file of options such as the `run.toml` next to each result. Exit status: 0 success; 1 some recordings
were left out (each is named), or a leak was found; 2 usage error.
"""


def page() -> str:
    """All commands under the headings of ``emoscope --help``."""
    parts, heading = [INTRODUCTION], None
    for name, command in typer.main.get_command(application()).commands.items():
        if command.rich_help_panel != heading:
            heading = command.rich_help_panel
            parts.append(f"## {heading}\n")
        parts.append(_command(name, command))
    return "\n".join(parts)


def _command(name: str, command: typer.core.TyperCommand) -> str:
    if hasattr(command, "commands"):
        inner = [_command(f"{name} {sub}", c) for sub, c in command.commands.items()]
        return "\n".join(inner)
    rows, arguments = [], []
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            word = parameter.name.upper()
            arguments.append(word if parameter.required else f"[{word}]")
            rows.append((word, parameter.help))
        elif parameter.name not in ("quiet", "verbose", "config"):
            rows.append((_option(parameter), _help(parameter)))
    examples = [
        line for line in (command.epilog or "").split("\n\n") if line.startswith("emoscope")
    ]
    return _section(" ".join([f"emoscope {name}", *arguments]), command.help, rows, examples)


def _option(parameter: typer.core.TyperOption) -> str:
    names = " / ".join([", ".join(parameter.opts), *parameter.secondary_opts])
    return names if parameter.is_flag else f"{names} {parameter.metavar or ''}".strip()


def _help(parameter: typer.core.TyperOption) -> str:
    default = parameter.default
    if parameter.is_flag or default in (None, "", ()):
        return parameter.help or ""
    return f"{parameter.help or ''} Default: `{default}`."


def _section(usage: str, about: str, rows: list[tuple[str, str]], examples: list[str]) -> str:
    words = [word for word in usage.split()[1:] if word.islower()]
    lines = [
        f"### {' '.join(words)}",
        "",
        about.strip(),
        "",
        "```text",
        usage + " [OPTIONS]",
        "```",
    ]
    if rows:
        lines += ["", "| | |", "|---|---|", *(f"| `{a}` | {b} |" for a, b in rows)]
    if examples:
        lines += ["", "```text", *examples, "```"]
    return "\n".join(lines) + "\n"
