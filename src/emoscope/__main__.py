"""``python -m emoscope``."""

from .cli import main

main()
