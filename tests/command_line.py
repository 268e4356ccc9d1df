"""Runs the command line in this process."""

from __future__ import annotations

import sys
from unittest import mock

from emoscope import cli


def run(*words: object) -> int:
    """The exit status of ``emoscope`` with these words."""
    with mock.patch.object(sys, "argv", ["emoscope", *map(str, words)]):
        try:
            cli.main()
        except SystemExit as stopped:
            return int(stopped.code or 0)
    return 0
