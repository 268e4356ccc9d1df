"""The ways to get features from a recording that ``benchmarks/features.py`` compares.

Each system is made once per process and is then a function of mono samples and their rate; decoding
is a system of its own. Those whose package is missing are left out.
"""

from __future__ import annotations

import importlib.util
import os
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

System = Callable[[np.ndarray, int], np.ndarray]
RATE = 48_000
DATA = Path(os.environ.get("EMOSCOPE_DATA", "../shared/data"))
FEATURES = ("mfcc", "chroma", "mel", "contrast", "tonnetz")
NUMPY_193 = "emoscope without its kernel, 193 values"
EMOSCOPE_193, LIBROSA_193 = "emoscope, 193 values", "librosa as everybody calls it, 193 values"


def recordings(corpus: str, count: int | None = None) -> list[str]:
    """Some clips of a corpus, evenly spread; all of them when no number is given."""
    found = sorted(str(p) for p in (DATA / corpus).rglob("*") if p.suffix in (".flac", ".wav"))
    if not found:
        raise SystemExit(f"no recordings in {DATA / corpus}; set EMOSCOPE_DATA")
    return found if count is None else found[:: max(1, len(found) // count)][:count]


def read(path: str) -> tuple[np.ndarray, int]:
    """Samples and rate of a recording, its channels averaged."""
    import soundfile

    samples, rate = soundfile.read(path, dtype="float32")
    return (samples.mean(axis=1) if samples.ndim > 1 else samples), rate


def _means(*matrices):
    return np.concatenate([matrix.mean(axis=1) for matrix in matrices])


def _emoscope(names, compiled):
    from emoscope import features
    from emoscope.audio import Signal
    from emoscope.features import kernel
    from emoscope.features.spectrum import Spectrum

    chosen, found = [features.get(name) for name in names], kernel.library
    if compiled and found() is None:
        raise SystemExit("no compiled kernel; python hatch_build.py makes one")

    def run(y, sr):
        kernel.library = found if compiled else lambda: None
        try:
            spectrum = Spectrum(Signal(y, sr))
            return np.concatenate([feature.extract(spectrum) for feature in chosen])
        finally:
            kernel.library = found

    return run


def librosa_180() -> System:
    """As the student project calls it: three spectrograms."""
    import librosa

    feature = librosa.feature

    def run(y, sr):
        magnitude = np.abs(librosa.stft(y))
        return _means(
            feature.mfcc(y=y, sr=sr, n_mfcc=40),
            feature.chroma_stft(S=magnitude, sr=sr),
            feature.melspectrogram(y=y, sr=sr),
        )

    return run


def librosa_193() -> System:
    """As the student project calls it, with its two optional features."""
    import librosa

    feature = librosa.feature

    def run(y, sr):
        magnitude = np.abs(librosa.stft(y))
        return _means(
            feature.mfcc(y=y, sr=sr, n_mfcc=40),
            feature.chroma_stft(S=magnitude, sr=sr),
            feature.melspectrogram(y=y, sr=sr),
            feature.spectral_contrast(S=magnitude, sr=sr),
            feature.tonnetz(y=librosa.effects.harmonic(y), sr=sr),
        )

    return run


def _shared(librosa, y, sr):
    spectra = librosa.stft(y)
    magnitude = np.abs(spectra)
    mel = librosa.feature.melspectrogram(S=magnitude**2, sr=sr)
    cepstrum = librosa.feature.mfcc(S=librosa.power_to_db(mel), n_mfcc=40)
    chroma = librosa.feature.chroma_stft(S=magnitude, sr=sr)
    return spectra, magnitude, [cepstrum, chroma, mel]


def librosa_180_shared() -> System:
    """One spectrogram shared by hand."""
    import librosa

    def run(y, sr):
        return _means(*_shared(librosa, y, sr)[2])

    return run


def librosa_193_shared() -> System:
    """One spectrogram shared by hand, also by the harmonic separation."""
    import librosa

    def run(y, sr):
        spectra, magnitude, first = _shared(librosa, y, sr)
        contrast = librosa.feature.spectral_contrast(S=magnitude, sr=sr)
        harmonic = librosa.istft(librosa.decompose.hpss(spectra)[0], length=len(y))
        return _means(*first, contrast, librosa.feature.tonnetz(y=harmonic, sr=sr))

    return run


def audioflux_180() -> System:
    """audioFlux (C, float32): the same counts of MFCC, chroma and mel, by its own conventions."""
    import audioflux as af
    from audioflux.spectrogram import Spectrogram
    from audioflux.type import (
        SpectralDataType,
        SpectralFilterBankScaleType,
        SpectralFilterBankType,
    )

    common = {"radix2_exp": 11, "samplate": RATE, "slide_length": 512}
    mel = af.BFT(
        num=128,
        scale_type=SpectralFilterBankScaleType.MEL,
        data_type=SpectralDataType.POWER,
        **common,
    )
    chroma = Spectrogram(
        num=12,
        low_fre=0.0,
        high_fre=RATE / 2,
        filter_bank_type=SpectralFilterBankType.CHROMA,
        data_type=SpectralDataType.MAG,
        **common,
    )
    cepstrum = af.XXCC(num=128)

    def run(y, sr):
        power = mel.bft(y, result_type=1)
        cepstrum.set_time_length(time_length=power.shape[-1])
        return _means(cepstrum.xxcc(power, cc_num=40), chroma.spectrogram(y), power)

    return run


def opensmile_egemaps() -> System:
    """openSMILE (C++): the 88 functionals of eGeMAPSv02."""
    import opensmile

    smile = opensmile.Smile(
        feature_set=opensmile.FeatureSet.eGeMAPSv02,
        feature_level=opensmile.FeatureLevel.Functionals,
    )

    def run(y, sr):
        return smile.process_signal(y, sr).to_numpy()[0]

    return run


SYSTEMS: dict[str, tuple[str, Callable[[], System]]] = {
    "emoscope, 180 values": ("emoscope", partial(_emoscope, FEATURES[:3], True)),
    "emoscope without its kernel, 180 values": (
        "emoscope",
        partial(_emoscope, FEATURES[:3], False),
    ),
    "librosa as everybody calls it, 180 values": ("librosa", librosa_180),
    "librosa, spectrogram shared by hand, 180 values": ("librosa", librosa_180_shared),
    "audioFlux, 180 values": ("audioflux", audioflux_180),
    EMOSCOPE_193: ("emoscope", partial(_emoscope, FEATURES, True)),
    NUMPY_193: ("emoscope", partial(_emoscope, FEATURES, False)),
    LIBROSA_193: ("librosa", librosa_193),
    "librosa, spectrogram shared by hand, 193 values": ("librosa", librosa_193_shared),
    "openSMILE eGeMAPS, 88 values": ("opensmile", opensmile_egemaps),
}


def available() -> list[str]:
    """Names of the systems whose package is installed."""
    return [name for name, (package, _) in SYSTEMS.items() if importlib.util.find_spec(package)]


def make(name: str) -> System:
    """The system of that name, ready to run."""
    warnings.filterwarnings("ignore")  # librosa warns of every clip without pitch
    return SYSTEMS[name][1]()
