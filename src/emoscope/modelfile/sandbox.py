"""Runs the graph of a model: a trusted one in this process, a foreign one in processes of its own.

A checked graph can still ask for all memory, compute for hours or crash: children have limits, and end
with their parent. A message is its length (8 bytes) and as many bytes, first settings (JSON) and the
graph, then inputs; each is answered by ``OK`` and outputs, or ``FAILED`` and why. Nothing is unpickled.
"""

import contextlib
import dataclasses
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import weakref
from typing import IO, TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..audio.voice_activity import open_graph
from ..errors import ModelError

if TYPE_CHECKING:
    import onnxruntime

Array = NDArray[np.float32]

OUTPUTS = ("logits", "embedding")
# Of loading a foreign graph or of one run of it, and of processor time for each core that a run may
# use. The shipped model takes 0.2 s for the longest sound that is classified as a whole.
MAX_SECONDS = 60.0
MAX_MEMORY = 1 << 32  # address space of a child: 4 GiB, some fifty times what 30 s of speech need
MAX_REPLY = 1 << 28  # bytes of one message of a child
CORES = os.cpu_count() or 1
OK, FAILED = b"+", b"-"
_COMMAND = (
    "import sys; sys.path[:] = sys.argv[1:]; "
    "from emoscope.modelfile import sandbox; sandbox.serve()"
)


@dataclasses.dataclass(frozen=True)
class Promise:
    """What a card says that its graph takes and gives."""

    kind: str
    width: int  # 0 for samples
    n_emotions: int
    embedding_width: int


class LocalGraph:
    """A graph in this process; a ModelError says why it cannot be used."""

    def __init__(self, content: bytes, promise: Promise, *, threads: int, optimise: bool) -> None:
        try:
            self._session = open_graph(content, threads=threads, optimise=optimise)
        # onnxruntime's exceptions share no base class of their own.
        except Exception as error:
            raise ModelError(f"onnxruntime refuses the graph: {first_line(error)}") from error
        self._input = promise.kind
        _check_signature(self._session, promise)

    def run(self, array: Array) -> tuple[Array, Array]:
        """Logits and embedding; a ModelError says why there are none."""
        try:
            logits, embedding = self._session.run(OUTPUTS, {self._input: array})
        except Exception as error:
            raise ModelError(first_line(error)) from error
        return logits, embedding


def _check_signature(session: "onnxruntime.InferenceSession", promise: Promise) -> None:
    promised = {
        promise.kind: (3 if promise.kind == "frames" else 2, promise.width),
        "logits": (2, promise.n_emotions),
        "embedding": (2, promise.embedding_width),
    }
    inputs = session.get_inputs()
    names = [value.name for value in (*inputs, *session.get_outputs())]
    if len(inputs) != 1 or inputs[0].name != promise.kind or set(names) != set(promised):
        raise ModelError(f"the graph takes and gives {names}; the card promises {[*promised]}")
    for value in (*inputs, *session.get_outputs()):
        rank, width = promised[value.name]
        columns = value.shape[-1] if len(value.shape) == rank else None
        wrong = width and isinstance(columns, int) and columns != width
        if value.type != "tensor(float)" or len(value.shape) != rank or wrong:
            found = f"the graph's '{value.name}' is {value.type} of shape {value.shape}"
            floats = f"floats of {rank} dimensions" + f", {width} columns" * bool(width)
            raise ModelError(f"{found}; the card promises {floats}")


class SandboxedGraph:
    """A graph in processes of its own; a ModelError as well when it cannot be loaded in the limits."""

    def __init__(self, content: bytes, promise: Promise, *, threads: int, optimise: bool) -> None:
        limits = {"cpu_seconds": MAX_SECONDS * (threads or CORES), "memory": MAX_MEMORY}
        options = {"threads": threads, "optimise": optimise}
        settings = {"promise": dataclasses.asdict(promise), **options, **limits}
        self._first_messages = (json.dumps(settings).encode(), content)
        self._idle: queue.SimpleQueue[_Child] = queue.SimpleQueue()
        self._slots = threading.BoundedSemaphore(CORES)
        weakref.finalize(self, _stop_all, self._idle)
        self._idle.put(self._start())

    def run(self, array: Array) -> tuple[Array, Array]:
        """Logits and embedding, computed by a child that is free."""
        with self._slots:
            try:
                child = self._idle.get_nowait()
            except queue.Empty:
                child = self._start()
            try:
                logits, embedding = _unpack(child.ask(_pack(array)))
            except (ValueError, OverflowError) as error:
                if isinstance(error, ModelError):
                    raise
                raise ModelError("it gave no arrays of numbers") from error
            finally:
                if child.alive:
                    self._idle.put(child)
        return logits, embedding

    def _start(self) -> "_Child":
        try:
            child = _Child()
        except OSError as error:
            raise ModelError(f"its process cannot be started: {first_line(error)}") from error
        try:
            child.ask(*self._first_messages)
        except ModelError:
            child.stop()
            raise
        return child


