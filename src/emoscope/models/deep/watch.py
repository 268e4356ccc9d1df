"""Watches a training: history, early stopping, checkpoint.

A checkpoint holds tensors and plain values only and is read with ``weights_only=True``: it cannot
run code.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from skorch.callbacks import Callback

from ...errors import ModelError
from ..base import best_epoch

# Writing a checkpoint takes milliseconds; this loses at most half a minute of training.
CHECKPOINT_SECONDS = 30.0


class Stop(Exception):
    """All epochs are trained, or the held-out score has not risen for ``patience`` of them."""


class Watch(Callback):  # type: ignore[misc]
    """Keeps the history and the checkpoint, and stops when patience ends."""

    def __init__(
        self,
        *,
        epochs: int,
        patience: int | None,
        checkpoint: Path | None,
        fingerprint: str,
        on_epoch: Callable[[int, int, dict[str, float]], None] | None,
    ) -> None:
        self.epochs, self.patience, self.on_epoch = epochs, patience, on_epoch
        self.checkpoint, self.fingerprint = checkpoint, fingerprint
        self.rows: list[dict[str, float]] = []
        self.saved = time.monotonic()

    def on_epoch_end(self, net: Any, **_: Any) -> None:
        """Record the epoch that ended."""
        kept = ("train_loss", "train_accuracy", "valid_loss", "valid_uar")
        last = net.history[-1]
        row = {"epoch": len(self.rows) + 1, **{key: last[key] for key in kept if key in last}}
        self.rows.append(row)
        done = self.finished
        if self.checkpoint and (done or time.monotonic() - self.saved >= CHECKPOINT_SECONDS):
            self.save(net)
        if self.on_epoch:
            self.on_epoch(int(row["epoch"]), self.epochs, dict(row))
        if done:
            raise Stop

    @property
    def finished(self) -> bool:
        """Whether training ends here: all epochs done, or patience at its end."""
        n = len(self.rows)
        stalled = self.patience is not None and n - best_epoch(self.rows) >= self.patience
        return n >= self.epochs or stalled

    def save(self, net: Any) -> None:
        """Write the checkpoint beside its final place, then move it there in one step."""
        assert self.checkpoint is not None
        state = {
            "fingerprint": self.fingerprint,
            "weights": net.flat_.detach(),
            "average": net.average_,
            "steps": net.steps_,
            "optimiser": net.optimizer_.state_dict(),
            "random": torch.get_rng_state(),
            "history": self.rows,
        }
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        part = self.checkpoint.with_name(f"{self.checkpoint.name}.{os.getpid()}.part")
        torch.save(state, part)
        os.replace(part, self.checkpoint)
        self.saved = time.monotonic()

    def restore(self, net: Any) -> None:
        """Continue from the checkpoint, if there is one.

        Raises
        ------
        ModelError
            When the file is no checkpoint, or one of another training.
        """
        if self.checkpoint is None or not self.checkpoint.exists():
            return
        try:
            state = torch.load(self.checkpoint, weights_only=True)
            fingerprint = state["fingerprint"]
        except Exception as error:
            raise ModelError(f"{self.checkpoint} is not a training checkpoint: {error}") from error
        if fingerprint != self.fingerprint:
            raise ModelError(
                f"{self.checkpoint} belongs to a training with other clips or other parameters; "
                "delete it or name another file"
            )
        net.flat_.data.copy_(state["weights"])
        net.average_.copy_(state["average"])
        net.steps_ = state["steps"]
        net.optimizer_.load_state_dict(state["optimiser"])
        torch.set_rng_state(state["random"])
        self.rows = state["history"]
