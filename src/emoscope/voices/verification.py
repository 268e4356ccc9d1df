"""Whether the names in a corpus are voices: one voice under two names, two voices under one.

An emotion moves a voice by as much as another speaker does, so no single clips are judged. What a
*style* (an emotion and its intensity) does to all names alike is taken away, the clips of a name are
judged together, and a difference counts in terms of those that the corpus itself shows. Conventions:
embeddings are those of :mod:`.encoder`, [shape=(n_clips, 256)], distances are squared.

The limits hold for the clips of :data:`MAX_CLIPS` at most; ``benchmarks/voices.py`` sets them, on other
corpora than those that it tests, and says what they find and miss.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["one-voice-two-names", "two-voices-one-name"]
Matrix = NDArray[np.float64]

MIN_CLIPS = 10  # of a voice
MIN_NAMES = 4  # with as many clips: what one voice is like is told by the other names
MAX_CLIPS = 40  # of a name that are embedded
#: Two names are one voice whose means lie closer than this share of the spread of their clips.
ONE_VOICE = 0.12
#: A name is two voices whose clips of one style lie further apart than those of most names by this
#: share of the way to clips of different names.
TWO_VOICES = 0.30
#: Where the median separation of two names is less, clips are too short or noisy to tell voices apart.
LEAST_SEPARATION = 0.55
MAX_NAMES = 40  # among more, some are alike by chance
#: Percentile of distances by which names are compared: where two voices make a half or more of the
#: pairs differ, it is one of those, and outliers do not count.
_PERCENTILE = 70
#: A style of this many clips is as much believed as the assumption that it changes nothing.
_PRIOR_CLIPS = 3.0


@dataclass(frozen=True)
class VoiceFinding:
    """Names whose voices are not what the names say."""

    kind: Kind
    names: tuple[str, ...]
    score: float  # what the limit of its kind is for


@dataclass(frozen=True)
class VoiceCheck:
    """The outcome of a check of voices."""

    n_names: int = 0  # whose voices were compared with each other
    n_divisible: int = 0  # that have clips enough to be searched for a second voice
    n_few: int = 0  # names with too few clips to be judged
    findings: Sequence[VoiceFinding] = field(default=())
    left_out: str = ""  # why nothing was checked

    @property
    def suspicions(self) -> list[str]:
        """What speaks against the names, a sentence for each kind, without its full stop."""
        same = [f.names for f in self.findings if f.kind == "one-voice-two-names"]
        mixed = [f.names[0] for f in self.findings if f.kind == "two-voices-one-name"]
        said = []
        if same:
            pairs = ", ".join(" and ".join(names) for names in same)
            said.append(f"by their sound, these may be one voice under two names: {pairs}")
        if mixed:
            names = ", ".join(mixed)
            said.append(f"by their sound, clips under one name may be of two voices: {names}")
        return said

    @property
    def text(self) -> str:
        """What was checked and found, or why it was left out, in sentences."""
        if self.left_out:
            return f"Voices were not compared: {self.left_out}."
        few = (
            f"; {self.n_few} with fewer than {MIN_CLIPS} clips were left out" if self.n_few else ""
        )
        searched = f"{self.n_divisible or 'none'} could be searched for a second voice"
        if self.n_divisible == self.n_names:
            searched = "each was searched for a second voice"
        said = [f"The voices of {self.n_names} names were compared, {searched}{few}"]
        said += [text[0].upper() + text[1:] for text in self.suspicions]
        said += [] if self.findings else ["Nothing speaks against the names"]
        return ". ".join(said) + "."


def to_embed(
    names: NDArray[np.str_], *, most: int = MAX_CLIPS, seed: int = 0
) -> tuple[NDArray[np.intp], str]:
    """The rows whose voices are to be compared, and why not when there are none."""
    known, counts = np.unique(names[names != ""], return_counts=True)
    enough = known[counts >= MIN_CLIPS]
    none = np.zeros(0, dtype=np.intp)
    if not len(known):
        return none, "the clips have no speakers"
    if len(enough) > MAX_NAMES:
        return none, f"{len(enough)} speakers are too many, some of whom are alike by chance"
    if len(enough) < MIN_NAMES:
        have = f"{len(enough) or 'none'} of {len(known)} speakers"
        needed = f"at least {MIN_NAMES} speakers with {MIN_CLIPS} clips each are needed"
        return none, f"{needed}, and {have} {'has' if len(enough) == 1 else 'have'} as many"
    rng = np.random.default_rng(seed)
    rows = [rng.permutation(np.flatnonzero(names == name))[:most] for name in enough]
    return np.sort(np.concatenate(rows)), ""


def verify(
    embeddings: NDArray[np.float32], names: NDArray[np.str_], styles: NDArray[np.str_]
) -> VoiceCheck:
    """Check names by the embeddings of the clips that :func:`to_embed` chose, and their styles."""
    values, counts = np.unique(names, return_counts=True)
    enough = set(values[counts >= MIN_CLIPS])
    if reason := to_embed(names)[1]:
        return VoiceCheck(left_out=reason)
    used = np.isin(names, list(enough))
    clips, names, styles = embeddings[used].astype(np.float64), names[used], styles[used]
    clips = without_styles(clips, names, styles)
    apart = separations(clips, names)
    if np.median(list(apart.values())) < LEAST_SEPARATION:
        why = "one speaker's clips differ as much as those of two: they are too short or noisy"
        return VoiceCheck(left_out=why)
    wide = surpluses(clips, names, styles)
    found = [
        *(VoiceFinding("one-voice-two-names", n, x) for n, x in apart.items() if x < ONE_VOICE),
        *(VoiceFinding("two-voices-one-name", (n,), x) for n, x in wide.items() if x > TWO_VOICES),
    ]
    return VoiceCheck(len(enough), len(wide), findings=found)


def without_styles(clips: Matrix, names: NDArray[np.str_], styles: NDArray[np.str_]) -> Matrix:
    """The embeddings less what each style adds for all names alike, by alternating least squares."""
    name, style = (np.unique(labels, return_inverse=True)[1] for labels in (names, styles))
    effects = np.zeros((style.max() + 1, clips.shape[1]))
    weights = 1 / (np.bincount(style) + _PRIOR_CLIPS)[:, None]
    for _ in range(5):
        rest = clips - effects[style]
        rest = clips - (_sums(rest, name) / np.bincount(name)[:, None])[name]
        effects = _sums(rest, style) * weights
    return np.asarray(clips - effects[style])


def separations(clips: Matrix, names: NDArray[np.str_]) -> dict[tuple[str, str], float]:
    """Squared distance of the means of two names, less what chance adds, over their variance."""
    means, variances, counts = {}, {}, {}
    for name in np.unique(names):
        own = clips[names == name]
        means[name], variances[name] = own.mean(axis=0), float(own.var(axis=0, ddof=1).sum())
        counts[name] = len(own)
    ratios = {}
    for a, b in itertools.combinations(map(str, means), 2):
        chance = variances[a] / counts[a] + variances[b] / counts[b]
        distance = float(np.square(means[a] - means[b]).sum()) - chance
        ratios[a, b] = 2 * distance / (variances[a] + variances[b])
    return ratios


def surpluses(clips: Matrix, names: NDArray[np.str_], styles: NDArray[np.str_]) -> dict[str, float]:
    """How much further apart a name's clips of one style are than usual: 0 usual, 1 as two names'.

    Only of names with clips enough for two voices.
    """
    squares = np.square(clips).sum(axis=1)
    distances = squares[:, None] + squares - 2 * clips @ clips.T
    comparable = styles[:, None] == styles
    np.fill_diagonal(comparable, False)
    apart = comparable & (names[:, None] != names)
    inside, judged = {}, []
    for name in map(str, np.unique(names)):
        own = np.flatnonzero(names == name)
        pairs = comparable[np.ix_(own, own)]
        if pairs.sum() >= MIN_CLIPS:
            inside[name] = float(np.percentile(distances[np.ix_(own, own)][pairs], _PERCENTILE))
        if len(own) >= 2 * MIN_CLIPS and pairs.sum() >= 2 * MIN_CLIPS:
            judged.append(name)
    if len(inside) < MIN_NAMES or not apart.any():
        return {}
    other = float(np.percentile(distances[apart], _PERCENTILE))
    found = {}
    for name in judged:
        usual = float(np.median([spread for key, spread in inside.items() if key != name]))
        found[name] = (inside[name] - usual) / max(other - usual, 1e-9)
    return found


def _sums(values: Matrix, groups: NDArray[np.intp]) -> Matrix:
    sums = np.zeros((groups.max() + 1, values.shape[1]))
    np.add.at(sums, groups, values)
    return sums
