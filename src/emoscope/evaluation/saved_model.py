"""Scores a model file on a labelled corpus, and says what makes the score worth less.

Clips of emotions that the model does not know are left out. Probabilities and scores are among the
shared emotions; beside them stands the UAR of a model that answers freely, as ``predict`` does.
"""

import dataclasses
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .. import audio
from ..audio import Signal
from ..audio.excerpt import by_file
from ..corpus import Corpus
from ..dataset.rows import Facts, notes_on
from ..errors import AudioError, CorpusError, ModelError, ProtocolError, check_known
from ..features.spectrum import Spectrum
from ..files import lines
from ..labels import in_order
from ..modelfile import ModelFile
from ..modelfile.card import Card
from ..models import offsets
from ..prediction import Predictor
from ..prediction.known import SHIPPED, training_warning
from ..unseen import OPTIMISTIC
from . import sentence, statistics
from .comparison import describe_corpus
from .result import Result, Run, result_rows, summarise

PROTOCOL = "evaluate"
A = TypeVar("A")
T = TypeVar("T")


def evaluate(
    model: ModelFile, corpus: Corpus, *, emotions: Sequence[str] = (), adapt: str | None = None,
    jobs: int | None = None, command: str | None = None,
) -> Result:  # fmt: skip
    """Predict the clips of a corpus, or of some `emotions`; ``config["notes"]`` must be said with it.

    With `adapt`, the clips of each ``"speaker"`` or of the ``"corpus"`` are taken as one source
    (:mod:`emoscope.models.offsets`), and the protocol's name ends in that.
    """
    card = model.card
    check_known("adaptation", ("speaker", "corpus"), *filter(None, (adapt,)))
    if adapt == "speaker" and (corpus.table["speaker"] == "").any():
        raise ProtocolError("adapting to each speaker needs the speaker of every clip")
    if adapt is not None and card.offsets is None:
        raise ModelError(sentence("no_offsets", path=model.path))
    whole, corpus = corpus, corpus.select(emotions=emotions) if emotions else corpus
    shared = [emotion for emotion in in_order(card.emotions) if emotion in corpus.emotions]
    if len(shared) < 2:
        had = "the clips asked for are" if emotions else f"the corpus '{corpus.name}' has"
        told = {"known": ", ".join(card.emotions), "found": ", ".join(corpus.emotions)}
        raise CorpusError(sentence("few_shared", had=had, **told))
    result = score(card, infer(model, corpus.select(emotions=shared), jobs=jobs), shared, adapt)
    result.config["notes"] = _notes(card, whole, corpus, result.runs[0])
    result.config["file"] = model.path
    result.config |= {"command": command} if command is not None else {}
    return result


@dataclasses.dataclass(frozen=True, eq=False)
class Inferences:
    """Logits ``(n_clips, n_emotions)`` and embeddings ``(n_clips, width)`` of a corpus."""

    corpus: Corpus  # clips that could not be used are among its ``rejected``
    logits: NDArray[np.float64]
    embeddings: NDArray[np.float32]


def score(
    card: Card, inferences: Inferences, answers: Sequence[str], adapt: str | None = None
) -> Result:
    """Turn logits and embeddings into a result; `answers` are what the model may answer with."""
    allowed = list(answers)
    table, logits = inferences.corpus.table, inferences.logits
    columns = [card.emotions.index(emotion) for emotion in allowed]
    by_speaker = table["unique_speaker"].to_numpy(dtype=str)
    sources = by_speaker if adapt == "speaker" else np.zeros(len(table))
    asked = card if adapt else dataclasses.replace(card, offsets=None)
    freely = offsets.together(asked, logits, sources)
    confidence = freely.max(axis=1)  # as a prediction shows it
    probabilities = offsets.together(asked, logits, sources, allowed=columns)
    features = "+".join(feature.name for feature in card.input.features) or "waveform"
    protocol = PROTOCOL if adapt is None else f"{PROTOCOL}+{adapt}-adapted"
    predicted = np.array(allowed)[probabilities.argmax(axis=1)]
    about = {"model": card.name, "features": features, "protocol": protocol, "fold": "1"}
    clips = table.assign(**about, predicted=predicted)
    rows = result_rows(clips, pd.DataFrame(probabilities, columns=allowed))
    is_far = np.zeros(len(table), bool)
    if card.domain is not None:
        is_far = card.domain.distance(inferences.embeddings) > card.domain.threshold
    uncertain = float((is_far | (confidence < card.uncertain.threshold)).mean())
    free = summarise(rows.assign(predicted=np.array(card.emotions)[freely.argmax(axis=1)]))
    among_all = {key: getattr(free, key) for key in ("uar", "uar_low", "uar_high", "accuracy")}
    among_all |= {"chance": 1 / len(card.emotions)}
    further = {"chance": 1 / len(allowed), "free": among_all}
    run = summarise(rows, uncertain=uncertain, unfamiliar=float(is_far.mean()), extra=further)
    return Result(rows, [run], describe_corpus(inferences.corpus), {"protocol": run.protocol})


