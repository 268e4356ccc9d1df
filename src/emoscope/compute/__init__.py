"""Where work runs: in this process, in local processes, or on a Dask cluster.

A worker that dies costs time, not results; memory does not grow with the number of items.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import pickle
import time
import traceback
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sized
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import threadpoolctl

from ..errors import EmoscopeError
from ..files import sentence

if TYPE_CHECKING:
    from .cluster import ClusterWorkers
    from .local import LocalWorkers

Item = TypeVar("Item")
Result = TypeVar("Result")
Function = Callable[[Any], Any]

CHUNK_SECONDS = 0.25  # a hundred times what handing over costs, and soon enough for progress
MAX_CHUNK_ITEMS = 512
LONE_TRIALS = 2  # of an item in whose company a worker died: one death alone may be an accident
THREAD_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class WorkerDiedError(EmoscopeError):
    """The process that worked on an item died, twice, with nothing else in its hands."""

    def __str__(self) -> str:
        return f"{self.args[0]}: {sentence('worker_died')}"


@dataclasses.dataclass(frozen=True)
class Chunk:
    """Items to work on, with their positions."""

    items: list[tuple[int, Any]]
    trials: int = 0  # of a suspect, that which this is


class Defect(str):
    """An unforeseen exception as text: not every exception survives the way back."""


@dataclasses.dataclass(frozen=True)
class Reply:
    """Outcomes of a chunk's first items, at least one, and the seconds that they took."""

    outcomes: list[Any]
    seconds: float


def run(
    function: Callable[[Item], Result], items: Iterable[Item], *, jobs: int | None = None,
    cluster: str | None = None, name: Callable[[Item], str] | None = None,
) -> Generator[tuple[int, Result | EmoscopeError], None, None]:  # fmt: skip
    """Apply a function to items and yield their positions and outcomes as they complete.

    It works in ``jobs`` local processes (1: in this one, None: one per available core), or where
    the Dask scheduler at the address ``cluster`` says, e.g. ``"tcp://10.0.0.1:8786"``. An
    :class:`EmoscopeError` that the function raises is an outcome; so is a :class:`WorkerDiedError`.
    Any other exception ends in a RuntimeError with the item's ``name``, else its number.
    """
    if jobs is not None and jobs < 1:
        raise EmoscopeError(f"{jobs} jobs were asked for; give 1 or more")
    if isinstance(items, Sized) and not len(items):
        return
    chunks, name = _Chunks(items), name or (lambda item: "")
    if jobs is None and cluster is None:
        import joblib  # imported late, for it takes long

        jobs = int(joblib.cpu_count())  # knows of affinity and of a container's limits
    jobs = min(jobs or 1, len(items)) if isinstance(items, Sized) else jobs or 1
    if cluster is None and jobs == 1:
        while (chunk := chunks.take(1, ())) is not None:
            with one_thread():  # as everywhere else, so that sums come out alike
                reply = perform(function, chunk.items)
            chunks.learn(chunk, reply)
            yield from _outcomes(chunk, reply, name)
        return
    workers, busy = _workers(function, jobs, cluster), dict[Future[Reply], Chunk]()
    try:
        yield from _dispatch(workers, chunks, busy, name)
    finally:
        workers.stop(is_idle=not busy)


def _workers(function: Function, jobs: int, cluster: str | None) -> LocalWorkers | ClusterWorkers:
    import joblib  # imported late, for it takes long

    task = pickle.dumps(joblib.wrap_non_picklable_objects(function, keep_wrapper=False))
    if cluster is not None:
        from .cluster import ClusterWorkers

        return ClusterWorkers(task, cluster)
    from .local import LocalWorkers

    return LocalWorkers(task, jobs)


