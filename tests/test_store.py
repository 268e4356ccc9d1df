"""Stored features: never lost, never stale, never trusted when damaged."""

import dataclasses
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import filelock
import numpy as np
import pytest

from emoscope.dataset.store import Store, content, segments
from emoscope.dataset.store import store as store_module
from emoscope.dataset.store.content import Content, KnownFiles, Stamp
from emoscope.errors import EmoscopeError, FeatureError
from emoscope.files import _ABANDONED_SECONDS
from small_corpus import Blocks, Levels

rng = np.random.default_rng(4)


def key(number):
    return number.to_bytes(16, "big")


def row(number, width=4):
    return np.full(width, number, dtype=np.float32)


def fill(store, numbers, feature=None):
    for number in numbers:
        store.put(feature or Levels(), key(number), row(number))
    store.flush()


def found(store, numbers, feature=None):
    """What a store, freshly opened, has of some recordings."""
    feature = feature or Levels()
    values = {}
    for positions, part in Store(store.folder).read(feature, [key(n) for n in numbers]):
        values.update(zip((numbers[p] for p in positions), part, strict=True))
    return values


def assert_holds(store, numbers, feature=None):
    values = found(store, numbers, feature)
    assert sorted(values) == sorted(set(numbers))
    assert all(np.array_equal(values[n], row(n)) for n in numbers)


def files(store):
    return sorted(store.folder.rglob("*.parquet"))


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def test_values_come_back_bit_by_bit_at_every_position_asked_for(store):
    vectors = [rng.normal(size=4).astype(np.float32) for _ in range(50)]
    vectors[3][:] = [np.nan, np.inf, -0.0, 1e-45]
    frames = [rng.normal(size=(n % 7, 8)).astype(np.float32) for n in range(50)]
    for number, (vector, matrix) in enumerate(zip(vectors, frames, strict=True)):
        store.put(Levels(), key(number), vector)
        store.put(Blocks(), key(number), matrix)
        if number % 20 == 0:
            store.flush()
    store.flush()
    wanted = [7, 3, 7, 999, 49, 0]
    for feature, values in ((Levels(), vectors), (Blocks(), frames)):
        got = {}
        for positions, part in Store(store.folder).read(feature, [key(n) for n in wanted]):
            got.update(zip(positions.tolist(), part, strict=True))
        assert sorted(got) == [0, 1, 2, 4, 5]
        for position, value in got.items():
            expected = values[wanted[position]]
            assert value.shape == expected.shape and value.tobytes() == expected.tobytes()


def test_nothing_is_made_before_something_is_stored(store):
    assert not store.holds(Levels())
    assert store.find(["a.wav"]) == [None]
    assert list(store.read(Levels(), [key(1)])) == []
    store.flush()
    store.tidy()
    assert store.clear() == 0 and store.verify() == [] and store.info().bytes == 0
    assert not store.folder.exists()


@dataclasses.dataclass(frozen=True)
class NewLevels(Levels):
    version = 2


@dataclasses.dataclass(frozen=True)
class RenamedLevels(Levels):
    @property
    def columns(self):
        return tuple(f"part_{part}" for part in range(self.parts))


def test_another_version_or_parameter_is_never_served(store):
    fill(store, range(5))
    for other in (NewLevels(), Levels(parts=5), Levels(seconds=0.1)):
        assert found(store, [1, 2], other) == {}
    assert_holds(store, [0, 1, 2, 3, 4])
    with pytest.warns(RuntimeWarning, match="another feature"):
        assert found(store, [1, 2], RenamedLevels()) == {}


def test_a_segment_of_another_feature_in_the_folder_is_refused(store):
    fill(store, range(5))
    fill(store, range(5, 9), Levels(seconds=1.0))
    one, other = sorted({path.parent for path in files(store)})
    os.replace(next(one.iterdir()), next(other.iterdir()))
    with pytest.warns(RuntimeWarning, match="another feature") as caught:
        values = [found(store, list(range(9)), f) for f in (Levels(), Levels(seconds=1.0))]
    assert len(caught) == 1 and {} in values
    for numbers, held in zip((range(5), range(5, 9)), values, strict=True):
        assert sorted(held) in ([], list(numbers))


def test_a_specification_must_be_storable(store):
    with pytest.raises(FeatureError, match="'levels' cannot be stored"):
        store.holds(Levels(deadly={1, 2}))


