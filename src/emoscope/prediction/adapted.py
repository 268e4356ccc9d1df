"""Predictions relative to the other recordings of a batch.

The embeddings of a batch are standardised on the batch itself (:mod:`emoscope.models.adaptation`), and the
second head of the model, trained on such embeddings, judges them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ModelError
from ..modelfile import softmax
from ..modelfile.card import Card
from .judge import Heard, Judge
from .prediction import Prediction

if TYPE_CHECKING:
    from ..models.adaptation import BatchStandardiser


def helps(card: Card, n_recordings: int) -> bool:
    """Whether a batch is large enough that adaptation was measured to help."""
    return card.adapted is not None and n_recordings >= card.adapted.minimum_clips


MOST_ALIKE = 0.5
"""Share of a batch that one emotion may have; of more, adaptation takes the emotion itself away."""


class Adaptation:
    """What one batch of recordings has in common.

    Parameters
    ----------
    judge : Judge
        Of a model with a second head.

    Raises
    ------
    ModelError
        When the model has none.
    """

    def __init__(self, judge: Judge) -> None:
        if judge.card.adapted is None:
            raise ModelError(f"{judge.model.path}: this model was not trained to adapt")
        self._judge, self._head = judge, judge.card.adapted
        self._standardiser: BatchStandardiser | None = None
        self._count, self._alike = 0, ""

    @property
    def alike(self) -> str:
        """The emotion that most recordings of the batch are heard as by themselves, or nothing."""
        return self._alike

    def learn(self, batch: Sequence[Heard]) -> None:
        """Learn from recordings, without labels; an empty batch teaches nothing."""
        # scikit-learn takes longer to import than a label takes, and only batches need it.
        from ..models.adaptation import BatchStandardiser

        self._count = len(batch)
        if batch:
            (emotion, count), *_ = Counter(h.prediction.emotion for h in batch).most_common(1)
            self._alike = emotion if count > MOST_ALIKE * len(batch) else ""
            embeddings = np.stack([heard.embedding for heard in batch])
            self._standardiser = BatchStandardiser().fit(embeddings)

    def apply(self, heard: Heard) -> Prediction:
        """The prediction that follows from the adapted embedding of one recording."""
        if self._standardiser is None:
            return heard.prediction
        given = self._standardiser.transform(heard.embedding[None])
        logits = given @ self._head.weights + self._head.bias
        probabilities = softmax(logits / self._head.temperature)[0]
        plain = heard.prediction
        said = f"adapted: judged relative to {self._count} recordings given together"
        if self._alike:
            said += f"; by themselves most sound {self._alike}, and what most have in common is taken away"
        unheard = any(warning.startswith(("silent:", "no speech:")) for warning in plain.warnings)
        warnings = (*plain.warnings, said)
        return self._judge.prediction(plain.file, probabilities, warnings, unheard=unheard)
