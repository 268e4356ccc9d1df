"""Stored features: never lost, never stale, never trusted when damaged."""

import contextlib
import dataclasses
import sqlite3
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

import bad_audio_outcomes
from emoscope.dataset import store as store_module
from emoscope.dataset.content import Content, Stamp
from emoscope.dataset.store import Store
from emoscope.errors import EmoscopeError
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


def execute(store, query, *parameters):
    """Do something to the database behind the store's back."""
    with contextlib.closing(sqlite3.connect(store.path)) as database, database:
        return database.execute(query, parameters).fetchall()


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


def test_more_keys_than_fit_into_one_query(store):
    fill(store, range(1300))
    assert_holds(store, list(range(1300)))


def test_nothing_is_made_before_something_is_stored(store):
    assert not store.holds(Levels())
    assert store.find(["a.wav"]) == [None]
    assert list(store.read(Levels(), [key(1)])) == []
    store.flush()
    assert store.clear() == 0 and store.verify() == [] and store.bytes_on_disk() == 0
    assert not store.folder.exists()


@dataclasses.dataclass(frozen=True)
class NewLevels(Levels):
    version = 2


@dataclasses.dataclass(frozen=True)
class RenamedLevels(Levels):
    @property
    def columns(self):
        return tuple(f"part_{part}" for part in range(self.parts))


def test_another_version_parameter_or_column_is_never_served(store):
    fill(store, range(5))
    for other in (NewLevels(), Levels(parts=5), Levels(seconds=0.1), RenamedLevels()):
        assert found(store, [1, 2], other) == {} and not store.holds(other)
    assert_holds(store, [0, 1, 2, 3, 4])


@pytest.mark.parametrize(
    "damage",
    [
        "data = x'0000803f0000803f0000803f0000803f'", "data = x'00'", "data = NULL",
        "data = 'text'", "checksum = checksum + 1", "checksum = NULL",
    ],
)  # fmt: skip
def test_a_damaged_value_is_said_and_computed_again_and_no_other_is_missing(store, damage):
    fill(store, range(9))
    execute(store, f"UPDATE stored SET {damage} WHERE recording = ?", key(3))
    (reason,) = store.verify()
    assert "(levels)" in reason
    with pytest.warns(RuntimeWarning, match="1 values of 'levels' are damaged"):
        assert sorted(found(store, list(range(9)))) == [0, 1, 2, 4, 5, 6, 7, 8]
    fill(store, [3])
    assert_holds(store, list(range(9)))
    assert store.verify() == []


