"""How the store tells a recording that has changed."""

import os
import time

import pytest

from emoscope.dataset import content
from emoscope.dataset.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def settled(path, seconds=60):
    """What the file holds, as if it had been read long after it was written."""
    read = content.read(str(path))
    return read._replace(read_at=read.read_at + int(seconds * 1e9))


def remember(store, path, seconds=60):
    store.remember(str(path), settled(path, seconds))
    store.flush()


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.wav"
    path.write_bytes(b"a recording")
    os.utime(path, (1e9, 1e9))
    return path


def test_an_unchanged_file_is_known_without_being_read(store, clip):
    remember(store, clip)
    known, absent = Store(store.folder).find([str(clip), "absent.wav"])
    assert known.key == content.read(str(clip)).key and absent is None


def test_equal_content_has_an_equal_key(tmp_path, clip):
    copy = tmp_path / "copy.flac"
    copy.write_bytes(clip.read_bytes())
    assert content.read(str(copy)).key == content.read(str(clip)).key
    copy.write_bytes(b"a recordinG")
    assert content.read(str(copy)).key != content.read(str(clip)).key


@pytest.mark.parametrize("way", ["longer", "same size", "same size and time", "replaced", "gone"])
def test_a_changed_file_is_not_known(store, clip, tmp_path, way):
    remember(store, clip)
    if way == "replaced":
        other = tmp_path / "other"
        other.write_bytes(b"another one")
        os.utime(other, (1e9, 1e9))
        os.replace(other, clip)
    elif way == "gone":
        clip.unlink()
    else:
        time.sleep(0.02)  # more than the resolution of the file system's clock
        clip.write_bytes(b"longer recording" if way == "longer" else b"another one")
        if way == "same size and time":
            os.utime(clip, (1e9, 1e9))
    assert store.find([str(clip)]) == [None]


def test_a_file_read_right_after_it_was_written_is_never_trusted(store, clip):
    remember(store, clip, seconds=0)
    remember(store, clip, seconds=1.5)
    assert store.find([str(clip)]) == [None]


def test_a_file_from_the_future_is_never_trusted(store, clip):
    os.utime(clip, (time.time() + 3600,) * 2)
    remember(store, clip)
    assert store.find([str(clip)]) == [None]


def test_what_is_no_file_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")  # reading it would wait for ever
    assert content.read(str(tmp_path / "pipe")) is None
    assert content.read(str(tmp_path)) is None
    assert content.read(str(tmp_path / "absent")) is None


def test_urls_are_identified_by_their_bytes():
    import fsspec

    with fsspec.open("memory://clips/one.wav", "wb") as file:
        file.write(b"remote")
    read = content.read("memory://clips/one.wav")
    assert read.stamp is None  # this file system vouches for nothing, so it is read each time
    with fsspec.open("memory://clips/two.wav", "wb") as file:
        file.write(b"remote")
    assert content.read("memory://clips/two.wav").key == read.key
    assert content.read("memory://clips/absent.wav") is None
