"""Convolutional networks as scikit-learn classifiers: their layers as data, and how they learn.

A network is a tuple of layers for a grid of values with one channel, ``(1, n_columns)`` for the 1-D
networks or ``(n_rows, n_columns)``, followed by a dense layer with one output per emotion. Convolutions
keep the size of the grid and are followed by a rectifier. Training takes a fixed number of epochs, or
finds it by a first training without some speakers. PyTorch is imported in ``fit``.
"""

import dataclasses
from abc import abstractmethod
from collections.abc import Callable
from types import ModuleType
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d

from ...errors import ModelError, installed
from ...files import sentence
from ..base import Model, best_epoch, distinct, held_out, learn_floor, learn_scaling, log_levels

Size: TypeAlias = tuple[int, int]
Rows: TypeAlias = NDArray[np.intp]
History: TypeAlias = list[dict[str, float]]


@dataclasses.dataclass(frozen=True)
class Conv:
    """Convolution with ``filters`` filters of ``size`` (rows, columns), then a rectifier."""

    filters: int
    size: Size


@dataclasses.dataclass(frozen=True)
class Pool:
    """Largest value of each ``size`` (rows, columns) block."""

    size: Size
    # A last, incomplete block is dropped (Keras), or kept and the blocks centred (tflearn).
    padding: Literal["valid", "same"]


@dataclasses.dataclass(frozen=True)
class Dropout:
    """Sets values to zero with probability ``rate`` while training, and scales up the others."""

    rate: float


@dataclasses.dataclass(frozen=True)
class Dense:
    """Fully connected layer of ``units``, then a rectifier."""

    units: int


Layer: TypeAlias = Conv | Pool | Dropout | Dense


def pooled(n: int, width: int, padding: str) -> int:
    """Number of blocks of ``width`` along ``n`` values."""
    return n // width if padding == "valid" else -(-n // width)


def output_sizes(layers: tuple[Layer, ...], grid: Size) -> list[tuple[int, int, int]]:
    """Rows, columns and channels after each layer; a dense layer counts as one cell."""
    rows, columns, channels = *grid, 1
    sizes = []
    for layer in layers:
        if isinstance(layer, Conv):
            channels = layer.filters
        elif isinstance(layer, Pool):
            rows = pooled(rows, layer.size[0], layer.padding)
            columns = pooled(columns, layer.size[1], layer.padding)
            if rows * columns == 0:
                raise ModelError(sentence("pooled_away", rows=grid[0], columns=grid[1]))
        elif isinstance(layer, Dense):
            rows, columns, channels = 1, 1, layer.units
        sizes.append((rows, columns, channels))
    return sizes


def _deep() -> ModuleType:
    installed("torch", "a convolutional network", "deep")
    from . import training

    return training


class NetworkClassifier(Model):
    """Base of the convolutional networks; a subclass says how clips become a grid of numbers.

    As published it learns from raw values and keeps the last weights. Otherwise it scales the input,
    gives all emotions the same weight, and keeps a running average of the weights.
    """

    initial_weights = "he"  # see `module.initialise`
    takes_logarithms = False  # of columns that are never negative, such as energies

    def __init__(
        self,
        layers: tuple[Layer, ...],  # without the last dense layer
        *,
        as_published: bool = False,
        n_outputs: int | None = None,  # beyond the emotions: trained, as published, not predicted
        optimiser: str = "adamw",  # a name in `training.OPTIMISERS`
        learning_rate: float = 1e-3,
        batch_size: int = 64,
        epochs: int = 60,
        patience: int | None = 15,  # epochs without a higher held-out UAR; None: nobody held out
        one_cycle: bool = False,  # the learning rate is the highest of one cycle
        seed: int = 0,  # gives the same network on the same machine
    ) -> None:
        self.layers = layers
        self.as_published = as_published
        self.n_outputs = n_outputs
        self.optimiser = optimiser
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.epochs = epochs
        self.patience = patience
        self.one_cycle = one_cycle
        self.seed = seed

    @abstractmethod
    def _check(self, X: Any, *, reset: bool) -> tuple[Any, int]:
        """The clips, validated, and their number of columns or bins; `reset` while fitting."""

    @abstractmethod
    def _grids(self, X: Any) -> NDArray[np.float32]:
        """The clips as the network sees them before scaling, (n_clips, rows, columns)."""

    def augmentation(self) -> Callable[[Any], Any] | None:
        """What changes a batch of clips while training, if anything does."""
        return None

    def fit(self, X: Any, y: ArrayLike, groups: ArrayLike | None = None) -> "NetworkClassifier":
        """Train, whole `groups` held out in the search for the number of epochs."""
        clips, self.n_features_in_ = self._check(X, reset=True)
        y = np.asarray(column_or_1d(y, warn=True))
        check_consistent_length(clips, y)
        self.classes_, labels = distinct(y)
        if self.n_outputs is not None and self.n_outputs < (needed := len(self.classes_)):
            raise ModelError(sentence("few_outputs", needed=needed, has=self.n_outputs))
        training, grids, targets = _deep(), self._grids(clips), labels.astype(np.int64)

        def train(learn: Rows, held: Rows | None, epochs: int) -> History:
            seen, self.floor_ = grids[learn], np.full(grids.shape[-1:], np.nan, np.float32)
            self.mean_: NDArray[Any] = np.zeros((), np.float32)
            self.scale_: NDArray[Any] = np.ones((), np.float32)
            if not self.as_published:
                if self.takes_logarithms:
                    self.floor_ = learn_floor(seen)
                self.mean_, self.scale_ = learn_scaling(log_levels(seen, self.floor_))
            shown, valid = (
                None if rows is None else (self._scaled(grids[rows]), targets[rows])
                for rows in (learn, held)
            )
            history: History
            self.module_, history = training.train(self, shown, valid, epochs)
            return history

        everybody, epochs, search = np.arange(len(labels)), self.epochs, None
        if self.patience is not None:
            learn, validate = held_out(y, groups, seed=self.seed)
            search = train(learn, validate, epochs)
            epochs = best_epoch(search)
        history = train(everybody, None, epochs)
        self.history_, self.best_epoch_ = search or history, epochs
        return self

    def _scaled(self, grids: NDArray[np.float32]) -> NDArray[np.float32]:
        scaled = (log_levels(grids, self.floor_) - self.mean_) / self.scale_
        return np.ascontiguousarray(scaled, dtype=np.float32)

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probability of each emotion, shape (n_clips, n_classes)."""
        check_is_fitted(self, "module_")
        clips, n_features = self._check(X, reset=False)
        if n_features != self.n_features_in_:
            found, name = f"X has {n_features} columns or bins", type(self).__name__
            raise ModelError(f"{found}, but {name} was fitted with {self.n_features_in_}")
        logits = _deep().logits(self.module_, self._scaled(self._grids(clips)))
        return np.asarray(softmax(logits[:, : len(self.classes_)], axis=1))
