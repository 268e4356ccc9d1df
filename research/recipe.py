"""How the shipped model is made: what it takes, how it is fitted, how its figures are measured.

The first three blocks of Whisper's base encoder, frozen and stored in 8 and 16 bits, averaged over
time; on them one linear discriminant for all emotions of all corpora
(:mod:`research.sufficient_statistics`). Training clips are taken as recorded and through random
rooms, microphones, lines and voices (:mod:`research.augment`), always after
:class:`~emoscope.audio.level.TrimAndNormalise`, and always through the very graph that is shipped:
rounding its weights is part of what the head learns from.

The one number that is chosen, the shrinkage, is chosen inside the training speakers: half the
criterion is UAR on training speakers left out, the other half UAR on a training corpus left out
whole, because the model's users speak in other rooms and other languages. Of the shrinkages within
one point of the best the smallest is taken: more is not known, and less shrinkage keeps more of
what the corpora teach.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from emoscope import audio
from emoscope.audio.level import TrimAndNormalise
from emoscope.corpus import Corpus
from emoscope.evaluation import metrics
from emoscope.labels import EMOTIONS
from emoscope.modelfile.card import Input
from emoscope.models.onnx_graph import LinearForm
from emoscope.training import calibration
from emoscope.training.calibration import UnseenPredictions, inner_folds

from .augment import augment
from .sufficient_statistics import SufficientStatistics

if TYPE_CHECKING:
    from .compression import Scheme

Array = NDArray[np.float32]
Double = NDArray[np.float64]
Names = NDArray[np.str_]

ENCODER = "whisper-base-encoder"
BLOCKS = (1, 2, 3)
POOLINGS = ("mean",)
RATE = 16_000
COPIES = 3
"""Changed copies of every training clip, beside the clip itself."""
SHRINKAGES = (0.4, 0.55, 0.65, 0.75, 0.85)
TOLERANCE = 0.01
"""UAR by which a shrinkage may fall short of the best and still be taken."""
WIDE_MARGIN = 0.25
"""Seconds kept around the speech before a copy is changed: rooms ring on."""
MARGINS = (0.03, 0.2)
"""Seconds kept around the speech of a changed copy, drawn for each."""
INPUT = Input(kind="samples", rate=RATE, preprocess=TrimAndNormalise(), shortest=0.2, longest=30.0)


def trunk(folder: str, scheme: Scheme | None = "mixed") -> bytes:
    """The graph from samples to averaged hidden states.

    Parameters
    ----------
    folder : str
        The encoder: a local folder, or a name on the Hugging Face hub.
    scheme : {"float16", "int8", "mixed"} or None
        How weights are stored; see :mod:`research.compression`. None: single precision.
    """
    from emoscope.training.waveform import Branch, WaveformTrunk

    from .compression import compress

    network = WaveformTrunk([Branch(folder, BLOCKS, POOLINGS)])
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
        0 for the clips as recorded, else the number of a changed copy.
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
    """A clip as a copy has it: preprocessed, and changed unless `copy` is 0."""
    if copy == 0:
        return TrimAndNormalise()(samples, RATE)
    changed = augment(TrimAndNormalise(margin=WIDE_MARGIN)(samples, RATE), rng)
    return TrimAndNormalise(margin=float(rng.uniform(*MARGINS)))(changed, RATE)


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
    statistics : SufficientStatistics
    """

    corpus: Corpus
    copies: list[Array]
    labels: NDArray[np.intp]
    speakers: NDArray[np.str_]
    corpora: NDArray[np.str_]
    statistics: SufficientStatistics

    @classmethod
    def of(cls, corpus: Corpus, copies: Sequence[Array]) -> EmbeddedClips:
        """From a corpus and the embeddings of its clips, row for row."""
        emotions = corpus.table["emotion"]
        labels = np.array([EMOTIONS.index(emotion) for emotion in emotions])
        speakers = corpus.table["unique_speaker"].to_numpy(dtype=str)
        corpora = corpus.table["corpus"].to_numpy(dtype=str)
        statistics = SufficientStatistics(copies, labels, speakers, corpora, len(EMOTIONS))
        return cls(corpus, list(copies), labels, speakers, corpora, statistics)

    def rows(self, speakers: Collection[str]) -> NDArray[np.intp]:
        """The clips of some speakers."""
        return np.flatnonzero(np.isin(self.speakers, list(speakers)))


