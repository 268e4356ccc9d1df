"""How the shipped model is made: what it hears, how it is fitted, how its figures are measured.

The first three blocks of Whisper's base encoder, frozen and stored in 8 and 16 bits, averaged over
time; on them one linear discriminant for all emotions of all corpora
(:mod:`research.sufficient_statistics`). Training clips are heard as recorded and through random rooms,
microphones, lines and voices (:mod:`research.augment`), always after
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
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emoscope import audio
from emoscope.audio.level import TrimAndNormalise
from emoscope.corpus import Corpus
from emoscope.evaluation import metrics
from emoscope.labels import EMOTIONS
from emoscope.modelfile.card import AdaptedHead, Input
from emoscope.models.adaptation import BatchStandardiser
from emoscope.training import Inner, calibration, inner_folds
from emoscope.training.linear import LinearForm

from .augment import augment
from .sufficient_statistics import Moments, logits

if TYPE_CHECKING:
    from emoscope.training.compression import Scheme

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
BATCHES = (2, 4, 8, 16, 32, 64)
GAIN = 0.01
"""UAR that standardising a batch must bring in every left-out corpus before it is done unasked."""

GIVEN = Input(kind="samples", rate=RATE, preprocess=TrimAndNormalise(), shortest=0.2, longest=30.0)


def trunk(folder: str, scheme: Scheme | None = "mixed") -> bytes:
    """The graph from samples to averaged hidden states.

    Parameters
    ----------
    folder : str
        The encoder: a local folder, or a name on the Hugging Face hub.
    scheme : {"float16", "int8", "mixed", "int8-dynamic"} or None
        How weights are stored; see :mod:`emoscope.training.compression`. None: single precision.
    """
    from emoscope.training.compression import compress
    from emoscope.training.network_export import from_waveform
    from emoscope.training.waveform import Branch, WaveformTrunk

    shortest, longest = (round(s * RATE) for s in (GIVEN.shortest, GIVEN.longest))
    network = WaveformTrunk([Branch(folder, BLOCKS, POOLINGS)])
    graph = from_waveform(network, shortest=shortest, longest=longest)
    return compress(graph, scheme) if scheme else graph


def hear(
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

    def embed(clip: tuple[str, str]) -> Array:
        name, path = clip
        samples = audio.resample(audio.load(path), RATE).samples
        changed = as_heard(
            samples, np.random.default_rng([seed, copy, zlib.crc32(name.encode())]), copy
        )
        found: Array = session.run(None, {"samples": changed[None]})[0][0]
        return found

    found = []
    clips = zip(corpus.table["clip"], corpus.table["path"], strict=True)
    with ThreadPoolExecutor(threads) as pool:
        for embedding in pool.map(embed, clips):
            found.append(embedding)
            if progress is not None:
                progress(len(found))
    return np.stack(found)


def as_heard(samples: Array, rng: np.random.Generator, copy: int) -> Array:
    """A clip as a copy hears it: preprocessed, and changed unless `copy` is 0."""
    if copy == 0:
        return TrimAndNormalise()(samples, RATE)
    changed = augment(TrimAndNormalise(margin=WIDE_MARGIN)(samples, RATE), rng)
    return TrimAndNormalise(margin=float(rng.uniform(*MARGINS)))(changed, RATE)


@dataclasses.dataclass(frozen=True, eq=False)
class Heard:
    """Clips with their embeddings: all that fitting and measuring need.

    Attributes
    ----------
    corpus : Corpus
    copies : list of ndarray of float32, shape (n_clips, width)
        As recorded, and changed.
    labels : ndarray of int, shape (n_clips,)
        Positions in :data:`~emoscope.labels.EMOTIONS`.
    speakers, corpora : ndarray of str, shape (n_clips,)
    moments : Moments
    """

    corpus: Corpus
    copies: list[Array]
    labels: NDArray[np.intp]
    speakers: NDArray[np.str_]
    corpora: NDArray[np.str_]
    moments: Moments

    @classmethod
    def of(cls, corpus: Corpus, copies: Sequence[Array]) -> Heard:
        """From a corpus and the embeddings of its clips, row for row."""
        emotions = corpus.table["emotion"]
        labels = np.array([EMOTIONS.index(emotion) for emotion in emotions])
        speakers = corpus.table["unique_speaker"].to_numpy(dtype=str)
        corpora = corpus.table["corpus"].to_numpy(dtype=str)
        moments = Moments(copies, labels, speakers, corpora, len(EMOTIONS))
        return cls(corpus, list(copies), labels, speakers, corpora, moments)

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
    inner : Inner
        Clips as recorded, judged by heads that had not heard the speakers.
    changed : ndarray of float, shape (n_clips, n_emotions)
        The same of their first changed copy.
    """

    form: LinearForm
    shrinkage: float
    criterion: dict[float, float]
    rows: NDArray[np.intp]
    inner: Inner
    changed: Double

    @property
    def unheard(self) -> tuple[Double, NDArray[np.intp]]:
        """Logits and labels that confidence is calibrated on: recorded and changed clips."""
        both = np.concatenate([self.inner.logits, self.changed])
        return both, np.tile(self.inner.labels, 2)

    @property
    def temperature(self) -> float:
        """Fitted on :attr:`unheard`."""
        return calibration.temperature(*self.unheard)


