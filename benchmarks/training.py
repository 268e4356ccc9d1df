"""Training time of the published 1-D networks: ours against a plain loop, on one core, in one run.

Both train the same network by the same rule (RMSprop at 5e-5, batches of 20, raw features) on the
same 985 clips of the shipped RAVDESS features and are scored on the same 329. The plain loop is
what most people write: library layers, a data loader, loss and accuracy read back per batch.

    python benchmarks/training.py --networks a --epochs 500 --out results/benchmarks

Pin it to a core (``taskset -c 0``) on a quiet machine. Times per epoch are medians with quartiles;
processor time is given beside the clock's, since it forgives what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
import unittest.mock
from pathlib import Path

import numpy as np
import sklearn
import torch
from sklearn.model_selection import train_test_split

from emoscope import models
from emoscope.dataset import bundled
from emoscope.models.network import Conv, Dropout, output_sizes, training
from emoscope.models.network.module import fast_precision

N_TRAIN, N_TEST = 985, 329
N_OUTPUTS, N_COLUMNS = 8, 180


def clips(seed):
    """Training and test clips, drawn at random as published: speakers on both sides."""
    corpus, vector, _ = bundled.load()
    X = vector.select(["mfcc", "chroma", "mel"]).X
    y = np.unique(corpus.table["emotion"].to_numpy(dtype=str), return_inverse=True)[1]
    parts = train_test_split(
        X, y.astype(np.int64), train_size=N_TRAIN, test_size=N_TEST, random_state=seed
    )
    return parts[0], parts[2], parts[1], parts[3]


def plain_network(layers):
    """Library layers, one after another, channels first."""
    parts, channels = [], 1
    for layer in layers:
        if isinstance(layer, Conv):
            parts += [
                torch.nn.Conv1d(channels, layer.filters, layer.size[1], padding="same"),
                torch.nn.ReLU(),
            ]
            channels = layer.filters
        elif isinstance(layer, Dropout):
            parts.append(torch.nn.Dropout(layer.rate))
        else:
            parts.append(torch.nn.MaxPool1d(layer.size[1]))
    rows, columns, filters = output_sizes(layers, (1, N_COLUMNS))[-1]
    net = torch.nn.Sequential(
        *parts, torch.nn.Flatten(), torch.nn.Linear(rows * columns * filters, N_OUTPUTS)
    )
    for part in net:
        if hasattr(part, "weight"):
            torch.nn.init.xavier_uniform_(part.weight)
            torch.nn.init.zeros_(part.bias)
    return net


class Clock:
    """Seconds of each epoch, by the wall and by the processor."""

    def __init__(self):
        self.wall, self.processor = [], []
        self.now = time.perf_counter(), time.process_time()

    def tick(self, *_):
        last, self.now = self.now, (time.perf_counter(), time.process_time())
        self.wall.append(self.now[0] - last[0])
        self.processor.append(self.now[1] - last[1])


def train_plain(layers, X, y, *, epochs, seed):
    """The plain loop; returns how to predict, and its clock."""
    torch.manual_seed(seed)
    net = plain_network(layers)
    data = torch.utils.data.TensorDataset(torch.from_numpy(X).unsqueeze(1), torch.from_numpy(y))
    loader = torch.utils.data.DataLoader(data, batch_size=20, shuffle=True)
    optimiser = torch.optim.RMSprop(net.parameters(), lr=5e-5, alpha=0.9, eps=1e-7)
    clock = Clock()
    for _ in range(epochs):
        loss_sum = correct = 0.0
        for X_batch, y_batch in loader:
            optimiser.zero_grad()
            logits = net(X_batch)
            loss = torch.nn.functional.cross_entropy(logits, y_batch)
            loss.backward()
            optimiser.step()
            loss_sum += loss.item() * len(y_batch)
            correct += (logits.argmax(1) == y_batch).sum().item()
        clock.tick()

    def predict(X):
        with torch.no_grad():
            return net.eval()(torch.from_numpy(X).unsqueeze(1)).argmax(1).numpy()

    return predict, clock


def train_ours(letter, X, y, *, epochs, seed):
    """The published form as users get it; returns how to predict, and its clock."""
    model = models.get(f"cnn1d-{letter}").as_published(seed).set_params(epochs=epochs)
    clock, epoch = Clock(), training.Trainer.epoch

    def timed(trainer, *data):
        epoch(trainer, *data)
        clock.tick()

    with unittest.mock.patch.object(training.Trainer, "epoch", timed):
        model.fit(X, y)
    return model.predict, clock


def summary(clock, predict, data):
    X, y, X_test, y_test = data
    quartiles = statistics.quantiles(clock.wall, n=4)
    return {
        "seconds_per_epoch": quartiles[1],
        "quartiles": [quartiles[0], quartiles[2]],
        "processor_seconds_per_epoch": statistics.median(clock.processor),
        "seconds": sum(clock.wall),
        "training_accuracy": float((predict(X) == y).mean()),
        "test_accuracy": float((predict(X_test) == y_test).mean()),
    }


def compare(letter, *, epochs, seed):
    """One network both ways."""
    data = clips(seed)
    layers = models.get(f"cnn1d-{letter}").build(0).layers
    predict, clock = train_plain(layers, *data[:2], epochs=epochs, seed=seed)
    plain = summary(clock, predict, data)
    predict, clock = train_ours(letter, *data[:2], epochs=epochs, seed=seed)
    ours = summary(clock, predict, data)
    accuracy = (plain["test_accuracy"] + ours["test_accuracy"]) / 2
    return {
        "network": f"cnn1d-{letter}",
        "epochs": epochs,
        "plain": plain,
        "ours": ours,
        "ratio": plain["seconds_per_epoch"] / ours["seconds_per_epoch"],
        "processor_ratio": plain["processor_seconds_per_epoch"]
        / ours["processor_seconds_per_epoch"],
        # standard deviation of the difference of two accuracies on so many clips
        "accuracy_noise": float(np.sqrt(2 * accuracy * (1 - accuracy) / N_TEST)),
    }


def machine():
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor(),
        "precision": str(fast_precision()).removeprefix("torch."),
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "scikit-learn": sklearn.__version__,
    }


def as_markdown(result):
    lines = [
        "# Training the published 1-D networks: ours against a plain loop",
        "",
        f"{N_TRAIN} clips, one thread, both in one run. "
        + ", ".join(f"{key} {value}" for key, value in result["machine"].items())
        + ".",
        "",
        "| network | epochs | plain, s/epoch | ours, s/epoch | ratio | ratio, processor time "
        "| accuracy plain | accuracy ours | one standard deviation |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in result["networks"]:
        cells = []
        for side in (row["plain"], row["ours"]):
            low, high = side["quartiles"]
            cells.append(f"{side['seconds_per_epoch']:.3f} ({low:.3f} to {high:.3f})")
        cells += [f"**{row['ratio']:.2f}**", f"{row['processor_ratio']:.2f}"]
        cells += [f"{100 * row[side]['test_accuracy']:.1f} %" for side in ("plain", "ours")]
        cells.append(f"{100 * row['accuracy_noise']:.1f} %")
        lines.append(f"| {row['network']} | {row['epochs']} | " + " | ".join(cells) + " |")
    lines += ["", "Times are medians (quartiles). Command: `python benchmarks/training.py`.", ""]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", default="a,b,c,d", help="letters, e.g. a,d")
    parser.add_argument("--epochs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for letter in options.networks.split(","):
        rows.append(compare(letter, epochs=options.epochs, seed=options.seed))
        print(f"cnn1d-{letter}: {rows[-1]['ratio']:.2f} times as fast", flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "training.json"
    # Networks that were measured another time stay.
    before = json.loads(file.read_text())["networks"] if file.exists() else []
    measured = {row["network"] for row in rows}
    rows += [row for row in before if row["network"] not in measured]
    rows.sort(key=lambda row: row["network"])
    result = {"machine": machine(), "networks": rows}
    file.write_text(json.dumps(result, indent=1) + "\n")
    (options.out / "training.md").write_text(as_markdown(result))
    print(as_markdown(result))


if __name__ == "__main__":
    main()