@pytest.mark.parametrize("damage", ["truncated", "flipped", "emptied", "foreign"])
def test_a_damaged_segment_is_reported_removed_and_only_its_values_are_missing(store, damage):
    fill(store, range(5))
    fill(store, range(5, 9))
    victim = files(store)[0]
    whole = victim.read_bytes()
    lost = range(5) if segments.read(victim).key(0) == key(0) else range(5, 9)
    at = whole.index(row(lost[2]).tobytes())
    victim.write_bytes(
        {
            "truncated": whole[: len(whole) // 2],
            "flipped": whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :],
            "emptied": b"",
            "foreign": b"not a table",
        }[damage]
    )
    assert [path for path, _ in store.verify()] == [victim]
    with pytest.warns(RuntimeWarning, match=f"computed again: .*{victim.name}"):
        assert sorted(found(store, list(range(9)))) == sorted(set(range(9)) - set(lost))
    assert not victim.exists() and store.verify() == []


def test_no_flipped_bit_goes_unnoticed(tmp_path):
    path, damaged = tmp_path / "whole", tmp_path / "damaged"
    columns = ["a", "b"]
    values = [rng.normal(size=2).astype(np.float32) for _ in range(3)]
    segments.write(path, [key(n) for n in (1, 2, 3)], values, spec={"name": "x"}, columns=columns)
    whole, expected = path.read_bytes(), segments.read(path)
    noticed = 0
    for place in range(len(whole)):
        damaged.write_bytes(
            whole[:place] + bytes([whole[place] ^ (1 << place % 8)]) + whole[place + 1 :]
        )
        try:
            got = segments.read(damaged)
        except segments.DamagedError:
            noticed += 1
            continue
        assert got.header == expected.header and got.keys.tobytes() == expected.keys.tobytes()
        assert got.frames.tobytes() == expected.frames.tobytes()
        assert got.ends.tolist() == expected.ends.tolist()
    assert noticed > len(whole) / 2  # the others are bytes that mean nothing


def test_small_segments_are_merged_and_nothing_is_lost(store):
    for start in range(0, 40, 4):
        fill(store, range(start, start + 5))  # each overlaps the next by one recording
    assert len(files(store)) == 10 and store.info().shelves[0].clips == 41
    store.tidy()
    assert len(files(store)) == 1 and segments.read_keys(files(store)[0])[0].clips == 41
    assert_holds(store, list(range(41)))


def test_a_reader_survives_merging_under_its_hands(store):
    for start in range(0, 40, 4):
        fill(store, range(start, start + 4))
    reading = Store(store.folder).read(Levels(), [key(n) for n in range(40)])
    positions, _ = next(reading)
    seen = set(positions.tolist())
    store.tidy()
    for positions, _ in reading:
        seen |= set(positions.tolist())
    assert seen == set(range(40))


def test_one_run_tidies_at_a_time(store):
    for start in range(0, 40, 4):
        fill(store, range(start, start + 4))
    with filelock.FileLock(store.folder / "lock"):
        store.tidy()
        assert len(files(store)) == 10
    store.tidy()
    assert len(files(store)) == 1


def test_what_was_not_used_for_longest_is_evicted(store, monkeypatch):
    features = [Levels(seconds=float(n)) for n in range(4)]
    for age, feature in zip((30, 40, 20, 10), features, strict=True):
        fill(store, range(100), feature)
        for path in files(store):
            if path.stat().st_mtime > time.time() - 5:
                os.utime(path, (time.time() - age,) * 2)
    found(store, [1], features[1])  # reading makes it young
    size = store.info().bytes
    small = Store(store.folder, limit=int(size * 0.6))
    small.tidy()
    assert [bool(found(store, [1], feature)) for feature in features] == [False, True, False, True]
    assert small.info().bytes <= small.limit


def test_info_and_clear(store):
    fill(store, range(7))
    fill(store, range(3), Levels(parts=4, seconds=2.0))
    store.put(Blocks(), key(1), np.zeros((5, 8), np.float32))
    store.flush()
    info = store.info()
    assert sorted((s.spec["name"], s.clips) for s in info.shelves) == [
        ("blocks", 1), ("levels", 3), ("levels", 7),
    ]  # fmt: skip
    assert info.bytes == sum(path.stat().st_size for path in files(store))
    assert abs(info.shelves[0].used - time.time()) < 10
    assert store.clear(["blocks"]) > 0
    assert [s.spec["name"] for s in store.info().shelves] == ["levels", "levels"]
    assert store.clear() > 0 and files(store) == []
    fill(store, range(3))  # it goes on after being cleared
    assert_holds(store, [0, 1, 2])


