"""The two published 2-D convolutional networks, which read the spectrogram as a picture.

As published the picture is grey, 150 x 150, however long the clip: speech is stretched or squeezed.
The sound form keeps time as it is: the middle of the log-mel spectrogram, cut or padded to a fixed
length, standardised per band, shifted and striped at random while training.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from .architecture import Conv, Dense, Dropout, Layer, Pool
from .base import ModelInfo
from .network import NetworkClassifier

PICTURE_SIDE = 150
POOL = Pool((5, 5), "same")
HEAD: tuple[Layer, ...] = (Dense(1024), Dropout(0.2))


def _stack(*filters: int) -> tuple[Layer, ...]:
    """Convolutions of 5 x 5, each with its pooling."""
    return tuple(layer for n in filters for layer in (Conv(n, (5, 5)), POOL))


ARCHITECTURES: dict[str, tuple[Layer, ...]] = {
    "a": (*_stack(32, 64, 128, 64, 32), *HEAD),
    "b": (*_stack(32, 64, 64, 128), Dropout(0.2), *_stack(64, 32, 32), *HEAD),
}


def checked_frames(X: Any) -> tuple[list[NDArray[np.float32]], int]:
    """Clips as float32 matrices, and their number of bins.

    Raises
    ------
    ModelError
        When a clip is no matrix, is empty, is not finite, or has other bins than the first.
    """
    clips = [np.asarray(clip, dtype=np.float32) for clip in X]
    if not clips:
        raise ModelError("there is no clip")
    for position, clip in enumerate(clips):
        if clip.ndim != 2 or clip.size == 0:
            raise ModelError(
                f"clip {position} has shape {clip.shape}; a 2-D network takes (n_frames, n_bins)"
            )
        if clip.shape[1] != clips[0].shape[1]:
            raise ModelError(
                f"clip {position} has {clip.shape[1]} bins, clip 0 has {clips[0].shape[1]}"
            )
        if not np.isfinite(clip).all():
            raise ModelError(f"clip {position} contains NaN or infinite values")
    return clips, clips[0].shape[1]


@lru_cache(maxsize=512)
def _resampling(n: int, target: int) -> NDArray[np.float32]:
    """Matrix (target, n) of linear interpolation between the centres of n cells."""
    centres = np.clip((np.arange(target) + 0.5) * n / target - 0.5, 0, n - 1)
    below = np.minimum(centres.astype(int), max(n - 2, 0))
    matrix = np.zeros((target, n), np.float32)
    matrix[np.arange(target), below] = below + 1 - centres
    matrix[np.arange(target), np.minimum(below + 1, n - 1)] += (centres - below).astype(np.float32)
    return matrix


def grey_picture(clip: NDArray[np.float32], *, side: int = PICTURE_SIDE) -> NDArray[np.float32]:
    """A log-mel spectrogram as the published code saw it.

    Parameters
    ----------
    clip : ndarray of shape (n_frames, n_bins)
    side : int
        Height and width, in pixels.

    Returns
    -------
    ndarray of float32, shape (side, side)
        Frequency upwards, time to the right; 0 the least and 1 the greatest value of the clip.
        Resized bilinearly.
    """
    low, high = float(clip.min()), float(clip.max())
    grey = (clip - low) / np.float32(high - low if high > low else 1)
    rows, columns = _resampling(clip.shape[1], side), _resampling(clip.shape[0], side)
    picture: NDArray[np.float32] = rows @ grey.T[::-1] @ columns.T
    return picture


class _ClipNetwork(NetworkClassifier):
    """A network over log-mel spectrograms, whose numbers of frames differ."""

    def _check(self, X: Any, *, reset: bool) -> tuple[list[NDArray[np.float32]], int]:
        return checked_frames(X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.three_d_array = False, True
        return tags


class PictureNetwork(_ClipNetwork):
    """A network over grey pictures of log-mel spectrograms; parameters as in the base class."""

    def _grids(self, X: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        return np.stack([grey_picture(clip) for clip in X])


class FrameNetwork(_ClipNetwork):
    """A network over log-mel frames of fixed number.

    Parameters
    ----------
    frames : int
        Frames kept from the middle of a clip; a shorter one is surrounded by its quietest value.
    merge : int
        Frames averaged into one.
    shift, blank_frames, blank_bins : int
        Most that training moves a clip, and widest stripes it blanks, after merging.
    **parameters
        As in the base class.
    """

    def __init__(
        self,
        layers: tuple[Layer, ...],
        *,
        frames: int = 120,
        merge: int = 2,
        shift: int = 6,
        blank_frames: int = 8,
        blank_bins: int = 10,
        n_outputs: int | None = None,
        optimiser: str = "adamw",
        learning_rate: float = 5e-4,
        weight_decay: float | None = None,
        batch_size: int = 32,
        epochs: int = 30,
        patience: int | None = 10,
        held_out_fraction: float = 0.2,
        standardise: bool = True,
        logarithmic: bool = False,
        averaging: float | None = 0.98,
        balanced: bool = True,
        initial_weights: str = "he",
        precision: str = "auto",
        seed: int = 0,
    ) -> None:
        super().__init__(
            layers,
            n_outputs=n_outputs,
            optimiser=optimiser,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            batch_size=batch_size,
            epochs=epochs,
            patience=patience,
            held_out_fraction=held_out_fraction,
            standardise=standardise,
            logarithmic=logarithmic,
            averaging=averaging,
            balanced=balanced,
            initial_weights=initial_weights,
            precision=precision,
            seed=seed,
        )
        self.frames = frames
        self.merge = merge
        self.shift = shift
        self.blank_frames = blank_frames
        self.blank_bins = blank_bins

    def _grids(self, X: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Middles of the clips; bins are filled up to whole pooling blocks with the last one."""
        spare = -X[0].shape[1] % POOL.size[1]
        grids = np.empty((len(X), self.frames, X[0].shape[1] + spare), np.float32)
        for grid, clip in zip(grids, X, strict=True):
            start = (len(clip) - self.frames) // 2
            wanted = np.arange(start, start + self.frames)
            inside = (wanted >= 0) & (wanted < len(clip))
            grid[~inside] = clip.min()
            grid[inside] = np.pad(clip[wanted[inside]], ((0, 0), (0, spare)), mode="edge")
        merged = grids.reshape(len(X), self.frames // self.merge, self.merge, -1).mean(2)
        return np.asarray(merged, np.float32)

    def _augmentation(self) -> Any:
        from .deep.augment import spec_augment

        return partial(
            spec_augment, shift=self.shift, frames=self.blank_frames, bins=self.blank_bins
        )


def build(seed: int, *, architecture: str) -> FrameNetwork:
    """The sound form."""
    return FrameNetwork(ARCHITECTURES[architecture], seed=seed)


def published(
    seed: int, *, architecture: str = "a", optimiser: str, learning_rate: float
) -> PictureNetwork:
    """The published form: 500 epochs of tflearn's default batches, start and optimisers."""
    return PictureNetwork(
        ARCHITECTURES[architecture],
        optimiser=optimiser,
        learning_rate=learning_rate,
        batch_size=64,
        epochs=500,
        patience=None,
        standardise=False,
        balanced=False,
        initial_weights="tflearn",
        seed=seed,
    )


PUBLISHED_A = {
    "CNN-2D A, Adam 1e-3": partial(published, optimiser="adam", learning_rate=1e-3),
    "CNN-2D A, Adagrad 1e-3": partial(
        published, optimiser="tensorflow-adagrad", learning_rate=1e-3
    ),
    "CNN-2D A, Adagrad 5e-3": partial(
        published, optimiser="tensorflow-adagrad", learning_rate=5e-3
    ),
    "CNN-2D A, Adam 5e-5": partial(published, optimiser="adam", learning_rate=5e-5),
}
PUBLISHED_B = {
    "CNN-2D B, RMSprop 1e-3": partial(
        published, architecture="b", optimiser="tensorflow-rmsprop", learning_rate=1e-3
    )
}

SEARCH: dict[str, list[Any]] = {"learning_rate": [2e-4, 5e-4, 1e-3], "batch_size": [16, 32, 64]}

MEMBERS = {
    "cnn2d-a": ModelInfo(
        "cnn2d-a",
        "CNN-2D A",
        "frames",
        partial(build, architecture="a"),
        PUBLISHED_A["CNN-2D A, Adam 1e-3"],
        PUBLISHED_A,
        search=SEARCH,
    ),
    "cnn2d-b": ModelInfo(
        "cnn2d-b",
        "CNN-2D B",
        "frames",
        partial(build, architecture="b"),
        PUBLISHED_B["CNN-2D B, RMSprop 1e-3"],
        PUBLISHED_B,
        search=SEARCH,
    ),
}
