"""Energies as logarithms, before anything is learned from them."""

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from emoscope.models.base import SMALLEST_FLOOR, LogLevels, learn_floor, log_levels
from emoscope.models.mlp import SpeakerStoppedMLP


@pytest.fixture
def columns():
    """An energy, one that is sometimes silent, and a coefficient of either sign."""
    rng = np.random.default_rng(0)
    energy, silent = np.exp(rng.normal(size=(2, 200)))
    silent[:100] = 0
    return np.column_stack([energy, silent, rng.normal(size=200)])


def test_columns_of_either_sign_stay_and_energies_become_logarithms(columns):
    floor = learn_floor(columns)
    assert floor[0] == pytest.approx(np.quantile(columns[:, 0], 0.01))
    assert floor[1] == pytest.approx(SMALLEST_FLOOR) and np.isnan(floor[2])
    found = log_levels(columns, floor)
    np.testing.assert_allclose(found[:, :2], np.log(columns[:, :2] + floor[:2]), rtol=1e-5)
    np.testing.assert_array_equal(found[:, 2], columns[:, 2])
    np.testing.assert_array_equal(LogLevels().fit(columns).transform(columns), found)


def test_what_is_negative_later_is_silence(columns):
    step = LogLevels().fit(columns)
    later = step.transform(-np.abs(columns))
    np.testing.assert_allclose(later[:, 0], np.log(step.floor_[0]))
    assert np.isfinite(later).all()


def test_a_perceptron_on_levels_is_one_on_logarithms_taken_by_hand(columns):
    y = np.where(columns[:, 0] > 1, "angry", "calm")
    speakers = np.repeat(np.arange(4), 50)
    settings = {"epochs": 3}
    ours = SpeakerStoppedMLP(**settings).fit(columns, y, speakers)
    by_hand = log_levels(columns, ours.scaling_[0].floor_)
    plain = SpeakerStoppedMLP(**settings).fit(by_hand, y, speakers)
    assert plain.best_epoch_ == ours.best_epoch_
    np.testing.assert_allclose(ours.predict_proba(columns), plain.predict_proba(by_hand))
    assert np.isnan(plain.scaling_[0].floor_).all()


@parametrize_with_checks([LogLevels()])
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)
