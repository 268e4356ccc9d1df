"""Whisper's log-mel spectrogram, as its encoders expect it, at a recording's own length.

16 kHz mono float32 in, ``(n_mels, n_frames)`` out (bins first, as the encoder's convolutions want
it), one frame every 10 ms: log10, at most 8 below the maximum, then ``(x + 4) / 4``. Radford et al.,
"Robust Speech Recognition via Large-Scale Weak Supervision", 2022.
"""

from __future__ import annotations

import functools

import numpy as np

from . import filters
from .filters import Matrix

RATE = 16_000
N_FFT = 400
HOP = 160
CHUNK_SECONDS = 30
MIN_SAMPLES = N_FFT // 2 + 1  # a shorter recording cannot be reflected at its ends


@functools.lru_cache(maxsize=4)
def mel_filters(n_mels: int = 80) -> Matrix:
    """Triangles of unit area per Hz, read-only; 80 for most Whisper models, 128 for large-v3."""
    triangles, areas = filters.mel_triangles(RATE, N_FFT, n_mels)
    weights = np.ascontiguousarray((triangles / areas).T, dtype=np.float32)
    weights.setflags(write=False)
    return weights


def hann_window() -> Matrix:
    """The periodic Hann window, shape (400,)."""
    return filters.hann(N_FFT).astype(np.float32)


def log_mel(samples: Matrix, *, n_mels: int = 80) -> Matrix:
    """Log-mel spectrogram of at least 201 samples at 16 kHz, [shape=(n_mels, n_samples // 160)]."""
    if len(samples) < MIN_SAMPLES:
        raise ValueError(f"{len(samples)} samples; a spectrogram needs at least {MIN_SAMPLES}")
    padded = np.pad(samples, N_FFT // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP]
    # The frame centred on the very end is left out, as Whisper does.
    spectrum = np.fft.rfft(frames[: len(samples) // HOP] * hann_window(), axis=1)
    power = spectrum.real**2 + spectrum.imag**2
    levels = np.log10(np.maximum(mel_filters(n_mels) @ power.T, 1e-10))
    levels = np.maximum(levels, levels.max() - 8.0)
    return np.asarray((levels + 4.0) / 4.0, dtype=np.float32)
