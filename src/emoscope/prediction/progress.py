"""How far a predictor is with a recording, and what it has found so far."""

import contextlib
import dataclasses
import os
import time
from collections import defaultdict
from collections.abc import Callable
from threading import get_ident

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
    name: str  # of the file, with the channel, and whether it is heard again
    seconds: float
    length: float | None  # of the whole; None where it is not known
    found: Prediction | None  # in these seconds: the rest may change every label


class Progress:
    """Has a predictor tell how much of each recording it has heard, and now and then what it found."""

    def __init__(self, predictor: Predictor, tell: Callable[[Heard], object]) -> None:
        self._predictor, self._tell, self._due = predictor, tell, 0.0
        self._seconds = defaultdict[Excerpt, float](float)
        self._streams: dict[int, Stream] = {}  # by thread, of which each reads one recording
        predictor.progress, predictor.heard = self._listened, self._heard

    def _heard(self, stream: Stream) -> None:
        self._streams[get_ident()] = stream

    def _listened(self, part: Excerpt, seconds: float) -> None:
        self._seconds[part] += seconds
        begun, stream = time.monotonic(), self._streams.pop(get_ident(), None)
        if begun < self._due:
            return
        done, name = self._seconds[part], os.path.basename(str(part))
        length, found = None, None
        with contextlib.suppress(OSError, soundfile.SoundFileError):  # which FFmpeg may read
            about = soundfile.info(part.path)
            length = float(about.duration)
            name += " (mix)" * (about.channels > 1 and part.channel is None)
            name += ", again" * (done > length + 0.001)
            done %= length + 0.001
        if stream and stream.windows:
            known = self._predictor.recognise_stream(stream, part.path)
            found = known.but(channel=channel_name(part.channel)).prediction
        self._tell(Heard(part, name, done, length, found))
        if found:
            self._due = time.monotonic() + max(EVERY, 20 * (time.monotonic() - begun))
