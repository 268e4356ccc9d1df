"""Features at low sample rates: what stands for them, and what is said."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import soundfile

from emoscope import audio, features, modelfile, training
from emoscope.audio import Signal
from emoscope.corpus import Corpus
from emoscope.dataset.extraction import extract
from emoscope.dataset.store import Store
from emoscope.errors import FeatureError
from emoscope.features.spectrum import Spectrum
from emoscope.prediction import Predictor
from recordings import voice


def corpus_at(folder, rates) -> Corpus:
    """Voices of two speakers, angry ones higher; one file for each rate."""
    rows = []
    for number, rate in enumerate(rates):
        path = str(folder / f"{number:03d}.wav")
        angry, speaker = number % 2, number // 2 % 2
        sound = voice(0.6, 100.0 + 90 * angry + 20 * speaker, rate=16_000, seed=number)
        soundfile.write(path, audio.resample(Signal(sound, 16_000), rate).samples, rate)
        emotion = ("neutral", "angry")[angry]
        rows.append((f"c{number}", path, emotion, emotion, f"s{speaker}", "rates"))
    columns = ["clip", "path", "emotion", "label", "speaker", "corpus"]
    return Corpus("rates", pd.DataFrame(rows, columns=columns))


@pytest.mark.parametrize(("name", "rate"), [("contrast6", 8_000), ("contrast5", 6_000)])
def test_fewer_bands_are_librosas(name, rate):
    """The same bands as librosa's with that many octaves less."""
    librosa = pytest.importorskip("librosa")
    signal = Signal(voice(1.0, rate=rate), rate)
    feature = features.get("contrast").at_rate(rate)
    assert feature.name == name
    magnitude = np.abs(librosa.stft(signal.samples))
    bands = len(feature.columns)
    reference = librosa.feature.spectral_contrast(S=magnitude, sr=rate, n_bands=bands - 1)
    np.testing.assert_allclose(
        feature.extract(Spectrum(signal)), reference.mean(axis=1), rtol=1e-4, atol=1e-3
    )


def test_what_fits_a_rate():
    contrast, tonnetz, mel = (features.get(n) for n in ("contrast", "tonnetz", "mel"))
    assert [contrast.at_rate(r).name for r in (12_801, 12_800, 6_401, 6_400)] == [
        "contrast", "contrast6", "contrast6", "contrast5",
    ]  # fmt: skip
    assert tonnetz.at_rate(8_000) is None
    assert tonnetz.at_rate(11_025) is tonnetz
    assert mel.at_rate(4_000) is mel
    with pytest.raises(FeatureError, match="needs a sample rate above 12800 Hz"):
        contrast.extract(Spectrum(Signal(voice(0.5, rate=8000), 8000)))


@pytest.mark.parametrize("rates", [[8_000] * 4, [8_000, 22_050] * 2, [22_050, 8_000] * 2])
def test_what_a_rate_does_not_allow_is_left_out_for_all(tmp_path, rates):
    """Whichever clip comes first; said once; the values are those of the features alone."""
    corpus, store = corpus_at(tmp_path, rates), Store(tmp_path / "store")
    asked = [features.get(name) for name in ("mfcc", "contrast", "tonnetz")]
    for _ in range(2):
        found = extract(corpus, asked, store=store, jobs=1)
        assert found.features["vector"].names == ["mfcc", "contrast6"]
        assert found.names(["mfcc", "contrast", "tonnetz"]) == ["mfcc", "contrast6"]
        assert found.corpus.rejected == []
        said = " ".join(found.corpus.notes)
        assert said.count("'contrast6' stands for it") == 1
        assert said.count("'tonnetz' needs a sample rate above 8412 Hz") == 1
        assert ("sample rates differ" in said) == (len(set(rates)) > 1)
    alone = features.get("contrast6").extract(Spectrum(audio.load(corpus.table["path"][0])))
    np.testing.assert_array_equal(found.features["vector"].X[0, 40:], alone)


@pytest.mark.parametrize("position", [0, 20])
def test_few_clips_of_a_lower_rate_do_not_decide(tmp_path, position):
    rates = [16_000] * 24
    rates[position] = 8_000
    found = extract(corpus_at(tmp_path, rates), [features.get("contrast")], jobs=1)
    assert found.features["vector"].names == ["contrast"]
    [refused] = found.corpus.rejected
    assert refused.path.endswith(f"{position:03d}.wav")
    assert "above 12800 Hz, and this clip has 8000 Hz" in refused.reason


def test_nothing_is_left(tmp_path):
    with pytest.raises(FeatureError, match="'tonnetz' needs .* left out for all"):
        extract(corpus_at(tmp_path, [8_000] * 2), [features.get("tonnetz")], jobs=1)


def test_a_model_of_telephone_speech_takes_any_rate(tmp_path):
    """Its card says what it was trained on, and other recordings are brought to that rate."""
    corpus = corpus_at(tmp_path, [8_000] * 16)
    asked = ["mfcc", "contrast", "tonnetz"]
    data = extract(corpus, [features.get(name) for name in asked], jobs=1)
    out = tmp_path / "m.emoscope"
    card = training.train(
        "svm", data.corpus, data.features["vector"], names=data.names(asked), out=out
    )
    assert (card.input.rate, card.input.width) == (8_000, 46)
    assert [feature.name for feature in card.input.features] == ["mfcc", "contrast6"]
    predictor = Predictor(modelfile.load(out))
    telephone = audio.load(corpus.table["path"][5])
    plain, faster = (predictor.predict(s) for s in (telephone, audio.resample(telephone, 44_100)))
    assert plain.emotion == faster.emotion == corpus.table["emotion"][5]
    assert faster.confidence == pytest.approx(plain.confidence, abs=0.05)
