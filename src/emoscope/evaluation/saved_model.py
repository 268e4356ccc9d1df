"""Scores a model file on a labelled corpus, and says what makes the score worth less.

A file's emotions and a corpus's rarely agree. By default both are reduced to the emotions they
share: clips of other emotions are left out (and counted), and probabilities are taken among the
shared emotions only. With ``shared_only=False`` the model may also answer with an emotion that the
corpus does not have, and is then wrong.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .. import audio
from ..audio import Signal
from ..corpus import Corpus
from ..errors import AudioError, CorpusError, ModelError, ProtocolError, UnknownNameError
from ..labels import in_order
from ..modelfile import ModelFile, log_softmax
from ..modelfile.card import Card
from ..models.adaptation import BatchStandardiser
from ..prediction import Predictor
from .comparison import describe_corpus
from .result import Result, Run, result_rows, summarise

PROTOCOL = "evaluate"


def evaluate(
    model: ModelFile,
    corpus: Corpus,
    *,
    adapt: str | None = None,
    shared_only: bool = True,
    jobs: int | None = None,
    command: str | None = None,
) -> Result:
    """Predict every clip of a corpus with a model file.

    Parameters
    ----------
    model : ModelFile
    corpus : Corpus
    adapt : {"speaker", "corpus"}, optional
        Standardise embeddings on each speaker's clips, or on all clips, and use the file's second
        head; the protocol then ends in ``+speaker-adapted`` or ``+corpus-adapted``.
    shared_only : bool
        See the module.
    jobs : int, optional
        Processes; by default all cores.
    command : str, optional
        The command line to record.

    Returns
    -------
    Result
        One run. ``config["notes"]`` holds, in words, what must be said with the score: training
        speakers among the clips, emotions and clips left out, the share of clips that were far from
        the training data or uncertain.

    Raises
    ------
    UnknownNameError, ProtocolError
        When there is no such adaptation, or it needs speakers that are not known.
    CorpusError
        When model and corpus share fewer than two emotions, or no clip can be used.
    ModelError
        When adaptation is asked of a file without a second head.
    """
    card = model.card
    if adapt not in (None, "speaker", "corpus"):
        raise UnknownNameError("adaptation", adapt, ("speaker", "corpus"))
    if adapt == "speaker" and (corpus.table["speaker"] == "").any():
        raise ProtocolError("adapting to each speaker needs the speaker of every clip")
    if adapt is not None and card.adapted is None:
        raise ModelError(f"{model.path}: has no head for adapted embeddings")
    shared = [emotion for emotion in in_order(card.emotions) if emotion in corpus.emotions]
    if len(shared) < 2:
        raise CorpusError(
            f"the model knows {', '.join(card.emotions)}; the corpus '{corpus.name}' has "
            f"{', '.join(corpus.emotions)}: at least two must be shared"
        )
    judged = judge(model, corpus.select(emotions=shared), jobs=jobs)
    result = score(card, judged, adapt=adapt, answers=shared if shared_only else None)
    result.config["notes"] = list(remarks(card, corpus, shared, result.runs[0]))
    result.config["file"] = model.path
    if command is not None:
        result.config["command"] = command
    return result


@dataclasses.dataclass(frozen=True, eq=False)
class Judged:
    """What a model found in the clips of a corpus.

    Attributes
    ----------
    corpus : Corpus
        The clips that could be used; all others are in its ``rejected``.
    logits : ndarray of float, shape (n_clips, n_emotions)
    embeddings : ndarray of float32, shape (n_clips, embedding_width)
    """

    corpus: Corpus
    logits: NDArray[np.float64]
    embeddings: NDArray[np.float32]


def score(
    card: Card, judged: Judged, *, adapt: str | None = None, answers: Sequence[str] | None = None
) -> Result:
    """Turn logits and embeddings into a result.

    Parameters
    ----------
    card : Card
    judged : Judged
    adapt : {"speaker", "corpus"}, optional
        As for :func:`evaluate`; the card must have a second head.
    answers : sequence of str, optional
        Emotions the model may answer with; by default all it knows.
    """
    allowed = list(answers or in_order(card.emotions))
    columns = [card.emotions.index(emotion) for emotion in allowed]
    table, logits, temperature = judged.corpus.table, judged.logits, card.temperature
    if adapt is not None:
        groups = (
            table["unique_speaker"].to_numpy(dtype=str)
            if adapt == "speaker"
            else np.zeros(len(table))
        )
        logits, temperature = _adapted(card, judged.embeddings, groups)
    probabilities = np.exp(log_softmax(logits[:, columns] / temperature))
    sure = np.exp(log_softmax(logits / temperature)).max(axis=1)  # as a prediction shows it
    protocol = PROTOCOL if adapt is None else f"{PROTOCOL}+{adapt}-adapted"
    rows = _rows(card, table, protocol, allowed, probabilities)
    far = np.zeros(len(table), bool)
    if card.domain is not None:
        far = card.domain.distance(judged.embeddings) > card.domain.threshold
    run = summarise(
        rows,
        uncertain=float((sure < card.uncertain.threshold).mean()),
        unfamiliar=float(far.mean()),
    )
    return Result(rows, [run], describe_corpus(judged.corpus), {"protocol": protocol})


def judge(model: ModelFile, corpus: Corpus, *, jobs: int | None = None) -> Judged:
    """Run a model on every clip of a corpus.

    Raises
    ------
    CorpusError
        When not one clip can be used.
    """
    predictor = Predictor(model)

    def hear(path: str) -> tuple[NDArray[Any], NDArray[Any]] | AudioError:
        try:
            found = [predictor.infer(piece) for piece in _pieces(audio.load(path), model.card)]
        except AudioError as error:
            return error
        logits = np.mean([piece.logits for piece in found], axis=0)
        return logits, np.mean([piece.embedding for piece in found], axis=0)

    # Threads serve: onnxruntime and the decoders work outside Python's lock.
    with ThreadPoolExecutor(jobs or os.cpu_count() or 1) as pool:
        heard = list(pool.map(hear, corpus.table["path"]))
    rejected = [outcome for outcome in heard if isinstance(outcome, AudioError)]
    used = [row for row, outcome in enumerate(heard) if not isinstance(outcome, AudioError)]
    if not used:
        raise CorpusError(f"no clip of '{corpus.name}' can be used; first: {rejected[0]}")
    outcomes = [heard[row] for row in used]
    logits, embeddings = (np.stack([outcome[n] for outcome in outcomes]) for n in (0, 1))  # type: ignore[index]
    usable = dataclasses.replace(
        corpus, table=corpus.table.iloc[used], rejected=[*corpus.rejected, *rejected]
    )
    return Judged(usable, logits.astype(np.float64), embeddings)


def _pieces(signal: Signal, card: Card) -> list[Signal]:
    """The recording, cut into equal pieces where it is longer than the graph can take."""
    if card.input.kind != "samples":
        return [signal]
    n_pieces = max(1, math.ceil(signal.duration / card.input.longest))
    return [Signal(p, signal.rate, signal.path) for p in np.array_split(signal.samples, n_pieces)]


def _adapted(
    card: Card, embeddings: NDArray[Any], groups: NDArray[Any]
) -> tuple[NDArray[np.float64], float]:
    """Logits of the second head on embeddings standardised per group, and their temperature."""
    assert card.adapted is not None
    logits = np.empty((len(embeddings), len(card.emotions)))
    for group in np.unique(groups):
        rows = groups == group
        given = BatchStandardiser().fit_transform(embeddings[rows])
        logits[rows] = given @ card.adapted.weights + card.adapted.bias
    return logits, card.adapted.temperature


def _rows(
    card: Card,
    table: pd.DataFrame,
    protocol: str,
    answers: Sequence[str],
    probabilities: NDArray[np.float64],
) -> pd.DataFrame:
    """The predictions in the form of a result."""
    clips = table.assign(
        model=card.name,
        features="+".join(feature.name for feature in card.input.features) or "waveform",
        protocol=protocol,
        fold="1",
        predicted=np.array(answers)[probabilities.argmax(axis=1)],
    )
    return result_rows(clips, pd.DataFrame(probabilities, columns=list(answers)))


def remarks(card: Card, corpus: Corpus, shared: Sequence[str], run: Run) -> Iterator[str]:
    """What must be said with a score, one sentence each."""
    for name, table in corpus.table.groupby("corpus", sort=True):
        heard = sorted(card.speakers.get(str(name), set()) & set(table["speaker"]) - {""})
        if heard:
            shown = ", ".join(heard[:10]) + (" …" if len(heard) > 10 else "")
            yield (
                f"{len(heard)} speakers of '{name}' were in this model's training ({shown}): the "
                "score says how well it remembers, not how well it recognises unheard voices"
            )
    left_out = [emotion for emotion in corpus.emotions if emotion not in shared]
    if left_out:
        n_clips = int(corpus.table["emotion"].isin(left_out).sum())
        yield f"{n_clips} clips left out: the model does not know {', '.join(left_out)}"
    unasked = [emotion for emotion in in_order(card.emotions) if emotion not in shared]
    if unasked:
        yield f"the corpus has no {', '.join(unasked)}, which the model knows"
    if run.unfamiliar:
        yield f"{100 * run.unfamiliar:.0f} % of the clips lie far from the training data"
    yield f"{100 * run.uncertain:.0f} % of the labels are uncertain by the card's rule"
