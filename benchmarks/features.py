"""Speed and deviation of feature extraction, side by side in one run, on real clips.

    python benchmarks/features.py                 one core and all cores, on a sample of RAVDESS
    python benchmarks/features.py --corpus        also all clips, against the serial librosa loop
    python benchmarks/features.py --deviation     largest deviations from librosa, nothing timed
    python benchmarks/features.py --name features-librosa-1      where librosa 1.0 is installed

Recordings are found in the folder that the environment variable EMOSCOPE_DATA names (``ravdess``
and ``emodb`` in it), by default ``../shared/data``. Systems take turns, each with all clips; a
ratio is that of the medians over rounds, its spread the smallest and largest ratio of any round.
A stage is timed with the kernel and without it; the limit is what decoding and the Fourier transforms
alone take. Results go to ``results/benchmarks/features.json`` and ``.md``.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import soundfile
from threadpoolctl import threadpool_limits

import feature_deviation as deviation
import feature_stages as stages
import feature_systems as systems
from feature_systems import EMOSCOPE_193, LIBROSA_193, NUMPY_193, recordings

OUT = Path(__file__).parents[1] / "results" / "benchmarks"
PACKAGES = ("numpy", "scipy", "librosa", "soxr", "soundfile", "audioflux", "opensmile")


def against(name: str) -> str:
    """The system that a system is measured against."""
    return LIBROSA_193.replace("193", "180") if "180" in name else LIBROSA_193


def time_one_core(clips: list[str], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Seconds per clip and round of every system, by the clock and of processor time."""
    signals = [systems.read(clip) for clip in clips]
    made = {name: systems.make(name) for name in systems.available()}
    work = {"decoding": lambda: [systems.read(clip) for clip in clips]} | {
        name: lambda run=run: [run(*signal) for signal in signals] for name, run in made.items()
    }
    spent = {name: {"wall": [], "cpu": []} for name in work}
    for counts in [False] + [True] * rounds:
        for name, run in work.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            if counts:
                spent[name]["wall"].append((time.perf_counter() - wall) / len(clips))
                spent[name]["cpu"].append((time.process_time() - cpu) / len(clips))
    return spent


_worker_system = None


def _start_worker(name: str, clip: str) -> None:
    global _worker_system
    threadpool_limits(1)
    _worker_system = systems.make(name)
    _work(clip)


def _work(clip: str) -> float:
    return float(_worker_system(*systems.read(clip))[0])


def time_all_cores(clips: list[str], rounds: int, workers: int) -> dict[str, list[float]]:
    """Seconds per clip and round with one process per core, processes already started."""
    names = [name for name in systems.available() if name in (EMOSCOPE_193, NUMPY_193, LIBROSA_193)]
    spent: dict[str, list[float]] = {name: [] for name in names}
    pools = {
        name: ProcessPoolExecutor(workers, initializer=_start_worker, initargs=(name, clips[0]))
        for name in names
    }
    for pool in pools.values():
        list(pool.map(_work, clips[: 2 * workers]))
    for _ in range(rounds):
        for name, pool in pools.items():
            start = time.perf_counter()
            list(pool.map(_work, clips, chunksize=2))
            spent[name].append((time.perf_counter() - start) / len(clips))
    for pool in pools.values():
        pool.shutdown()
    return spent


def time_corpus(workers: int, serial: int) -> dict[str, float]:
    """Seconds for every clip of RAVDESS, 193 values: one process each core, and librosa's loop.

    The loop can be timed on so many evenly spread clips, and its time multiplied; 0: all.
    """
    clips = recordings("ravdess")
    start, children = time.perf_counter(), sum(os.times()[2:4])
    with ProcessPoolExecutor(
        workers, initializer=_start_worker, initargs=(EMOSCOPE_193, clips[0])
    ) as pool:
        list(pool.map(_work, clips, chunksize=16))
    ours, our_cpu = time.perf_counter() - start, sum(os.times()[2:4]) - children
    _start_worker(LIBROSA_193, clips[0])
    some = recordings("ravdess", serial) if serial else clips
    start, cpu = time.perf_counter(), time.process_time()
    for clip in some:
        _work(clip)
    share = len(some) / len(clips)
    theirs, their_cpu = (time.perf_counter() - start) / share, (time.process_time() - cpu) / share
    sizes = {"clips": len(clips), "workers": workers, "serial": serial}
    times = {"emoscope": ours, "librosa": theirs}
    return {**sizes, **times, "emoscope_cpu": our_cpu, "librosa_cpu": their_cpu}


