"""Whisper's log-mel spectrogram, computed as its encoders expect it, at a recording's own length.

Conventions: 16 kHz mono float32 in, float32 ``(n_mels, n_frames)`` out (bins first, as the
encoder's convolutions want it), one frame every 10 ms. Window: periodic Hann of 400 samples;
filters: Slaney's scale and area normalisation, 0 to 8 kHz; log10, at most 8 below the maximum, then
``(x + 4) / 4``.

Source: Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", 2022.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

RATE = 16_000
N_FFT = 400
HOP = 160
CHUNK_SECONDS = 30
SHORTEST = N_FFT // 2 + 1
"""Samples below which the recording cannot be reflected at its ends."""

# Slaney's scale: linear below 1 kHz (3 mel per 200 Hz), then 27 mel per factor 6.4.
_LINEAR_HZ_PER_MEL = 200.0 / 3.0
_BREAK_HZ = 1000.0
_BREAK_MEL = _BREAK_HZ / _LINEAR_HZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27.0


def _hz_to_mel(hz: float) -> float:
    if hz < _BREAK_HZ:
        return hz / _LINEAR_HZ_PER_MEL
    return float(_BREAK_MEL + np.log(hz / _BREAK_HZ) / _LOG_STEP)


def _mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    above = _BREAK_HZ * np.exp(_LOG_STEP * (mel - _BREAK_MEL))
    return np.where(mel < _BREAK_MEL, mel * _LINEAR_HZ_PER_MEL, above)


@functools.lru_cache(maxsize=4)
def mel_filters(n_mels: int = 80) -> NDArray[np.float32]:
    """Triangular filters of unit area per Hz.

    Parameters
    ----------
    n_mels : int
        80 for most Whisper models, 128 for large-v3.

    Returns
    -------
    ndarray of float32, shape (n_mels, 201)
        Read-only.
    """
    bins = np.linspace(0.0, RATE / 2, N_FFT // 2 + 1)
    edges = _mel_to_hz(np.linspace(0.0, _hz_to_mel(RATE / 2), n_mels + 2))
    lower, centre, upper = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (bins - lower) / (centre - lower), (upper - bins) / (upper - centre)
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    filters = (triangles * 2.0 / (upper - lower)).astype(np.float32)
    filters.setflags(write=False)
    return filters


def hann_window() -> NDArray[np.float32]:
    """The periodic Hann window, shape (400,)."""
    return (0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(N_FFT) / N_FFT)).astype(np.float32)


def log_mel(samples: NDArray[np.float32], *, n_mels: int = 80) -> NDArray[np.float32]:
    """Log-mel spectrogram of one recording.

    Parameters
    ----------
    samples : ndarray of float32, shape (n_samples,)
        16 kHz; at least 201 samples.
    n_mels : int
        Number of mel bands.

    Returns
    -------
    ndarray of float32, shape (n_mels, n_samples // 160)

    Raises
    ------
    ValueError
        When the recording is too short.
    """
    if len(samples) < SHORTEST:
        raise ValueError(f"{len(samples)} samples; a log-mel spectrogram needs at least {SHORTEST}")
    padded = np.pad(samples, N_FFT // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP]
    # The frame centred on the very end is left out, as Whisper does.
    spectrum = np.fft.rfft(frames[: len(samples) // HOP] * hann_window(), axis=1)
    power = spectrum.real**2 + spectrum.imag**2
    levels = np.log10(np.maximum(mel_filters(n_mels) @ power.T, 1e-10))
    levels = np.maximum(levels, levels.max() - 8.0)
    return np.asarray((levels + 4.0) / 4.0, dtype=np.float32)