def fit(heard: Heard, speakers: Collection[str], *, seed: int = 0) -> Fitted:
    """Choose the shrinkage inside some speakers' clips and fit the head to all of them."""
    rows = heard.rows(speakers)
    names = heard.labels[rows].astype(str)
    folds = inner_folds(names, heard.speakers[rows], seed=seed)
    unheard = np.zeros((len(SHRINKAGES), 2, len(rows), len(EMOTIONS)))
    for train, test in folds:
        forms = heard.moments.discriminants(set(heard.speakers[rows[train]]), SHRINKAGES)
        for n, form in enumerate(forms):
            for copy in (0, 1):
                unheard[n, copy, test] = logits(form, heard.copies[copy][rows[test]])
    known = np.unique(heard.corpora[rows])
    scores = np.array([_within(heard, rows, found[0], known) for found in unheard])
    if len(known) > 1:
        scores = (scores + _across(heard, rows, known)) / 2.0
    best = int(np.flatnonzero(scores >= scores.max() - TOLERANCE)[0])
    form = heard.moments.discriminants(set(speakers), SHRINKAGES[best : best + 1])[0]
    inner = Inner(folds, heard.labels[rows], EMOTIONS, unheard[best, 0])
    criterion = dict(zip(SHRINKAGES, map(float, scores), strict=True))
    return Fitted(form, SHRINKAGES[best], criterion, rows, inner, unheard[best, 1])


def _within(heard: Heard, rows: NDArray[np.intp], found: Double, corpora: Names) -> float:
    """Mean over corpora of the UAR among the corpus's own emotions."""
    scores = []
    for name in corpora:
        here = heard.corpora[rows] == name
        labels = heard.labels[rows[here]]
        scores.append(uar_among(labels, found[here], np.unique(labels)))
    return float(np.mean(scores))


def _across(heard: Heard, rows: NDArray[np.intp], corpora: Names) -> Double:
    """Per shrinkage, mean over corpora left out of the UAR among the emotions shared."""
    scores = []
    for name in corpora:
        train, test = rows[heard.corpora[rows] != name], rows[heard.corpora[rows] == name]
        shared = np.intersect1d(heard.labels[train], heard.labels[test])
        test = test[np.isin(heard.labels[test], shared)]
        forms = heard.moments.discriminants(set(heard.speakers[train]), SHRINKAGES)
        found = [logits(form, heard.copies[0][test]) for form in forms]
        scores.append([uar_among(heard.labels[test], values, shared) for values in found])
    return np.asarray(np.mean(scores, axis=0))


def uar_among(labels: NDArray[np.intp], found: Double, allowed: NDArray[np.intp]) -> float:
    """UAR when only some emotions may be answered."""
    return metrics.uar(labels.astype(str), allowed[found[:, allowed].argmax(axis=1)].astype(str))


def adapted_head(
    heard: Heard, fitted: Fitted, *, seed: int = 0
) -> tuple[AdaptedHead, list[dict[str, Any]]]:
    """The same head for batches standardised on themselves, and from how many clips on it helps.

    A batch is given the mean and the spread of the training clips as recorded. Measured on corpora
    left out whole: every training corpus in turn is cut into random batches and judged by a head
    that has heard none of it.

    Returns
    -------
    head : AdaptedHead
    curve : list of dict
        ``corpus, clips, plain, uar``: per left-out corpus and batch size.
    """
    curve, left_out = [], []
    for name in np.unique(heard.corpora[fitted.rows]):
        here = heard.corpora[fitted.rows] == name
        train, test = fitted.rows[~here], fitted.rows[here]
        if not len(train):
            continue
        shared = np.intersect1d(heard.labels[train], heard.labels[test])
        test = test[np.isin(heard.labels[test], shared)]
        form = heard.moments.discriminants(set(heard.speakers[train]), [fitted.shrinkage])[0]
        plain = logits(form, heard.copies[0][test])
        weights, bias = head_for_batches(form, heard.copies[0][train])
        order = np.random.default_rng(seed).permutation(len(test))
        for size in BATCHES:
            found = np.empty_like(plain)
            for batch in np.array_split(order, max(1, len(order) // size)):
                values = (heard.copies[0][test[batch]] - form.mean) / form.scale
                found[batch] = BatchStandardiser().fit_transform(values) @ weights + bias
            scores = [uar_among(heard.labels[test], values, shared) for values in (plain, found)]
            curve.append({"corpus": str(name), "clips": size, "plain": scores[0], "uar": scores[1]})
        positions = np.searchsorted(shared, heard.labels[test])
        left_out.append((found[:, shared], positions))
    weights, bias = head_for_batches(fitted.form, heard.copies[0][fitted.rows])
    temperatures = [calibration.temperature(found, labels) for found, labels in left_out]
    head = AdaptedHead(
        weights=weights,
        bias=bias,
        temperature=float(np.exp(np.mean(np.log(temperatures))))
        if temperatures
        else fitted.temperature,
        minimum_clips=smallest_that_helps(curve),
    )
    return head, curve


def head_for_batches(form: LinearForm, recorded: Array) -> tuple[Array, Array]:
    """Weights and bias of the same head for embeddings of mean 0 and spread 1.

    Parameters
    ----------
    form : LinearForm
    recorded : ndarray of float32, shape (n_clips, width)
        Training clips as recorded, whose mean and spread a batch is given.
    """
    values = (recorded - form.mean) / form.scale
    mean, spread = values.mean(axis=0), values.std(axis=0)
    return form.weights * spread[:, np.newaxis], form.bias + mean @ form.weights


def smallest_that_helps(curve: Sequence[dict[str, Any]]) -> int:
    """The smallest batch from which on every size gains :data:`GAIN` in every corpus left out."""
    helping = 1_000_000
    for size in reversed(BATCHES):
        points = [point for point in curve if point["clips"] == size]
        if not points or any(point["uar"] < point["plain"] + GAIN for point in points):
            break
        helping = size
    return helping
