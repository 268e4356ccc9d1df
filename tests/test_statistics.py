from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from emoscope.evaluation import metrics, statistics

EMOTIONS = np.array(["neutral", "happy", "sad", "angry"])


def simulate(rng, n_speakers, *, mean=1.0, sd_speaker=0.8, sd_emotion=0.4, clips=10):
    """Clips whose chance of being recognised varies from speaker to speaker."""
    logit = mean + rng.normal(0, sd_speaker, (n_speakers, 1))
    recall = 1 / (1 + np.exp(-logit - rng.normal(0, sd_emotion, (n_speakers, len(EMOTIONS)))))
    true = np.tile(np.repeat(np.arange(len(EMOTIONS)), clips), n_speakers)
    speakers = np.repeat(np.arange(n_speakers), clips * len(EMOTIONS))
    right = rng.random(len(true)) < recall[speakers, true]
    wrong = (true + rng.integers(1, len(EMOTIONS), len(true))) % len(EMOTIONS)
    return EMOTIONS[true], EMOTIONS[np.where(right, true, wrong)], speakers.astype(str)


def uar_in_the_long_run(mean, sd_speaker, sd_emotion):
    """The same for endlessly many speakers, by Gauss-Hermite integration."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    recall = 1 / (1 + np.exp(-mean - np.hypot(sd_speaker, sd_emotion) * nodes))
    return float(recall @ weights / weights.sum())


def test_coverage_is_near_95_percent_where_the_clip_interval_falls_short():
    rng, truth = np.random.default_rng(11), uar_in_the_long_run(1.0, 0.8, 0.4)
    runs, by_speaker, by_clip = 300, 0, 0
    for run in range(runs):
        y_true, y_pred, speakers = simulate(rng, 16)
        ours = statistics.speaker_interval(y_true, y_pred, speakers, n_resamples=400, seed=run)
        by_speaker += ours.low <= truth <= ours.high
        score = metrics.uar(y_true, y_pred)
        # UAR equals accuracy here (equal numbers of each emotion), hence the binomial error.
        half = 1.96 * np.sqrt(score * (1 - score) / len(y_true))
        by_clip += score - half <= truth <= score + half
    assert 0.91 <= by_speaker / runs <= 0.985
    assert by_clip / runs < 0.75


@pytest.mark.parametrize("metric", [metrics.uar, metrics.accuracy])
def test_estimate_is_the_metric_and_lies_inside(metric):
    y_true, y_pred, speakers = simulate(np.random.default_rng(0), 12)
    interval = statistics.speaker_interval(y_true, y_pred, speakers, metric, seed=1)
    assert interval.estimate == pytest.approx(metric(y_true, y_pred))
    assert interval.low < interval.estimate < interval.high


def test_interval_agrees_with_scipy_bootstrap_of_speakers():
    y_true, y_pred, speakers = simulate(np.random.default_rng(5), 60, sd_speaker=0.5)
    names = np.unique(speakers)
    positions = {name: np.flatnonzero(speakers == name) for name in names}

    def uar_of(drawn):
        clips = np.concatenate([positions[name] for name in drawn])
        return metrics.uar(y_true[clips], y_pred[clips])

    oracle = scipy.stats.bootstrap(
        (names,), uar_of, n_resamples=600, vectorized=False, method="percentile", rng=2
    ).confidence_interval
    ours = statistics.speaker_interval(y_true, y_pred, speakers, seed=3)
    # With 60 speakers studentising hardly matters; what is left is the chance of 600 resamples.
    assert ours.low == pytest.approx(oracle.low, abs=0.008)
    assert ours.high == pytest.approx(oracle.high, abs=0.008)


def test_few_speakers_use_student_t_on_the_logit():
    y_true, y_pred, speakers = simulate(np.random.default_rng(8), 4, clips=25)
    interval = statistics.speaker_interval(y_true, y_pred, speakers)
    share = np.array([np.mean((y_true == y_pred)[speakers == s]) for s in "0123"])
    score = share.mean()
    half = scipy.stats.t.ppf(0.975, 3) * share.std(ddof=1) / 2 / (score * (1 - score))
    centre = np.log(score / (1 - score))
    expected = 1 / (1 + np.exp([half - centre, -half - centre]))
    np.testing.assert_allclose([interval.low, interval.high], expected, rtol=1e-6)


def test_interval_repeats_with_its_seed():
    y_true, y_pred, speakers = simulate(np.random.default_rng(2), 12)
    first, again, other = (
        statistics.speaker_interval(y_true, y_pred, speakers, seed=seed) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_interval_stays_in_range_when_one_speaker_makes_the_only_mistake():
    y_true, y_pred, speakers = simulate(np.random.default_rng(2), 10, mean=20, clips=3)
    y_pred[0] = "sad"
    interval = statistics.speaker_interval(y_true, y_pred, speakers)
    assert interval.estimate == pytest.approx(119 / 120)
    assert 0.85 < interval.low < interval.estimate < interval.high < 1


def test_all_right_still_has_a_range():
    y = np.repeat(EMOTIONS, 10)
    interval = statistics.speaker_interval(y, y, np.tile(["a", "b"], 20))
    assert (interval.estimate, interval.high) == (1.0, 1.0)
    assert interval.low == pytest.approx(0.025 ** (1 / 40))


def test_resample_without_an_emotion_is_scored_on_the_others():
    y_true = np.array(["sad"] * 20 + ["happy"] * 20 + ["bored"] * 2)
    y_pred = np.array((["sad"] * 3 + ["happy"]) * 10 + ["bored", "sad"])
    speakers = np.r_[np.arange(40) % 10, 3, 3]  # one speaker alone is ever bored
    interval = statistics.speaker_interval(y_true, y_pred, speakers)
    assert np.isfinite([interval.low, interval.high]).all()


def test_exact_test_equals_scipy_over_all_exchanges():
    rng = np.random.default_rng(4)
    y_true, first, speakers = simulate(rng, 8)
    worse = np.where(rng.random(len(first)) < 0.1, "sad", first)
    by_speaker = [speakers == name for name in np.unique(speakers)]
    # Every speaker has all emotions alike, so UAR is the mean of the speakers' shares.
    shares = [[np.mean((y_true == y)[s]) for s in by_speaker] for y in (first, worse)]
    oracle = scipy.stats.permutation_test(
        shares, lambda a, b: np.mean(a) - np.mean(b), permutation_type="samples", n_resamples=1e6
    ).pvalue
    assert statistics.paired_test(y_true, first, worse, speakers) == pytest.approx(oracle)


def test_exact_and_random_exchanges_agree_with_24_speakers(monkeypatch):
    rng = np.random.default_rng(9)
    y_true, first, speakers = simulate(rng, 24)
    worse = np.where(rng.random(len(first)) < 0.02, "sad", first)
    exact = statistics.paired_test(y_true, first, worse, speakers)
    monkeypatch.setattr(statistics, "MAX_TO_ENUMERATE", 0)
    drawn = statistics.paired_test(y_true, first, worse, speakers, n_resamples=20_000, seed=1)
    assert 0.0005 < exact < 0.5
    assert drawn == pytest.approx(exact, rel=0.1, abs=0.003)


def test_equal_models_differ_with_p_one_and_zero_width():
    y_true, y_pred, speakers = simulate(np.random.default_rng(1), 12)
    assert statistics.paired_test(y_true, y_pred, y_pred, speakers) == 1.0
    gap = statistics.difference_interval(y_true, y_pred, y_pred, speakers)
    assert (gap.low, gap.estimate, gap.high) == (0.0, 0.0, 0.0)


def test_difference_interval_is_narrower_than_the_models_own():
    rng = np.random.default_rng(6)
    y_true, first, speakers = simulate(rng, 20)
    second = np.where(rng.random(len(first)) < 0.05, "sad", first)
    gap = statistics.difference_interval(y_true, first, second, speakers)
    own = statistics.speaker_interval(y_true, first, speakers)
    assert gap.low <= gap.estimate <= gap.high
    assert gap.high - gap.low < (own.high - own.low) / 2


def test_holm_of_a_worked_example():
    # Holm 1979: sorted p times n, n-1, …, made monotone. 0.005*4, 0.01*3, 0.03*2, then 0.04 rises.
    np.testing.assert_allclose(statistics.holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([]).size == 0


def test_groups_and_letters_of_a_chain():
    # a ~ b ~ c, but a and c differ; d differs from all.
    pairs = {"ab": 0.5, "ac": 0.01, "ad": 0.001, "bc": 0.3, "bd": 0.002, "cd": 0.03}
    table = pd.DataFrame([(*pair, p) for pair, p in pairs.items()])
    table.columns = ["first", "second", "p_holm"]
    found = statistics.groups({"d": 0.2, "c": 0.6, "b": 0.7, "a": 0.8}, table)
    assert found == [("a", "b"), ("b", "c"), ("d",)]
    assert statistics.letters(found) == {"a": "a", "b": "ab", "c": "b", "d": "c"}


def test_compare_models_covers_all_pairs_of_twelve_models_quickly():
    rng = np.random.default_rng(7)
    y_true, base, speakers = simulate(rng, 24, clips=15)
    predictions = {
        f"m{i}": np.where(rng.random(len(base)) < 0.03 * i, "sad", base) for i in range(12)
    }
    table = statistics.compare_models(y_true, predictions, speakers, n_resamples=500)
    assert len(table) == 66
    assert (table["p_holm"] >= table["p"]).all()
    assert ((table["low"] <= table["difference"]) & (table["difference"] <= table["high"])).all()
    row = table.set_index(["first", "second"]).loc[("m0", "m11")]
    assert row["p_holm"] < 0.01
    scores = {name: metrics.uar(y_true, y) for name, y in predictions.items()}
    assert {name for group in statistics.groups(scores, table) for name in group} == set(scores)


def test_one_model_has_nothing_to_compare():
    y_true, y_pred, speakers = simulate(np.random.default_rng(1), 3)
    table = statistics.compare_models(y_true, {"svm": y_pred}, speakers)
    assert table.empty
    assert statistics.groups({"svm": 0.5}, table) == [("svm",)]


@pytest.mark.parametrize(
    ("speakers", "options", "message"),
    [
        (["1", "1"], {}, "at least two speakers are needed to compare; found 1"),
        (["1"], {}, "one speaker per clip"),
        (["1", "2"], {"metric": np.mean}, "known: uar, accuracy"),
    ],
)
def test_bad_arguments_are_refused(speakers, options, message):
    with pytest.raises(ValueError, match=message):
        statistics.speaker_interval(["sad", "happy"], ["sad", "sad"], speakers, **options)
