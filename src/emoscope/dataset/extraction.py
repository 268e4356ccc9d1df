"""From a corpus to its features: decode each clip once, compute what is not stored yet.

The rows follow the corpus, whatever order clips are finished in and wherever that happens. Clips
that cannot be used are left out and named with the reason; everything else is delivered.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
from collections.abc import Callable, Iterator, Sequence
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
from .store import Store, content
from .store.content import Content

Values = NDArray[np.float32]

AT_A_TIME = 4096
"""Recordings that are handed out to be read together."""

MOST_NAMED = 5
"""Unusable clips that are named when not one could be used."""


@dataclasses.dataclass(frozen=True)
class Extraction:
    """Features of a corpus.

    Attributes
    ----------
    corpus : Corpus
        The clips that could be used, in their order; all others are in its ``rejected``.
    features : dict of str to Features
        Row for row as in ``corpus``: under ``"vector"`` all vector features side by side, under
        ``"frames"`` the one that gives frames; as far as they were asked for.
    rejected : list of AudioError
        The clips that could not be used, in the corpus's order, each with the reason.
    """

    corpus: Corpus
    features: dict[str, Features]
    rejected: list[AudioError]


def extract(
    corpus: Corpus,
    features: Sequence[Feature],
    *,
    store: Store | None = None,
    jobs: int | None = None,
    cluster: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Extraction:
    """Compute features of all clips, or read those that are stored.

    Parameters
    ----------
    corpus : Corpus
        The clips.
    features : sequence of Feature
        Any number that give vectors, and at most one that gives frames. The features of a clip
        share one :class:`~emoscope.features.spectrum.Spectrum`.
    store : Store, optional
        Where values are looked for and, as they are finished, kept.
    jobs, cluster
        Where clips are worked on, as for :func:`emoscope.compute.run`.
    progress : callable, optional
        Called with the number of clips done and the number of all clips.

    Returns
    -------
    Extraction
        The same for every ``jobs`` and ``cluster``.

    Raises
    ------
    CorpusError
        When not one clip can be used.
    FeatureError
        When no features, or features that do not go together, were asked for.
    """
    rows = _Rows(len(corpus), _distinct(features))
    paths = [os.fspath(path) for path in corpus.table["path"]]
    if store is not None:
        _fetch(rows, paths, store, jobs)
    refused = _compute(rows, paths, store, jobs, cluster, progress)
    rejected = [refused[index] for index in sorted(refused)]
    return _delivered(corpus, rows, rejected)


def extract_recordings(
    recordings: Sequence[str | os.PathLike[str] | Signal],
    features: Sequence[Feature],
    *,
    store: Store | None = None,
    jobs: int | None = None,
) -> dict[str, Features]:
    """Compute features of recordings that are no corpus; each of them has to be usable.

    Parameters
    ----------
    recordings : sequence of path or Signal
        Files, or samples in memory, not mixed; only files are looked for in the store.
    features, store, jobs
        As for :func:`extract`.

    Returns
    -------
    dict of str to Features
        ``"vector"`` and ``"frames"``, as far as they were asked for, row for row as `recordings`.

    Raises
    ------
    AudioError
        For the first recording that cannot be used.
    FeatureError
        When no features, or features that do not go together, were asked for.
    """
    rows = _Rows(len(recordings), _distinct(features))
    signals = [recording for recording in recordings if isinstance(recording, Signal)]
    paths = [os.fspath(path) for path in recordings if not isinstance(path, Signal)]
    if signals and paths:
        raise FeatureError("found paths and signals together; give one or the other")
    if paths and store is not None:
        _fetch(rows, paths, store, jobs)
    if paths:
        for error in _compute(rows, paths, store, jobs, None, None).values():
            raise error
    function = functools.partial(_of_signal, features=tuple(rows.features))
    for index, values in compute.run(function, signals, jobs=jobs):
        if isinstance(values, EmoscopeError):
            raise _refusal(f"recording {index}", values)
        for number, part in enumerate(values):
            rows.put(number, np.array([index]), [part])
    return rows.tables(paths or [s.path or str(n) for n, s in enumerate(signals)])


class _Rows:
    """The values of all clips as they arrive."""

    def __init__(self, n_clips: int, features: Sequence[Feature]) -> None:
        self.features = features
        self.done = np.zeros((n_clips, len(features)), dtype=bool)
        self.columns: list[str] = []
        self._slices: list[slice] = []
        for feature in features:
            start = len(self.columns)
            self.columns += feature.columns if feature.kind == "vector" else ()
            self._slices.append(slice(start, len(self.columns)))
        twice = [c for c in set(self.columns) if self.columns.count(c) > 1]
        if twice:
            raise FeatureError(f"two of the features have a column '{min(twice)}'")
        # Filled, so that memory is taken now and does not grow as clips are finished.
        self.X = np.full((n_clips, len(self.columns)), np.nan, dtype=np.float32)
        self.frames: list[Values | None] = [None] * n_clips

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Which clips have everything."""
        return np.asarray(self.done.all(axis=1))

    def put(
        self, number: int, positions: NDArray[np.intp], values: Sequence[Values] | Values
    ) -> None:
        """Take the values of one feature for some clips."""
        if self.features[number].kind == "vector":
            self.X[positions, self._slices[number]] = values
        else:
            for position, frames in zip(positions, values, strict=True):
                self.frames[position] = frames
        self.done[positions, number] = True

    def tables(self, clips: list[str]) -> dict[str, Features]:
        """The values of all clips that have everything, under the names `clips` of these."""
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
            kept = [f for f, keep in zip(self.frames, usable, strict=True) if keep]
            tables["frames"] = Features(
                clips=clips,
                specs=[feature.spec],
                columns=tuple(feature.columns),
                frames=[f for f in kept if f is not None],
            )
        return tables


