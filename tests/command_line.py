"""Runs the command line in this process."""

from __future__ import annotations

import functools
import sys
from unittest import mock

import typer.main

from emoscope import cli

#: A real start builds the application once as well; no run changes it.
_application = functools.cache(lambda build: typer.main.get_command(build()))


def run(*words: object) -> int:
    """The exit status of ``emoscope`` with these words."""
    with (
        mock.patch.object(sys, "argv", ["emoscope", *map(str, words)]),
        mock.patch.object(cli, "application", functools.partial(_application, cli.application)),
    ):
        try:
            cli.main()
        except SystemExit as stopped:
            return int(stopped.code or 0)
    return 0
