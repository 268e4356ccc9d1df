"""How far a predictor is with a recording, and what it has found so far."""

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable

import soundfile

from ..audio import Excerpt, channel_name
from .prediction import Prediction
from .predictor import Predictor
from .timeline import Stream

EVERY = 1.0  # seconds from one finding to the next, at least; and twenty times what one takes


@dataclasses.dataclass(frozen=True)
class Heard:
    """What was heard of a recording, or of one of its channels, which is still read."""

    part: Excerpt
    name: str  # of the file, with the channel, and whether its voices are told apart first
    seconds: float
    length: float | None  # of the whole; None where it is not known
    found: Prediction | None  # in these seconds: the rest may change every label


class Progress:
    """Has a predictor tell how much of each recording it has heard, and now and then what it found."""

    def __init__(self, predictor: Predictor, tell: Callable[[Heard], object]) -> None:
        self._predictor, self._tell, self._due = predictor, tell, 0.0
        predictor.heard = self._heard

    def _heard(self, part: Excerpt, stream: Stream) -> None:
        begun = time.monotonic()
        if begun < self._due:
            return
        name, length, found = os.path.basename(str(part)), None, None
        with contextlib.suppress(OSError, soundfile.SoundFileError):  # which FFmpeg may read
            about = soundfile.info(part.path)
            length = float(about.duration)
            name += " (mix)" * (about.channels > 1 and part.channel is None)
        if not stream.emotions:
            name += ", its voices"
        elif stream.windows:
            known = self._predictor.recognise_stream(stream, part.path)
            found = known.but(channel=channel_name(part.channel)).prediction
        self._tell(Heard(part, name, stream.seconds, length, found))
        self._due = time.monotonic() + max(EVERY, 20 * (time.monotonic() - begun))
