"""Trains a :class:`.module.ConvNet`: optimisers, augmentation, the loop."""

import contextlib
import copy
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..base import best_epoch, recall
from . import History, NetworkClassifier
from .module import ConvNet

Augment: TypeAlias = Callable[[Tensor], Tensor]
Clips: TypeAlias = tuple[NDArray[np.float32], NDArray[np.int64]]

PREDICTION_BATCH = 128
AVERAGING = 0.98  # share of the running average of the weights that each step keeps
WARM_UP = 0.25  # share of the steps of one cycle
LEAST_STEPS = 16  # of an epoch of one cycle, for which few clips are cut into smaller batches
LEAST_BATCH = 8


class TensorFlowRMSprop(torch.optim.Optimizer):
    """RMSprop as TensorFlow 1 had it: running mean square from 1, epsilon under the root."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, {"lr": lr, "rho": 0.9, "eps": 1e-10})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Move each weight by ``lr * g / sqrt(mean(g^2) + eps)``."""
        for group in self.param_groups:
            for weight in group["params"]:
                mean_square = self.state[weight].setdefault("mean_square", torch.ones_like(weight))
                mean_square.mul_(group["rho"])
                mean_square.addcmul_(weight.grad, weight.grad, value=1 - group["rho"])
                root = mean_square.add(group["eps"]).sqrt_()
                weight.addcdiv_(weight.grad, root, value=-group["lr"])


# Those of the published code differ from PyTorch's in small print.
OPTIMISERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    # Keras: running mean square from 0, epsilon 1e-7 outside the root
    "keras-rmsprop": partial(torch.optim.RMSprop, alpha=0.9, eps=1e-7),
    "tensorflow-rmsprop": TensorFlowRMSprop,
    # TensorFlow: sums of squares from 0.1, no epsilon
    "tensorflow-adagrad": partial(torch.optim.Adagrad, initial_accumulator_value=0.1, eps=0.0),
    "adam": partial(torch.optim.Adam, eps=1e-8, fused=True),
    "adamw": partial(torch.optim.AdamW, fused=True),
}


def _stripes(n: int, length: int, widest: int) -> Tensor:
    """One random stripe of up to ``widest`` of ``length`` places per clip: bool (n, length)."""
    width = torch.randint(0, widest + 1, (n, 1))
    start = (torch.rand(n, 1) * (length - width + 1)).long()
    place = torch.arange(length)
    return (place >= start) & (place < start + width)


def spec_augment(X: Tensor, *, shift: int, frames: int, bins: int) -> Tensor:
    """Shift clips in time and blank stripes, as Park et al., SpecAugment, Interspeech 2019."""
    n, n_frames, n_bins = X.shape
    moved = torch.arange(n_frames) + torch.randint(-shift, shift + 1, (n, 1))
    X = X[torch.arange(n).unsqueeze(1), moved.remainder(n_frames)]
    X = X.masked_fill(_stripes(n, n_frames, frames).unsqueeze(2), 0)
    return X.masked_fill(_stripes(n, n_bins, bins).unsqueeze(1), 0)


@contextlib.contextmanager
def isolated(seed: int) -> Iterator[None]:
    """Seeded random numbers inside, and one thread, so that sums are added in the same order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)


class Trainer:
    """A network in training, and the history of its epochs."""

    def __init__(self, model: NetworkClassifier, clips: Clips, epochs: int) -> None:
        X, y = clips
        n_emotions = len(model.classes_)
        n_outputs = model.n_outputs or n_emotions
        self.net = ConvNet(model.layers, X.shape[1:], n_outputs, scheme=model.initial_weights)
        # The average of the weights is nearer to a good place than any of them.
        self.kept = self.net if model.as_published else copy.deepcopy(self.net)
        self.optimiser = OPTIMISERS[model.optimiser](self.net.parameters(), lr=model.learning_rate)
        self.batch_size = model.batch_size
        self.schedule: Any = None
        if model.one_cycle:
            self.batch_size = min(model.batch_size, max(LEAST_BATCH, len(y) // LEAST_STEPS))
            steps = epochs * math.ceil(len(y) / self.batch_size)
            # L. Smith, N. Topin. Super-convergence. arXiv 1708.07120, 2018.
            self.schedule = torch.optim.lr_scheduler.OneCycleLR(
                self.optimiser, model.learning_rate, total_steps=steps + 1, pct_start=WARM_UP
            )
        weight = None
        if not model.as_published:
            counts = np.maximum(np.bincount(y, minlength=n_outputs), 1)
            weight = torch.from_numpy((len(y) / (n_emotions * counts)).astype(np.float32))
        self.loss = nn.CrossEntropyLoss(weight=weight)
        self.steps = 0
        self.history: History = []

    def epoch(self, clips: Clips, valid: Clips | None, augment: Augment | None) -> None:
        """Learn once from every clip, and score the `valid` ones."""
        X, y = map(torch.from_numpy, clips)
        self.net.train()
        total, right = torch.zeros(()), torch.zeros(())
        for rows in torch.split(torch.randperm(len(y)), self.batch_size):
            batch = X[rows]
            logits = self.net(augment(batch) if augment else batch)
            loss = self.loss(logits, y[rows])
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            if self.schedule is not None:
                self.schedule.step()
            if self.kept is not self.net:
                self._average()
            # Read back from PyTorch only when the epoch ends.
            total += loss.detach() * len(rows)
            right += (logits.detach().argmax(1) == y[rows]).sum()
        row = {"epoch": len(self.history) + 1, "train_loss": float(total) / len(y)}
        row["train_accuracy"] = float(right) / len(y)
        self.history.append(row if valid is None else {**row, **self._validate(*valid)})

    @torch.no_grad()
    def _average(self) -> None:
        self.steps += 1
        share = min(AVERAGING, self.steps / (self.steps + 10))  # short while weights are far off
        for average, weight in zip(self.kept.parameters(), self.net.parameters(), strict=True):
            average.lerp_(weight, 1 - share)

    def _validate(self, X: NDArray[np.float32], y: NDArray[np.int64]) -> dict[str, float]:
        found = torch.from_numpy(logits(self.kept.eval(), X)).float()
        loss = self.loss(found, torch.from_numpy(y))
        return {"valid_loss": float(loss), "valid_uar": recall(y, found.argmax(1).numpy())}


def train(
    model: NetworkClassifier, clips: Clips, valid: Clips | None, epochs: int
) -> tuple[ConvNet, History]:
    """A trained network and its history, a row per epoch; `valid` clips are scored, not learned."""
    augment = model.augmentation()
    patience = epochs if valid is None or model.patience is None else model.patience
    with isolated(model.seed):
        trainer = Trainer(model, clips, epochs)
        history = trainer.history
        while len(history) < epochs:
            trainer.epoch(clips, valid, augment)
            if valid is not None and len(history) - best_epoch(history) >= patience:
                break
    net = trainer.kept.eval()
    net.zero_grad(set_to_none=True)
    return net.requires_grad_(False), history


def logits(net: ConvNet, X: NDArray[np.float32]) -> NDArray[np.float64]:
    """What the network says of each clip, before the softmax: (n_clips, n_outputs)."""
    with isolated(0), torch.inference_mode():
        parts = torch.split(torch.from_numpy(X), PREDICTION_BATCH)
        return torch.cat([net(part) for part in parts]).double().numpy()
