"""What every output says beside its labels: what they mean, which model gave them, and its licence."""

import dataclasses
import re
from collections.abc import Sequence

from ..files import printable
from ..labels import EMOTIONS

NOT_FELT = (
    "A label compares a voice with acted emotional speech: it says what the voice sounds like, "
    "not what anybody feels."
)
_RESTRICTED = re.compile(r"\bNC\b|non-?commercial|\bresearch\b|\bacademic\b", re.IGNORECASE)
_FREE = re.compile(r"^(CC0|CC BY(-SA)?(?!-)|MIT|Apache|BSD|Open Database License|public domain)\b")


@dataclasses.dataclass(frozen=True)
class About:
    """What is said of the labels of one model."""

    model: str = ""
    licence: str = "not stated"
    commercial_use: str = "not known"  # or yes, or no
    meaning: str = NOT_FELT

    @classmethod
    def of(cls, model: str, licence: str, emotions: Sequence[str]) -> "About":
        """What holds for a model of that name and licence, which knows those emotions."""
        *first, last = map(printable, emotions)
        others = [name for name in EMOTIONS if name not in emotions]
        such = f" ({', '.join(others)} or another)" if others else ""
        known = f"The model can name {', '.join(first)} and {last}"
        meaning = f"{NOT_FELT} {known}; any other emotion{such} gets one of these names."
        return cls(model, licence or cls.licence, commercial_use(licence), meaning)

    @property
    def source(self) -> str:
        """The model, its licence and whether that allows commercial use, in one line."""
        model = f"Model: {self.model}. " if self.model else ""
        return _line(f"{model}Licence: {self.licence}. Commercial use: {self.commercial_use}.")

    @property
    def text(self) -> str:
        """All of it in one line, which ends no cue and no comment of subtitles."""
        return f"{_line(self.meaning)} {self.source}".replace("-->", "→")


def commercial_use(licence: str) -> str:
    """``yes``, ``no`` or ``not known``: what the words of a licence, or of several, say of it."""
    parts = [part.strip() for part in licence.split(";") if part.strip()]
    if any(map(_RESTRICTED.search, parts)):
        return "no"
    free = [_FREE.search(part.rpartition(": ")[2]) for part in parts]
    return "yes" if free and all(free) else "not known"


def _line(text: str) -> str:
    return printable(" ".join(text.split()))
