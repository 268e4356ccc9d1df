"""Recognises recordings that a model was trained on, whose label is no test of it.

The package ships words of the fingerprints (:mod:`emoscope.audio.fingerprint`) of every clip of the
corpora that its models were trained on. A recording is found by them, however it was coded or cut,
as long as 0.6 s of the clip are in it; ``benchmarks/known_recordings.py`` measures how surely.
"""

from __future__ import annotations

import functools
import os
from collections import Counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import audio
from ..audio import Signal, fingerprint, voice_activity
from ..files import DATA
from ..modelfile.card import Card

FILE = "fingerprints.npz"  # made by scripts/bundle_fingerprints.py
SHIPPED = {"ravdess", "emodb"}  # corpora in it
STEP = 4  # every fourth frame is kept: 48 ms
MIN_VOTES = 4  # words at one alignment equal in 20 bits; clips that were coded have over 10
MIN_WORDS = 12  # compared, which span 0.6 s
#: Share of wrong bits: at most 0.12 after coding at 64 kbit/s or cutting, at least 0.3 in all others.
MAX_DIFFERENCE = 0.2
_KEY = 0xFFFFF  # bits by which words are looked up: the last 20, and the first
_QUIET = 0.01  # of the peak (-40 dB); what is quieter at the ends says nothing


class Index(NamedTuple):
    """Fingerprints of clips, one after the other."""

    words: NDArray[np.uint32]  # each fourth from the first to the last that sounds; 0 in silence
    lengths: NDArray[np.integer]  # number of words of each clip
    corpora: NDArray[np.str_]  # of each clip, as are its speaker and emotion
    speakers: NDArray[np.str_]
    emotions: NDArray[np.str_]

    def trained_on(self, card: Card) -> NDArray[np.bool_]:
        """Which clips are of the training speakers and emotions of a model."""
        theirs = np.zeros(len(self.lengths), dtype=bool)
        for name, speakers in card.speakers.items():
            theirs |= (self.corpora == name) & np.isin(self.speakers, list(speakers))
        return theirs & np.isin(self.emotions, card.emotions)

    def find(self, signal: Signal) -> tuple[int, float] | None:
        """The number of the clip that a recording holds, and its share of the recording's sound."""
        words, sounding = recording_words(signal)
        starts = np.cumsum(self.lengths, dtype=np.intp) - self.lengths
        for clip, first in self._candidates(words, np.flatnonzero(sounding), starts):
            stored = self.words[starts[clip] : starts[clip] + self.lengths[clip]]
            for moved in (first, first - 1, first + 1):
                at = moved + STEP * np.arange(len(stored))
                both = (at >= 0) & (at < len(words)) & (stored != 0)
                both[both] &= sounding[at[both]]
                wrong = np.unpackbits((stored[both] ^ words[at[both]]).view(np.uint8))
                if both.sum() >= MIN_WORDS and wrong.mean() <= MAX_DIFFERENCE:
                    return clip, min(1.0, STEP * int(both.sum()) / int(sounding.sum()))
        return None

    def _candidates(
        self, words: NDArray[np.uint32], frames: NDArray[np.intp], starts: NDArray[np.intp]
    ) -> list[tuple[int, int]]:
        """Clips with the frame they would begin at, for which most words vote."""
        votes: Counter[tuple[int, int]] = Counter()
        owners = np.repeat(np.arange(len(starts)), self.lengths)
        for shift in (12, 0):
            asked: dict[int, list[int]] = {}
            for frame, key in zip(frames, (words[frames] >> shift & _KEY).tolist(), strict=True):
                asked.setdefault(key, []).append(int(frame))
            listed = np.zeros(_KEY + 1, dtype=bool)
            listed[list(asked)] = True
            keys = self.words >> shift & _KEY
            for hit in np.flatnonzero(listed[keys] & (self.words != 0)):
                clip = int(owners[hit])
                begins = STEP * int(hit - starts[clip])
                votes.update((clip, frame - begins) for frame in asked[int(keys[hit])])
        return [found for found, count in votes.most_common(8) if count >= MIN_VOTES]


def recording_words(signal: Signal) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    """The words of a recording without the silence around it, and which of them sound."""
    # By way of the detector's rate, at which a recording that is classified is there anyway.
    sound = audio.resample(audio.resample(signal, voice_activity.RATE), fingerprint.RATE).samples
    loud = np.flatnonzero(np.abs(sound) > _QUIET * np.abs(sound).max())
    first, stop = (int(loud[0]), int(loud[-1])) if len(loud) else (0, 0)
    return fingerprint.bits(sound[max(0, first - fingerprint.WINDOW) : stop + fingerprint.WINDOW])


@functools.lru_cache(maxsize=1)
def index() -> Index:
    """The shipped index, read when first needed."""
    with np.load(os.path.join(DATA, FILE), allow_pickle=False) as stored:
        return Index(**stored)


def training_warning(card: Card, signal: Signal) -> list[str]:
    """A warning where a recording was in the training data of a model."""
    found = index().find(signal) if card.speakers.keys() & SHIPPED else None
    clips = index().trained_on(card) if found else np.zeros(0, dtype=bool)
    if found is None or not clips[found[0]]:
        return []
    name = str(index().corpora[found[0]])
    n_eligible = int((clips & (index().corpora == name)).sum())
    n_clips = next(c.n_clips for c in card.training.corpora if c.name == name)
    what = "this recording" if found[1] >= 0.5 else "a part of this recording"
    of = f"was in the training data of this model ({name}): its label is no test"
    if n_clips is None or n_clips < n_eligible:
        some = f"{n_clips or 'some'} of those {n_eligible} clips"
        of = f"is of {name}, and this model was trained on {some}: its label may be no test"
    return [f"training data: {what} {of}"]
