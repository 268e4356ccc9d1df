"""Who speaks: embeddings of voices, and whether the names in a corpus are voices.

What a *style* (an emotion and its intensity) does to all names alike is taken away. Distances are
squared. ``benchmarks/voices.py`` sets the limits, on other corpora than those that it tests.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..files import lines, said, sentence
from .encoder import embed

__all__ = ["VoiceCheck", "VoiceFinding", "embed", "to_embed", "verify"]

Matrix = NDArray[np.float64]
Texts = NDArray[np.str_]

MIN_CLIPS = 10  # of a voice
MIN_NAMES, MAX_NAMES = 4, 40  # the others tell what is usual; among more, some are alike by chance
MAX_CLIPS = 40  # of a name that are embedded
#: Two names are one voice whose means lie closer than this share of the spread of their clips.
ONE_VOICE = 0.12
#: A name is two voices whose clips of one style lie further apart than those of most names by this
#: share of the way to clips of different names.
TWO_VOICES = 0.30
#: Where the median separation of two names is less, clips are too short or noisy to tell voices apart.
LEAST_SEPARATION = 0.55
_PERCENTILE = 70  # of distances: one between two voices where there are two, and no outlier
_PRIOR_CLIPS = 3.0  # a style of so many clips is as much believed as that it changes nothing


@dataclass(frozen=True)
class VoiceFinding:
    """Names whose voices are not what the names say, and the value that the limit is for."""

    kind: Literal["one-voice-two-names", "two-voices-one-name"]
    names: tuple[str, ...]
    score: float


@dataclass(frozen=True)
class VoiceCheck:
    """The outcome of a check of voices."""

    n_names: int = 0  # whose voices were compared with each other
    n_divisible: int = 0  # that have clips enough to be searched for a second voice
    n_few: int = 0  # names with too few clips to be compared
    findings: Sequence[VoiceFinding] = ()
    left_out: str = ""  # why nothing was checked

    @property
    def suspicions(self) -> list[str]:
        """What speaks against the names, a sentence for each kind, without its full stop."""
        return lines("suspicions", findings=self.findings)

    @property
    def text(self) -> str:
        """What was checked and found, or why it was left out, in sentences."""
        return said("voices", check=self, least=MIN_CLIPS)


def to_embed(names: Texts, *, most: int = MAX_CLIPS, seed: int = 0) -> tuple[NDArray[np.intp], str]:
    """The rows whose voices are to be compared, and why not when there are none."""
    known, counts = np.unique(names[names != ""], return_counts=True)
    enough, reason = known[counts >= MIN_CLIPS], ""
    if not len(known):
        reason = "the clips have no speakers"
    elif len(enough) > MAX_NAMES:
        reason = f"{len(enough)} speakers are too many, some of whom are alike by chance"
    elif len(enough) < MIN_NAMES:
        have = (len(enough) or "none", len(known), "has" if len(enough) == 1 else "have")
        reason = sentence("few_voices", names=MIN_NAMES, clips=MIN_CLIPS, have=have)
    if reason:
        return np.zeros(0, dtype=np.intp), reason
    rng = np.random.default_rng(seed)
    rows = [rng.permutation(np.flatnonzero(names == name))[:most] for name in enough]
    return np.sort(np.concatenate(rows)), ""


def verify(embeddings: NDArray[np.float32], names: Texts, styles: Texts) -> VoiceCheck:
    """Check names by the embeddings of the clips that :func:`to_embed` chose, and their styles."""
    used, reason = to_embed(names, most=len(names))
    if reason:
        return VoiceCheck(left_out=reason)
    names, styles = names[used], styles[used]
    clips = without_styles(embeddings[used].astype(np.float64), names, styles)
    apart, wide = separations(clips, names), surpluses(clips, names, styles)
    if np.median(list(apart.values())) < LEAST_SEPARATION:
        why = "one speaker's clips differ as much as those of two: they are too short or noisy"
        return VoiceCheck(left_out=why)
    found = [
        *(VoiceFinding("one-voice-two-names", n, x) for n, x in apart.items() if x < ONE_VOICE),
        *(VoiceFinding("two-voices-one-name", (n,), x) for n, x in wide.items() if x > TWO_VOICES),
    ]
    return VoiceCheck(len(np.unique(names)), len(wide), findings=found)


def without_styles(clips: Matrix, names: Texts, styles: Texts) -> Matrix:
    """The embeddings less what each style adds for all names alike, by alternating least squares."""
    name, style = ((v[:, None] == np.unique(v)).astype(float) for v in (names, styles))
    effects = np.zeros((style.shape[1], clips.shape[1]))
    for _ in range(5):
        means = name.T @ (clips - style @ effects) / name.sum(axis=0)[:, None]
        effects = style.T @ (clips - name @ means) / (style.sum(axis=0) + _PRIOR_CLIPS)[:, None]
    return np.asarray(clips - style @ effects)


def separations(clips: Matrix, names: Texts) -> dict[tuple[str, str], float]:
    """Squared distance of the means of two names, less what chance adds, over their variance."""
    ratios, of = {}, {str(name): clips[names == name] for name in np.unique(names)}
    variance = {name: float(own.var(axis=0, ddof=1).sum()) for name, own in of.items()}
    for a, b in itertools.combinations(of, 2):
        chance = variance[a] / len(of[a]) + variance[b] / len(of[b])
        distance = float(np.square(of[a].mean(axis=0) - of[b].mean(axis=0)).sum()) - chance
        ratios[a, b] = 2 * distance / (variance[a] + variance[b])
    return ratios


def surpluses(clips: Matrix, names: Texts, styles: Texts) -> dict[str, float]:
    """How much further apart a name's clips of one style are than usual: 0 usual, 1 as two names'."""
    squares = np.square(clips).sum(axis=1)
    distances = squares[:, None] + squares - 2 * clips @ clips.T
    comparable = styles[:, None] == styles
    np.fill_diagonal(comparable, False)
    apart = comparable & (names[:, None] != names)
    inside, compared = {}, []
    for name in map(str, np.unique(names)):
        own = np.ix_(names == name, names == name)
        if (n_pairs := comparable[own].sum()) >= MIN_CLIPS:
            inside[name] = float(np.percentile(distances[own][comparable[own]], _PERCENTILE))
        if min(len(distances[own]), n_pairs) >= 2 * MIN_CLIPS:
            compared.append(name)
    if len(inside) < MIN_NAMES or not apart.any():
        return {}
    other = float(np.percentile(distances[apart], _PERCENTILE))
    usual = {a: float(np.median([s for b, s in inside.items() if b != a])) for a in compared}
    return {a: (inside[a] - usual[a]) / max(other - usual[a], 1e-9) for a in compared}
