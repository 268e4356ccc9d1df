"""The command line: :mod:`emoscope.cli.app` has the commands.

``predict`` is the one that people wait for, so it starts without the libraries of the others.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line."""
    if sys.argv[1:2] == ["predict"]:
        from .predict import main as predict

        sys.exit(predict(sys.argv[2:]))
    from .app import main as run

    run()