@dataclasses.dataclass(frozen=True, eq=False)
class Fitted:
    """The head for a set of training speakers.

    Attributes
    ----------
    form : LinearForm
    shrinkage : float
    criterion : dict of float to float
        What each shrinkage was worth on speakers and corpora left out.
    rows : ndarray of int
        The training clips; the next two are row for row with them.
    inner : UnseenPredictions
        Clips as recorded, predicted by heads that had not seen the speakers.
    changed : ndarray of float, shape (n_clips, n_emotions)
        The same of their first changed copy.
    """

    form: LinearForm
    shrinkage: float
    criterion: dict[float, float]
    rows: NDArray[np.intp]
    inner: UnseenPredictions
    changed: Double

    @property
    def unseen(self) -> tuple[Double, NDArray[np.intp]]:
        """Logits and labels that confidence is calibrated on: recorded and changed clips."""
        both = np.concatenate([self.inner.logits, self.changed])
        return both, np.tile(self.inner.labels, 2)

    @property
    def temperature(self) -> float:
        """Fitted on :attr:`unseen`."""
        return calibration.temperature(*self.unseen)


def fit(clips: EmbeddedClips, speakers: Collection[str], *, seed: int = 0) -> Fitted:
    """Choose the shrinkage inside some speakers' clips and fit the head to all of them."""
    rows = clips.rows(speakers)
    names = clips.labels[rows].astype(str)
    folds = inner_folds(names, clips.speakers[rows], seed=seed)
    unseen = np.zeros((len(SHRINKAGES), 2, len(rows), len(EMOTIONS)))
    for train, test in folds:
        forms = clips.statistics.discriminants(set(clips.speakers[rows[train]]), SHRINKAGES)
        for n, form in enumerate(forms):
            for copy in (0, 1):
                unseen[n, copy, test] = form.logits(clips.copies[copy][rows[test]])
    known = np.unique(clips.corpora[rows])
    scores = np.array([_within(clips, rows, found[0], known) for found in unseen])
    if len(known) > 1:
        scores = (scores + _across(clips, rows, known)) / 2.0
    best = int(np.flatnonzero(scores >= scores.max() - TOLERANCE)[0])
    form = clips.statistics.discriminants(set(speakers), SHRINKAGES[best : best + 1])[0]
    inner = UnseenPredictions(folds, clips.labels[rows], EMOTIONS, unseen[best, 0])
    criterion = dict(zip(SHRINKAGES, map(float, scores), strict=True))
    return Fitted(form, SHRINKAGES[best], criterion, rows, inner, unseen[best, 1])


def _within(clips: EmbeddedClips, rows: NDArray[np.intp], found: Double, corpora: Names) -> float:
    """Mean over corpora of the UAR among the corpus's own emotions."""
    scores = []
    for name in corpora:
        here = clips.corpora[rows] == name
        labels = clips.labels[rows[here]]
        scores.append(uar_among(labels, found[here], np.unique(labels)))
    return float(np.mean(scores))


def _across(clips: EmbeddedClips, rows: NDArray[np.intp], corpora: Names) -> Double:
    """Per shrinkage, mean over corpora left out of the UAR among the emotions shared."""
    scores = []
    for name in corpora:
        train, test = rows[clips.corpora[rows] != name], rows[clips.corpora[rows] == name]
        shared = np.intersect1d(clips.labels[train], clips.labels[test])
        test = test[np.isin(clips.labels[test], shared)]
        forms = clips.statistics.discriminants(set(clips.speakers[train]), SHRINKAGES)
        found = [form.logits(clips.copies[0][test]) for form in forms]
        scores.append([uar_among(clips.labels[test], values, shared) for values in found])
    return np.asarray(np.mean(scores, axis=0))


def uar_among(labels: NDArray[np.intp], found: Double, allowed: NDArray[np.intp]) -> float:
    """UAR when only some emotions may be answered."""
    return metrics.uar(labels.astype(str), allowed[found[:, allowed].argmax(axis=1)].astype(str))
