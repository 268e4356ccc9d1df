"""What many clips cost: time, memory and disk of extraction and of the store, and 20 kills.

    python benchmarks/scaling.py                    # all; writes results/benchmarks/scaling.*
    python benchmarks/scaling.py --parts synthetic  # one part, the others stay as they were
    python benchmarks/scaling.py --render           # tables and docs/scaling.md from the results

Parts: ``synthetic`` (100,000 clips of 0.2 s: linear time, flat memory), ``real`` (RAVDESS: first
and second run), ``kills`` (RAVDESS: killed at 20 random moments, then finished; the same table each
time).
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

import emoscope
import scaling_report
from emoscope import corpus as corpora
from emoscope import features
from emoscope.corpus import Corpus
from emoscope.dataset.extraction import extract
from emoscope.dataset.store import Store

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results" / "benchmarks" / "scaling.json"
DATA = Path(os.environ.get("EMOSCOPE_DATA", ROOT.parent / "shared" / "data"))

RATE, SECONDS = 8000, 0.2
QUICK = ("mfcc", "mel")
KILLS = 20
CHECKPOINTS = 20


def machine() -> dict:
    """What the figures were measured on."""
    cpus = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "processor": cpus[0] if cpus else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "emoscope": emoscope.__version__,
        "load": os.getloadavg()[0],
    }


def resident() -> tuple[float, float]:
    """Megabytes that this process holds, and the largest of its workers."""
    own, workers = _megabytes(os.getpid()), [0.0]
    for pid in _descendants(os.getpid()):
        workers.append(_megabytes(pid))
    return own, max(workers)


def _megabytes(pid: int) -> float:
    with contextlib.suppress(OSError):
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 2**20
    return 0.0


def _descendants(pid: int) -> list[int]:
    found = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += [int(child), *_descendants(int(child))]
    return found


def synthetic_corpus(folder: Path, n_clips: int) -> Corpus:
    """Short clips of noise, no two alike, in folders of a thousand."""
    rng = np.random.default_rng(1)
    pool = rng.normal(0, 3000, 2**20).astype("<i2")
    length = int(RATE * SECONDS)
    starts = rng.integers(0, len(pool) - length, n_clips)
    paths = [folder / f"{number // 1000:05d}" / f"{number:07d}.wav" for number in range(n_clips)]
    header = io.BytesIO()
    soundfile.write(header, pool[:length], RATE, format="WAV", subtype="PCM_16")
    head = header.getvalue()[: -2 * length]
    for number, (path, start) in enumerate(zip(paths, starts, strict=True)):
        if number % 1000 == 0:
            path.parent.mkdir(parents=True)
        clip = pool[start : start + length].copy()
        clip[:2] = number % 1000, number // 1000  # no two alike
        path.write_bytes(head + clip.tobytes())
    table = pd.DataFrame({"path": [str(path) for path in paths]})
    table["clip"] = [path.stem for path in paths]
    for column, value in {"emotion": "sad", "label": "", "speaker": "1", "corpus": "noise"}.items():
        table[column] = value
    return Corpus("noise", table.astype(object))


def spent() -> float:
    """Processor seconds of this process and its workers so far."""
    seconds = time.process_time()
    for pid in _descendants(os.getpid()):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            seconds += sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")
    return seconds


class Watch:
    """Time and memory at equal steps of a run."""

    def __init__(self) -> None:
        self.points: list[dict] = []
        self._begin, self._spent = time.perf_counter(), spent()

    def __call__(self, done: int, total: int) -> None:
        """The callback that :func:`emoscope.dataset.extraction.extract` reports to."""
        if done * CHECKPOINTS // total >= len(self.points):
            own, worker = resident()
            point = {"clips": done, "seconds": time.perf_counter() - self._begin}
            point |= {"cpu_seconds": spent() - self._spent, "own_mb": own, "worker_mb": worker}
            self.points.append(point)


def timed(corpus: Corpus, names: tuple[str, ...], store: Store, jobs: int) -> dict:
    """Extract once: wall and processor seconds, memory on the way."""
    watch, cpu = Watch(), time.process_time()
    begin = time.perf_counter()
    found = extract(
        corpus, [features.get(n) for n in names], store=store, jobs=jobs, progress=watch
    )
    return {
        "clips": len(corpus),
        "seconds": time.perf_counter() - begin,
        "own_cpu_seconds": time.process_time() - cpu,
        "table_mb": sum(f.X.nbytes for f in found.features.values() if f.X is not None) / 2**20,
        "points": watch.points,
    }


def measure_synthetic(folder: Path, clips: Path, n_clips: int, jobs: int) -> dict:
    """Many short clips, in three sizes: what grows with their number, and how."""
    whole = synthetic_corpus(clips, n_clips)
    time.sleep(2.5)  # until the last file's time stamp proves that it has not changed
    runs = []
    for size in (n_clips // 100, n_clips // 10, n_clips):
        part = Corpus("noise", whole.table.iloc[:size])
        store = Store(folder / f"store-{size}")
        first = timed(part, QUICK, store, jobs)
        second = timed(part, QUICK, Store(store.folder), jobs)
        runs.append({"first": first, "second": second, "store_bytes": store.bytes_on_disk()})
        print(f"{size:7} clips: {first['seconds']:.1f} s, again {second['seconds']:.2f} s")
    corpus_mb = whole.table.memory_usage(deep=True).sum() / 2**20
    return {"jobs": jobs, "runs": runs, "corpus_mb": corpus_mb}


def measure_real(folder: Path, jobs: int) -> dict:
    """RAVDESS, the 193 values: one process, all, and again from the store; each a new process."""
    runs = {}
    for name, count, store in (
        ("first_one_job", 1, folder / "one"),
        ("first", jobs, folder / "all"),
        ("second", jobs, folder / "all"),
    ):
        begin = time.perf_counter()
        inside = finish(begin_run(store, count, 0, folder / f"{name}.npz"))
        runs[name] = {**inside, "process_seconds": time.perf_counter() - begin}
        print(
            f"{name}: {inside['seconds']:.2f} s, whole process {runs[name]['process_seconds']:.2f}"
        )
    corpus = corpora.load(DATA / "ravdess")
    few = Corpus(corpus.name, corpus.table.iloc[::48])
    log_mel = Store(folder / "log-mel")
    extract(few, [features.get("logmel")], store=log_mel, jobs=jobs)
    return {
        "jobs": jobs,
        **runs,
        "store_bytes": Store(folder / "all").bytes_on_disk(),
        "logmel_bytes": log_mel.bytes_on_disk() / len(few),
    }


def measure_kills(folder: Path, jobs: int, n_clips: int) -> dict:
    """Kill an extraction of real clips at random moments, finish it, compare the tables."""
    rng = np.random.default_rng(2)
    undisturbed = finish(begin_run(folder / "whole", jobs, n_clips, folder / "whole.npz"))
    reference = _table(folder / "whole.npz")
    kept = []
    for kill in range(KILLS):
        store = Store(folder / f"store-{kill}")
        run = begin_run(store.folder, jobs, n_clips, folder / "killed.npz")
        run.stdout.readline()  # extraction begins
        time.sleep(rng.uniform(0, undisturbed["seconds"]))
        run.kill()
        run.communicate()
        stored = [feature.clips for feature in store.features()]
        kept.append(min(stored) if len(stored) == len(features.DEFAULT) else 0)
        damaged = store.verify()
        finish(begin_run(store.folder, jobs, n_clips, folder / "after.npz"))
        if damaged or _table(folder / "after.npz") != reference:
            raise SystemExit(f"kill {kill + 1}: another table, or damaged files {damaged}")
        print(f"kill {kill + 1} of {KILLS}: {kept[-1]} of {undisturbed['clips']} kept; same table")
    return {
        "jobs": jobs,
        "clips": undisturbed["clips"],
        "kills": KILLS,
        "same_table": KILLS,
        "kept": kept,
    }


def begin_run(store: Path, jobs: int, n_clips: int, table: Path) -> subprocess.Popen:
    """Start an extraction of RAVDESS in a process of its own."""
    arguments = [str(store), str(jobs), str(n_clips), str(table)]
    return subprocess.Popen(
        [sys.executable, __file__, "--run", *arguments], stdout=subprocess.PIPE, text=True
    )


def finish(run: subprocess.Popen) -> dict:
    """Wait for it; what it measured."""
    out, _ = run.communicate()
    if run.returncode:
        raise SystemExit(f"the extraction ended with status {run.returncode}")
    return json.loads(out.splitlines()[-1])


def run_once(store: str, jobs: str, n_clips: str, table: str) -> None:
    """What the process that :func:`begin_run` starts does."""
    corpus = corpora.load(DATA / "ravdess")
    if int(n_clips):
        step = len(corpus) // int(n_clips)
        corpus = Corpus(corpus.name, corpus.table.iloc[::step])
    wanted = [features.get(name) for name in features.DEFAULT]
    print("begin", flush=True)
    begin, cpu = time.perf_counter(), _cpu()
    found = extract(corpus, wanted, store=Store(store), jobs=int(jobs))
    seconds = time.perf_counter() - begin
    np.savez(table, X=found.features["vector"].X)
    print(json.dumps({"clips": len(corpus), "seconds": seconds, "cpu_seconds": _cpu() - cpu}))


def _cpu() -> float:
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def _table(path: Path) -> bytes:
    with np.load(path) as saved:
        return saved["X"].tobytes()


def main() -> None:
    """Measure what was asked for, keep the rest, write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", default="synthetic,real,kills")
    parser.add_argument("--clips", type=int, default=100_000, help="synthetic clips")
    parser.add_argument("--clips-in", help="folder for them; in memory (/dev/shm) disks count less")
    parser.add_argument("--kill-clips", type=int, default=240, help="real clips per kill")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--render", action="store_true", help="measure nothing")
    parser.add_argument("--run", nargs=4, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.run:
        run_once(*chosen.run)
        return
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for part in [] if chosen.render else chosen.parts.split(","):
        folder = Path(tempfile.mkdtemp(prefix="emoscope-scaling-"))
        clips = Path(tempfile.mkdtemp(prefix="emoscope-clips-", dir=chosen.clips_in))
        try:
            if part == "synthetic":
                found = measure_synthetic(folder, clips, chosen.clips, chosen.jobs)
            elif part == "real":
                found = measure_real(folder, chosen.jobs)
            else:
                found = measure_kills(folder, chosen.jobs, chosen.kill_clips)
        finally:
            shutil.rmtree(folder)
            shutil.rmtree(clips)
        results[part] = {"machine": machine(), **found}
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(scaling_report.write(results, RESULTS.with_suffix(".md"), ROOT / "docs" / "scaling.md"))


if __name__ == "__main__":
    main()
