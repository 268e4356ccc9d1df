"""Where work runs: in this process, in local processes, or on a Dask cluster.

One function, :func:`run`, applies a function to items and yields outcomes as they complete. The
outcomes are the same wherever the work runs; only their order differs. A worker that dies costs
time, not results; memory does not grow with the number of items, which may be a generator.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence, Sized
from itertools import islice
from typing import Any, Protocol, TypeVar

from ..errors import EmoscopeError
from .tasks import CHUNK_SECONDS, Chunk, Defect, Reply, WorkerDiedError, one_thread, perform

Item = TypeVar("Item")
Result = TypeVar("Result")

CHUNK_ITEMS = 512
"""Most items per chunk, however quick they are."""

DEATHS_ALLOWED = 1
"""A worker that dies on a lone item may be an accident; the second is the item's fault."""


class Workers(Protocol):
    """What :func:`run` needs of a place where work runs."""

    @property
    def size(self) -> int:
        """How many chunks are worked on at the same time."""

    def free(self) -> int:
        """How many chunks can be handed over now."""

    def submit(self, chunk: Chunk) -> None:
        """Hand over a chunk."""

    def collect(self) -> list[tuple[Chunk, Reply | None]]:
        """Wait until something happens; the chunks that ended, with None where the worker died."""

    def stop(self) -> None:
        """End at once, whatever is under way."""


def run(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    jobs: int | None = None,
    cluster: str | None = None,
    name: Callable[[Item], str] | None = None,
) -> Generator[tuple[int, Result | EmoscopeError], None, None]:
    """Apply a function to items and yield the outcomes as they complete.

    Parameters
    ----------
    function : callable
        Applied to each item, with BLAS and OpenMP held to one thread. What is expensive to load, a
        model say, belongs in a cached function of a module: a process then loads it once.
    items : iterable
        Taken only as fast as they are worked on.
    jobs : int, optional
        Number of local processes; 1 works in this process; by default one per available core.
    cluster : str, optional
        Address of a Dask scheduler, e.g. ``"tcp://10.0.0.1:8786"``, which is used instead.
    name : callable, optional
        What to call an item in messages; by default its number.

    Yields
    ------
    index : int
        Position of the item.
    outcome : result or EmoscopeError
        An error of that kind which the function raised comes back as a value; so does a
        :class:`~emoscope.compute.tasks.WorkerDiedError`, for an item that killed its worker twice.

    Raises
    ------
    EmoscopeError
        When ``jobs`` is not positive or the cluster cannot be used.
    RuntimeError
        When the function raises anything else: a mistake in the program, reported with the item's
        name.
    """
    if jobs is not None and jobs < 1:
        raise EmoscopeError(f"{jobs} jobs were asked for; give 1 or more")
    return _run(function, items, jobs, cluster, name or (lambda item: ""))


def _run(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    jobs: int | None,
    cluster: str | None,
    name: Callable[[Item], str],
) -> Generator[tuple[int, Result | EmoscopeError], None, None]:
    # The places where work runs bring joblib or Dask along, so each is imported when it is used.
    workers: Workers
    if isinstance(items, Sized) and not len(items):
        return
    if cluster is not None:
        from .cluster import ClusterWorkers

        workers = ClusterWorkers(function, cluster)
    elif (count := _count(jobs, items)) == 1:
        workers = ThisProcess(function)
    else:
        from .workers import LocalWorkers

        workers = LocalWorkers(function, count)
    try:
        yield from _dispatch(workers, items, name)
    finally:
        workers.stop()


def _count(jobs: int | None, items: Iterable[Any]) -> int:
    if jobs is None:
        import joblib

        jobs = int(joblib.cpu_count())  # knows of affinity and of a container's limits
    return min(jobs, len(items)) if isinstance(items, Sized) else jobs


def _dispatch(
    workers: Workers, items: Iterable[Any], name: Callable[[Any], str]
) -> Iterator[tuple[int, Any]]:
    fresh, again = _Chunks(items), deque[Chunk]()
    busy = 0
    ready: list[tuple[int, Any]] = []
    while True:
        # Workers are given their next chunk before the caller gets outcomes to deal with.
        for _ in range(workers.free()):
            chunk = again.popleft() if again else fresh.take(workers.size)
            if chunk is None:
                break
            workers.submit(chunk)
            busy += 1
        yield from ready
        if not busy and not again and fresh.is_empty:
            return
        ready = []
        for chunk, reply in workers.collect():
            busy -= 1
            if reply is not None:
                fresh.learn(chunk.items, reply)
                ready.extend(_checked(chunk, reply, name))
            elif len(chunk.items) > 1:
                again.extend(Chunk([item]) for item in chunk.items)
            elif chunk.deaths < DEATHS_ALLOWED:
                again.append(Chunk(chunk.items, chunk.deaths + 1))
            else:
                index, item = chunk.items[0]
                ready.append((index, WorkerDiedError(_called(index, item, name))))


def _checked(chunk: Chunk, reply: Reply, name: Callable[[Any], str]) -> Iterator[tuple[int, Any]]:
    for (index, item), outcome in zip(chunk.items, reply.outcomes, strict=False):
        if isinstance(outcome, Defect):
            called = _called(index, item, name)
            raise RuntimeError(f"{called}: {outcome.summary}\n\n{outcome.trace}")
        yield index, outcome


def _called(index: int, item: Any, name: Callable[[Any], str]) -> str:
    return name(item) or f"item {index}"


class _Chunks:
    """Cuts items into chunks of :data:`CHUNK_SECONDS` of work, learning what an item costs."""

    def __init__(self, items: Iterable[Any]) -> None:
        self._exhausted = False
        self._left = len(items) if isinstance(items, Sized) else None
        self._source = enumerate(items)
        self._returned: deque[tuple[int, Any]] = deque()
        self._size = 1

    @property
    def is_empty(self) -> bool:
        """Whether every item has been begun."""
        return self._exhausted and not self._returned

    def learn(self, items: Sequence[tuple[int, Any]], reply: Reply) -> None:
        """Take back what a worker did not begin, and note what it took for the others."""
        done = len(reply.outcomes)
        self._returned.extend(items[done:])
        fitting = int(CHUNK_SECONDS * done / max(reply.seconds, 1e-9))
        self._size = max(1, min(fitting, 2 * self._size, CHUNK_ITEMS))

    def take(self, workers: int) -> Chunk | None:
        """The next chunk, or None when there is nothing left to begin."""
        size = self._size
        if self._left is not None:  # towards the end, so little that all finish together
            size = max(1, min(size, self._left // (2 * workers)))
        taken = [self._returned.popleft() for _ in range(min(size, len(self._returned)))]
        fresh = list(islice(self._source, size - len(taken)))
        self._exhausted = len(taken) + len(fresh) < size
        if self._left is not None:
            self._left -= len(fresh)
        return Chunk(taken + fresh) if taken or fresh else None


class ThisProcess:
    """Work in this process: nothing to start, nothing to send."""

    size = 1

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function
        self._chunk: Chunk | None = None

    def free(self) -> int:
        """One chunk, when there is none."""
        return int(self._chunk is None)

    def submit(self, chunk: Chunk) -> None:
        """Take a chunk; it is worked on when its outcome is asked for."""
        self._chunk = chunk

    def collect(self) -> list[tuple[Chunk, Reply | None]]:
        """Work on the chunk, with one thread as everywhere else, so that sums come out alike."""
        chunk, self._chunk = self._chunk, None
        if chunk is None:
            return []
        with one_thread():
            return [(chunk, perform(self._function, chunk.items))]

    def stop(self) -> None:
        """Nothing to end."""
