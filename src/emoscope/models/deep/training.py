"""Trains a :class:`.module.ConvNet` through skorch, and asks it.

skorch runs the loop and keeps the history; replaced are its batches (tensors in memory, no loader)
and its per-batch bookkeeping (nothing is read back from PyTorch before the epoch ends).
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import skorch
import torch
from numpy.typing import NDArray
from skorch.dataset import Dataset
from skorch.helper import predefined_split
from torch import Tensor, nn

from .module import ConvNet
from .optimisers import OPTIMISERS
from .watch import Stop, Watch

Augment: TypeAlias = Callable[[Tensor], Tensor]

PREDICTION_BATCH = 128


def fast_precision() -> torch.dtype:
    """bfloat16 where the processor multiplies matrices of it in hardware, else float32."""
    known = getattr(torch.cpu, "_is_amx_tile_supported", None)
    capable = known is not None and known()
    return torch.bfloat16 if capable else torch.float32


@contextlib.contextmanager
def isolated(seed: int) -> Iterator[None]:
    """Seeded random numbers and one thread inside; what the caller had is restored after.

    One thread: the matrices are small, other folds use the other cores, and sums are then always
    added in the same order.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)


class _Batches:
    """Batches of tensors that are in memory already, in a new order each time."""

    def __init__(self, data: Dataset, size: int, *, shuffle: bool, augment: Augment | None) -> None:
        self.X, self.y = data.X, data.y
        self.size, self.shuffle, self.augment = size, shuffle, augment

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        n = len(self.y)
        order = torch.randperm(n) if self.shuffle else torch.arange(n)
        for start in range(0, n, self.size):
            rows = order[start : start + self.size]
            X = self.X[rows]
            yield (self.augment(X) if self.augment else X), self.y[rows]


def _laid_out(weight: Tensor, *, back: bool = False) -> Tensor:
    """Kernels in the order of axes in which they are multiplied.

    A kernel of one row goes into a matrix product as columns, inputs, filters; any other into a
    convolution with channels last as filters, rows, columns, inputs. Copies in each step are saved.
    """
    if weight.ndim != 4:
        return weight
    one_row = weight.shape[0 if back else 2] == 1
    if one_row:
        return weight.permute(3, 2, 0, 1) if back else weight.permute(2, 3, 1, 0)
    return weight.permute(0, 3, 1, 2) if back else weight.permute(0, 2, 3, 1)


