"""Trims a recording to its speech and normalises its level, in dBFS: 0 is a mean square of 1."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

FRAME_SECONDS = 0.025
HOP_SECONDS = 0.010
FLOOR = 1e-12  # added to a mean square before the logarithm: -120 dBFS


def frame_levels(samples: NDArray[np.float32], rate: int) -> NDArray[np.float64]:
    """Level in dBFS of every 25 ms frame, every 10 ms, at least -120; never empty."""
    length, hop = round(FRAME_SECONDS * rate), round(HOP_SECONDS * rate)
    if len(samples) < length:
        samples = np.pad(samples, (0, length - len(samples)))
    sums = np.concatenate([[0.0], np.cumsum(samples.astype(np.float64) ** 2)])
    starts = np.arange(0, len(samples) - length + 1, hop)
    # The difference of two running sums can fall below zero by rounding when a frame is silent.
    power = np.maximum(sums[starts + length] - sums[starts], 0.0) / length
    return np.asarray(10.0 * np.log10(power + FLOOR))


def percentile(values: NDArray[np.floating[Any]], share: float) -> float:
    """As NumPy's, whose own sorts longer and imports masked arrays, a fifteenth of a cold start."""
    at = share / 100.0 * (len(values) - 1)
    return float(np.interp(at, np.arange(len(values)), np.sort(values)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrimAndNormalise:
    """Removes the offset, cuts outer silence and brings speech to one level.

    A frame counts as speech when it lies above ``max(loud - below_loud, min(floor + above_floor,
    loud - 15))``, where ``loud`` is the 97th and ``floor`` the 5th percentile of the frame levels.
    The level of the speech is the mean power of the frames within 25 dB of ``loud``.
    """

    below_loud: float = 35.0  # dB under the loud frames where silence begins in a clean recording
    above_floor: float = 8.0  # dB over the noise floor where speech begins in a noisy one
    margin: float = 0.1  # seconds kept on both sides of the speech
    level: float = -26.0  # dBFS of the speech afterwards
    shortest: float = 0.2  # seconds; anything shorter is padded with zeros at the end

    name = "speech-level"  # as specifications and model cards call it

    def __call__(self, samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
        """Apply to one recording; the result may exceed [-1, 1] where it is very dynamic."""
        samples = samples - samples.mean(dtype=np.float64).astype(np.float32)
        levels = frame_levels(samples, rate)
        loud, floor = percentile(levels, 97), percentile(levels, 5)
        threshold = max(loud - self.below_loud, min(floor + self.above_floor, loud - 15.0))
        speech_frames = np.flatnonzero(levels > threshold)
        first, last = speech_frames[[0, -1]] if len(speech_frames) else (0, len(levels) - 1)
        margin, hop = round(self.margin * rate), round(HOP_SECONDS * rate)
        start = max(0, first * hop - margin)
        stop = min(len(samples), last * hop + round(FRAME_SECONDS * rate) + margin)
        power = np.mean(10.0 ** (levels[levels > loud - 25.0] / 10.0))
        gain = 10.0 ** ((self.level - float(10.0 * np.log10(power))) / 20.0)
        speech = (samples[start:stop] * gain).astype(np.float32)
        missing = round(self.shortest * rate) - len(speech)
        return np.pad(speech, (0, missing)) if missing > 0 else speech

    @property
    def spec(self) -> dict[str, str | float]:
        """Name and parameters, JSON-serialisable."""
        return {"name": self.name, **dataclasses.asdict(self)}


def from_spec(spec: Mapping[str, object] | None) -> TrimAndNormalise | None:
    """The preprocessing of a specification; a ValueError when it is none. None for None."""
    if spec is None:
        return None
    name = TrimAndNormalise.name
    if spec.get("name") != name:
        raise ValueError(f"unknown preprocessing {spec.get('name')!r}; valid: '{name}'")
    values: dict[str, Any] = {key: value for key, value in spec.items() if key != "name"}
    if unknown := set(values) - {field.name for field in dataclasses.fields(TrimAndNormalise)}:
        raise ValueError(f"preprocessing '{name}' has no parameter {sorted(unknown)}")
    for key, value in values.items():
        if type(value) not in (int, float) or not abs(value) <= 1e3:
            raise ValueError(f"preprocessing '{name}': {key} = {value!r} is not a number in ±1000")
    return TrimAndNormalise(**{key: float(value) for key, value in values.items()})
