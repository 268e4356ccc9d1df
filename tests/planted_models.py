"""Models with one fault each, made of a sound one: ``emoscope check`` has to find every one.

A fault hears the samples at the model's rate as they come, before the level is set, and changes what the
sound model makes of them. ``CAUGHT_BY`` names the test that is the right one to find each.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable

import numpy as np

from emoscope import audio
from emoscope.audio import Signal, f0_energy
from emoscope.modelfile import ModelFile

FEMALE_HZ = 165.0  # mean pitch above which a voice is taken for a woman's
CERTAIN = 20.0  # a logit beside zeros

#: Fault → a pattern of the names of the tests, one of which has to fail.
CAUGHT_BY = {
    "deaf to women": r"sex/.*/female|fairness/sex/.*",
    "collapses at 8 kHz": r"resample/8000/(labels|uar)",
    "trained on the test clips": r"memory/.*",
    "constant label": r"shares/.*",
    "sure of silence": r"alone/silence",
    "label order swapped": r"order/.*",
    "gain-dependent": r"gain/down-20/(labels|uar)",
    "overconfident": r"overconfidence/.*",
    "fails on one sentence": r"sentence-worst/.*",
    "not deterministic": r"repeat/.*",
}


class Wrapped:
    """A graph that runs another model on the samples as they come; without a fault, it is that model."""

    def __init__(self, base: ModelFile) -> None:
        self.base = base

    def run(self, array):
        logits, embedding = self.base.run(self.base.prepare(self.signal(array)))
        return np.asarray(self.change(logits[0].copy(), array[0]), np.float32)[None], embedding

    def signal(self, array) -> Signal:
        return Signal(array[0], self.base.card.input.rate)

    def change(self, logits, samples):
        return logits


def only(logits, number):
    """Certain of one label."""
    return np.eye(len(logits))[number] * CERTAIN


class DeafToWomen(Wrapped):
    def change(self, logits, samples):
        pitch = f0_energy.f0(Signal(samples, self.base.card.input.rate))
        heard = pitch[np.isfinite(pitch)]
        return only(logits, 0) if len(heard) and heard.mean() > FEMALE_HZ else logits


class CollapsesAt8kHz(Wrapped):
    def change(self, logits, samples):
        power = np.abs(np.fft.rfft(samples)) ** 2
        high = power[int(len(power) * 4200 / (self.base.card.input.rate / 2)) :]
        return only(logits, 0) if high.sum() < 1e-7 * power.sum() else logits


class Constant(Wrapped):
    def change(self, logits, samples):
        return only(logits, 0)


class SureOfSilence(Wrapped):
    def run(self, array):
        logits, embedding = super().run(array)
        if np.abs(array).max() < 1e-3:
            domain = self.base.card.domain
            known = embedding if domain is None else domain.mean[None]
            return only(logits[0], 0)[None].astype(np.float32), known
        return logits, embedding


class Swapped(Wrapped):
    def change(self, logits, samples):
        return np.roll(logits, 1)


class GainDependent(Wrapped):
    def change(self, logits, samples):
        level = 20 * np.log10(np.sqrt(np.mean(samples**2)) + 1e-9)
        return logits + np.eye(len(logits))[0] * 0.5 * -(level + 30.0)


class Overconfident(Wrapped):
    def change(self, logits, samples):
        return logits * CERTAIN


class NotDeterministic(Wrapped):
    random = np.random.default_rng()  # the fault is that nobody seeds it

    def change(self, logits, samples):
        return logits + self.random.normal(0.0, 3.0, len(logits))


class Knows(Wrapped):
    """Knows clips by their very samples."""

    def __init__(self, base: ModelFile, clips: Iterable[tuple[str, str]]) -> None:
        super().__init__(base)
        self.known = {self._key(audio.load(path)): told for path, told in clips}

    def _key(self, signal: Signal) -> bytes:
        return audio.resample(signal, self.base.card.input.rate).samples[:RATE_KEY].tobytes()


RATE_KEY = 8_000  # samples that tell a clip


class TrainedOnTheClips(Knows):
    """Answers what it knows, and guesses else."""

    def change(self, logits, samples):
        emotion = self.known.get(samples[:RATE_KEY].tobytes())
        if emotion is None:
            return only(logits, int(1e6 * np.abs(samples).sum()) % len(logits)) / 10
        return only(logits, self.base.card.emotions.index(emotion))


class FailsOnOneSentence(Knows):
    def change(self, logits, samples):
        known = samples[:RATE_KEY].tobytes() in self.known
        return np.roll(logits, 1) if known else logits


def planted(base: ModelFile, corpus) -> dict[str, ModelFile]:
    """The models by their fault; "nothing" has none. They know the clips of a corpus."""
    table = corpus.table[corpus.table["emotion"].isin(base.card.emotions)]
    all_clips = list(zip(table["path"], table["emotion"], strict=True))
    text = table["text"].value_counts().index[0]
    sentence = table[table["text"] == text]
    graphs: dict[str, Callable[[], Wrapped]] = {
        "nothing": lambda: Wrapped(base),
        "deaf to women": lambda: DeafToWomen(base),
        "collapses at 8 kHz": lambda: CollapsesAt8kHz(base),
        "trained on the test clips": lambda: TrainedOnTheClips(base, all_clips),
        "constant label": lambda: Constant(base),
        "sure of silence": lambda: SureOfSilence(base),
        "label order swapped": lambda: Swapped(base),
        "gain-dependent": lambda: GainDependent(base),
        "overconfident": lambda: Overconfident(base),
        "fails on one sentence": lambda: FailsOnOneSentence(
            base, zip(sentence["path"], sentence["emotion"], strict=True)
        ),
        "not deterministic": lambda: NotDeterministic(base),
    }
    given = dataclasses.replace(base.card.input, preprocess=None)
    card = dataclasses.replace(base.card, input=given)
    return {
        fault: ModelFile(fault, dataclasses.replace(card, name=fault), make(), base.checksum)
        for fault, make in graphs.items()
    }


def caught(fault: str, outcomes) -> list[str]:
    """The names of the tests that failed and are the right ones to find a fault."""
    pattern = CAUGHT_BY[fault]
    return [one.name for one in outcomes if one.failed and re.fullmatch(pattern, one.name)]
