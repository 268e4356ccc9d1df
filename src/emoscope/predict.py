"""Recognises emotion in any recording: load a model once, then predict as often as you like.

>>> import emoscope
>>> prediction = emoscope.predict("speech.wav")  # doctest: +SKIP
>>> prediction.emotion, prediction.confidence, prediction.uncertain  # doctest: +SKIP
('happy', 0.83, False)

A recording of up to 15 s is one utterance and judged as a whole. A longer one is judged in sliding
windows, and its label is the mean over its speech. Nothing here imports torch, pandas or plots.
"""

from __future__ import annotations

import concurrent.futures
import functools
import importlib.resources
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import media, model_file, voice
from .audio import Signal, resample
from .card import Card
from .errors import EmoscopeError, ModelError
from .model_file import ModelFile
from .prediction import Prediction
from .quality import Quality
from .stream import Stream
from .timeline import Evidence, Segment, mean_probabilities

if TYPE_CHECKING:
    from .features.base import Feature

Source: TypeAlias = (
    "str | os.PathLike[str] | Signal | NDArray[Any] | Sequence[float] | Iterator[Signal]"
)

Each: TypeAlias = Callable[..., Iterable[Evidence]]

UTTERANCE_SECONDS = 15.0
"""Longest recording that is judged as a whole; a longer one holds several utterances, and models
are trained on single ones."""


def predict(source: Source, rate: int | None = None, *, timeline: bool = False) -> Prediction:
    """Recognise the emotion of one recording with the shipped model.

    Parameters
    ----------
    source : str, path-like, Signal or array of shape (n_samples,) or (n_samples, n_channels)
        A file of any format, or samples: floats in [-1, 1], int16 or int32.
    rate : int, optional
        Sample rate of an array in Hz.
    timeline : bool
        Also divide the recording into labelled segments.

    Returns
    -------
    Prediction

    Raises
    ------
    AudioError
        When the recording cannot be used, with the reason.
    """
    return default_predictor().predict(source, rate, timeline=timeline)


@functools.lru_cache(maxsize=1)
def default_predictor() -> Predictor:
    """The shipped model, loaded when first asked for and then shared."""
    return Predictor()


def default_model() -> str:
    """Path of the shipped model file.

    Raises
    ------
    ModelError
        When this installation has none.
    """
    path = importlib.resources.files("emoscope").joinpath("data", "default.emoscope")
    if not path.is_file():
        raise ModelError("this installation holds no model; name a .emoscope file")
    return str(path)


