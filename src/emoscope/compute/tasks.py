"""What a worker is given and gives back, wherever it runs.

Items travel in chunks, so that handing them over costs little beside the work, and every outcome
comes back as a value: a result, an :class:`~emoscope.errors.EmoscopeError` that belongs to that
item, or a :class:`Defect`, which is a mistake in the program and ends the run.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import threadpoolctl

from ..errors import EmoscopeError

CHUNK_SECONDS = 0.25
"""Work per chunk: a hundred times what handing it over costs, and soon enough for progress."""

THREAD_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class WorkerDiedError(EmoscopeError):
    """The process that worked on an item died, twice, with nothing else in its hands.

    Parameters
    ----------
    name : str
        The item.
    """

    reason = (
        "the worker process died on it twice: killed from outside, out of memory, or crashed in "
        "compiled code"
    )

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


@dataclasses.dataclass
class Chunk:
    """Items that are handed to a worker together.

    Attributes
    ----------
    items : list of (int, item)
        Each with its position among all items.
    deaths : int
        How many workers have died while this was all they had.
    """

    items: list[tuple[int, Any]]
    deaths: int = 0


@dataclasses.dataclass(frozen=True)
class Defect:
    """An exception that nobody foresaw, as text: not every exception survives the way back."""

    summary: str
    trace: str

    @classmethod
    def of(cls, error: Exception) -> Defect:
        """Describe an exception that is being handled."""
        return cls(f"{type(error).__name__}: {error}", traceback.format_exc())


@dataclasses.dataclass(frozen=True)
class Reply:
    """What became of a chunk.

    Attributes
    ----------
    outcomes : list
        Of its first items; at least one. The others were not begun.
    seconds : float
        How long these took.
    """

    outcomes: list[Any]
    seconds: float


def attempt(function: Callable[[Any], Any], item: Any) -> Any:
    """Apply a function to one item: its result, its error as a value, or a :class:`Defect`."""
    try:
        return function(item)
    except EmoscopeError as error:
        return error
    except Exception as error:
        return Defect.of(error)


def perform(function: Callable[[Any], Any], items: list[tuple[int, Any]]) -> Reply:
    """Work on a chunk's items, one after the other, until :data:`CHUNK_SECONDS` have passed.

    What is left goes back, for it may be slower than what the chunk's length was guessed from, and
    other workers may have nothing to do.
    """
    start, seconds, outcomes = time.perf_counter(), 0.0, []
    for _, item in items:
        outcomes.append(attempt(function, item))
        seconds = time.perf_counter() - start
        if seconds > CHUNK_SECONDS:
            break
    return Reply(outcomes, seconds)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Hold BLAS and OpenMP to one thread: parallelism is over items, and sums add up in one order.

    The environment is for libraries that are loaded meanwhile, as torch is by the first clip.
    """
    before = {name: os.environ[name] for name in THREAD_SETTINGS if name in os.environ}
    os.environ.update(dict.fromkeys(THREAD_SETTINGS, "1"))
    try:
        with threadpoolctl.threadpool_limits(limits=1):
            yield
    finally:
        for name in THREAD_SETTINGS:
            os.environ.pop(name, None)
        os.environ.update(before)


def one_thread_for_good() -> None:
    """As :func:`one_thread`, for the rest of this process's life."""
    os.environ.update(dict.fromkeys(THREAD_SETTINGS, "1"))
    threadpoolctl.threadpool_limits(limits=1)
