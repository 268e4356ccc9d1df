"""Recognises emotion in any recording: load a model once, then predict as often as you like.

>>> import emoscope
>>> prediction = emoscope.predict("speech.wav")  # doctest: +SKIP
>>> prediction.emotion, prediction.confidence, prediction.uncertain  # doctest: +SKIP
('happy', 0.83, False)

A recording of up to 15 s is one utterance and judged as a whole. A longer one is judged in sliding
windows, and its label is the mean over its speech. Nothing here imports torch, pandas or plots.
"""

from __future__ import annotations

import collections
import functools
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .. import audio, modelfile
from ..audio import Signal
from ..errors import EmoscopeError, ModelError
from ..files import DATA
from ..modelfile import ModelFile
from ..modelfile.card import Card
from .adapted import Adaptation
from .judge import HOP_SECONDS, WINDOW_SECONDS, Each, Heard, Judge
from .prediction import Prediction
from .stream import Stream

Source: TypeAlias = (
    "str | os.PathLike[str] | Signal | NDArray[Any] | Sequence[float] | Iterator[Signal]"
)

DEFAULT_MODEL = os.path.join(DATA, "default.emoscope")
MOST_REFERENCES = 256
"""Recordings that adaptation learns from: more would hardly move a mean and a variance."""


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
    if not os.path.isfile(DEFAULT_MODEL):
        raise ModelError("this installation holds no model; name a .emoscope file")
    return DEFAULT_MODEL


class Predictor:
    """A model, loaded once, for any number of predictions from any number of threads.

    Parameters
    ----------
    model : str, path-like or ModelFile, optional
        A ``.emoscope`` file; by default the shipped model.
    threads : int
        Cores that one run of the model may use. Many recordings are better served by many runs
        side by side, which :meth:`predict_many` does.
    optimise : bool
        Whether to spend time on loading to save time on every recording; False suits one or two
        short ones.

    Raises
    ------
    ModelError
        When the file cannot be used.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | ModelFile | None = None,
        *,
        threads: int = 1,
        optimise: bool = True,
    ) -> None:
        if isinstance(model, ModelFile):
            self.model = model
        else:
            path = default_model() if model is None else model
            self.model = modelfile.load(path, threads=threads, optimise=optimise)
        self.judge = Judge(self.model)

    @property
    def card(self) -> Card:
        """What the model says about itself."""
        return self.model.card

    @property
    def emotions(self) -> tuple[str, ...]:
        """The emotions the model knows, in the order of its probabilities."""
        return self.model.card.emotions

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
            in [-1, 1], int16 or int32; or pieces as :func:`emoscope.audio.blocks` gives them.
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
        pieces, name = _pieces(source, rate, max_seconds)
        return self.judge.recording(pieces, name, timeline=timeline).prediction

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
        for outcome in self._hear_many(sources, rate, timeline, max_seconds, jobs):
            yield outcome if isinstance(outcome, EmoscopeError) else outcome.prediction

    def predict_adapted(
        self,
        sources: Sequence[Source],
        rate: int | None = None,
        *,
        reference: Sequence[Source] | None = None,
        cautious: bool = False,
        max_seconds: float | None = None,
        jobs: int | None = None,
    ) -> Iterator[Prediction | EmoscopeError]:
        """Recognise the emotions of recordings relative to each other.

        Recordings of one speaker, or of one room and microphone, share much that has nothing to do
        with emotion. It is learned from them without any label, and taken away, before the model
        compares them. The recordings should hold different emotions: what they all have in common
        is what is taken away.

        Parameters
        ----------
        sources, rate, max_seconds, jobs
            As for :meth:`predict_many`.
        reference : sequence, optional
            Recordings to learn from; by default the sources. Up to 256, evenly spread, are used.
        cautious : bool
            Judge each recording by itself after all when most of those learned from sound alike.

        Yields
        ------
        Prediction or EmoscopeError
            In the order of the sources; each prediction says in its warnings that it is adapted.

        Raises
        ------
        ModelError
            When the model has not been trained for it, or there is one recording to learn from.
        """
        adaptation = Adaptation(self.judge)
        given = sources if reference is None else reference
        if len(given) == 1:
            raise ModelError("one recording cannot be judged relative to others; give several")
        places = np.linspace(0, len(given) - 1, min(MOST_REFERENCES, len(given)))
        sample = [int(place) for place in places]
        learned = self._hear_many((given[n] for n in sample), rate, False, max_seconds, jobs)
        heard = dict(zip(sample, learned, strict=True))
        adaptation.learn([outcome for outcome in heard.values() if isinstance(outcome, Heard)])
        adapts = not (cautious and adaptation.alike)
        known = heard if reference is None else {}
        others = (source for n, source in enumerate(sources) if n not in known)
        rest = self._hear_many(others, rate, False, max_seconds, jobs)
        for n in range(len(sources)):
            outcome = known[n] if n in known else next(rest)
            if isinstance(outcome, EmoscopeError):
                yield outcome
            else:
                yield adaptation.apply(outcome) if adapts else outcome.prediction

    def stream(
        self,
        rate: int,
        *,
        window: float = WINDOW_SECONDS,
        hop: float = HOP_SECONDS,
        first: float | None = None,
    ) -> Stream:
        """Judge sound as it arrives.

        Parameters
        ----------
        rate : int
            Hz, of the samples that will be fed.
        window, hop, first : float
            Seconds; see :class:`~emoscope.prediction.stream.Stream`.

        Returns
        -------
        Stream
            Feed it samples; it gives the windows it could judge.
        """
        return self.judge.stream(rate, window=window, hop=hop, first=first)

    def _hear_many(
        self,
        sources: Iterable[Source],
        rate: int | None,
        timeline: bool,
        max_seconds: float | None,
        jobs: int | None,
    ) -> Iterator[Heard | EmoscopeError]:
        jobs = jobs or _cores()
        waiting = iter(sources)

        def outcome(source: Source, each: Each = map) -> Heard | EmoscopeError:
            try:
                pieces, name = _pieces(source, rate, max_seconds)
                return self.judge.recording(pieces, name, timeline=timeline, each=each)
            except EmoscopeError as error:
                return error

        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(jobs) as pool:
            # A few more than there are threads, so that none waits for a slow neighbour's turn.
            first = list(itertools.islice(waiting, 4 * jobs))
            if len(first) == 1:  # its windows are shared out instead
                yield outcome(first[0], pool.map)
                return
            running = collections.deque(pool.submit(outcome, source) for source in first)
            try:
                while running:
                    yield running.popleft().result()
                    running += [pool.submit(outcome, s) for s in itertools.islice(waiting, 1)]
            finally:
                for future in running:
                    future.cancel()


def _pieces(
    source: Source, rate: int | None, max_seconds: float | None
) -> tuple[Iterator[Signal], str]:
    """The recording piece by piece, and its name."""
    if isinstance(source, Signal):
        return iter((audio.from_array(source.samples, source.rate, source.path),)), source.path
    if isinstance(source, (str, os.PathLike)):
        return audio.blocks(source, max_seconds=max_seconds), os.fspath(source)
    if isinstance(source, Iterator):
        return source, ""
    return iter((audio.from_array(source, rate),)), ""


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
