"""What is recognised in one recording."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from .timeline import Segment


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What was recognised in one recording.

    Attributes
    ----------
    file : str
        The recording, as the caller named it; ``""`` for samples in memory.
    emotion : str
        The most probable emotion.
    confidence : float
        Its calibrated probability, in [0, 1].
    probabilities : dict of str to float
        Of every emotion the model knows, summing to 1.
    uncertain : bool
        Whether the label should not be relied on.
    warnings : tuple of str
        What makes the recording hard to judge, as ``"keyword: explanation"``.
    segments : tuple of Segment
        With ``timeline=True``: the recording divided without gaps, in order.
    """

    file: str
    emotion: str
    confidence: float
    probabilities: dict[str, float]
    uncertain: bool
    warnings: tuple[str, ...] = ()
    segments: tuple[Segment, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON output."""
        return {
            "file": self.file,
            "emotion": self.emotion,
            "confidence": round(self.confidence, 6),
            "probabilities": {name: round(p, 6) for name, p in self.probabilities.items()},
            "uncertain": self.uncertain,
            "warnings": list(self.warnings),
            "segments": [segment.to_dict() for segment in self.segments],
        }

    def to_json(self, **more: str) -> str:
        """One line of JSON; `more` are entries at its end."""
        found = {**self.to_dict(), **more}
        text = json.dumps(found, ensure_ascii=False)
        # A file name may hold bytes that are no UTF-8; those can only be written escaped.
        return text if _encodable(text) else json.dumps(found)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