@dataclasses.dataclass(frozen=True)
class _Clip:
    """One clip to work on: its path and the numbers of the features it lacks."""

    path: str
    lacking: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class _Extracted:
    """What became of a clip; ``content`` is None where nothing may be stored."""

    content: Content | None
    values: list[Values]


def _distinct(features: Sequence[Feature]) -> list[Feature]:
    specs = [feature.spec for feature in features]
    chosen = [f for i, f in enumerate(features) if specs[i] not in specs[:i]]
    if not chosen:
        raise FeatureError("no features were asked for")
    frames = [feature.name for feature in chosen if feature.kind == "frames"]
    if len(frames) > 1:
        raise FeatureError(
            f"{' and '.join(frames)} both give frames; extract one of them at a time"
        )
    return chosen


def _fetch(rows: _Rows, paths: Sequence[str], store: Store, jobs: int | None) -> None:
    """Take from the store what it has."""
    held = [number for number, feature in enumerate(rows.features) if store.holds(feature)]
    if not held:
        return  # and no clip need be read to know
    keys = store.find(paths)
    _identify(keys, paths, store, jobs)
    known = np.array([index for index, key in enumerate(keys) if key is not None], dtype=np.intp)
    wanted = [key for key in keys if key is not None]
    for number in held:
        for positions, values in store.read(rows.features[number], wanted):
            rows.put(number, known[positions], values)


def _identify(
    keys: list[bytes | None], paths: Sequence[str], store: Store, jobs: int | None
) -> None:
    """Fill in the keys of recordings that have to be read for it."""
    unknown = [index for index, key in enumerate(keys) if key is None]
    with ThreadPoolExecutor(jobs or os.cpu_count()) as pool:  # hashing releases the interpreter
        for begin in range(0, len(unknown), AT_A_TIME):
            part = unknown[begin : begin + AT_A_TIME]
            for index, found in zip(
                part, pool.map(content.read, [paths[i] for i in part]), strict=True
            ):
                if found is not None:
                    keys[index] = found.key
                    store.remember(paths[index], found)
            store.flush_if_due()


