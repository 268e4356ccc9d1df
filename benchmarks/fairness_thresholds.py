"""How often a fair model passes every fairness test, and how often an unfair one fails, by simulation.

Simulates models whose recall differs from speaker to speaker, as in :mod:`interval_coverage`, but not
between groups, on four corpora shaped like EMO-DB, RAVDESS, nEMO and EmoSpeech; then models that
recognise women 20 or 40 points worse, or all emotions of one sentence. Writes
``results/check/thresholds.json``; run with ``python benchmarks/fairness_thresholds.py`` (--help: runs).
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd

from emoscope.checking import fairness

ROOT = Path(__file__).parents[1]
ACTED = ["neutral", "happy", "sad", "angry", "fearful", "disgust", "surprised", "calm"]
SHAPES = {  # speakers, emotions, clips of each per speaker, sentences, whether sex is known
    "emodb": (10, 7, 7, 10, True),
    "ravdess": (24, 8, 6, 2, True),
    "nemo": (9, 6, 10, 90, True),
    "emospeech": (60, 4, 2, 7, False),
}
SPREADS = {  # sd of the logit of recall between speakers, and between emotions of one speaker
    "speakers alike": (0.0, 0.0),
    "speakers as in RAVDESS": (0.6, 0.4),
    "speakers far apart": (1.0, 0.8),
}
RECALL = 0.6


def simulate(rng, spread, *, shapes=SHAPES, women=0.0, sentence=0.0, recall=RECALL):
    """Answers of a model; recall is lower by `women` for women and by `sentence` for one sentence."""
    parts, hard = [], rng.normal(0, 0.5, len(ACTED))
    for corpus, (n_speakers, n_emotions, n_clips, n_texts, sexes) in shapes.items():
        speaker, emotion, take = np.meshgrid(
            *map(np.arange, (n_speakers, n_emotions, n_clips)), indexing="ij"
        )
        speaker, emotion, take = speaker.ravel(), emotion.ravel(), take.ravel()
        text = (take + emotion * 3 + speaker * 7) % n_texts
        logit = np.log(recall / (1 - recall)) + hard[emotion]
        logit += rng.normal(0, spread[0], n_speakers)[speaker]
        logit += rng.normal(0, spread[1], (n_speakers, n_emotions))[speaker, emotion]
        chance = 1 / (1 + np.exp(-logit))
        female = speaker % 2 == 1
        chance = np.clip(chance - women * (female & sexes) - sentence * (text == 1), 0.0, 1.0)
        right = rng.random(len(speaker)) < chance
        # Each speaker has labels that the model likes to give in error.
        liking = rng.dirichlet(np.full(len(ACTED), 3.0), n_speakers)[speaker]
        liking[np.arange(len(speaker)), emotion] = 0.0
        picks = np.cumsum(liking / liking.sum(axis=1, keepdims=True), axis=1)
        other = np.minimum((rng.random((len(speaker), 1)) > picks).sum(axis=1), len(ACTED) - 1)
        pitch = np.where(female, 200.0, 120.0) + rng.normal(0, 20, n_speakers)[speaker]
        parts.append(
            pd.DataFrame(
                {
                    "corpus": corpus,
                    "clip": [f"{corpus}-{n}" for n in range(len(speaker))],
                    "path": "",
                    "speaker": speaker.astype(str),
                    "emotion": np.array(ACTED)[emotion],
                    "predicted": np.array(ACTED)[np.where(right, emotion, other)],
                    "confidence": np.clip(rng.normal(chance, 0.15), 0.125, 1.0),
                    "gender": np.where(female, "female", "male") if sexes else "",
                    "f0": rng.normal(pitch, 15),
                    "text": [f"sentence {n}" for n in text],
                }
            )
        )
    return pd.concat(parts, ignore_index=True).assign(**{f"p_{e}": 0.0 for e in ACTED})


def failed(answers, runs, seed):
    """The names of the tests that a model fails."""
    return [
        o.name
        for o in fairness.outcomes(answers, runs=runs, seed=seed)
        if not o.skipped and not o.passed
    ]


def share(n_models, runs, caught_by, spread, **planted):
    """The share of models that fail a test whose name begins like one of `caught_by`."""
    hits = 0
    for seed in range(n_models):
        answers = simulate(np.random.default_rng(seed), spread, **planted)
        hits += any(name.startswith(tuple(caught_by)) for name in failed(answers, runs, seed))
    return hits / n_models


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", type=int, default=200, help="simulated models of each kind")
    parser.add_argument(
        "--unfair", type=int, default=40, help="simulated unfair models of each kind"
    )
    parser.add_argument("--runs", type=int, default=199, help="fair models behind one threshold")
    given = parser.parse_args()
    rows = []
    for name, spread in SPREADS.items():
        passed = 1.0 - share(given.models, given.runs, ["fairness/"], spread)
        rows.append(
            {
                "model": "fair",
                "spread": name,
                "models": given.models,
                "share that passes all": passed,
            }
        )
        print(*rows[-1].values(), sep="\t", flush=True)
    for name, spread in SPREADS.items():
        for words, planted, by in (
            ("women's recall 20 points lower", {"women": 0.2}, ["fairness/sex/"]),
            ("women's recall 40 points lower", {"women": 0.4}, ["fairness/sex/"]),
            ("recall of one sentence 40 points lower", {"sentence": 0.4}, ["fairness/sentence/"]),
        ):
            caught = share(given.unfair, given.runs, by, spread, **planted)
            rows.append(
                {"model": words, "spread": name, "models": given.unfair, "share caught": caught}
            )
            print(*rows[-1].values(), sep="\t", flush=True)
    out = ROOT / "results" / "check" / "thresholds.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    document = {"runs behind a threshold": given.runs, "recall": RECALL, "rows": rows}
    out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    into_docs("thresholds", table(rows))


def table(rows):
    """The rows as Markdown."""
    lines = [
        "| simulated model | between speakers | models | pass all | fail the test of the fault |"
    ]
    lines.append("|---|---|--:|--:|--:|")
    for row in rows:
        passed, caught = row.get("share that passes all"), row.get("share caught")
        shares = ("" if share is None else f"{share:.1%}" for share in (passed, caught))
        lines.append(
            f"| {row['model']} | {row['spread']} | {row['models']} | {' | '.join(shares)} |"
        )
    return "\n".join(lines)


def into_docs(name, block):
    """Write a block of Markdown between its marks in ``docs/check.md``."""
    page = ROOT / "docs" / "check.md"
    pattern = re.compile(f"(<!-- {name}: .*? -->).*?(<!-- end of {name} -->)", re.DOTALL)
    text = pattern.sub(
        lambda found: f"{found[1]}\n\n{block}\n\n{found[2]}", page.read_text("utf-8")
    )
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