def infer(
    model: ModelFile, corpus: Corpus, *, jobs: int | None = None,
    tick: Callable[[], object] = lambda: None,
) -> Inferences:  # fmt: skip
    """Run a model on every clip of a corpus; CorpusError when not one can be used."""
    predictor, given, trained_on = Predictor(model), model.card.input, Counter[str]()

    def of_clip(_: int, signal: Signal) -> tuple[NDArray[Any], ...]:
        # What is longer than the graph can take is cut into equal parts.
        longest = given.longest if given.kind == "samples" else math.inf
        cut = np.array_split(signal.samples, max(1, math.ceil(signal.duration / longest)))
        parts = [predictor.infer(Signal(part, signal.rate, signal.path)) for part in cut]
        logits = np.mean([part.logits for part in parts], axis=0)
        embedding = np.mean([part.embedding for part in parts], axis=0)
        trained_on.update(training_warning(model.card, signal))
        tick()
        return logits, embedding, Facts().extract(Spectrum(signal))

    outcomes = each_clip(corpus, of_clip, jobs=jobs)
    rejected = [outcome for outcome in outcomes if isinstance(outcome, AudioError)]
    used = [(n, o) for n, o in enumerate(outcomes) if not isinstance(o, AudioError)]
    if not used:
        raise CorpusError(f"no clip of '{corpus.name}' can be used; first: {rejected[0]}")
    logits, embeddings, found = (np.stack([o[part] for _, o in used]) for part in range(3))
    memory = [f"{said} ({n} of {len(used)} clips)" for said, n in sorted(trained_on.items())]
    table, rejected = corpus.table.iloc[[n for n, _ in used]], [*corpus.rejected, *rejected]
    notes = *notes_on(found, corpus.table), *memory
    usable = corpus.noting(*notes, table=table, rejected=rejected)
    return Inferences(usable, logits.astype(np.float64), embeddings)


def each_clip(
    corpus: Corpus, of_clip: Callable[[int, Signal], T], *, jobs: int | None = None,
    tick: Callable[[], None] = lambda: None,
) -> list[T | AudioError]:  # fmt: skip
    """What a function gives of the number and the sound of each clip, in their order."""

    def of_file(numbers: list[int]) -> dict[int, T | AudioError]:
        parts, made = [excerpts[n] for n in numbers], dict[int, T | AudioError]()
        for k, heard in audio.cut(parts[0].path, parts, listen=True):
            n = numbers[k]
            try:
                made[n] = heard if isinstance(heard, AudioError) else of_clip(n, heard)
            except AudioError as error:
                made[n] = error
        return made

    excerpts, outcomes = corpus.excerpts, dict[int, T | AudioError]()
    for found in in_threads(of_file, by_file(excerpts).values(), jobs):
        outcomes.update(found)
        for _ in found:
            tick()
    return [outcomes[number] for number in range(len(excerpts))]


def in_threads(function: Callable[[A], T], items: Iterable[A], jobs: int | None) -> Iterator[T]:
    """What a function gives of each; where that is interrupted, what has not begun does not begin."""
    # Threads serve: onnxruntime and the decoders work outside Python's lock.
    pool = ThreadPoolExecutor(jobs or os.cpu_count() or 1)
    try:
        yield from pool.map(function, items)
    finally:
        pool.shutdown(cancel_futures=True)


def in_training(card: Card, table: pd.DataFrame) -> pd.Series:
    """Which clips are of a corpus and a speaker that the card names."""
    pairs = zip(table["corpus"], _names(table), strict=True)
    known = [speaker in card.speakers.get(corpus, ()) for corpus, speaker in pairs]
    return pd.Series(known, table.index, bool)


def _names(table: pd.DataFrame) -> list[str]:
    pairs = zip(table["corpus"], table["speaker"], strict=True)
    return [str(speaker).removeprefix(f"{corpus}/") for corpus, speaker in pairs]


def _notes(card: Card, whole: Corpus, corpus: Corpus, run: Run) -> list[str]:
    """What must be said with a score, one sentence each; `corpus` is what was asked for of `whole`."""
    # Clips of the shipped corpora are known by their sound, others by what their speakers are called.
    others = set[str]().union(*(s for c, s in card.speakers.items() if c not in SHIPPED))
    known = {
        name: sorted(card.speakers.get(str(name), others) & {*_names(table)} - {""})
        for name, table in corpus.table.groupby("corpus", sort=True)
    }
    return lines(
        "notes", card=card, whole=whole, corpus=corpus, run=run, known=known,
        emotions=in_order(card.emotions), optimistic=OPTIMISTIC,
        no_interval=statistics.no_interval(run.n_speakers),
    )  # fmt: skip