def test_limit_and_folder_come_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("EMOSCOPE_STORE", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("EMOSCOPE_STORE_LIMIT", "1.5")
    store = Store.default()
    assert store.folder == tmp_path / "elsewhere" and store.limit == 1_500_000_000
    monkeypatch.setenv("EMOSCOPE_STORE_LIMIT", "much")
    with pytest.raises(EmoscopeError, match="EMOSCOPE_STORE_LIMIT=much"):
        Store()
    with pytest.raises(EmoscopeError, match="positive"):
        Store(limit=0)


def test_where_it_cannot_be_written_there_is_one_warning_and_no_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    store = Store(tmp_path / "file" / "store")
    with pytest.warns(RuntimeWarning, match="goes on without storing") as caught:
        for number in range(10):
            fill(store, [number])
            store.remember("a.wav", Content(key(1), Stamp((1,), 0), time.time_ns()))
            store.flush()
            store.tidy()
    assert len(caught) == 1


FULL_DISK = """
import resource, sys, warnings
sys.path.insert(0, {here!r})
from test_store import *
store = Store({folder!r})
fill(store, range(3))
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))  # as a full disk: writing fails half-way
with pytest.warns(RuntimeWarning, match="goes on without storing") as caught:
    for number in range(3, 30):
        fill(store, [number])
assert len(caught) == 1
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no file size limit to stand for a full disk")
def test_a_full_disk_leaves_what_was_stored(store):
    code = FULL_DISK.format(here=str(Path(__file__).parent), folder=str(store.folder))
    subprocess.run([sys.executable, "-c", code], check=True)
    assert_holds(store, [0, 1, 2])
    assert [path.suffix for path in store.folder.rglob("*levels*/*")] == [".parquet"]


def test_abandoned_temporary_files_are_removed_and_never_read(store):
    fill(store, range(3))
    young, old = (files(store)[0].with_name(f".{n}.parquet.0a") for n in ("young", "old"))
    young.write_bytes(b"PAR1")
    old.write_bytes(b"PAR1")
    os.utime(old, (time.time() - 2 * _ABANDONED_SECONDS,) * 2)
    assert_holds(store, [0, 1, 2])
    store.tidy()
    assert young.exists() and not old.exists()


def test_writers_readers_and_tidiers_at_once(store, monkeypatch):
    monkeypatch.setattr(store_module, "LOCK_SECONDS", 60)

    def write(first):
        mine = Store(store.folder)
        for number in range(first, first + 60, 3):
            fill(mine, range(number, number + 3))
            mine.tidy()

    threads = [threading.Thread(target=write, args=(first,)) for first in (0, 40, 80)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        for number, value in found(store, list(range(150))).items():
            assert np.array_equal(value, row(number))
    assert_holds(store, list(range(140)))
    assert store.verify() == []


# Which recording a file is


def settled(path, seconds=60):
    """What the file holds, as if it had been read long after it was written."""
    read = content.read(str(path))
    return dataclasses.replace(read, read_at=read.read_at + int(seconds * 1e9))


@pytest.fixture
def known(tmp_path):
    return KnownFiles(tmp_path / "files.sqlite")


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.wav"
    path.write_bytes(b"a recording")
    os.utime(path, (1e9, 1e9))
    return path


def test_an_unchanged_file_is_known_without_being_read(known, clip):
    known.add([(str(clip), settled(clip))])
    assert known.find([str(clip), "absent.wav"]) == [content.read(str(clip)).key, None]


def test_equal_content_has_an_equal_key(tmp_path, clip):
    copy = tmp_path / "copy.flac"
    copy.write_bytes(clip.read_bytes())
    assert content.read(str(copy)).key == content.read(str(clip)).key
    copy.write_bytes(b"a recordinG")
    assert content.read(str(copy)).key != content.read(str(clip)).key


@pytest.mark.parametrize("way", ["longer", "same size", "same size and time", "replaced", "gone"])
def test_a_changed_file_is_not_known(known, clip, tmp_path, way):
    known.add([(str(clip), settled(clip))])
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
    assert known.find([str(clip)]) == [None]


def test_a_file_read_right_after_it_was_written_is_never_trusted(known, clip):
    known.add([(str(clip), content.read(str(clip)))])
    known.add([(str(clip), settled(clip, seconds=1.5))])
    assert known.find([str(clip)]) == [None]


def test_a_file_from_the_future_is_never_trusted(known, clip):
    os.utime(clip, (time.time() + 3600,) * 2)
    known.add([(str(clip), settled(clip))])
    assert known.find([str(clip)]) == [None]


@pytest.mark.parametrize("damage", [b"not a database" * 100, b""])
def test_a_damaged_memory_of_files_is_begun_anew(known, clip, damage):
    known.add([(str(clip), settled(clip))])
    known.database.write_bytes(damage)
    assert known.find([str(clip)]) == [None]
    known.add([(str(clip), settled(clip))])
    assert known.find([str(clip)]) == [settled(clip).key]


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


def test_a_limit_without_end_is_refused(monkeypatch):
    monkeypatch.setenv("EMOSCOPE_STORE_LIMIT", "inf")
    with pytest.raises(EmoscopeError, match="inf is not a number of GB"):
        Store.default()


def test_clearing_a_feature_that_is_not_one_is_refused(emoscope):
    status, _, err = emoscope("store", "clear", "--features", "mfccc")
    assert status == 2 and "Did you mean 'mfcc'" in err
