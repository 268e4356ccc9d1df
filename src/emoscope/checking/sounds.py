"""Changes of the sound of a clip, and sounds that are no speech.

``data/checks.toml`` lists the conditions: each names a function of this module and its parameters, which
takes a signal, a random generator and clips of other speakers. Levels in dB, times in seconds.
"""

import dataclasses
import functools
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import scipy.fft
import scipy.signal
import soundfile
from numpy.typing import NDArray

from .. import audio
from ..audio import Signal
from ..files import shipped_table

Samples: TypeAlias = NDArray[np.floating]
Random: TypeAlias = np.random.Generator

RATE = 16_000  # of the sounds that are made here
VOICES = 5  # of other speakers that babble at once
_LIMIT = 0.999  # of full scale, where a louder copy of a clip ends
_TILTED = (-12.0, 12.0)  # dB that a tilt changes at most


class Unusable(Exception):
    """A condition cannot be made of these clips; the message says why."""


@dataclasses.dataclass(frozen=True)
class Condition:
    """A change of sound that should not change the label."""

    name: str  # such as "noise/white-20"
    title: str
    level: str  # which thresholds of data/checks.toml it has
    quick: bool  # whether a quick check has it
    change: Callable[[Signal, Random, Sequence[Signal]], Signal]

    def of(self, signal: Signal, others: Sequence[Signal], *, clip: str, seed: int) -> Signal:
        """The changed signal; the same for the same clip, whatever else is checked."""
        return self.change(signal, random(seed, self.name, clip), others)


