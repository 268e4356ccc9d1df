"""How the shipped models are made: their input, their training and their calibration.

The first blocks of Whisper's base encoder, frozen and stored in 8 bits, are averaged over time. On these
embeddings a linear classifier is trained to be robust to unseen voices, rooms and corpora
(:mod:`research.source_classifier`). Each training clip is used as recorded, in copies augmented with
random rooms, microphones, lines and voices (:mod:`research.augment`), and cut to a random part. All of
them pass through :class:`~emoscope.audio.level.TrimAndNormalise` and through the graph that is shipped,
so the classifier is trained on the rounding of the encoder's weights as well. For clips that sound like
those of RAVDESS a second classifier joins in (:mod:`research.familiar`).

Confidence is calibrated cross-corpus, because the voices, rooms and languages of users are in no training
corpus: each corpus in turn is predicted by a classifier trained on the others. What recordings of one
source have in common is learned from held-out speakers.
"""

from __future__ import annotations

import dataclasses
import hashlib
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from emoscope import audio
from emoscope.audio.level import TrimAndNormalise
from emoscope.corpus import Corpus
from emoscope.labels import EMOTIONS
from emoscope.modelfile.card import Input, OutOfDomainDetector
from emoscope.models.onnx_graph import LinearForm
from emoscope.training import calibration

from . import source_classifier
from .augment import augment
from .familiar import CORPUS, Familiar

if TYPE_CHECKING:
    from .compression import Scheme

Array = NDArray[np.float32]
Double = NDArray[np.float64]

ENCODER = "whisper-base-encoder"
BLOCKS = (2, 3, 4)
POOLINGS = ("mean",)
RATE = 16_000
CHANGED = 2
"""Copies of every training clip that :mod:`research.augment` changes."""
COPIES = CHANGED + 1
"""All copies, beside the clip itself; the last is a random part of it."""
PART = (0.25, 0.75)
"""How much of the clip its part is, drawn for each; at least the shortest input."""
FOLDS = 3
"""Of speakers, for the logits from which the model of sources is learned."""
DOMAIN_RANK = 16
"""Directions with a variance of their own in the Gaussian that tells what is unfamiliar."""
NEUTRAL = {("emospeech", "calm")}
"""Corpora and their emotions that are neutral in all but name."""
WIDE_MARGIN = 0.25
"""Seconds kept around the speech before a copy is changed: rooms ring on."""
MARGINS = (0.03, 0.2)
"""Seconds kept around the speech of a changed copy, drawn for each."""
INPUT = Input(kind="samples", rate=RATE, preprocess=TrimAndNormalise(), shortest=0.2, longest=30.0)


def trunk(folder: str, blocks: Sequence[int] = BLOCKS, scheme: Scheme | None = "int8") -> bytes:
    """The graph from samples to averaged hidden states.

    Parameters
    ----------
    folder : str
        The encoder: a local folder, or a name on the Hugging Face hub.
    blocks : sequence of int
        Whose states are averaged, from 1 on.
    scheme : {"float16", "int8", "mixed"} or None
        How weights are stored; see :mod:`research.compression`. None: single precision.
    """
    from emoscope.features.encoder import Encoder
    from emoscope.training.waveform import WaveformTrunk

    from .compression import compress

    network = WaveformTrunk([Encoder(folder, tuple(blocks), POOLINGS)])
    graph = network.to_onnx(INPUT.shortest, INPUT.longest)
    return compress(graph, scheme) if scheme else graph


