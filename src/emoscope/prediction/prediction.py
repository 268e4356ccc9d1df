"""What is recognised in a recording: the prediction, its segments, and how the label is decided.

Times are seconds from the start of the recording; probabilities are calibrated and sum to 1.
"""

import dataclasses
import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import labels
from ..files import sentence
from ..modelfile.about import About
from ..modelfile.card import Card, JsonObject

if TYPE_CHECKING:
    from .summary import Summary

SILENCE, NON_SPEECH = "silence", "non-speech"
MIXED_SHARE = 0.75  # of the speech; where no emotion has as much, a recording is called mixed

NO_SPEECH = ("silent:", "no speech:")  # how warnings begin
_IN_DOUBT = (*NO_SPEECH, "unfamiliar:")  # what no confidence makes up for


class Labelled:
    """What has probabilities of emotions has arousal and valence, derived from acted emotions."""

    emotion: str
    confidence: float
    probabilities: dict[str, float]
    uncertain: bool
    warnings: tuple[str, ...]

    def shown(self) -> dict[str, object]:
        """The label and its doubts, as in the JSON output."""
        doubts = {"uncertain": self.uncertain, "warnings": list(self.warnings)}
        return {"emotion": self.emotion, **rounded(self.confidence, self.probabilities), **doubts}

    @property
    def arousal(self) -> float | None:
        """From -1, subdued, to 1, agitated; None without speech or with emotions of no position."""
        return labels.position(self.probabilities).get("arousal")

    @property
    def valence(self) -> float | None:
        """From -1, unpleasant, to 1, pleasant; None where the arousal is."""
        return labels.position(self.probabilities).get("valence")


@dataclasses.dataclass(frozen=True)
class Segment(Labelled):
    """A part of a recording with one label."""

    start: float
    end: float
    emotion: str  # or "silence", or "non-speech"
    confidence: float  # in the emotion, or in there being no speech
    probabilities: dict[str, float]  # of every emotion; empty where nobody speaks
    speaker: str = ""  # "speaker 1" …, "left", "right"; empty where not divided or nobody speaks
    uncertain: bool = False  # whether its label should not be relied on
    warnings: tuple[str, ...] = ()  # what makes it hard to classify, as "keyword: explanation"

    @property
    def is_speech(self) -> bool:
        """Whether somebody speaks in it."""
        return bool(self.probabilities)

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.start

    def to_dict(self) -> JsonObject:
        """As in the JSON output."""
        place = {"start": round(self.start, 3), "end": round(self.end, 3), "speaker": self.speaker}
        return {**place, **self.shown()}


@dataclasses.dataclass(frozen=True)
class GivenSegment(Segment):
    """A part of a recording that its user gave, classified by itself."""

    label: str = ""  # what was written of it

    def to_dict(self) -> JsonObject:
        """As in the JSON output."""
        return {**super().to_dict(), "label": self.label}


@dataclasses.dataclass(frozen=True)
class Prediction(Labelled):
    """What was recognised in one recording."""

    file: str  # as the caller named it; "" for samples in memory
    emotion: str  # the most probable one
    confidence: float
    probabilities: dict[str, float]  # of every emotion the model knows
    uncertain: bool  # whether the label should not be relied on
    warnings: tuple[str, ...] = ()  # of all of it, as those of a segment are of that alone
    segments: tuple[Segment, ...] = ()  # with a timeline: all of it without gaps, in order
    channel: str = ""  # "left", "right", "3" …; empty for all of them, mixed
    about: About = About()  # what its labels mean, and the licence of the model
    summary: "Summary | None" = None  # with a timeline: of all channels together
    channels: "tuple[Prediction, ...]" = ()  # of two that hold different speech, which this mixes

    @property
    def each(self) -> "tuple[Prediction, ...]":
        """Itself; of two channels with different speech, the prediction of each, the left one first."""
        return self.channels or (self,)

    @property
    def joined(self) -> "Prediction":
        """With the segments of all channels, which may overlap, less sounds beside speech."""
        if not self.channels:
            return self
        every = [segment for one in self.channels for segment in one.segments]
        spoken = [segment for segment in every if segment.is_speech]
        sounds = [
            part for part in every
            if part.emotion == NON_SPEECH
            and not any(part.start < other.end and other.start < part.end for other in spoken)
        ]  # fmt: skip
        segments = sorted((*spoken, *sounds), key=lambda part: (part.start, part.end))
        return dataclasses.replace(self, segments=tuple(segments))

    def to_dict(self) -> JsonObject:
        """As in the JSON output."""
        place = {"file": self.file, **({"channel": self.channel} if self.channel else {})}
        parts = [segment.to_dict() for segment in self.segments]
        about = dataclasses.asdict(self.about)
        summary = {"summary": self.summary.to_dict()} if self.summary else {}
        return {**place, **self.shown(), "segments": parts, "about": about, **summary}

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
TWO_CHANNELS = "two channels: they hold different speech"


class Recognition(NamedTuple):
    """One recording: its prediction, and the mean logits of its windows, of which it is made."""

    prediction: Prediction
    logits: NDArray[np.float32]
    in_windows: bool = False  # which were labelled together already

    @property
    def is_one(self) -> bool:
        """Whether it is an utterance of one source: not of two channels with different speech."""
        speech = not any(said.startswith(NO_SPEECH) for said in self.prediction.warnings)
        return speech and not (self.in_windows or self.prediction.channels)

    def but(self, **values: Any) -> "Recognition":
        """The same with other values in its prediction."""
        return self._replace(prediction=dataclasses.replace(self.prediction, **values))


def rounded(confidence: float, probabilities: dict[str, float]) -> JsonObject:
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
    uncertain = is_uncertain(card, confidence, warnings)
    label, told = (emotion, confidence, by_emotion, uncertain), tuple(warnings)
    return Prediction(file, *label, told, segments, about=card.about)


def is_uncertain(card: Card, confidence: float, warnings: Iterable[str]) -> bool:
    """Whether a label is below the card's threshold, of no speech, or of unfamiliar sound."""
    in_doubt = any(warning.startswith(_IN_DOUBT) for warning in warnings)
    return in_doubt or confidence < card.uncertain.threshold or not card.uncertain.coverage


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
    return [sentence("prediction.mixed", shares=shares)]


def estimate_warning(segments: Iterable[Segment]) -> tuple[str, ...]:
    """A warning that voices were counted by their sound; none where nobody speaks."""
    found = len({segment.speaker for segment in segments if segment.speaker})
    hint = "an estimate, which is often wrong; give the number of speakers if you know it"
    return (f"speakers: the number of voices, {found}, is {hint}",) if found else ()


def out_of_domain_warning(distance: float) -> list[str]:
    """A warning where a recording lies far from the training data, as a multiple of the limit."""
    if distance <= 1.0:
        return []
    key = "prediction.slightly_far" if distance < 1.05 else "prediction.far"
    return [sentence("prediction.unfamiliar", far=sentence(key, distance=distance))]