def random(*names: object) -> Random:
    """A generator of its own for everything that has a name."""
    digest = hashlib.blake2b(repr(names).encode(), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


@functools.cache
def conditions() -> tuple[Condition, ...]:
    """Every condition, kind by kind."""
    made = []
    for entry in shipped_table("checks.toml")["conditions"]:
        parameters = dict(entry)
        name, title, level = (parameters.pop(key) for key in ("name", "title", "level"))
        quick, make = parameters.pop("quick", False), _MAKERS[parameters.pop("make")]
        made.append(Condition(name, title, level, quick, functools.partial(make, **parameters)))
    return tuple(made)


def _changed(signal: Signal, samples: Samples) -> Signal:
    return dataclasses.replace(signal, samples=np.asarray(samples, dtype=np.float32))


def root_mean_square(samples: Samples) -> float:
    """The level of a sound, never quite zero."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) or 1e-9


def coloured(n: int, rate: int, rng: Random, exponent: float = 0.0) -> Samples:
    """Noise of level 1 whose power falls with the frequency to that power: 0 white, 1 pink."""
    n_fast = scipy.fft.next_fast_len(n, real=True)
    frequencies = np.maximum(scipy.fft.rfftfreq(n_fast, 1 / rate), 20.0)
    spectrum = scipy.fft.rfft(rng.normal(size=n_fast)) * frequencies ** (-exponent / 2)
    noise = scipy.fft.irfft(spectrum, n_fast)[:n]
    return np.asarray(noise / root_mean_square(noise))


def _noise(signal: Signal, rng: Random, others: Sequence[Signal], *, of: str, snr: float) -> Signal:
    n, rate = len(signal.samples), signal.rate
    if of == "babble":
        noise = _babble(n, rate, rng, others)
    elif of == "hum":
        noise = _harmonics(50.0, n / rate, rate, fall=0.7)[:n]
    elif of == "music":
        noise = chords(n / rate, rng, rate)[:n]
    else:
        noise = coloured(n, rate, rng, {"white": 0.0, "pink": 1.0}[of])
    level = root_mean_square(signal.samples) * 10.0 ** (-snr / 20.0)
    return _changed(signal, signal.samples + noise * level / root_mean_square(noise))


def _babble(n: int, rate: int, rng: Random, others: Sequence[Signal]) -> Samples:
    if not others:
        raise Unusable("no clip of another speaker")
    total = np.zeros(n)
    for k in rng.choice(len(others), VOICES, replace=len(others) < VOICES):
        voice = audio.resample(others[k], rate).samples
        total += np.roll(np.resize(voice / root_mean_square(voice), n), rng.integers(n))
    return total


def _copy(signal: Signal, rng: Random, others: Sequence[Signal]) -> Signal:
    """What nobody can tell from the original: a little later, quieter and noisier."""
    return _silence(_gain(_noise(signal, rng, others, of="white", snr=45.0), by=-1.0), before=0.03)


def _room(signal: Signal, rng: Random, _: object, *, decay: float, ratio: float) -> Signal:
    """Noise that falls by 60 dB in `decay`, `ratio` dB below the direct sound that it follows."""
    time = np.arange(round(decay * signal.rate)) / signal.rate
    tail = rng.normal(size=len(time)) * 10.0 ** (-3.0 * time / decay)
    tail *= (time > 0.005) * 10.0 ** (-ratio / 20.0) / np.sqrt(np.sum(tail**2))
    tail[0] = 1.0
    return _changed(signal, scipy.signal.fftconvolve(signal.samples, tail)[: len(signal.samples)])


def _codec(signal: Signal, *_: object, rate: int, **format: str | float) -> Signal:
    """Through a file of that format, read as every recording is."""
    sound = audio.resample(signal, rate)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "clip")
        soundfile.write(path, np.clip(sound.samples, -1.0, 1.0), rate, **format)
        return dataclasses.replace(audio.load(path), path=signal.path)


def _band(
    signal: Signal, *_: object, low: float = 0.0, high: float = 0.0, order: int = 4
) -> Signal:
    """Without what is below `low` and above `high` Hz."""
    samples: Samples = signal.samples
    for edge, kind in ((low, "highpass"), (high, "lowpass")):
        if 0.0 < edge < 0.499 * signal.rate:
            sections = scipy.signal.butter(order, edge, kind, fs=signal.rate, output="sos")
            samples = scipy.signal.sosfilt(sections, samples)
    return _changed(signal, samples)


def _gain(signal: Signal, *_: object, by: float) -> Signal:
    most = _LIMIT / max(float(np.abs(signal.samples).max()), 1e-9)
    factor = 10.0 ** (by / 20.0)
    return _changed(signal, signal.samples * (min(factor, max(1.0, most)) if by > 0 else factor))


def _clip(signal: Signal, *_: object, share: float) -> Signal:
    """With that share of the samples cut off, as of a recording that was too loud."""
    limit = float(np.quantile(np.abs(signal.samples), 1.0 - share))
    return _changed(signal, np.clip(signal.samples, -limit, limit))


def _silence(signal: Signal, *_: object, before: float = 0.0, after: float = 0.0) -> Signal:
    around = round(before * signal.rate), round(after * signal.rate)
    return _changed(signal, np.pad(signal.samples, around))


def _crop(signal: Signal, *_: object, start: float = 0.0, end: float = 0.0) -> Signal:
    first, last = round(start * signal.rate), len(signal.samples) - round(end * signal.rate)
    kept = signal.samples[first:last]
    return _changed(signal, kept if len(kept) > signal.rate / 4 else signal.samples)


def _resample(signal: Signal, *_: object, rate: int) -> Signal:
    return audio.resample(audio.resample(signal, rate), signal.rate)


def _tilt(signal: Signal, *_: object, slope: float) -> Signal:
    """A microphone whose response rises by `slope` dB per octave from 1 kHz; as loud as before."""
    n = scipy.fft.next_fast_len(len(signal.samples), real=True)
    octaves = np.log2(np.maximum(scipy.fft.rfftfreq(n, 1 / signal.rate), 30.0) / 1000.0)
    response = 10.0 ** (np.clip(slope * octaves, *_TILTED) / 20.0)
    tilted = scipy.fft.irfft(scipy.fft.rfft(signal.samples, n) * response, n)
    tilted = tilted[: len(signal.samples)]
    return _changed(signal, tilted * (root_mean_square(signal.samples) / root_mean_square(tilted)))


def _speed(signal: Signal, *_: object, factor: float) -> Signal:
    faster = dataclasses.replace(signal, rate=round(signal.rate * factor))
    return audio.resample(faster, signal.rate)


_MAKERS: Mapping[str, Callable[..., Signal]] = {
    "copy": _copy, "noise": _noise, "room": _room, "codec": _codec, "band": _band, "gain": _gain,
    "clip": _clip, "silence": _silence, "crop": _crop, "resample": _resample, "tilt": _tilt,
    "speed": _speed,
}  # fmt: skip


def _harmonics(pitch: float, seconds: float, rate: int = RATE, *, fall: float = 0.5) -> Samples:
    """A steady sound of eight harmonics, each `fall` times as strong as the one before."""
    time = np.arange(round(seconds * rate)) / rate
    parts = (fall**k * np.sin(2 * np.pi * pitch * (k + 1) * time) for k in range(8))
    return np.asarray(sum(parts))


def chords(seconds: float, rng: Random, rate: int = RATE) -> Samples:
    """Music: two struck chords of three notes a second, of one key."""
    beat = round(rate / 2)
    fade = np.exp(-np.arange(beat) / rate / 0.25)
    scale = 220.0 * 2.0 ** (np.array([0, 2, 4, 5, 7, 9, 11, 12, 14, 16, 17]) / 12.0)
    roots = rng.integers(0, 7, int(2 * seconds) + 1)
    struck = scale[roots[:, None] + [0, 2, 4]]
    notes = (np.sum([_harmonics(p, 0.5, rate) for p in three], axis=0) for three in struck)
    return np.concatenate([note[:beat] * fade for note in notes])[: round(seconds * rate)]


def not_speech() -> Iterator[tuple[str, Signal]]:
    """Sounds in which nobody speaks, by name; ``data/checks.toml`` has their titles."""
    rng, n = random(0, "not speech"), 4 * RATE
    laughter = 0.6 * _harmonics(280.0, 4.0, fall=0.8) + 0.5 * coloured(n, RATE, rng)
    breath = coloured(n, RATE, rng) * np.sin(np.pi * np.arange(n) / RATE / 2.0) ** 4
    bursts = np.exp(-((np.arange(n) / RATE % (1.0 / 4.5) / 0.08) ** 2))  # 4.5 in a second
    clicks = np.zeros(n)
    clicks[:: RATE // 3] = 1.0
    made = {
        "silence": np.zeros(n),
        "quiet": 1e-4 * coloured(n, RATE, rng),
        "white": 0.1 * coloured(n, RATE, rng),
        "pink": 0.1 * coloured(n, RATE, rng, 1.0),
        "tone-220": 0.3 * np.sin(2 * np.pi * 220.0 * np.arange(n) / RATE),
        "tone-1000": 0.3 * np.sin(2 * np.pi * 1000.0 * np.arange(n) / RATE),
        "hum": 0.1 * _harmonics(50.0, 4.0, fall=0.7),
        "music": 0.1 * chords(4.0, rng),
        "clicks": 0.8 * clicks,
        "laughter": 0.15 * (laughter * bursts),
        "breath": 0.05 * breath,
        "short": 0.2 * _harmonics(150.0, 0.12, fall=0.8),
        "long": 0.1 * _harmonics(150.0, 20.0, fall=0.8),
    }
    for name, samples in made.items():
        yield name, Signal(np.asarray(samples, dtype=np.float32), RATE, name)
