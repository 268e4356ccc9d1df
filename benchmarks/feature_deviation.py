"""How far emoscope's features are from librosa's, on real clips and on synthetic signals."""

from __future__ import annotations

import numpy as np

import feature_systems as systems
from feature_systems import EMOSCOPE_193, LIBROSA_193, read, recordings

PARTS = {"mfcc": 40, "chroma": 12, "mel": 128, "contrast": 7, "tonnetz": 6}
ZERO = 1e-3
"""A vector shorter than this is rounding error."""


def synthetic() -> dict[str, tuple[np.ndarray, int]]:
    """Signals whose spectra are known, some shorter than a window, at several rates."""
    made = {}
    for rate in (8000, 16_000, 22_050, 44_100, 48_000):
        t = np.arange(rate) / rate
        noise = np.random.default_rng(0).normal(0, 0.1, rate)
        made[f"sine {rate}"] = (0.5 * np.sin(2 * np.pi * 445.0 * t), rate)
        made[f"chirp {rate}"] = (0.5 * np.sin(2 * np.pi * (100 + 1500 * t) * t), rate)
        made[f"noise {rate}"] = (noise, rate)
        made[f"impulse {rate}"] = (np.where(t == t[rate // 2], 1.0, 0.0), rate)
        made[f"short noise {rate}"] = (noise[:1600], rate)
    return {name: (y.astype(np.float32), rate) for name, (y, rate) in made.items()}


def print_table(count: int) -> None:
    """Print the largest deviation from librosa of every feature, per source."""
    print("relative error of a vector (L2), and largest error of a value relative to the largest")
    print(
        f"{'source':10}{'clips':>6}  {'feature':10}{'median L2':>12}{'max L2':>12}{'max value':>12}"
    )
    for corpus in ("ravdess", "emodb"):
        _print_rows(corpus, [read(path) for path in recordings(corpus, count)])
    # Below 12.8 kHz librosa has neither contrast nor tonnetz.
    _print_rows("synthetic", [(y, rate) for y, rate in synthetic().values() if rate > 12_800])


def _print_rows(source, signals):
    ours, theirs = systems.make(EMOSCOPE_193), systems.make(LIBROSA_193)
    edges = np.cumsum([0, *PARTS.values()])
    parts = list(zip(PARTS, edges[:-1], edges[1:], strict=True))
    errors = {name: [] for name in PARTS}
    for samples, rate in signals:
        mine, reference = ours(samples, rate), theirs(samples, rate)
        for name, a, b in parts:
            wrong, right = np.abs(mine[a:b] - reference[a:b]), np.abs(reference[a:b])
            # An impulse has neither contrast nor harmonics: zeros compare as zeros.
            vector = np.linalg.norm(wrong) / max(np.linalg.norm(right), ZERO)
            errors[name].append((vector, wrong.max() / max(right.max(), ZERO)))
    for name, found in errors.items():
        vector, value = np.array(found).T
        row = f"{np.median(vector):12.1e}{vector.max():12.1e}{value.max():12.1e}"
        print(f"{source:10}{len(signals):6}  {name:10}{row}")
