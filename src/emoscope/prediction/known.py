"""Recognises recordings that a model was trained on, whose label is no test of it.

The package ships words of the fingerprints of every clip of RAVDESS and EMO-DB, of which 0.6 s are
enough; the other training corpora are not looked up. ``benchmarks/known_recordings.py`` measures it.
"""

import dataclasses
import functools
import os
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .. import audio
from ..audio import Signal, fingerprint, voice_activity
from ..files import DATA, sentence
from ..modelfile.card import Card

FILE = "fingerprints.npz"  # made by scripts/bundle_fingerprints.py
SHIPPED = {"ravdess", "emodb"}  # corpora in it
RATE = 4_000  # tells clips apart as surely as the rate of an audit, in a quarter of the time
STEP = 2  # every second frame is kept: 48 ms
MIN_VOTES = 2  # words at one alignment equal in 20 bits; of clips that were coded, few may be
MIN_WORDS = 12  # compared, which span 0.6 s
#: Share of wrong bits: at most 0.16 after coding at 64 kbit/s or cutting, at least 0.28 in others.
MAX_DIFFERENCE = 0.2
_KEY = 0xFFFFF  # bits by which words are looked up: the last 20, and the first
_QUIET = 0.01  # of the peak (-40 dB); what is quieter at the ends says nothing
_FAR = 2**20  # more frames than a recording has
WHOLE, PART = "this recording", "a part of this recording"
TRAINING = "training data:"  # how its warnings begin


Words: TypeAlias = NDArray[np.uint32]
Flags: TypeAlias = NDArray[np.bool_]


@dataclasses.dataclass(frozen=True, eq=False)
class Index:
    """Fingerprints of clips, one after the other."""

    words: Words  # each second from the first to the last that sounds; 0 in silence
    lengths: NDArray[np.integer]  # number of words of each clip
    corpora: NDArray[np.str_]  # of each clip, as are its speaker and emotion
    speakers: NDArray[np.str_]
    emotions: NDArray[np.str_]

    def trained_on(self, card: Card) -> Flags:
        """Which clips are of the training speakers and emotions of a model."""
        theirs = np.zeros(len(self.lengths), dtype=bool)
        for corpus in card.training.corpora:
            theirs |= (self.corpora == corpus.name) & _among(self.speakers, corpus.speakers)
        return theirs & _among(self.emotions, card.emotions)

    def find(self, signal: Signal) -> tuple[int, float] | None:
        """The number of the clip that a recording holds, and its share of the recording's sound."""
        words, sounding = recording_words(signal)
        for clip, first in self._candidates(words, np.flatnonzero(sounding)):
            stored = self.words[self._starts[clip] :][: self.lengths[clip]]
            for moved in (first, first - 1, first + 1):
                at = moved + STEP * np.arange(len(stored))
                both = (at >= 0) & (at < len(words)) & (stored != 0)
                both[both] &= sounding[at[both]]
                n = int(both.sum())
                wrong = np.bitwise_count(stored[both] ^ words[at[both]]).sum()
                if n >= MIN_WORDS and wrong <= MAX_DIFFERENCE * 32 * n:
                    return clip, min(1.0, STEP * n / int(sounding.sum()))
        return None

    @functools.cached_property
    def _starts(self) -> NDArray[np.intp]:
        return np.cumsum(self.lengths, dtype=np.intp) - self.lengths

    @functools.cached_property
    def _tables(self) -> list[tuple[int, NDArray[Any], NDArray[Any], NDArray[Any]]]:
        """For each shift the words' keys in order, and of each its clip and where that begins."""
        places = np.flatnonzero(self.words)
        clips = np.repeat(np.arange(len(self.lengths)), self.lengths)[places]
        begins = STEP * (self._starts[clips] - places)
        tables = []
        for shift in (12, 0):
            keys = self.words[places] >> shift & _KEY
            order = np.argsort(keys)
            tables.append((shift, keys[order], clips[order], begins[order]))
        return tables

    def _candidates(self, words: Words, frames: NDArray[np.intp]) -> list[tuple[int, int]]:
        """Clips with the frame they would begin at, for which most words vote."""
        votes = []
        for shift, keys, clips, begins in self._tables:
            asked = words[frames] >> shift & _KEY
            first, stop = (np.searchsorted(keys, asked, side) for side in ("left", "right"))
            n = stop - first
            at = np.repeat(first - np.cumsum(n) + n, n) + np.arange(n.sum())
            votes.append(clips[at] * _FAR + np.repeat(frames, n) + begins[at] + _FAR // 2)
        found, counts = np.unique(np.concatenate(votes), return_counts=True)
        most = np.argsort(-counts, kind="stable")[:8]
        clip, begin = np.divmod(found[most[counts[most] >= MIN_VOTES]], _FAR)
        return list(zip(clip.tolist(), (begin - _FAR // 2).tolist(), strict=True))


def _among(values: NDArray[np.str_], names: Sequence[str]) -> Flags:
    """As ``np.isin``, which imports masked arrays."""
    return np.fromiter(map(set(names).__contains__, values.tolist()), bool)


def recording_words(signal: Signal) -> tuple[Words, Flags]:
    """The words of a recording without the silence around it, and which of them sound."""
    # By way of the detector's rate, at which a recording that is classified is there anyway.
    sound = audio.resample(audio.resample(signal, voice_activity.RATE), RATE).samples
    loud = np.flatnonzero(np.abs(sound) > _QUIET * np.abs(sound).max())
    first, stop = (int(loud[0]), int(loud[-1])) if len(loud) else (0, 0)
    margin = round(fingerprint.WINDOW_SECONDS * RATE)
    return fingerprint.bits(sound[max(0, first - margin) : stop + margin], rate=RATE)


@functools.lru_cache(maxsize=1)
def index() -> Index:
    """The shipped index, read when first needed."""
    with np.load(os.path.join(DATA, FILE), allow_pickle=False) as stored:
        return Index(**stored)


def training_warning(card: Card, signal: Signal) -> list[str]:
    """A warning where a recording was in the training data of a model."""
    found = index().find(signal) if card.speakers.keys() & SHIPPED else None
    if found is None:
        return []
    clips = index().trained_on(card)
    if not clips[found[0]]:
        return []
    name = str(index().corpora[found[0]])
    n_eligible = int((clips & (index().corpora == name)).sum())
    n_clips = next(c.n_clips for c in card.training.corpora if c.name == name)
    some = n_clips is None or n_clips < n_eligible
    told = {"what": WHOLE if found[1] >= 0.5 else PART, "name": name, "n_eligible": n_eligible}
    key = "known.maybe_trained" if some else "known.is_trained"
    return [sentence(key, some=n_clips or "some", **told)]
