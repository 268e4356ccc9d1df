"""A model adapted to labelled clips of one's own, such as corrections of what it said.

A linear function of the embedding is added to the logits, the most probable one under a Gaussian
prior around zero: multinomial logistic regression with an offset, maximum a posteriori.
"""

import dataclasses
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax

from .. import modelfile
from .._version import __version__
from ..corpus import Corpus
from ..errors import CorpusError, ModelError
from ..evaluation import metrics
from ..evaluation.saved_model import infer
from ..files import sentence
from ..modelfile import ModelFile
from ..modelfile.card import Card
from ..models.onnx_graph import extend
from ..unseen import WORDS
from . import calibration, expected, held_out_of, provenance
from .calibration import UnseenPredictions
from .publishing import onnx_graph

Double = NDArray[np.float64]

# Precision of the prior on weights, of an embedding scaled to unit length, and on biases: chosen on
# RAVDESS and EmoSpeech with a model that had heard neither (benchmarks/corrections.py).
WEIGHTS, BIASES = 0.3, 1.0
FEWEST = 10  # labelled clips, with which UAR rose on those corpora; fewer were not tried


def adapt(
    model: ModelFile, corpus: Corpus, out: str | os.PathLike[str], *,
    title: str | None = None, seed: int = 0, jobs: int | None = None,
    tick: Callable[[], object] = lambda: None,
) -> tuple[Card, Corpus]:  # fmt: skip
    """Fit the correction on all clips of a corpus, each followed by a tick, and write the new model.

    Returns its card, and the corpus with what could not be used. A CorpusError, and no file, when
    there are too few clips, or the UAR on voices held out is not higher than before.
    """
    if modelfile.is_foreign(model.path):
        raise ModelError(sentence("not_ours", name=model.path))
    found = infer(model, corpus, jobs=jobs, tick=tick)
    corpus, table, emotions = found.corpus, found.corpus.table, model.card.emotions
    named = table["emotion"].to_numpy(dtype=str)
    _check(named, model)
    labels = np.array([emotions.index(name) for name in named])
    held_out = held_out_of(corpus)
    name_of = "clip" if held_out == "clips" else "unique_speaker"
    speakers = table[name_of].to_numpy(dtype=str)
    alone = set(corpus.speakers) if len(set(table["unique_speaker"])) == 1 else ()
    said = [sentence("only_speaker", speaker=speaker) for speaker in alone]
    logits = found.logits / model.card.temperature
    inputs = inputs_of(found.embeddings)
    folds, adapted = calibration.inner_folds(named, speakers, seed=seed), logits.copy()
    for train, test in folds:
        added = fit(logits[train], inputs[train], labels[train])
        adapted[test] += inputs[test] @ added
    unseen = UnseenPredictions(folds, labels, emotions, adapted)
    calibrated = calibration.cross_fitted(adapted, labels, [test for _, test in folds])
    measured = expected(corpus, unseen, calibrated)
    before = metrics.uar(named, np.array(emotions)[logits.argmax(axis=1)])
    base, after = model.card, measured.uar or 0.0
    if after <= before:
        figures = {"before": f"{before:.3f}", "after": f"{after:.3f}", "n": len(table)}
        why = {"held_out": WORDS[held_out], "found": "".join(f": {one}" for one in said)}
        raise CorpusError(sentence("no_better", name=base.name, **figures, **why))
    lowest = base.uncertain.threshold if base.uncertain.coverage else 0.0
    trained = {one.name: one for one in (*base.training.corpora, *provenance(corpus))}
    recipe = {**base.training.recipe, "adapted": {"from": model.identity, "n_clips": len(table)}}
    card = dataclasses.replace(
        base, name=title or f"{base.name}-adapted", emoscope=__version__, held_out=held_out,
        temperature=base.temperature * calibration.temperature(adapted, labels),
        uncertain=calibration.uncertain(calibrated, labels, lowest=lowest), optimistic=held_out == "clips",
        training=dataclasses.replace(base.training, corpora=tuple(trained.values()), recipe=recipe),
        results=(dataclasses.replace(measured, others={**measured.others, "uar_before": before}),),
    )  # fmt: skip
    added = fit(logits, inputs, labels)
    modelfile.save(out, corrected(model, added * base.temperature), card)
    return card, corpus.noting(*said)


def fit(logits: Double, inputs: Double, labels: NDArray[np.intp]) -> Double:
    """What to add to calibrated logits for each input, ``(n_inputs, n_emotions)``."""
    n_emotions = logits.shape[1]
    target = np.eye(n_emotions)[labels]
    precision = np.append(np.full(inputs.shape[1] - 1, WEIGHTS), BIASES)[:, np.newaxis]

    def loss(flat: Double) -> tuple[float, Double]:
        added = flat.reshape(-1, n_emotions)
        found = log_softmax(logits + inputs @ added, axis=1)
        value = 0.5 * (precision * added**2).sum() - (target * found).sum()
        return float(value), (inputs.T @ (np.exp(found) - target) + precision * added).ravel()

    start = np.zeros(inputs.shape[1] * n_emotions)
    return np.asarray(minimize(loss, start, jac=True, method="L-BFGS-B").x.reshape(-1, n_emotions))


def corrected(model: ModelFile, added: Double) -> bytes:
    """The graph of a model whose logits have what was fitted added to them."""
    graph = (whole := onnx_graph(model)).graph
    scale = np.sqrt(model.card.embedding_width)
    for node in graph.node:
        for names in (node.output, node.input):
            names[:] = ["logits_before" if name == "logits" else name for name in names]
    weights, bias = (values.astype(np.float32) for values in (added[:-1] / scale, added[-1]))
    extend(graph, "correction", added_weights=weights, added_bias=bias)
    return bytes(whole.SerializeToString())


def inputs_of(embeddings: NDArray[np.float32]) -> Double:
    """Embeddings of about unit length, since they are standardised, and a one for the bias."""
    scaled = embeddings.astype(np.float64) / np.sqrt(embeddings.shape[1])
    return np.hstack([scaled, np.ones((len(scaled), 1))])


def _check(named: NDArray[Any], model: ModelFile) -> None:
    emotions = model.card.emotions
    if unknown := sorted(set(named) - set(emotions)):
        told = {"unknown": ", ".join(unknown), "emotions": ", ".join(emotions), "word": unknown[0]}
        raise CorpusError(sentence("cannot_answer", name=model.card.name, **told))
    if len(named) < FEWEST or len(set(named)) < 2:
        counts = {"n": len(named), "of": len(set(named)), "fewest": FEWEST}
        raise CorpusError(sentence("too_few_to_adapt", **counts))
