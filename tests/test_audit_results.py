"""The audit of saved results."""

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emoscope.audit import audit
from emoscope.errors import CorpusError
from emoscope.evaluation.result import Result, Run
from test_audit import kinds


def saved_result(folder, *, protocol="speaker-6fold", shared=False, **config):
    rows = pd.DataFrame(
        {
            "model": "svm", "features": "mfcc", "protocol": protocol,
            "fold": np.repeat(["1", "2"], 8), "clip": [f"c{n}" for n in range(16)],
            "speaker": np.repeat(["a", "b", "c", "d"], 4),
            "emotion": ["sad", "happy"] * 8, "predicted": "sad", "p_sad": 0.6, "p_happy": 0.4,
        }
    )  # fmt: skip
    train = [["a", "c", "d"] if shared else ["c", "d"], ["a", "b"]]
    test = [["a", "b"], ["c", "d"]]
    folds = [
        {"fold": str(n + 1), "train_speakers": train[n], "test_speakers": test[n]} for n in (0, 1)
    ]
    runs = [{"model": "svm", "features": "mfcc", "protocol": protocol, "uar": 0.5}]
    config = {"folds": {protocol: folds}, "seed": 0, **config}
    return Result(rows, [Run(**run) for run in runs], {"name": "toy"}, config).save(folder)


def test_saved_result_without_leak(tmp_path):
    outcome = audit(saved_result(tmp_path), jobs=1)
    assert not outcome.leaks
    assert outcome.n_splits == 2


def test_saved_result_whose_folds_share_a_speaker(tmp_path):
    outcome = audit(saved_result(tmp_path, shared=True), jobs=1)
    assert kinds(outcome, "leak") == {"shared-speakers"}
    assert outcome.findings[0].evidence == [
        {"fold": "1", "speaker": "a", "train_clips": 1, "test_clips": 4}
    ]


def test_saved_result_whose_scaling_saw_test_clips(tmp_path):
    outcome = audit(saved_result(tmp_path, scaling="all", selection="train"), jobs=1)
    assert kinds(outcome, "leak") == {"test-clips-seen"}
    assert outcome.findings[0].evidence == [
        {"step": "scaling", "saw": "all", "model": "all models"}
    ]


def test_adapted_result_is_a_caution(tmp_path):
    outcome = audit(saved_result(tmp_path, protocol="speaker-6fold+speaker-adapted"), jobs=1)
    assert kinds(outcome) == {"adapted"}
    assert "unlabelled clips of the test speaker" in outcome.verdict
    assert outcome.headline == "No leak found. The sound was not compared: no recordings found."


def test_counts_of_a_saved_result_are_of_one_model_on_one_set_of_features(tmp_path):
    folder = saved_result(tmp_path)
    result = Result.load(folder)
    more = result.predictions.assign(features="chroma")
    result.predictions = pd.concat([result.predictions, more], ignore_index=True)
    result.runs.append(dataclasses.replace(result.runs[0], features="chroma"))
    result.save(folder)
    outcome = audit(folder, jobs=1)
    assert (outcome.n_train, outcome.n_test) == (8, 8)


RUN = {"model": "svm", "features": "mfcc", "protocol": "speaker-6fold", "uar": 0.5}


FOLDS = {"seed": 0, "folds": {"speaker-6fold": [{"fold": "1", "train_speakers": 5}]}}


@pytest.mark.parametrize(
    ("file", "damage", "says"),
    [
        ("results.json", {"runs": []}, "it has no runs"),
        ("results.json", {"runs": None}, "it has no runs"),
        ("results.json", {"runs": {"a": 1}}, "it has no runs"),
        ("results.json", {"runs": ["x"]}, "run 1 does not name its model, features, protocol"),
        ("results.json", {"runs": [{**RUN, "protocol": 5}]}, "run 1 does not name its"),
        ("results.json", {"runs": [RUN, {**RUN, "uar": None}]}, "run 2 has no UAR"),
        ("results.json", {"runs": [{**RUN, "uar": "x"}]}, "run 1 has no UAR"),
        ("results.json", {"runs": [{**RUN, "model": "b"}]}, "no row of b, mfcc, speaker-6fold"),
        ("results.json", {"config": FOLDS}, "its folds record no speakers"),
        ("results.json", "[" * 100_000, "holds no saved result"),
        ("predictions.csv", lambda text: text.split("\n")[0] + "\n", "no row of svm"),
        ("predictions.csv", lambda text: text.replace("00\n", "00,\n"), "holds no saved result"),
        ("predictions.csv", lambda text: text.replace("0.", "zero."), "holds more than numbers"),
    ],
)  # fmt: skip
def test_damaged_results_are_refused(tmp_path, file, damage, says):
    path = saved_result(tmp_path) / file
    text = path.read_text()
    if isinstance(damage, dict):
        path.write_text(json.dumps({**json.loads(text), **damage}))
    else:
        path.write_text(damage if isinstance(damage, str) else damage(text))
    with pytest.raises(CorpusError, match=says):
        audit(tmp_path, jobs=1)


def test_a_result_without_its_training_clips_is_refused():
    """A cross-corpus run records no folds: nothing can be said of what it was trained on."""
    folder = Path(__file__).parents[1] / "results" / "accuracy" / "cross-corpus-to-emodb"
    with pytest.raises(CorpusError, match="does not record the training clips"):
        audit(folder)


def test_what_is_no_file_is_not_waited_for(tmp_path):
    for name in ("x_train_1.jsonl", "x_test_1.jsonl", "list.txt", "m.csv"):
        os.mkfifo(tmp_path / name)
    with pytest.raises(CorpusError, match="has no results.json"):
        audit(tmp_path)
    for name in ("list.txt", "m.csv"):
        with pytest.raises(CorpusError, match="not a regular file"):
            audit(tmp_path / name)
    (saved_result(tmp_path / "saved") / "predictions.csv").unlink()
    os.mkfifo(tmp_path / "saved" / "predictions.csv")
    with pytest.raises(CorpusError, match="holds no saved result"):
        audit(tmp_path / "saved")
