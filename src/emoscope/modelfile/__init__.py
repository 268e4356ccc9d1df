"""One trained model in one file: ``NAME.emoscope``, a zip of ``model.onnx`` and ``card.json``.

The graph takes one input, named by the card's ``input.kind``, and gives two outputs:

=============  ============================  ===================================================
``samples``    float32 (1, n_samples)        mono in [-1, 1] at the card's rate, preprocessed
``features``   float32 (n_clips, width)      columns in the order of the card's features
``frames``     float32 (1, n_frames, width)  one clip
``logits``     float32 (n, n_emotions)       probabilities are ``softmax(logits / temperature)``
``embedding``  float32 (n, embedding_width)  standardised on the training data
=============  ============================  ===================================================

Loading runs no code of whoever made a file: all is checked, and a foreign graph runs in a sandbox.
"""

import dataclasses
import io
import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..audio import Signal, resample
from ..errors import FeatureError, ModelError
from ..files import DATA, printable, sentence, write_atomically
from .card import Card
from .sandbox import LocalGraph, Promise, SandboxedGraph, first_line

if TYPE_CHECKING:
    from ..features.base import Feature

Array = NDArray[np.float32]

SUFFIX = ".emoscope"
SHIPPED = ("default", "free")  # a file in the current folder that is called so is ./default
FOREIGN = ("hf:", "python:", "http:", "https:")  # how names of other tools' models begin
GRAPH, CARD = "model.onnx", "card.json"
MAX_BYTES = {GRAPH: 1 << 29, CARD: 1 << 25}  # of a member, unpacked: 512 MiB and 32 MiB
MAX_RATIO = 200  # of unpacked to packed size: more is a bomb; deflate cannot exceed 1032
_EPOCH = (1980, 1, 1, 0, 0, 0)


class Graph(Protocol):
    """What computes: a graph here or in a sandbox, or a model of another tool."""

    def run(self, array: Array, /) -> tuple[Array, Array]:
        """Logits and embedding of what the card's input says; a ModelError says why there are none."""


@dataclasses.dataclass(frozen=True, eq=False)
class ModelFile:
    """A loaded model."""

    path: str
    card: Card
    graph: Graph  # may be run from several threads at once
    checksum: str  # of the members' content, in hexadecimal
    said: tuple[str, ...] = ()  # what the user of a model of another tool has to know

    @property
    def identity(self) -> str:
        """Its name and checksum, by which predictions tell which model they are of."""
        return f"{printable(self.card.name)} {self.checksum}"

    def prepare(self, signal: Signal) -> Array:
        """What the graph of a ``samples`` model takes of a recording, as long as it needs at least."""
        given = self.card.input
        samples = resample(signal, given.rate).samples
        if given.preprocess is not None:
            samples = given.preprocess(samples, given.rate)
        missing = round(given.shortest * given.rate) - len(samples)
        return np.pad(samples, (0, max(0, missing)))[None]

    def run(self, array: Array) -> tuple[Array, Array]:
        """Logits (n, n_emotions) and embedding (n, embedding_width); a ModelError without them."""
        try:
            logits, embedding = self.graph.run(np.ascontiguousarray(array, dtype=np.float32))
        except ModelError as error:
            raise ModelError(f"{self.path}: the model failed: {error}") from error
        promised = ((len(array), len(self.card.emotions)), (len(array), self.card.embedding_width))
        if (logits.shape, embedding.shape) != promised:
            shapes = (logits.shape, embedding.shape, *promised)
            raise ModelError(sentence("other_shapes", path=self.path, shapes=shapes))
        if not (np.isfinite(logits).all() and np.isfinite(embedding).all()):
            raise ModelError(f"{self.path}: the model gave values that are not finite")
        return logits, embedding

    def probabilities(self, logits: Array) -> Array:
        """Calibrated probabilities, shape (n, n_emotions), rows summing to 1."""
        return softmax(logits / self.card.temperature)


def features_of(card: Card) -> "list[Feature]":
    """The features a model was trained on; none of one that takes samples."""
    if card.input.kind == "samples":
        return []
    from .. import features
    from ..features.encoder import Encoder

    if not card.input.features:
        raise ModelError("the model's card does not say which features it was trained on")
    chosen = []
    for entry in card.input.features:
        try:
            feature = features.get(entry.name)
            # The card may come from anybody: it must not decide what is fetched from where.
            if isinstance(feature, Encoder):
                feature = dataclasses.replace(feature, local=True)
            spec = feature.spec
        except FeatureError as error:
            raise ModelError(f"the model's features cannot be computed here: {error}") from error
        chosen.append(feature)
        # Through JSON, as the card was: tuples come back as lists.
        if json.loads(json.dumps(spec)) != entry.spec:
            raise ModelError(sentence("other_features", entry=entry, spec=spec))
    return chosen


