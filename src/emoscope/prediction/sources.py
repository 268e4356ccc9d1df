"""What can be classified, and how it is read and divided: files, samples, channels, given parts."""

from __future__ import annotations

import dataclasses
import os
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .. import audio
from ..audio import ChannelMeter, Excerpt, Signal, parse_channel
from ..errors import AudioError, CorpusError, EmoscopeError, check_known
from ..files import printable, sentence
from .prediction import GivenSegment, Prediction

if TYPE_CHECKING:
    from ..corpus.rows import Segment
    from .predictor import Predictor

Source: TypeAlias = "str | os.PathLike[str] | Excerpt | Signal | NDArray[Any] | Sequence[float]"
#: Gives what an excerpt says of a recording piece by piece, and feeds a meter with its channels.
Blocks: TypeAlias = "Callable[[Excerpt, ChannelMeter | None], Iterator[Signal]]"

Given: TypeAlias = "Mapping[str, Sequence[Segment]]"  # path of a recording → its parts

CHANNEL, SPEAKER, NONE = "channel", "speaker", "none"
MOST_SPEAKERS = 20  # in one channel; how well more are told apart was never measured
EACH = "each"  # the channel that stands for all of them, one after the other
_NAMELESS = (".textgrid", ".srt", ".vtt")  # these name no recording: they are of the one given


@dataclasses.dataclass(frozen=True)
class Division:
    """By what a recording is divided: its channels where they hold different speech, or voices."""

    by: str = CHANNEL
    speakers: int | None = None  # how many voices there are; None: as many as are found

    def __post_init__(self) -> None:
        check_known("division", (CHANNEL, SPEAKER, NONE), self.by)
        if self.speakers is not None and not 1 <= self.speakers <= MOST_SPEAKERS:
            raise EmoscopeError(f"speakers {self.speakers}: expected 1 to {MOST_SPEAKERS}")
        if self.speakers is not None and self.by != SPEAKER:
            raise EmoscopeError(f"a number of speakers needs division by speaker, not by {self.by}")


BY_CHANNEL = Division()


def opened(source: Source, rate: int | None) -> tuple[Blocks, Excerpt]:
    """How a recording is read, as often as wanted, and all of it or the part that was named."""
    if isinstance(source, Excerpt):  # says itself which channel
        return lambda excerpt, meter: audio.blocks(excerpt), source
    if isinstance(source, (str, os.PathLike)):
        return lambda excerpt, meter: audio.blocks(excerpt, meter=meter), Excerpt.of(source)
    signal = source if isinstance(source, Signal) else Signal(np.asarray(source), rate or 0)

    def blocks(excerpt: Excerpt, meter: ChannelMeter | None) -> Iterator[Signal]:
        samples: NDArray[Any] = signal.samples
        sound = audio.from_array(samples, signal.rate or None, signal.path, channel=excerpt.channel)
        if meter and samples.ndim == 2:
            full_scale = -float(np.iinfo(samples.dtype).min) if samples.dtype.kind == "i" else 1.0
            meter.feed((samples / full_scale).astype(np.float32), sound.rate)
        yield dataclasses.replace(sound, notes=signal.notes)

    return blocks, Excerpt(signal.path)


def choose(excerpt: Excerpt, channel: str) -> list[Excerpt]:
    """The excerpt of the channel that a user names, of every channel, or of the mix."""
    if channel.strip().lower() != EACH:
        return [dataclasses.replace(excerpt, channel=parse_channel(channel))]
    try:
        channels = audio.each_channel(excerpt.path)
    except AudioError:  # as whoever classifies it will be told
        return [excerpt]
    return channels if len(channels) > 1 else [excerpt]


def chosen(excerpt: Excerpt, channel: str) -> Excerpt:
    """The same where no more than one will do."""
    if channel.strip().lower() == EACH:
        raise AudioError(excerpt, sentence("several_channels"))
    return choose(excerpt, channel)[0]


def read_parts(source: str, paths: Sequence[str]) -> tuple[Given, str]:
    """The parts that an annotation file gives of each recording, and in a sentence what else."""
    from ..corpus.rows import segments

    given: dict[str, list[Segment]] = {path: [] for path in paths}
    by_place = {os.path.realpath(path): path for path in paths}
    by_name = {_name(path): path for path in paths}
    others: list[str] = []
    nameless = source.lower().endswith(_NAMELESS)
    for part in segments(source):
        path = by_place.get(os.path.realpath(part.file)) if part.file else None
        if not part.file or (len(paths) == 1 and nameless):
            path = paths[0]
            if len(paths) > 1:
                raise CorpusError(f"{source}: does not say of which recording it is; give one")
        elif path is None and (nameless or not os.path.exists(part.file)):  # moved or converted
            path = by_name.get(_name(part.file))
        given.get(path or "", []).append(part)
        others += [] if path else [part.file]
    if not others:
        return given, ""
    return given, printable(sentence("other_parts", source=source, n=len(others), of=others[0]))


def _name(path: str) -> str:
    return unicodedata.normalize("NFC", os.path.splitext(os.path.basename(path))[0]).casefold()


def predict_segments(
    predictor: Predictor, sources: Sequence[str | Excerpt], given: Given, *, jobs: int | None = None
) -> Iterator[Prediction | EmoscopeError]:
    """Predict recordings and, as their segments, the given parts of each; errors name a part each."""
    for source, whole in zip(sources, predictor.predict_many(sources, jobs=jobs), strict=True):
        path = Excerpt.of(source).path
        if isinstance(whole, EmoscopeError):
            yield whole
        elif not given[path]:
            yield AudioError(path, "no part of it is given in the file of --segments")
        else:
            for prediction in whole.each:
                yield from _with_parts(predictor, prediction, given[path], jobs)


def _with_parts(
    predictor: Predictor, whole: Prediction, parts: Sequence[Segment], jobs: int | None
) -> Iterator[Prediction | EmoscopeError]:
    if whole.channel:  # of which not all parts may be
        parts = [part for part in parts if part.channel in ("", whole.channel)]
    problems = [(n, part.problem) for n, part in enumerate(parts, 1) if part.problem]
    refused: list[EmoscopeError] = [AudioError(whole.file, f"part {n}: {p}") for n, p in problems]
    parts, excerpts = [part for part in parts if not part.problem], []
    for part in parts:  # NaN is the beginning or the end
        start, end = (None if time != time else time for time in (part.start, part.end))
        channel = parse_channel(whole.channel or part.channel)
        excerpts.append(Excerpt(whole.file, start or 0.0, end, channel))
    order: list[tuple[int, float]] = []  # of the parts that are classified, with their seconds

    def signals() -> Iterator[Signal]:
        for number, signal in audio.cut(whole.file, excerpts):
            if isinstance(signal, AudioError):
                refused.append(signal)
            else:
                order.append((number, signal.duration))
                yield signal

    found: list[GivenSegment] = []
    predictions = predictor.predict_many(signals(), jobs=jobs)
    for one, (number, seconds) in zip(predictions, order, strict=False):  # which grows beside them
        start = excerpts[number].start
        if isinstance(one, EmoscopeError):
            refused.append(one)
            continue
        told = parts[number]
        own = (one.emotion, one.confidence, one.probabilities, told.speaker)
        doubt = (one.uncertain, one.warnings, told.label)
        found.append(GivenSegment(start, start + seconds, *own, *doubt))
    if found:
        found.sort(key=lambda segment: (segment.start, segment.end))
        yield dataclasses.replace(whole, segments=tuple(found))
    yield from refused
