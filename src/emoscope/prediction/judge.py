"""Runs a model over recordings: as a whole, or in sliding windows.

:class:`Judge` is what :class:`emoscope.prediction.Predictor` is made of: it turns sound into evidence,
and evidence into a prediction with its warnings.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..audio import Signal, resample, voice_activity
from ..audio.quality import Quality
from ..errors import FeatureError, ModelError
from ..modelfile import ModelFile
from ..modelfile.card import Card
from .prediction import Prediction
from .stream import Stream
from .timeline import Evidence, Segment, mean_probabilities

if TYPE_CHECKING:
    from ..features.base import Feature

Each: TypeAlias = Callable[..., Iterable[Evidence]]

UTTERANCE_SECONDS = 15.0
"""Longest recording that is judged as a whole; a longer one holds several utterances, and models
are trained on single ones."""
MIXED_SHARE = 0.75
"""Of the speech of a recording; where no emotion has as much, it is called mixed."""
WINDOW_SECONDS, HOP_SECONDS = 3.0, 1.0
"""Of longer ones and of timelines: as long as the utterances of the training corpora, and how far
apart."""


@dataclasses.dataclass(frozen=True, eq=False)
class Heard:
    """One recording: the prediction, and the evidence of all of it together."""

    prediction: Prediction
    embedding: NDArray[np.float32]


class Judge:
    """One model at work; safe to use from several threads.

    Parameters
    ----------
    model : ModelFile
    """

    def __init__(self, model: ModelFile) -> None:
        self.model, self.card = model, model.card
        self._features = _features(model.card)

    def __call__(self, signal: Signal) -> Evidence:
        """Run the model on one piece of sound as it is, without any check.

        Parameters
        ----------
        signal : Signal
            Any rate; at most ``card.input.longest`` seconds.
        """
        logits, embedding = self.model.run(self._input(signal))
        distance = 0.0
        if self.card.domain is not None:
            distance = float(self.card.domain.distance(embedding)[0] / self.card.domain.threshold)
        return Evidence(logits[0], self.model.probabilities(logits)[0], embedding[0], distance)

    def stream(
        self,
        rate: int,
        *,
        window: float = WINDOW_SECONDS,
        hop: float = HOP_SECONDS,
        first: float | None = None,
        each: Each = map,
    ) -> Stream:
        """A stream that this model judges; see :class:`~emoscope.prediction.stream.Stream`."""
        return Stream(
            self,
            self.card.emotions,
            rate,
            judged_rate=self.card.input.rate or None,
            window=min(window, self.card.input.longest),
            hop=hop,
            first=first,
            each=each,
        )

    def recording(
        self, pieces: Iterator[Signal], name: str, *, timeline: bool = False, each: Each = map
    ) -> Heard:
        """Judge one recording.

        Parameters
        ----------
        pieces : iterator of Signal
            The recording, piece by piece.
        name : str
            What the prediction calls it.
        timeline : bool
            Also divide it into labelled segments. The label of a recording that is short enough to
            be judged as a whole stays what it is without; one utterance alone has it too.
        each : callable, optional
            Like the built-in ``map``: applies the judge to the windows of one piece.
        """
        start, count = [], 0.0
        longest = min(UTTERANCE_SECONDS, self.card.input.longest)
        for piece in pieces:
            start.append(piece)
            count += piece.duration
            if count > longest:
                break
        if count > longest:
            return self._in_windows(itertools.chain(start, pieces), name, timeline, each)
        samples = np.concatenate([piece.samples for piece in start])
        heard = self._as_a_whole(Signal(samples, start[0].rate, name))
        if not timeline:
            return heard
        # One recording has one label, whether its timeline is asked for or not.
        segments = self._in_windows(start, name, True, each).prediction.segments
        if sum(segment.is_speech for segment in segments) == 1:
            segments = tuple(_relabelled(segment, heard.prediction) for segment in segments)
        prediction = dataclasses.replace(heard.prediction, segments=segments)
        return dataclasses.replace(heard, prediction=prediction)

    def _as_a_whole(self, signal: Signal) -> Heard:
        quality = Quality()
        quality.feed(signal.samples, signal.rate)
        quality.feed_frames(voice_activity.hear(resample(signal, voice_activity.RATE).samples))
        evidence = self(signal)
        return self._conclude(signal.path, evidence.probabilities, [evidence], quality, ())

    def _in_windows(self, pieces: Iterable[Signal], name: str, timeline: bool, each: Each) -> Heard:
        stream: Stream | None = None
        for piece in pieces:
            stream = stream or self.stream(piece.rate, each=each)
            stream.feed(piece.samples)
        assert stream is not None  # a recording without samples has been refused by now
        stream.finish()
        return self.finished(stream, name, timeline=timeline)

    def finished(self, stream: Stream, name: str, *, timeline: bool = True) -> Heard:
        """What was heard in a stream that has ended."""
        segments = stream.segments()
        evidence = [window.evidence for window in stream.windows] or [stream.judge_newest()]
        mean = mean_probabilities(segments, self.card.emotions)
        probabilities = evidence[0].probabilities if mean is None else mean
        kept = segments if timeline else ()
        mixed = _mixed(segments)
        return self._conclude(name, probabilities, evidence, stream.quality, kept, mixed)

    def _conclude(
        self,
        name: str,
        probabilities: NDArray[Any],
        evidence: Sequence[Evidence],
        quality: Quality,
        segments: tuple[Segment, ...],
        further: Sequence[str] = (),
    ) -> Heard:
        warnings = [*quality.warnings(), *further]
        unheard = bool(warnings) and warnings[0].split(":")[0] in ("silent", "no speech")
        distance = float(np.median([piece.distance for piece in evidence]))
        if distance > 1.0:
            warnings.append(
                f"unfamiliar: {distance:.1f} times as far from the training data as the limit; "
                "the label may not mean much here"
            )
        prediction = self.prediction(name, probabilities, warnings, segments, unheard=unheard)
        return Heard(prediction, np.mean([piece.embedding for piece in evidence], axis=0))

    def prediction(
        self,
        name: str,
        probabilities: NDArray[Any],
        warnings: Sequence[str],
        segments: tuple[Segment, ...] = (),
        *,
        unheard: bool = False,
    ) -> Prediction:
        """Put probabilities into words; uncertain when `unheard` or below the card's threshold."""
        emotions, best = self.card.emotions, int(np.argmax(probabilities))
        confidence = float(probabilities[best])
        return Prediction(
            file=name,
            emotion=emotions[best],
            confidence=confidence,
            probabilities=dict(zip(emotions, map(float, probabilities), strict=True)),
            uncertain=confidence < self.card.uncertain.threshold or unheard,
            warnings=tuple(warnings),
            segments=segments,
        )

    def _input(self, signal: Signal) -> NDArray[np.float32]:
        """What the graph takes of a piece of sound.

        Most features depend on the rate, so they are computed at that of the training clips. A card
        that does not know it has 0 there; then the sound stays as it is.
        """
        if self.card.input.kind == "samples":
            return self.model.prepare(signal)
        from ..features.spectrum import Spectrum

        spectrum = Spectrum(resample(signal, self.card.input.rate or signal.rate))
        values = [feature.extract(spectrum) for feature in self._features]
        return np.concatenate(values, axis=-1)[None]


