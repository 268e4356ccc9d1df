"""What corrections are worth: a simulated user corrects segments of a corpus that the model never heard.

    EMOSCOPE_DATA=DATA python benchmarks/corrections.py            # nEMO, ten users
    EMOSCOPE_DATA=DATA python benchmarks/corrections.py --choose   # the priors, on RAVDESS and EmoSpeech

The model is ``free``, which was trained on EMO-DB alone. Of each simulated user a third of the speakers
are held out; the user corrects clips of the others, in an order: at random, the least confident first,
or those whose two best emotions are closest. Measured is the UAR on the speakers held out. The priors
were chosen on RAVDESS and EmoSpeech; nEMO is the test. Writes ``results/corrections.json``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
from pathlib import Path

import numpy as np

from emoscope import corpus, modelfile
from emoscope.evaluation import metrics
from emoscope.evaluation.saved_model import infer
from emoscope.modelfile import softmax
from emoscope.training import adapting

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "results" / "corrections.json"
COUNTS = (0, 10, 50, 200)
USERS = 10
HELD_OUT = 1 / 3  # of the speakers
CHOICES = tuple(itertools.product((0.1, 0.3, 1.0, 3.0), (0.1, 0.3, 1.0)))


def embedded(name: str, work: Path | None) -> dict[str, np.ndarray]:
    """Logits, inputs, labels and speakers of a corpus, by ``free``; 'calm' counts as neutral."""
    kept = work / f"{name}.npz" if work else None
    if kept and kept.exists():
        return dict(np.load(kept))
    model = modelfile.load("free")
    found = infer(model, corpus.load(Path(os.environ["EMOSCOPE_DATA"], name)))
    emotions = model.card.emotions
    words = found.corpus.table["emotion"].replace("calm", "neutral").to_numpy(str)
    used = np.isin(words, emotions)
    values = {
        "logits": found.logits[used] / model.card.temperature,
        "inputs": adapting.inputs_of(found.embeddings[used]),
        "labels": np.array([emotions.index(word) for word in words[used]]),
        "speakers": found.corpus.table["unique_speaker"].to_numpy(str)[used],
    }
    if kept:
        np.savez(kept, **values)
    return values


def order(how: str, logits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """In which order a user corrects clips."""
    shuffled = rng.permutation(len(logits))
    best = np.sort(softmax(logits[shuffled]), axis=1)
    if how == "least confident first":
        return shuffled[np.argsort(best[:, -1], kind="stable")]
    if how == "closest two emotions first":
        return shuffled[np.argsort(best[:, -1] - best[:, -2], kind="stable")]
    return shuffled


ORDERS = ("at random", "least confident first", "closest two emotions first")


def simulate(values: dict[str, np.ndarray], how: str, user: int) -> list[float]:
    """UAR on the speakers held out, after each number of corrections."""
    rng = np.random.default_rng(user)
    speakers = rng.permutation(np.unique(values["speakers"]))
    test = np.isin(values["speakers"], speakers[: max(1, round(HELD_OUT * len(speakers)))])
    asked = np.flatnonzero(~test)
    asked = asked[order(how, values["logits"][asked], rng)]
    truth, scores = values["labels"][test].astype(str), []
    for count in COUNTS:
        told = asked[:count]
        added = adapting.fit(values["logits"][told], values["inputs"][told], values["labels"][told])
        found = values["logits"][test] + values["inputs"][test] @ added
        scores.append(metrics.uar(truth, found.argmax(axis=1).astype(str)))
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--choose", action="store_true", help="compare priors on the other corpora")
    parser.add_argument("--work", type=Path, help="a folder that keeps embeddings")
    given = parser.parse_args()
    if given.choose:
        for name in ("ravdess", "emospeech"):
            values = embedded(name, given.work)
            for adapting.WEIGHTS, adapting.BIASES in CHOICES:
                scores = np.mean([simulate(values, ORDERS[0], user) for user in range(3)], axis=0)
                print(name, adapting.WEIGHTS, adapting.BIASES, scores.round(3), flush=True)
        return
    values, found = embedded("nemo", given.work), {}
    for how in ORDERS:
        scores = np.array([simulate(values, how, user) for user in range(USERS)])
        found[how] = {
            str(n): {"mean": float(s.mean()), "sd": float(s.std(ddof=1))}
            for n, s in zip(COUNTS, scores.T, strict=True)
        }
        print(how, {n: round(s["mean"], 3) for n, s in found[how].items()}, flush=True)
    OUT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
