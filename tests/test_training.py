"""Training writes files that say what the fitted model says, calibrated on unseen speakers."""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import tiny_model
from emoscope import audio, features, modelfile, training
from emoscope.corpus import Corpus, SpeakerOrigin
from emoscope.dataset import bundled, extraction
from emoscope.errors import CorpusError, FeatureError, ModelError, ProtocolError, UnknownNameError
from emoscope.evaluation import saved_model
from emoscope.features.table import Features
from emoscope.modelfile.card import Card
from emoscope.models import offsets
from emoscope.models.onnx_graph import linear_form
from emoscope.training import calibration, common_rate
from emoscope.training.calibration import UnseenPredictions, cross_val_predict

pytest.importorskip("skl2onnx", reason="the extra 'onnx' is not installed")

RATE = 16_000
EMOTIONS = ("angry", "happy", "sad")
PITCH = {"angry": 300.0, "happy": 400.0, "sad": 150.0}
N_SPEAKERS, TAKES = 6, 4


def clip(emotion: str, speaker: int, take: int) -> np.ndarray:
    """A voice of its own pitch and timbre; emotion moves the pitch and its wobble."""
    rng = np.random.default_rng([speaker, take, len(emotion)])
    t = np.arange(RATE // 2) / RATE
    pitch = PITCH[emotion] * (1 + 0.04 * speaker) * (1 + 0.02 * rng.normal())
    phase = 2 * np.pi * np.cumsum(pitch * (1 + 0.05 * np.sin(2 * np.pi * 6 * t))) / RATE
    tone = sum(np.sin(k * phase) / k ** (1 + 0.1 * speaker) for k in range(1, 6))
    return (0.1 * tone + rng.normal(0, 0.003, len(t))).astype(np.float32)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("corpus")
    rows = []
    for speaker in range(N_SPEAKERS):
        for emotion in EMOTIONS:
            for take in range(TAKES):
                path = folder / f"{speaker}-{emotion}-{take}.wav"
                soundfile.write(path, clip(emotion, speaker, take), RATE)
                rows.append((path.stem, str(path), emotion, emotion, f"s{speaker}", "toy"))
    columns = ["clip", "path", "emotion", "label", "speaker", "corpus"]
    return Corpus("toy", pd.DataFrame(rows, columns=columns), licence="CC0 1.0", citation="none")


@pytest.fixture(scope="module")
def table(corpus: Corpus) -> Features:
    names = ["mfcc", "contrast"]
    return extraction.extract(corpus, [features.get(n) for n in names], jobs=1).features["vector"]


@pytest.fixture(scope="module")
def trained(corpus: Corpus, table: Features, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("model") / "lda.emoscope"
    training.train("lda", corpus, table, names=["mfcc", "contrast"], out=out, seed=3)
    return out


def test_the_card(trained: Path) -> None:
    card = modelfile.load(trained).card
    assert card.emotions == EMOTIONS
    assert card.input.kind == "features"
    assert [f.name for f in card.input.features] == ["mfcc", "contrast"]
    assert card.speakers == {"toy": {f"s{n}" for n in range(N_SPEAKERS)}}
    assert card.training.corpora[0].n_clips == N_SPEAKERS * TAKES * 3
    assert card.training.recipe["seed"] == 3
    assert card.licence == "CC0 1.0"
    (result,) = card.results
    assert result.protocol == "unseen-training-speakers"
    assert 1 / 3 < result.uar_low <= result.uar <= result.uar_high <= 1
    assert card.uncertain.coverage >= 0.77
    figures = card.training.recipe["together"]
    assert (card.offsets is not None) == (figures["uar"] >= figures["uar_alone"])


def test_the_file_says_what_the_fitted_model_says(
    trained: Path, corpus: Corpus, table: Features
) -> None:
    from emoscope import models

    fitted = models.get("lda").build(3).fit(table.X, corpus.table["emotion"])
    model = modelfile.load(trained)
    logits, embedding = model.run(table.X)
    expected = log_softmax(np.log(fitted.predict_proba(table.X)), axis=1)
    found = log_softmax(logits.astype(float), axis=1)
    np.testing.assert_allclose(found, expected, atol=0.02)  # weights in half precision
    np.testing.assert_allclose(embedding.std(axis=0), 1, atol=0.01)


def test_evaluation_says_that_the_speakers_are_known(trained: Path, corpus: Corpus) -> None:
    model = modelfile.load(trained)
    result = saved_model.evaluate(model, corpus, jobs=1)
    assert result.runs[0].n_clips == len(corpus)
    assert result.runs[0].uar > 0.95  # it remembers
    assert any("were in this model's training" in note for note in result.config["notes"])
    columns = [c for c in result.predictions if c.startswith("p_")]
    np.testing.assert_allclose(result.predictions[columns].sum(axis=1), 1, atol=1e-6)
    renamed = Corpus("test", corpus.table.assign(corpus="test"))  # as train.csv and test.csv are
    notes = " ".join(saved_model.evaluate(model, renamed, jobs=1).config["notes"])
    assert "have names of speakers who, if they are the same people, were in this model's" in notes
    adapted = saved_model.evaluate(model, corpus, adapt="speaker", jobs=1)
    assert adapted.protocol == "evaluate+speaker-adapted"
    assert adapted.runs[0].uar > 0.95


def test_evaluation_on_other_emotions_and_speakers(trained: Path, corpus: Corpus) -> None:
    table = corpus.table.assign(speaker="new-" + corpus.table["speaker"], corpus="other")
    table["emotion"] = table["emotion"].replace({"happy": "bored"})
    other = Corpus("other", table)
    model = modelfile.load(trained)
    result = saved_model.evaluate(model, other, jobs=1)
    notes = " | ".join(result.config["notes"])
    assert "24 clips left out: the model does not know bored" in notes
    assert "the corpus has no happy" in notes
    assert "training" not in notes
    assert set(result.predictions["predicted"]) <= {"angry", "sad"}
    free = result.runs[0].extra["free"]
    assert free["chance"] == 1 / 3 and free["uar"] <= result.runs[0].uar
    strange = Corpus("strange", table.assign(emotion="bored"))
    with pytest.raises(CorpusError, match="at least two must be shared"):
        saved_model.evaluate(model, strange, jobs=1)


def test_unusable_clips_are_named(trained: Path, corpus: Corpus, tmp_path: Path) -> None:
    silent = tmp_path / "silent.wav"
    soundfile.write(silent, np.zeros(RATE), RATE)
    extra = corpus.table.iloc[:1].assign(clip="x", path=str(silent))
    more = Corpus("toy", pd.concat([corpus.table, extra], ignore_index=True))
    result = saved_model.evaluate(modelfile.load(trained), more, jobs=1)
    assert [bad["file"] for bad in result.corpus["rejected"]] == [str(silent)]
    assert len(result.predictions) == len(corpus)


def test_any_model_learns_of_speakers_where_they_are_known(
    corpus: Corpus, table: Features, tmp_path: Path
) -> None:
    out, names = tmp_path / "tree.emoscope", ["mfcc", "contrast"]
    training.train("tree", corpus, table, names=names, out=out)
    figures = modelfile.load(out).card.training.recipe["together"]
    assert 0 <= figures["uar_alone"] <= 1 and 0 <= figures["uar"] <= 1
    nobody = Corpus("toy", corpus.table.assign(speaker=""))
    training.train("tree", nobody, table, names=names, out=out)
    with pytest.raises(ModelError, match="does not know what clips of one source have in common"):
        saved_model.evaluate(modelfile.load(out), corpus, adapt="speaker")


def test_whisper_embeddings_and_a_linear_head_become_one_graph(
    corpus: Corpus, tmp_path: Path
) -> None:
    torch = pytest.importorskip("torch", reason="the extra 'deep' is not installed")
    transformers = pytest.importorskip(
        "transformers", reason="the extra 'encoders' is not installed"
    )
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    torch.manual_seed(0)
    config = transformers.WhisperConfig(
        d_model=32, encoder_layers=1, encoder_attention_heads=2, encoder_ffn_dim=32
    )
    WhisperEncoder(config).save_pretrained(tmp_path / "whisper")
    names = [f"encoder:{tmp_path / 'whisper'}@layers=1@prepare=speech-level"]
    found = extraction.extract(corpus, [features.get(names[0])], jobs=1).features["vector"]
    out = tmp_path / "m.emoscope"
    estimator = make_pipeline(StandardScaler(), LogisticRegression(C=0.1))
    training.train(estimator, corpus, found, names=names, out=out, title="small")
    model = modelfile.load(out)
    assert model.card.input.kind == "samples"
    assert model.card.name == "small"
    fitted = estimator.fit(found.X, corpus.table["emotion"])
    inferred = saved_model.infer(model, corpus, jobs=1)
    expected = fitted.predict_proba(found.X)
    np.testing.assert_allclose(
        modelfile.softmax(inferred.logits.astype(np.float32)), expected, atol=5e-3
    )


@pytest.mark.parametrize("speaker", ["", "only"])
def test_without_speakers_confidence_is_optimistic(
    corpus: Corpus, table: Features, tmp_path: Path, speaker: str
) -> None:
    alone = Corpus("toy", corpus.table.assign(speaker=speaker))
    out = tmp_path / "x.emoscope"
    names = [spec["name"] for spec in table.specs]
    training.train("lda", alone, table, names=names, out=out)
    card = modelfile.load(out).card
    assert card.optimistic and card.held_out == "clips" and card.offsets is None
    [measured] = card.results
    assert measured.protocol == "random-training-clips" and measured.uar_low is None
    assert card.training.corpora[0].speakers == ((speaker,) if speaker else ())


def test_what_a_card_says_was_held_out(corpus: Corpus, table: Features, tmp_path: Path) -> None:
    out = tmp_path / "x.emoscope"
    names = [spec["name"] for spec in table.specs]
    guessed = dataclasses.replace(corpus, speakers_from=SpeakerOrigin("guess", "the first folder"))
    for source, held_out in ((corpus, "speakers"), (guessed, "guessed-speakers")):
        training.train("lda", source, table, names=names, out=out)
        card = modelfile.load(out).card
        assert (card.held_out, card.optimistic) == (held_out, False)
        assert card.results[0].uar_low is not None
        values = json.loads(card.to_json())
        for name in ("held_out", "optimistic"):  # a card of an older version
            del values[name]
        assert Card.from_json(json.dumps(values)).held_out == "speakers"


def test_the_wrong_kind_of_feature_is_refused(
    corpus: Corpus, table: Features, tmp_path: Path
) -> None:
    with pytest.raises(FeatureError, match="reads frames features"):
        training.train("cnn2d-a", corpus, table, names=["mfcc"], out=tmp_path / "x.emoscope")


# --- the parts ------------------------------------------------------------------------------------


def overconfident(factor: float, n: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from known probabilities, and logits ``factor`` times as large as theirs."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (n, 4))
    p = np.exp(log_softmax(logits, axis=1))
    labels = (p.cumsum(axis=1) < rng.uniform(size=(n, 1))).sum(axis=1)
    return factor * logits, labels


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_temperature_is_found_again(factor: float) -> None:
    logits, labels = overconfident(factor)
    assert calibration.temperature(logits, labels) == pytest.approx(factor, rel=0.08)


def test_the_rule_for_uncertain_keeps_its_promise() -> None:
    logits, labels = overconfident(1.0)
    rule = calibration.uncertain(log_softmax(logits, axis=1), labels)
    confidence = np.exp(log_softmax(logits, axis=1)).max(axis=1)
    certain = confidence >= rule.threshold
    assert rule.coverage == certain.mean() <= calibration.COVERAGE + 1e-9
    wrong = logits.argmax(axis=1) != labels
    assert rule.risk == pytest.approx(wrong[certain].mean()) and rule.risk <= calibration.RISK
    lower = confidence >= np.sort(confidence)[::-1][certain.sum()]  # one clip more
    assert wrong[lower].mean() > calibration.RISK or rule.coverage > 0.79


def test_a_model_that_is_right_at_no_confidence_marks_every_label() -> None:
    logits = log_softmax(np.random.default_rng(0).normal(size=(28, 6)), axis=1)
    rule = calibration.uncertain(logits, (logits.argmax(axis=1) + np.arange(28) % 3) % 6)
    assert (rule.threshold, rule.coverage) == (1.0, 0.0) and rule.risk == pytest.approx(18 / 28)


def test_clips_of_one_confidence_pass_together() -> None:
    logits = np.log(np.tile([0.4, 0.3, 0.3], (40, 1)))  # as of a model that ignores the sound
    labels = np.repeat([0, 1, 2], [14, 13, 13])  # the first that are counted are right
    assert calibration.uncertain(logits, labels).coverage == 0.0
    assert calibration.uncertain(logits, labels // 3).coverage == 1.0


def test_cross_fitting_uses_no_label_of_the_fold() -> None:
    logits, labels = overconfident(3.0, n=400)
    tests = list(np.arange(400).reshape(4, 100))
    changed = labels.copy()
    changed[:100] = (changed[:100] + 1) % 4
    one = calibration.cross_fitted(logits, labels, tests)
    two = calibration.cross_fitted(logits, changed, tests)
    np.testing.assert_array_equal(one[:100], two[:100])
    assert not np.allclose(one[100:], two[100:])


@pytest.mark.parametrize("n_emotions", [2, 3])
@pytest.mark.parametrize("scalers", [[], [StandardScaler()], [StandardScaler(with_mean=False)]])
def test_linear_form(n_emotions: int, scalers: list[StandardScaler]) -> None:
    rng = np.random.default_rng(1)
    y = np.arange(60) % n_emotions
    x = rng.normal(size=(60, 5)) + y[:, None]
    fitted = make_pipeline(*scalers, LogisticRegression()).fit(x, y)
    form = linear_form(fitted)
    logits = (x - form.mean) / form.scale @ form.weights + form.bias
    expected = fitted.predict_log_proba(x)
    np.testing.assert_allclose(log_softmax(logits, axis=1), expected, atol=1e-5)


def test_what_is_not_linear_has_no_linear_form(corpus: Corpus) -> None:
    from emoscope import models

    assert linear_form(models.get("svm-rbf").build(0)) is None


def test_clips_of_a_speaker_tell_what_its_voice_hides() -> None:
    """Voices differ as much as emotions: only within a voice can these be told apart."""
    rng = np.random.default_rng(2)
    speakers = np.repeat([f"s{n}" for n in range(10)], 48)
    labels = np.tile(np.arange(3), 160)
    x = rng.normal(0, 0.6, (480, 12)) + np.eye(12)[labels] * 2
    x += rng.normal(0, 1, (10, 12)).repeat(48, axis=0)
    x = ((x - x.mean(axis=0)) / x.std(axis=0)).astype(np.float32)
    emotions = np.array(EMOTIONS)[labels]
    estimator = make_pipeline(StandardScaler(), LogisticRegression(C=0.1))
    unseen = cross_val_predict(estimator, x, emotions, speakers)
    temperature = calibration.temperature(unseen.logits, unseen.labels)
    before = tiny_model.card(emotions=EMOTIONS, temperature=temperature)
    card = calibration.with_offsets(before, unseen, speakers, np.zeros(480))
    figures = card.training.recipe["together"]
    assert figures["uar"] > 0.9 > 0.7 > figures["uar_alone"]
    assert figures["uar_alone"] == pytest.approx((unseen.logits.argmax(axis=1) == labels).mean())
    assert card.offsets is not None


def test_offsets_that_harm_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels that go with speakers, not with sound: taking the voice away takes them too."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 0, 1], 40)
    logits = 4.0 * np.eye(2)[labels] + rng.normal(0, 1, (160, 2))
    unseen = UnseenPredictions([], labels, ("angry", "sad"), logits)
    always = functools.partial(offsets.chosen, low=1e-9, high=1e-8)
    monkeypatch.setattr(offsets, "chosen", always)
    before = tiny_model.card(emotions=("angry", "sad"))
    card = calibration.with_offsets(before, unseen, np.repeat(list("abcd"), 40), np.zeros(160))
    figures = card.training.recipe["together"]
    assert card.offsets is None and figures["uar"] < figures["uar_alone"]


def test_few_clips_of_each_emotion_are_enough(corpus: Corpus, tmp_path: Path) -> None:
    few = corpus.table.groupby(["emotion"]).head(3).reset_index(drop=True)
    few["speaker"] = [f"s{n % 6}" for n in range(len(few))]
    small = Corpus("few", few)
    values = extraction.extract(small, [features.get("mel")]).features["vector"]
    out = tmp_path / "few.emoscope"
    training.train("lda", small, values, names=["mel"], out=out)
    assert modelfile.load(out).card.emotions == tuple(sorted(set(few["emotion"])))


def test_adaptations_that_do_not_exist_or_cannot_be(trained: Path, corpus: Corpus) -> None:
    model = modelfile.load(trained)
    with pytest.raises(UnknownNameError, match="speaker, corpus"):
        saved_model.evaluate(model, corpus, adapt="bogus")
    nobody = Corpus("nobody", corpus.table.assign(speaker=""))
    with pytest.raises(ProtocolError, match="needs the speaker of every clip"):
        saved_model.evaluate(model, nobody, adapt="speaker")


def test_uncertain_is_what_a_prediction_calls_uncertain(trained: Path, corpus: Corpus) -> None:
    """Whichever of the model's emotions a corpus has."""
    model = modelfile.load(trained)
    some = corpus.select(emotions=sorted(set(corpus.table["emotion"]))[:2])
    inferred = saved_model.infer(model, some)
    log_confidence = log_softmax(inferred.logits / model.card.temperature, axis=1).max(axis=1)
    threshold = float(np.exp(np.median(log_confidence)))  # so that about half are uncertain
    card = dataclasses.replace(
        model.card, uncertain=dataclasses.replace(model.card.uncertain, threshold=threshold)
    )
    for answers in (model.card.emotions, some.emotions):
        run = saved_model.score(card, inferred, answers).runs[0]
        assert run.uncertain == pytest.approx((np.exp(log_confidence) < threshold).mean())


def test_the_card_knows_the_rate_of_the_training_clips(
    trained: Path, corpus: Corpus, tmp_path: Path
) -> None:
    rates = {soundfile.info(path).samplerate for path in corpus.table["path"]}
    assert {modelfile.load(trained).card.input.rate} == rates
    assert common_rate(bundled.load()[0]) == 48_000
    samples, rate = soundfile.read(corpus.table["path"][0])
    soundfile.write(tmp_path / "other.wav", samples, 2 * rate)
    mixed = Corpus("mixed", corpus.table.copy())
    mixed.table.loc[1, "path"] = str(tmp_path / "other.wav")
    assert common_rate(mixed) == 0


def test_the_bundled_features_are_of_that_rate(ravdess: Path) -> None:
    paths = sorted(ravdess.glob("Actor_*/*"))
    assert {audio.rate_of(path) for path in paths[::20]} == {bundled.RATE}
