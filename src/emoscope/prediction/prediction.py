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

from .. import labels
from ..modelfile.about import About
from ..modelfile.card import Card

SILENCE, NON_SPEECH = "silence", "non-speech"
MIXED_SHARE = 0.75  # of the speech; where no emotion has as much, a recording is called mixed

NO_SPEECH = ("silent:", "no speech:")  # how warnings begin
_IN_DOUBT = (*NO_SPEECH, "unfamiliar:")  # what no confidence makes up for


class Positioned:
    """What has probabilities of emotions has arousal and valence, derived from acted emotions."""

    probabilities: dict[str, float]

    @property
    def arousal(self) -> float | None:
        """From -1, subdued, to 1, agitated; None without speech or with emotions of no position."""
        return labels.position(self.probabilities).get("arousal")

    @property
    def valence(self) -> float | None:
        """From -1, unpleasant, to 1, pleasant; None where the arousal is."""
        return labels.position(self.probabilities).get("valence")


@dataclasses.dataclass(frozen=True)
class Segment(Positioned):
    """A part of a recording with one label."""

    start: float
    end: float
    emotion: str  # or "silence", or "non-speech"
    confidence: float  # in the emotion, or in there being no speech
    probabilities: dict[str, float]  # of every emotion; empty where nobody speaks

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
            **rounded(self.confidence, self.probabilities),
        }


@dataclasses.dataclass(frozen=True)
class GivenSegment(Segment):
    """A part of a recording that its user gave, classified by itself."""

    label: str = ""  # what was written of it
    uncertain: bool = False
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON output."""
        own = {"label": self.label, "uncertain": self.uncertain, "warnings": list(self.warnings)}
        return {**super().to_dict(), **own}


@dataclasses.dataclass(frozen=True)
class Prediction(Positioned):
    """What was recognised in one recording."""

    file: str  # as the caller named it; "" for samples in memory
    emotion: str  # the most probable one
    confidence: float
    probabilities: dict[str, float]  # of every emotion the model knows
    uncertain: bool  # whether the label should not be relied on
    warnings: tuple[str, ...] = ()  # what makes it hard to classify, as "keyword: explanation"
    segments: tuple[Segment, ...] = ()  # with a timeline: all of it without gaps, in order
    channel: str = ""  # "left", "right", "3" …; empty for all of them, mixed
    about: About = About()  # what its labels mean, and the licence of the model

    @property
    def each(self) -> tuple[Prediction, ...]:
        """Itself; of two channels with different speech, the prediction of each."""
        return (self,)

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON output."""
        return {
            "file": self.file,
            **({"channel": self.channel} if self.channel else {}),
            "emotion": self.emotion,
            **rounded(self.confidence, self.probabilities),
            "uncertain": self.uncertain,
            "warnings": list(self.warnings),
            "segments": [segment.to_dict() for segment in self.segments],
            "about": dataclasses.asdict(self.about),
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


TOGETHER = "together: labelled"
LABELLED_TOGETHER = f"{TOGETHER} relative to {{count}} recordings taken to be of one source"
TWO_CHANNELS = "two channels: they hold different speech"
ONE_OF_TWO = (
    f"{TWO_CHANNELS}, so each is classified by itself; this is the {{channel}} one; channel 'mix' puts "
    "them together"
)
MIXED = "mixed: the label changes ({shares} of the speech); the timeline says where"
UNFAMILIAR = "unfamiliar: {far}; the label may not mean much here"
FAR = "{distance:.1f} times as far from the training data as the limit"
SLIGHTLY_FAR = "slightly farther from the training data than the limit"


@dataclasses.dataclass(frozen=True)
class TwoChannels(Prediction):
    """What was recognised in the mix of two channels with different speech, and in each of them."""

    channels: tuple[Prediction, ...] = ()

    @property
    def each(self) -> tuple[Prediction, ...]:
        """The prediction of each channel, the left one first."""
        return self.channels


def channel_warning(channel: str) -> str:
    """What is said of one of two channels with different speech, for which nobody has asked."""
    return ONE_OF_TWO.format(channel=channel)


def rounded(confidence: float, probabilities: dict[str, float]) -> dict[str, Any]:
    """Confidence, probabilities and the position they give, as JSON states them."""
    by_emotion = {name: round(p, 6) for name, p in probabilities.items()}
    position = {axis: round(value, 6) for axis, value in labels.position(probabilities).items()}
    return {"confidence": round(confidence, 6), "probabilities": by_emotion, **position}


def decide(
    card: Card, file: str, probabilities: NDArray[np.floating[Any]], warnings: Sequence[str],
    segments: tuple[Segment, ...] = (),
) -> Prediction:  # fmt: skip
    """The label of a recording; uncertain below the card's threshold, without speech, or unfamiliar."""
    by_emotion = dict(zip(card.emotions, map(float, probabilities), strict=True))
    emotion = card.emotions[int(np.argmax(probabilities))]
    confidence = by_emotion[emotion]
    in_doubt = any(warning.startswith(_IN_DOUBT) for warning in warnings)
    too_low = confidence < card.uncertain.threshold or not card.uncertain.coverage
    uncertain = too_low or in_doubt
    label, told = (emotion, confidence, by_emotion, uncertain), tuple(warnings)
    return Prediction(file, *label, told, segments, about=card.about)


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
    return [MIXED.format(shares=shares)]


def out_of_domain_warning(distance: float) -> list[str]:
    """A warning where a recording lies far from the training data, as a multiple of the limit."""
    if distance <= 1.0:
        return []
    far = SLIGHTLY_FAR if distance < 1.05 else FAR.format(distance=distance)
    return [UNFAMILIAR.format(far=far)]
