"""How a recording is divided, and turns of speakers that were found before."""

import collections
import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

from ..errors import EmoscopeError, UnknownNameError

CHANNEL, SPEAKER, NONE = "channel", "speaker", "none"


@dataclasses.dataclass(frozen=True)
class Division:
    """By what a recording is divided: its channels where they hold different speech, or voices."""

    by: str = CHANNEL
    speakers: int | None = None  # how many voices there are; None: as many as are found

    def __post_init__(self) -> None:
        if self.by not in (CHANNEL, SPEAKER, NONE):
            raise UnknownNameError("division", self.by, (CHANNEL, SPEAKER, NONE))
        if self.speakers is not None and self.by != SPEAKER:
            raise EmoscopeError("a number of speakers needs a division by speaker (--by speaker)")
        if self.speakers is not None and self.speakers < 1:
            raise EmoscopeError(f"{self.speakers} speakers: expected 1 or more")


BY_CHANNEL = Division()


class Turn(NamedTuple):
    """Speech of one voice, in frames of the voice activity detector."""

    start: int
    stop: int
    speaker: str


class TurnTracker:
    """As a SpeechTracker, but it ends a segment where a turn ends, whatever is fed."""

    def __init__(self, turns: Sequence[Turn]) -> None:
        self._turns = collections.deque(turns)
        self.start: int | None = None
        self.n_frames = self.speech_end = 0

    def feed(self, probability: float) -> tuple[int, int] | None:
        """Take in one frame; returns a turn when this frame is its last one."""
        self.n_frames += 1
        if self._turns and self.n_frames > self._turns[0].start:
            self.start, self.speech_end = self._turns[0].start, self.n_frames
            if self.n_frames >= self._turns[0].stop:
                return self.finish()
        return None

    def finish(self) -> tuple[int, int] | None:
        """End the turn that is going on, as when the recording ends."""
        if self.start is None:
            return None
        turn, self.start = self._turns.popleft(), None
        return turn.start, turn.stop
