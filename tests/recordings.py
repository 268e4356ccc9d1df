"""Sound made for tests: a synthetic voice that voice activity detection takes for speech."""

from __future__ import annotations

import numpy as np
import scipy.signal

RATE = 16_000
VOWELS = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480))
"""The first three formants in Hz of the vowels in father, see, boot and bet (Peterson & Barney,
J. Acoust. Soc. Am. 24, 1952)."""


def voice(
    seconds: float, pitch: float = 120.0, *, rate: int = RATE, seed: int = 0, tempo: float = 4.0
) -> np.ndarray:
    """Syllables: a pulse train of gliding pitch through formants, with pauses between vowels."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    glide = pitch * (1 + 0.12 * np.sin(2 * np.pi * 0.9 * time) + 0.02 * np.sin(32 * time))
    phase = np.cumsum(glide) / rate
    pulses = np.diff(np.floor(phase), prepend=0.0) + 0.003 * rng.normal(size=len(time))
    sound = np.zeros(len(time))
    syllable = (time * tempo).astype(int)  # so many in a second
    for number in range(int(syllable[-1]) + 1 if len(time) else 0):
        vowel = VOWELS[number % len(VOWELS)]
        chunk = np.where(syllable == number, pulses, 0.0)
        for formant in vowel:
            decay = np.exp(-np.pi * 90 / rate)
            poles = [1, -2 * decay * np.cos(2 * np.pi * formant / rate), decay**2]
            sound += scipy.signal.lfilter([1.0], poles, chunk)
    sound *= np.clip(np.sin(np.pi * ((time * tempo) % 1)), 0.05, 1) ** 0.5
    return (0.3 * sound / np.abs(sound).max()).astype(np.float32)


def silence(seconds: float, *, rate: int = RATE, seed: int = 1) -> np.ndarray:
    """The noise floor of a quiet room, -80 dBFS."""
    rng = np.random.default_rng(seed)
    return (1e-4 * rng.normal(size=round(seconds * rate))).astype(np.float32)


def at_level(samples: np.ndarray, decibels: float) -> np.ndarray:
    """The same sound at a level in dBFS."""
    power = np.mean(np.square(samples, dtype=np.float64))
    return (samples * 10 ** (decibels / 20) / np.sqrt(power)).astype(np.float32)


def tree(root, names):
    """Empty files of those names below a folder, which is returned."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root
