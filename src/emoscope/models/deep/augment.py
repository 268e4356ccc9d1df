"""Random changes to standardised log-mel pictures that leave the emotion as it was."""

from __future__ import annotations

import torch
from torch import Tensor


def _stripes(n: int, length: int, widest: int) -> Tensor:
    """One random stripe of up to ``widest`` of ``length`` places per clip: bool (n, length)."""
    width = torch.randint(0, widest + 1, (n, 1))
    start = (torch.rand(n, 1) * (length - width + 1)).long()
    place = torch.arange(length)
    return (place >= start) & (place < start + width)


def spec_augment(X: Tensor, *, shift: int, frames: int, bins: int) -> Tensor:
    """Shift clips in time and blank a stripe of frames and one of bands of each.

    Parameters
    ----------
    X : Tensor, shape (n_clips, n_frames, n_bins)
        Standardised, so that 0 is an ordinary value.
    shift : int
        Most frames a clip moves to either side; what leaves at one end enters at the other, where
        clips are quiet.
    frames, bins : int
        Widest stripes.

    Returns
    -------
    Tensor, shape (n_clips, n_frames, n_bins)

    Notes
    -----
    Stripes after Park et al., SpecAugment, Interspeech 2019, without the time warp.
    """
    n, n_frames, n_bins = X.shape
    moved = torch.arange(n_frames) + torch.randint(-shift, shift + 1, (n, 1))
    X = X[torch.arange(n).unsqueeze(1), moved.remainder(n_frames)]
    X = X.masked_fill(_stripes(n, n_frames, frames).unsqueeze(2), 0)
    return X.masked_fill(_stripes(n, n_bins, bins).unsqueeze(1), 0)
