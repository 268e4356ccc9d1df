"""One trained model in one file: ``NAME.emoscope``, a zip of ``model.onnx`` and ``card.json``.

The graph takes one input, named by the card's ``input.kind``, and gives two outputs:

=============  ============================  ===================================================
``samples``    float32 (1, n_samples)        mono in [-1, 1] at the card's rate, preprocessed
``features``   float32 (n_clips, width)      columns in the order of the card's features
``frames``     float32 (1, n_frames, width)  one clip
``logits``     float32 (n, n_emotions)       probabilities are ``softmax(logits / temperature)``
``embedding``  float32 (n, embedding_width)  standardised on the training data
=============  ============================  ===================================================

There is no pickle anywhere, and loading a file runs no code of whoever made it: both members are
bounded in size, the graph is read and checked (:mod:`emoscope.modelfile.onnx_scan`) before onnxruntime sees
it, and the card value by value (:mod:`emoscope.modelfile.card`). Loading imports neither torch nor onnx nor
pandas.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import os
import threading
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..audio import Signal, resample
from ..errors import ModelError
from ..files import printable, write_atomically
from . import onnx_scan
from .card import Card

if TYPE_CHECKING:
    import onnxruntime

Array = NDArray[np.float32]

SUFFIX = ".emoscope"
GRAPH, CARD = "model.onnx", "card.json"
LARGEST = {GRAPH: 1 << 29, CARD: 1 << 25}
"""Bytes of a member, unpacked: 512 MiB and 32 MiB."""
LARGEST_RATIO = 200
"""Unpacked by packed size beyond which a member is a bomb; deflate cannot exceed 1032."""
MOST_MEMORY = 1 << 32
"""Bytes that all graphs of a process may take together while they run: 4 GiB, some fifty times what
30 s of speech need."""
LARGEST_UNPACKED = 4
"""Bytes of what is computed while loading by bytes of the largest weight: 8 bits become 32."""
SMALLEST_FOLDED = 1 << 16
"""Bytes of what may always be computed while loading."""
LONGEST_RUN = 60.0
"""Seconds after which a run of a graph is ended before its next operator. The shipped model takes
0.2 s for the longest piece of sound that is judged as a whole."""
OUTPUTS = ("logits", "embedding")
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclasses.dataclass(frozen=True, eq=False)
class ModelFile:
    """A loaded model.

    Attributes
    ----------
    path : str
        Where it was loaded from.
    card : Card
    session : onnxruntime.InferenceSession
        May be run from several threads at once.
    checksum : str
        Of the members' content, in hexadecimal.
    """

    path: str
    card: Card
    session: onnxruntime.InferenceSession
    checksum: str

    @property
    def identity(self) -> str:
        """Its name and checksum, by which predictions tell which model they are of."""
        return f"{printable(self.card.name)} {self.checksum}"

    def prepare(self, signal: Signal) -> Array:
        """What the graph of a ``samples`` model hears of a recording.

        Parameters
        ----------
        signal : Signal
            Any rate.

        Returns
        -------
        ndarray of float32, shape (1, n_samples)
            At the card's rate, preprocessed as in training; at least as long as the graph needs.
        """
        wanted = self.card.input
        samples = resample(signal, wanted.rate).samples
        if wanted.preprocess is not None:
            samples = wanted.preprocess(samples, wanted.rate)
        missing = round(wanted.shortest * wanted.rate) - len(samples)
        return np.pad(samples, (0, max(0, missing)))[None]

    def run(self, array: Array) -> tuple[Array, Array]:
        """Run the graph.

        Parameters
        ----------
        array : ndarray of float32
            As :mod:`emoscope.modelfile` says for the card's input kind.

        Returns
        -------
        logits : ndarray of float32, shape (n, n_emotions)
        embedding : ndarray of float32, shape (n, embedding_width)

        Raises
        ------
        ModelError
            When the graph fails, takes longer than :data:`LONGEST_RUN`, or gives anything but
            finite numbers of the promised shape.
        """
        import onnxruntime

        given = {self.card.input.kind: np.ascontiguousarray(array, dtype=np.float32)}
        options = onnxruntime.RunOptions()
        clock = threading.Timer(LONGEST_RUN, setattr, (options, "terminate", True))
        clock.daemon = True
        clock.start()
        try:
            logits, embedding = self.session.run(OUTPUTS, given, options)
        # onnxruntime's exceptions share no base class of their own.
        except Exception as error:
            reason = _first_line(error)
            if options.terminate:
                reason = f"it was not done after {LONGEST_RUN:g} s"
            raise ModelError(f"{self.path}: the graph failed: {reason}") from error
        finally:
            clock.cancel()
        wanted = ((len(array), len(self.card.emotions)), (len(array), self.card.embedding_width))
        if (logits.shape, embedding.shape) != wanted:
            raise ModelError(
                f"{self.path}: the graph gave shapes {logits.shape} and {embedding.shape}; "
                f"its card promises {wanted[0]} and {wanted[1]}"
            )
        if not (np.isfinite(logits).all() and np.isfinite(embedding).all()):
            raise ModelError(f"{self.path}: the graph gave values that are not finite")
        return logits, embedding

    def probabilities(self, logits: Array) -> Array:
        """Calibrated probabilities, shape (n, n_emotions), rows summing to 1."""
        return softmax(logits / self.card.temperature)


def softmax(logits: Array) -> Array:
    """Rows of logits as probabilities."""
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


def save(path: str | os.PathLike[str], graph: bytes, card: Card) -> Path:
    """Write a model file, whole or not at all.

    Parameters
    ----------
    path : path-like
        Conventionally ``….emoscope``.
    graph : bytes
        Serialised ONNX.
    card : Card

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ModelError
        When :func:`load` would refuse the result.
    """
    content = pack(graph, card.to_json())
    unpack(content, str(path))
    write_atomically(path, content)
    return Path(path)


def pack(graph: bytes, card: str) -> bytes:
    """The two members as a zip; the same members give the same bytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in ((CARD, card.encode("utf-8")), (GRAPH, graph)):
            info = zipfile.ZipInfo(name, _EPOCH)
            # The graph is stored as it is: weights hardly shrink, and unpacking delays every start.
            info.compress_type = zipfile.ZIP_DEFLATED if name == CARD else zipfile.ZIP_STORED
            archive.writestr(info, content)
    return packed.getvalue()


