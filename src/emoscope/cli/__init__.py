"""The command line: one function per command, each thin over the Python API.

Exit status: 0 everything done; 1 some inputs failed, each named on standard error, all others
delivered; 2 usage. Heavy modules are imported inside the commands that need them.
"""

import contextlib
import io
import os
import signal
import sys
import warnings
from types import FrameType
from typing import TYPE_CHECKING

from ..errors import EmoscopeError
from ..files import printable

if TYPE_CHECKING:
    import typer


def main() -> None:
    """Run the command line; errors of our own kind end it with one line, not a traceback."""
    try:
        _prepare()
        if sys.argv[1:2] == ["predict"]:  # people wait for it: no other command is imported
            from . import commands, predicting  # noqa: F401

            if commands.run_quickly("predict", sys.argv[2:]):
                sys.exit(0)
        application()(prog_name="emoscope")
        sys.exit(0)
    except EmoscopeError as error:
        from . import terminal

        terminal.say_error(error)
        sys.exit(2)
    except BrokenPipeError:  # whoever read the output has seen enough
        leave_standard_output()
    except OSError as error:
        leave_standard_output()
        # What the operating system refused: a full disk, a folder without permission.
        place = printable(os.fsdecode(error.filename)) if error.filename else "the output"
        print(f"error: {place}: {error.strerror or error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def start() -> None:
    """What the shell runs: :func:`main`; after ``predict`` the system clears the memory, faster."""
    try:
        main()
    except SystemExit as end:
        if sys.argv[1:2] != ["predict"] or not isinstance(end.code, int):
            raise
        leave_standard_output()
        sys.stderr.flush()
        os._exit(end.code)


def application() -> "typer.Typer":
    """The application with all commands, in the order in which ``emoscope --help`` lists them."""
    from . import comparing, checking, predicting, data  # noqa: F401, I001
    from .typed import build

    return build()


def _end(number: int, frame: FrameType | None) -> None:
    """End as a signal asks: at once while modules are imported, where an exception would be lost."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            os._exit(128 + number)
        frame = frame.f_back
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)


def _prepare() -> None:
    """Make the process one that can be ended at any time and has somewhere to write."""
    # Asked to end, a run clears away its workers' sockets and shows the cursor again.
    with contextlib.suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGTERM, _end)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is ignored
            signal.signal(signal.SIGINT, _end)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed, so that the next file opened would take its place
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # for what the terminal cannot show
    warnings.formatwarning = lambda message, *rest: f"warning: {message}\n"


def leave_standard_output() -> None:
    """Write no more to an output that takes no more, not even when Python ends."""
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        return
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
