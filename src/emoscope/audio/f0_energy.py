"""Fundamental frequency (F0) in Hz, NaN where there is none, and energy in dBFS, every 10 ms."""

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from . import Signal, resample

Vector = NDArray[np.float64]

HOP_SECONDS, WINDOW_SECONDS = 0.01, 0.03
MIN_F0, MAX_F0 = 55.0, 900.0  # in Hz: from a low male voice to a scream
RATE = 16_000  # of the search for F0: the period of the highest is still 17.8 samples long
THRESHOLD = 0.25  # difference to the next period, as a share of the mean, of a periodic frame
VOICED_DB = 45.0  # a frame this far below the clip's loudest is hum, however periodic
FLOOR_DB = -96.0  # energy below this is shown as this; 16-bit recordings reach no lower


def times(signal: Signal) -> Vector:
    """Centre of each frame in seconds, shape (n_frames,)."""
    return np.arange(1 + int(signal.duration / HOP_SECONDS), dtype=np.float64) * HOP_SECONDS


def energy(signal: Signal) -> Vector:
    """Mean square of each frame in dB, at least :data:`FLOOR_DB`; a full-scale sine has -3.01."""
    half = max(1, round(WINDOW_SECONDS * signal.rate / 2))
    power = np.concatenate([[0.0], np.cumsum(signal.samples.astype(np.float64) ** 2)])
    centre = np.round(times(signal) * signal.rate).astype(np.intp)
    low, high = np.clip(centre - half, 0, None), np.clip(centre + half, None, len(power) - 1)
    mean = (power[high] - power[low]) / np.maximum(high - low, 1)
    return np.asarray(10.0 * np.log10(np.maximum(mean, 10.0 ** (FLOOR_DB / 10.0))))


def f0(signal: Signal) -> Vector:
    """Fundamental frequency of each frame in Hz, by YIN; then a median against octave jumps.

    A. de Cheveigné, H. Kawahara, "YIN, a fundamental frequency estimator for speech and music",
    Journal of the Acoustical Society of America 111(4), 2002.
    """
    samples = resample(signal, RATE).samples.astype(np.float64)
    longest = int(np.ceil(RATE / MIN_F0))  # 16000 / 55 = 291 samples
    span = 2 * longest
    centre = np.round(times(signal) * RATE).astype(np.intp)
    padded = np.pad(samples, (longest, 2 * longest + RATE // 50))
    starts = np.minimum(centre, len(padded) - span - 1)
    frames = np.lib.stride_tricks.sliding_window_view(padded, span)[starts]
    periods = np.array([_first_period(d) for d in _normalised_difference(frames, longest)])
    loud = energy(signal)
    periods[loud < loud.max() - VOICED_DB] = np.nan
    with np.errstate(invalid="ignore"):
        hertz = RATE / periods
        hertz[(hertz < MIN_F0) | (hertz > MAX_F0)] = np.nan
        return _steady(hertz)


def _normalised_difference(frames: Vector, longest: int) -> Vector:
    """YIN's cumulative mean normalised difference of each frame for lags 0 … longest - 1."""
    head = frames[:, :longest]
    size = scipy.fft.next_fast_len(frames.shape[1] + longest, real=True)
    spectrum = scipy.fft.rfft(frames, size) * np.conj(scipy.fft.rfft(head, size))
    products = scipy.fft.irfft(spectrum, size)[:, :longest]
    power = np.pad(np.cumsum(frames**2, axis=1), ((0, 0), (1, 0)))
    shifted = power[:, longest : 2 * longest] - power[:, :longest]
    difference = np.maximum(shifted[:, :1] + shifted - 2.0 * products, 0.0)
    total = np.cumsum(difference[:, 1:], axis=1)
    lags = np.arange(1, longest)
    normalised: Vector = np.ones(difference.shape)
    np.divide(difference[:, 1:] * lags, total, out=normalised[:, 1:], where=total > 1e-12)
    return normalised


def _first_period(difference: Vector) -> float:
    """The first dip below the threshold, in samples with fractions; NaN when there is none."""
    shortest = int(RATE / MAX_F0)
    below = np.flatnonzero(difference[shortest:] < THRESHOLD)
    if not len(below):
        return float("nan")
    lag = shortest + int(below[0])
    while lag + 1 < len(difference) and difference[lag + 1] < difference[lag]:
        lag += 1
    if not 0 < lag < len(difference) - 1:
        return float("nan")
    before, here, after = difference[lag - 1 : lag + 2]
    curvature = before - 2.0 * here + after
    return float(lag + (0.5 * (before - after) / curvature if curvature > 0 else 0.0))


def _steady(hertz: Vector) -> Vector:
    """Median over five frames of the voiced ones; a frame among mostly unvoiced ones becomes NaN."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(hertz, 2, constant_values=np.nan), 5)
    n_voiced = np.isfinite(windows).sum(axis=1)
    steady = np.full(len(hertz), np.nan)
    is_voiced = np.isfinite(hertz) & (n_voiced >= 3)
    steady[is_voiced] = np.nanmedian(windows[is_voiced], axis=1)
    return steady
