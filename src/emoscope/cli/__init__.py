"""The command line: :mod:`emoscope.cli.app` has the commands.

``predict`` is the one that people wait for, so it starts without the libraries of the others.
"""

from __future__ import annotations

import contextlib
import os
import sys

from ..files import printable


def main() -> None:
    """Run the command line."""
    if sys.argv[1:2] == ["predict"]:
        from .predict import main as predict

        sys.exit(predict(sys.argv[2:]))
    from .app import main as run

    run()


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
