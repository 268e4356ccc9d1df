"""The published 2-D convolutional networks, which read the spectrogram as a picture.

As published the picture is grey, 150 x 150, however long the clip. The default form keeps time: the
middle of the log-mel spectrogram, cut or padded to a fixed length.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_array

from ..errors import ModelError
from .network import NetworkClassifier
from .onnx_graph import from_torch, need

PICTURE_SIDE = 150
BLOCK = 5  # bins that a layer pools


def grey_picture(clip: NDArray[np.float32]) -> NDArray[np.float32]:
    """A log-mel spectrogram as the published code saw it: grey levels 0 to 255, frequency upwards."""
    import torch

    low, high = float(clip.min()), float(clip.max())
    grey = (clip - low) * np.float32(255 / (high - low) if high > low else 1)
    upright = torch.tensor(grey.T[::-1].copy())[None, None]
    size = (PICTURE_SIDE, PICTURE_SIDE)
    picture = torch.nn.functional.interpolate(upright, size, mode="bilinear")
    return np.asarray(picture[0, 0].numpy())


class _ClipNetwork(NetworkClassifier):
    def _check(self, X: Any, *, reset: bool) -> tuple[list[NDArray[np.float32]], int]:
        clips = [check_array(clip, dtype=np.float32) for clip in X]
        widths = sorted({clip.shape[1] for clip in clips})
        if len(widths) != 1:
            raise ModelError(f"clips need the same number of bins; found {widths or 'no clip'}")
        return clips, widths[0]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.three_d_array = False, True
        return tags


class PictureNetwork(_ClipNetwork):
    """A network over grey pictures of log-mel spectrograms; parameters as in the base class."""

    initial_weights = "tflearn"

    def _grids(self, X: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        return np.stack([grey_picture(clip) for clip in X])


class FrameNetwork(_ClipNetwork):
    """A network over log-mel frames of fixed number; parameters as in the base class."""

    # Kept from the middle of a clip; a shorter one is surrounded by its quietest value.
    frames = 120
    merge = 2  # frames averaged into one

    def _grids(self, X: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        import torch

        return np.concatenate([self._grid(torch.tensor(clip[np.newaxis])).numpy() for clip in X])

    def _grid(self, clip: Any) -> Any:
        """The middle of a clip; bins are filled up to whole pooling blocks with the last one."""
        import torch

        n_frames, n_added = clip.shape[1], -clip.shape[2] % BLOCK
        # ONNX rounds towards zero, so that what it halves must not be negative.
        start = (n_frames + self.frames) // 2 - self.frames
        places = torch.arange(self.frames) + start
        inside = ((places >= 0) & (places < n_frames))[None, :, None]
        picked = clip[:, places.clamp(0, n_frames - 1)]
        grid: Any = torch.where(inside, picked, clip.amin(dim=(1, 2), keepdim=True))
        grid = torch.cat([grid, grid[:, :, -1:].expand(-1, -1, n_added)], dim=2)
        return grid.unflatten(1, (-1, self.merge)).mean(dim=2)

    def augmentation(self) -> Any:
        """Shifts and stripes of :func:`.network.training.spec_augment`."""
        from .network.training import spec_augment

        return partial(spec_augment, shift=6, frames=8, bins=10)

    def to_onnx(self) -> Any:
        """Cutting or padding, merging, scaling and the plain layers."""
        torch = need("torch")
        from .network.module import ScaledNetwork

        example = torch.zeros(1, 2 * self.frames, self.n_features_in_)
        dynamic = {1: torch.export.Dim("n_frames", min=2)}
        return from_torch(ScaledNetwork(self, self._grid), example, "frames", dynamic)