class _Trainer(skorch.NeuralNet):  # type: ignore[misc]  # skorch has no type hints
    """skorch's loop over :class:`_Batches`, with all weights in one tensor.

    An optimiser then makes a handful of calls per step instead of a handful per layer.
    """

    augment: Augment | None = None
    averaging: float | None = None

    def initialize_module(self) -> _Trainer:
        """Build the network and lay its weights and gradients out in one piece each."""
        super().initialize_module()
        weights = list(self.module_.parameters())
        flat = torch.cat([_laid_out(w.detach()).reshape(-1) for w in weights])
        gradient = torch.zeros_like(flat)
        start = 0
        for weight in weights:
            part = slice(start, start + weight.numel())
            shape = _laid_out(weight).shape
            weight.data = _laid_out(flat[part].view(shape), back=True)
            weight.grad = _laid_out(gradient[part].view(shape), back=True)
            start = part.stop
        self.average_, self.steps_ = flat.clone(), 0
        self.flat_ = nn.Parameter(flat)
        self.flat_.grad = self.gradient_ = gradient
        return self

    def get_all_learnable_params(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The one tensor that holds them all."""
        yield "flat", self.flat_

    def get_iterator(self, dataset: Dataset, training: bool = False) -> _Batches:
        """Batches without a loader."""
        size = self.batch_size if training else PREDICTION_BATCH
        augment = self.augment if training else None
        return _Batches(dataset, size, shuffle=training, augment=augment)

    def run_single_epoch(
        self, iterator: _Batches | None, training: bool, prefix: str, step_fn: Any, **_: Any
    ) -> None:
        """One pass over the training or the held-out clips; records its loss and its score."""
        if iterator is None:
            return
        self._set_training(training)
        if not training and self.averaging is not None:
            with self.averaged():
                self._pass(iterator, False, prefix)
        else:
            self._pass(iterator, training, prefix)

    def _pass(self, iterator: _Batches, training: bool, prefix: str) -> None:
        total, outputs = torch.zeros(()), []
        with torch.set_grad_enabled(training):
            for X, y in iterator:
                logits = self.module_(X)
                loss = self.criterion_(logits, y)
                if training:
                    self.gradient_.zero_()
                    loss.backward()
                    self.optimizer_.step()
                    self._average()
                total += loss.detach() * len(y)
                outputs.append((logits.detach().argmax(1), y))
        predicted, true = (torch.cat(part).numpy() for part in zip(*outputs, strict=True))
        self.history.record(f"{prefix}_loss", float(total) / len(true))
        right = predicted == true
        if training:
            self.history.record("train_accuracy", float(right.mean()))
        else:
            recalls = [right[true == label].mean() for label in np.unique(true)]
            self.history.record("valid_uar", float(np.mean(recalls)))

    def _average(self) -> None:
        """Move the running average of the weights; short at first, when they are far off."""
        if self.averaging is not None:
            self.steps_ += 1
            kept = min(self.averaging, self.steps_ / (self.steps_ + 10))
            self.average_.lerp_(self.flat_.detach(), 1 - kept)

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """The average as the network's weights, inside."""
        last = self.flat_.detach().clone()
        self.flat_.data.copy_(self.average_)
        try:
            yield
        finally:
            self.flat_.data.copy_(last)


def train(
    build: Callable[[], ConvNet],
    X: NDArray[np.float32],
    y: NDArray[np.int64],
    *,
    valid: tuple[NDArray[np.float32], NDArray[np.int64]] | None,
    class_weight: NDArray[np.float32] | None,
    optimiser: tuple[str, dict[str, float]],
    epochs: int,
    batch_size: int,
    patience: int | None,
    seed: int,
    averaging: float | None = None,
    augment: Augment | None = None,
    checkpoint: Path | None = None,
    fingerprint: str = "",
    on_epoch: Callable[[int, int, dict[str, float]], None] | None = None,
) -> tuple[ConvNet, list[dict[str, float]]]:
    """Train a network.

    Parameters
    ----------
    build : callable
        Makes the network; called once, after seeding.
    X : ndarray of float32, shape (n_clips, rows, columns)
    y : ndarray of int, shape (n_clips,)
        Numbers of the emotions.
    valid : tuple of ndarray, or None
        Held-out clips, as ``(X, y)``: watched, never learned from.
    class_weight : ndarray of float32, shape (n_outputs,), or None
        Weight of each emotion in the loss.
    optimiser : tuple
        Name in ``optimisers.OPTIMISERS``, and what differs from its settings there (``lr`` at least).
    patience : int or None
        Epochs without a higher held-out score before training ends, as ``base.best_epoch`` has it;
        None trains all ``epochs``.
    averaging : float or None
        Share of the running average that a step keeps; given, the average is the network. Weights
        wander about a good place, and their mean is nearer to it.
    checkpoint, fingerprint : Path or None, str
        Where to save the state, and what identifies this training.
    on_epoch : callable, optional
        ``on_epoch(epoch, epochs, metrics)`` after each epoch.

    Returns
    -------
    net : ConvNet
        Ready to predict.
    history : list of dict
        Per epoch: epoch, train_loss, train_accuracy, and valid_loss and valid_uar if held out.
    """
    kind, settings = OPTIMISERS[optimiser[0]]
    settings = {**settings, **optimiser[1]}
    watch = Watch(
        epochs=epochs,
        patience=patience if valid else None,
        checkpoint=checkpoint,
        fingerprint=fingerprint,
        on_epoch=on_epoch,
    )
    with isolated(seed):
        held_out = Dataset(*map(torch.from_numpy, valid)) if valid else None
        weight = None if class_weight is None else torch.from_numpy(class_weight)
        net = _Trainer(
            build(),
            criterion=nn.CrossEntropyLoss(weight=weight),
            optimizer=kind,
            batch_size=batch_size,
            train_split=predefined_split(held_out) if held_out else None,
            callbacks=[("watch", watch)],
            verbose=0,
            **{f"optimizer__{key}": value for key, value in settings.items()},
        )
        net.augment, net.averaging = augment, averaging
        net.initialize()
        watch.restore(net)
        if not (watch.rows and watch.finished):
            with contextlib.suppress(Stop):
                net.fit_loop(torch.from_numpy(X), torch.from_numpy(y), epochs=epochs)
        with net.averaged() if averaging is not None else contextlib.nullcontext():
            module: ConvNet = copy.deepcopy(net.module_).eval()
    module.zero_grad(set_to_none=True)
    return module.requires_grad_(False), watch.rows


def logits(net: ConvNet, X: NDArray[np.float32]) -> NDArray[np.float64]:
    """What the network says of each clip, before the softmax: (n_clips, n_outputs)."""
    with isolated(0), torch.inference_mode():
        parts = torch.split(torch.from_numpy(X), PREDICTION_BATCH)
        return torch.cat([net(part) for part in parts]).double().numpy()
