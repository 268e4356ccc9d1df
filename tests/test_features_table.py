"""The container of features: selection and rows."""

from __future__ import annotations

import numpy as np
import pytest

from emoscope.errors import FeatureError
from emoscope.features.table import Features

RANDOM = np.random.default_rng(0)


def vector() -> Features:
    return Features(
        clips=["a", "b", "c"],
        specs=[{"name": "mfcc", "version": 1, "n_mfcc": 2}, {"name": "mel", "version": 1}],
        columns=("mfcc_01", "mfcc_02", "mel_1", "mel_2", "mel_3"),
        X=RANDOM.random((3, 5), dtype=np.float32),
    )


def ragged() -> Features:
    frames = [RANDOM.random((n, 4), dtype=np.float32) for n in (3, 1, 7)]
    return Features(clips=["a", "b", "c"], specs=[{"name": "logmel"}], frames=frames)


def test_select_takes_the_columns_of_features_in_the_order_asked_for() -> None:
    table = vector()
    chosen = table.select(["mel", "mfcc"])
    assert chosen.columns == ("mel_1", "mel_2", "mel_3", "mfcc_01", "mfcc_02")
    assert [spec["name"] for spec in chosen.specs] == ["mel", "mfcc"]
    np.testing.assert_array_equal(chosen.X, table.X[:, [2, 3, 4, 0, 1]])
    assert chosen.select(["mfcc"]).columns == ("mfcc_01", "mfcc_02")
    with pytest.raises(FeatureError, match="no chroma here; there are mfcc, mel"):
        table.select(["chroma"])


def test_columns_that_do_not_bear_the_features_name_need_widths() -> None:
    names = {"specs": [{"name": "encoder"}, {"name": "mel"}], "columns": ("w_1", "w_2", "mel_1")}
    X = np.zeros((1, 3), np.float32)
    with pytest.raises(FeatureError, match="cannot tell"):
        Features(clips=["a"], X=X, **names)
    table = Features(clips=["a"], X=X, widths=(2, 1), **names)
    assert table.select(["encoder"]).columns == ("w_1", "w_2")


@pytest.mark.parametrize("make", [vector, ragged])
def test_rows(make) -> None:
    table = make()
    chosen = table.rows(np.array([2, 0]))
    assert chosen.clips == ["c", "a"]
    assert len(chosen) == 2
    for row, source in zip(chosen.values, (2, 0), strict=True):
        np.testing.assert_array_equal(row, table.values[source])


def test_shapes_must_agree() -> None:
    with pytest.raises(FeatureError, match="either a matrix X or a list of frames"):
        Features(clips=[], specs=[])
    with pytest.raises(FeatureError, match="2 clips, but 1 rows"):
        Features(clips=["a", "b"], specs=[{"name": "x"}], frames=[np.zeros((1, 1), np.float32)])
    with pytest.raises(FeatureError, match="has the shape"):
        Features(clips=["a"], specs=[{"name": "x"}], X=np.zeros((1, 2), np.float32))


def test_two_features_of_one_name_cannot_be_told_apart_by_it() -> None:
    both = Features(
        clips=["a"], specs=[{"name": "encoder", "model": "x"}, {"name": "encoder", "model": "y"}],
        columns=("x1", "x2", "y1"), widths=(2, 1), X=np.zeros((1, 3), np.float32),
    )  # fmt: skip
    with pytest.raises(FeatureError, match="2 features here are called encoder"):
        both.select(["encoder"])