def softmax(logits: NDArray[np.floating[Any]]) -> Array:
    """Rows of logits as probabilities."""
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


def save(path: str | os.PathLike[str], graph: bytes, card: Card) -> Path:
    """Write a model file of serialised ONNX, whole or not at all; a ModelError as :func:`load`."""
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


def is_foreign(path: str | os.PathLike[str]) -> bool:
    """Whether that names a model of another tool."""
    name = os.fspath(path)
    if name in SHIPPED:  # whatever the current folder holds
        return False
    is_folder = os.path.isfile(os.path.join(name, "config.json"))
    return is_folder or name.startswith(FOREIGN) or name.lower().endswith(".onnx")


def load(
    path: str | os.PathLike[str], *, threads: int = 1, optimise: bool = True,
    labels: Mapping[str, str] | None = None,
) -> ModelFile:  # fmt: skip
    """Load and check a model; a ModelError when it is missing or cannot be run.

    `threads` are cores that one run may use. To `optimise` the shipped graph takes 80 ms and saves
    6 ms in every second of sound. `labels` are words of a model of another tool, and their emotions.
    """
    if is_foreign(path):
        from .. import adapters

        return adapters.load(os.fspath(path), labels or {}, threads=threads)
    # The files that are installed with the package are trusted as its code is.
    trusted = path in SHIPPED or os.path.dirname(os.path.realpath(path)) == os.path.realpath(DATA)
    content, name = read(path), os.fspath(path)
    return unpack(content, name, trusted=trusted, threads=threads, optimise=optimise)


def read(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a model file; of a shipped model its name will do."""
    if path in SHIPPED:
        return _shipped(os.fspath(path))
    limit, told = sum(MAX_BYTES.values()), {"name": os.fspath(path), "shipped": ", ".join(SHIPPED)}
    try:
        if os.stat(path).st_size <= limit and os.path.isfile(path):
            return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ModelError(sentence("unreadable_model", reason=reason, **told)) from error
    raise ModelError(sentence("no_model_file", limit=limit, **told))


def _shipped(name: str) -> bytes:
    """The bytes of a shipped model; of any but the first only the difference is stored."""
    first = read(Path(DATA, SHIPPED[0] + SUFFIX))
    if name == SHIPPED[0]:
        return first
    with np.load(os.path.join(DATA, name + ".npz")) as kept:
        own, ranges = kept["own"].tobytes(), kept["ranges"].tolist()
    content, position = bytearray(), 0
    for n_own, start, length in ranges:  # so many bytes of its own, then a range of the first file
        content += own[position : position + n_own] + first[start : start + length]
        position += n_own
    return bytes(content)


def unpack(
    content: bytes, name: str, *, trusted: bool = False, threads: int = 1, optimise: bool = True
) -> ModelFile:
    """The model in the bytes of a model file; `trusted` where it is the package's own."""
    try:
        members, checksum = _members(content)
        card = Card.from_json(members[CARD].decode("utf-8"))
        given, n_emotions = card.input, len(card.emotions)
        promise = Promise(given.kind, given.width, n_emotions, card.embedding_width)
        runner = LocalGraph if trusted else SandboxedGraph
        graph = runner(members[GRAPH], promise, threads=threads, optimise=optimise)
    except UnicodeDecodeError as error:
        raise ModelError(f"{name}: the card is not UTF-8 text") from error
    except ModelError as error:
        raise ModelError(f"{name}: not a usable model file: {error}") from error
    return ModelFile(name, card, graph, checksum)


def _members(content: bytes) -> tuple[dict[str, bytes], str]:
    """The two members, unpacked within their bounds, and the checksum of both."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = {info.filename: info for info in archive.infolist()}
            if len(archive.infolist()) != 2 or set(entries) != set(MAX_BYTES):
                names = ", ".join(repr(name[:60]) for name in archive.namelist()[:5]) or "nothing"
                raise ModelError(f"a model file holds {CARD} and {GRAPH} only; found {names}")
            members = {name: _read(archive, info) for name, info in entries.items()}
            # Reading compares what it reads with these.
            return members, f"{entries[CARD].CRC:08x}{entries[GRAPH].CRC:08x}"
    except ModelError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"not a whole zip archive ({first_line(error)})") from error


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    limit = MAX_BYTES[info.filename]
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ModelError(f"{info.filename} is packed with method {info.compress_type}")
    if info.file_size > limit or info.file_size > MAX_RATIO * max(1, info.compress_size):
        raise ModelError(sentence("would_unpack", info=info))
    with archive.open(info) as stream:
        content = stream.read(info.file_size + 1)
    if len(content) != info.file_size:
        raise ModelError(f"{info.filename} has another length than it states")
    return content
