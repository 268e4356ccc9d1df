"""From a corpus to its features: decode each clip once, compute what is not stored yet.

The rows follow the corpus, whatever order clips are finished in and wherever that happens. Clips
that cannot be used are left out and named with the reason; everything else is delivered.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from .. import audio, compute
from ..audio import Signal
from ..compute import WorkerDiedError
from ..corpus import Corpus
from ..errors import AudioError, CorpusError, EmoscopeError, FeatureError
from ..features.base import Feature
from ..features.spectrum import Spectrum
from ..features.table import Features
from . import content
from .content import Content
from .store import Store

Values = NDArray[np.float32]
Progress = Callable[[int, int], None]

MAX_NAMED = 5  # unusable clips, when not one could be used


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A corpus with its features, row for row; clips left out are in ``corpus.rejected``.

    Under ``"vector"`` are all vector features side by side, under ``"frames"`` the one that gives
    frames; as far as they were asked for.
    """

    corpus: Corpus
    features: dict[str, Features]


def extract(
    corpus: Corpus,
    features: Sequence[Feature],
    *,
    store: Store | None = None,
    jobs: int | None = None,
    cluster: str | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """Compute features of all clips, or read those that are stored.

    Parameters
    ----------
    features : sequence of Feature
        Any number that give vectors, and at most one that gives frames.
    store
        Where values are looked for and, as they are finished, kept.
    jobs, cluster
        Where clips are worked on, as for :func:`emoscope.compute.run`.
    progress
        Called with the number of clips done and the number of all clips.

    Raises
    ------
    CorpusError, FeatureError
        When not one clip can be used; when no features, or such as do not go together, are asked for.
    """
    rows = _Rows(len(corpus), features)
    paths = [os.fspath(path) for path in corpus.table["path"]]
    refused = _fill(rows, paths, store, jobs, cluster, progress)
    rejected = [refused[index] for index in sorted(refused)]
    usable = rows.usable
    if not usable.any():
        named = "".join(f"\n  {error}" for error in rejected[:MAX_NAMED])
        more = f"\n  … and {len(rejected) - MAX_NAMED} more" if len(rejected) > MAX_NAMED else ""
        raise CorpusError(f"not one of {len(usable)} clips can be used:{named}{more}")
    table = corpus.table[usable] if rejected else corpus.table
    used = dataclasses.replace(corpus, table=table, rejected=[*corpus.rejected, *rejected])
    return Dataset(used, rows.tables(table["clip"].tolist()))


def extract_recordings(
    recordings: Sequence[str | os.PathLike[str] | Signal],
    features: Sequence[Feature],
    *,
    store: Store | None = None,
    jobs: int | None = None,
) -> dict[str, Features]:
    """Compute features of files, or of signals in memory, each of which has to be usable."""
    rows = _Rows(len(recordings), features)
    signals = [recording for recording in recordings if isinstance(recording, Signal)]
    paths = [os.fspath(path) for path in recordings if not isinstance(path, Signal)]
    if signals and paths:
        raise FeatureError("found paths and signals together; give one or the other")
    for error in _fill(rows, paths, store, jobs).values() if paths else ():
        raise error
    function = functools.partial(_of_signal, features=rows.features)
    for index, values in compute.run(function, signals, jobs=jobs):
        if isinstance(values, EmoscopeError):
            raise _refusal(f"recording {index}", values)
        rows.put_clip(index, range(len(rows.features)), values)
    return rows.tables(paths or [s.path or str(n) for n, s in enumerate(signals)])


class _Rows:
    """The values of all clips as they arrive."""

    def __init__(self, n_clips: int, features: Sequence[Feature]) -> None:
        specs = [feature.spec for feature in features]
        self.features = [f for i, f in enumerate(features) if specs[i] not in specs[:i]]
        if not self.features:
            raise FeatureError("no features were asked for")
        frames = [feature.name for feature in self.features if feature.kind == "frames"]
        if len(frames) > 1:
            raise FeatureError(
                f"{' and '.join(frames)} both give frames; extract one of them at a time"
            )
        self.done = np.zeros((n_clips, len(self.features)), dtype=bool)
        self.columns: list[str] = []
        self._slices: list[slice] = []
        for feature in self.features:
            start = len(self.columns)
            self.columns += feature.columns if feature.kind == "vector" else ()
            self._slices.append(slice(start, len(self.columns)))
        if twice := [c for c in set(self.columns) if self.columns.count(c) > 1]:
            raise FeatureError(f"two of the features have a column '{min(twice)}'")
        # Filled, so that memory is taken now and does not grow as clips are finished.
        self.X = np.full((n_clips, len(self.columns)), np.nan, dtype=np.float32)
        self.frames: list[Values | None] = [None] * n_clips

    @property
    def usable(self) -> NDArray[np.bool_]:
        return np.asarray(self.done.all(axis=1))

    def put(
        self, number: int, positions: NDArray[np.intp], values: Sequence[Values] | Values
    ) -> None:
        if self.features[number].kind == "vector":
            self.X[positions, self._slices[number]] = values
        else:
            for position, frames in zip(positions, values, strict=True):
                self.frames[position] = frames
        self.done[positions, number] = True

    def put_clip(self, position: int, numbers: Sequence[int], values: Sequence[Values]) -> None:
        for number, value in zip(numbers, values, strict=True):
            self.put(number, np.array([position]), [value])

    def tables(self, clips: list[str]) -> dict[str, Features]:
        """The values of the usable clips, which are called ``clips``."""
        usable = self.usable
        tables: dict[str, Features] = {}
        if vectors := [feature for feature in self.features if feature.kind == "vector"]:
            tables["vector"] = Features(
                clips=clips,
                specs=[feature.spec for feature in vectors],
                columns=tuple(self.columns),
                X=self.X if usable.all() else self.X[usable],
                widths=tuple(len(feature.columns) for feature in vectors),
            )
        for feature in (feature for feature in self.features if feature.kind == "frames"):
            frames = [self.frames[i] for i in np.flatnonzero(usable)]
            tables["frames"] = Features(
                clips=clips,
                specs=[feature.spec],
                columns=tuple(feature.columns),
                frames=[f for f in frames if f is not None],
            )
        return tables


@dataclasses.dataclass(frozen=True)
class _Clip:
    path: str
    index: int
    lacking: list[int]  # numbers of features
    content: Content | None  # as far as known


def _fill(
    rows: _Rows,
    paths: Sequence[str],
    store: Store | None,
    jobs: int | None,
    cluster: str | None = None,
    progress: Progress | None = None,
) -> dict[int, AudioError]:
    """Read or compute the values of all clips; those that cannot be used, by their position."""
    contents = _read_stored(rows, paths, store, jobs)
    clips = [
        _Clip(paths[i], i, np.flatnonzero(~rows.done[i]).tolist(), contents[i])
        for i in np.flatnonzero(~rows.usable).tolist()
    ]
    refused: dict[int, AudioError] = {}
    report = progress or (lambda done, total: None)
    report(len(paths) - len(clips), len(paths))
    function = functools.partial(_of_clip, features=rows.features, identify=store is not None)
    outcomes = compute.run(function, clips, jobs=jobs, cluster=cluster, name=lambda clip: clip.path)
    with contextlib.ExitStack() as stack:
        if store is not None:
            stack.callback(store.flush)  # also when the run is stopped
        stack.enter_context(contextlib.closing(outcomes))
        for done, (number, outcome) in enumerate(outcomes, len(paths) - len(clips) + 1):
            clip = clips[number]
            if isinstance(outcome, EmoscopeError):
                refused[clip.index] = _refusal(clip.path, outcome)
            else:
                read, values = outcome
                rows.put_clip(clip.index, clip.lacking, values)
                if store is not None and read is not None:
                    for feature, value in zip(clip.lacking, values, strict=True):
                        store.put(rows.features[feature], read.key, value)
                    store.remember(clip.path, read)
            report(done, len(paths))
    return refused


def _read_stored(
    rows: _Rows, paths: Sequence[str], store: Store | None, jobs: int | None
) -> Sequence[Content | None]:
    """Take from the store what it has; what the files hold, where that had to be known."""
    held = [n for n, feature in enumerate(rows.features) if store and store.holds(feature)]
    if store is None or not held:
        return [None] * len(paths)  # no clip need be read before it is worked on
    contents = store.find(paths)
    unknown = [index for index, found in enumerate(contents) if found is None]
    with ThreadPoolExecutor(jobs or os.cpu_count()) as pool:  # hashing releases the interpreter
        read = pool.map(content.read, [paths[index] for index in unknown])
        for index, found in zip(unknown, read, strict=True):
            contents[index] = found
            store.remember(paths[index], found)
    known = np.array([i for i, found in enumerate(contents) if found is not None], dtype=np.intp)
    keys = [found.key for found in contents if found is not None]
    for number in held:
        for positions, values in store.read(rows.features[number], keys):
            rows.put(number, known[positions], values)
    return contents


def _of_clip(
    clip: _Clip, *, features: Sequence[Feature], identify: bool
) -> tuple[Content | None, list[Values]]:
    """Decode a clip once and compute what it lacks, with the content to store it by, if any."""
    found = clip.content or (content.read(clip.path) if identify else None)
    values = _of_signal(audio.load(clip.path), features=[features[n] for n in clip.lacking])
    if found is not None and content.stamp_of(clip.path) != found.stamp:
        found = None  # the file was changed meanwhile: nobody knows which content these belong to
    return found, values


def _of_signal(signal: Signal, *, features: Sequence[Feature]) -> list[Values]:
    found, spectrum = [], Spectrum(signal)
    for feature in features:
        values = np.asarray(feature.extract(spectrum), dtype=np.float32)
        n_columns = len(feature.columns)
        shape = values.shape if feature.kind == "vector" else values.shape[1:]
        if shape != (n_columns,):
            raise FeatureError(
                f"the feature '{feature.name}' gave shape {values.shape} for {n_columns} columns"
            )
        if not np.isfinite(values).all():
            reason = f"the feature '{feature.name}' is not finite"
            raise AudioError(signal.path or "recording", reason)
        found.append(values)
    return found


def _refusal(path: str, error: EmoscopeError) -> AudioError:
    """Why a clip is left out; raises what is not the clip's fault."""
    if isinstance(error, AudioError):
        return error
    if isinstance(error, (WorkerDiedError, FeatureError)):
        return AudioError(path, error.reason if isinstance(error, WorkerDiedError) else str(error))
    raise error
