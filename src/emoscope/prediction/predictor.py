"""The way of a recording to its label, from top to bottom.

Up to 15 s, a recording is one utterance and classified as a whole; a longer one in sliding windows
over its speech (:class:`~emoscope.prediction.timeline.Stream`), whose mean decides.
"""

import collections
import copy
import functools
import itertools
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .. import modelfile
from ..audio import ChannelMeter, Excerpt, Signal, channel_name, resample, voice_activity
from ..audio.quality import Quality
from ..audio.voice_activity import Turn
from ..errors import EmoscopeError, ModelError
from ..files import sentence
from ..modelfile import ModelFile
from ..modelfile.card import Card
from .known import training_warning
from .prediction import (
    TWO_CHANNELS,
    Prediction,
    Recognition,
    Segment,
    decide,
    estimate_warning,
    is_uncertain,
    mixed_warning,
    out_of_domain_warning,
)  # fmt: skip
from .sources import BY_CHANNEL, CHANNEL, NONE, SPEAKER, Blocks, Division, Source, chosen, opened
from .timeline import Inference, Map, Stream, Windows, mean_probabilities

UTTERANCE_SECONDS = 15.0  # a longer recording holds several; models are trained on single ones
MAX_REFERENCES = 64  # recordings that tell what a source has in common: more hardly say more


