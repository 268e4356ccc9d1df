from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics

from emoscope.evaluation import metrics

EMOTIONS = ["neutral", "happy", "sad", "angry"]


@pytest.fixture
def scored():
    rng = np.random.default_rng(3)
    y_true = rng.choice(EMOTIONS, 400, p=[0.1, 0.3, 0.2, 0.4])
    p = rng.dirichlet(np.ones(4) * 0.7, 400)
    p[np.arange(400), [EMOTIONS.index(e) for e in y_true]] += 0.4
    p /= p.sum(axis=1, keepdims=True)
    return y_true, np.array(EMOTIONS)[p.argmax(axis=1)], p


def test_uar_is_the_mean_of_the_recalls_worked_by_hand():
    # neutral 1 of 2, sad 3 of 3, happy 0 of 1: (1/2 + 1 + 0) / 3.
    y_true = ["neutral", "neutral", "sad", "sad", "sad", "happy"]
    y_pred = ["neutral", "sad", "sad", "sad", "sad", "angry"]
    assert metrics.uar(y_true, y_pred) == pytest.approx(0.5)
    assert metrics.accuracy(y_true, y_pred) == pytest.approx(4 / 6)


def test_constant_guess_has_the_uar_of_chance():
    y_true = ["sad"] * 90 + ["happy"] * 9 + ["angry"]
    assert metrics.uar(y_true, ["sad"] * 100) == pytest.approx(1 / 3)
    assert metrics.accuracy(y_true, ["sad"] * 100) == pytest.approx(0.9)


def test_scores_equal_scikit_learn(scored):
    y_true, y_pred, _ = scored
    assert metrics.uar(y_true, y_pred) == pytest.approx(
        sklearn.metrics.balanced_accuracy_score(y_true, y_pred)
    )
    assert metrics.macro_f1(y_true, y_pred) == pytest.approx(
        sklearn.metrics.f1_score(y_true, y_pred, average="macro")
    )


def test_confusion_has_true_emotions_as_rows_in_the_order_asked_for():
    table = metrics.confusion(
        ["sad", "sad", "happy"], ["happy", "sad", "happy"], emotions=["happy", "sad", "calm"]
    )
    assert table.loc["sad", "happy"] == 1
    assert table.loc["happy", "sad"] == 0
    assert list(table.columns) == ["happy", "sad", "calm"]
    assert table.to_numpy().sum() == 3


def test_per_emotion_agrees_with_the_confusion(scored):
    y_true, y_pred, _ = scored
    counts = metrics.confusion(y_true, y_pred, emotions=EMOTIONS).to_numpy()
    table = metrics.per_emotion(y_true, y_pred, emotions=EMOTIONS)
    precision, recall = np.diag(counts) / counts.sum(axis=0), np.diag(counts) / counts.sum(axis=1)
    np.testing.assert_allclose(table["precision"], precision)
    np.testing.assert_allclose(table["recall"], recall)
    np.testing.assert_allclose(table["f1"], 2 * precision * recall / (precision + recall))
    assert table["support"].tolist() == counts.sum(axis=1).tolist()
    assert metrics.uar(y_true, y_pred) == pytest.approx(table["recall"].mean())
    assert metrics.macro_f1(y_true, y_pred) == pytest.approx(table["f1"].mean())


def test_scores_of_groups_are_those_of_their_clips():
    rows = pd.DataFrame(
        {"emotion": list("aabb"), "predicted": list("abbb"), "speaker": ["1", "1", "2", "2"]}
    )
    table = metrics.by_group(rows, "speaker")
    assert table.index.tolist() == ["1", "2"] and table["clips"].tolist() == [2, 2]
    assert table["uar"].tolist() == table["accuracy"].tolist() == [0.5, 1.0]


def test_ece_of_closed_forms():
    # Ten clips at confidence 0.9 of which nine are right are calibrated; five right are 0.4 off.
    p = np.tile([0.9, 0.1], (10, 1))
    assert metrics.expected_calibration_error(
        ["a"] * 9 + ["b"], p, emotions=["a", "b"]
    ) == pytest.approx(0.0)
    assert metrics.expected_calibration_error(
        ["a"] * 5 + ["b"] * 5, p, emotions=["a", "b"]
    ) == pytest.approx(0.4)


def test_ece_equals_a_loop_over_bins(scored):
    y_true, y_pred, p = scored
    confidence, right, total = p.max(axis=1), y_true == y_pred, 0.0
    for i in range(15):
        held = (confidence > i / 15) & (confidence <= (i + 1) / 15)
        if held.any():
            total += held.mean() * abs(right[held].mean() - confidence[held].mean())
    assert metrics.expected_calibration_error(y_true, p, emotions=EMOTIONS) == pytest.approx(total)


def test_reliability_curve_holds_every_clip_once(scored):
    y_true, _, p = scored
    curve = metrics.reliability(y_true, p, emotions=EMOTIONS, bins=10)
    assert curve["clips"].sum() == len(y_true)
    assert (curve["confidence"] > curve["low"]).all()
    assert (curve["confidence"] <= curve["high"] + 1e-12).all()
    assert metrics.reliability(["a"], [[1.0, 0.0]], emotions=["a", "b"])["high"].item() == 1.0


@pytest.mark.parametrize(
    ("y_true", "y_pred", "message"),
    [
        ([], [], "at least one"),
        (["sad"], ["sad", "happy"], "1 clips and y_pred 2"),
        ([["sad"]], [["sad"]], "one emotion per clip"),
        (
            ["sad", None],
            ["sad", "sad"],
            "lacks the emotion of 1 of 2 clips",
        ),
    ],
)
def test_bad_labels_are_refused(y_true, y_pred, message):
    with pytest.raises(ValueError, match=message):
        metrics.uar(y_true, y_pred)


@pytest.mark.parametrize(
    ("p", "message"),
    [
        ([[0.5, 0.5], [0.5, 0.4]], "row 1 sums to 0.9"),
        ([[1.5, -0.5], [0.5, 0.5]], "at least 0"),
        ([[0.5, np.nan], [0.5, 0.5]], "sum to 1"),
        ([[1.0], [1.0]], r"need \(2, 2\)"),
    ],
)
def test_bad_probabilities_are_refused(p, message):
    with pytest.raises(ValueError, match=message):
        metrics.reliability(["a", "b"], p, emotions=["a", "b"])


def test_a_clip_is_never_dropped_from_the_confusion():
    with pytest.raises(ValueError, match="lacks calm"):
        metrics.confusion(["calm"], ["sad"], emotions=["sad"])
    with pytest.raises(ValueError, match="lacks calm"):
        metrics.reliability(["calm"], [[1.0]], emotions=["sad"])


def test_the_row_that_is_wrong_is_named():
    p = np.array([[0.5, 0.5], [0.9, 0.1], [1.2, -0.2]])
    with pytest.raises(ValueError, match=r"row 2 sums to 1 with smallest value -0\.2"):
        metrics.reliability(["sad", "happy", "sad"], p, emotions=["happy", "sad"])
