"""How far a score can be trusted: intervals and tests whose sample is speakers, not clips.

Clips of one speaker are right or wrong together; taken as independent they give intervals about half
as wide as they should be. ``y_true``, ``y_pred`` and ``speakers`` have one value per clip. Each metric is
a mean of ratios of sums over speakers, so a resample is one product of matrices.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from . import metrics, sentence

Array = NDArray[np.float64]
Metric = Callable[[ArrayLike, ArrayLike], float]
#: Scores and their standard errors, from how often each resample holds each speaker.
Statistic = Callable[[Array], tuple[Array, Array]]

#: With fewer speakers too few distinct resamples exist, and Student's t covers better in simulation
#: (benchmarks/interval_coverage.py).
MIN_TO_RESAMPLE = 10
#: With fewer speakers no interval over them is given: it would say more of these few than of others.
MIN_FOR_INTERVAL = 5
MAX_TO_ENUMERATE = 32  # speakers, whose 2 ** n swaps are counted through two sorted halves
MIN_RELATIVE_ERROR = 1e-3  # of a resample, against the sample's: dividing by less tells nothing
MIN_USABLE = 0.99  # share of the resamples
ALPHA = 0.05  # differences with a smaller corrected p-value are significant


@dataclass(frozen=True)
class Interval:
    """A score and a range around it."""

    low: float
    high: float
    estimate: float


def no_interval(n_speakers: int) -> str:
    """Why a score of so many known speakers is given without an interval; empty where it has one."""
    if n_speakers >= MIN_FOR_INTERVAL:
        return ""
    several = "speaker" if n_speakers == 1 else "speakers"
    found = f"{n_speakers} {several}" if n_speakers else "none is known"
    return f"interval not given: {found}; at least {MIN_FOR_INTERVAL} speakers are needed"


def speaker_interval(
    y_true: ArrayLike, y_pred: ArrayLike, speakers: ArrayLike, metric: Metric = metrics.uar, *,
    level: float = 0.95, n_resamples: int = 2000, seed: int = 0,
) -> Interval:  # fmt: skip
    """Interval of a score over speakers, of which at least two are needed: ``uar`` or ``accuracy``.

    The studentised bootstrap of whole speakers on the logit scale (B. Efron, R. Tibshirani. An
    Introduction to the Bootstrap, ch. 12. Chapman & Hall 1993); Student's t (A. C. Cameron, D. L.
    Miller. Journal of Human Resources 50(2), 2015) with fewer than :data:`MIN_TO_RESAMPLE` speakers
    or no variation between resamples; the exact binomial interval where all or no clips are right.
    """
    ratios = _ratios(y_true, y_pred, speakers, metric)
    estimate = float(ratios.scores(ratios.once)[0])
    if not 0.0 < estimate < 1.0:
        n_clips = len(np.asarray(y_true))
        exact = stats.binomtest(round(estimate * n_clips), n_clips).proportion_ci(level)
        return Interval(float(exact.low), float(exact.high), estimate)

    def logit(weights: Array) -> tuple[Array, Array]:
        scores = ratios.scores(weights)
        errors = _standard_errors(weights, ratios.influences(weights))
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.log(scores / (1.0 - scores)), errors / (scores * (1.0 - scores))

    ends = _ends(logit, ratios.once, level, n_resamples, seed)
    low, high = (1.0 / (1.0 + np.exp(-end)) for end in ends)
    return Interval(min(float(low), estimate), max(float(high), estimate), estimate)


def difference_interval(
    y_true: ArrayLike, first: ArrayLike, second: ArrayLike, speakers: ArrayLike,
    metric: Metric = metrics.uar, *, n_resamples: int = 2000, seed: int = 0,
) -> Interval:  # fmt: skip
    """As :func:`speaker_interval`, of the score of `first` minus that of `second`; no logit."""
    a, b = (_ratios(y_true, predicted, speakers, metric) for predicted in (first, second))

    def difference(weights: Array) -> tuple[Array, Array]:
        influences = a.influences(weights) - b.influences(weights)
        return a.scores(weights) - b.scores(weights), _standard_errors(weights, influences)

    estimate = float(difference(a.once)[0][0])
    low, high = np.clip(_ends(difference, a.once, 0.95, n_resamples, seed), -1.0, 1.0)
    return Interval(min(float(low), estimate), max(float(high), estimate), estimate)


def paired_test(
    y_true: ArrayLike, first: ArrayLike, second: ArrayLike, speakers: ArrayLike,
    metric: Metric = metrics.uar, *, n_resamples: int = 99_999, seed: int = 0,
) -> float:  # fmt: skip
    """Two-sided p-value of two models being equally good, by swapping them speaker by speaker.

    Up to :data:`MAX_TO_ENUMERATE` speakers every one of the ``2 ** n_speakers`` exchanges is
    counted and the p-value is exact; beyond, `n_resamples` random ones are drawn. (P. Good.
    Permutation, Parametric and Bootstrap Tests of Hypotheses. Springer 2005.)
    """
    a, b = (_ratios(y_true, predicted, speakers, metric) for predicted in (first, second))
    total = a.denominator.sum(axis=0)
    shares = ((a.numerator - b.numerator) / total).sum(axis=1) / len(total)
    return _sign_test(shares[shares != 0.0], n_resamples, seed)


def compare_models(
    y_true: ArrayLike, predictions: Mapping[str, ArrayLike], speakers: ArrayLike,
    metric: Metric = metrics.uar, *, n_resamples: int = 2000, seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """A row per pair of models: difference, its own 95 % interval, p and p by Holm's correction."""
    rows = []
    for first, second in itertools.combinations(predictions, 2):
        pair = (y_true, predictions[first], predictions[second], speakers, metric)
        gap = difference_interval(*pair, n_resamples=n_resamples, seed=seed)
        rows.append((first, second, gap.estimate, gap.low, gap.high, paired_test(*pair, seed=seed)))
    table = pd.DataFrame(rows, columns=["first", "second", "difference", "low", "high", "p"])
    table["p_holm"] = holm(table["p"].to_numpy(dtype=np.float64))
    return table


