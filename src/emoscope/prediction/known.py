"""Recognises recordings that a model was trained on, whose label is no test of it.

The package ships words of the fingerprints (:mod:`emoscope.audio.fingerprint`) of every clip of the
corpora that its models were trained on: each fourth word, 0 where the clip is silent. A recording is
looked up by them, however it was coded or cut, as long as 0.6 s of the clip are in it.
``scripts/bundle_fingerprints.py`` makes the file, ``benchmarks/known_recordings.py`` measures.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .. import audio
from ..audio import Signal, fingerprint, voice_activity
from ..files import DATA
from ..modelfile.card import Card

FILE = "fingerprints.npz"
SHIPPED = {"ravdess", "emodb"}  # corpora in it
STEP = 4  # every fourth frame is kept: 48 ms
MASKS = fingerprint.MASKS[1:3]  # the upper and the lower 20 of the 32 bits
MIN_VOTES = (
    4  # words at one alignment that are equal in 20 bits; clips that were coded have over 10
)
MIN_WORDS = 12  # compared, which span 0.6 s
#: Share of wrong bits: at most 0.12 after coding at 64 kbit/s or cutting, at least 0.3 in all others.
MAX_DIFFERENCE = 0.2
_QUIET = 0.01  # of the peak (-40 dB); what is quieter at the ends says nothing


@dataclasses.dataclass(frozen=True)
class Known:
    """A clip that was recognised in a recording."""

    clip: int  # its number in the index
    share: float  # of the recording's sound that is the clip's, at most 1


@dataclasses.dataclass(frozen=True, eq=False)
class Index:
    """The clips of the shipped file, one after the other."""

    words: NDArray[np.uint32]
    ends: NDArray[np.intp]  # where each clip ends
    corpora: NDArray[np.str_]  # of each clip, as are its speaker and emotion
    speakers: NDArray[np.str_]
    emotions: NDArray[np.str_]

    @functools.cached_property
    def keys(self) -> list[NDArray[np.uint32]]:
        """The words as they are looked up, 20 bits of them at a time."""
        return [_key(self.words, mask) for mask in MASKS]

    def trained_on(self, card: Card) -> NDArray[np.bool_]:
        """Which clips are of the training speakers and emotions of a model."""
        own = np.isin(self.emotions, card.emotions)
        theirs = np.zeros(len(own), dtype=bool)
        for name, speakers in card.speakers.items():
            theirs |= (self.corpora == name) & np.isin(self.speakers, list(speakers))
        return own & theirs

    def find(self, signal: Signal) -> Known | None:
        """The clip that a recording is or holds; None where it holds none."""
        words, sounding = recording_words(signal)
        for clip, shift in self._candidates(words, sounding):
            stored = self.words[self.ends[clip - 1] if clip else 0 : self.ends[clip]]
            for start in (shift, shift - 1, shift + 1):
                at = start + STEP * np.arange(len(stored))
                within = (at >= 0) & (at < len(words)) & (stored != 0)
                within[within] &= sounding[at[within]]
                wrong = stored[within] ^ words[at[within]]
                if len(wrong) < MIN_WORDS:
                    continue
                if np.unpackbits(wrong.view(np.uint8)).mean() <= MAX_DIFFERENCE:
                    return Known(clip, min(1.0, STEP * len(wrong) / int(sounding.sum())))
        return None

    def _candidates(
        self, words: NDArray[np.uint32], sounding: NDArray[np.bool_]
    ) -> Iterator[tuple[int, int]]:
        """Clips with the frame they would begin at, those that most words vote for first."""
        votes = []
        frames = np.flatnonzero(sounding)
        for keys, mask in zip(self.keys, MASKS, strict=True):
            asked = _key(words[frames], mask)
            order = np.argsort(asked, kind="stable")
            asked, at = asked[order], frames[order]
            listed = np.zeros(1 << 20, dtype=bool)
            listed[asked] = True
            hits = np.flatnonzero(listed[keys])
            hits = hits[self.words[hits] != 0]
            first = np.searchsorted(asked, keys[hits])
            counts = np.searchsorted(asked, keys[hits], "right") - first
            hits, first = np.repeat(hits, counts), np.repeat(first, counts)
            further = np.arange(len(hits)) - np.repeat(np.cumsum(counts) - counts, counts)
            clips = np.searchsorted(self.ends, hits, "right")
            starts = np.r_[0, self.ends][clips]
            votes.append(np.stack([clips, at[first + further] - STEP * (hits - starts)], axis=1))
        found, counts = np.unique(np.concatenate(votes), axis=0, return_counts=True)
        chosen = np.argsort(-counts, kind="stable")[:8]
        yield from map(tuple, found[chosen][counts[chosen] >= MIN_VOTES].tolist())


def _key(words: NDArray[np.uint32], mask: int) -> NDArray[np.uint32]:
    """The bits under a mask, as a number below 2**20."""
    return (words & np.uint32(mask)) >> np.uint32((mask & -mask).bit_length() - 1)


def recording_words(signal: Signal) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    """The words of a recording without the silence around it, and which of them sound."""
    # By way of the detector's rate, at which a recording that is classified is there anyway.
    sound = audio.resample(audio.resample(signal, voice_activity.RATE), fingerprint.RATE).samples
    loud = np.flatnonzero(np.abs(sound) > _QUIET * np.abs(sound).max())
    first, stop = (int(loud[0]), int(loud[-1]) + 1) if len(loud) else (0, 0)
    return fingerprint.bits(sound[max(0, first - fingerprint.WINDOW) : stop + fingerprint.WINDOW])


def kept_words(signal: Signal) -> NDArray[np.uint32]:
    """What the index keeps of a clip: each fourth word from the first to the last that sounds."""
    words, sounding = recording_words(signal)
    first, last = np.flatnonzero(sounding)[[0, -1]]
    return np.where(sounding, words, np.uint32(0))[first : last + 1 : STEP]


@functools.lru_cache(maxsize=1)
def index() -> Index:
    """The shipped index, read when first needed."""
    with np.load(os.path.join(DATA, FILE), allow_pickle=False) as stored:
        ends = np.cumsum(stored["lengths"], dtype=np.intp)
        about = (stored[name] for name in ("corpora", "speakers", "emotions"))
        return Index(stored["words"], ends, *about)


def is_known(card: Card, recording: audio.Recording) -> bool:
    """Whether a recording is a clip that a model was, or may have been, trained on."""
    return bool(training_warning(card, audio.load(recording)))


def training_warning(card: Card, signal: Signal) -> list[str]:
    """A warning where a recording was in the training data of a model."""
    if not card.speakers.keys() & SHIPPED:
        return []
    clips = index()
    found = clips.find(signal)
    trained_on = clips.trained_on(card)
    if found is None or not trained_on[found.clip]:
        return []
    name = str(clips.corpora[found.clip])
    n_eligible = int((trained_on & (clips.corpora == name)).sum())
    n_clips = next(c.n_clips for c in card.training.corpora if c.name == name)
    part = "" if found.share >= 0.5 else "a part of "
    if n_clips is not None and n_clips >= n_eligible:
        return [
            f"training data: {part}this recording was in the training data of this model ({name}): "
            "its label is no test"
        ]
    some = "some" if n_clips is None else f"{n_clips}"
    return [
        f"training data: {part}this recording is of {name}, and this model was trained on {some} of "
        f"those {n_eligible} clips: its label may be no test"
    ]
