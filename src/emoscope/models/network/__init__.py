"""Convolutional networks as scikit-learn classifiers: their layers as data, and how they learn.

A network is a tuple of layers applied in order to a grid of values with one channel: a row of
columns ``(1, n_columns)`` for the 1-D networks, a picture ``(n_rows, n_columns)`` for the 2-D ones.
It ends, unstated, in a flattening and a dense layer with one output per emotion. Convolutions keep
the size of the grid (zeros outside it) and are followed by a rectifier.

The published form sees raw values and trains for a fixed number of epochs. The default form
standardises with what it learned from training clips and gives all emotions the same weight. It
trains twice: first without some of the training speakers, to find the number of epochs after which
unseen voices are recognised best, then for that many epochs with everybody.

PyTorch is imported when a network is fitted (:mod:`.module`, :mod:`.training`).
"""

from __future__ import annotations

import dataclasses
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d

from ...errors import MissingExtraError, ModelError
from ..base import best_epoch, held_out, learn_floor, learn_scaling, log_levels, need_several

Size: TypeAlias = tuple[int, int]
OnEpoch: TypeAlias = Callable[[int, int, dict[str, float]], None]


@dataclasses.dataclass(frozen=True)
class Conv:
    """Convolution with ``filters`` filters of ``size`` (rows, columns), then a rectifier."""

    filters: int
    size: Size


@dataclasses.dataclass(frozen=True)
class Pool:
    """Largest value of each ``size`` (rows, columns) block.

    ``padding`` says what happens to a last, incomplete block: ``valid`` drops it (Keras's default),
    ``same`` keeps it, the blocks being centred on the grid (tflearn's default).
    """

    size: Size
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
                raise ModelError(
                    "the input is too small for the network: pooling leaves nothing of "
                    f"{grid[0]} x {grid[1]} values"
                )
        elif isinstance(layer, Dense):
            rows, columns, channels = 1, 1, layer.units
        sizes.append((rows, columns, channels))
    return sizes


def _deep() -> tuple[ModuleType, ModuleType]:
    """The modules that need PyTorch."""
    try:
        from . import module, training
    except ImportError as error:
        if (error.name or "torch").split(".")[0] != "torch":
            raise
        raise MissingExtraError("a convolutional network", "torch", "deep") from error
    return module, training


