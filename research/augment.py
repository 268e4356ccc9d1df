"""Other voices, rooms, microphones, lines and codecs, made from one recording.

A model trained on a studio corpus hears a telephone or a kitchen for the first time on its users'
machines. :func:`augment` draws a chain of changes that leave the emotion as it is: speed and pitch,
tempo, room, frequency response, noise, line and codec, clipping.

Conventions: samples are mono float32 of shape ``(n_samples,)`` at 16 kHz, in and out; every
function that draws takes a :class:`numpy.random.Generator`, and the same generator state gives the
same samples.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import scipy.signal
import soundfile
import soxr
from numpy.typing import NDArray

Samples: TypeAlias = NDArray[np.float32]
Random: TypeAlias = np.random.Generator

RATE = 16_000
_KNOTS = np.array([30.0, 60, 125, 250, 500, 1000, 2000, 4000, 8000])
"""Hz between which a microphone's frequency response is interpolated, in octaves."""
_MU = 255.0
"""Of the µ-law of telephone lines (ITU-T G.711)."""
STRETCH_FRAME, STRETCH_HOP, STRETCH_SEARCH = 512, 256, 128
"""Samples: 32 ms frames, half overlapping, moved by up to 8 ms to where they fit."""


def change_speed(samples: Samples, factor: float) -> Samples:
    """Play faster and higher (factor above 1) or slower and lower."""
    return np.asarray(soxr.resample(samples, RATE * factor, RATE), dtype=np.float32)


