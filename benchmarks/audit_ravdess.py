"""Audits EmoBox's six RAVDESS folds with every recording, and times it.

Writes ``results/audit/ravdess-emobox.json``; run ``python benchmarks/audit_ravdess.py RAVDESS``,
where RAVDESS is the folder of the 1440 speech clips.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from emoscope import corpus
from emoscope.audit import audit
from emoscope.files import shipped_table


def main(recordings):
    table = corpus.load(recordings).table
    with tempfile.TemporaryDirectory() as root:
        for number, actors in enumerate(shipped_table("published_folds.toml")["speaker-6fold"], 1):
            tested = table["speaker"].astype(int).isin(actors)
            for side, rows in (("train", table[~tested]), ("test", table[tested])):
                file = Path(root) / f"fold_{number}" / f"ravdess_{side}_fold_{number}.jsonl"
                file.parent.mkdir(exist_ok=True)
                lines = [
                    {"key": f"ravdess-{row.clip}", "dataset": "ravdess", "wav": row.path}
                    for row in rows.itertuples()
                ]
                file.write_text("".join(json.dumps(line) + "\n" for line in lines))
        start = time.perf_counter()
        outcome = audit(root, jobs=1).as_dict()
        seconds = time.perf_counter() - start
    outcome["source"] = "EmoBox's six folds of RAVDESS speech, all recordings"
    outcome["seconds"] = round(seconds, 1)
    for finding in outcome["findings"]:
        for piece in finding["evidence"]:
            if "clips" in piece:
                piece["clips"] = [Path(clip).stem for clip in piece["clips"]]
    print(outcome["verdict"], *(f["text"] for f in outcome["findings"]), sep="\n")
    out = Path(__file__).parents[1] / "results" / "audit" / "ravdess-emobox.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(outcome, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
