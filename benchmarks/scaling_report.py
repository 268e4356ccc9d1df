"""Tables from what ``benchmarks/scaling.py`` measured, and the model that reaches beyond it.

The model, per clip and with everything measured on one machine:

- time = clips * processor time per clip / cores, until the one process that collects results is
  busy all the time: never less than clips * its own processor time per clip;
- memory of that process = what it holds before the first clip + clips * (values + row of the corpus
  + book-keeping);
- disk = clips * bytes in the store.
"""

from __future__ import annotations

import re
from pathlib import Path

SIZES = (1_000, 100_000, 10_000_000)
CORES = (2, 16, 128)
VALUES = 193
BEGIN, END = "<!-- measured: benchmarks/scaling.py -->", "<!-- end of measured -->"


def write(results: dict, tables: Path, document: Path) -> str:
    """Write the tables next to the results and into the document; returns them.

    Parameters
    ----------
    results : dict
        Parts as ``benchmarks/scaling.py`` measures them; tables of parts that are absent are too.
    tables, document : Path
        Markdown files; in the document, what stands between the two markers is replaced.
    """
    parts = [
        render(results[name])
        for name, render in (("synthetic", _synthetic), ("real", _real), ("kills", _kills))
        if name in results
    ]
    if "synthetic" in results and "real" in results:
        parts.append(_model(results["synthetic"], results["real"]))
    text = "\n\n".join(parts)
    tables.write_text(f"# Scaling: measured\n\n{text}\n", encoding="utf-8")
    if document.exists():
        whole = document.read_text(encoding="utf-8")
        block = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
        whole = block.sub(lambda _: f"{BEGIN}\n\n{text}\n\n{END}", whole)
        document.write_text(whole, encoding="utf-8")
    return text


