"""``emoscope check``: what it tests, and that it finds a fault that was planted."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.signal
import soundfile

import planted_models
import tiny_model
from emoscope import Predictor, checking, corpus, modelfile
from emoscope.audio import Signal
from emoscope.checking import Outcome, answers, sounds, tests
from emoscope.evaluation import saved_model
from recordings import RATE, voice


def test_an_outcome_passes_on_the_right_side_of_its_threshold():
    def made(value, at_least, skipped=""):
        return Outcome("behaviour", "a/b", "", "", value, 0.5, at_least, "", skipped=skipped)

    assert made(0.5, True).passed
    assert made(0.5, False).passed
    assert made(0.4, True).failed
    assert made(0.6, False).failed
    assert made(float("nan"), True).failed
    skipped = made(float("nan"), True, "no speaker")
    assert not skipped.passed
    assert not skipped.failed


def test_what_was_measured_is_said_in_words():
    def said(key, group="correctness", **values):
        return tests.outcome(group, key, "clips", **values).measured

    assert said("contamination", value=1.0) == "100 %, has to be at most 0 %"
    assert said("changed", "robustness", value=2 / 7) == "28.6 %, has to be at most 5 %"
    assert said("uar", value=0.25) == "0.250, has to be at least 0.500"
    repeated = next(k for k, v in tests.texts("behaviour").items() if v["threshold"] == 1e-4)
    assert said(repeated, "behaviour", value=0.002) == "0.002, has to be at most 0.0001"


@pytest.mark.parametrize("condition", sounds.conditions(), ids=lambda c: c.name)
def test_conditions_repeat_exactly_and_change_the_sound(condition):
    signal = Signal(voice(1.0, seed=3), RATE)
    others = [Signal(voice(1.0, pitch, seed=4), RATE) for pitch in (90.0, 200.0)]
    first, again = (condition.of(signal, others, clip="a", seed=0) for _ in range(2))
    np.testing.assert_array_equal(first.samples, again.samples)
    assert np.isfinite(first.samples).all()
    assert abs(first.duration - signal.duration) <= 1.05
    same = len(first.samples) == len(signal.samples) and np.allclose(first.samples, signal.samples)
    assert not same


@pytest.mark.parametrize("snr", [10, 20])
def test_noise_has_its_level(snr):
    signal = Signal(voice(1.0), RATE)
    condition = next(c for c in sounds.conditions() if c.name == f"noise/pink-{snr}")
    noise = condition.of(signal, [], clip="a", seed=0).samples - signal.samples
    found = 20 * np.log10(sounds.root_mean_square(signal.samples) / sounds.root_mean_square(noise))
    assert found == pytest.approx(snr, abs=0.01)


def test_babble_needs_another_speaker():
    condition = next(c for c in sounds.conditions() if c.name == "noise/babble-20")
    with pytest.raises(sounds.Unusable, match="another speaker"):
        condition.of(Signal(voice(1.0), RATE), [], clip="a", seed=0)


def test_a_model_is_tested_without_a_corpus(tmp_path):
    found = checking.check(modelfile.load(tiny_model.write(tmp_path)), quick=True)
    assert {one.group for one in found.outcomes} == {"behaviour"}
    assert len(found.outcomes) == len({one.name for one in found.outcomes}) > 20
    assert "no corpus" in found.notes[0]
    assert json.loads(found.to_json())["outcomes"][0]["name"] == found.outcomes[0].name
    read = checking.Checked.from_json(found.to_json())
    assert read.counts() == found.counts() and read.to_json() == found.to_json()


@pytest.mark.parametrize(("shift", "passes"), [(0.02, True), (0.2, False)])
def test_a_label_between_two_equal_ones_may_change(shift, passes):
    class Torn:
        """A model that calls what is sampled at 48 kHz differently, with a little less of the one."""

        def predict(self, sound):
            rate = sound.rate if isinstance(sound, Signal) else soundfile.info(sound).samplerate
            sad = 0.505 - shift * (rate == 48_000)
            p = {"sad": sad, "angry": 1 - sad}
            label = max(p, key=p.get)
            told = {"uncertain": False, "warnings": (), "probabilities": p}
            return SimpleNamespace(emotion=label, confidence=p[label], **told)

        def predict_many(self, sounds, *, jobs):
            return map(self.predict, sounds)

    signals = [Signal(voice(0.5), RATE, "a")]
    made = {one.name: one for one in tests.consistency(Torn(), signals, jobs=1, tick=lambda: None)}
    copy = made.pop("copy/rate-48000")
    assert (copy.passed, copy.value) == (passes, float(not passes)) and len(
        copy.clips
    ) == copy.value
    assert all(one.passed for one in made.values()), made


def test_the_command_without_a_corpus(tmp_path):
    model = str(tiny_model.write(tmp_path))
    words = ["check", model, "--quick", "--out", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-m", "emoscope", *words],
        capture_output=True, text=True, check=False, env={**os.environ, "EMOSCOPE_DATA": ""},
    )  # fmt: skip
    written = json.loads((tmp_path / "out" / "check.json").read_text("utf-8"))
    failed = sum(one["passed"] is False for one in written["outcomes"])
    assert done.returncode == bool(failed), done.stderr
    passed = sum(one["passed"] is True for one in written["outcomes"])
    skipped = len(written["outcomes"]) - passed - failed
    assert re.search(rf"all +{passed} +{failed} +{skipped}", done.stdout)
    assert (tmp_path / "out" / "answers.csv").exists()


TEMPI = {"sad": 2.7, "neutral": 4.0, "angry": 6.0}  # syllables in a second


class Tempo:
    """A sound model: how fast somebody speaks, by the spectrum of the envelope."""

    def run(self, array):
        envelope = scipy.signal.decimate(scipy.signal.decimate(np.abs(array[0]) ** 0.5, 10), 16)
        envelope = (envelope - envelope.mean()) * np.hanning(len(envelope))
        power = np.abs(np.fft.rfft(envelope, 4096))
        hertz = np.fft.rfftfreq(4096, 0.01)
        power[(hertz < 2.0) | (hertz > 8.0)] = 0.0
        tempo = hertz[power.argmax()]
        off = [abs(np.log(max(tempo, 2.0) / TEMPI[emotion])) for emotion in tiny_model.EMOTIONS]
        level = np.log10(np.mean(array[0] ** 2) + 1e-12)
        sharp = 10.0 if level > -7.0 else 0.0
        return -sharp * np.array([off], np.float32), np.zeros((1, 2), np.float32)


@pytest.fixture(scope="module")
def tempo_model():
    card = tiny_model.card(name="tempo", domain=None)
    return modelfile.ModelFile("tempo", card, Tempo(), "0")


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    """72 clips of six speakers, three emotions and two sentences; a third is hard to recognise."""
    folder = tmp_path_factory.mktemp("speech")
    lines = ["file,emotion,speaker,gender,text"]
    for number, (speaker, emotion, text) in enumerate(
        itertools.product("abcdef", TEMPI, ("one", "two", "one", "two"))
    ):
        pitch = (200.0 if speaker in "abc" else 100.0) + 5 * (text == "two") + number % 7
        unclear = 1.25 if number % 3 == 0 else 1.0  # spoken as fast as the next emotion
        sound = voice(1.5, pitch, seed=number, tempo=TEMPI[emotion] * unclear)
        soundfile.write(folder / f"{number}.wav", sound, RATE, "FLOAT")
        gender = "female" if speaker in "abc" else "male"
        lines.append(f"{number}.wav,{emotion},{speaker},{gender},sentence {text}")
    (folder / "clips.csv").write_text("\n".join(lines) + "\n", "utf-8")
    return corpus.load(folder / "clips.csv")


PARTS = ("copy/same", "resample/8000", "gain/down-20", "alone", "repeat")


def found_in(model, clips, parts=PARTS):
    """The outcomes of the tests of correctness, and of some of the others."""
    predictor, made = Predictor(model), []
    chosen = clips.table.index[::4]
    clean = answers.clean(predictor, clips, chosen, jobs=2, tick=lambda: None)
    if "alone" in parts:
        made += itertools.islice(tests.without_speech(predictor, lambda: None), 2)
    if "repeat" in parts:
        signals = list(clean.kept.values())[:3]
        made += tests.consistency(predictor, signals, jobs=2, tick=lambda: None)
    made += tests.correctness(clean.table, model.card)
    before = clean.table.loc[list(clean.kept)]
    for condition in sounds.conditions():
        if condition.name in parts:
            after = answers.changed(predictor, clean, condition, seed=0, jobs=2, tick=lambda: None)
            made += tests.robustness(before, after, condition)
            made += tests.memory(before, after) if condition.name.startswith("copy/") else []
    return made


@pytest.fixture(scope="module")
def sound(tempo_model, speech):
    return {one.name for one in found_in(tempo_model, speech) if one.passed}


@pytest.fixture(scope="module")
def models(tempo_model, speech):
    return planted_models.planted(tempo_model, speech)


def test_a_model_wrapped_in_nothing_passes_the_same_tests(models, speech, sound):
    found = found_in(models["nothing"], speech)
    assert {one.name for one in found if one.passed} == sound


@pytest.mark.parametrize("fault", planted_models.CAUGHT_BY)
def test_a_planted_fault_is_found_by_the_right_test(fault, models, speech, sound):
    pattern = planted_models.CAUGHT_BY[fault]
    parts = [part for part in PARTS if part.partition("/")[0] in pattern]
    outcomes = found_in(models[fault], speech, ["copy/same"] if "memory" in pattern else parts)
    assert [name for name in planted_models.caught(fault, outcomes) if name in sound]


def test_training_speakers_are_known_where_several_corpora_are_one():
    given = pd.DataFrame({"corpus": ["synthetic", "other"], "speaker": ["synthetic/a", "other/a"]})
    assert list(saved_model.in_training(tiny_model.card(), given)) == [True, False]


def test_clips_are_chosen_evenly_and_always_the_same():
    speakers = np.repeat(["a", "b"], [40, 10])
    table = pd.DataFrame({"corpus": "one", "speaker": speakers, "emotion": ["sad", "angry"] * 25})
    chosen = answers.sample(table, 20, seed=0)
    assert chosen.groupby(["speaker", "emotion"]).size().tolist() == [5, 5, 5, 5]
    assert chosen.equals(answers.sample(table, 20, seed=0))
