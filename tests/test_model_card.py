"""Cards of model files: what is refused, and how far a recording lies from the training data."""

from __future__ import annotations

import json

import numpy as np
import pytest

from emoscope.errors import ModelError
from emoscope.modelfile.card import (
    Card,
)
from emoscope.training.calibration import out_of_domain_detector
from test_model_file import WIDTH, card, packed, refused

# --- cards ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"format": 2}, "newer one"),
        ({"emotions": ["happy"]}, "2 to 100 different names"),
        ({"emotions": ["happy", "happy", "sad"]}, "different names"),
        ({"emotions": "happy"}, "Expected `array`, got `str` - at `card.emotions`"),
        ({"temperature": 0}, "Expected `float` >= 0.001 - at `card.temperature`"),
        ({"temperature": "1"}, "Expected `float`, got `str` - at `card.temperature`"),
        ({"temperature": True}, "Expected `float`, got `bool` - at `card.temperature`"),
        ({"embedding_width": 1.5}, "Expected `int`, got `float` - at `card.embedding_width`"),
        ({"embedding_width": 0}, "Expected `int` >= 1 - at `card.embedding_width`"),
        ({"input": None}, "Expected `object`, got `null` - at `card.input`"),
        ({"input": {"kind": "video"}}, "samples, features or frames"),
        ({"input": {"kind": "samples", "rate": 10**9}}, "rate"),
        (
            {"input": {"kind": "samples", "rate": 16000, "preprocess": {"name": "os.system"}}},
            "unknown preprocessing",
        ),
        (
            {"input": {"kind": "features", "features": [{"name": 1}], "width": 5}},
            r"features\[0\].name",
        ),
        ({"uncertain": {"threshold": 2, "coverage": 1, "risk": 0}}, "threshold"),
        ({"domain": {"components": {"shape": [2, 5], "float32": "!!"}}}, "base64"),
        ({"domain": {"components": {"shape": [2, 6], "float32": ""}}}, r"shape \(2, 6\)"),
        ({"training": {"corpora": [{"name": "x"}]}}, "speakers"),
        ({"training": []}, "Expected `object`, got `array` - at `card.training`"),
        ({"notices": [1]}, r"Expected `str`, got `int` - at `card.notices\[0\]`"),
        ({"results": [1]}, r"Expected `object`, got `int` - at `card.results\[0\]`"),
        ({"results": [{"uar": "high"}]}, r"results\[0\].uar"),
        ({"results": [{"uar": 0.5, "uar_low": []}]}, "uar_low"),
        ({"results": [{"corpus": {}}]}, "corpus"),
        ({"results": [{"n_clips": 0.5}]}, "n_clips"),
        ({"name": ""}, "name"),
        ({"name": "../../escaped/x"}, "name"),
        ({"name": "/etc/x"}, "name"),
        ({"name": "c:x"}, "name"),
        ({"name": "a\\b"}, "name"),
        ({"name": ".hidden"}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"name": "\x1b[31mred"}, "name"),
        ({"name": "a" * 101}, "name"),
        ({"emotions": ["happy", "sad", "\x1b[31mangry"]}, "visible"),
        ({"emotions": ["happy", "sad", "  "]}, "visible"),
        ({"emotions": ["happy", "sad", "a\nb"]}, "visible"),
        ({"emotions": ["happy", "sad", "a" * 101]}, "visible"),
        ({"emotions": ["happy", "sad", "\ud800"]}, "surrogate pair"),
        ({"licence": "\udfff"}, "surrogate pair"),
        ({"training": {"corpora": [], "note": "\ud800"}}, "surrogate pair"),
        ({"training": {"corpora": [{"name": "x", "speakers": [], "n_clips": {}}]}}, "n_clips"),
        ({"training": {"corpora": [{"name": "x", "speakers": []}] * 2}}, "of different names"),
        ({"licence": "x" * 30_000}, "of length <= 20000 - at `card.licence`"),
    ],
)
def test_bad_cards_are_refused(change: dict, why: str) -> None:
    values = {**json.loads(card().to_json()), **change}
    refused(packed(card=json.dumps(values).encode()), why)


@pytest.mark.parametrize("name", ["emoscope-default", "Größe 2 (C=0.1)", "ü.é", "pair \U0001f600"])
def test_names_that_can_be_shown_are_kept(name: str) -> None:
    values = {**json.loads(card().to_json()), "name": name}
    for text in (json.dumps(values), json.dumps(values, ensure_ascii=False)):
        assert Card.from_json(text).name == name


def test_a_deeply_nested_card_is_refused() -> None:
    with pytest.raises(ModelError, match="not valid JSON"):
        Card.from_json("[" * 100_000)


def test_arrays_of_a_card_are_checked() -> None:
    x = np.random.default_rng(1).normal(size=(40, WIDTH)).astype(np.float32)
    domain = out_of_domain_detector(x, [(np.arange(20), np.arange(20, 40))], rank=2)
    good = json.loads(card(domain=domain).to_json())
    for part, value in (
        ("mean", {"shape": [6], "float32": good["domain"]["mean"]["float32"]}),
        ("mean", {"shape": [5], "float32": "AAAA"}),
        ("mean", {"shape": [5], "float32": "AADAfwAAwH8AAMB/AADAfwAAwH8="}),  # five times NaN
        ("variances", {"shape": [2], "float32": "AAAAAAAAAAA="}),  # zero
        ("threshold", -1),
    ):
        changed = {**good, "domain": {**good["domain"], part: value}}
        refused(packed(card=json.dumps(changed).encode()), f"{part}.*domain|domain.{part}")


# --- domain ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_clips", [400, 12])
def test_distance_against_the_full_covariance(n_clips: int) -> None:
    """With all directions kept, the distance is the Mahalanobis distance of the PPCA covariance."""
    rng = np.random.default_rng(3)
    x = (rng.normal(size=(n_clips, 20)) * np.linspace(3, 0.1, 20)).astype(np.float32)
    found = out_of_domain_detector(
        x, [(np.arange(n_clips // 2), np.arange(n_clips // 2, n_clips))], rank=4
    )
    c, v = found.components.astype(float), found.variances.astype(float)
    covariance = found.residual * np.eye(20) + c.T @ np.diag(v - found.residual) @ c
    centred = x - x.mean(axis=0)
    expected = np.sqrt(np.einsum("ij,jk,ik->i", centred, np.linalg.inv(covariance), centred) / 20)
    np.testing.assert_allclose(found.distance(x), expected, rtol=1e-3)
    np.testing.assert_allclose(c @ c.T, np.eye(len(c)), atol=1e-4)
    values = np.linalg.eigvalsh(np.cov(x.T, bias=True))[::-1][: len(v)]
    np.testing.assert_allclose(v, np.maximum(values, found.residual), rtol=1e-3)


def test_what_is_far_lies_beyond_the_threshold() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(600, 30)).astype(np.float32)
    folds = [(np.arange(300), np.arange(300, 600)), (np.arange(300, 600), np.arange(300))]
    domain = out_of_domain_detector(x, folds, rank=5, quantile=0.99)
    assert np.mean(domain.distance(x) > domain.threshold) == pytest.approx(0.01, abs=0.01)
    far = x + 4 * rng.normal(size=(1, 30)).astype(np.float32)
    assert (domain.distance(far) > domain.threshold).mean() > 0.99