class NetworkClassifier(ClassifierMixin, BaseEstimator, ABC):  # type: ignore[misc]
    """Base of the convolutional networks; a subclass says how clips become a grid of numbers.

    Parameters
    ----------
    layers : tuple of Layer
        The network, without its last dense layer.
    as_published : bool
        Learn from raw values and keep the weights of the last epoch, all clips counting the same.
        Otherwise scale the input, give all emotions the same weight, and keep a running average
        of the weights.
    n_outputs : int or None
        Outputs of the last dense layer; None takes one per emotion. Outputs beyond the emotions are
        trained, as in the published code, and never predicted.
    optimiser : str
        Name in ``training.OPTIMISERS``.
    patience : int or None
        Epochs without a higher UAR on the held-out speakers (see ``base.best_epoch``) before the
        search ends. None: nobody is held out and all epochs are trained.
    learning_rate, batch_size, epochs, seed
        The same seed gives the same network on the same machine.

    Attributes
    ----------
    classes_, n_features_in_
        Emotions, sorted, and the number of columns of a vector or of bins of a frame.
    history_, best_epoch_
        Per epoch: epoch, train_loss, train_accuracy, and, of the search, valid_loss and valid_uar;
        and the number of epochs the network was trained for.
    floor_, mean_, scale_ : ndarray of float32, shape (n_columns,) or ()
        The network sees ``(level - mean_) / scale_``, level being the value or, where ``floor_`` is
        not NaN, ``log(max(value, 0) + floor_)``.
    module_ : torch.nn.Module
    """

    initial_weights = "he"
    """How weights start; see ``module.initialise``."""
    takes_logarithms = False
    """Whether columns that are never negative, such as energies, are replaced by logarithms."""

    def __init__(
        self,
        layers: tuple[Layer, ...],
        *,
        as_published: bool = False,
        n_outputs: int | None = None,
        optimiser: str = "adamw",
        learning_rate: float = 1e-3,
        batch_size: int = 64,
        epochs: int = 60,
        patience: int | None = 15,
        seed: int = 0,
    ) -> None:
        self.layers = layers
        self.as_published = as_published
        self.n_outputs = n_outputs
        self.optimiser = optimiser
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.epochs = epochs
        self.patience = patience
        self.seed = seed

    @abstractmethod
    def _check(self, X: Any, *, reset: bool) -> tuple[Any, int]:
        """The clips, validated, and their number of columns or bins; `reset` while fitting."""

    @abstractmethod
    def _grids(self, X: Any) -> NDArray[np.float32]:
        """The clips as the network sees them before scaling, (n_clips, rows, columns)."""

    def _augmentation(self) -> Any:
        """What is done to a batch while training; nothing here."""
        return None

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        groups: ArrayLike | None = None,
        *,
        checkpoint: str | Path | None = None,
        on_epoch: OnEpoch | None = None,
    ) -> NetworkClassifier:
        """Train; whole speakers, `groups`, are held out in the search.

        `checkpoint` is a file that keeps the state while training. If it exists, training continues
        from it and ends with the network an undisturbed run would have given.
        ``on_epoch(epoch, epochs, metrics)`` is called after each epoch.

        Raises
        ------
        ModelError
            When the clips cannot be used, or the checkpoint is of another training.
        """
        clips, self.n_features_in_ = self._check(X, reset=True)
        y = np.asarray(column_or_1d(y, warn=True))
        check_classification_targets(y)
        if len(y) != len(clips):
            raise ModelError(f"{len(clips)} clips and {len(y)} emotions; they must be as many")
        self.classes_, labels = np.unique(y, return_inverse=True)
        need_several(self.classes_)
        if self.n_outputs is not None and self.n_outputs < len(self.classes_):
            raise ModelError(
                f"{len(self.classes_)} emotions need {len(self.classes_)} outputs; the network has "
                f"{self.n_outputs}"
            )
        grids, labels = self._grids(clips), labels.astype(np.int64)
        path = None if checkpoint is None else Path(checkpoint)
        everybody, epochs, search = np.arange(len(labels)), self.epochs, None
        if self.patience is not None:
            learn, validate = held_out(y, groups, seed=self.seed)
            aside = path and path.with_name(f"{path.name}.search")
            search = self._train(grids, labels, learn, validate, epochs, aside, on_epoch)
            epochs = best_epoch(search)
        history = self._train(grids, labels, everybody, None, epochs, path, on_epoch)
        self.history_, self.best_epoch_ = search or history, epochs
        return self

    def _train(
        self,
        grids: NDArray[np.float32],
        labels: NDArray[np.int64],
        learn: NDArray[np.intp],
        validate: NDArray[np.intp] | None,
        epochs: int,
        checkpoint: Path | None,
        on_epoch: OnEpoch | None,
    ) -> list[dict[str, float]]:
        """Scale by, and learn from, some of the clips; sets the network and returns the history."""
        module, training = _deep()
        output_sizes(self.layers, grids.shape[1:])
        self._learn_scaling(grids[learn])
        X, y = self._scaled(grids[learn]), labels[learn]
        n_outputs = self.n_outputs or len(self.classes_)
        class_weight = None
        if not self.as_published:
            counts = np.maximum(np.bincount(y, minlength=n_outputs), 1)
            class_weight = (len(y) / (len(self.classes_) * counts)).astype(np.float32)
        settings = training.Settings(
            optimiser=self.optimiser,
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            epochs=epochs,
            patience=None if validate is None else self.patience,
            averaged=not self.as_published,
            seed=self.seed,
        )
        self.module_, history = training.train(
            lambda: module.ConvNet(
                self.layers, grids.shape[1:], n_outputs, scheme=self.initial_weights
            ),
            (X, y),
            None if validate is None else (self._scaled(grids[validate]), labels[validate]),
            settings,
            class_weight=class_weight,
            augment=self._augmentation(),
            checkpoint=checkpoint,
            fingerprint="" if checkpoint is None else self._fingerprint(X, y, learn),
            on_epoch=on_epoch,
        )
        recorded: list[dict[str, float]] = history
        return recorded

    def _learn_scaling(self, grids: NDArray[np.float32]) -> None:
        self.floor_ = np.full(grids.shape[-1:], np.nan, np.float32)
        self.mean_: NDArray[Any] = np.zeros((), np.float32)
        self.scale_: NDArray[Any] = np.ones((), np.float32)
        if not self.as_published:
            if self.takes_logarithms:
                self.floor_ = learn_floor(grids)
            self.mean_, self.scale_ = learn_scaling(log_levels(grids, self.floor_))

    def _scaled(self, grids: NDArray[np.float32]) -> NDArray[np.float32]:
        scaled = (log_levels(grids, self.floor_) - self.mean_) / self.scale_
        return np.ascontiguousarray(scaled, dtype=np.float32)

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probability of each emotion, shape (n_clips, n_classes)."""
        check_is_fitted(self, "module_")
        clips, n_features = self._check(X, reset=False)
        if n_features != self.n_features_in_:
            raise ModelError(
                f"X has {n_features} columns or bins, but {type(self).__name__} was fitted with "
                f"{self.n_features_in_}"
            )
        _, training = _deep()
        logits = training.logits(self.module_, self._scaled(self._grids(clips)))
        probabilities: NDArray[np.float64] = softmax(logits[:, : len(self.classes_)], axis=1)
        return probabilities

    def predict(self, X: Any) -> NDArray[Any]:
        """The most probable emotion of each clip, shape (n_clips,)."""
        best = self.predict_proba(X).argmax(1)
        chosen: NDArray[Any] = self.classes_[best]
        return chosen

    def _fingerprint(self, *arrays: NDArray[Any]) -> str:
        digest = hashlib.sha256(repr(sorted(self.get_params().items())).encode())
        for array in arrays:
            digest.update(repr((array.shape, array.dtype.str)).encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()