def holm(p_values: ArrayLike) -> Array:
    """Corrected p-values (S. Holm. Scandinavian Journal of Statistics 6(2), 1979)."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected


def groups(scores: Mapping[str, float], comparisons: pd.DataFrame) -> list[tuple[str, ...]]:
    """The largest sets of models that cannot be told apart; any two that share none differ."""
    ranked = sorted(scores, key=lambda name: -scores[name])
    pairs = comparisons.loc[comparisons["p_holm"] < ALPHA, ["first", "second"]]
    sets = {frozenset(ranked)}
    for pair in map(frozenset, pairs.itertuples(index=False, name=None)):
        whole = {group for group in sets if pair <= group}
        sets = (sets - whole) | {group - {name} for group in whole for name in pair}
        sets = {group for group in sets if not any(group < other for other in sets)}
    ordered = [tuple(name for name in ranked if name in group) for group in sets]
    return sorted(ordered, key=lambda group: [ranked.index(name) for name in group])


def letters(groups: Sequence[tuple[str, ...]]) -> dict[str, str]:
    """Compact letter display (H.-P. Piepho. J. Comput. Graph. Stat. 13(2), 2004) of :func:`groups`."""
    letters_of: dict[str, str] = {}
    for i, group in enumerate(groups):
        letter = "abcdefghijklmnopqrstuvwxyz"[i] if i < 26 else f"({i + 1})"
        for name in group:
            letters_of[name] = letters_of.get(name, "") + letter
    return letters_of


@dataclass(frozen=True, eq=False)
class _Ratios:
    """Numerators and denominators of a metric's ratios, each ``(n_speakers, n_ratios)``."""

    numerator: Array
    denominator: Array

    @property
    def once(self) -> Array:
        return np.ones((1, len(self.numerator)))

    def scores(self, weights: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = (weights @ self.numerator) / (weights @ self.denominator)
            return np.asarray(np.nanmean(ratios, axis=-1))

    def influences(self, weights: Array) -> Array:
        """How much each speaker moves the score of each resample, (n_resamples, n_speakers)."""
        tops, bottoms = weights @ self.numerator, weights @ self.denominator
        with np.errstate(divide="ignore", invalid="ignore"):
            inverse = np.where(bottoms > 0, 1.0 / bottoms, 0.0)
        n_ratios = (bottoms > 0).sum(axis=1, keepdims=True)
        moved = inverse @ self.numerator.T - (tops * inverse**2) @ self.denominator.T
        return np.asarray(moved / n_ratios)


def _ratios(y_true: ArrayLike, y_pred: ArrayLike, speakers: ArrayLike, metric: Metric) -> _Ratios:
    if metric not in (metrics.uar, metrics.accuracy):
        raise ValueError(f"no interval or test is known for {metric!r}; known: uar, accuracy")
    true, predicted = metrics.check_pair(y_true, y_pred)
    names, of_clip = np.unique(np.asarray(speakers).astype(str), return_inverse=True)
    if of_clip.shape != true.shape:
        raise ValueError(sentence("speakers_shape", shape=of_clip.shape, true=true.shape))
    if len(names) < 2:
        raise ValueError(f"at least two speakers are needed to compare; found {len(names)}")
    emotions, codes = np.unique(np.concatenate([true, predicted]), return_inverse=True)
    shape = (len(names), len(emotions), len(emotions))
    cells = np.ravel_multi_index((of_clip, codes[: len(true)], codes[len(true) :]), shape)
    counts = np.bincount(cells, minlength=int(np.prod(shape))).reshape(shape).astype(np.float64)
    numerator, denominator = np.diagonal(counts, axis1=1, axis2=2), counts.sum(axis=2)
    if metric is metrics.accuracy:
        numerator, denominator = (a.sum(axis=1, keepdims=True) for a in (numerator, denominator))
    occurs = denominator.sum(axis=0) > 0
    return _Ratios(numerator[:, occurs], denominator[:, occurs])


def _standard_errors(weights: Array, influences: Array) -> Array:
    n = weights.shape[1]
    return np.asarray(np.sqrt(n / (n - 1) * (weights * influences**2).sum(axis=1)))


def _ends(
    statistic: Statistic, once: Array, level: float, n_resamples: int, seed: int
) -> tuple[float, float]:
    """Ends of an interval by the studentised bootstrap of speakers, or by Student's t."""
    n_speakers = once.shape[1]
    centre, error = (float(values[0]) for values in statistic(once))
    tails = [0.5 - level / 2.0, 0.5 + level / 2.0]
    high = float(stats.t.ppf(tails[1], n_speakers - 1))
    low = -high
    if n_speakers >= MIN_TO_RESAMPLE and error > 0:
        rng, share = np.random.default_rng(seed), np.full(n_speakers, 1.0 / n_speakers)
        weights = rng.multinomial(n_speakers, share, n_resamples).astype(np.float64)
        values, errors = statistic(weights)
        shift = values - centre
        usable = np.isfinite(shift) & np.isfinite(errors) & (errors > MIN_RELATIVE_ERROR * error)
        if usable.mean() >= MIN_USABLE:
            low, high = np.quantile(shift[usable] / errors[usable], tails)
    return float(centre - high * error), float(centre - low * error)


def _sign_test(shares: Array, n_resamples: int, seed: int) -> float:
    """Share of sign patterns whose sum is at least as far from zero as that of `shares`."""
    observed = abs(shares.sum()) * (1.0 - 1e-9)  # equal sums differ in their last digits
    if len(shares) <= MAX_TO_ENUMERATE:
        half = len(shares) // 2
        left, right = _signed_sums(shares[:half]), np.sort(_signed_sums(shares[half:]))
        reach = len(right) - np.searchsorted(right, observed - left, side="left")
        # The sums are symmetric about zero, so the other tail has as many.
        return min(1.0, 2.0 * float(reach.sum()) / 2.0 ** len(shares))
    rng = np.random.default_rng(seed)
    signs = rng.integers(0, 2, (n_resamples, len(shares)), dtype=np.int8) * 2 - 1
    return (int((np.abs(signs @ shares) >= observed).sum()) + 1) / (n_resamples + 1)


def _signed_sums(values: Array) -> Array:
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums - value, sums + value])
    return sums
