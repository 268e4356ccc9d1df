"""Ten models with one fault each, made of the shipped one, and what ``emoscope check`` says of them.

``python benchmarks/planted_models.py`` needs RAVDESS and EMO-DB below the folder EMOSCOPE_DATA. It writes
``results/check/planted.json``; the exit status is 1 when a fault is not found by the right test, or
when the model without a fault passes other tests than the shipped model itself.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
OUT = ROOT / "results" / "check" / "planted.json"
sys.path.insert(0, str(ROOT / "tests"))

import planted_models  # noqa: E402
from emoscope import checking, corpus, modelfile  # noqa: E402


def main() -> int:
    """Check every model and write what was found."""
    data = Path(os.environ["EMOSCOPE_DATA"])
    clips = corpus.load(data / "ravdess", data / "emodb")
    base = modelfile.load("default")
    before = checking.check(base, clips, quick=True)
    passed = {one.name for one in before.outcomes if one.passed}
    counts = dict(zip(("passed", "failed", "skipped"), before.counts(), strict=True))
    found: dict[str, object] = {"clips": "RAVDESS and EMO-DB, --quick", "default": counts}
    wrong = 0
    for fault, model in planted_models.planted(base, clips).items():
        begun = time.monotonic()
        outcomes = checking.check(model, clips, quick=True).outcomes
        others = sorted(passed - {one.name for one in outcomes if one.passed})
        told = {"tests that the default passes and this model does not": others}
        if fault == "nothing":
            is_right = passed == {one.name for one in outcomes if one.passed}
            told["the same tests pass"] = is_right
        else:
            told = {
                "caught by": [n for n in planted_models.caught(fault, outcomes) if n in passed],
                **told,
            }
            is_right = bool(told["caught by"])
        wrong += not is_right
        found[fault] = told
        right = "as it should be" if is_right else "NOT CAUGHT"
        print(f"{fault}: {right}; {len(others)} more tests fail ({time.monotonic() - begun:.0f} s)")
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
