"""Coverage-guided fuzzing of everything that reads foreign bytes, with atheris (libFuzzer).

``python benchmarks/fuzz.py`` fuzzes each target for a minute and adds what it did to
``results/guarantees/fuzzing.json``; run again it goes on from the inputs it has collected in
``--inputs``. ``python benchmarks/fuzz.py audio --replay FILE`` runs one input.

A finding is any exception that is not an :class:`emoscope.errors.EmoscopeError`, a crash of a native
library, more than 10 s of CPU for one input, or more than 2 GiB of memory. The package's own Python
code is instrumented; native decoders are run but give no coverage.

Targets: ``audio`` (libsndfile's formats), ``video`` (PyAV's), ``manifests`` (CSV, TSV, JSON Lines,
Parquet, audformat), ``models`` (archive, card and graph of a ``.emoscope`` file), ``http`` (bodies
and types of requests to every route).
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fuzz_targets import LARGEST_INPUT, LARGEST_MEMORY, LONGEST_CPU, TARGETS

ROOT = Path(__file__).parents[1]
OUT = ROOT / "results" / "guarantees" / "fuzzing.json"


def fuzz(name, inputs, seconds):
    """One round of one target; libFuzzer ends the process."""
    import atheris

    with atheris.instrument_imports(include=["emoscope"]):
        import emoscope.audio
        import emoscope.corpus
        import emoscope.server  # noqa: F401
    from emoscope.errors import EmoscopeError

    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    target = TARGETS[name](folder)
    corpus, found = inputs / name, inputs / f"{name}-findings"
    for place in (corpus, found):
        place.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number:02d}").write_bytes(seed)

    def one(data):
        started = time.process_time()
        with contextlib.suppress(EmoscopeError):
            target.run(data)
        spent = time.process_time() - started
        assert spent < LONGEST_CPU, f"one input took {spent:.1f} s of CPU"

    flags = [f"-max_total_time={seconds}", f"-rss_limit_mb={LARGEST_MEMORY}", "-timeout=300"]
    flags += [f"-max_len={LARGEST_INPUT}", "-print_final_stats=1", f"-artifact_prefix={found}/"]
    atheris.Setup([sys.argv[0], *flags, str(corpus)], one)
    atheris.Fuzz()


def replay(name, path):
    """Run one input without a fuzzer; the exception, if any, is shown."""
    from emoscope.errors import EmoscopeError

    target = TARGETS[name](Path(tempfile.mkdtemp(prefix="fuzz-")))
    try:
        target.run(path.read_bytes())
    except EmoscopeError as error:
        print(f"refused: {type(error).__name__}: {error}")
    else:
        print("accepted")


def round_of(name, inputs, seconds):
    """One round in a process of its own; gives what it did."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, __file__, name, "--fuzz", f"--seconds={seconds}"]
    with tempfile.TemporaryDirectory(dir=memory_folder()) as scratch:
        process = subprocess.run(
            [*command, f"--inputs={inputs}"], capture_output=True, text=True, errors="replace",
            env={**os.environ, "TMPDIR": scratch},
        )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = process.stderr
    counted = re.search(r"number_of_executed_units: (\d+)", said)
    last = re.findall(r"^#(\d+)\s", said, re.MULTILINE)
    return {
        "executions": int(counted[1]) if counted else int(last[-1]) if last else 0,
        "cpu_seconds": round(
            after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1
        ),
        "edges": max(map(int, re.findall(r"cov: (\d+)", said)), default=0),
        "finding": finding(process.stdout + said) if process.returncode else None,
    }


def finding(said):
    """What stopped a round, in one line."""
    python = re.search(r"=== Uncaught Python exception: ===\n(.+)", said)
    native = re.search(r"ERROR: libFuzzer: (.+)|ERROR: (.+)", said)
    if python:
        where = re.findall(r'File ".*?(?:emoscope|fuzz)[^"]*?([\w/]+\.py)", line (\d+)', said)
        return python[1][:300] + (f" ({':'.join(where[-1])})" if where else "")
    return (native[0] if native else said.strip()[-300:])[:300]


def memory_folder():
    """Where scratch files cost no disk."""
    return "/dev/shm" if os.path.isdir("/dev/shm") else None


def record(name, made):
    """Add one round to the figures."""
    figures = json.loads(OUT.read_text()) if OUT.is_file() else {"targets": {}}
    target = figures["targets"].setdefault(
        name, {"rounds": 0, "executions": 0, "cpu_seconds": 0.0, "edges": 0, "findings": []}
    )
    target["rounds"] += 1
    target["executions"] += made["executions"]
    target["cpu_seconds"] = round(target["cpu_seconds"] + made["cpu_seconds"], 1)
    target["edges"] = max(target["edges"], made["edges"])
    if made["finding"] and made["finding"] not in target["findings"]:
        target["findings"].append(made["finding"])
    totals = figures["targets"].values()
    figures["executions"] = sum(t["executions"] for t in totals)
    figures["cpu_seconds"] = round(sum(t["cpu_seconds"] for t in totals), 1)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(figures, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", nargs="*", choices=[*TARGETS, []])
    parser.add_argument("--seconds", type=int, default=60, help="of one round of one target")
    parser.add_argument("--inputs", type=Path, default=Path("fuzz-inputs"))
    parser.add_argument("--fuzz", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run one input")
    given = parser.parse_args()
    sys.path.insert(0, str(ROOT / "tests"))
    if given.replay:
        replay(given.target[0], given.replay)
    elif given.fuzz:
        fuzz(given.target[0], given.inputs, given.seconds)
    elif importlib.util.find_spec("atheris") is None:
        parser.error("atheris is not installed: pip install -e '.[fuzz]'")
    else:
        for name in given.target or TARGETS:
            made = round_of(name, given.inputs.resolve(), given.seconds)
            record(name, made)
            print(name, *(f"{key}={value}" for key, value in made.items()), flush=True)


if __name__ == "__main__":
    main()
