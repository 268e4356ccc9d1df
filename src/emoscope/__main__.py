"""Where the program ``emoscope``, or ``python -m emoscope``, begins."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line."""
    if sys.argv[1:2] == ["predict"]:
        from .predict_command import main as predict

        sys.exit(predict(sys.argv[2:]))
    from .cli import main as run

    run()


if __name__ == "__main__":
    main()
