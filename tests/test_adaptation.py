"""Standardising on a speaker's or a corpus's own clips, against closed forms."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from emoscope.errors import ProtocolError, UnknownNameError
from emoscope.features.table import Features
from emoscope.models.base import adapt

TABLE = pd.DataFrame(
    {
        "clip": list("abcdefgh"),
        "speaker": ["1", "1", "2", "2", "1", "1", "2", "2"],
        "corpus": ["x"] * 4 + ["y"] * 4,
        "unique_speaker": ["x1", "x1", "x2", "x2", "y1", "y1", "y2", "y2"],
    }
)


def values(n: int = 8, width: int = 5) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.normal(size=(n, width)) * 10.0 ** np.arange(width)).astype(np.float32)


def table_of(x: np.ndarray) -> Features:
    columns = tuple(f"mfcc_{n}" for n in range(x.shape[1]))
    return Features(list(TABLE["clip"]), [{"name": "mfcc"}], columns, X=x)


@pytest.mark.parametrize(
    ("adaptation", "groups"),
    [
        ("speaker-adapted", [[0, 1], [2, 3], [4, 5], [6, 7]]),  # equal names in two corpora differ
        ("corpus-adapted", [[0, 1, 2, 3], [4, 5, 6, 7]]),
    ],
)
def test_every_group_has_mean_zero_and_spread_one(adaptation: str, groups: list) -> None:
    adapted = adapt(table_of(values()), TABLE, adaptation).X
    for rows in groups:
        np.testing.assert_allclose(adapted[rows].mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(adapted[rows].std(axis=0), 1, atol=1e-5)


def test_level_and_scale_of_a_group_do_not_matter() -> None:
    x, groups = values(), TABLE["unique_speaker"].to_numpy()
    moved = x.copy()
    moved[groups == "x2"] = 3 * moved[groups == "x2"] + 7
    plain, same = (adapt(table_of(v), TABLE, "speaker-adapted").X for v in (x, moved))
    np.testing.assert_allclose(same, plain, atol=1e-4)


def test_a_constant_column_becomes_zero() -> None:
    x = values()
    x[:, 2] = 5.0
    assert (adapt(table_of(x), TABLE, "corpus-adapted").X[:, 2] == 0).all()


def test_frames_are_standardised_over_all_frames_of_a_group() -> None:
    rng = np.random.default_rng(1)
    frames = [rng.normal(3, 2, (n, 4)).astype(np.float32) for n in range(4, 12)]
    features = Features(list(TABLE["clip"]), [{"name": "logmel"}], frames=frames)
    adapted = adapt(features, TABLE, "corpus-adapted").frames
    assert [len(f) for f in adapted] == [len(f) for f in frames]
    together = np.concatenate(adapted[:4])
    np.testing.assert_allclose(together.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(together.std(axis=0), 1, atol=1e-5)


def test_unknown_speakers_and_names_are_refused() -> None:
    table = TABLE.assign(speaker="")
    with pytest.raises(ProtocolError, match="8 of 8 have none"):
        adapt(table_of(values()), table, "speaker-adapted")
    with pytest.raises(UnknownNameError, match="corpus-adapted"):
        adapt(table_of(values()), TABLE, "room-adapted")