def embed(
    graph: bytes,
    corpus: Corpus,
    *,
    copy: int = 0,
    seed: int = 0,
    threads: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Array:
    """Embeddings of all clips.

    Parameters
    ----------
    graph : bytes
        From :func:`trunk`.
    corpus : Corpus
    copy : int
        0 for the clips as recorded, else the number of a copy.
    seed : int
        With the clip and the number of the copy decides the changes.
    threads : int
        Clips worked on at once.
    progress : callable, optional
        Called with the number of clips done.

    Returns
    -------
    ndarray of float32, shape (n_clips, width)
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def embedding(clip: tuple[str, str]) -> Array:
        name, path = clip
        samples = audio.resample(audio.load(path), RATE).samples
        changed = prepared(
            samples, np.random.default_rng([seed, copy, zlib.crc32(name.encode())]), copy
        )
        values: Array = session.run(None, {"samples": changed[None]})[0][0]
        return values

    done = []
    recordings = zip(corpus.table["clip"], corpus.table["path"], strict=True)
    with ThreadPoolExecutor(threads) as pool:
        for values in pool.map(embedding, recordings):
            done.append(values)
            if progress is not None:
                progress(len(done))
    return np.stack(done)


def prepared(samples: Array, rng: np.random.Generator, copy: int) -> Array:
    """A clip as a copy has it, preprocessed: 0 as recorded, up to `CHANGED` changed, then a part of it."""
    if 0 < copy <= CHANGED:
        changed = augment(TrimAndNormalise(margin=WIDE_MARGIN)(samples, RATE), rng)
        return TrimAndNormalise(margin=float(rng.uniform(*MARGINS)))(changed, RATE)
    whole = TrimAndNormalise()(samples, RATE)
    return part_of(whole, rng) if copy > CHANGED else whole


def part_of(samples: Array, rng: np.random.Generator) -> Array:
    """A random part: people say single words, and their sentences begin and end elsewhere."""
    length = max(round(rng.uniform(*PART) * len(samples)), round(INPUT.shortest * RATE))
    start = int(rng.integers(max(1, len(samples) - length + 1)))
    return samples[start : start + length]


@dataclasses.dataclass(frozen=True, eq=False)
class EmbeddedClips:
    """Clips with their embeddings: all that fitting and measuring need.

    Attributes
    ----------
    corpus : Corpus
    copies : list of ndarray of float32, shape (n_clips, width)
        As recorded, and changed.
    labels : ndarray of int, shape (n_clips,)
        Positions in :data:`~emoscope.labels.EMOTIONS`.
    speakers, corpora : ndarray of str, shape (n_clips,)
    """

    corpus: Corpus
    copies: list[Array]
    labels: NDArray[np.intp]
    speakers: NDArray[np.str_]
    corpora: NDArray[np.str_]

    @classmethod
    def of(cls, corpus: Corpus, copies: Sequence[Array]) -> EmbeddedClips:
        """From a corpus and the embeddings of its clips, row for row."""
        named = zip(corpus.table["corpus"], corpus.table["emotion"], strict=True)
        emotions = ["neutral" if pair in NEUTRAL else pair[1] for pair in named]
        labels = np.array([EMOTIONS.index(emotion) for emotion in emotions])
        speakers = corpus.table["unique_speaker"].to_numpy(dtype=str)
        corpora = corpus.table["corpus"].to_numpy(dtype=str)
        return cls(corpus, list(copies), labels, speakers, corpora)

    def rows(self, speakers: Collection[str]) -> NDArray[np.intp]:
        """The clips of some speakers."""
        return np.flatnonzero(np.isin(self.speakers, list(speakers)))


@dataclasses.dataclass(frozen=True, eq=False)
class Head:
    """A fitted classifier: its emotions, positions in ``EMOTIONS``, and its linear form.

    `familiar` is what changes for clips that sound like RAVDESS, if that is among the training data.
    """

    emotions: NDArray[np.intp]
    form: LinearForm
    familiar: Familiar | None = None

    def logits(self, embeddings: Array) -> Double:
        """Of clips, shape (n_clips, n_emotions)."""
        values = (embeddings - self.form.mean) / self.form.scale
        found = (values @ self.form.weights + self.form.bias).astype(np.float64)
        return found if self.familiar is None else found + self.familiar.added(values)

    @property
    def general(self) -> Head:
        """The classifier for clips that are not familiar."""
        return dataclasses.replace(self, familiar=None)


@dataclasses.dataclass(frozen=True, eq=False)
class Predicted:
    """Clips predicted by a head that knows neither their speakers nor, mostly, their corpus.

    ``logits`` are (n_clips, n_emotions) in the order of ``emotions``; ``rows`` are of the clips;
    ``far`` is whether each lies far from the training clips, where that was asked for.
    """

    rows: NDArray[np.intp]
    logits: Double
    emotions: NDArray[np.intp]
    far: NDArray[np.bool_] | None = None

    @property
    def familiar(self) -> NDArray[np.bool_]:
        """The clips that are not known to lie far from the training clips."""
        return np.ones(len(self.rows), bool) if self.far is None else ~self.far


class Fits:
    """Heads for sets of training speakers, each fitted once and kept in a folder."""

    def __init__(self, clips: EmbeddedClips, folder: Path) -> None:
        self.clips, self.folder = clips, folder / "heads"
        self.folder.mkdir(parents=True, exist_ok=True)

    def path(self, speakers: Collection[str]) -> Path:
        """Where the head of these training speakers is kept."""
        names = "\n".join(sorted(set(speakers)))
        return self.folder / f"{hashlib.sha1(names.encode()).hexdigest()}.npz"

    def head(self, speakers: Collection[str]) -> Head:
        """The head of these training speakers, fitted unless it is kept."""
        path, rows = self.path(speakers), self.clips.rows(speakers)
        if not path.is_file():
            emotions, form = self.classifier(rows)
            np.savez(path, emotions=emotions, **vars(form))
        with np.load(path) as kept:
            parts = {name: kept[name] for name in ("mean", "scale", "weights", "bias")}
            head = Head(kept["emotions"], LinearForm(**parts))
        corpora = set(self.clips.corpora[rows])
        if CORPUS not in corpora or len(corpora) == 1:
            return head
        return dataclasses.replace(head, familiar=self.second(head, rows, path))

    def classifier(self, rows: NDArray[np.intp]) -> tuple[NDArray[np.intp], LinearForm]:
        """The emotions and the linear form of the classifier of some training clips."""
        clips = self.clips
        told = (clips.labels[rows], clips.speakers[rows], clips.corpora[rows])
        return source_classifier.train([copy[rows] for copy in clips.copies], *told)

    def second(self, head: Head, rows: NDArray[np.intp], path: Path) -> Familiar:
        """The second classifier of a head, for clips like those of RAVDESS; kept beside it."""
        clips, path = self.clips, path.with_suffix(".familiar.npz")
        if not path.is_file():
            own = rows[clips.corpora[rows] == CORPUS]
            values = (clips.copies[0][own] - head.form.mean) / head.form.scale
            found = Familiar.fit(
                values, clips.labels[own], clips.speakers[own], (head.emotions, head.form),
                self.classifier(own), rank=DOMAIN_RANK,
            )  # fmt: skip
            np.savez(path, weights=found.weights, bias=found.bias, **vars(found.domain))
        with np.load(path) as kept:
            return Familiar(_detector(kept), kept["weights"], kept["bias"])

    def keep(self, speakers: Collection[str]) -> None:
        """Fit the head of these training speakers, unless it is kept."""
        self.head(speakers)

    def predict(self, speakers: Collection[str], rows: NDArray[np.intp]) -> Predicted:
        """What the head of some training speakers says of clips as recorded."""
        head = self.head(speakers)
        return Predicted(rows, head.logits(self.clips.copies[0][rows]), head.emotions)

    def predict_unseen(self, speakers: Collection[str], rows: NDArray[np.intp]) -> Predicted:
        """As :meth:`predict`, with whether clips are far from the training clips."""
        head, domain = self.head(speakers), self.domain(speakers)
        values = (self.clips.copies[0][rows] - head.form.mean) / head.form.scale
        far = domain.distance(values) > domain.threshold
        return dataclasses.replace(self.predict(speakers, rows), far=far)

    def without(self, corpora: Collection[str], among: Iterable[str]) -> Predicted:
        """Corpora left out whole, predicted by the head of the others among some speakers."""
        clips = self.clips
        here = np.isin(clips.speakers, list(among))
        out = np.isin(clips.corpora, list(corpora))
        return self.predict_unseen(set(clips.speakers[here & ~out]), np.flatnonzero(here & out))

    def domain(self, speakers: Collection[str]) -> OutOfDomainDetector:
        """Where training clips lie, changed copies included: other rooms are no surprise."""
        clips, form, rows = self.clips, self.head(speakers).form, self.clips.rows(speakers)
        path = self.path(speakers).with_suffix(".domain.npz")
        if not path.is_file():
            values = np.concatenate(
                [(copy[rows] - form.mean) / form.scale for copy in clips.copies]
            )
            names = clips.labels[rows].astype(str)
            folds = calibration.inner_folds(names, clips.speakers[rows], seed=0)
            starts = len(rows) * np.arange(len(clips.copies))[:, np.newaxis]
            spread = [tuple((starts + part).reshape(-1) for part in fold) for fold in folds]
            found = calibration.out_of_domain_detector(values, spread, rank=DOMAIN_RANK)
            np.savez(path, **vars(found))
        with np.load(path) as kept:
            return _detector(kept)

    def unseen_speakers(self, speakers: Collection[str], *, seed: int = 0) -> Predicted:
        """Clips of training speakers, each predicted by a head of other speakers, as if not familiar."""
        rows = self.clips.rows(speakers)
        emotions = np.unique(self.clips.labels[rows])
        logits = np.full((len(rows), len(emotions)), np.nan)
        for others in self.training_folds(speakers, seed=seed):
            test = ~np.isin(self.clips.speakers[rows], list(others))
            head = self.head(others).general
            assert np.array_equal(head.emotions, emotions)
            logits[test] = head.logits(self.clips.copies[0][rows[test]])
        return Predicted(rows, logits, emotions)

    def training_folds(self, speakers: Collection[str], *, seed: int = 0) -> list[set[str]]:
        """The training speakers of each fold of :meth:`unseen_speakers`."""
        clips, rows = self.clips, self.clips.rows(speakers)
        rng = np.random.default_rng(seed)
        folds: list[set[str]] = [set() for _ in range(FOLDS)]
        for corpus in np.unique(clips.corpora[rows]):
            names = np.unique(clips.speakers[rows][clips.corpora[rows] == corpus])
            for number, name in enumerate(rng.permutation(names)):
                folds[number % FOLDS].add(str(name))
        return [set(speakers) - fold for fold in folds]


def _detector(kept: Mapping[str, Array]) -> OutOfDomainDetector:
    parts = {name: kept[name] for name in ("mean", "components", "variances")}
    numbers = {name: float(kept[name]) for name in ("residual", "threshold")}
    return OutOfDomainDetector(**parts, **numbers)