def _mixed(segments: Iterable[Segment]) -> list[str]:
    """A warning where one label for everything would say little."""
    seconds: dict[str, float] = {}
    for segment in segments:
        if segment.is_speech:
            length = segment.end - segment.start
            seconds[segment.emotion] = seconds.get(segment.emotion, 0.0) + length
    spoken = sum(seconds.values())
    ordered = sorted(seconds.items(), key=lambda item: -item[1])
    if not ordered or ordered[0][1] >= MIXED_SHARE * spoken:
        return []
    shares = ", ".join(f"{emotion} {length / spoken:.0%}" for emotion, length in ordered)
    return [f"mixed: the label changes ({shares} of the speech); the timeline says where"]


def _relabelled(segment: Segment, prediction: Prediction) -> Segment:
    """A segment of speech with the label of the whole recording."""
    if not segment.is_speech:
        return segment
    return dataclasses.replace(
        segment,
        emotion=prediction.emotion,
        confidence=prediction.confidence,
        probabilities=prediction.probabilities,
    )


def _features(card: Card) -> list[Feature]:
    """The features a model was trained on; none for a model that hears samples."""
    if card.input.kind == "samples":
        return []
    from .. import features
    from ..features.encoder import Encoder

    if not card.input.features:
        raise ModelError("the model's card does not say which features it was trained on")
    found = []
    for entry in card.input.features:
        try:
            feature = features.get(entry["name"])
            # The card may come from anybody: it must not decide what is fetched from where.
            if isinstance(feature, Encoder):
                feature = dataclasses.replace(feature, local=True)
            spec = feature.spec
        except FeatureError as error:
            raise ModelError(f"the model's features cannot be computed here: {error}") from error
        found.append(feature)
        # Through JSON, as the card was: tuples come back as lists.
        if json.loads(json.dumps(spec)) != entry["spec"]:
            raise ModelError(
                f"the model was trained on '{entry['name']}' as {entry['spec']}; this version of "
                f"emoscope computes it as {spec}"
            )
    return found
