"""Parts of recordings that an annotation file gives, each classified by itself."""

from __future__ import annotations

import dataclasses
import os
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

from .. import audio
from ..audio import Excerpt, Signal, parse_channel
from ..corpus.annotations import Segment
from ..corpus.annotations import read as read_annotations
from ..errors import AudioError, CorpusError, EmoscopeError
from ..files import printable
from .prediction import GivenSegment, Prediction
from .predictor import Predictor

Given = Mapping[str, Sequence[Segment]]  # path of a recording → its parts

_NAMELESS = (".textgrid", ".srt", ".vtt")  # these name no recording: they are of the one given


def read(source: str, paths: Sequence[str]) -> tuple[Given, str]:
    """The parts of each recording, and in a sentence what else an annotation file tells.

    A CorpusError says why it cannot be read, or not be told of which recording its parts are.
    """
    given: dict[str, list[Segment]] = {path: [] for path in paths}
    by_place = {os.path.realpath(path): path for path in paths}
    by_name = {_name(path): path for path in paths}
    others: list[str] = []
    for part in read_annotations(source):
        path = by_place.get(os.path.realpath(part.file)) if part.file else None
        if not part.file or (len(paths) == 1 and source.lower().endswith(_NAMELESS)):
            path = paths[0]
            if len(paths) > 1:
                raise CorpusError(f"{source}: does not say of which recording it is; give one")
        elif path is None and not os.path.exists(part.file):  # it may have been moved or converted
            path = by_name.get(_name(part.file))
        given.get(path or "", []).append(part)
        others += [] if path else [part.file]
    if not others:
        return given, ""
    told = f"{len(others)} parts are of recordings that were not given, such as {others[0]}"
    return given, printable(f"{source}: {told}")


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
    for place, one in enumerate(predictor.predict_many(signals(), jobs=jobs)):
        number, seconds = order[place]
        start = excerpts[number].start
        if isinstance(one, EmoscopeError):
            refused.append(one)
            continue
        label = (one.emotion, one.confidence, one.probabilities, parts[number].label)
        found.append(GivenSegment(start, start + seconds, *label, one.uncertain, one.warnings))
    if found:
        found.sort(key=lambda segment: (segment.start, segment.end))
        yield dataclasses.replace(whole, segments=tuple(found))
    yield from refused
