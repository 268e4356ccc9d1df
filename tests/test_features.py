"""The 193 values against librosa 0.11, called as the student project calls it.

Run with ``-s`` to see the largest deviations.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from emoscope import features
from emoscope.audio import Signal, load
from emoscope.errors import FeatureError, UnknownNameError
from emoscope.features import spectrum as spectrum_module
from emoscope.features.spectrum import Spectrum

librosa = pytest.importorskip("librosa")
# librosa warns of clips shorter than its window, and of clips without pitch.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:librosa")

DATA = Path(os.environ.get("EMOSCOPE_DATA", Path(__file__).parents[2] / "shared" / "data"))
WIDTHS = {"mfcc": 40, "chroma": 12, "mel": 128, "contrast": 7, "tonnetz": 6}
TOLERANCE = 1e-5  # required: 1e-3; measured: 2e-6


def reference(y: np.ndarray, sr: int, name: str) -> np.ndarray:
    magnitude = np.abs(librosa.stft(y))
    matrix = {
        "mfcc": lambda: librosa.feature.mfcc(y=y, sr=sr, n_mfcc=40),
        "chroma": lambda: librosa.feature.chroma_stft(S=magnitude, sr=sr),
        "mel": lambda: librosa.feature.melspectrogram(y=y, sr=sr),
        "contrast": lambda: librosa.feature.spectral_contrast(S=magnitude, sr=sr),
        "tonnetz": lambda: librosa.feature.tonnetz(y=librosa.effects.harmonic(y), sr=sr),
    }[name]
    return np.mean(matrix().T, axis=0)


def deviation(signal: Signal, name: str) -> float:
    """Largest of the vector's relative error (L2) and each value's, relative to the largest."""
    ours = features.get(name).extract(Spectrum(signal))
    right = reference(signal.samples, signal.rate, name)
    assert ours.shape == right.shape == (WIDTHS[name],)
    assert ours.dtype == np.float32
    wrong = np.abs(ours - right)
    # An impulse has neither contrast nor harmonics, and zeros no relative error: count the
    # contrast against 10 dB then.
    least = 10.0 if name == "contrast" else 1e-3
    vector = float(np.linalg.norm(wrong)) / max(float(np.linalg.norm(right)), least)
    return max(vector, float(wrong.max()) / max(float(np.abs(right).max()), least))


def recordings(corpus: str, step: int) -> list[Path]:
    found = sorted(p for p in (DATA / corpus).rglob("*") if p.suffix in (".flac", ".wav"))
    if not found:
        pytest.skip(f"no {corpus} recordings in {DATA}; set EMOSCOPE_DATA")
    return found[::step]


@pytest.mark.parametrize(("corpus", "step"), [("ravdess", 120), ("emodb", 45)])
def test_real_clips_equal_librosa(corpus: str, step: int) -> None:
    clips = recordings(corpus, step)
    assert len(clips) >= 10
    largest = dict.fromkeys(WIDTHS, 0.0)
    for clip in clips:
        signal = load(clip)
        for name in WIDTHS:
            largest[name] = max(largest[name], deviation(signal, name))
    print(f"\n{corpus}, {len(clips)} clips:", {k: f"{v:.1e}" for k, v in largest.items()})
    assert max(largest.values()) < TOLERANCE


def made(kind: str, rate: int) -> Signal:
    time = np.arange(rate // 2) / rate
    noise = np.random.default_rng(7).normal(0, 0.1, len(time))
    samples = {
        "sine": 0.5 * np.sin(2 * np.pi * 445 * time),
        "chirp": 0.5 * np.sin(2 * np.pi * (100 + 3000 * time) * time),
        "noise": noise,
        "impulse": np.where(np.arange(len(time)) == len(time) // 2, 1.0, 0.0),
        "between silences": noise * (np.abs(time - 0.25) < 0.03),
        "shorter than a window": noise[:1700],
    }[kind]
    return Signal(samples.astype(np.float32), rate)


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize(
    "kind", ["sine", "chirp", "noise", "impulse", "between silences", "shorter than a window"]
)
def test_made_signals_equal_librosa(kind: str, rate: int) -> None:
    for name in WIDTHS if rate > 8000 else ("mfcc", "chroma", "mel"):
        assert deviation(made(kind, rate), name) < TOLERANCE, name


@pytest.mark.parametrize("name", ["contrast", "tonnetz"])
def test_a_low_rate_is_refused_as_librosa_does(name: str) -> None:
    signal = made("noise", 8000)
    with pytest.raises(librosa.util.exceptions.ParameterError):
        reference(signal.samples, signal.rate, name)
    with pytest.raises(FeatureError, match=f"'{name}' needs a sample rate above .* 8000 Hz"):
        features.get(name).extract(Spectrum(signal))


def test_long_recordings_give_the_same_values_block_by_block(monkeypatch) -> None:
    signal = made("chirp", 48_000)
    signal = Signal(np.tile(signal.samples, 6), 48_000)
    whole = {name: features.get(name).extract(Spectrum(signal)) for name in WIDTHS}
    monkeypatch.setattr(spectrum_module, "KEEP_VALUES", 0)
    monkeypatch.setattr("emoscope.features.harmonic.SECTION", 64)
    for name, expected in whole.items():
        spectrum = Spectrum(signal)
        assert not spectrum.is_kept
        np.testing.assert_allclose(features.get(name).extract(spectrum), expected, rtol=1e-4)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(bad: float) -> None:
    samples = made("noise", 16_000).samples.copy()
    samples[5000] = bad
    for name in ("mfcc", "mel", "logmel"):
        with np.errstate(invalid="ignore"), pytest.raises(FeatureError, match="not finite"):
            features.get(name).extract(Spectrum(Signal(samples, 16_000, "broken.wav")))


def test_extract_feature_names_its_values() -> None:
    clip = recordings("ravdess", 1000)[0]
    series = features.extract_feature(clip)
    assert series.shape == (193,)
    assert series.dtype == np.float32
    assert [series.index[i] for i in (0, 40, 52, 180, 187)] == [
        "mfcc_01", "chroma_C", "mel_001", "contrast_1", "tonnetz_fifth_x"
    ]  # fmt: skip
    part = features.extract_feature(clip, mfcc=False, mel=False, tonnetz=False)
    assert part.equals(series[part.index])
    assert len(part) == 19
    with pytest.raises(FeatureError, match="switch on"):
        features.extract_feature(
            clip, mfcc=False, chroma=False, mel=False, contrast=False, tonnetz=False
        )


def test_names_and_mistakes() -> None:
    assert {*features.DEFAULT, "logmel"} <= set(features.names())
    with pytest.raises(UnknownNameError, match="Did you mean 'chroma'"):
        features.get("croma")
    with pytest.raises(FeatureError, match="takes no argument"):
        features.get("mfcc:13")


@pytest.mark.parametrize("name", [*WIDTHS, "logmel"])
def test_every_feature_keeps_the_contract(name: str) -> None:
    feature = features.get(name)
    values = feature.extract(Spectrum(made("noise", 16_000)))
    assert values.dtype == np.float32
    assert values.shape[-1] == len(feature.columns) == len(set(feature.columns))
    assert values.ndim == (1 if feature.kind == "vector" else 2)
    assert all(column.startswith(f"{name}_") for column in feature.columns)
    assert {"name", "version"} <= feature.spec.keys()
    assert feature == features.get(name)


def test_importing_features_is_light() -> None:
    code = "import sys, emoscope.features; print(sorted({'pandas', 'scipy', 'torch', 'matplotlib', 'librosa', 'numpy'} & set(sys.modules)))"  # noqa: E501
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
