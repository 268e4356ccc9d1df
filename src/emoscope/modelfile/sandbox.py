"""Runs the graph of a model: a trusted one in this process, a foreign one in processes of its own.

A checked graph can still ask for all memory, compute for hours or crash onnxruntime. A foreign
graph therefore runs in child processes with limits of memory and time, which stay alive from call
to call; one that dies or hangs costs its call alone, and the next call starts another. Several
threads get a child each, at most one for every core. Children end with their parent: their standard
input ends.

Parent and child exchange messages over the child's standard input and output: a length of eight
bytes and as many bytes. The parent sends the settings (JSON) and the graph, then one array per
call. A reply is one message that begins with ``OK`` or ``FAILED`` and, after ``OK`` to an array, one
message for each output. An array is its number of dimensions (1 byte), its shape (8 bytes each) and
its values as little-endian float32. Nothing is unpickled on either side.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import queue
import signal
import struct
import subprocess
import sys
import threading
import weakref
from typing import IO, TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError

if TYPE_CHECKING:
    import onnxruntime

Array = NDArray[np.float32]

OUTPUTS = ("logits", "embedding")
MAX_SECONDS = 60.0
"""Of loading a foreign graph or of one run of it, and of processor time for each core that a run may
use. The shipped model takes 0.2 s for the longest sound that is classified as a whole."""
MAX_MEMORY = 1 << 32
"""Bytes of address space of one child: 4 GiB, some fifty times what 30 s of speech need."""
MAX_REPLY = 1 << 28
"""Bytes of one message of a child."""
OK, FAILED = b"+", b"-"
_LENGTH = struct.Struct("<Q")
_COMMAND = (
    "import sys; sys.path[:] = sys.argv[1:]; "
    "from emoscope.modelfile import sandbox; sandbox.serve()"
)


@dataclasses.dataclass(frozen=True)
class Promise:
    """What a card says that its graph takes and gives; the width of samples is 0."""

    kind: str
    width: int
    n_emotions: int
    embedding_width: int


class Graph(Protocol):
    """A graph that can be run from several threads."""

    def run(self, array: Array) -> tuple[Array, Array]:
        """Logits and embedding; a ModelError says why there are none."""


class TrustedGraph:
    """A graph in this process.

    Parameters
    ----------
    content : bytes
        Serialised ONNX.
    promise : Promise
    threads : int
        Cores one run may use.
    optimise : bool
        Let onnxruntime prepare the graph.

    Raises
    ------
    ModelError
        When onnxruntime refuses the graph, or it is not what was promised.
    """

    def __init__(self, content: bytes, promise: Promise, *, threads: int, optimise: bool) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.add_session_config_entry("session.load_model_format", "ONNX")
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        if not optimise:
            level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
            options.graph_optimization_level = level
        try:
            self._session = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        # onnxruntime's exceptions share no base class of their own.
        except Exception as error:
            raise ModelError(f"onnxruntime refuses the graph: {first_line(error)}") from error
        self._input = promise.kind
        _check_signature(self._session, promise)

    def run(self, array: Array) -> tuple[Array, Array]:
        """Logits and embedding of the graph's only input."""
        try:
            logits, embedding = self._session.run(OUTPUTS, {self._input: array})
        except Exception as error:
            raise ModelError(first_line(error)) from error
        return logits, embedding


def _check_signature(session: onnxruntime.InferenceSession, promise: Promise) -> None:
    inputs = session.get_inputs()
    if [i.name for i in inputs] != [promise.kind] or inputs[0].type != "tensor(float)":
        taken = ", ".join(f"{i.name}: {i.type}" for i in inputs)
        raise ModelError(f"the graph takes ({taken}); the card promises '{promise.kind}'")
    shape = inputs[0].shape
    rank = 3 if promise.kind == "frames" else 2
    if len(shape) != rank or (promise.width and shape[-1] not in (promise.width, None)):
        raise ModelError(f"the graph's input has shape {shape}; that is not what the card promises")
    outputs = {output.name: output for output in session.get_outputs()}
    if set(outputs) != set(OUTPUTS):
        raise ModelError(f"the graph gives {sorted(outputs)}; it should give {list(OUTPUTS)}")
    for name, width in zip(OUTPUTS, (promise.n_emotions, promise.embedding_width), strict=True):
        output = outputs[name]
        if output.type != "tensor(float)" or len(output.shape) != 2:
            raise ModelError(f"the graph's '{name}' is {output.type} of shape {output.shape}")
        if isinstance(output.shape[1], int) and output.shape[1] != width:
            raise ModelError(f"the graph's '{name}' has {output.shape[1]} columns; card: {width}")


class ForeignGraph:
    """A graph of anybody's in processes of its own; parameters as for :class:`TrustedGraph`.

    Raises
    ------
    ModelError
        When the graph is refused or cannot be loaded within the limits.
    """

    def __init__(self, content: bytes, promise: Promise, *, threads: int, optimise: bool) -> None:
        settings = {
            "promise": dataclasses.asdict(promise),
            "threads": threads,
            "optimise": optimise,
            "cpu_seconds": MAX_SECONDS * (threads or _cores()),
            "memory": MAX_MEMORY,
        }
        self._start = (json.dumps(settings).encode(), content)
        self._idle: queue.SimpleQueue[_Child] = queue.SimpleQueue()
        self._slots = threading.BoundedSemaphore(_cores())
        weakref.finalize(self, _stop_all, self._idle)
        self._idle.put(self._started())

    def run(self, array: Array) -> tuple[Array, Array]:
        """Logits and embedding, computed by a child that is free."""
        with self._slots:
            try:
                child = self._idle.get_nowait()
            except queue.Empty:
                child = self._started()
            try:
                logits, embedding = child.ask(_pack(array), replies=len(OUTPUTS))
                return _unpack(logits), _unpack(embedding)
            finally:
                if child.alive:
                    self._idle.put(child)

    def _started(self) -> _Child:
        child = _Child()
        try:
            child.ask(*self._start, replies=1)
        except ModelError:
            child.stop()
            raise
        return child


