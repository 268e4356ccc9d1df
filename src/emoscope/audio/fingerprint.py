"""Tells whether two recordings hold the same sound, however it was stored.

A fingerprint is a row of 32-bit words, one per 12 ms: each bit says whether a band of the spectrum
falls off more steeply towards its neighbour than a moment before (J. Haitsma, T. Kalker, "A highly
robust audio fingerprinting system", ISMIR 2002). Not recognised: one played faster or slower, or less
than 0.8 s.
"""

import hashlib
import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import AudioError
from . import Excerpt, Signal, cut, resample

RATE = 8_000
HOP = 96  # 96 / 8000 Hz = 12 ms
WINDOW_SECONDS = 0.256  # neighbouring words change slowly, so alignment need not be exact
MIN_HZ, MAX_HZ = 250.0, 3800.0  # the band that every codec and telephone keeps
AT_ONCE = 2**14  # samples, whose spectra fit in memory that is used again, not fetched anew
N_BANDS = 34  # 33 differences between bands, of which 32 bits remain
SILENT_DB = 40.0  # frames this far below a clip's loudest one are silence and say nothing
#: Each word is looked up by these parts of it, so that a few wrong bits do not hide it.
MASKS = (0x00FFFFF0, 0xFFFFF000, 0x000FFFFF, 0xFF000FFF)
MAX_ALIKE = 24  # words that more frames share are not characteristic; they are not looked up
MIN_VOTES = 3  # alignments with fewer common words are chance
#: Two recordings of one sound differ in a smaller share of their bits (at most 0.14 after coding at
#: 64 kbit/s or noise 20 dB below), repetitions by one speaker in 0.21 or more, strangers in half.
MAX_DIFFERENCE = 0.18
PASSAGE_LIMIT = 0.3  # a frame that differs in a larger share of its bits is of no common passage
MIN_FRAMES = 66  # 0.8 s, that must sound in both
WHOLE = 0.85  # share of a recording's sounding frames that counts as all of it

#: Identical samples, the same sound throughout, one an excerpt of the other, or a passage in common.
Relation = Literal["identical", "same", "excerpt", "overlap"]


class Fingerprint(NamedTuple):
    """What is kept of a recording."""

    digest: str  # of the decoded samples without leading and trailing zeros
    words: NDArray[np.uint32]  # the bits of each frame
    sounding: NDArray[np.bool_]  # which frames are not silence


class Match(NamedTuple):
    """Two recordings, by their positions, that hold the same sound."""

    first: int
    second: int
    relation: Relation
    difference: float  # share of bits that differ where both sound, 0 to 0.5
    shift: float  # seconds by which the sound begins later in the first than in the second


def of_file(excerpts: Sequence[Excerpt]) -> list[Fingerprint | AudioError]:
    """Fingerprint excerpts of one file."""
    found = dict(cut(excerpts[0].path, excerpts))
    signals = (found[number] for number in range(len(excerpts)))
    return [s if isinstance(s, AudioError) else fingerprint(s) for s in signals]


def fingerprint(signal: Signal) -> Fingerprint:
    """Fingerprint a recording."""
    import scipy.fft  # several times as fast as NumPy's, but slow to import

    steps = np.rint(signal.samples * 32768.0).astype("<i4")
    nonzero = np.flatnonzero(steps)
    steps = steps[nonzero[0] : nonzero[-1] + 1] if len(nonzero) else steps[:0]
    digest = hashlib.blake2b(steps.tobytes() + str(signal.rate).encode(), digest_size=16)
    words, sounding = bits(resample(signal, RATE).samples, scipy.fft.rfft)
    return Fingerprint(digest.hexdigest(), words, sounding)


def matches(prints: Sequence[Fingerprint]) -> list[Match]:
    """All pairs of recordings that hold the same sound, in order, the first position the smaller."""
    by_digest = defaultdict[str, list[int]](list)
    for position, mark in enumerate(prints):
        by_digest[mark.digest].append(position)
    alike = (pair for same in by_digest.values() for pair in itertools.combinations(same, 2))
    found = {pair: Match(*pair, "identical", 0.0, 0.0) for pair in alike}
    for first, second, shift in _candidates(prints) if len(prints) > 1 else ():
        if (first, second) not in found and (match := _compared(prints, first, second, shift)):
            found[first, second] = match
    return [match for _, match in sorted(found.items())]