def _compute(
    rows: _Rows,
    paths: Sequence[str],
    store: Store | None,
    jobs: int | None,
    cluster: str | None,
    progress: Callable[[int, int], None] | None,
) -> dict[int, AudioError]:
    """Work on the clips that lack something; the clips that cannot be used, by position."""
    missing: list[int] = np.flatnonzero(~rows.usable).tolist()
    clips = [_Clip(paths[i], tuple(np.flatnonzero(~rows.done[i]).tolist())) for i in missing]
    done, refused = len(paths) - len(clips), dict[int, AudioError]()
    report = progress or (lambda done, total: None)
    report(done, len(paths))
    function = functools.partial(
        _extract_clip, features=tuple(rows.features), identify=store is not None
    )
    with (
        _kept(store),
        contextlib.closing(
            compute.run(function, clips, jobs=jobs, cluster=cluster, name=lambda clip: clip.path)
        ) as outcomes,
    ):
        for number, outcome in outcomes:
            index, clip = missing[number], clips[number]
            if isinstance(outcome, EmoscopeError):
                refused[index] = _refusal(clip.path, outcome)
            else:
                _take(rows, index, clip, outcome, store)
            done += 1
            report(done, len(paths))
    return refused


@contextlib.contextmanager
def _kept(store: Store | None) -> Iterator[None]:
    """Write what was stored, also when the run is stopped; tidy up when it was not."""
    if store is None:
        yield
        return
    try:
        yield
    finally:
        store.flush()
    store.tidy()


def _take(rows: _Rows, index: int, clip: _Clip, extracted: _Extracted, store: Store | None) -> None:
    for number, values in zip(clip.lacking, extracted.values, strict=True):
        rows.put(number, np.array([index]), [values])
        if store is not None and extracted.content is not None:
            store.put(rows.features[number], extracted.content.key, values)
    if store is not None and extracted.content is not None:
        store.remember(clip.path, extracted.content)
        store.flush_if_due()


def _extract_clip(clip: _Clip, *, features: Sequence[Feature], identify: bool) -> _Extracted:
    """Decode a clip once and compute the features it lacks; runs in a worker."""
    found = content.read(clip.path) if identify else None
    spectrum = Spectrum(audio.load(clip.path))
    values = [_computed(features[number], spectrum, clip.path) for number in clip.lacking]
    if found is not None and content.stamp(clip.path) != found.stamp:
        found = None  # the file was changed meanwhile: nobody knows which content these belong to
    return _Extracted(found, values)


def _of_signal(signal: Signal, *, features: Sequence[Feature]) -> list[Values]:
    """The features of samples in memory; runs in a worker."""
    spectrum = Spectrum(signal)
    return [_computed(feature, spectrum, signal.path or "recording") for feature in features]


def _computed(feature: Feature, spectrum: Spectrum, path: str) -> Values:
    values = np.asarray(feature.extract(spectrum), dtype=np.float32)
    n_columns = len(feature.columns)
    shape = values.shape if feature.kind == "vector" else values.shape[1:]
    if shape != (n_columns,):
        raise FeatureError(
            f"the feature '{feature.name}' gave shape {values.shape} for {n_columns} columns"
        )
    if not np.isfinite(values).all():
        raise AudioError(path, f"the feature '{feature.name}' is not finite")
    return values


def _refusal(path: str, error: EmoscopeError) -> AudioError:
    """Why a clip is left out; raises what is not the clip's fault."""
    if isinstance(error, AudioError):
        return error
    if isinstance(error, WorkerDiedError):
        return AudioError(path, error.reason)
    if isinstance(error, FeatureError):
        return AudioError(path, str(error))
    raise error


def _delivered(corpus: Corpus, rows: _Rows, rejected: list[AudioError]) -> Extraction:
    usable = rows.usable
    if not usable.any():
        named = "".join(f"\n  {error}" for error in rejected[:MOST_NAMED])
        more = f"\n  … and {len(rejected) - MOST_NAMED} more" if len(rejected) > MOST_NAMED else ""
        raise CorpusError(f"not one of {len(usable)} clips can be used:{named}{more}")
    table = corpus.table[usable] if rejected else corpus.table
    used = dataclasses.replace(corpus, table=table, rejected=[*corpus.rejected, *rejected])
    return Extraction(used, rows.tables(table["clip"].tolist()), rejected)
