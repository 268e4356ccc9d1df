"""Local worker processes that may die without taking results with them.

Each worker has a pipe of its own and one chunk at a time: when one dies, it is known which items it
had (``docs/decisions.md`` compares other packages).
"""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
import types
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait
from typing import Any

import joblib

from ..errors import EmoscopeError
from . import Chunk, Defect, Function, Reply, one_thread_for_good, perform

READY = "ready"
NO_MEMORY = "is memory short? --jobs 1 needs none"
MAX_FAILED_STARTS = 3  # in a row, of workers that die before they are ready: no accident
MAX_SOCKET_FOLDER = 70  # bytes: a socket's path has 107 at most, and 32 are added to the folder's


class Worker:
    """One process with its pipe, and the chunk it is working on."""

    def __init__(self, context: Any, function: Function) -> None:
        self.connection, theirs = context.Pipe()
        self.process = context.Process(
            target=_serve, args=(theirs, os.getcwd(), dict(os.environ)), daemon=True
        )
        with undisturbed_start():
            self.process.start()
        theirs.close()
        self.ready = False
        self.chunk: Chunk | None = None
        self.send(function)

    def send(self, message: Any) -> None:
        """Send a message; a process that is dead is noticed when its reply is awaited."""
        with contextlib.suppress(OSError):
            self.connection.send(_by_value(message))

    def receive(self) -> Any:
        """The message that has arrived; None when there is none, because the process died."""
        with contextlib.suppress(EOFError, OSError):
            return self.connection.recv() if self.connection.poll() else None
        return None

    def stop(self) -> None:
        """End the process at once; it holds nothing that needs a farewell."""
        self.connection.close()
        self.process.kill()
        self.process.join()


class LocalWorkers:
    """A fixed number of local processes that apply one function."""

    def __init__(self, function: Function, count: int) -> None:
        # A plain fork of a process with BLAS or torch threads can hang; macOS forbids any. A fork
        # server's socket lies in the folder for temporary files, and its path must be short.
        short = len(os.fsencode(tempfile.gettempdir())) <= MAX_SOCKET_FOLDER
        way = "forkserver" if sys.platform == "linux" and short else "spawn"
        self._context: Any = multiprocessing.get_context(way)
        if way == "forkserver":
            self._context.set_forkserver_preload(["emoscope.dataset.extraction"])
        self._function = function
        self._failed_starts, self.size = 0, count
        self._workers = [self._start() for _ in range(count)]

    def free(self) -> int:
        """How many chunks can be handed over now."""
        return sum(worker.ready and worker.chunk is None for worker in self._workers)

    def submit(self, chunk: Chunk) -> None:
        """Hand a chunk to a free worker."""
        worker = next(each for each in self._workers if each.ready and each.chunk is None)
        worker.chunk = chunk
        worker.send(chunk.items)

    def collect(self) -> list[tuple[Chunk, Reply | None]]:
        """Wait until something happens; the chunks that ended, with None where the worker died."""
        handles = [(worker.connection, worker.process.sentinel) for worker in self._workers]
        happened = set(wait([handle for pair in handles for handle in pair]))
        ended: list[tuple[Chunk, Reply | None]] = []
        for place, worker in enumerate(self._workers):
            if not happened & set(handles[place]):
                continue
            message, chunk = worker.receive(), worker.chunk
            if message is None:
                self._failed_starts += not worker.ready
                if self._failed_starts >= MAX_FAILED_STARTS:
                    raise EmoscopeError(f"worker processes die as soon as they start; {NO_MEMORY}")
                worker.stop()
                self._workers[place] = self._start()
            elif isinstance(message, Defect):
                raise RuntimeError(f"a worker process cannot load its task:\n{message}")
            elif isinstance(message, Reply):
                worker.chunk = None
            elif message == READY:
                worker.ready, self._failed_starts = True, 0
            if chunk is not None:
                ended.append((chunk, message))
        return ended

    def stop(self) -> None:
        """End every process."""
        for worker in self._workers:
            worker.stop()

    def _start(self) -> Worker:
        for attempt in range(MAX_FAILED_STARTS):
            try:
                return Worker(self._context, self._function)
            except (EOFError, OSError):  # the fork server has just been killed, say
                time.sleep(0.1 * (attempt + 1))  # until it is known to be dead, and replaced
        raise EmoscopeError(f"worker processes cannot be started; {NO_MEMORY}")


@contextlib.contextmanager
def undisturbed_start() -> Iterator[None]:
    """Start a process that neither imports the user's script nor ends with a message on Ctrl-C."""
    script = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    has_masks = hasattr(signal, "pthread_sigmask")  # Windows has none
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if has_masks else None
    try:
        yield
    finally:
        sys.modules["__main__"] = script
        if before is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _by_value(message: Any) -> Any:
    """Make what has no importable module (a notebook's functions and classes) travel by value."""
    return joblib.wrap_non_picklable_objects(message, keep_wrapper=False)


def _serve(connection: Connection, folder: str, environment: dict[str, str]) -> None:
    """The life of a worker: load the function, then work on chunks until the pipe closes."""
    # The fork server still has the folder and the environment of the day it was started.
    os.chdir(folder)
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    one_thread_for_good()
    _keep_memory()
    try:
        function = connection.recv()
        connection.send(READY)
        while True:
            reply = perform(function, connection.recv())
            try:
                connection.send(_by_value(reply))
            except OSError:
                raise
            except Exception as error:  # a result that cannot be pickled
                defects: list[Any] = [Defect.of(error)] * len(reply.outcomes)
                connection.send(Reply(defects, reply.seconds))
    except (EOFError, OSError):
        return  # the parent is done, or gone
    except Exception as error:
        connection.send(Defect.of(error))


def _keep_memory() -> None:
    """Let glibc keep what is freed: networks ask for the same megabytes again at every step."""
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None:
        mallopt(-1, 1 << 29)  # M_TRIM_THRESHOLD
        mallopt(-3, 1 << 25)  # M_MMAP_THRESHOLD, the largest that every version takes


def _leave_with_parent() -> None:
    """End with the parent, even one that was killed in the middle of a long piece of work."""
    if (parent := multiprocessing.parent_process()) is not None:
        wait([parent.sentinel])
        os._exit(1)
