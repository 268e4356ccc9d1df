"""Conversations joined from real clips, as they are heard, and who speaks when."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import soxr
from scipy import signal as filters

from emoscope import audio, corpus
from voices import nemo

RATE = 16_000
DEVELOPMENT = {
    "ravdess": tuple(f"{n:02d}" for n in range(1, 25)),
    "emodb": ("03", "08", "09", "10"),
    "nemo": ("EB0", "IC0", "KD0", "KS0"),
}
PAUSE_IN_REFERENCE = 0.3  # s; one speaker's parts with a shorter pause are one (NIST RT-09)
FLOOR = -70.0  # dBFS of noise under everything: a recording is never digitally silent
CONDITIONS = ("clean", "telephone", "noise 20 dB", "noise 10 dB")


@dataclasses.dataclass(frozen=True)
class Part:
    """What one speaker says at one time."""

    start: float
    end: float
    speaker: str
    emotion: str


@dataclasses.dataclass(frozen=True, eq=False)
class Conversation:
    """A joined recording, each speaker's sound by itself, and who speaks when."""

    voices: dict[str, np.ndarray]
    parts: tuple[Part, ...]

    @property
    def mixed(self) -> np.ndarray:
        return np.sum(list(self.voices.values()), axis=0)

    @property
    def stereo(self) -> np.ndarray:
        """The first speaker left, the second right; both have their own faint noise."""
        return np.stack(list(self.voices.values())[:2], axis=1)


def clips(place: Path, name: str, *, development: bool) -> pd.DataFrame:
    """The clips of a corpus's speakers that constants were chosen on, or of the others."""
    found = nemo(place / name) if name == "nemo" else corpus.load(place / name)
    chosen = found.table["speaker"].isin(DEVELOPMENT[name])
    return found.table[chosen if development else ~chosen]


@functools.cache
def trimmed(path: str) -> np.ndarray:
    """A clip at 16 kHz from its first to its last frame above -35 dB of its loudest."""
    samples = audio.resample(audio.load(path), RATE).samples
    frames = samples[: len(samples) // 320 * 320].reshape(-1, 320)
    level = 10 * np.log10(np.mean(frames.astype(np.float64) ** 2, axis=1) + 1e-12)
    loud = np.flatnonzero(level > level.max() - 35.0)
    return samples[loud[0] * 320 : (loud[-1] + 1) * 320]


def conversation(
    table: pd.DataFrame, n_speakers: int, seconds: float, rng: np.random.Generator
) -> Conversation:
    """Join clips: turns of one to three clips in one emotion, pauses, one turn in seven interrupted.

    A speaker's emotion changes from one turn to the next with a probability of a half.
    """
    speakers = list(rng.permutation(sorted(table["speaker"].unique()))[:n_speakers])
    voices = {s: np.zeros(round(seconds * RATE), np.float32) for s in speakers}
    emotions = {s: "" for s in speakers}
    parts: list[Part] = []
    position, speaker = 0.5, ""
    while True:
        others = [other for other in speakers if other != speaker]
        speaker = str(rng.choice(others if others and rng.random() < 0.9 else speakers))
        own = table[table["speaker"] == speaker]
        if not emotions[speaker] or rng.random() < 0.5:
            emotions[speaker] = str(rng.choice(sorted(own["emotion"].unique())))
        paths = own.loc[own["emotion"] == emotions[speaker], "path"].to_numpy()
        for number in range(rng.integers(1, 4)):
            clip = trimmed(str(rng.choice(paths)))
            length = len(clip) / RATE
            pause = rng.uniform(0.1, 0.5) if number else min(rng.exponential(0.6), 3.0)
            if not number and rng.random() < 1 / 7:  # interrupts
                pause = -min(rng.uniform(0.3, 1.0), 0.5 * length)
            start = max(0.3, position + pause)
            if start + length + 0.3 > seconds:
                return _finished(voices, parts, rng)
            first = round(start * RATE)
            voices[speaker][first : first + len(clip)] += clip
            parts.append(Part(start, start + length, speaker, emotions[speaker]))
            position = start + length


def _finished(
    voices: dict[str, np.ndarray], parts: list[Part], rng: np.random.Generator
) -> Conversation:
    for samples in voices.values():
        samples += rng.normal(0, 10 ** (FLOOR / 20), len(samples)).astype(np.float32)
    return Conversation(voices, tuple(parts))


def heard(mixed: np.ndarray, condition: str, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """A recording under a condition, and its rate: 300–3400 Hz in mu-law, or pink noise."""
    if condition == "telephone":
        band = filters.butter(4, (300, 3400), "bandpass", fs=RATE, output="sos")
        narrow = soxr.resample(filters.sosfilt(band, mixed).astype(np.float32), RATE, 8_000)
        narrow /= max(1.0, float(np.abs(narrow).max()))
        coded = np.round(np.sign(narrow) * np.log1p(255 * np.abs(narrow)) / np.log(256) * 127) / 127
        return (np.sign(coded) * np.expm1(np.abs(coded) * np.log(256)) / 255).astype(
            np.float32
        ), 8_000
    if condition == "clean":
        return mixed, RATE
    size = len(mixed) // 2 + 1
    spectrum = rng.normal(size=size) + 1j * rng.normal(size=size)
    noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(size), 20.0)), len(mixed))
    speech = np.abs(mixed) > 10 ** (-60 / 20)
    ratio = float(condition.split()[1])
    wanted = np.mean(mixed[speech].astype(np.float64) ** 2) / 10 ** (ratio / 10)
    return (mixed + noise * np.sqrt(wanted / np.mean(noise**2))).astype(np.float32), RATE


def joined(parts: tuple[Part, ...]) -> list[Part]:
    """The reference of speakers: parts of one with a short pause between them are one."""
    found: list[Part] = []
    for _, own in itertools.groupby(sorted(parts, key=lambda p: p.speaker), lambda p: p.speaker):
        for part in sorted(own, key=lambda p: p.start):
            last = found[-1] if found and found[-1].speaker == part.speaker else None
            if last and part.start - last.end < PAUSE_IN_REFERENCE:
                found[-1] = dataclasses.replace(last, end=max(last.end, part.end))
            else:
                found.append(part)
    return found
