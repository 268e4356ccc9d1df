"""The command line: one function per command, each thin over the Python API.

Exit status: 0 everything done; 1 some inputs failed, each named on standard error, all others
delivered; 2 usage. Heavy modules are imported inside the commands that need them, so that
``emoscope predict`` starts at once.
"""

from __future__ import annotations

import sys
import warnings
from typing import Annotated

import typer

from .._version import __version__
from ..errors import EmoscopeError

# In the order in which ``emoscope --help`` lists them.
from . import comparing as comparing

from . import tuning as tuning  # isort: skip
from . import recognising as recognising

from . import data as data  # isort: skip
from . import store as store  # isort: skip
from .commands import app


def main() -> None:
    """Run the command line; errors of our own kind end it with one line, not a traceback."""
    warnings.formatwarning = _one_line
    try:
        app(prog_name="emoscope")
    except EmoscopeError as error:
        from . import terminal

        if not terminal.details.quiet:
            terminal.details.print_exception()
        terminal.err.print("[bold red]error:[/]", end=" ")
        terminal.err.print(str(error), markup=False, soft_wrap=True)
        sys.exit(2)
    except OSError as error:
        from . import leave_standard_output, os_reason

        leave_standard_output()
        print(f"error: {os_reason(error)}", file=sys.stderr)
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


def _one_line(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    return f"warning: {message}\n"


if __name__ == "__main__":
    main()