def _dispatch(
    workers: LocalWorkers | ClusterWorkers, chunks: _Chunks, busy: dict[Future[Reply], Chunk],
    name: Callable[[Any], str],
) -> Iterator[tuple[int, Any]]:  # fmt: skip
    ready: list[tuple[int, Any]] = []
    while True:
        # Workers are given their next chunk before the caller gets outcomes to deal with.
        while len(busy) < (size := workers.size) and (chunk := chunks.take(size, busy.values())):
            busy[workers.submit(chunk.items)] = chunk
        yield from ready
        if not busy:
            return
        ready = []
        for future in wait(busy, return_when=FIRST_COMPLETED).done:
            chunk = busy.pop(future)
            index, item = chunk.items[0]
            try:
                reply = future.result()
            except workers.death:
                if chunk.trials < LONE_TRIALS:
                    chunks.suspect(chunk)
                else:
                    ready.append((index, WorkerDiedError(name(item) or f"item {index}")))
            except CancelledError:
                raise EmoscopeError("the connection to the Dask cluster was lost") from None
            except Exception as error:
                found = f"{name(item) or f'item {index}'}: {type(error).__name__}: {error}"
                raise RuntimeError(f"{found}{workers.hint}") from error
            else:
                chunks.learn(chunk, reply)
                ready.extend(_outcomes(chunk, reply, name))


def _outcomes(chunk: Chunk, reply: Reply, name: Callable[[Any], str]) -> Iterator[tuple[int, Any]]:
    for (index, item), outcome in zip(chunk.items, reply.outcomes, strict=False):
        if isinstance(outcome, Defect):
            raise RuntimeError(f"{name(item) or f'item {index}'}: {outcome}")
        yield index, outcome


class _Chunks:
    """Cuts items into chunks of :data:`CHUNK_SECONDS` of work, learning what an item costs."""

    def __init__(self, items: Iterable[Any]) -> None:
        self._left = len(items) if isinstance(items, Sized) else None
        self._source = enumerate(items)
        self._returned: deque[tuple[int, Any]] = deque()
        self._suspects: deque[Chunk] = deque()
        self._size = 1

    def learn(self, chunk: Chunk, reply: Reply) -> None:
        # What the worker did not begin comes back; what the others took tells the next size.
        done = len(reply.outcomes)
        self._returned.extend(chunk.items[done:])
        fitting = int(CHUNK_SECONDS * done / max(reply.seconds, 1e-9))
        self._size = max(1, min(fitting, 2 * self._size, MAX_CHUNK_ITEMS))

    def suspect(self, chunk: Chunk) -> None:
        # A worker died, perhaps of one of these: each is tried again with no other under way.
        self._suspects.extend(Chunk([item], chunk.trials + 1) for item in chunk.items)

    def take(self, workers: int, busy: Collection[Chunk]) -> Chunk | None:
        if busy and (self._suspects or any(chunk.trials for chunk in busy)):
            return None
        if self._suspects:
            return self._suspects.popleft()
        size = self._size
        if self._left is not None:  # towards the end, so little that all finish together
            size = max(1, min(size, self._left // (2 * workers)))
        items = [self._returned.popleft() for _ in range(min(size, len(self._returned)))]
        fresh = list(islice(self._source, size - len(items)))
        if self._left is not None:
            self._left -= len(fresh)
        return Chunk(items + fresh) if items or fresh else None


def work(task: bytes, items: list[tuple[int, Any]]) -> Reply:
    """What a worker does with a chunk of a task, which it unpacks once."""
    _one_thread_for_good()
    return perform(_unpacked(task), items)


_unpacked = functools.lru_cache(maxsize=1)(pickle.loads)


def perform(function: Function, items: list[tuple[int, Any]]) -> Reply:
    """Work on a chunk's items until :data:`CHUNK_SECONDS` have passed; the others go back."""
    start, outcomes = time.perf_counter(), []
    for _, item in items:
        try:
            outcomes.append(function(item))
        except EmoscopeError as error:
            outcomes.append(error)
        except Exception as error:
            told = f"{type(error).__name__}: {error}"
            outcomes.append(Defect(f"{told}\n\n{traceback.format_exc()}"))
        if time.perf_counter() - start > CHUNK_SECONDS:
            break
    return Reply(outcomes, time.perf_counter() - start)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Hold BLAS and OpenMP, loaded or not, to one thread: sums then add up in one order."""
    before = {name: os.environ[name] for name in THREAD_SETTINGS if name in os.environ}
    os.environ.update(dict.fromkeys(THREAD_SETTINGS, "1"))
    try:
        with threadpoolctl.threadpool_limits(limits=1):
            yield
    finally:
        for name in THREAD_SETTINGS:
            os.environ.pop(name, None)
        os.environ.update(before)


@functools.cache
def _one_thread_for_good() -> None:
    """As :func:`one_thread`, for the rest of a worker's life."""
    one_thread().__enter__()
