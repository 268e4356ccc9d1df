"""How a source is to be read, as its user says, and where the speakers of a corpus come from."""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Literal

from ..audio.excerpt import parse_channel
from ..errors import CorpusError, UnknownNameError
from ..labels import EMOTIONS
from ..unseen import HeldOut, held_out

Kind = Literal["rule", "column", "option", "one", "guess", "none"]

EACH = "each"  # every channel is a clip of its own
_FOLDER = re.compile(r"folder:(-?[1-9]\d*)")


@dataclasses.dataclass(frozen=True)
class SpeakerOrigin:
    """Where the speakers of a corpus come from.

    ``kind`` is "rule" (the corpus's own naming), "column" (of a table), "option" (``--speaker``),
    "one" (``--one-speaker``), "guess" (from names that nobody has explained) or "none" (unknown).
    """

    kind: Kind
    pattern: str = ""  # in words: the rule, the column, the expression, or what was guessed
    doubt: str = ""  # why these cannot be people who speak, in words

    def held_out(self, protocol: str = "") -> HeldOut:
        """What folds by speaker, or of a protocol, hold out."""
        return held_out(self.kind, self.doubt, protocol)


@dataclasses.dataclass(frozen=True)
class Reading:
    """What a user says of a source that it does not say itself.

    A CorpusError when the expression for speakers cannot be used, or two ways to tell them are given;
    an UnknownNameError when a label is to mean what is no emotion, or a channel has no such name.
    """

    #: Words of the source, as written → emotions.
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    #: What tells the speaker: a regular expression on the path below the source, with or without its
    #: ending (the group named ``speaker``, or all groups joined by hyphens, or else all of it), or
    #: ``folder:N``, the N-th folder below the source; ``folder:-1`` is the one the file lies in.
    speaker: str | None = None
    one_speaker: bool = False  # all clips are of one voice
    channel: str | None = None  # "left", "right", "1", "2" …, "each" or "mix"

    def __post_init__(self) -> None:
        for emotion in self.labels.values():
            if emotion and emotion not in EMOTIONS:
                raise UnknownNameError("emotion", emotion, EMOTIONS)
        if self.channel is not None and self.channel.strip().lower() != EACH:
            parse_channel(self.channel)
        if self.speaker is None:
            return
        if self.one_speaker:
            raise CorpusError("--speaker and --one-speaker cannot be combined")
        if not _FOLDER.fullmatch(self.speaker):
            try:
                re.compile(self.speaker)
            except re.error as error:
                raise CorpusError(
                    f"--speaker '{self.speaker}': not a regular expression ({error}); examples: "
                    r"'(\d+)_' for the number before an underscore, folder:1 for the first folder"
                ) from None

    @property
    def origin(self) -> SpeakerOrigin | None:
        """Where speakers come from when this tells them; None when the source has to."""
        if self.one_speaker:
            return SpeakerOrigin("one", "declared as one speaker")
        return SpeakerOrigin("option", self.speaker) if self.speaker is not None else None

    def speaker_of(self, path: PurePath) -> str | None:
        """The speaker of a path below the source; None when the expression does not match it."""
        if self.one_speaker:
            return "1"
        assert self.speaker is not None
        if folder := _FOLDER.fullmatch(self.speaker):
            folders, number = path.parts[:-1], int(folder[1])
            place = number - 1 if number > 0 else number
            return folders[place] if abs(number) <= len(folders) else None
        without_ending = path.with_suffix("").as_posix()
        match = re.search(self.speaker, without_ending) or re.search(self.speaker, path.as_posix())
        if match is None:
            return None
        if named := match.groupdict().get("speaker"):
            return named
        return "-".join(filter(None, match.groups())) if match.re.groups else match[0] or None
