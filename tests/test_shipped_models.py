"""The model files in the package: their size, their cards, and that they hear what they should."""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emoscope import audio, modelfile
from emoscope.audio import Signal
from emoscope.evaluation import metrics
from emoscope.modelfile import ModelFile

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("EMOSCOPE_DATA", ROOT.parent / "shared" / "data"))
MODELS = Path(os.environ.get("EMOSCOPE_MODELS", ROOT.parent / "shared" / "models"))
RESULTS = ROOT / "results" / "accuracy"
SHIPPED = ("default", "free")
LIMIT = 20_000_000  # bytes


@pytest.fixture(scope="module", params=SHIPPED)
def shipped(request: pytest.FixtureRequest) -> ModelFile:
    return modelfile.load(request.param)


@pytest.mark.parametrize("name", SHIPPED)
def test_size(name: str) -> None:
    assert len(modelfile.read(name)) < LIMIT


def test_the_free_model_is_smaller() -> None:
    assert len(modelfile.read("free")) < len(modelfile.read("default"))


def test_cards_say_where_the_models_come_from(shipped: ModelFile) -> None:
    card = shipped.card
    assert "Copyright (c) 2022 OpenAI" in card.notices[0]
    assert "Permission is hereby granted" in card.notices[0]
    n_speakers = {"ravdess": 24, "emodb": 10, "nemo": 9, "emospeech": 106}
    for name, speakers in card.speakers.items():
        assert len(speakers) == n_speakers[name]
    assert card.domain is not None
    assert card.offsets is not None and card.uncertain.held_out == "corpora"
    assert 0 <= card.uncertain.risk <= 0.3
    assert (card.uncertain.threshold < 1) == (card.uncertain.coverage > 0.2)
    for run in card.results:
        assert run.corpus and run.protocol and 0 < run.uar_low < run.uar < run.uar_high


def test_cards_are_kept_whole(shipped: ModelFile) -> None:
    with zipfile.ZipFile(io.BytesIO(modelfile.read(shipped.path))) as archive:
        written = json.loads(archive.read("card.json"))
    assert written == json.loads(shipped.card.to_json())


def test_licences() -> None:
    default, free = (modelfile.load(name).card for name in SHIPPED)
    assert set(default.speakers) == {"ravdess", "emodb", "nemo", "emospeech"}
    assert "NC" in default.licence
    assert set(free.speakers) == {"emodb"}
    assert "CC0" in free.licence and "NC" not in free.licence


@pytest.mark.parametrize("seconds", [0.1, 1.0, 30.0])
def test_any_length_that_the_card_promises(shipped: ModelFile, seconds: float) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, round(seconds * 16_000)).astype(np.float32)
    logits, embedding = shipped.run(shipped.prepare(Signal(samples, 16_000)))
    assert logits.shape == (1, len(shipped.card.emotions))
    assert np.isfinite(embedding).all()


def test_noise_lies_far_from_speech(shipped: ModelFile) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 48_000).astype(np.float32)
    _, embedding = shipped.run(shipped.prepare(Signal(noise, 16_000)))
    domain = shipped.card.domain
    assert domain is not None and domain.distance(embedding)[0] > domain.threshold


def test_clips_of_the_training_corpora_are_remembered(shipped: ModelFile) -> None:
    """Not a measure of quality: it shows that graph, head and preprocessing belong together."""
    folders = {"ravdess": DATA / "ravdess", "emodb": DATA / "emodb" / "wav"}
    if not all(folder.is_dir() for folder in folders.values()):
        pytest.skip(f"no corpora at {DATA} (set EMOSCOPE_DATA)")
    code = {"W": "angry", "L": "bored", "E": "disgust", "A": "fearful", "F": "happy", "T": "sad"}
    clips = sorted(folders["emodb"].iterdir())[::20]
    right = []
    for clip in clips:
        logits, _ = shipped.run(shipped.prepare(audio.load(clip)))
        predicted = shipped.card.emotions[int(logits[0].argmax())]
        right.append(predicted == code.get(clip.stem[5], "neutral"))
    assert np.mean(right) > 0.8


def test_the_graph_hears_what_the_encoder_feature_hears(shipped: ModelFile) -> None:
    pytest.importorskip("transformers", reason="the extra 'deep' is not installed")
    folder = MODELS / "whisper-base-encoder"
    if not folder.is_dir():
        pytest.skip(f"no pretrained encoders at {MODELS} (set EMOSCOPE_MODELS)")
    from emoscope import features
    from emoscope.features.spectrum import Spectrum

    blocks = "2+3+4" if shipped.path == "default" else "2+3"
    feature = features.get(f"encoder:{folder}@layers={blocks}@pool=mean@prepare=speech-level")
    t = np.arange(32_000) / 16_000
    samples = 0.1 * np.sin(2 * np.pi * 150 * t) * (1 + np.sin(2 * np.pi * 4 * t))
    signal = Signal(samples.astype(np.float32), 16_000)
    _, embedding = shipped.run(shipped.prepare(signal))
    expected = feature.extract(Spectrum(signal))
    # The embedding is standardised: an affine map of the feature, column by column.
    other = Signal((samples + 0.02 * np.sin(900 * t)).astype(np.float32), 16_000)
    moved = feature.extract(Spectrum(other)) - expected
    _, heard = shipped.run(shipped.prepare(other))
    assert np.corrcoef(np.sign(moved), np.sign((heard - embedding)[0]))[0, 1] > 0.9


@pytest.mark.parametrize(
    ("figure", "protocol", "least"),
    [
        ("ravdess-shipped", "speaker-6fold", 0.765),
        ("emodb-shipped", "loso", 0.92),
        ("emodb-loso", "loso", 0.94),
        ("cross-corpus-to-emodb", "cross-corpus", 0.87),
        ("cross-corpus-to-ravdess", "cross-corpus", 0.64),
        ("cross-corpus-to-ravdess", "cross-corpus+speaker-adapted", 0.67),
        ("cross-corpus-to-nemo", "cross-corpus+speaker-adapted", 0.57),
    ],
)
def test_committed_predictions_give_the_committed_figures(
    figure: str, protocol: str, least: float
) -> None:
    rows = pd.read_csv(RESULTS / figure / "predictions.csv", dtype=str, keep_default_na=False)
    rows = rows[rows["protocol"] == protocol]
    uar = metrics.uar(rows["emotion"], rows["predicted"])
    document = json.loads((RESULTS / figure / "results.json").read_text(encoding="utf-8"))
    (run,) = (r for r in document["runs"] if r["protocol"] == protocol)
    assert uar == pytest.approx(run["uar"], abs=1e-9)
    assert uar >= least
    assert not rows["clip"].duplicated().any()
    folds = rows.groupby("speaker")["fold"].nunique()
    assert (folds == 1).all()
