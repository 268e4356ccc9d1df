"""A linear classifier that is robust to unseen voices, rooms and corpora.

A clip is modelled as the sum of its emotion, the offset of its source (voice, room, corpus) and noise.
The offsets of the training speakers are estimated and subtracted; each clip then gets random offsets,
drawn from the variance between training speakers and between corpora. Multinomial logistic regression on
these clips learns what remains when the source is unknown. For a corpus that lacks an emotion, the
softmax leaves that emotion out.

Weights: corpora have equal weight, and so have the emotions within a corpus; for the offsets, speakers.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from emoscope.models import offsets
from emoscope.models.onnx_graph import LinearForm

Array = NDArray[np.float32]
Double = NDArray[np.float64]
Indices = NDArray[np.intp]
Names = NDArray[np.str_]

PENALTY = 0.1
"""Of the squared weights, for columns of unit variance and the mean loss of a clip."""
DRAWS = 2
"""Random offsets drawn for each clip."""
STEPS = 60
"""Of L-BFGS, after which the loss hardly falls."""


@dataclasses.dataclass(frozen=True, eq=False)
class Clips:
    """Clips in rows: embeddings, positions of emotions, names of speakers and corpora."""

    values: Double
    labels: Indices
    speakers: Names
    corpora: Names

    @classmethod
    def of_copies(
        cls, copies: list[Array], labels: Indices, speakers: Names, corpora: Names
    ) -> Clips:
        """Clips as recorded and changed; a speaker whose clips were changed is another source."""
        n = len(copies)
        names = [np.char.add(speakers, f"#{copy}") for copy in range(n)]
        values = np.concatenate(copies).astype(np.float64)
        return cls(values, np.tile(labels, n), np.concatenate(names), np.tile(corpora, n))


@dataclasses.dataclass(frozen=True, eq=False)
class Additive:
    """The sum of emotion, source and noise, fitted by least squares.

    Attributes
    ----------
    emotions : ndarray of int, shape (n_emotions,)
    means : ndarray, shape (n_emotions, width)
        Of clips of each emotion, where sources are average.
    offsets : ndarray, shape (n_sources, width)
    sources : ndarray of int, shape (n_clips,)
        The source of each clip.
    corpus_of : ndarray of int, shape (n_sources,)
    """

    emotions: Indices
    means: Double
    offsets: Double
    sources: Indices
    corpus_of: Indices

    @classmethod
    def fit(cls, clips: Clips) -> Additive:
        """Fit to clips, every speaker of a corpus and every corpus counting alike."""
        sources = np.unique(clips.speakers, return_inverse=True)[1]
        emotions, labels = np.unique(clips.labels, return_inverse=True)
        means, found, *_ = offsets.additive(clips.values, labels, clips.speakers, clips.corpora)
        corpus_of = np.empty(len(found), int)
        corpus_of[sources] = np.unique(clips.corpora, return_inverse=True)[1]
        return cls(emotions, means, found, sources, corpus_of)

    @property
    def spread(self) -> Double:
        """Rows whose combinations with standard normal weights vary as offsets do."""
        corpora, counts = np.unique(self.corpus_of, return_counts=True)
        centres = np.stack([self.offsets[self.corpus_of == c].mean(axis=0) for c in corpora])
        shares = np.sqrt(1.0 / counts[self.corpus_of] / len(corpora))
        voices = (self.offsets - centres[self.corpus_of]) * shares[:, np.newaxis]
        # Corpora are few: their variance is that of a sample.
        between = (centres - centres.mean(axis=0)) / np.sqrt(max(1, len(corpora) - 1))
        return np.concatenate([voices, between])


def train(
    copies: list[Array],
    labels: Indices,
    speakers: Names,
    corpora: Names,
    *,
    seed: int = 0,
    penalty: float = PENALTY,
) -> tuple[Indices, LinearForm]:
    """Fit the classifier; gives the emotions, in the order of its logits, and its linear form.

    Parameters
    ----------
    copies : list of ndarray, each (n_clips, width)
        Embeddings of the clips as recorded, and of changed copies.
    labels : ndarray of int, shape (n_clips,)
    speakers, corpora : ndarray of str, shape (n_clips,)
    """
    scale = copies[0].std(axis=0, dtype=np.float64)
    clips = Clips.of_copies([copy / scale for copy in copies], labels, speakers, corpora)
    model = Additive.fit(clips)
    mean = model.means.mean(axis=0)
    known = (clips.values - model.offsets[model.sources] - mean).astype(np.float32)
    rng, spread = np.random.default_rng(seed), model.spread.astype(np.float32)
    known, labels, corpora = (
        np.concatenate([x] * DRAWS) for x in (known, clips.labels, clips.corpora)
    )
    drawn = known + rng.standard_normal((len(known), len(spread)), np.float32) @ spread
    targets = np.searchsorted(model.emotions, labels)
    weights, bias = logistic_regression(drawn, targets, corpora, penalty)
    form = LinearForm(
        np.asarray(mean * scale, np.float32), np.asarray(scale, np.float32), weights, bias
    )
    return model.emotions, form


def logistic_regression(
    values: Array, targets: Indices, corpora: Names, penalty: float
) -> tuple[Array, Array]:
    """Weights (width, n_emotions) and bias; each corpus is asked for its own emotions alone."""
    import torch

    n_emotions = targets.max() + 1
    present = np.zeros((len(targets), n_emotions), bool)
    share = np.zeros(len(targets))
    for corpus in np.unique(corpora):
        here = corpora == corpus
        counts = np.bincount(targets[here], minlength=n_emotions)
        present[here] = counts > 0
        share[here] = 1.0 / counts[targets[here]] / (counts > 0).sum()
    inputs, labels = torch.from_numpy(values), torch.from_numpy(targets)
    absent, weight = torch.from_numpy(~present), torch.from_numpy(share / share.sum()).float()
    weights = torch.zeros(values.shape[1], n_emotions, requires_grad=True)
    bias = torch.zeros(n_emotions, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [weights, bias], max_iter=STEPS, history_size=10, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        logits = (inputs @ weights + bias).masked_fill(absent, -1e9)
        each = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
        total = (weight * each).sum() + penalty * (weights**2).sum()
        total.backward()
        return total

    optimiser.step(loss)
    return weights.detach().numpy(), bias.detach().numpy()
