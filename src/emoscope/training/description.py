"""What the card of a trained model says: calibration, expected figures, and where it comes from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import audio
from .._version import __version__
from ..corpus import Corpus
from ..errors import AudioError
from ..evaluation import metrics
from ..evaluation import statistics as speaker_statistics
from ..modelfile import log_softmax
from ..modelfile.card import Card, Input, Measurement, OutOfDomainDetector, Training, TrainingCorpus
from ..unseen import HeldOut
from . import calibration
from .calibration import UnseenPredictions

#: What is held out → protocol of the figures that training itself measures.
PROTOCOLS: dict[HeldOut, str] = {
    "speakers": "unheard-training-speakers",
    "guessed-speakers": "unheard-training-speakers-as-guessed",
    "clips": "random-training-clips",
}


def describe(
    corpus: Corpus,
    unseen: UnseenPredictions,
    *,
    name: str,
    given: Input,
    domain: OutOfDomainDetector,
    recipe: dict[str, Any],
) -> Card:
    """The card of a model that was trained on a corpus."""
    tests = [test for _, test in unseen.folds]
    calibrated = calibration.cross_fitted(unseen.logits, unseen.labels, tests)
    return Card(
        name=name,
        emotions=unseen.emotions,
        input=given,
        embedding_width=len(domain.mean),
        temperature=calibration.temperature(unseen.logits, unseen.labels),
        uncertain=calibration.uncertain(calibrated, unseen.labels),
        domain=domain,
        training=Training(corpora=provenance(corpus), recipe=recipe),
        results=(expected(corpus, unseen, calibrated),),
        held_out=held_out_of(corpus),
        optimistic=held_out_of(corpus) == "clips",
        licence="; ".join(dict.fromkeys(filter(None, corpus.licence.splitlines()))),
        emoscope=__version__,
    )


def held_out_of(corpus: Corpus) -> HeldOut:
    """What inner folds can hold out of a corpus: two speakers at least, all of them known."""
    if (corpus.table["speaker"] == "").any() or corpus.table["unique_speaker"].nunique() < 2:
        return "clips"
    return corpus.speakers_from.held_out()


def provenance(corpus: Corpus) -> tuple[TrainingCorpus, ...]:
    """Which corpora, speakers and numbers of clips trained a model."""
    return tuple(
        TrainingCorpus(
            name=str(name),
            n_clips=len(table),
            # Joined corpora prefix speakers with their name.
            speakers=tuple(sorted({s.removeprefix(f"{name}/") for s in table["speaker"]} - {""})),
            licence=corpus.licence,
            citation=corpus.citation,
        )
        for name, table in corpus.table.groupby("corpus", sort=True)
    )


def expected(
    corpus: Corpus, unseen: UnseenPredictions, calibrated: NDArray[np.float64]
) -> Measurement:
    """Figures on training speakers left out, with 95 % intervals over speakers."""
    names = np.array(unseen.emotions)
    true, predicted = names[unseen.labels], names[unseen.logits.argmax(axis=1)]
    speakers = corpus.table["unique_speaker"].to_numpy(dtype=str)
    held_out, low, high = held_out_of(corpus), None, None
    if held_out != "clips" and not speaker_statistics.no_interval(len(np.unique(speakers))):
        interval = speaker_statistics.speaker_interval(true, predicted, speakers)
        low, high = interval.low, interval.high
    before, after = (
        metrics.expected_calibration_error(true, np.exp(logits), emotions=unseen.emotions)
        for logits in (log_softmax(unseen.logits), calibrated)
    )
    return Measurement.of(
        corpus=corpus.name,
        protocol=PROTOCOLS[held_out],
        folds=len(unseen.folds),
        uar=metrics.uar(true, predicted),
        uar_low=low,
        uar_high=high,
        accuracy=metrics.accuracy(true, predicted),
        calibration_error_before=before,
        calibration_error=after,
        n_clips=len(true),
        n_speakers=corpus.table["speaker"].replace("", np.nan).nunique(),
    )


def common_rate(corpus: Corpus) -> int:
    """The sample rate of all recordings in Hz, which features depend on; 0 where there is none."""
    rates: set[int] = set()
    for path in corpus.table["path"].unique():
        try:
            rates.add(audio.rate_of(str(path)))
        except AudioError:  # the bundled features come without recordings
            from ..dataset import bundled

            rates.add(bundled.RATE if corpus.name == "ravdess" else 0)
        if len(rates) > 1:
            return 0
    return rates.pop()
