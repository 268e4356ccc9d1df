"""Local worker processes, of loky; when one dies, all that are at work end and others take over."""

import contextlib
import os
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

from joblib.externals.loky.process_executor import (
    BrokenProcessPool,
    ProcessPoolExecutor,
    TerminatedWorkerError,
)

from ..errors import EmoscopeError
from . import THREAD_SETTINGS, Chunk, Reply, Task, work

MAX_STARTS = 3  # in a row that fail: no accident
# Workers have these before they import anything. glibc is to keep what is freed, for networks ask
# for the same megabytes again at every step; the second is the largest that every version takes.
ENVIRONMENT = {
    **dict.fromkeys(THREAD_SETTINGS, "1"),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 29),
    "MALLOC_MMAP_THRESHOLD_": str(1 << 25),
}


class LocalWorkers:
    """A fixed number of local processes that work on one task."""

    death = TerminatedWorkerError

    def __init__(self, task: Task, count: int) -> None:
        # What loky says of the workers that it replaces concerns nobody.
        warnings.filterwarnings("ignore", module=r"joblib\.externals\.loky")
        self.size, self._task = count, task
        self._executor = self._started()

    def submit(self, chunk: Chunk) -> "Future[Reply]":
        """Hand over a chunk; to new workers, where some have died."""
        try:
            return self._submit(chunk)
        except BrokenProcessPool:
            self.stop()
            self._executor = self._started()
            return self._submit(chunk)

    def _submit(self, chunk: Chunk) -> "Future[Reply]":
        future: Future[Reply] = self._executor.submit(work, self._task, chunk.items)
        return future

    def stop(self) -> None:
        """End every process at once; none holds anything that needs a farewell."""
        # loky's own `kill_workers` fails where a chunk has been handed over the moment before.
        for process in list(self._executor._processes.values()):
            process.terminate()
        self._executor.shutdown()

    def _started(self) -> Any:
        for _ in range(MAX_STARTS):
            self._executor = ProcessPoolExecutor(
                self.size, initializer=_begin, initargs=(os.getpid(),), env=ENVIRONMENT
            )
            try:
                with no_interrupts():
                    first = self._executor.submit(work, self._task, [])
                first.result()
                return self._executor
            except TerminatedWorkerError:
                self.stop()
            except BaseException as error:
                self.stop()
                if not isinstance(error, Exception):
                    raise
                found = f"{type(error).__name__}: {error}"
                raise RuntimeError(f"a worker process cannot load its task: {found}") from error
        raise EmoscopeError(
            "worker processes die as soon as they start; is memory short? --jobs 1 needs none"
        )


@contextlib.contextmanager
def no_interrupts() -> Iterator[None]:
    """Start processes and threads that Ctrl-C does not reach: it is this process that stops them."""
    has_masks = hasattr(signal, "pthread_sigmask")  # Windows has none
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if has_masks else None
    try:
        yield
    finally:
        if before is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(parent: int) -> None:
    """What a worker does first: it looks after its own end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, args=(parent,), daemon=True).start()


def _leave_with_parent(parent: int) -> None:
    """End with the parent, even one that was killed in the middle of a long piece of work."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
