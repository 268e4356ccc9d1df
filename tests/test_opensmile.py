"""openSMILE's sets, where the package is installed; a plain word about its licence where not."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from emoscope import features
from emoscope.audio import Signal
from emoscope.errors import FeatureError, MissingExtraError
from emoscope.features.spectrum import Spectrum

INSTALLED = importlib.util.find_spec("opensmile") is not None
RATE = 16_000


def noise(seconds: float) -> Signal:
    samples = np.random.default_rng(0).normal(0, 0.1, round(seconds * RATE))
    return Signal(samples.astype(np.float32), RATE, "noise.wav")


@pytest.mark.skipif(INSTALLED, reason="the package opensmile is installed")
@pytest.mark.parametrize("name", ["egemaps", "compare2016"])
def test_without_the_package(name: str) -> None:
    with pytest.raises(MissingExtraError, match="does not allow commercial use") as caught:
        features.get(name).extract(Spectrum(noise(1)))
    assert "emoscope[opensmile]" in str(caught.value)


@pytest.mark.skipif(not INSTALLED, reason="the package opensmile is not installed")
@pytest.mark.parametrize(
    ("name", "members"), [("egemaps", ("eGeMAPSv02", 88)), ("compare2016", ("ComParE_2016", 6373))]
)
def test_values_are_the_packages_own(name: str, members: tuple[str, int]) -> None:
    import opensmile

    feature = features.get(name)
    signal = noise(1.5)
    smile = opensmile.Smile(
        getattr(opensmile.FeatureSet, members[0]), opensmile.FeatureLevel.Functionals
    )
    expected = smile.process_signal(signal.samples, signal.rate)
    assert feature.columns == tuple(f"{name}_{c}" for c in expected.columns)
    assert len(feature.columns) == members[1]
    np.testing.assert_allclose(feature.extract(Spectrum(signal)), expected.to_numpy()[0], rtol=1e-5)


@pytest.mark.skipif(not INSTALLED, reason="the package opensmile is not installed")
def test_a_clip_without_values_is_refused() -> None:
    with pytest.raises(FeatureError, match="too short"):
        features.get("egemaps").extract(Spectrum(noise(0.02)))