def machine() -> dict[str, str]:
    """What the figures were measured on, and with."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":")[1] for line in info.read_text().splitlines() if "model name" in line
        ]
        cpu = names[0].strip() if names else cpu
    versions = {"python": platform.python_version()}
    for package in ("emoscope", *PACKAGES):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {"cpu": cpu, "cores": str(os.cpu_count()), "system": platform.platform(), **versions}


def ratios(times: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Median milliseconds of each system, and how many times faster it is than librosa."""
    table = {}
    for name, seconds in times.items():
        mine, reference = np.array(seconds), np.array(times[against(name)])
        each = reference / mine
        table[name] = {
            "ms": 1e3 * float(np.median(mine)),
            "ratio": float(np.median(reference) / np.median(mine)),
            "ratio_low": float(each.min()),
            "ratio_high": float(each.max()),
        }
    return table


def as_markdown(result: dict) -> str:
    """The result as a page."""
    lines = [
        "# Feature extraction: speed",
        "",
        f"{result['clips']} RAVDESS clips of {result['seconds']:.1f} s on average, "
        f"{result['rounds']} rounds. One core works on decoded samples; several processes decode "
        "too. Times faster: ratio of the medians to librosa as everybody calls it for the same "
        "number of values (openSMILE and decoding: for 193), and the smallest and largest ratio of "
        "any round.",
        "",
    ]
    for title, table in result["tables"].items():
        lines += [f"## {title}", "", "| system | ms per clip | times faster | spread |"]
        lines += ["|---|--:|--:|--:|"]
        for name, row in table.items():
            spread = f"{row['ratio_low']:.1f} to {row['ratio_high']:.1f}"
            lines.append(f"| {name} | {row['ms']:.1f} | {row['ratio']:.1f} | {spread} |")
        lines.append("")
    lines += stages.as_markdown(result["stages"], result["limit"])
    if corpus := result.get("corpus"):
        serial = f" (from {corpus['serial']} of the clips)" if corpus["serial"] else ""
        lines += [
            f"All {corpus['clips']} RAVDESS clips, 193 values, from files: {corpus['emoscope']:.1f} s "
            f"with {corpus['workers']} processes, started anew; the serial librosa loop takes "
            f"{corpus['librosa']:.1f} s{serial}, {corpus['librosa'] / corpus['emoscope']:.1f} times as "
            f"long. Processor time of all processes: {corpus['emoscope_cpu']:.1f} s and "
            f"{corpus['librosa_cpu']:.1f} s. Where other work runs at the same time, processor "
            "time is the one to go by.",
            "",
        ]
    lines += ["Machine: " + ", ".join(f"{k} {v}" for k, v in result["machine"].items()) + ".", ""]
    return "\n".join(lines)


def measure(options: argparse.Namespace) -> dict:
    """All but the whole corpus."""
    clips = recordings("ravdess", options.clips)
    one = time_one_core(clips, options.rounds)
    tables = {
        "One core, by the clock": ratios({name: t["wall"] for name, t in one.items()}),
        "One core, processor time": ratios({name: t["cpu"] for name, t in one.items()}),
    }
    if options.workers > 1:
        many = time_all_cores(clips * 2, options.rounds, options.workers)
        tables[f"{options.workers} processes, by the clock"] = ratios(many)
    staged = stages.time_stages(clips, options.rounds)
    return {
        "clips": len(clips),
        "stages": staged,
        "limit": stages.limit(staged, tables["One core, processor time"]),
        "seconds": float(np.mean([soundfile.info(clip).duration for clip in clips])),
        "rounds": options.rounds,
        "tables": tables,
        "machine": machine(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=16, help="clips of the sample")
    parser.add_argument("--rounds", type=int, default=7, help="0: as kept")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--corpus", action="store_true", help="time all of RAVDESS anew")
    parser.add_argument("--serial", type=int, default=0, help="clips of librosa's loop; 0: all")
    parser.add_argument("--deviation", action="store_true", help="deviations only")
    parser.add_argument("--name", default="features", help="of the two files")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    if options.deviation:
        deviation.print_table(options.clips)
        return
    threadpool_limits(1)
    kept = options.out / f"{options.name}.json"
    before = json.loads(kept.read_text()) if kept.is_file() else {}
    result = measure(options) if options.rounds else before
    if options.corpus:
        result["corpus"] = time_corpus(options.workers, options.serial)
    elif "corpus" in before:
        result["corpus"] = before["corpus"]
    options.out.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(result, indent=1) + "\n")
    (options.out / f"{options.name}.md").write_text(as_markdown(result))
    print(as_markdown(result))


if __name__ == "__main__":
    main()
