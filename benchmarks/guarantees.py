"""Writes the figures of ``results/guarantees`` into ``docs/guarantees.md``."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "guarantees.md"
PLACE = re.compile(r"(<!-- figures: [^>]*-->\n).*?(<!-- end -->)", re.DOTALL)


def read(name):
    path = ROOT / "results" / "guarantees" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def bad_audio(figures):
    commands = figures["commands"]
    names = ", ".join(one["command"] for one in commands)
    files = max(one["files"] for one in commands)
    found = {key: sum(one[key] for one in commands) for key in ("tracebacks", "hangs")}
    lost = sum(one["usable"] - one["usable_delivered"] for one in commands)
    text = (
        f"{files} files through {names}: {found['tracebacks']} tracebacks, {found['hangs']} hangs, "
        f"{lost} good files not delivered, {sum(one['not_as_expected'] for one in commands)} "
        "outcomes other than expected"
    )
    yield "bad audio", text, "python benchmarks/bad_audio.py"


def fuzzing(figures):
    for name, target in figures["targets"].items():
        text = (
            f"{target['executions']:,} executions in {target['cpu_seconds'] / 60:.1f} minutes of "
            f"processor time, {len(target['findings'])} findings"
        )
        yield f"fuzzing: {name}", text, f"python benchmarks/fuzz.py {name}"
    minutes = figures["cpu_seconds"] / 60
    total = f"{figures['executions']:,} executions in {minutes:.1f} minutes of processor time"
    yield "fuzzing: together", total, "python benchmarks/fuzz.py"


def faults(figures):
    for name, counts in figures.items():
        text = ", ".join(
            f"{len(n) if isinstance(n, list) else n} {key.replace('_', ' ')}"
            for key, n in counts.items()
        )
        yield name, text, "python benchmarks/faults.py"


def soak(figures):
    memory, files = figures["memory_mib"], figures["open_files"]
    text = (
        f"memory {memory['first_minute']:.0f} MiB in the first minute, {memory['last_minute']:.0f} "
        f"in the last; open files {files['first_minute']:.0f} and {files['last_minute']:.0f}; "
        f"{figures['good_right']:,} good requests answered rightly, {figures['good_not_right']} not; "
        f"{figures['hostile']:,} hostile ones"
    )
    yield f"serving for {figures['minutes']:g} minutes", text, "python benchmarks/soak.py"


def network_cut(figures):
    text = ", ".join(f"{figures[word]:,} {word}" for word in ("passed", "skipped", "failed"))
    yield "all tests with the network cut", text, "python benchmarks/network_cut.py"


def main():
    lines = ["", "| what | measured | by |", "|---|---|---|"]
    for name, rows in (
        ("bad-audio", bad_audio), ("fuzzing", fuzzing), ("faults", faults), ("soak", soak),
        ("network-cut", network_cut),
    ):  # fmt: skip
        figures = read(name)
        if figures is not None:
            lines += [f"| {what} | {text} | `{by}` |" for what, text, by in rows(figures)]
    table = "\n".join(lines) + "\n\n"
    page = PLACE.sub(lambda found: found[1] + table + found[2], PAGE.read_text(encoding="utf-8"))
    PAGE.write_text(page, encoding="utf-8")
    print(table)


if __name__ == "__main__":
    main()
