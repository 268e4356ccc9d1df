"""Files are written whole or not at all, and what is not ours stays."""

import os
import subprocess
import sys
import threading

import pytest

from emoscope.errors import EmoscopeError
from emoscope.files import printable, refuse_overwrite, write_atomically, write_together

needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="no such files")


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    target = tmp_path / "kept.txt"
    write_atomically(target, "old")
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_together({tmp_path / "new.txt": "new", target: "new"})
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["kept.txt"]


@needs_posix
def test_a_link_stays_one_and_permissions_stay(tmp_path):
    target, link = tmp_path / "there" / "kept.txt", tmp_path / "link.txt"
    write_atomically(target, "old")
    target.chmod(0o600)
    link.symlink_to(target)
    write_atomically(link, "new")
    assert link.is_symlink() and target.read_text() == "new"
    assert target.stat().st_mode & 0o777 == 0o600


@needs_posix
def test_a_pipe_is_written_to_and_stays_one(tmp_path):
    pipe, got = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()))
    reader.start()
    write_atomically(pipe, "for the reader")
    reader.join(10)
    assert got == ["for the reader"] and pipe.is_fifo()


@needs_posix
def test_standard_output_by_its_name():
    code = "from emoscope.files import write_atomically; write_atomically('/dev/stdout', 'said')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("said", "")


def test_what_is_read_is_spared(tmp_path):
    file, other = tmp_path / "a.csv", tmp_path / "b.csv"
    file.touch()
    refuse_overwrite(other, file, None, tmp_path)
    refuse_overwrite(tmp_path, tmp_path)  # a folder is written into
    with pytest.raises(EmoscopeError, match=r"a\.csv: is an input of this command"):
        refuse_overwrite(tmp_path / "." / "a.csv", other, str(file))


def test_any_name_can_be_shown():
    assert printable("a\nb\udcff'é") == "a\\nb\\udcff'é"
