"""The command line: :mod:`emoscope.cli.app` has the commands.

``predict`` is the one that people wait for, so it starts without the libraries of the others.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys

from ..files import printable


def main() -> None:
    """Run the command line."""
    try:
        _prepare()
        if sys.argv[1:2] == ["predict"]:
            from .predict import main as predict

            sys.exit(predict(sys.argv[2:]))
        from .app import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


def _prepare() -> None:
    """Make the process one that can be ended at any time and has somewhere to write."""
    # Asked to end, a run clears away its workers' sockets and shows the cursor again.
    with contextlib.suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed, so that the next file opened would take its place
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # for what the terminal cannot show


def os_reason(error: OSError) -> str:
    """What the operating system refused, in one line: a full disk, a folder without permission."""
    place = printable(os.fsdecode(error.filename)) if error.filename else "the output"
    return f"{place}: {error.strerror or error}"


def leave_standard_output() -> None:
    """Write no more to an output that takes no more, not even when Python ends."""
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        return
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