def load(path: str | os.PathLike[str], *, threads: int = 1, optimise: bool = True) -> ModelFile:
    """Load and check a model file.

    Parameters
    ----------
    path : path-like
        A ``.emoscope`` file.
    threads : int
        Cores one run of the graph may use.
    optimise : bool
        Let onnxruntime prepare the graph. For the shipped model that takes 80 ms and saves 6 ms in
        every second of sound, so it does not pay for one short recording.

    Raises
    ------
    ModelError
        When the file is missing or is not a model that emoscope runs, with the reason.
    """
    name = os.fspath(path)
    try:
        size = os.stat(path).st_size
        if not Path(path).is_file() or size > sum(LARGEST.values()):
            raise ModelError(f"{name}: not a model file of at most {sum(LARGEST.values())} bytes")
        content = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ModelError(f"{name}: cannot be read: {reason}") from error
    return unpack(content, name, threads=threads, optimise=optimise)


def unpack(content: bytes, name: str, *, threads: int = 1, optimise: bool = True) -> ModelFile:
    """The model in the bytes of a model file; see :func:`load`."""
    try:
        members, checksum = _members(content)
        card = Card.from_json(members[CARD].decode("utf-8"))
        checked = onnx_scan.check(members[GRAPH])
        session = _session(members[GRAPH], checked, threads, optimise)
        _check_signature(session, card)
    except UnicodeDecodeError as error:
        raise ModelError(f"{name}: the card is not UTF-8 text") from error
    except (ModelError, onnx_scan.ScanError) as error:
        raise ModelError(f"{name}: not a usable model file: {error}") from error
    return ModelFile(name, card, session, checksum)


