"""Checks the two shipped models and one that guesses, on the corpora below ``EMOSCOPE_DATA``.

Writes ``results/check/``: of each model ``check.json`` and ``badge.svg``, every failed test in
``failures.md``, all tests of all models in ``table.csv``, and the counts into ``docs/check.md``. Run
``python benchmarks/check_models.py`` in the root of the repository (half an hour on two cores).
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import zlib
from pathlib import Path

import numpy as np

from benchmarks.fairness_thresholds import ROOT, into_docs
from emoscope import checking, corpus, modelfile
from emoscope.checking import page

OUT = ROOT / "results" / "check"
MODELS = {"default": "default", "free": "free", "random": "python:benchmarks.check_models:guess"}
GROUPS = ("correctness", "fairness", "robustness", "behaviour")


def guess(samples, rate):
    """Probabilities drawn at random, the same for the same samples."""
    rng = np.random.default_rng(zlib.crc32(np.round(samples * 32767).astype("<i2").tobytes()))
    return dict(zip(guess.labels, rng.dirichlet(np.full(len(guess.labels), 0.5)), strict=True))


guess.labels = [
    "neutral",
    "calm",
    "happy",
    "sad",
    "angry",
    "fearful",
    "disgust",
    "surprised",
    "bored",
]


def failures(checks):
    """Every failed test as Markdown."""
    lines = ["# Every failed test", "", "Made by `python benchmarks/check_models.py`.", ""]
    for name, checked in checks.items():
        lines += [f"## {name}", "", f"{page.badge_text(checked)}.", ""]
        lines += ["| test | measured | threshold | why it matters |", "|---|--:|--:|---|"]
        lines += [
            f"| `{test.name}`<br>{test.title} | {test.shown(test.value)} | {test.limit} | {test.why} |"
            for test in checked.failed
        ]
        lines.append("")
    return "\n".join(lines)


def table(checks):
    """Every test of every model as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = [f"{name} {what}" for name in checks for what in ("outcome", "value", "threshold")]
    writer.writerow(["group", "test", *head])
    for name, tests in page.rows(list(checks.values())).items():
        cells = [
            (test.word, f"{test.value:.4g}", f"{test.threshold:.4g}") if test else ("", "", "")
            for test in tests
        ]
        group = next(test.group for test in tests if test)
        writer.writerow([group, name, *(cell for each in cells for cell in each)])
    return text.getvalue()


def counts(checks):
    """How many tests each model passed, by group, as Markdown."""
    lines = [f"| tests passed | {' | '.join(checks)} |", f"|---|{'--:|' * len(checks)}"]
    for group in (*GROUPS, ""):
        cells = [checked.counts(group) for checked in checks.values()]
        shown = (f"{passed} of {passed + failed}" for passed, failed, _ in cells)
        lines.append(f"| {group or 'all'} | {' | '.join(shown)} |")
    seconds = ", ".join(f"`{name}` {checked.seconds:.0f} s" for name, checked in checks.items())
    return "\n".join([*lines, "", f"Time: {seconds}."])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer clips and conditions")
    given = parser.parse_args()
    data = Path(os.environ["EMOSCOPE_DATA"]).resolve()
    read = corpus.combine([corpus.load(place) for place in checking.corpora_in(str(data))])
    checks = {}
    for name, model in MODELS.items():
        checks[name] = checked = checking.check(modelfile.load(model), read, quick=given.quick)
        folder = OUT / name
        folder.mkdir(parents=True, exist_ok=True)
        text = checked.to_json().replace(f"{data}/", "")
        (folder / "check.json").write_text(text + "\n", encoding="utf-8")
        (folder / "badge.svg").write_text(page.badge(checked), encoding="utf-8")
        print(f"{name}: {page.badge_text(checked)}", flush=True)
    (OUT / "failures.md").write_text(failures(checks), encoding="utf-8")
    (OUT / "table.csv").write_text(table(checks), encoding="utf-8")
    into_docs("models", counts(checks))


if __name__ == "__main__":
    main()