class Predictor:
    """A model, loaded once, for any number of predictions from any number of threads.

    Parameters
    ----------
    model : str, path-like or ModelFile, optional
        A ``.emoscope`` file, or a model of another tool (:mod:`emoscope.adapters`); by default the
        shipped model. A ModelError when it cannot be used.
    optimise : bool
        False loads faster and predicts more slowly, which suits one or two short recordings.
    labels : mapping, optional
        What labels of a model of another tool mean: emotions, or "" to leave a label out.
    """

    def __init__(
        self, model: str | os.PathLike[str] | ModelFile | None = None, *,
        optimise: bool = True, labels: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        if not isinstance(model, ModelFile):
            path = modelfile.SHIPPED[0] if model is None else model
            if labels and not modelfile.is_foreign(path):
                raise ModelError(f"{path}: its labels are emotions already; none can be mapped")
            model = modelfile.load(path, optimise=optimise, labels=labels)
        self.model, self._features = model, modelfile.features_of(model.card)
        #: Told after each piece of a long recording what has been heard of it.
        self.heard: Callable[[Excerpt, Stream], None] = lambda part, stream: None
        self._map: Map = map  # of the model to the windows of one piece

    @property
    def card(self) -> Card:
        """What the model says about itself."""
        return self.model.card

    @property
    def emotions(self) -> tuple[str, ...]:
        """The emotions the model knows, in the order of its probabilities."""
        return self.card.emotions

    def predict(
        self, source: Source, rate: int | None = None, *, channel: str | None = None,
        timeline: bool = False, by: str = CHANNEL, speakers: int | None = None,
    ) -> Prediction:  # fmt: skip
        """As :func:`emoscope.prediction.predict`, also of an Excerpt."""
        division = Division(by, speakers)
        blocks, excerpt = opened(source, rate)
        if channel is not None:
            excerpt = chosen(excerpt, channel)
        return self.recognise(
            blocks, excerpt, listen=channel is None, timeline=timeline, division=division
        ).prediction

    def recognise(
        self, blocks: Blocks, excerpt: Excerpt, *, listen: bool = True,
        timeline: bool = False, division: Division = BY_CHANNEL,
    ) -> Recognition:  # fmt: skip
        """Classify what a function reads; each of two channels as well, if one listens to them."""
        timeline = timeline or division.by == SPEAKER  # for which it is read twice
        found = self._recognise_channels(blocks, excerpt, listen, timeline, division)
        if not timeline:
            return found
        from .summary import summarised

        return found._replace(prediction=summarised(found.prediction))

    def _recognise_channels(
        self, blocks: Blocks, excerpt: Excerpt, listen: bool, timeline: bool, division: Division
    ) -> Recognition:  # fmt: skip
        def one(
            part: Excerpt, meter: ChannelMeter | None = None, division: Division = division,
            **hints: Any,
        ) -> Recognition:  # fmt: skip
            first = next(pieces := blocks(part, meter))
            whole: Iterator[Signal] = itertools.chain([first], pieces)
            again = functools.partial(blocks, part, None) if division.by == SPEAKER else None
            heard = functools.partial(self.heard, part)
            if again:
                turns = _turns(first.rate, whole, division.speakers, heard)
                hints, whole = {"turns": turns}, again()
            found = self._recognise(whole, part.path, timeline, heard, **hints)
            said, name = (*first.notes, *found.prediction.warnings), channel_name(part.channel)
            segments = found.prediction.segments
            if again and division.speakers is None:
                said += estimate_warning(segments)
            if division.by == CHANNEL and name:
                segments = tuple(replace(s, speaker=name) if s.is_speech else s for s in segments)
            return found.but(channel=name, warnings=said, segments=segments)

        meter = ChannelMeter() if listen else None
        whole = one(excerpt, meter)
        if not (meter and (meter.n_channels > 2 or meter.different_speech)):
            return whole
        mixing = "label and its speakers mix" if division.by == SPEAKER else "label mixes"
        mixed = f"{TWO_CHANNELS}, which this {mixing}"
        if meter.n_channels > 2 or division.by == NONE:
            many = sentence("predictor.many_channels", count=meter.n_channels)
            said = many if meter.n_channels > 2 else mixed
            return whole.but(warnings=(said, *whole.prediction.warnings))
        undivided = (sentence("prediction.undivided"),) if division.by == SPEAKER else ()
        channels = []
        for side in (0, 1):
            hint = {"not_own": meter.other_speaks(side)}
            p = one(replace(excerpt, channel=side), None, BY_CHANNEL, **hint).prediction
            alone = sentence("prediction.one_of_two", channel=p.channel)
            channels.append(replace(p, warnings=(alone, *undivided, *p.warnings)))
        said = f"{mixed}; the channels 'left' and 'right' give each"
        warnings = (said, *whole.prediction.warnings)
        return whole.but(warnings=warnings, channels=tuple(channels))

    def _recognise(
        self, blocks: Iterator[Signal], name: str, timeline: bool,
        heard: Callable[[Stream], None], **hints: Any,
    ) -> Recognition:  # fmt: skip
        """Classify a recording as a whole or, when it holds several utterances, in windows."""
        beginning, seconds = [], 0.0
        limit = min(UTTERANCE_SECONDS, self.card.input.longest)
        for block in blocks:
            beginning.append(block)
            seconds += block.duration
            if seconds > limit:
                stream = self.stream(beginning[0].rate, **hints)
                _fed(stream, itertools.chain(beginning, blocks), heard)
                return self.recognise_stream(stream, name, timeline=timeline)
        samples = np.concatenate([block.samples for block in beginning])
        utterance = self._recognise_utterance(Signal(samples, beginning[0].rate, name))
        if not timeline:
            return utterance
        found = utterance.prediction
        stream = _fed(self.stream(beginning[0].rate, **hints), beginning)
        segments = self._segments(stream)
        if sum(part.is_speech for part in segments) == 1:  # has the label of the whole
            names = ("emotion", "confidence", "probabilities", "uncertain", "warnings")
            label = {name: getattr(found, name) for name in names}
            segments = tuple(replace(s, **label) if s.is_speech else s for s in segments)
        return utterance.but(segments=segments)

    def _recognise_utterance(self, signal: Signal) -> Recognition:
        quality = Quality()
        quality.feed(signal.samples, signal.rate)
        for_model = self._at_model_rate(signal)
        at_rate = for_model if for_model.rate == voice_activity.RATE else signal
        for_detector = resample(at_rate, voice_activity.RATE)
        quality.feed_frames(voice_activity.speech_probabilities(for_detector.samples))
        inference = self.infer(for_model)
        warnings = [*quality.warnings(), *out_of_domain_warning(inference.distance)]
        warnings += training_warning(self.card, for_detector)
        prediction = decide(self.card, signal.path, inference.probabilities, warnings)
        return Recognition(prediction, inference.logits)

    def infer(self, signal: Signal) -> Inference:
        """Run the model on at most ``card.input.longest`` seconds of any rate, without any check."""
        sound = self._at_model_rate(signal)
        if self.card.input.kind == "samples":
            given = self.model.prepare(sound)
        else:
            from ..features.spectrum import Spectrum

            spectrum = Spectrum(sound)
            given = np.concatenate([f.extract(spectrum) for f in self._features], axis=-1)[None]
        logits, embedding = self.model.run(given)
        detector = self.card.domain
        distance = detector.distance(embedding)[0] / detector.threshold if detector else 0.0
        probabilities = self.model.probabilities(logits)
        return Inference(logits[0], probabilities[0], embedding[0], float(distance))

    def _at_model_rate(self, signal: Signal) -> Signal:
        """The sound at the rate of the training clips; as it is when the card says 0, unknown."""
        return resample(signal, self.card.input.rate or signal.rate)

    def stream(
        self, rate: int, options: Windows = Windows(), **hints: Any,  # noqa: B008
    ) -> Stream:  # fmt: skip
        """A stream to feed samples of `rate` Hz as they arrive; it gives the complete windows."""
        options = replace(options, length=min(options.length, self.card.input.longest))
        at = (rate, self.card.input.rate or rate)
        label = self._label_windows
        return Stream(self.infer, self.emotions, *at, options, self._map, label, **hints)

    def _label_windows(self, inferences: Sequence[Inference], overlap: float) -> list[Inference]:
        """Probabilities of windows of one voice or one recording, which is one source."""
        if self.card.offsets is None or len(inferences) < 2 * overlap:
            return list(inferences)
        from ..models import offsets  # which takes a tenth as long to import as a label takes

        logits = np.stack([one.logits for one in inferences])
        found = offsets.learn(self.card, logits, overlap=overlap).probabilities(logits)
        each = zip(inferences, found, strict=True)
        return [replace(one, probabilities=own) for one, own in each]

    def _segments(self, stream: Stream) -> tuple[Segment, ...]:
        """A stream's segments, each with its own doubts, by the rule for a recording."""
        starts, ends, far = np.array(
            [(window.start, window.end, window.inference.distance) for window in stream.windows]
        ).reshape(-1, 3).T  # fmt: skip

        def with_doubts(part: Segment) -> Segment:
            over = (starts <= part.end) & (ends >= part.start)
            said = stream.quality.part(part.start, part.end).warnings()
            said += out_of_domain_warning(float(np.median(far[over])))
            uncertain = is_uncertain(self.card, part.confidence, said)
            return replace(part, uncertain=uncertain, warnings=tuple(said))

        return tuple(with_doubts(part) if part.is_speech else part for part in stream.segments())

    def recognise_stream(self, stream: Stream, name: str, *, timeline: bool = True) -> Recognition:
        """Of a stream that has ended, by the mean over the speech, or the last window of sound."""
        segments = self._segments(stream)
        inferences = [window.inference for window in stream.windows] or [stream.infer_newest()]
        mean = mean_probabilities(segments, self.emotions)
        probabilities = inferences[0].probabilities if mean is None else mean
        distance = float(np.median([one.distance for one in inferences]))
        warnings = [*stream.quality.warnings(), *mixed_warning(segments)]
        warnings += out_of_domain_warning(distance)
        prediction = decide(self.card, name, probabilities, warnings, segments if timeline else ())
        logits = np.mean([one.logits for one in inferences], axis=0)
        return Recognition(prediction, logits, in_windows=True)

    def predict_many(
        self, sources: Iterable[Source], rate: int | None = None, *, timeline: bool = False,
        together: bool = False, jobs: int | None = None, by: str = CHANNEL, speakers: int | None = None,
    ) -> Iterator[Prediction | EmoscopeError]:  # fmt: skip
        """Recognise the emotion of many recordings, even endlessly many, `jobs` at once.

        In the order of the sources comes a prediction, or the error of one that cannot be used.
        `together`: they have an end and are of one voice, room or corpus, so that what it adds to
        each is learned from them without labels and taken away (:mod:`emoscope.models.offsets`).
        """
        division = Division(by, speakers)
        if together:
            yield from self.predict_sources([list(sources)], rate, jobs=jobs, division=division)
            return
        for outcome in self._recognise_many(
            sources, rate, jobs=jobs, timeline=timeline, division=division
        ):
            yield outcome if isinstance(outcome, EmoscopeError) else outcome.prediction

    def _recognise_many(
        self, sources: Iterable[Source], rate: int | None, *,
        jobs: int | None, timeline: bool = False, division: Division = BY_CHANNEL,
    ) -> Iterator[Recognition | EmoscopeError]:  # fmt: skip
        from concurrent.futures import ThreadPoolExecutor

        has_affinity = hasattr(os, "sched_getaffinity")
        jobs = jobs or (len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1)
        remaining, ended = iter(sources), threading.Event()

        def outcome(source: Source, predictor: Predictor = self) -> Recognition | EmoscopeError:
            def until_ended(part: Excerpt, meter: ChannelMeter | None) -> Iterator[Signal]:
                yield from itertools.takewhile(lambda _: not ended.is_set(), blocks(part, meter))

            try:
                blocks, part = opened(source, rate)
                return predictor.recognise(until_ended, part, timeline=timeline, division=division)
            except EmoscopeError as error:
                return error

        with ThreadPoolExecutor(jobs) as pool:
            # A few more than there are threads, so that none waits for a slow neighbour's turn.
            first = list(itertools.islice(remaining, 4 * jobs))
            if len(first) == 1:  # its windows are shared out instead
                alone = copy.copy(self)
                alone._map = pool.map
                yield outcome(first[0], alone)
                return
            running = collections.deque(pool.submit(outcome, source) for source in first)
            try:
                while running:
                    yield running.popleft().result()
                    running += [pool.submit(outcome, s) for s in itertools.islice(remaining, 1)]
            finally:  # also after Ctrl+C, which does not wait for hours of sound
                ended.set()
                for future in running:
                    future.cancel()

    def predict_sources(
        self, sources: Iterable[Sequence[Source]], rate: int | None = None, *,
        skip: Callable[[Source], bool] = lambda _: False, jobs: int | None = None,
        division: Division = BY_CHANNEL,
    ) -> Iterator[Prediction | EmoscopeError]:  # fmt: skip
        """As :meth:`predict_many`, each group together; those to `skip` are just learned from."""
        groups = []
        for group in sources:
            asked = [place for place, source in enumerate(group) if not skip(source)]
            count = min(MAX_REFERENCES, len(group)) if asked and len(group) > 1 else 0
            names = [s if isinstance(s, str) else getattr(s, "path", "") for s in group]
            by_name = sorted(range(len(group)), key=names.__getitem__)  # in whatever order given
            told = [by_name[n] for n in np.linspace(0, len(group) - 1, count).astype(int)]
            groups.append((group, asked, told))
        order = (
            group[place]
            for group, asked, told in groups
            for place in (*told, *sorted({*asked} - {*told}))
        )
        outcomes = self._recognise_many(order, rate, jobs=jobs, division=division)
        for _, asked, told in groups:
            known = {place: next(outcomes) for place in told}
            label = self.learned(known.values())
            for place in asked:
                outcome = known[place] if place in known else next(outcomes)
                yield outcome if isinstance(outcome, EmoscopeError) else label(outcome)

    def learned(
        self, outcomes: Iterable[Recognition | EmoscopeError]
    ) -> Callable[[Recognition], Prediction]:
        """What labels recordings once these, of one source, have told what they have in common."""
        known = [one for one in outcomes if isinstance(one, Recognition) and one.is_one]
        if self.card.offsets is None or len(known) < 2:
            return lambda recognition: recognition.prediction
        from ..models import offsets

        source = offsets.learn(self.card, np.stack([one.logits for one in known]))
        said = sentence("prediction.labelled_together", count=len(known))

        def label(found: Recognition) -> Prediction:
            alone = found.prediction
            if not found.is_one:
                return alone
            probabilities = source.probabilities(found.logits[np.newaxis])[0]
            labelled = decide(self.card, alone.file, probabilities, (*alone.warnings, said))
            return replace(labelled, channel=alone.channel)

        return label


def _turns(
    rate: int, blocks: Iterable[Signal], count: int | None, heard: Callable[[Stream], None]
) -> Sequence[Turn]:
    from . import speakers  # which takes as long to import as a label takes

    stream = _fed(speakers.stream(rate), blocks, heard)
    return speakers.turns(stream.windows, stream.speech, count)


def _fed(
    stream: Stream, blocks: Iterable[Signal], told: Callable[[Stream], None] = lambda stream: None
) -> Stream:
    for block in blocks:
        stream.feed(block.samples, wait=False)
        told(stream)
    stream.finish()
    return stream
