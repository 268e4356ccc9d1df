"""Where work runs: the same outcomes everywhere, whatever dies on the way."""

import contextlib
import functools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import threadpoolctl

from dask_cluster import Cluster, wait_until
from emoscope import compute
from emoscope.compute import WorkerDiedError
from emoscope.errors import EmoscopeError, FeatureError, MissingExtraError


def outcomes(function, items, **where):
    return dict(compute.run(function, items, **where))


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with contextlib.suppress(OSError):  # a zombie that nobody has collected yet is dead
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    return True


@pytest.mark.parametrize("jobs", [1, 2, None])
def test_every_item_has_its_outcome(jobs):
    assert outcomes(lambda x: x * x, range(500), jobs=jobs) == {i: i * i for i in range(500)}
    assert outcomes(abs, [], jobs=jobs) == {}
    assert outcomes(abs, iter(()), jobs=jobs) == {}


@pytest.mark.parametrize("jobs", [1, 2])
def test_our_errors_are_values_and_mistakes_end_the_run(jobs):
    def halve(x):
        if x == 3:
            raise FeatureError("three is odd")
        return 6 / x

    found = outcomes(halve, [1, 2, 3, 6], jobs=jobs)
    assert (found[0], found[1], found[3]) == (6, 3, 1)
    assert isinstance(found[2], FeatureError) and str(found[2]) == "three is odd"
    with pytest.raises(RuntimeError, match="clip 0: ZeroDivisionError: (?s:.)*in halve"):
        outcomes(halve, [1, 0, 2], jobs=jobs, name="clip {}".format)


@pytest.mark.parametrize("jobs", [1, 2])
def test_items_are_taken_only_as_fast_as_they_are_worked_on(jobs):
    taken = 0

    def source():
        nonlocal taken
        while True:
            taken += 1
            yield np.zeros(1000)

    results = compute.run(np.sum, source(), jobs=jobs)
    for done, _ in enumerate(results, start=1):
        assert taken - done <= 2 * jobs * compute.MAX_CHUNK_ITEMS  # at work, and just finished
        if done == 20_000:
            break
    results.close()


def test_what_a_notebook_defines_reaches_the_workers():
    class Clip:
        def __init__(self, number):
            self.number = number

    found = outcomes(lambda clip: Clip(clip.number + 1), [Clip(1), Clip(2)], jobs=2)
    assert [type(found[i]) is Clip and found[i].number for i in (0, 1)] == [2, 3]


def test_workers_have_the_caller_s_folder_and_environment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EMOSCOPE_TEST", "yes")
    found = outcomes(lambda _: (os.getcwd(), os.environ["EMOSCOPE_TEST"]), range(4), jobs=2)
    assert set(found.values()) == {(str(tmp_path), "yes")}


def thread_counts(_):
    np.ones((64, 64)) @ np.ones((64, 64))
    return [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]


@pytest.mark.parametrize("jobs", [1, 2])
def test_one_thread_per_worker(jobs):
    before = thread_counts(None)
    found = outcomes(thread_counts, range(3), jobs=jobs)
    assert {count for counts in found.values() for count in counts} <= {1}
    assert thread_counts(None) == before


def test_a_result_that_cannot_travel_is_a_mistake():
    with pytest.raises(RuntimeError, match="item [01]: (?s:.)*pickle"):
        outcomes(lambda x: (y for y in x), ["ab", "cd"], jobs=2)


def die_unless(marker, x):
    if x == 5 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return -x


def die_on(deadly, x):
    time.sleep(0.001)
    if x in deadly:
        os.kill(os.getpid(), signal.SIGKILL)
    return -x


def test_a_dead_worker_costs_no_result(tmp_path):
    function = functools.partial(die_unless, tmp_path / "died")
    assert outcomes(function, range(40), jobs=2) == {i: -i for i in range(40)}
    assert (tmp_path / "died").exists()


def test_an_item_that_kills_its_workers_is_named_and_all_others_delivered():
    found = outcomes(functools.partial(die_on, {7}), range(40), jobs=2, name="clip {}".format)
    died = {i: str(e) for i, e in found.items() if isinstance(e, WorkerDiedError)}
    assert set(died) == {7} and died[7].startswith("clip 7: the worker process died on it twice")
    assert {i: v for i, v in found.items() if i not in died} == {i: -i for i in range(40) if i != 7}


class Unloadable:
    def __reduce__(self):
        return (os.kill, (0, "not a signal"))

    def __call__(self, x):
        return x


def test_workers_that_cannot_start_end_the_run():
    with pytest.raises(RuntimeError, match="cannot load its task"):
        outcomes(Unloadable(), [1, 2], jobs=2)


