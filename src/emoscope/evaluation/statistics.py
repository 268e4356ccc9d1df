"""How far a score can be trusted: intervals and tests whose sample is speakers, not clips.

Two clips of one speaker share a voice and a way of acting, so they are right or wrong together more
often than two clips of strangers; treating the clips as independent gives intervals that are about
half as wide as they should be. Everything here resamples whole speakers.

Conventions: ``y_true``, ``y_pred`` and ``speakers`` are one-dimensional, one value per clip in the
same order; scores are fractions in [0, 1]; a metric is ``uar``, ``accuracy`` or ``macro_f1`` of
:mod:`emoscope.evaluation.metrics`. What an interval or a test answers is: with these trained models,
how would the score vary over other speakers like these? The chance in training another model is not part of
it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from . import metrics
from .ratios import Array, Metric, influences, parts, resamples, score, spread
from .significance import groups, holm, letters

__all__ = [
    "Interval",
    "compare_models",
    "difference_interval",
    "groups",
    "holm",
    "letters",
    "paired_test",
    "speaker_interval",
]

#: From this many speakers on the distribution of the studentised score comes from resampling them;
#: below, too few distinct resamples exist, and Student's t covers better in simulation
#: (benchmarks/interval_coverage.py).
FEWEST_TO_RESAMPLE = 10
#: Up to this many speakers the permutation test counts all 2 ** n swaps, through two sorted halves
#: of 2 ** (n / 2) sums each.
MOST_TO_ENUMERATE = 32
#: A resample whose standard error is this small against the sample's own has next to no variation
#: between its speakers; dividing by it would give a meaningless, huge quotient.
SMALLEST_RELATIVE_ERROR = 1e-3
#: Share of the resamples that must be usable.
FEWEST_USABLE = 0.99


@dataclass(frozen=True)
class Interval:
    """A score with the range in which it lies at the stated level of confidence.

    Attributes
    ----------
    low, high : float
        Ends of the interval.
    estimate : float
        The score of the clips at hand; always within the interval.
    level : float
        Share of such intervals that hold the true value, e.g. 0.95.
    """

    low: float
    high: float
    estimate: float
    level: float = 0.95


def speaker_interval(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    speakers: ArrayLike,
    metric: Metric = metrics.uar,
    *,
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Interval of a score over speakers.

    The studentised bootstrap of whole speakers, on the logit scale (which keeps the ends within
    [0, 1] and the score's standard error nearly constant). The standard error is the linearised one
    of a mean of ratios, with speakers as clusters. Student's t with ``n_speakers - 1`` degrees of
    freedom takes the place of the resampled distribution with fewer than
    :data:`FEWEST_TO_RESAMPLE` speakers, and when more than one resample in a hundred has no
    variation between its speakers.
    When every clip is right, or every clip wrong, speakers do not vary at all, and the exact
    binomial interval over clips is given.

    Parameters
    ----------
    y_true, y_pred : array-like of str, shape (n_clips,)
        The emotion of each clip and the prediction.
    speakers : array-like, shape (n_clips,)
        The speaker of each clip; at least two.
    metric : function of :mod:`emoscope.evaluation.metrics`
        ``uar``, ``accuracy`` or ``macro_f1``.
    level : float
        Confidence level in (0, 1).
    n_resamples : int
        Resamples of the speakers.
    seed : int
        Decides the resamples; the same seed gives the same interval.

    Returns
    -------
    Interval

    Raises
    ------
    ValueError
        When the arrays do not fit together, there are fewer than two speakers, or an argument is
        out of range.

    References
    ----------
    B. Efron, R. Tibshirani. An Introduction to the Bootstrap, ch. 12. Chapman & Hall 1993.
    A. C. Cameron, D. L. Miller. A practitioner's guide to cluster-robust inference. Journal of
    Human Resources 50(2), 2015 (few clusters: Student's t).
    """
    top, bottom = parts(y_true, y_pred, speakers, metric)
    _check_options(level, n_resamples)
    estimate = float(score(top.sum(axis=0), bottom.sum(axis=0)))
    if not 0.0 < estimate < 1.0:
        n_clips = len(np.asarray(y_true))
        exact = stats.binomtest(round(estimate * n_clips), n_clips).proportion_ci(level)
        return Interval(float(exact.low), float(exact.high), estimate, level)
    slope = 1.0 / (estimate * (1.0 - estimate))
    centre, error = math.log(estimate / (1.0 - estimate)), _standard_error(top, bottom) * slope
    quantiles = _student(len(top), level)
    if len(top) >= FEWEST_TO_RESAMPLE:
        weights = resamples(len(top), n_resamples, seed)
        scores, errors = _resampled(weights, top, bottom)
        with np.errstate(divide="ignore", invalid="ignore"):
            logits, errors = np.log(scores / (1.0 - scores)), errors / (scores * (1.0 - scores))
        quantiles = _quantiles(logits - centre, errors, error, level) or quantiles
    ends = [1.0 / (1.0 + math.exp(q * error - centre)) for q in reversed(quantiles)]
    return Interval(min(ends[0], estimate), max(ends[1], estimate), estimate, level)


