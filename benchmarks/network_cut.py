"""Runs all tests in a network namespace that holds this machine's own address and nothing else.

``python benchmarks/network_cut.py`` writes how many passed to ``results/guarantees/network-cut.json``.
It needs ``unshare`` and ``ip`` (Debian: util-linux, iproute2) and the right to make a namespace.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
OUT = ROOT / "results" / "guarantees" / "network-cut.json"
SUITE = "ip link set lo up && exec {} -m pytest -n logical --dist worksteal"


def main() -> int:
    """Run, count, write; the exit status is that of the tests."""
    command = ["unshare", "--net", "sh", "-c", SUITE.format(shlex.quote(sys.executable))]
    made = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    print(made.stdout[-2000:])
    counts = {
        word: int(found[1]) if (found := re.search(rf"(\d+) {word}", made.stdout)) else 0
        for word in ("passed", "skipped", "failed", "errors")
    }
    said = f"unshare --net sh -c '{SUITE.format('python')}'"
    OUT.write_text(json.dumps({"command": said, **counts}, indent=1) + "\n", encoding="utf-8")
    return made.returncode


if __name__ == "__main__":
    sys.exit(main())
