"""Recordings of one source together: what a voice, a room or a corpus adds, and the labels, at once.

A source adds a constant to the logits, ``(n_clips, n_emotions)``, of all its clips. :func:`learn`
estimates it without labels, by expectation-maximisation under a Gaussian prior, which :func:`fit`
learns from speakers that a model had not heard. The more clips, the more is taken away; nothing where
they hardly differ: then they are of one emotion and share the label of their mean. (Dempster, Laird &
Rubin, "Maximum likelihood from incomplete data via the EM algorithm", J. R. Stat. Soc. B 39(1), 1977.)
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..modelfile import softmax
from ..modelfile.card import Card, SourceOffsets

Logits = NDArray[np.floating[Any]]
Double = NDArray[np.float64]

ITERATIONS = 15  # of labels and offset in turn; the last ones hardly move them
# Chosen on four corpora, each left out of training: mean UAR of 4 and more clips of a speaker, while
# batches of one emotion lose at most two points on average.
chosen = functools.partial(SourceOffsets, gain=0.6, floor=0.1, low=0.65, high=1.04, consensus=0.3)
RIDGE = 1e-6


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
    """What was learned of a source; says what its clips are, also those it was not learned from."""

    card: Card
    allowed: slice | Sequence[int]  # the emotions that may be answered, by position
    offset: Double  # of the logits, by emotion
    several: float  # how far its clips are of several emotions, 0 to 1
    consensus: float  # weight of `common` where they are of one
    common: Double  # probabilities of the mean of its clips

    def probabilities(self, logits: Logits) -> NDArray[np.float32]:
        """Of the allowed emotions, shape ``(n_clips, n_allowed)``; rows sum to 1."""
        logits = logits[:, self.allowed]
        alone = softmax(logits / self.card.temperature)
        if self.card.offsets is None or not (self.several or self.consensus):
            return alone
        apart = softmax((centred(logits) - self.offset) / self.card.offsets.temperature)
        together = self.consensus * self.common + (1.0 - self.consensus) * alone
        return np.asarray(self.several * apart + (1.0 - self.several) * together, np.float32)


def learn(
    card: Card, logits: Logits, *, allowed: Sequence[int] | None = None, overlap: float = 1.0
) -> Source:
    """Learn what a source adds to the logits of its clips; of one clip, or without a prior, nothing.

    `allowed` are positions of the emotions that may be answered; `overlap` is in how many clips any
    moment lies: of windows their length over their hop.
    """
    columns = slice(None) if allowed is None else list(allowed)
    prior, X = card.offsets, centred(np.asarray(logits, np.float64)[:, columns])
    n_clips, n_emotions = len(X) / overlap, X.shape[1]
    if prior is None or n_clips < 2.0:
        return Source(card, columns, np.zeros(n_emotions), 0.0, 0.0, np.zeros(n_emotions))
    means = centred(prior.means.astype(np.float64)[columns][:, columns])
    mean = X.mean(axis=0)
    wide = spread(X, prior.covariance.astype(np.float64)[columns][:, columns], n_clips)
    several = np.clip((wide - prior.low) / (prior.high - prior.low), 0.0, 1.0)
    gain = prior.gain / (prior.gain + 1.0 / n_clips + prior.floor)
    labels = softmax(X / card.temperature)
    for _ in range(ITERATIONS):
        offset = gain * (mean - labels.mean(axis=0) @ means)
        labels = softmax((X - offset) / prior.temperature)
    common = softmax(mean[np.newaxis] / card.temperature)[0].astype(np.float64)
    return Source(card, columns, offset, float(several), prior.consensus, common)


def spread(X: Double, covariance: Double, n_clips: float) -> float:
    """Variance of centred logits, relative to that of clips of one source around their means."""
    apart = X - X.mean(axis=0)
    scatter = np.einsum("nk,kj,nj->n", apart, precision(covariance), apart).mean()
    return float(scatter * n_clips / (n_clips - 1.0) / (X.shape[1] - 1))


def precision(covariance: Double) -> Double:
    """The inverse of a covariance among centred logits."""
    centre = centred(centred(covariance).T)
    return np.asarray(np.linalg.pinv(centre, rcond=1e-6, hermitian=True), np.float64)


def centred(logits: Logits) -> Double:
    """Less their mean over the emotions, which probabilities do not depend on."""
    return np.asarray(logits - logits.mean(axis=1, keepdims=True), np.float64)


def fit(
    logits: Logits, labels: NDArray[np.intp], speakers: NDArray[Any], corpora: NDArray[Any], *,
    temperature: float,
) -> SourceOffsets:  # fmt: skip
    """Learn means and covariance from logits of clips whose speakers, or corpora, were left out."""
    X = centred(logits)
    means, _, rest, weights = additive(X, labels, speakers, corpora)
    covariance = (rest * weights[:, np.newaxis]).T @ rest + RIDGE * np.eye(X.shape[1])
    found, within = (a.astype(np.float32) for a in (means, covariance))
    return chosen(means=found, covariance=within, temperature=temperature)


def additive(
    values: Double, labels: NDArray[np.intp], speakers: NDArray[Any], corpora: NDArray[Any]
) -> tuple[Double, Double, Double, Double]:
    """Take each clip as the mean of its emotion, an offset of its speaker and a rest.

    Corpora count alike, and within one its speakers. Gives the means, where offsets are zero on
    average, the offsets by speakers' names in order, and each clip's rest and weight.
    """
    speaker = np.unique(speakers, return_inverse=True)[1]
    corpus = np.unique(corpora, return_inverse=True)[1]
    weights = 1.0 / np.bincount(speaker)[speaker]
    weights /= np.bincount(corpus, weights)[corpus] * (corpus.max() + 1)
    n_emotions = labels.max() + 1
    design = np.hstack([np.eye(n_emotions)[labels], np.eye(speaker.max() + 1)[speaker]])
    weighted = design * weights[:, np.newaxis]
    # The ridge settles what emotions and offsets share: a constant of both, put back below.
    gram = design.T @ weighted + RIDGE * np.eye(design.shape[1])
    fitted = np.asarray(np.linalg.solve(gram, weighted.T @ values), np.float64)
    means, offsets = fitted[:n_emotions], fitted[n_emotions:]
    average = weights @ offsets[speaker]
    return means + average, offsets - average, values - design @ fitted, weights


def together(
    card: Card, logits: Logits, groups: NDArray[Any], *, allowed: Sequence[int] | None = None
) -> Double:
    """Probabilities of the allowed emotions, the clips of each group taken as one source."""
    found = np.empty((len(logits), len(card.emotions if allowed is None else allowed)))
    for group in np.unique(groups):
        clips = logits[groups == group]
        found[groups == group] = learn(card, clips, allowed=allowed).probabilities(clips)
    return found