def test_a_value_of_another_recording_or_feature_is_refused(store):
    fill(store, range(5))
    fill(store, range(5), Levels(seconds=1.0))
    execute(store, "UPDATE stored SET recording = ? WHERE recording = ?", key(9), key(3))
    execute(store, "UPDATE features SET identity = identity || ' ' WHERE id = 1")
    execute(store, "UPDATE stored SET feature = 2 WHERE feature = 1 AND recording = ?", key(8))
    execute(store, "DELETE FROM stored WHERE feature = 2")
    execute(store, "UPDATE stored SET feature = 2")
    for feature in (Levels(), Levels(seconds=1.0)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert found(store, list(range(10)), feature) == {}


def test_a_run_that_was_killed_before_its_first_commit_is_no_obstacle(store):
    """SQLite has then grown the file and rolls it back to nothing."""
    store.folder.mkdir()
    with contextlib.closing(sqlite3.connect(store.path)) as database:
        database.execute("PRAGMA user_version = 1")
    assert store.path.stat().st_size and store.verify() == [] and store.features() == []
    assert found(store, [1, 2]) == {}
    fill(store, range(3))
    assert_holds(store, [0, 1, 2])
    assert execute(store, "PRAGMA journal_mode") == [("wal",)]


@pytest.mark.parametrize("damage", ["truncated", "emptied", "foreign", "zeros"])
def test_a_damaged_database_costs_one_warning_until_it_is_cleared(store, damage):
    fill(store, range(500))
    whole = store.path.read_bytes()
    store.path.write_bytes(
        {
            "truncated": whole[: len(whole) // 2],
            "emptied": b"",
            "foreign": b"not a database" * 1000,
            "zeros": whole[:4096] + bytes(len(whole) - 4096),
        }[damage]
    )
    again = Store(store.folder)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for positions, values in again.read(Levels(), [key(n) for n in range(500)]):
            assert all(np.array_equal(v, row(p)) for p, v in zip(positions, values, strict=True))
        fill(again, range(3))
    assert len(caught) == (damage != "emptied")
    if damage != "emptied":
        with pytest.raises(EmoscopeError, match="store clear removes"):
            store.verify()
        assert store.clear() and not store.path.exists()
    fill(store, range(3))
    assert_holds(store, [0, 1, 2]) is None and store.verify() == []


def test_no_flipped_bit_goes_unnoticed(store):
    fill(store, range(40))
    whole, wanted = store.path.read_bytes(), [key(n) for n in range(40)]
    unnoticed = 0
    for place in np.random.default_rng(5).integers(0, len(whole), 300):
        bit = 1 << place % 8
        store.path.write_bytes(
            whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :]
        )  # fmt: skip
        for suffix in ("-wal", "-shm"):
            Path(f"{store.path}{suffix}").unlink(missing_ok=True)
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")
            for positions, values in Store(store.folder).read(Levels(), wanted):
                unnoticed += sum(
                    not np.array_equal(v, row(p)) for p, v in zip(positions, values, strict=True)
                )
    assert unnoticed == 0


def test_what_was_stored_first_is_evicted(store):
    features = [Levels(seconds=float(n)) for n in range(4)]
    for feature in features:
        fill(Store(store.folder), range(2000), feature)
    small = Store(store.folder, limit=int(store.bytes_on_disk() * 0.6))
    fill(small, [2001], features[3])
    held = [len(found(store, list(range(2000)), feature)) for feature in features]
    assert held[0] == 0 and 0 < held[1] < 2000 and held[2] == held[3] == 2000
    assert small.bytes_on_disk() <= small.limit


def test_info_and_clear(store):
    fill(store, range(700))
    fill(store, range(3), Levels(parts=4, seconds=2.0))
    store.put(Blocks(), key(1), np.zeros((5, 8), np.float32))
    store.flush()
    assert sorted(store.features()) == [
        ("blocks", 1, 160), ("levels", 3, 48), ("levels", 700, 11200),
    ]  # fmt: skip
    assert store.bytes_on_disk() == sum(path.stat().st_size for path in store.folder.iterdir())
    store.clear(["blocks"])
    assert [feature.name for feature in store.features()] == ["levels", "levels"]
    assert store.clear() > 0 and store.features() == []
    fill(store, range(3))  # it goes on after being cleared
    assert_holds(store, [0, 1, 2])


def test_limit_and_folder_come_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("EMOSCOPE_STORE", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("EMOSCOPE_STORE_LIMIT", "1.5")
    store = Store()
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
            store.remember("a.wav", Content(key(1), Stamp(b"1", 0), time.time_ns()))
            store.flush()
    assert len(caught) == 1


def test_a_store_that_another_run_keeps_busy_costs_one_warning(store, monkeypatch):
    fill(store, range(3))
    monkeypatch.setattr(store_module, "BUSY_SECONDS", 0.1)
    with contextlib.closing(sqlite3.connect(store.path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.warns(RuntimeWarning, match="locked; the run goes on without") as caught:
            assert_holds(store, [0, 1, 2])  # to read needs no turn
            fill(store, [3])
            fill(store, [4])
    assert len(caught) == 1
    assert_holds(store, [0, 1, 2])


READ_ONLY = """
import sys
sys.path.insert(0, {here!r})
from test_store import *
store = Store({folder!r})
assert_holds(store, range(3))
with pytest.warns(RuntimeWarning, match="goes on without storing") as caught:
    fill(store, [3])
    fill(store, [4])
assert len(caught) == 1
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no permissions like these")
def test_a_store_that_may_not_be_written_is_read_all_the_same(store):
    fill(store, range(3))
    store.path.chmod(0o444)
    store.folder.chmod(0o555)
    code = READ_ONLY.format(here=str(Path(__file__).parent), folder=str(store.folder))
    subprocess.run(
        [sys.executable, "-c", code], check=True,
        preexec_fn=bad_audio_outcomes.without_privileges,
    )  # fmt: skip
    store.folder.chmod(0o755)
    assert [path.name for path in store.folder.iterdir()] == [store_module.FILE]


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
    assert store.verify() == []


def test_writers_and_readers_at_once(store):
    def write(first):
        mine = Store(store.folder)
        for number in range(first, first + 60, 3):
            fill(mine, range(number, number + 3))

    threads = [threading.Thread(target=write, args=(first,)) for first in (0, 40, 80)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        for number, value in found(store, list(range(150))).items():
            assert np.array_equal(value, row(number))
    assert_holds(store, list(range(140)))
    assert store.verify() == []


# Which recording a file is


def test_a_limit_without_end_is_refused(monkeypatch):
    monkeypatch.setenv("EMOSCOPE_STORE_LIMIT", "inf")
    with pytest.raises(EmoscopeError, match="inf is not a number of GB"):
        Store()


def test_clearing_a_feature_that_is_not_one_is_refused(emoscope):
    status, _, err = emoscope("store", "clear", "--features", "mfccc")
    assert status == 2 and "Did you mean 'mfcc'" in err