def difference_interval(
    y_true: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    speakers: ArrayLike,
    metric: Metric = metrics.uar,
    *,
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Interval of the score of `first` minus that of `second` on the same clips, over speakers.

    As :func:`speaker_interval`, without the logit: a difference lies in [-1, 1]. Both models are
    scored on the same resample, so what makes a speaker hard for both cancels.

    Parameters
    ----------
    y_true, first, second : array-like of str, shape (n_clips,)
        The emotion of each clip, and the predictions of the two models.
    speakers, metric, level, n_resamples, seed
        As for :func:`speaker_interval`.

    Returns
    -------
    Interval
    """
    (top_a, bottom_a), (top_b, bottom_b) = (
        parts(y_true, predicted, speakers, metric) for predicted in (first, second)
    )
    _check_options(level, n_resamples)
    estimate = float(
        score(top_a.sum(axis=0), bottom_a.sum(axis=0))
        - score(top_b.sum(axis=0), bottom_b.sum(axis=0))
    )
    ones = np.ones((1, len(top_a)))
    influence = influences(ones, top_a, bottom_a) - influences(ones, top_b, bottom_b)
    error = float(spread(ones, influence)[0])
    quantiles = _student(len(top_a), level)
    if len(top_a) >= FEWEST_TO_RESAMPLE and error > 0:
        weights = resamples(len(top_a), n_resamples, seed)
        scores = score(weights @ top_a, weights @ bottom_a) - score(
            weights @ top_b, weights @ bottom_b
        )
        influence = influences(weights, top_a, bottom_a) - influences(weights, top_b, bottom_b)
        errors = spread(weights, influence)
        quantiles = _quantiles(scores - estimate, errors, error, level) or quantiles
    ends = np.clip([estimate - q * error for q in reversed(quantiles)], -1.0, 1.0)
    return Interval(min(float(ends[0]), estimate), max(float(ends[1]), estimate), estimate, level)


def paired_test(
    y_true: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    speakers: ArrayLike,
    metric: Metric = metrics.uar,
    *,
    n_resamples: int = 99_999,
    seed: int = 0,
) -> float:
    """Two-sided p-value of two models being equally good, by swapping them speaker by speaker.

    If it did not matter which model is which, all predictions of a speaker could be exchanged
    between them without changing the distribution of the difference. Up to
    :data:`MOST_TO_ENUMERATE` speakers every one of the ``2 ** n_speakers`` exchanges is counted and
    the p-value is exact; beyond, `n_resamples` random ones are drawn.

    Parameters
    ----------
    y_true, first, second : array-like of str, shape (n_clips,)
        The emotion of each clip, and the predictions of the two models.
    speakers : array-like, shape (n_clips,)
        The speaker of each clip.
    metric : function of :mod:`emoscope.evaluation.metrics`
        ``uar`` or ``accuracy``: the difference must be a sum over speakers.
    n_resamples, seed : int
        Number and seed of the random exchanges.

    Returns
    -------
    float
        In (0, 1]; never below ``2 / 2 ** n_speakers``, so four speakers cannot show a difference
        at the 5 % level.

    References
    ----------
    P. Good. Permutation, Parametric and Bootstrap Tests of Hypotheses. Springer 2005.
    """
    if metric is metrics.macro_f1:
        raise ValueError(
            "the paired test needs a metric that is a sum over speakers: uar or accuracy"
        )
    (top_a, bottom), (top_b, _) = (
        parts(y_true, predicted, speakers, metric) for predicted in (first, second)
    )
    total = bottom.sum(axis=0)
    shares = ((top_a - top_b) / total).sum(axis=1) / len(total)
    return _sign_test(shares[shares != 0.0], n_resamples, seed)


def compare_models(
    y_true: ArrayLike,
    predictions: Mapping[str, ArrayLike],
    speakers: ArrayLike,
    metric: Metric = metrics.uar,
    *,
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Every pair of models: difference, its interval, and the test with Holm's correction.

    Parameters
    ----------
    y_true : array-like of str, shape (n_clips,)
        The emotion of each clip.
    predictions : mapping from str to array-like of str, shape (n_clips,)
        The predictions of each model, for the same clips in the same order.
    speakers, metric, level, n_resamples, seed
        As for :func:`paired_test` and :func:`difference_interval`.

    Returns
    -------
    DataFrame, one row per pair
        ``first``, ``second``, ``difference`` (score of first minus score of second), ``low``,
        ``high`` (each pair's own interval, not corrected), ``p`` and ``p_holm``.
    """
    names = list(predictions)
    rows: list[dict[str, Any]] = []
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            pair = (y_true, predictions[first], predictions[second], speakers, metric)
            gap = difference_interval(*pair, level=level, n_resamples=n_resamples, seed=seed)
            ends = {"difference": gap.estimate, "low": gap.low, "high": gap.high}
            p = paired_test(*pair, seed=seed)
            rows.append({"first": first, "second": second, **ends, "p": p})
    columns = ["first", "second", "difference", "low", "high", "p"]
    table = pd.DataFrame(rows, columns=columns)
    table["p_holm"] = holm(table["p"].to_numpy(dtype=np.float64))
    return table


def _check_options(level: float, n_resamples: int) -> None:
    if not 0.0 < level < 1.0:
        raise ValueError(f"level is {level}; it must lie between 0 and 1, e.g. 0.95")
    if n_resamples < 1:
        raise ValueError(f"n_resamples is {n_resamples}; at least one is needed")


def _standard_error(top: Array, bottom: Array) -> float:
    ones = np.ones((1, len(top)))
    return float(spread(ones, influences(ones, top, bottom))[0])


def _resampled(weights: Array, top: Array, bottom: Array) -> tuple[Array, Array]:
    scores = score(weights @ top, weights @ bottom)
    return scores, spread(weights, influences(weights, top, bottom))


def _student(n_speakers: int, level: float) -> tuple[float, float]:
    """Lower and upper quantile of Student's t."""
    high = float(stats.t.ppf(0.5 + level / 2.0, n_speakers - 1))
    return -high, high


def _quantiles(
    shift: Array, errors: Array, error: float, level: float
) -> tuple[float, float] | None:
    """Lower and upper quantile of the studentised resamples; None when too few can be studentised.

    A resample can not when it happens to hold only speakers who are alike, e.g. all faultless.
    """
    usable = np.isfinite(shift) & np.isfinite(errors) & (errors > SMALLEST_RELATIVE_ERROR * error)
    if usable.mean() < FEWEST_USABLE:
        return None
    tails = [0.5 - level / 2.0, 0.5 + level / 2.0]
    low, high = np.quantile(shift[usable] / errors[usable], tails)
    return float(low), float(high)


def _sign_test(shares: Array, n_resamples: int, seed: int) -> float:
    """Share of sign patterns whose sum is at least as far from zero as that of `shares`."""
    observed = abs(shares.sum()) * (1.0 - 1e-9)  # equal sums differ in their last digits
    if len(shares) <= MOST_TO_ENUMERATE:
        half = len(shares) // 2
        left, right = _signed_sums(shares[:half]), np.sort(_signed_sums(shares[half:]))
        reach = len(right) - np.searchsorted(right, observed - left, side="left")
        # The sums are symmetric about zero, so the other tail has as many.
        return min(1.0, 2.0 * float(reach.sum()) / 2.0 ** len(shares))
    rng = np.random.default_rng(seed)
    signs = rng.integers(0, 2, (n_resamples, len(shares)), dtype=np.int8) * 2 - 1
    reached = int((np.abs(signs @ shares) >= observed).sum())
    return (reached + 1) / (n_resamples + 1)


def _signed_sums(values: Array) -> Array:
    """Sums of `values` under all patterns of signs, shape (2 ** n,)."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums - value, sums + value])
    return sums
