"""What is recognised in a recording: the prediction, its segments, and how the label is decided.

Times are seconds from the start of the recording; probabilities are calibrated and sum to 1.
:meth:`Prediction.to_dict` is the form that JSON, CSV, the server and the browser page share.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..modelfile.card import Card

SILENCE, NON_SPEECH = "silence", "non-speech"
MIXED_SHARE = 0.75
"""Of the speech of a recording; where no emotion has as much, it is called mixed."""


@dataclasses.dataclass(frozen=True)
class Segment:
    """A part of a recording with one label.

    Attributes
    ----------
    start, end : float
        Seconds.
    emotion : str
        An emotion, ``"silence"`` or ``"non-speech"``.
    confidence : float
        In [0, 1]: of the emotion, or of there being no speech.
    probabilities : dict of str to float
        Of every emotion, summing to 1; empty where nobody speaks.
    """

    start: float
    end: float
    emotion: str
    confidence: float
    probabilities: dict[str, float]

    @property
    def is_speech(self) -> bool:
        """Whether somebody speaks in it."""
        return bool(self.probabilities)

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.start

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON output."""
        return {
            "start": round(self.start, 3),
            "end": round(self.end, 3),
            "emotion": self.emotion,
            **_rounded(self.confidence, self.probabilities),
        }


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
            **_rounded(self.confidence, self.probabilities),
            "uncertain": self.uncertain,
            "warnings": list(self.warnings),
            "segments": [segment.to_dict() for segment in self.segments],
        }

    def to_json(self, **more: str) -> str:
        """One line of JSON; `more` are entries at its end."""
        entries = {**self.to_dict(), **more}
        text = json.dumps(entries, ensure_ascii=False)
        try:
            text.encode()
        except UnicodeEncodeError:  # a file name of bytes that are not UTF-8 is written escaped
            return json.dumps(entries)
        return text

    def label(self, segment: Segment) -> Segment:
        """A segment of speech with the label of the whole recording; any other as it is."""
        if not segment.is_speech:
            return segment
        return Segment(
            segment.start, segment.end, self.emotion, self.confidence, self.probabilities
        )


def _rounded(confidence: float, probabilities: dict[str, float]) -> dict[str, Any]:
    by_emotion = {name: round(p, 6) for name, p in probabilities.items()}
    return {"confidence": round(confidence, 6), "probabilities": by_emotion}


def decide(
    card: Card,
    file: str,
    probabilities: NDArray[np.floating[Any]],
    warnings: Sequence[str],
    segments: tuple[Segment, ...] = (),
) -> Prediction:
    """The label of a recording; uncertain without speech or below the threshold of the card."""
    best = int(np.argmax(probabilities))
    confidence = float(probabilities[best])
    no_speech = any(warning.startswith(("silent:", "no speech:")) for warning in warnings)
    return Prediction(
        file=file,
        emotion=card.emotions[best],
        confidence=confidence,
        probabilities=dict(zip(card.emotions, map(float, probabilities), strict=True)),
        uncertain=confidence < card.uncertain.threshold or no_speech,
        warnings=tuple(warnings),
        segments=segments,
    )


def mixed_warning(segments: Iterable[Segment]) -> list[str]:
    """A warning where one label for everything would say little."""
    seconds: dict[str, float] = {}
    for segment in segments:
        if segment.is_speech:
            seconds[segment.emotion] = seconds.get(segment.emotion, 0.0) + segment.seconds
    total = sum(seconds.values())
    ranked = sorted(seconds.items(), key=lambda item: -item[1])
    if not ranked or ranked[0][1] >= MIXED_SHARE * total:
        return []
    shares = ", ".join(f"{emotion} {length / total:.0%}" for emotion, length in ranked)
    return [f"mixed: the label changes ({shares} of the speech); the timeline says where"]


def out_of_domain_warning(distance: float) -> list[str]:
    """A warning where a recording lies far from the training data, as a multiple of the limit."""
    if distance <= 1.0:
        return []
    return [
        f"unfamiliar: {distance:.1f} times as far from the training data as the limit; "
        "the label may not mean much here"
    ]