class _Child:
    """One process that :func:`serve` is the life of."""

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

    def ask(self, *messages: bytes, replies: int) -> list[bytes]:
        """Send messages; give the `replies`, which must come in time."""
        requests, answers = self._process.stdin, self._process.stdout
        assert requests is not None and answers is not None
        expired = threading.Event()
        timer = threading.Timer(MAX_SECONDS, self._expire, (expired,))
        timer.daemon = True
        timer.start()
        try:
            for message in messages:
                write_message(requests, message)
            reply = read_message(answers)
            if reply[:1] == FAILED:
                raise ModelError(reply[1:1000].decode("utf-8", "replace"))
            return [reply[1:], *(read_message(answers) for _ in range(replies - 1))]
        except (OSError, EOFError) as error:
            reason = self._how_it_ended()
            if expired.is_set():
                reason = f"it was not done after {MAX_SECONDS:g} s"
            raise ModelError(reason) from error
        except BaseException as error:
            if not isinstance(error, ModelError):  # an interrupt leaves half a conversation behind
                self.stop()
            raise
        finally:
            timer.cancel()

    def stop(self) -> int:
        """End the process; gives how it ended."""
        self.alive = False
        self._process.kill()
        status = self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                assert stream is not None
                stream.close()
        return status

    def _expire(self, expired: threading.Event) -> None:
        expired.set()
        self._process.kill()

    def _how_it_ended(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        status = self.stop()
        if sys.platform != "win32" and status < 0:
            name = signal.Signals(-status).name
            if name == "SIGXCPU":
                return f"it took more than {MAX_SECONDS:g} s of processor time"
            return f"it ended its process ({name})"
        return f"it ended its process (status {status})"


def _stop_all(idle: queue.SimpleQueue[_Child]) -> None:
    while not idle.empty():
        idle.get().stop()


# --- messages -------------------------------------------------------------------------------------


def write_message(stream: IO[bytes], content: bytes) -> None:
    """Write one message; the reader gets it at once."""
    stream.write(_LENGTH.pack(len(content)))
    stream.write(content)
    stream.flush()


def read_message(stream: IO[bytes], limit: int = MAX_REPLY) -> bytes:
    """Read one message; an EOFError says that it is too long or not whole."""
    header = stream.read(_LENGTH.size)
    length = _LENGTH.unpack(header)[0] if len(header) == _LENGTH.size else limit + 1
    content = stream.read(length) if length <= limit else b""
    if len(content) != length:
        raise EOFError("a message is not whole")
    return content


def _pack(array: Array) -> bytes:
    shape = struct.pack(f"<B{array.ndim}Q", array.ndim, *array.shape)
    return shape + np.ascontiguousarray(array, "<f4").tobytes()


def _unpack(content: bytes) -> Array:
    try:
        (n_dimensions,) = struct.unpack_from("<B", content)
        shape = struct.unpack_from(f"<{n_dimensions}Q", content, 1)
        values = np.frombuffer(content, "<f4", offset=1 + 8 * n_dimensions)
        return values.reshape(shape).astype(np.float32)
    except (struct.error, ValueError, OverflowError) as error:
        raise ModelError("it gave no arrays of numbers") from error


# --- the child ------------------------------------------------------------------------------------


def serve() -> None:
    """The life of a child: check and load one graph, then run it until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    requests, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what native code prints is no reply
    try:
        settings = json.loads(read_message(requests))
        _limit(settings["memory"], settings["cpu_seconds"])
        content = read_message(requests, sys.maxsize)
        graph = _loaded(content, settings)
        write_message(replies, OK)
        while True:
            array = _unpack(read_message(requests, sys.maxsize))
            _limit(settings["memory"], settings["cpu_seconds"])
            try:
                logits, embedding = graph.run(array)
                packed = (_pack(logits), _pack(embedding))
            except Exception as error:
                write_message(replies, FAILED + first_line(error).encode())
                continue
            write_message(replies, OK + packed[0])
            write_message(replies, packed[1])
    except (EOFError, OSError):
        return  # the parent is done, or gone
    except Exception as error:  # the graph cannot be loaded
        write_message(replies, FAILED + first_line(error).encode())


def _loaded(content: bytes, settings: dict[str, Any]) -> TrustedGraph:
    from . import safety

    return TrustedGraph(
        safety.check(content),
        Promise(**settings["promise"]),
        threads=settings["threads"],
        optimise=settings["optimise"],
    )


def _limit(memory: int, cpu_seconds: float) -> None:
    """Bound this process: memory, and processor time from now on. Without effect on Windows."""
    try:
        import resource
    except ImportError:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime + cpu_seconds) + 1
    for kind, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        # Some systems refuse some of them.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(kind, (most if hard < 0 else min(most, hard), hard))


def _cores() -> int:
    return os.cpu_count() or 1


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
