"""A corpus in one file: singers A to D, happy or sad, named like ``B-h-07.wav``."""

import re
from pathlib import PurePath

from emoscope.corpora import CorpusInfo

NAME = re.compile(r"(?P<speaker>[A-D])-(?P<label>[hs])-(?P<take>[0-9]{2})")


def parse(path: PurePath) -> dict[str, str] | None:
    """What the name of a clip tells, or None when it is no clip of this corpus."""
    found = NAME.fullmatch(path.stem)
    return found.groupdict() if found else None


OPERA = CorpusInfo(
    name="opera",
    title="Four singers, two moods",
    licence="CC BY 4.0",
    citation="The opera example of emoscope.",
    homepage="",
    label_map={"h": "happy", "s": "sad"},
    parse=parse,
    file_names="singer, mood and take",
    example="B-h-07.wav",
    obtain="make it yourself",
)
