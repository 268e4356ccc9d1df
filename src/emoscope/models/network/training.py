"""Trains a :class:`.module.ConvNet`: optimisers, augmentation, the loop, its checkpoints."""

import contextlib
import copy
import hashlib
import io
import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import balanced_accuracy_score
from torch import Tensor, nn

from ...errors import ModelError
from ...files import write_atomically
from ..base import best_epoch
from . import History, NetworkClassifier, OnEpoch
from .module import ConvNet

Augment: TypeAlias = Callable[[Tensor], Tensor]
Clips: TypeAlias = tuple[NDArray[np.float32], NDArray[np.int64]]

PREDICTION_BATCH = 128
AVERAGING = 0.98  # share of the running average of the weights that each step keeps
CHECKPOINT_SECONDS = 30.0  # writing one takes milliseconds
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


class _Trainer:
    def __init__(self, model: NetworkClassifier, clips: Clips, epochs: int) -> None:
        X, y = clips
        n_emotions = len(model.classes_)
        n_outputs = model.n_outputs or n_emotions
        self.net = ConvNet(model.layers, X.shape[1:], n_outputs, scheme=model.initial_weights)
        self.weights = list(self.net.parameters())
        self.optimiser = OPTIMISERS[model.optimiser](self.weights, lr=model.learning_rate)
        self.batch_size, self.averages = model.batch_size, not model.as_published
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
        self.average = [weight.detach().clone() for weight in self.weights]
        self.steps = 0
        self.history: History = []

    def epoch(self, clips: Clips, valid: Clips | None, augment: Augment | None) -> None:
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
            if self.averages:
                self.steps += 1
                # Short at first, when the weights are far off.
                kept = min(AVERAGING, self.steps / (self.steps + 10))
                for average, weight in zip(self.average, self.weights, strict=True):
                    average.lerp_(weight.detach(), 1 - kept)
            # Read back from PyTorch only when the epoch ends.
            total += loss.detach() * len(rows)
            right += (logits.detach().argmax(1) == y[rows]).sum()
        row = {"epoch": len(self.history) + 1, "train_loss": float(total) / len(y)}
        row["train_accuracy"] = float(right) / len(y)
        self.history.append(row if valid is None else {**row, **self._validate(*valid)})

    @torch.no_grad()
    def _validate(self, X: NDArray[np.float32], y: NDArray[np.int64]) -> dict[str, float]:
        self.net.eval()
        total, predicted = torch.zeros(()), []
        with self.averaged():
            for start in range(0, len(y), PREDICTION_BATCH):
                part = slice(start, start + PREDICTION_BATCH)
                true = torch.from_numpy(y[part])
                logits = self.net(torch.from_numpy(X[part]))
                total += self.loss(logits, true) * len(true)
                predicted.append(logits.argmax(1))
        uar = balanced_accuracy_score(y, torch.cat(predicted).numpy())
        return {"valid_loss": float(total) / len(y), "valid_uar": float(uar)}

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """The average as the network's weights, inside: it is nearer to a good place than any."""
        if not self.averages:
            yield
            return
        last = [weight.detach().clone() for weight in self.weights]
        self._set_weights(self.average)
        try:
            yield
        finally:
            self._set_weights(last)

    @torch.no_grad()
    def _set_weights(self, values: list[Tensor]) -> None:
        for weight, value in zip(self.weights, values, strict=True):
            weight.copy_(value)

    def save(self, path: Path, fingerprint: str) -> None:
        state = {
            "fingerprint": fingerprint,
            "weights": [weight.detach() for weight in self.weights],
            "average": self.average,
            "steps": self.steps,
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule and self.schedule.state_dict(),
            "random": torch.get_rng_state(),
            "history": self.history,
        }
        content = io.BytesIO()
        torch.save(state, content)
        write_atomically(path, content.getvalue())

    def restore(self, path: Path, fingerprint: str) -> None:
        try:
            state = torch.load(path, weights_only=True)
            origin = state["fingerprint"]
        except Exception as error:
            raise ModelError(f"{path} is not a training checkpoint: {error}") from error
        if origin != fingerprint:
            other = "belongs to a training with other clips or other parameters"
            raise ModelError(f"{path} {other}; delete it or name another file")
        self._set_weights(state["weights"])
        self.average, self.steps = state["average"], state["steps"]
        self.optimiser.load_state_dict(state["optimiser"])
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])
        torch.set_rng_state(state["random"])
        self.history = state["history"]


def train(
    model: NetworkClassifier, clips: Clips, valid: Clips | None, epochs: int,
    checkpoint: Path | None, on_epoch: OnEpoch | None,
) -> tuple[ConvNet, History]:  # fmt: skip
    """A trained network and its history, a row per epoch; `valid` clips are scored, not learned."""
    digest = hashlib.sha256(repr(sorted(model.get_params().items())).encode())
    for array in clips if checkpoint else ():
        digest.update(repr((array.shape, array.dtype.str)).encode() + array.tobytes())
    fingerprint = digest.hexdigest()
    augment = model.augmentation()
    patience = None if valid is None else model.patience

    def finished(history: History) -> bool:
        n = len(history)
        stalled = patience is not None and n > 0 and n - best_epoch(history) >= patience
        return n >= epochs or stalled

    with isolated(model.seed):
        trainer = _Trainer(model, clips, epochs)
        if checkpoint is not None and checkpoint.exists():
            trainer.restore(checkpoint, fingerprint)
        saved = time.monotonic()
        while not finished(trainer.history):
            trainer.epoch(clips, valid, augment)
            late = time.monotonic() - saved >= CHECKPOINT_SECONDS
            if checkpoint is not None and (late or finished(trainer.history)):
                trainer.save(checkpoint, fingerprint)
                saved = time.monotonic()
            if on_epoch is not None:
                on_epoch(len(trainer.history), epochs, dict(trainer.history[-1]))
        with trainer.averaged():
            net = copy.deepcopy(trainer.net).eval()
    net.zero_grad(set_to_none=True)
    return net.requires_grad_(False), trainer.history


def logits(net: ConvNet, X: NDArray[np.float32]) -> NDArray[np.float64]:
    """What the network says of each clip, before the softmax: (n_clips, n_outputs)."""
    with isolated(0), torch.inference_mode():
        parts = torch.split(torch.from_numpy(X), PREDICTION_BATCH)
        return torch.cat([net(part) for part in parts]).double().numpy()