def stretch(samples: Samples, factor: float) -> Samples:
    """Make longer (factor above 1) or shorter at the same pitch.

    Waveform similarity overlap-add: each frame is taken where it continues the last one best.

    Source: Verhelst & Roelands, ICASSP 1993.
    """
    frame, hop, search = STRETCH_FRAME, STRETCH_HOP, STRETCH_SEARCH
    padded = np.pad(samples, (frame, 2 * frame))
    n_frames = int((len(padded) - 3 * frame) * factor / hop)
    if n_frames < 4:
        return samples
    window = np.hanning(frame + 1)[:frame]
    result = np.zeros(n_frames * hop + 2 * frame)
    start = frame // 2
    for n in range(n_frames):
        target = int(n * hop / factor) + frame // 2
        if n:
            natural = padded[start + hop : start + hop + frame]
            first = max(0, target - search)
            around = padded[first : target + search + frame]
            if len(natural) < frame or len(around) <= frame:
                break
            # Every other sample is enough to find the best fit.
            fit = np.correlate(around[::2], natural[::2], "valid")
            target = first + 2 * int(np.argmax(fit))
        if target + frame > len(padded):
            break
        start = target
        result[n * hop : n * hop + frame] += padded[start : start + frame] * window
    return np.asarray(result[frame // 2 : -2 * frame], dtype=np.float32)


def equalise(samples: Samples, rng: Random, *, spread: float) -> Samples:
    """Another microphone or distance: a smooth random frequency response.

    Parameters
    ----------
    spread : float
        Standard deviation of the response at octave distances, in dB; cut at 2.2 times it.
    """
    gains = np.clip(rng.normal(0.0, spread, len(_KNOTS)), -2.2 * spread, 2.2 * spread)
    frequencies = np.maximum(np.fft.rfftfreq(len(samples), 1 / RATE), _KNOTS[0])
    response = 10.0 ** (np.interp(np.log2(frequencies), np.log2(_KNOTS), gains) / 20.0)
    return _in_place(np.fft.irfft(np.fft.rfft(samples) * response, len(samples)), samples)


def reverberate(samples: Samples, rng: Random) -> Samples:
    """Another room: exponentially decaying noise after the direct sound.

    Reverberation time 0.08 to 0.7 s, direct-to-reverberant ratio 0 to 14 dB, first reflection after
    1 to 8 ms.
    """
    decay = rng.uniform(0.08, 0.7)
    n_taps = int(RATE * min(decay, 0.6))
    # 60 dB in `decay` seconds
    tail = rng.normal(0, 1, n_taps) * 10.0 ** (-3.0 * np.arange(n_taps) / RATE / decay)
    tail = scipy.signal.lfilter([1.0, 0.5 * rng.uniform(0, 1)], [1.0], tail)
    tail *= 10.0 ** (-rng.uniform(0, 14) / 20.0) / np.sqrt((tail**2).sum())
    delay = int(rng.uniform(0.001, 0.008) * RATE)
    response = np.concatenate([np.zeros(delay), tail])
    response[0] += 1.0
    return _in_place(scipy.signal.fftconvolve(samples, response), samples)


def add_noise(samples: Samples, rng: Random, *, lowest: float = 8, highest: float = 35) -> Samples:
    """White, pink or brown noise, or mains hum, at a signal-to-noise ratio from a range in dB."""
    white = rng.normal(0, 1, len(samples))
    spectrum = np.fft.rfft(white)
    frequencies = np.maximum(np.fft.rfftfreq(len(samples), 1 / RATE), 20.0)
    kind = rng.choice(["white", "pink", "brown", "hum"])
    if kind == "hum":
        near_harmonic = np.abs(np.round(frequencies / 50) * 50 - frequencies) < 1.5
        spectrum *= 30.0 * (frequencies < 120) + 3.0 * near_harmonic + 0.05
    else:
        spectrum *= frequencies ** {"white": 0.0, "pink": -0.5, "brown": -1.0}[str(kind)]
    noise = np.fft.irfft(spectrum, len(samples))
    level = _root_mean_square(samples) * 10.0 ** (-rng.uniform(lowest, highest) / 20.0)
    return _in_place(samples + noise * level / max(_root_mean_square(noise), 1e-9), samples)


def transmit(samples: Samples, rng: Random) -> Samples:
    """Another line or codec: telephone, dull, thin, MP3 or Ogg Vorbis at a low rate."""
    peak = float(np.abs(samples).max()) + 1e-6
    scaled = samples / peak * 0.7
    kind = rng.choice(["telephone", "dull", "thin", "MP3", "OGG"])
    if kind == "telephone":
        scaled = _filtered(scaled, 4, (rng.uniform(150, 350), 3400.0), "band")
        coded = np.sign(scaled) * np.log1p(_MU * np.abs(scaled)) / np.log1p(_MU)
        coded = np.round(coded * 127) / 127
        scaled = np.sign(coded) * np.expm1(np.abs(coded) * np.log1p(_MU)) / _MU
    elif kind == "dull":
        scaled = _filtered(scaled, 6, rng.uniform(3000, 7500), "low")
    elif kind == "thin":
        scaled = _filtered(scaled, 2, rng.uniform(60, 300), "high")
    else:
        scaled = _coded(scaled, str(kind), float(rng.uniform(0.7, 0.98)))
    return _in_place(scaled * peak / 0.7, samples)


def _filtered(
    samples: NDArray[np.floating], order: int, edges: float | tuple[float, float], kind: str
) -> NDArray[np.floating]:
    sections = scipy.signal.butter(order, edges, kind, fs=RATE, output="sos")
    return np.asarray(scipy.signal.sosfilt(sections, samples))


def _coded(samples: NDArray[np.floating], kind: str, compression: float) -> Samples:
    """Through a lossy codec in memory and back."""
    subtype = {"MP3": "MPEG_LAYER_III", "OGG": "VORBIS"}[kind]
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, subtype, format=kind, compression_level=compression)
    file.seek(0)
    decoded: Samples = soundfile.read(file, dtype="float32")[0]
    return decoded


def clip_peaks(samples: Samples, rng: Random) -> Samples:
    """Too loud a recording: peaks cut at 0.2 to 0.8 of the largest."""
    limit = np.abs(samples).max() * rng.uniform(0.2, 0.8)
    return np.asarray(np.clip(samples, -limit, limit), dtype=np.float32)


CHAIN: tuple[tuple[float, Callable[[Samples, Random], Samples]], ...] = (
    (0.7, lambda x, rng: change_speed(x, float(np.exp(rng.uniform(-0.13, 0.13))))),
    (0.3, lambda x, rng: stretch(x, float(np.exp(rng.uniform(-0.2, 0.2))))),
    (0.3, reverberate),
    (0.7, lambda x, rng: equalise(x, rng, spread=rng.uniform(1, 5))),
    (0.5, add_noise),
    (0.35, transmit),
    (0.1, clip_peaks),
)
"""Changes in the order in which sound meets them, each with the probability that it happens."""


def augment(samples: Samples, rng: Random) -> Samples:
    """A random chain of changes.

    Parameters
    ----------
    samples : ndarray of float32, shape (n_samples,)
        16 kHz.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of float32, shape (n_changed,)
        As long as the recording but for changes of speed and tempo: by 0.72 to 1.39.
    """
    for probability, change in CHAIN:
        if rng.random() < probability:
            samples = change(samples, rng)
    return samples


def _root_mean_square(samples: NDArray[np.floating]) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


def _in_place(changed: NDArray[np.floating], samples: Samples) -> Samples:
    """As long as the original (convolution and codecs add or lose a little), in float32."""
    missing = max(0, len(samples) - len(changed))
    return np.pad(changed[: len(samples)], (0, missing)).astype(np.float32)
