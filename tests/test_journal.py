"""The journal gives back what was finished, and only that."""

import pytest

from emoscope.files import printable, write_atomically
from emoscope.journal import Journal


def test_an_outcome_comes_back_for_the_same_unit_only(tmp_path):
    journal = Journal(tmp_path / "finished")
    journal.put({"model": "svm", "fold": 1}, {"uar": 0.5})
    assert journal.get({"fold": 1, "model": "svm"}) == {"uar": 0.5}
    assert journal.get({"model": "svm", "fold": 2}) is None


@pytest.mark.parametrize("content", [b"", b"{", b'{"unit": {"fold": 9}, "outcome": 1}'])
def test_a_damaged_file_counts_as_not_done(tmp_path, content):
    journal = Journal(tmp_path)
    unit = {"fold": 1}
    journal.path(unit).write_bytes(content)
    assert journal.get(unit) is None


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    target = tmp_path / "kept.txt"
    write_atomically(target, "old")
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_atomically(target, "new")
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["kept.txt"]


def test_any_name_can_be_shown():
    assert printable("a\nb\udcff'é") == "a\\nb\\udcff'é"
