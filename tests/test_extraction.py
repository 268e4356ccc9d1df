"""Features of a corpus: complete, in order, computed once, whatever happens on the way."""

import dataclasses
import os
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from emoscope import audio, features
from emoscope import corpus as corpora
from emoscope.dataset import content
from emoscope.dataset.extraction import extract
from emoscope.dataset.store import Store
from emoscope.errors import AudioError, CorpusError, FeatureError, MissingExtraError
from small_corpus import (
    RATE,
    Blocks,
    Encoder,
    Levels,
    expected,
    extract_and_save,
    make_corpus,
    samples,
    start,
)

N_CLIPS = 40


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("clips"), N_CLIPS)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def assert_complete(extraction, n_clips=N_CLIPS):
    assert extraction.corpus.rejected == []
    assert extraction.features["vector"].X.tobytes() == expected(n_clips).tobytes()
    assert extraction.features["vector"].columns == Levels().columns
    frames = extraction.features["frames"].frames
    for number, matrix in enumerate(frames):
        clip = samples(number).astype(np.float32)
        assert np.array_equal(matrix, clip[: len(clip) // 8 * 8].reshape(-1, 8))
    assert len(frames) == n_clips
    for found in extraction.features.values():
        assert found.clips == extraction.corpus.table["clip"].tolist()


@pytest.fixture
def nothing_decoded(monkeypatch):
    def cut(path, *_, **options):
        raise AssertionError(f"{path} was decoded")

    return lambda: monkeypatch.setattr(audio, "cut", cut)


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("stored", [False, True])
def test_rows_follow_the_corpus(corpus, store, jobs, stored):
    shuffled = dataclasses.replace(corpus, table=corpus.table.sample(frac=1, random_state=1))
    found = extract(shuffled, [Levels(), Blocks()], jobs=jobs, store=store if stored else None)
    assert found.features["vector"].clips == shuffled.table["clip"].tolist()
    back = np.argsort(shuffled.table.index)
    assert found.features["vector"].X[back].tobytes() == expected(N_CLIPS).tobytes()
    if stored:
        assert_complete(extract(corpus, [Levels(), Blocks()], jobs=jobs, store=store))


def test_a_second_run_decodes_nothing(corpus, store, nothing_decoded):
    extract(corpus, [Levels(), Blocks()], store=store, jobs=2)
    nothing_decoded()
    seen = []
    again = extract(
        corpus, [Levels(), Blocks()], store=Store(store.folder), jobs=1,
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    assert_complete(again)
    assert seen == [(N_CLIPS, N_CLIPS)]


def test_a_clip_is_decoded_once_for_all_features(corpus, monkeypatch):
    decoded = []
    cut = audio.cut
    monkeypatch.setattr(
        audio, "cut", lambda path, *a, **o: decoded.append(path) or cut(path, *a, **o)
    )
    seen = []
    extract(
        corpus, [Levels(), Blocks(), Encoder()], jobs=1,
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    assert sorted(decoded) == sorted(corpus.table["path"])
    assert seen == [(done, N_CLIPS) for done in range(N_CLIPS + 1)]


def test_a_feature_that_is_added_costs_one_look_at_each_file(tmp_path, store, monkeypatch):
    corpus = make_corpus(tmp_path / "clips", 4)  # so fresh that their stamps prove nothing
    extract(corpus, [Levels()], store=store, jobs=1)
    hashed, decoded, read, cut = [], [], content.read, audio.cut
    monkeypatch.setattr(content, "read", lambda path: hashed.append(path) or read(path))
    monkeypatch.setattr(
        audio, "cut", lambda path, *a, **o: decoded.append(path) or cut(path, *a, **o)
    )
    extract(corpus, [Levels(), Blocks()], store=store, jobs=1)
    assert sorted(hashed) == sorted(decoded) == sorted(corpus.table["path"])


@dataclasses.dataclass(frozen=True)
class OldLevels(Levels):
    version = 0


def test_only_what_is_missing_is_computed(corpus, store, monkeypatch):
    extract(corpus, [Levels(parts=2)], store=store, jobs=1)
    extract(corpus, [OldLevels()], store=store, jobs=1)
    half = dataclasses.replace(corpus, table=corpus.table[::2])
    extract(half, [Levels()], store=store, jobs=1)
    computed = []
    levels, blocks = Levels.extract, Blocks.extract
    monkeypatch.setattr(Levels, "extract", lambda f, s: computed.append(f) or levels(f, s))
    monkeypatch.setattr(Blocks, "extract", lambda f, s: computed.append(f) or blocks(f, s))
    assert_complete(extract(corpus, [Levels(), Blocks()], store=store, jobs=1))
    assert computed.count(Levels()) == N_CLIPS // 2 and computed.count(Blocks()) == N_CLIPS


def test_a_copy_is_not_computed_again_and_a_changed_file_is(tmp_path, store, nothing_decoded):
    first = make_corpus(tmp_path / "first", 6)
    shutil.copytree(tmp_path / "first", tmp_path / "second")
    moved = first.table["path"].str.replace("first", "second")
    second = dataclasses.replace(first, table=first.table.assign(path=moved))
    third = make_corpus(tmp_path / "third", 6)
    soundfile.write(third.table["path"][2], -2 * samples(2), RATE, subtype="FLOAT")
    os.utime(third.table["path"][2], (1e9, 1e9))  # same size, same time, other content
    extract(first, [Levels()], store=store, jobs=1)
    changed = extract(third, [Levels()], store=store, jobs=1).features["vector"].X
    assert np.allclose(changed[2], 2 * expected(6)[2]) and np.array_equal(
        changed[3], expected(6)[3]
    )
    nothing_decoded()
    copied = extract(second, [Levels()], store=store, jobs=1)
    assert copied.features["vector"].X.tobytes() == expected(6).tobytes()


@dataclasses.dataclass(frozen=True)
class Meddler(Levels):
    """A feature during which somebody replaces the recording."""

    name = "meddler"

    def extract(self, spectrum):
        path = spectrum.signal.path
        if path.endswith("003.wav"):
            soundfile.write(path, 0.5 * samples(3), RATE, subtype="FLOAT")
        return super().extract(spectrum)


def test_a_file_that_changes_while_it_is_read_is_not_stored(tmp_path, store):
    corpus = make_corpus(tmp_path / "clips", 6)
    found = extract(corpus, [Meddler()], store=store, jobs=1)
    assert found.features["vector"].X.tobytes() == expected(6).tobytes()
    assert store.features()[0].clips == 5


@pytest.mark.parametrize("jobs", [1, 2])
def test_clips_that_cannot_be_used_are_named_and_all_others_delivered(tmp_path, store, jobs):
    corpus = make_corpus(tmp_path / "clips", 20)
    paths = corpus.table["path"].tolist()
    whole = Path(paths[9]).read_bytes()
    bad = {
        2: b"",
        5: b"RIFF, but no recording",
        9: whole[: len(whole) // 2],
        12: np.zeros(2000),
        14: np.full(2000, np.nan),
        17: None,
    }
    for number, damage in bad.items():
        if isinstance(damage, np.ndarray):
            soundfile.write(paths[number], damage, RATE, subtype="FLOAT")
        elif damage is None:
            os.unlink(paths[number])
        else:
            Path(paths[number]).write_bytes(damage)
    already = [AudioError("elsewhere.wav", "unlabelled")]
    corpus = dataclasses.replace(corpus, rejected=already)
    for _ in range(2):  # computed, then stored
        found = extract(corpus, [Levels(), Blocks()], store=store, jobs=jobs)
        assert [error.path for error in found.corpus.rejected[1:]] == [
            paths[number] for number in bad
        ]
        for error, reason in zip(
            found.corpus.rejected[1:],
            ("empty", "", "truncated", "silent", "NaN", "no such file"),
            strict=True,
        ):
            assert reason in error.reason and error.reason
        assert found.corpus.rejected[:1] == already
        good = [number for number in range(20) if number not in bad]
        assert found.corpus.table["clip"].tolist() == [f"clip_{n:03d}" for n in good]
        assert found.features["vector"].X.tobytes() == expected(20)[good].tobytes()
        assert len(found.features["frames"].frames) == len(good)


@dataclasses.dataclass(frozen=True)
class Fussy(Levels):
    """A feature that cannot be computed of some clips."""

    name = "fussy"

    def extract(self, spectrum):
        number = int(spectrum.signal.path[-7:-4])
        if number == 1:
            raise FeatureError("too short for it")
        if number == 2:
            return np.array([1, 2, np.nan, 4])
        if number == 3:
            return np.zeros(5)
        return super().extract(spectrum)


def test_a_feature_that_fails_costs_the_clip(corpus):
    found = extract(corpus, [Levels(parts=2, deadly="004.wav"), Fussy(parts=4)], jobs=2)
    assert [error.reason for error in found.corpus.rejected] == [
        "too short for it",
        "the feature 'fussy' is not finite",
        "the feature 'fussy' gave shape (5,) for 4 columns",
        "the worker process died on it twice: killed from outside, out of memory, or crashed in "
        "compiled code",
    ]
    assert len(found.corpus) == N_CLIPS - 4


@dataclasses.dataclass(frozen=True)
class Unavailable(Levels):
    name = "unavailable"

    def extract(self, spectrum):
        raise MissingExtraError("this feature", "nothing", "deep")


@dataclasses.dataclass(frozen=True)
class Defective(Levels):
    name = "defective"

    def extract(self, spectrum):
        return {}["key"]


def test_what_is_not_the_clip_s_fault_ends_the_run(corpus):
    with pytest.raises(MissingExtraError):
        extract(corpus, [Unavailable()], jobs=1)
    with pytest.raises(RuntimeError, match=r"clip_0\d\d\.wav: KeyError: 'key'"):
        extract(corpus, [Defective()], jobs=2)


def test_when_no_clip_is_left_the_reasons_are_given(tmp_path):
    corpus = make_corpus(tmp_path / "clips", 7)
    for path in corpus.table["path"]:
        Path(path).write_bytes(b"")
    with pytest.raises(CorpusError, match="not one of 7 clips (?s:.*)clip_000(?s:.*)and 2 more"):
        extract(corpus, [Levels()], jobs=1)


@dataclasses.dataclass(frozen=True)
class MoreBlocks(Blocks):
    name = "more-blocks"


def test_features_that_do_not_go_together(corpus):
    with pytest.raises(FeatureError, match="no features"):
        extract(corpus, [])
    with pytest.raises(FeatureError, match="blocks and more-blocks both give frames"):
        extract(corpus, [Blocks(), MoreBlocks()])
    with pytest.raises(FeatureError, match="column 'level_0_of_4'"):
        extract(corpus, [Levels(), OldLevels()])
    twice = extract(corpus, [Levels(), Levels()], jobs=1).features["vector"]
    assert twice.X.shape == (N_CLIPS, 4) and twice.widths == (4,)


def test_weights_are_loaded_once_per_process(corpus):
    values = extract(corpus, [Encoder(), Levels(seconds=0.01)], jobs=2).features["vector"].X[:, 0]
    assert len(set(values)) == 2


def test_what_was_finished_before_an_interruption_is_kept(corpus, store):
    def interrupt(done, total):
        if done == 25:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(corpus, [Levels(seconds=0.001)], store=store, jobs=2, progress=interrupt)
    assert store.features()[0].clips == 25


def test_a_store_that_cannot_be_written_does_not_matter(corpus, tmp_path):
    (tmp_path / "file").touch()
    with pytest.warns(RuntimeWarning, match="goes on without storing") as caught:
        found = extract(corpus, [Levels(), Blocks()], store=Store(tmp_path / "file" / "x"), jobs=1)
    assert_complete(found)
    assert len(caught) == 1


def table_of(path):
    with np.load(path) as saved:
        return saved["X"].tobytes(), saved["frames"].tobytes()


needs_kill = pytest.mark.skipif(sys.platform == "win32", reason="no kill -9")


@needs_kill
def test_killed_at_any_moment_a_run_goes_on_where_it_was(corpus, tmp_path):
    rng = np.random.default_rng(20)
    extract_and_save(corpus, tmp_path / "undisturbed", 1, tmp_path / "undisturbed.npz")
    whole = table_of(tmp_path / "undisturbed.npz")
    durations = {}
    for jobs in (1, 2):  # workers take longer to start than the clips take
        run = start(corpus, tmp_path / f"to-the-end-{jobs}", jobs, tmp_path / "end.npz")
        begun = time.monotonic()
        run.join()
        durations[jobs] = time.monotonic() - begun
    partly = 0
    for trial in range(100):
        if trial >= 20 and partly >= 3:
            break  # enough of the moments were neither too early nor too late
        store = Store(tmp_path / f"store-{trial}")
        jobs = 2 if trial % 10 == 0 else 1
        run = start(corpus, store.folder, jobs, tmp_path / "killed.npz")
        time.sleep(rng.uniform(0, durations[jobs]))
        run.kill()
        run.join()
        assert store.verify() == []
        kept = max((stored.clips for stored in store.features()), default=0)
        partly += 0 < kept < N_CLIPS
        extract_and_save(corpus, store.folder, 1, tmp_path / "after.npz")
        assert table_of(tmp_path / "after.npz") == whole
        assert {stored.clips for stored in store.features()} == {N_CLIPS}
    assert partly >= 3


@needs_kill
def test_two_runs_at_once_share_a_store(corpus, tmp_path):
    store = Store(tmp_path / "store")
    runs = [start(corpus, store.folder, 1, tmp_path / f"{n}.npz") for n in range(2)]
    for run in runs:
        run.join()
    assert table_of(tmp_path / "0.npz") == table_of(tmp_path / "1.npz")
    assert store.verify() == []
    assert {stored.clips for stored in store.features()} == {N_CLIPS}
    extract_and_save(corpus, store.folder, 1, tmp_path / "after.npz")
    assert table_of(tmp_path / "after.npz") == table_of(tmp_path / "0.npz")


def test_a_cluster_gives_the_same_and_a_worker_killed_midway_changes_nothing(
    corpus, cluster, tmp_path
):
    done = []

    def progress(finished, total):
        done.append(finished)
        if finished == 10:
            cluster.workers[0].kill()

    found = extract(
        corpus, [Levels(seconds=0.02), Blocks()], store=Store(tmp_path / "store"),
        cluster=cluster.address, progress=progress,
    )  # fmt: skip
    assert_complete(found)
    assert done == list(range(N_CLIPS + 1))


def test_real_clips_with_the_default_features(ravdess, store):
    whole = corpora.load(ravdess)
    few = dataclasses.replace(whole, table=whole.table.iloc[::240])
    wanted = [features.get(name) for name in (*features.DEFAULT, "logmel")]
    runs = [
        extract(few, wanted, jobs=1),
        extract(few, wanted, store=store, jobs=2),
        extract(few, wanted, store=store, jobs=1),
    ]
    for run in runs:
        assert run.features["vector"].X.shape == (6, 193)
        assert run.features["vector"].X.tobytes() == runs[0].features["vector"].X.tobytes()
        for mine, first in zip(
            run.features["frames"].frames, runs[0].features["frames"].frames, strict=True
        ):
            assert mine.tobytes() == first.tobytes()
    pd.testing.assert_frame_equal(runs[0].corpus.table, few.table)
