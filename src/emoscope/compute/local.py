"""Local worker processes, of loky; they stay for the next run, and new ones come where one has died."""

import contextlib
import os
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.process_executor import BrokenProcessPool, TerminatedWorkerError

from ..errors import EmoscopeError
from . import THREAD_SETTINGS, Reply, work

IDLE_SECONDS = 10.0  # that workers without work wait for the next run
MAX_STARTS = 3  # in a row that fail: no accident
# Workers have these before they import anything. glibc is to keep what is freed, for networks ask
# for the same megabytes again at every step; the second is the largest that every version takes.
ENVIRONMENT = {
    **dict.fromkeys(THREAD_SETTINGS, "1"),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 29),
    "MALLOC_MMAP_THRESHOLD_": str(1 << 25),
}


class LocalWorkers:
    """Local processes that work on one task, in the folder and environment of now."""

    death, hint = TerminatedWorkerError, ""

    def __init__(self, task: bytes, count: int) -> None:
        # What loky says of the workers that it replaces concerns nobody.
        warnings.filterwarnings("ignore", module=r"joblib\.externals\.loky")
        self.size, self._task = count, task
        self._settings = {
            "max_workers": count, "timeout": IDLE_SECONDS,
            "env": {"PYTHONFAULTHANDLER": "", **os.environ, **ENVIRONMENT},  # no trace of a crash
            "initializer": _begin, "initargs": (os.getpid(), os.getcwd()),
        }  # fmt: skip
        for _ in range(MAX_STARTS):
            try:
                self.submit([]).result()
                return
            except TerminatedWorkerError:
                continue
            except Exception as error:
                found = f"{type(error).__name__}: {error}"
                raise RuntimeError(f"a worker process cannot load its task: {found}") from error
        raise EmoscopeError(
            "worker processes die as soon as they start; is memory short? --jobs 1 needs none"
        )

    def submit(self, items: list[Any]) -> "Future[Reply]":
        """Hand over a chunk's items; to new workers, where some have died."""
        future: Future[Reply]
        with no_interrupts():
            try:
                future = self._executor().submit(work, self._task, items)
            except BrokenProcessPool:  # one has died just now
                future = self._executor().submit(work, self._task, items)
        return future

    def _executor(self) -> Any:
        return get_reusable_executor(**self._settings)

    def stop(self, *, is_idle: bool) -> None:
        """End processes that are at work, at once."""
        if not is_idle:
            executor = self._executor()
            # loky's own `kill_workers` fails where a chunk has been handed over the moment before.
            for process in list(executor._processes.values()):
                process.terminate()
            executor.shutdown()


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


def _begin(parent: int, folder: str) -> None:
    """What a worker does first."""
    warnings.simplefilter("ignore")  # no line of a worker may tear what the terminal shows
    os.chdir(folder)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, args=(parent,), daemon=True).start()


def _leave_with_parent(parent: int) -> None:
    """End with the parent, even one that was killed in the middle of a long piece of work."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