def _members(content: bytes) -> tuple[dict[str, bytes], str]:
    """The two members, unpacked within their bounds, and the checksum of both."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            found = archive.infolist()
            if sorted(info.filename for info in found) != sorted(LARGEST):
                names = ", ".join(repr(info.filename[:60]) for info in found[:5]) or "nothing"
                raise ModelError(f"a model file holds {CARD} and {GRAPH} only; found {names}")
            members = {info.filename: _read(archive, info) for info in found}
            # What was read has been compared with these.
            checksums = {info.filename: f"{info.CRC:08x}" for info in found}
            return members, checksums[CARD] + checksums[GRAPH]
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"not a whole zip archive ({_first_line(error)})") from error


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    limit = LARGEST[info.filename]
    if info.flag_bits & 1:
        raise ModelError(f"{info.filename} is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ModelError(f"{info.filename} is packed with method {info.compress_type}")
    if info.file_size > limit or info.file_size > LARGEST_RATIO * max(1, info.compress_size):
        raise ModelError(
            f"{info.filename} would unpack to {info.file_size} bytes from {info.compress_size}"
        )
    with archive.open(info) as stream:
        content = stream.read(info.file_size + 1)
    if len(content) != info.file_size:
        raise ModelError(f"{info.filename} has another length than it states")
    return content


def _session(
    graph: bytes, checked: onnx_scan.Checked, threads: int, optimise: bool
) -> onnxruntime.InferenceSession:
    import onnxruntime

    _bound_memory()
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.add_session_config_entry("session.load_model_format", "ONNX")
    options.add_session_config_entry(
        "optimization.constant_folding_max_output_size_in_bytes",
        str(max(SMALLEST_FOLDED, LARGEST_UNPACKED * checked.largest)),
    )
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    # Nothing ends what is computed while loading; it waits for the first run, which has an end.
    slow = [] if checked.quick else ["ConstantFolding"]
    try:
        return onnxruntime.InferenceSession(
            graph, options, providers=["CPUExecutionProvider"], disabled_optimizers=slow
        )
    # onnxruntime's exceptions share no base class of their own.
    except Exception as error:
        raise ModelError(f"onnxruntime refuses the graph: {_first_line(error)}") from error


@functools.lru_cache(maxsize=1)
def _bound_memory() -> None:
    """Give all sessions of this process one pool of memory with an end.

    A graph that asks for more fails with an error, where it would have taken the machine with it.
    """
    import onnxruntime

    pool = onnxruntime.OrtArenaCfg(
        {
            "max_mem": MOST_MEMORY,
            "arena_extend_strategy": 1,  # as much as is asked for, not the next power of two
            "initial_chunk_size_bytes": -1,
            "max_dead_bytes_per_chunk": -1,
        }
    )
    kind = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR
    memory = onnxruntime.OrtMemoryInfo("Cpu", kind, 0, onnxruntime.OrtMemType.DEFAULT)
    # The program around us may have registered one of its own, which then serves.
    with contextlib.suppress(RuntimeError):
        onnxruntime.create_and_register_allocator(memory, pool)


def _check_signature(session: onnxruntime.InferenceSession, card: Card) -> None:
    """Raise unless inputs and outputs are those that the card promises."""
    rank = {"samples": 2, "features": 2, "frames": 3}[card.input.kind]
    inputs = session.get_inputs()
    if [i.name for i in inputs] != [card.input.kind] or inputs[0].type != "tensor(float)":
        found = ", ".join(f"{i.name}: {i.type}" for i in inputs)
        raise ModelError(f"the graph takes ({found}); the card promises '{card.input.kind}'")
    shape = inputs[0].shape
    last = shape[-1] if shape else None
    if len(shape) != rank or (card.input.width and last not in (card.input.width, None)):
        raise ModelError(f"the graph's input has shape {shape}; that is not what the card promises")
    widths = {"logits": len(card.emotions), "embedding": card.embedding_width}
    outputs = {o.name: o for o in session.get_outputs()}
    if set(outputs) != set(OUTPUTS):
        raise ModelError(f"the graph gives {sorted(outputs)}; it should give {list(OUTPUTS)}")
    for name, width in widths.items():
        output = outputs[name]
        if output.type != "tensor(float)" or len(output.shape) != 2:
            raise ModelError(f"the graph's '{name}' is {output.type} of shape {output.shape}")
        if isinstance(output.shape[1], int) and output.shape[1] != width:
            raise ModelError(f"the graph's '{name}' has {output.shape[1]} columns; card: {width}")


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
