"""How fast this checkout is beside another one, as ratios of medians from interleaved runs.

    git worktree add ../before REVISION
    python benchmarks/against.py ../before                  # all parts
    python benchmarks/against.py ../before --parts start    # some; the others stay as they were

Parts: ``start`` (a cold ``emoscope predict`` of one clip), ``throughput`` (96 clips, one core),
``extraction`` (193 values of 96 clips into an empty store, one process), ``stored`` (the same once
more), ``compare`` (``emoscope compare --quick`` on the bundled features). Both checkouts run in this
interpreter with its packages. Needs RAVDESS (EMOSCOPE_DATA) and a quiet machine; results go to
``results/benchmarks/against.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
OUT = ROOT / "results" / "benchmarks" / "against.json"
DATA = Path(os.environ.get("EMOSCOPE_DATA", ROOT.parent / "shared" / "data"))
ROUNDS = {"start": 21, "throughput": 5, "extraction": 3, "stored": 3, "compare": 2}
FEATURES = "mfcc,chroma,mel,contrast,tonnetz"


def clips(count: int) -> list[str]:
    """Real clips, the same number of every actor."""
    actors = sorted((DATA / "ravdess").glob("Actor_*"))
    chosen = [sorted(actor.glob("*.flac"))[7 * n % 60] for actor in actors for n in range(4)]
    if not chosen:
        sys.exit(f"no RAVDESS in {DATA}; set EMOSCOPE_DATA")
    return list(map(str, chosen[:count]))


def run(checkout: Path, *words: str, store: Path) -> float:
    """Seconds that one command takes in a checkout, on one thread of linear algebra."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(checkout / "src"),
        "OMP_NUM_THREADS": "1",
        "EMOSCOPE_STORE": str(store),
    }
    start = time.perf_counter()
    command = [sys.executable, "-m", "emoscope", *words]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return time.perf_counter() - start


def part(name: str, folder: Path) -> Callable[[Path, Path], float]:
    """The measured command of a part, given a checkout and an empty folder of its own."""
    corpus = folder / "clips"
    if not corpus.exists():
        corpus.mkdir()
        for path in clips(96):
            (corpus / Path(path).name).symlink_to(path)
    names = sorted(map(str, corpus.iterdir()))
    extract = ("extract", str(corpus), "--features", FEATURES, "--jobs", "1", "--out")

    def extraction(checkout: Path, place: Path) -> float:
        return run(checkout, *extract, str(place / "x.parquet"), store=place / "store")

    def stored(checkout: Path, place: Path) -> float:
        extraction(checkout, place)
        return run(checkout, *extract, str(place / "y.parquet"), store=place / "store")

    def compare(checkout: Path, place: Path) -> float:
        return run(checkout, "compare", "--quick", "--out", str(place / "out"), store=place)

    def start(checkout: Path, place: Path) -> float:
        return run(checkout, "predict", names[0], store=place)

    def throughput(checkout: Path, place: Path) -> float:
        words = ("predict", *names, "--jobs", "1", "--format", "csv")
        return run(checkout, *words, store=place)

    return {f.__name__: f for f in (start, throughput, extraction, stored, compare)}[name]


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("other", type=Path)
    parser.add_argument("--parts", nargs="+", choices=list(ROUNDS), default=list(ROUNDS))
    options = parser.parse_args()
    results = json.loads(OUT.read_text()) if OUT.is_file() else {}
    with tempfile.TemporaryDirectory() as folder:
        for name in options.parts:
            measured = part(name, Path(folder))
            seconds: dict[str, list[float]] = {"before": [], "now": []}
            for number in range(ROUNDS[name]):
                pairs = [("before", options.other), ("now", ROOT)]
                for key, checkout in pairs if number % 2 else reversed(pairs):
                    with tempfile.TemporaryDirectory() as place:
                        seconds[key].append(measured(checkout.resolve(), Path(place)))
            medians = {key: statistics.median(values) for key, values in seconds.items()}
            results[name] = {
                "ratio": round(medians["now"] / medians["before"], 3),
                "seconds": {
                    key: [round(f(values), 3) for f in (min, statistics.median, max)]
                    for key, values in seconds.items()
                },
                "rounds": ROUNDS[name],
            }
            print(name, json.dumps(results[name]), flush=True)
            OUT.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