class _Child:
    def __init__(self) -> None:
        self.alive = True
        # One thread each for libraries that reserve address space for every core.
        small = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MALLOC_ARENA_MAX"), "1")
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", _COMMAND, *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **small},
        )

    def ask(self, *messages: bytes) -> bytes:
        """Send messages; give the reply, which must come in time."""
        requests, answers = self._process.stdin, self._process.stdout
        assert requests is not None and answers is not None
        timer = threading.Timer(MAX_SECONDS, self._process.kill)
        timer.daemon = True
        timer.start()
        try:
            for message in messages:
                write_message(requests, message)
            reply = read_message(answers, MAX_REPLY)
        except (OSError, EOFError) as error:
            how = self._how_it_ended()
            late = f"it was not done after {MAX_SECONDS:g} s"
            raise ModelError(how if timer.is_alive() else late) from error
        except BaseException:  # an interrupt leaves half a conversation behind
            self.stop()
            raise
        finally:
            timer.cancel()
        if reply[:1] != OK:
            raise ModelError(reply[1:1000].decode("utf-8", "replace"))
        return reply[1:]

    def stop(self) -> None:
        """End the process."""
        self.alive = False
        self._process.kill()
        with contextlib.suppress(OSError), self._process:
            pass  # closes the pipes and waits

    def _how_it_ended(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        self.stop()
        status = self._process.returncode
        if sys.platform == "win32" or status >= 0:
            return f"it ended its process (status {status})"
        name = signal.Signals(-status).name
        if name == "SIGXCPU":
            return f"it took more than {MAX_SECONDS:g} s of processor time"
        return f"it ended its process ({name})"


def _stop_all(idle: queue.SimpleQueue[_Child]) -> None:
    while not idle.empty():
        idle.get().stop()


def write_message(stream: IO[bytes], content: bytes) -> None:
    """Write one message; the reader gets it at once."""
    stream.write(len(content).to_bytes(8, "little"))
    stream.write(content)
    stream.flush()


def read_message(stream: IO[bytes], limit: int) -> bytes:
    """Read one message; an EOFError says that it is too long or not whole."""
    header = stream.read(8)
    length = int.from_bytes(header, "little") if len(header) == 8 else limit + 1
    content = stream.read(length) if length <= limit else b""
    if len(content) != length:
        raise EOFError("a message is not whole")
    return content


def _pack(*arrays: Array) -> bytes:
    return msgspec.msgpack.encode([(a.shape, a.astype("<f4").tobytes()) for a in arrays])


def _unpack(content: bytes) -> list[Array]:
    parts = msgspec.msgpack.decode(content, type=list[tuple[tuple[int, ...], bytes]])
    return [np.frombuffer(b, "<f4").reshape(shape).astype(np.float32) for shape, b in parts]


def serve() -> None:
    """The life of a child: check and load one graph, then run it until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    requests, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what native code prints is no reply
    graph: LocalGraph | None = None
    with contextlib.suppress(EOFError, OSError):  # the parent is done, or gone
        settings = json.loads(read_message(requests, sys.maxsize))
        while True:
            request = read_message(requests, sys.maxsize)
            _limit(settings["memory"], settings["cpu_seconds"])
            try:
                if graph is None:
                    from . import safety

                    checked = safety.check(request)
                    promise = Promise(**settings["promise"])
                    options = {name: settings[name] for name in ("threads", "optimise")}
                    graph = LocalGraph(checked, promise, **options)
                    reply = OK
                else:
                    reply = OK + _pack(*graph.run(*_unpack(request)))
            except Exception as error:  # MemoryError too
                reply = FAILED + first_line(error).encode()
            write_message(replies, reply)


def _limit(memory: int, cpu_seconds: float) -> None:
    """Bound this process: memory, and processor time from now on. Without effect on Windows."""
    if sys.platform == "win32":
        return
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF)
    limits = {
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_CPU: int(used.ru_utime + used.ru_stime + cpu_seconds) + 1,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
    }
    for kind, limit in limits.items():
        _, hard = resource.getrlimit(kind)
        with contextlib.suppress(OSError, ValueError):  # some systems refuse some of them
            resource.setrlimit(kind, (limit if hard < 0 else min(limit, hard), hard))


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
