"""The checkpoint gives back what was finished, and only that."""

import json
import os
import time

from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from emoscope.evaluation import engine
from emoscope.evaluation.engine import Checkpoint, spelled_out
from emoscope.files import _ABANDONED_SECONDS


def test_an_outcome_comes_back_for_the_same_unit_only(tmp_path):
    checkpoint = Checkpoint(tmp_path / "finished")
    checkpoint.put({"model": "svm", "fold": 1}, {"uar": 0.5})
    assert checkpoint.get({"fold": 1, "model": "svm"}) == {"uar": 0.5}
    assert checkpoint.get({"model": "svm", "fold": 2}) is None


def damaged(whole):
    """What may stand in a file in place of what was written."""
    yield from (b"", b"{", b"[]", b"1", b"null", b'"x"', b"\xff", b"[" * 100_000, whole[:-1])
    stored = json.loads(whole)
    yield json.dumps({**stored, "unit": {"fold": 9}}).encode()
    yield json.dumps({**stored, "outcome": {}}).encode()
    yield json.dumps({"unit": stored["unit"], "outcome": stored["outcome"]}).encode()


def test_a_damaged_file_counts_as_not_done(tmp_path):
    checkpoint, unit = Checkpoint(tmp_path), {"fold": 1}
    checkpoint.put(unit, {"uar": 0.5})
    whole = checkpoint.path(unit).read_bytes()
    for content in damaged(whole):
        checkpoint.path(unit).write_bytes(content)
        assert checkpoint.get(unit) is None, content[:60]
    checkpoint.path(unit).write_bytes(whole)
    assert checkpoint.get(unit) == {"uar": 0.5}


def test_what_other_code_found_counts_as_not_done(tmp_path, monkeypatch):
    checkpoint, unit = Checkpoint(tmp_path), {"fold": 1}
    checkpoint.put(unit, {"uar": 0.5})
    with monkeypatch.context() as other:
        other.setattr(engine, "_code", lambda: "of another version")
        assert checkpoint.get(unit) is None
    assert checkpoint.get(unit) == {"uar": 0.5}


def test_a_default_that_changed_is_another_estimator():
    told = spelled_out(make_pipeline(SVC(C=1.0)))
    assert "C=1.0" in told and "kernel='rbf'" in told
    assert told != spelled_out(make_pipeline(SVC(C=2.0)))


def test_what_a_killed_run_left_is_cleared_away(tmp_path):
    young, old = tmp_path / ".a.json.00", tmp_path / ".b.json.00"
    for left in (young, old):
        left.touch()
    os.utime(old, (time.time() - 2 * _ABANDONED_SECONDS,) * 2)
    Checkpoint(tmp_path)
    assert young.exists() and not old.exists()
