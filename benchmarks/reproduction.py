"""Looks for the reasons where a reproduced accuracy is not the published one.

Two questions, each answered on the published split and its repetitions:

``splits``
    How high is the published accuracy among those of 100 random splits? The published code lists its
    recordings in whatever order the file system gives, so nobody can tell which split its seed made.
``epochs``
    What would the networks have scored at the epoch that suits the test clips best? Such an accuracy
    is chosen on the test clips: it is no estimate of anything, and stands here as an explanation only.

``python benchmarks/reproduction.py splits path/to/ravdess`` (10 minutes) and ``… epochs path/to/ravdess``
(two hours; finished networks are kept) write ``results/reproduction/speech-and-song/splits.json`` and
``epochs.json``; without a source, both print what is committed.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from emoscope import dataset, protocols, reproduction
from emoscope.dataset.store import Store
from emoscope.models.network import training

OUT = Path(__file__).parents[1] / "results" / "reproduction" / "speech-and-song"
N_SPLITS, EVERY = 100, 5


class Probed(training.Trainer):
    """A training that notes the accuracy on the test clips every few epochs."""

    test = (np.empty(0, np.float32), np.empty(0, np.int64))
    n_emotions = 0

    def epoch(self, clips, valid, augment):
        super().epoch(clips, valid, augment)
        if len(self.history) % EVERY == 0:
            X, y = self.test
            self.net.eval()
            predicted = training.logits(self.net, X)[:, : self.n_emotions].argmax(1)
            self.history[-1]["test_accuracy"] = float(np.mean(predicted == y))


def load(source, spectrograms):
    """The 1,314 clips with what the models take, and the facts of what was published."""
    facts = reproduction.published()
    features = [*facts["features"], *["logmel"] * spectrograms]
    data = dataset.load(source, features, emotions=facts["emotions"], part="both", store=Store())
    return reproduction.without_two_channels(data, facts["split"]["two_channels"]), facts


def splits(source, rows):
    """Where each published accuracy lies among random splits: ``{row: what placed() gives}``."""
    data, facts = load(source, False)
    y = data.corpus.table["emotion"].to_numpy(dtype=str)
    found = {}
    for result in reproduction.published_results(facts, rows):
        if result.family not in reproduction.SEEDED:
            continue
        X, accuracies = data.features[result.info.input], []
        for seed in range(N_SPLITS):
            protocol = reproduction.RANDOM[result.info.input]
            (fold,) = protocols.folds(data.corpus.table, protocol, seed=seed)
            model = result.build(0).fit(X.rows(fold.train).values, y[fold.train])
            right = model.predict(X.rows(fold.test).values) == y[fold.test]
            accuracies.append(round(100 * float(right.mean()), 2))
        found[result.name] = placed(result.accuracy, accuracies)
        print(line_of_splits(result.name, **found[result.name]), flush=True)
    return found


def placed(published, accuracies):
    """Where a published accuracy lies among those of splits, in percent."""
    low, median, high = (round(float(v), 1) for v in np.percentile(accuracies, [2.5, 50, 97.5]))
    as_high = round(100 * float(np.mean(np.array(accuracies) >= published)))
    return {"published": published, "median": median, "low": low, "high": high, "as_high": as_high}


def line_of_splits(name, published, median, low, high, as_high):
    """What the splits say of one row."""
    spread = f"median {median:.1f}, 95 % of splits {low:.1f} to {high:.1f}"
    return f"{name}: published {published:.1f}; {spread}; as high or higher in {as_high} %"


def epochs(source, rows):
    """History of each network on the published split: ``{row: {published, last, best, epoch}}``."""
    data, facts = load(source, rows is None or any("2D" in row for row in rows))
    training.Trainer = Probed
    found = {}
    asked = reproduction.published_results(facts, rows)
    asked = [result for result in asked if result.family.startswith("CNN")]
    planned = reproduction.plan(asked, data, facts["split"]["seed"], quick=False, seed=0)
    for one, unit in planned:
        if not protocols.shares_speakers(unit.about["protocol"]):
            continue
        model = unit.estimator
        train, test = (unit.features.rows(n).values for n in (unit.fold.train, unit.fold.test))
        classes, labels = np.unique(unit.emotions, return_inverse=True)
        checked, _ = model._check(test, reset=True)
        Probed.test = (np.ascontiguousarray(model._grids(checked)), labels[unit.fold.test])
        Probed.n_emotions = len(classes)
        model.fit(train, unit.emotions[unit.fold.train])
        found[one.name] = best_of(one.accuracy, model.history_)
        print(line_of_epochs(one.name, **found[one.name]), flush=True)
    return found


def best_of(published, history):
    """Accuracy of the last epoch, and of the one that suits the test clips best, in percent."""
    noted = [
        (100 * row["test_accuracy"], row["epoch"]) for row in history if "test_accuracy" in row
    ]
    best, epoch = max(noted, key=lambda pair: (pair[0], -pair[1]))
    last = {"last": round(noted[-1][0], 2), "train": round(100 * history[-1]["train_accuracy"], 2)}
    return {"published": published, **last, "best": round(best, 2), "epoch": epoch}


def line_of_epochs(name, published, last, train, best, epoch):
    """What the epochs say of one network."""
    chosen = f"best on the test clips {best:.1f} (epoch {epoch})"
    return (
        f"{name}: published {published:.1f}; last epoch {last:.1f}, training {train:.1f}; {chosen}"
    )


def main():
    """Run, or print what is committed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("question", choices=("splits", "epochs"))
    parser.add_argument("source", nargs="?", help="a folder with both halves of RAVDESS")
    parser.add_argument("--rows", nargs="+", help="only rows whose name contains one of these")
    asked = parser.parse_args()
    make, line = {"splits": (splits, line_of_splits), "epochs": (epochs, line_of_epochs)}[
        asked.question
    ]
    path = OUT / f"{asked.question}.json"
    known = json.loads(path.read_text("utf-8")) if path.exists() else {}
    if asked.source is None:
        for name, row in known.items():
            print(line(name, **row))
        return
    known |= make(asked.source, asked.rows)
    path.write_text(json.dumps(known, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
