"""From a corpus to its features: decode each clip once, compute what is not stored yet.

A feature that clips of this rate do not have is left out for all of them, or another stands for it.
"""

import contextlib
import dataclasses
import functools
import math
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from .. import audio, compute
from ..audio import Excerpt, Signal, opening
from ..audio.excerpt import by_file
from ..compute import WorkerDiedError
from ..corpus import Corpus
from ..errors import AudioError, CorpusError, EmoscopeError, FeatureError
from ..features.base import Feature
from ..features.spectrum import Spectrum
from ..features.table import Features
from ..files import sentence
from . import content
from .content import Content
from .rows import Rows, Values, corpus_rate, notes_on, replacements
from .store import Store

Progress = Callable[[int, int], None]

MAX_NAMED = 5  # unusable clips, when not one could be used
MANY_PARTS = 64  # of a file that a worker gets at once, at least; it is decoded some four times


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A corpus with its features, row for row; clips left out are in ``corpus.rejected``."""

    corpus: Corpus
    #: ``"vector"``: all that give vectors, side by side; ``"frames"``: the one that gives frames.
    features: dict[str, Features]
    #: Features that were asked for → what stands for them at the rate of these clips, or None.
    replaced: Mapping[str, str | None] = dataclasses.field(default_factory=dict)

    def names(self, asked: Sequence[str]) -> list[str]:
        """What the features are called that stand for those asked for, ``encoder:MODEL`` included."""
        stand_for = (self.replaced.get(name.partition(":")[0], name) for name in asked)
        return [name for name in stand_for if name is not None]


def extract(
    corpus: Corpus, features: Sequence[Feature], *, store: Store | None = None,
    jobs: int | None = None, cluster: str | None = None, progress: Progress | None = None,
) -> Dataset:  # fmt: skip
    """Compute features of all clips, or read those that are stored.

    Any number of `features` may give vectors, and one frames. In `store` values are looked for and, as
    they are finished, kept; `jobs` and `cluster` are those of :func:`emoscope.compute.run`; `progress`
    is called with the number of clips done and of all. A CorpusError when not one clip can be used.
    """
    if not features:
        raise FeatureError("no features were asked for")
    excerpts = corpus.excerpts
    rate, found = _rate_of(excerpts[0]), list[Feature | None]()
    while (standing := [feature.at_rate(rate) for feature in features]) != found:
        found, notes = standing, list(replacements(features, standing, rate))
        if not any(found):
            raise FeatureError("; ".join(notes))
        rows = Rows(len(corpus), [feature for feature in found if feature is not None])
        refused = _fill(rows, excerpts, store, jobs, cluster, progress)
        rate = corpus_rate(rows.facts)
    refused |= rows.too_low(excerpts, refused)
    rejected = [refused[index] for index in sorted(refused)]
    usable = rows.usable
    if not usable.any():
        named = "; ".join(map(str, rejected[:MAX_NAMED]))
        more = f" … and {len(rejected) - MAX_NAMED} more" if len(rejected) > MAX_NAMED else ""
        raise CorpusError(f"not one of {len(usable)} clips can be used: {named}{more}")
    table = corpus.table[usable] if rejected else corpus.table
    notes += notes_on(rows.facts[usable], corpus.table)
    used = corpus.noting(*notes, table=table, rejected=[*corpus.rejected, *rejected])
    pairs = [(f.name, other) for f, other in zip(features, found, strict=True) if other is not f]
    replaced = {name: None if other is None else other.name for name, other in pairs}
    return Dataset(used, rows.tables(table["clip"].tolist()), replaced)


def extract_recordings(
    recordings: Sequence[str | os.PathLike[str] | Excerpt | Signal], features: Sequence[Feature], *,
    store: Store | None = None, jobs: int | None = None,
) -> dict[str, Features]:  # fmt: skip
    """Compute features of files, or of signals in memory, each of which has to be usable."""
    rows = Rows(len(recordings), features)
    signals = [recording for recording in recordings if isinstance(recording, Signal)]
    excerpts = [Excerpt.of(given) for given in recordings if not isinstance(given, Signal)]
    if signals and excerpts:
        raise FeatureError("found paths and signals together; give one or the other")
    refused = _fill(rows, excerpts, store, jobs) if excerpts else {}
    function = functools.partial(_of_signal, features=rows.features)
    for index, values in compute.run(function, signals, jobs=jobs):
        if isinstance(values, EmoscopeError):
            raise _refusal(f"recording {index}", values)
        rows.put_clip(index, list(range(len(rows.features))), values)
    names = list(map(str, excerpts)) or [s.path or str(n) for n, s in enumerate(signals)]
    for error in (refused | rows.too_low(names, refused)).values():
        raise error
    return rows.tables(names)


@dataclasses.dataclass(frozen=True)
class _Clip:
    excerpt: Excerpt
    index: int
    lacking: list[int]  # numbers of features


class _Unit(NamedTuple):
    """Clips of one file, which a worker decodes once."""

    path: str
    clips: list[_Clip]
    content: Content | None  # as far as known


def _units(
    clips: Sequence[_Clip], contents: Mapping[str, Content | None], jobs: int | None
) -> list[_Unit]:
    """The work, file by file; many parts of one are divided, and each time decoded up to the last."""
    units: list[_Unit] = []
    for path, numbers in by_file([clip.excerpt for clip in clips]).items():
        own = sorted((clips[n] for n in numbers), key=lambda clip: clip.excerpt.start)
        size = max(MANY_PARTS, -(-len(own) // (4 * (jobs or os.cpu_count() or 1))))
        pieces = (own[first : first + size] for first in range(0, len(own), size))
        units += [_Unit(path, piece, contents.get(path)) for piece in pieces]
    return units


def _fill(
    rows: Rows, excerpts: Sequence[Excerpt], store: Store | None, jobs: int | None,
    cluster: str | None = None, progress: Progress | None = None,
) -> dict[int, AudioError]:  # fmt: skip
    """Read or compute the values of all clips; those that cannot be used, by their position."""
    contents = _read_stored(rows, excerpts, store, jobs)
    lacking = [np.flatnonzero(~done).tolist() for done in rows.done]
    clips = [_Clip(excerpts[i], i, numbers) for i, numbers in enumerate(lacking) if numbers]
    units = _units(clips, contents, jobs)
    refused: dict[int, AudioError] = {}
    done, report = len(excerpts) - len(clips), progress or (lambda done, total: None)
    report(done, len(excerpts))
    function = functools.partial(_of_unit, features=rows.features, identify=store is not None)
    outcomes = compute.run(function, units, jobs=jobs, cluster=cluster, name=lambda unit: unit.path)
    with contextlib.ExitStack() as stack:
        if store is not None:
            stack.callback(store.flush)  # also when the run is stopped
        stack.enter_context(contextlib.closing(outcomes))
        for number, outcome in outcomes:
            unit = units[number]
            if isinstance(outcome, EmoscopeError):
                outcome = None, [outcome] * len(unit.clips)
            read, found = outcome
            for clip, values in zip(unit.clips, found, strict=True):
                if isinstance(values, EmoscopeError):
                    refused[clip.index] = _refusal(clip.excerpt, values)
                    continue
                rows.put_clip(clip.index, clip.lacking, values)
                if store is not None and read is not None:
                    key = content.key_of(read.key, clip.excerpt)
                    for feature, value in zip(clip.lacking, values, strict=True):
                        if value is not None:
                            store.put(rows.features[feature], key, value)
            if store is not None:
                store.remember(unit.path, read)
            for _ in unit.clips:
                done += 1
                report(done, len(excerpts))
    return refused


def _read_stored(
    rows: Rows, excerpts: Sequence[Excerpt], store: Store | None, jobs: int | None
) -> dict[str, Content | None]:
    """Take from the store what it has; what each file holds, where that had to be known."""
    held = [n for n, feature in enumerate(rows.features) if store and store.holds(feature)]
    if store is None or not held:
        return {}  # no clip need be read before it is worked on
    paths = list(dict.fromkeys(excerpt.path for excerpt in excerpts))
    contents = dict(zip(paths, store.find(paths), strict=True))
    unknown = [path for path, found in contents.items() if found is None]
    with ThreadPoolExecutor(jobs or os.cpu_count()) as pool:  # hashing releases the interpreter
        for path, found in zip(unknown, pool.map(content.read, unknown), strict=True):
            contents[path] = found
            store.remember(path, found)
    read = [contents[excerpt.path] for excerpt in excerpts]
    known = np.array([i for i, found in enumerate(read) if found is not None], dtype=np.intp)
    pairs = zip(read, excerpts, strict=True)
    keys = [content.key_of(found.key, part) for found, part in pairs if found is not None]
    for number in held:
        for positions, values in store.read(rows.features[number], keys):
            rows.put(number, known[positions], values)
    return contents


def _of_unit(
    unit: _Unit, *, features: Sequence[Feature], identify: bool
) -> tuple[Content | None, list[list[Values | None] | EmoscopeError]]:
    """Decode a file once and compute what its clips lack, with the content to store it by, if any."""
    found = unit.content or (content.read(unit.path) if identify else None)
    outcomes: dict[int, list[Values | None] | EmoscopeError] = {}
    parts = [clip.excerpt for clip in unit.clips]
    for number, signal in audio.cut(unit.path, parts, listen=True):
        lacking = [features[n] for n in unit.clips[number].lacking]
        try:
            if isinstance(signal, AudioError):
                raise signal
            outcomes[number] = _of_signal(signal, features=lacking)
        except (AudioError, FeatureError) as error:
            outcomes[number] = error
    if found is not None and content.stamp_of(unit.path) != found.stamp:
        found = None  # the file was changed meanwhile: nobody knows which content these belong to
    return found, [outcomes[number] for number in range(len(unit.clips))]


def _of_signal(signal: Signal, *, features: Sequence[Feature]) -> list[Values | None]:
    """Values of each feature; None of one that samples at this rate do not have."""
    found: list[Values | None] = []
    spectrum = Spectrum(signal)
    for feature in features:
        if signal.rate <= feature.min_rate:
            found.append(None)
            continue
        values = np.asarray(feature.extract(spectrum), dtype=np.float32)
        shape = values.shape if feature.kind == "vector" else values.shape[1:]
        if shape != (len(feature.columns),):
            told = {"shape": values.shape, "n": len(feature.columns)}
            raise FeatureError(sentence("feature_shape", name=feature.name, **told))
        if not np.isfinite(values).all():
            raise AudioError(signal.path or "recording", sentence("infinite", name=feature.name))
        found.append(values)
    return found


def _rate_of(excerpt: Excerpt) -> float:
    """The rate in Hz that most clips will have, judged by one; infinity where that costs much."""
    with contextlib.suppress(AudioError):
        return math.inf if opening.local_path(excerpt.path) is None else audio.rate_of(excerpt.path)
    return math.inf


def _refusal(path: object, error: EmoscopeError) -> AudioError:
    """Why a clip is left out; raises what is not the clip's fault."""
    if isinstance(error, AudioError):
        return error
    if isinstance(error, WorkerDiedError):
        return AudioError(path, sentence("worker_died"))
    if isinstance(error, FeatureError):
        return AudioError(path, str(error))
    raise error
