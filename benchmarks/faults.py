"""Kills predictions, runs and servers many times and counts what was lost.

``python benchmarks/faults.py`` writes ``results/guarantees/faults.json``. What is killed, and what
counts as lost, stands in ``tests/test_faults.py`` and ``tests/test_server_killed.py``; the suite does the
same a few times.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
OUT = ROOT / "results" / "guarantees" / "faults.json"
sys.path.insert(0, str(ROOT / "tests"))

import test_faults as faults  # noqa: E402
import test_server_killed  # noqa: E402
import tiny_model  # noqa: E402


def main():
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        model = tiny_model.write(place)
        faults.make_clips(place / "clips", 32)
        for name in ("predictions", "journals", "servers", "disks", "at once"):
            (place / name).mkdir()
        figures["predict killed at random moments, then continued"] = faults.killed_predictions(
            place / "clips", model, place / "predictions", 20
        )
        figures["noting of finished units killed at random moments"] = faults.killed_journals(
            place / "journals", 40
        )
        figures["server killed under load and started again"] = (
            test_server_killed.restarted_servers(model, place / "servers", 5)
        )
        limits = [0, 1, 100, 1000, 2000, 3000, 5000, 8000, 10_000, 20_000, 50_000, 100_000]
        figures["commands on a disk that fills up at some size"] = faults.filled_disks(
            place / "clips", model, place / "disks", limits
        )
        figures["runs at once into one file and through one store"] = faults.runs_at_once(
            place / "clips", model, place / "at once", 10
        )
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
