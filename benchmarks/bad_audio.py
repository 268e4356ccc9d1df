"""Runs every command over the corpus of bad audio and writes the table of outcomes.

``python benchmarks/bad_audio.py`` writes ``results/guarantees/bad-audio.json`` and ``.md``; the
corpus is that of ``tests/bad_audio.py``, the model a small one, since what is tested is everything
around it.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
OUT = ROOT / "results" / "guarantees"
sys.path.insert(0, str(ROOT / "tests"))

import bad_audio  # noqa: E402
import bad_audio_outcomes as outcomes  # noqa: E402
import tiny_model  # noqa: E402


def measure():
    """The outcome of each command, and the case of each path."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "corpus"
        model = tiny_model.write(Path(folder))
        paths = bad_audio.write(root)
        with outcomes.removable(root):
            return list(outcomes.every_command(root, paths, model)), paths


def considered(outcome, paths):
    """The files that a command has to account for."""
    if outcome.command == "serve":
        return {path: case for path, case in paths.items() if case.content is not None}
    in_corpus = outcome.command in ("extract", "compare")
    return outcomes.inside(paths) if in_corpus else paths


def summary(outcome, paths):
    """What the promises say, counted."""
    files = considered(outcome, paths)
    sent = outcome.command == "serve"
    cells = {path: outcome.cell(path) for path in files}
    good = [p for p, c in files.items() if c.good or (sent and c.name == bad_audio.PERMISSION)]
    fitting = [p for p in files if outcomes.as_expected(files[p], cells[p], sent=sent)]
    return {
        "command": outcome.command,
        "files": len(files),
        "usable": len(good),
        "usable_delivered": sum(cells[path] == "used" for path in good),
        "named_with_reason": sum(cells[p] not in ("used", "not named") for p in files),
        "not_as_expected": len(files) - len(fitting),
        "tracebacks": outcome.said.count("Traceback"),
        "hangs": int(outcome.status == -1),
        "exit_status": None if sent else outcome.status,
        "seconds": round(outcome.seconds, 1),
    }


def table(found, paths):
    """The outcomes as Markdown."""
    heads = [outcome.command for outcome in found]
    lines = ["# What every command makes of bad audio", "", "| | " + " | ".join(heads) + " |"]
    lines.append("|---" * (len(heads) + 1) + "|")
    counts = [summary(outcome, paths) for outcome in found]
    for key in list(counts[0])[1:-1]:
        cells = ("–" if one[key] is None else str(one[key]) for one in counts)
        lines.append(f"| {key.replace('_', ' ')} | {' | '.join(cells)} |")
    lines += ["", "Each file; what is in a cell is the reason that was given.", ""]
    lines += ["| file | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for path, case in paths.items():
        cells = []
        for outcome in found:
            cell = outcome.cell(path) if path in considered(outcome, paths) else "no file to it"
            cells.append(cell.replace("|", "\\|")[:90])
        lines.append(f"| {case.name.replace('|', chr(92) + '|')} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main():
    found, paths = measure()
    counts = [summary(outcome, paths) for outcome in found]
    for one in counts:
        print(*(f"{key}={value}" for key, value in one.items()))
    OUT.mkdir(parents=True, exist_ok=True)
    files = [
        {"case": case.name, "usable": case.good}
        | {outcome.command: outcome.cell(path) for outcome in found}
        for path, case in paths.items()
    ]
    content = {"commands": counts, "files": files}
    text = json.dumps(content, indent=1, ensure_ascii=True)
    (OUT / "bad-audio.json").write_text(text + "\n", encoding="utf-8")
    (OUT / "bad-audio.md").write_text(table(found, paths), encoding="utf-8")
    return int(any(one["not_as_expected"] or one["tracebacks"] or one["hangs"] for one in counts))


if __name__ == "__main__":
    sys.exit(main())
