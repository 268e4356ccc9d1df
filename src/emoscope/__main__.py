"""``python -m emoscope``."""

from .cli import start

start()