class Deadly:
    """Kills whichever process unpacks it."""

    def __reduce__(self):
        return (exec, ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)",))

    def __call__(self, x):
        return x


def test_workers_that_die_at_once_are_an_error_in_one_line():
    with pytest.raises(EmoscopeError, match="die as soon as they start; is memory short"):
        outcomes(Deadly(), [1, 2], jobs=2)


def sleeper(x):
    time.sleep(0.3 if x < 4 else 60)  # one item per chunk
    return os.getpid()


def test_closing_stops_busy_workers_at_once():
    results = compute.run(sleeper, range(100), jobs=2)
    pids = {next(results)[1] for _ in range(4)}
    start = time.monotonic()
    results.close()
    assert time.monotonic() - start < 2
    assert not any(is_alive(pid) for pid in pids)


STOPPED = """
import os, signal, sys, time
from emoscope import compute
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
def sleeper(x):
    time.sleep(0.3 if x < 4 else 60)  # one item per chunk
    return os.getpid()
for _, pid in compute.run(sleeper, range(100), jobs=2):
    print(pid, flush=True)
"""


@pytest.mark.parametrize("way", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_a_run_that_is_stopped(way, tmp_path):
    (tmp_path / "run.py").write_text(STOPPED)  # a script without the customary main guard
    run = subprocess.Popen(
        [sys.executable, tmp_path / "run.py"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    pids = {int(run.stdout.readline()) for _ in range(4)}
    if way == signal.SIGINT:
        os.killpg(run.pid, way)  # as a terminal does: every process of the group gets it
    else:
        run.kill()
    _, errors = run.communicate(timeout=60)
    wait_until(lambda: not any(is_alive(pid) for pid in pids))
    if way == signal.SIGINT:
        assert errors.count("Traceback") == 1 and "KeyboardInterrupt" in errors


def test_jobs_are_positive():
    with pytest.raises(EmoscopeError, match="0 jobs"):
        next(compute.run(abs, [1], jobs=0))


def test_a_cluster_needs_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtraError, match=r"emoscope\[cluster\]"):
        outcomes(abs, [1], cluster="tcp://127.0.0.1:1")


def slowly(x):
    time.sleep(0.02)
    if x == 13:
        raise FeatureError("thirteen")
    return (x * x, os.getpid())


def test_a_worker_of_a_cluster_killed_midway_costs_no_result(cluster):
    found, pids = {}, set()
    for index, outcome in compute.run(slowly, iter(range(150)), cluster=cluster.address):
        assert isinstance(outcome, FeatureError) == (index == 13)
        found[index] = None if index == 13 else outcome[0]
        pids |= set() if index == 13 else {outcome[1]}
        if len(found) == 30:
            cluster.workers[0].kill()
    assert found == {i: None if i == 13 else i * i for i in range(150)}
    assert pids <= {worker.pid for worker in cluster.workers}


def test_a_mistake_on_a_cluster_names_its_item(shared_cluster):
    with pytest.raises(RuntimeError, match="clip 0: ZeroDivisionError"):
        outcomes(lambda x: 1 / x, [1, 0], cluster=shared_cluster.address, name="clip {}".format)


def test_a_lost_cluster_is_an_error_not_a_wait(tmp_path):
    lost = Cluster(tmp_path, 1)
    try:
        results = compute.run(sleeper, range(100), cluster=lost.address)
        next(results)
        lost.scheduler.kill()
        with pytest.raises(EmoscopeError, match="was lost"):
            list(results)
    finally:
        lost.stop()


def test_no_cluster_there(monkeypatch):
    module = pytest.importorskip("emoscope.compute.cluster")
    monkeypatch.setattr(module, "START_SECONDS", 0.5)
    with pytest.raises(EmoscopeError, match="no Dask scheduler answers at tcp://127.0.0.1:1"):
        outcomes(abs, [1], cluster="tcp://127.0.0.1:1")


def test_a_cluster_without_workers(tmp_path, monkeypatch):
    module = pytest.importorskip("emoscope.compute.cluster")
    monkeypatch.setattr(module, "START_SECONDS", 3)
    empty = Cluster(tmp_path, 0)
    try:
        with pytest.raises(EmoscopeError, match="has no workers"):
            outcomes(abs, [1], cluster=empty.address)
    finally:
        empty.stop()


def test_an_item_that_kills_the_workers_of_a_cluster(tmp_path):
    # One death is reported at once here; by default Dask tries a task on four workers.
    fragile = Cluster(tmp_path, 3, DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0")
    try:
        found = outcomes(functools.partial(die_on, {2}), [2], cluster=fragile.address)
    finally:
        fragile.stop()
    assert isinstance(found[0], WorkerDiedError)