def _machine(part: dict) -> str:
    machine = part["machine"]
    return (
        f"{machine['processor']}, {machine['cores']} core(s), {part['jobs']} worker process(es), "
        f"load average {machine['load']:.1f} at the end; Python {machine['python']}, "
        f"NumPy {machine['numpy']}, emoscope {machine['emoscope']}."
    )


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _synthetic(part: dict) -> str:
    rows = []
    for run in part["runs"]:
        first, second = run["first"], run["second"]
        n = first["clips"]
        rows.append([
            f"{n:,}", f"{first['seconds']:.1f}", f"{1e3 * first['seconds'] / n:.2f}",
            f"{second['seconds']:.2f}", f"{first['seconds'] / second['seconds']:.0f}",
            f"{run['store_bytes'] / n:.0f}",
        ])  # fmt: skip
    sizes = _table(
        ["clips", "first run, s", "ms per clip", "second run, s", "ratio", "store, bytes per clip"],
        rows,
    )
    largest = part["runs"][-1]["first"]
    # The first tenth holds what is loaded once: libraries, filter banks.
    begun = [p for p in largest["points"] if p["clips"] >= largest["clips"] / 10]
    chosen = begun[:: max(1, len(begun) // 5)]
    steps = _table(
        ["clips done", "s", "processor, s", "this process, MB", "largest worker, MB"],
        [
            [
                f"{p['clips']:,}",
                f"{p['seconds']:.1f}",
                f"{p['cpu_seconds']:.1f}",
                f"{p['own_mb']:.0f}",
                f"{p['worker_mb']:.0f}",
            ]
            for p in chosen
        ],
    )
    half = min(begun, key=lambda p: abs(p["clips"] - largest["clips"] * 0.55))
    wall, cpu = (_later(begun[0], half, begun[-1], unit) for unit in ("seconds", "cpu_seconds"))
    return (
        f"## {largest['clips']:,} short synthetic clips\n\n"
        f"Clips of 0.2 s at 8 kHz, mfcc and mel (168 values). {_machine(part)}\n\n{sizes}\n\n"
        f"On the way through the largest:\n\n{steps}\n\n"
        f"Linear time: a clip of the later half takes {wall:.2f} times the time, and {cpu:.2f} "
        f"times the processor time, of one of the earlier. "
        f"Flat memory: from a tenth of the clips to the last, this process holds "
        f"{_range(begun, 'own_mb')} MB and its largest worker {_range(begun, 'worker_mb')} MB, and "
        f"ends with {begun[-1]['own_mb'] - begun[0]['own_mb']:+.0f} MB. (The table itself, "
        f"{largest['table_mb']:.0f} MB, is taken at the start.)"
    )


def _range(points: list[dict], unit: str) -> str:
    values = [point[unit] for point in points]
    return f"{min(values):.0f} to {max(values):.0f}"


def _later(begin: dict, middle: dict, end: dict, unit: str) -> float:
    early = (middle[unit] - begin[unit]) / (middle["clips"] - begin["clips"])
    return (end[unit] - middle[unit]) / (end["clips"] - middle["clips"]) / early


def _real(part: dict) -> str:
    rows = [
        [name, f"{run['seconds']:.2f}", f"{run['process_seconds']:.2f}"]
        for name, run in (
            ("first run, one job", part["first_one_job"]),
            (f"first run, {part['jobs']} jobs", part["first"]),
            ("second run", part["second"]),
        )
    ]
    first, second = part["first"], part["second"]
    return (
        f"## RAVDESS, {first['clips']} clips, 193 values\n\n{_machine(part)}\n\n"
        + _table(["", "extraction, s", "whole process with imports, s"], rows)
        + f"\n\nWith one job it takes {part['first_one_job']['cpu_seconds']:.1f} s of a processor. "
        f"The second run is {first['seconds'] / second['seconds']:.0f} times as fast as the "
        f"first; as whole processes, {first['process_seconds'] / second['process_seconds']:.0f} "
        "times."
    )


def _kills(part: dict) -> str:
    kept = part["kept"]
    return (
        f"## Killed at random moments\n\n{part['kills']} extractions of {part['clips']} RAVDESS "
        f"clips were killed (`kill -9`) at a random moment and then run again: the same table as "
        f"undisturbed in {part['same_table']} of {part['kills']}, no file damaged. A killed "
        f"run had stored {min(kept)} to {max(kept)} clips, on average {sum(kept) / len(kept):.0f}."
    )


def costs(synthetic: dict, real: dict) -> dict[str, float]:
    """What one clip costs, and what is spent once."""
    small, large = synthetic["runs"][0], synthetic["runs"][-1]
    n = large["first"]["clips"]
    begun = [run["first"]["points"][0]["own_mb"] for run in (small, large)]
    clips = real["first"]["clips"]
    held = (begun[1] - begun[0]) * 2**20 / (n - small["first"]["clips"])
    values = large["first"]["table_mb"] * 2**20 / n
    return {
        "cpu": real["first_one_job"]["cpu_seconds"] / clips,
        "collecting": large["first"]["own_cpu_seconds"] / n,
        "reading": max(
            large["second"]["seconds"] / n, real["second"]["seconds"] / clips
        ),
        "base_mb": begun[0],
        "memory": max(0.0, held - values) + 4 * VALUES + synthetic["corpus_mb"] * 2**20 / n,
        # Older measurements count apart what remembers the files.
        "disk": real["store_bytes"] / clips + synthetic.get("files_bytes", 0) / n,
    }  # fmt: skip


def _model(synthetic: dict, real: dict) -> str:
    c = costs(synthetic, real)
    rows = []
    for n in SIZES:
        times = [max(n * c["cpu"] / cores, n * c["collecting"]) for cores in CORES]
        rows.append([
            f"{n:,}", *map(_duration, times), _duration(n * c["reading"]),
            _size(c["base_mb"] * 2**20 + n * c["memory"]), _size(n * c["disk"]),
            _size(n * real["logmel_bytes"]),
        ])  # fmt: skip
    head = ["clips", *(f"{cores} cores" for cores in CORES), "again", "memory", "store"]
    return (
        "## What a corpus costs\n\n"
        f"Clips like RAVDESS's (3.7 s at 48 kHz), 193 values. Per clip: {1e3 * c['cpu']:.1f} ms of "
        f"a core to decode and compute, {1e3 * c['collecting']:.2f} ms of the process that "
        f"collects, {1e3 * c['reading']:.3f} ms to read again, {c['memory']:.0f} bytes of memory, "
        f"{c['disk']:.0f} bytes of disk. The collecting process is busy all the time from "
        f"{c['cpu'] / c['collecting']:.0f} cores on.\n\n" + _table([*head, "log-mel instead"], rows)
    )


def _duration(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"


def _size(count: float) -> str:
    for unit, length in (("TB", 1e12), ("GB", 1e9)):
        if count >= length:
            return f"{count / length:.1f} {unit}"
    return f"{count / 1e6:.0f} MB"