def bits(
    samples: NDArray[np.float32], rfft: Callable[..., NDArray[Any]] = np.fft.rfft, rate: int = RATE
) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    """The word of each frame, one per :data:`HOP` samples, and whether it sounds.

    At half of :data:`RATE` they are of half the band, every 24 ms, and take a quarter of the time.
    """
    size = round(WINDOW_SECONDS * rate)
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(samples, size // 2), size)[::HOP]
    window = np.hanning(size + 1)[:-1].astype(np.float32)
    edges = np.geomspace(MIN_HZ, MAX_HZ * rate / RATE, N_BANDS + 1) * WINDOW_SECONDS
    starts = np.round(edges).astype(np.intp)
    pieces = []
    for few in np.array_split(frames, math.ceil(len(frames) * size / AT_ONCE)):
        parts = rfft(few * window, axis=1)[:, : starts[-1]].view(np.float32)  # real, imaginary, …
        pieces.append(np.add.reduceat(parts * parts, 2 * starts[:-1], axis=1))
    bands = np.concatenate(pieces)
    # The floor hides what quantisation and coding leave in the gaps between sounds.
    levels = np.log(bands + bands.max() * 1e-7 + 1e-30)
    slope = np.diff(levels, axis=1)[:, :32]
    steeper = np.zeros(slope.shape, dtype=bool)
    steeper[1:] = slope[1:] > slope[:-1]
    words = np.packbits(steeper, axis=1).view(">u4")[:, 0].astype(np.uint32)
    loud = bands.sum(axis=1)
    return words, loud > loud.max() * 10.0 ** (-SILENT_DB / 10.0)


def _candidates(prints: Sequence[Fingerprint]) -> list[tuple[int, int, int]]:
    """Pairs of recordings with the alignment that most shared words vote for."""
    import pandas as pd

    at = [np.flatnonzero(mark.sounding) for mark in prints]
    said = [mark.words[frames] for mark, frames in zip(prints, at, strict=True)]
    whose = np.repeat(np.arange(len(prints)), list(map(len, at)))
    told = pd.DataFrame({"key": np.concatenate(said), "of": whose, "frame": np.concatenate(at)})
    votes = []
    for mask in MASKS:
        keyed = told.assign(key=told["key"] & np.uint32(mask))
        keyed = keyed[keyed.groupby("key")["of"].transform("size").between(2, MAX_ALIKE)]
        pairs = keyed.merge(keyed, on="key")
        pairs = pairs[pairs["of_x"] < pairs["of_y"]]
        votes.append(pairs.assign(shift=pairs["frame_x"] - pairs["frame_y"]))
    counts = pd.concat(votes).groupby(["of_x", "of_y", "shift"]).size()
    return list(counts[counts >= MIN_VOTES].groupby(level=[0, 1]).idxmax())


def _compared(prints: Sequence[Fingerprint], first: int, second: int, shift: int) -> Match | None:
    """Compare two recordings bit by bit at an alignment and its neighbours."""
    a, b = prints[first], prints[second]
    best = (1.0, 0, 0)
    for moved in (shift - 1, shift, shift + 1):
        start, stop = max(0, moved), min(len(a.words), len(b.words) + moved)
        if stop - start < MIN_FRAMES:
            continue
        both = a.sounding[start:stop] & b.sounding[start - moved : stop - moved]
        wrong = a.words[start:stop][both] ^ b.words[start - moved : stop - moved][both]
        difference, n = _passage(np.bitwise_count(wrong) / 32.0)
        if n >= MIN_FRAMES and difference < best[0]:
            best = (difference, n, moved)
    difference, n, moved = best
    if difference > MAX_DIFFERENCE:
        return None
    whole = [n >= WHOLE * int(p.sounding.sum()) for p in (a, b)]
    relation: Relation = "same" if all(whole) else "excerpt" if any(whole) else "overlap"
    return Match(first, second, relation, difference, moved * HOP / RATE)


def _passage(differences: NDArray[np.float64]) -> tuple[float, int]:
    """Mean difference and length of the run whose frames stay furthest below the limit in sum."""
    gain = np.r_[0.0, np.cumsum(PASSAGE_LIMIT - differences)]
    stop = int(np.argmax(gain - np.minimum.accumulate(gain)))
    start = int(np.argmin(gain[: stop + 1]))
    return (float(differences[start:stop].mean()) if stop > start else 1.0), stop - start
