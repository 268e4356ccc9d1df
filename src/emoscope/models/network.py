"""A convolutional network as a scikit-learn classifier; PyTorch is imported when it is fitted.

Subclasses say how clips become a grid of numbers: a row of columns, or a picture. The published
form sees raw values and trains for a fixed number of epochs. The sound form standardises with what
it learned from training clips and weights the emotions equally. It trains twice: first without some
of the training speakers, to see on them after how many epochs unheard voices are recognised best,
then for that many epochs with everybody.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d

from ..errors import MissingExtraError, ModelError
from .architecture import Layer, output_sizes
from .base import best_epoch, held_out, need_several
from .scaling import learn_floor, learn_scaling, levels


def _deep() -> tuple[ModuleType, ModuleType]:
    """The modules that need PyTorch."""
    try:
        from .deep import module, training
    except ImportError as error:
        package = error.name or "torch"
        if package.split(".")[0] not in ("torch", "skorch"):
            raise
        raise MissingExtraError("a convolutional network", package, "deep") from error
    return module, training


class NetworkClassifier(ClassifierMixin, BaseEstimator, ABC):  # type: ignore[misc]
    """Base of the convolutional networks.

    Parameters
    ----------
    layers : tuple of Layer
        The network, without its last dense layer.
    n_outputs : int or None
        Outputs of the last dense layer; None takes one per emotion. Outputs beyond the emotions are
        trained, as in the published code, and never predicted.
    optimiser : str
        Name in ``deep.optimisers.OPTIMISERS``.
    learning_rate, weight_decay : float
        ``weight_decay`` is for optimisers that have one; None leaves their default.
    batch_size : int
        Clips per step.
    epochs : int
        Most epochs.
    patience : int or None
        Epochs without a higher UAR on the held-out speakers (see ``base.best_epoch``) before the
        search ends. None: nobody is held out and all epochs are trained.
    held_out_fraction : float
        Part of the training speakers to hold out while searching.
    standardise : bool
        Whether input is scaled to mean 0 and standard deviation 1 over the clips learned from.
    logarithmic : bool
        Whether columns that are never negative, such as the energies of mel bands, are replaced by
        their logarithms before scaling. Their spread over voices is one of factors, not of sums.
    averaging : float or None
        Share of the running average of the weights that each step keeps; the average is what is
        watched and kept. None: the last weights.
    balanced : bool
        Whether every emotion has the same weight in the loss.
    initial_weights : {"glorot", "he", "tflearn"}
        See ``deep.module.initialise``.
    precision : {"auto", "float32", "bfloat16"}
        Arithmetic while training; ``auto`` is bfloat16 on processors with matrix units for it.
        Prediction is always float32.
    seed : int
        The same seed gives the same network on the same machine.

    Attributes
    ----------
    classes_ : ndarray
        Emotions, sorted.
    n_features_in_ : int
        Columns of a vector, or bins of a frame.
    history_ : list of dict
        Per epoch: epoch, train_loss, train_accuracy, and, of the search, valid_loss and valid_uar.
    best_epoch_ : int
        Number of epochs the network was trained for.
    floor_, mean_, scale_ : ndarray of float32, shape (n_columns,) or ()
        The network sees ``(level - mean_) / scale_``, level being the value or, where ``floor_`` is
        not NaN, ``log(max(value, 0) + floor_)``.
    module_ : torch.nn.Module
        The trained network.
    """

    def __init__(
        self,
        layers: tuple[Layer, ...],
        *,
        n_outputs: int | None = None,
        optimiser: str = "adamw",
        learning_rate: float = 1e-3,
        weight_decay: float | None = None,
        batch_size: int = 64,
        epochs: int = 60,
        patience: int | None = 15,
        held_out_fraction: float = 0.2,
        standardise: bool = True,
        logarithmic: bool = False,
        averaging: float | None = None,
        balanced: bool = True,
        initial_weights: str = "glorot",
        precision: str = "auto",
        seed: int = 0,
    ) -> None:
        self.layers = layers
        self.n_outputs = n_outputs
        self.optimiser = optimiser
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.epochs = epochs
        self.patience = patience
        self.held_out_fraction = held_out_fraction
        self.standardise = standardise
        self.logarithmic = logarithmic
        self.averaging = averaging
        self.balanced = balanced
        self.initial_weights = initial_weights
        self.precision = precision
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
        on_epoch: Callable[[int, int, dict[str, float]], None] | None = None,
    ) -> NetworkClassifier:
        """Train.

        Parameters
        ----------
        X : array of shape (n_clips, n_columns), or sequence of arrays (n_frames, n_bins)
        y : array-like of shape (n_clips,)
            Emotions.
        groups : array-like of shape (n_clips,), optional
            Speakers. Given, whole speakers are held out in the search; else clips are.
        checkpoint : path, optional
            File that keeps the state while training. If it exists, training continues from it and
            ends with the network an undisturbed run would have given.
        on_epoch : callable, optional
            ``on_epoch(epoch, epochs, metrics)`` after each epoch.

        Returns
        -------
        NetworkClassifier
            Itself.

        Raises
        ------
        MissingExtraError
            When PyTorch or skorch is not installed.
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
        grids, labels = self._grids(clips), labels.astype(np.int64)
        path = None if checkpoint is None else Path(checkpoint)
        everybody, epochs, search = np.arange(len(labels)), self.epochs, None
        if self.patience is not None:
            learn, watch = held_out(y, groups, fraction=self.held_out_fraction, seed=self.seed)
            aside = path and path.with_name(f"{path.name}.search")
            search = self._train(grids, labels, learn, watch, self.epochs, aside, on_epoch)
            epochs = best_epoch(search)
        history = self._train(grids, labels, everybody, None, epochs, path, on_epoch)
        self.history_, self.best_epoch_ = search or history, epochs
        return self

    def _train(
        self,
        grids: NDArray[np.float32],
        labels: NDArray[np.int64],
        learn: NDArray[np.intp],
        watch: NDArray[np.intp] | None,
        epochs: int,
        checkpoint: Path | None,
        on_epoch: Callable[[int, int, dict[str, float]], None] | None,
    ) -> list[dict[str, float]]:
        """Scale by, and learn from, some of the clips; sets the network and returns the history."""
        _, training = _deep()
        unscaled = np.full(grids.shape[-1:], np.nan, np.float32)
        self.floor_ = learn_floor(grids[learn]) if self.logarithmic else unscaled
        self.mean_: NDArray[Any] = np.zeros((), np.float32)
        self.scale_: NDArray[Any] = np.ones((), np.float32)
        if self.standardise:
            self.mean_, self.scale_ = learn_scaling(levels(grids[learn], self.floor_))
        X, y = self._scaled(grids[learn]), labels[learn]
        self.module_, history = training.train(
            self._builder(grids.shape[1:]),
            X,
            y,
            valid=None if watch is None else (self._scaled(grids[watch]), labels[watch]),
            class_weight=self._class_weight(y),
            optimiser=(self.optimiser, self._optimiser_settings()),
            epochs=epochs,
            batch_size=self.batch_size,
            patience=self.patience,
            seed=self.seed,
            averaging=self.averaging,
            augment=self._augmentation(),
            checkpoint=checkpoint,
            fingerprint="" if checkpoint is None else self._fingerprint(X, y, learn),
            on_epoch=on_epoch,
        )
        recorded: list[dict[str, float]] = history
        return recorded

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probability of each emotion.

        Parameters
        ----------
        X : array of shape (n_clips, n_columns), or sequence of arrays (n_frames, n_bins)

        Returns
        -------
        ndarray of shape (n_clips, n_classes)
        """
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

    def _scaled(self, grids: NDArray[np.float32]) -> NDArray[np.float32]:
        scaled = (levels(grids, self.floor_) - self.mean_) / self.scale_
        return np.ascontiguousarray(scaled, dtype=np.float32)

    def _outputs(self) -> int:
        n = len(self.classes_)
        if self.n_outputs is not None and self.n_outputs < n:
            raise ModelError(f"{n} emotions need {n} outputs; the network has {self.n_outputs}")
        return self.n_outputs or n

    def _builder(self, grid: tuple[int, int]) -> Callable[[], Any]:
        module, training = _deep()
        try:
            output_sizes(self.layers, grid)
        except ValueError as error:
            raise ModelError(f"the input is too small for the network: {error}") from error
        import torch

        named = {"float32": torch.float32, "bfloat16": torch.bfloat16}
        precision = named.get(self.precision) or training.fast_precision()
        return lambda: module.ConvNet(
            self.layers,
            grid,
            self._outputs(),
            scheme=self.initial_weights,
            precision=precision,
        )

    def _optimiser_settings(self) -> dict[str, float]:
        settings = {"lr": self.learning_rate}
        if self.weight_decay is not None:
            settings["weight_decay"] = self.weight_decay
        return settings

    def _class_weight(self, labels: NDArray[np.int64]) -> NDArray[np.float32] | None:
        if not self.balanced:
            return None
        counts = np.bincount(labels, minlength=self._outputs())
        return (len(labels) / (len(self.classes_) * np.maximum(counts, 1))).astype(np.float32)

    def _fingerprint(self, *arrays: NDArray[Any]) -> str:
        digest = hashlib.sha256(repr(sorted(self.get_params().items())).encode())
        for array in arrays:
            digest.update(repr((array.shape, array.dtype.str)).encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()