class Predictor:
    """A model, loaded once, for any number of predictions from any number of threads.

    Parameters
    ----------
    model : str, path-like or ModelFile, optional
        A ``.emoscope`` file; by default the shipped model.
    threads : int
        Cores that one run of the model may use. Many recordings are better served by many runs
        side by side, which :meth:`predict_many` does.

    Raises
    ------
    ModelError
        When the file cannot be used.
    """

    def __init__(
        self, model: str | os.PathLike[str] | ModelFile | None = None, *, threads: int = 1
    ) -> None:
        self.model = (
            model
            if isinstance(model, ModelFile)
            else model_file.load(model or default_model(), threads=threads)
        )
        self._features = _features(self.model.card)

    @property
    def card(self) -> Card:
        """What the model says about itself."""
        return self.model.card

    @property
    def emotions(self) -> tuple[str, ...]:
        """The emotions the model knows, in the order of its probabilities."""
        return self.model.card.emotions

    def judge(self, signal: Signal) -> Evidence:
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

    def predict(
        self,
        source: Source,
        rate: int | None = None,
        *,
        timeline: bool = False,
        max_seconds: float | None = None,
    ) -> Prediction:
        """Recognise the emotion of one recording.

        Parameters
        ----------
        source : str, path-like, Signal, array or iterator of Signal
            A file of any format; samples of shape (n_samples,) or (n_samples, n_channels): floats
            in [-1, 1], int16 or int32; or pieces as :func:`emoscope.media.blocks` gives them.
        rate : int, optional
            Sample rate of an array in Hz.
        timeline : bool
            Also divide the recording into labelled segments.
        max_seconds : float, optional
            Refuse files longer than this.

        Returns
        -------
        Prediction

        Raises
        ------
        AudioError
            When the recording cannot be used, with the reason.
        """
        return self._predict(source, rate, timeline, max_seconds, map)

    def predict_many(
        self,
        sources: Iterable[Source],
        rate: int | None = None,
        *,
        timeline: bool = False,
        max_seconds: float | None = None,
        jobs: int | None = None,
    ) -> Iterator[Prediction | EmoscopeError]:
        """Recognise the emotion of many recordings, several at a time.

        Parameters
        ----------
        sources : iterable
            As for :meth:`predict`; taken a few at a time, so it may be endless.
        rate, timeline, max_seconds
            As for :meth:`predict`.
        jobs : int, optional
            How many to work on at once; by default one for each core.

        Yields
        ------
        Prediction or EmoscopeError
            In the order of the sources; an error for a recording that could not be used.
        """
        jobs = jobs or _cores()
        waiting = iter(sources)

        def outcome(source: Source, each: Each = map) -> Prediction | EmoscopeError:
            try:
                return self._predict(source, rate, timeline, max_seconds, each)
            except EmoscopeError as error:
                return error

        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            # A few more than there are threads, so that none waits for a slow neighbour's turn.
            first = list(itertools.islice(waiting, 4 * jobs))
            if len(first) == 1:  # its windows are shared out instead
                yield outcome(first[0], pool.map)
                return
            running = [pool.submit(outcome, source) for source in first]
            try:
                while running:
                    yield running.pop(0).result()
                    running += [pool.submit(outcome, s) for s in itertools.islice(waiting, 1)]
            finally:
                for future in running:
                    future.cancel()

    def stream(
        self, rate: int, *, window: float = 3.0, hop: float = 1.0, first: float | None = None
    ) -> Stream:
        """Judge sound as it arrives.

        Parameters
        ----------
        rate : int
            Hz, of the samples that will be fed.
        window, hop, first : float
            Seconds; see :class:`~emoscope.stream.Stream`.

        Returns
        -------
        Stream
            Feed it samples; it gives the windows it could judge.
        """
        return self._stream(rate, window, hop, first, map)

    def _stream(
        self,
        rate: int,
        window: float,
        hop: float,
        first: float | None,
        each: Each,
    ) -> Stream:
        window = min(window, self.card.input.longest)
        return Stream(
            self.judge, self.emotions, rate, window=window, hop=hop, first=first, each=each
        )

    def _predict(
        self,
        source: Source,
        rate: int | None,
        timeline: bool,
        max_seconds: float | None,
        each: Each,
    ) -> Prediction:
        pieces = _pieces(source, rate, max_seconds)
        name = source.path if isinstance(source, Signal) else ""
        name = os.fspath(source) if isinstance(source, (str, os.PathLike)) else name
        start, count = [], 0.0
        whole = min(UTTERANCE_SECONDS, self.card.input.longest)
        for piece in pieces:
            start.append(piece)
            count += piece.duration
            if count > whole:
                break
        if timeline or count > whole:
            return self._judge_windows(itertools.chain(start, pieces), name, timeline, each)
        samples = np.concatenate([piece.samples for piece in start])
        return self._judge_whole(Signal(samples, start[0].rate, name))

    def _judge_whole(self, signal: Signal) -> Prediction:
        quality = Quality()
        quality.feed(signal.samples, signal.rate)
        quality.feed_frames(voice.hear(resample(signal, voice.RATE).samples))
        evidence = self.judge(signal)
        return self._conclude(signal.path, evidence.probabilities, [evidence], quality, ())

    def _judge_windows(
        self,
        pieces: Iterable[Signal],
        name: str,
        timeline: bool,
        each: Each,
    ) -> Prediction:
        stream: Stream | None = None
        for piece in pieces:
            stream = stream or self._stream(piece.rate, 3.0, 1.0, None, each)
            stream.feed(piece.samples)
        assert stream is not None  # a recording without samples has been refused by now
        stream.finish()
        segments = stream.segments()
        evidence = [window.evidence for window in stream.windows] or [stream.judge_newest()]
        mean = mean_probabilities(segments, self.emotions)
        probabilities = evidence[0].probabilities if mean is None else mean
        return self._conclude(
            name, probabilities, evidence, stream.quality, segments if timeline else ()
        )

    def _conclude(
        self,
        name: str,
        probabilities: NDArray[Any],
        evidence: Sequence[Evidence],
        quality: Quality,
        segments: tuple[Segment, ...],
    ) -> Prediction:
        best = int(np.argmax(probabilities))
        confidence = float(probabilities[best])
        warnings = quality.warnings()
        unheard = bool(warnings) and warnings[0].split(":")[0] in ("silent", "no speech")
        distance = float(np.median([piece.distance for piece in evidence]))
        if distance > 1.0:
            warnings.append(
                f"unfamiliar: {distance:.1f} times as far from the training data as the limit; "
                "the label may not mean much here"
            )
        return Prediction(
            file=name,
            emotion=self.emotions[best],
            confidence=confidence,
            probabilities=dict(zip(self.emotions, map(float, probabilities), strict=True)),
            uncertain=confidence < self.card.uncertain.threshold or unheard,
            warnings=tuple(warnings),
            segments=segments,
        )

    def _input(self, signal: Signal) -> NDArray[np.float32]:
        """What the graph takes of a piece of sound."""
        if self.card.input.kind == "samples":
            return self.model.prepare(signal)
        from .features.spectrum import Spectrum

        spectrum = Spectrum(signal)
        values = [feature.extract(spectrum) for feature in self._features]
        return np.concatenate(values, axis=-1)[None]


def _features(card: Card) -> list[Feature]:
    """The features a model was trained on; none for a model that hears samples."""
    if card.input.kind == "samples":
        return []
    from . import features

    found = [features.get(entry["name"]) for entry in card.input.features]
    for feature, entry in zip(found, card.input.features, strict=True):
        # Through JSON, as the card was: tuples come back as lists.
        if json.loads(json.dumps(feature.spec)) != entry["spec"]:
            raise ModelError(
                f"the model was trained on '{entry['name']}' as {entry['spec']}; this version of "
                f"emoscope computes it as {feature.spec}"
            )
    return found


def _pieces(source: Source, rate: int | None, max_seconds: float | None) -> Iterator[Signal]:
    if isinstance(source, Signal):
        return iter((media.from_array(source.samples, source.rate, source.path),))
    if isinstance(source, (str, os.PathLike)):
        return media.blocks(source, max_seconds=max_seconds)
    if isinstance(source, Iterator):
        return source
    return iter((media.from_array(source, rate),))


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
