"""Predictions of one recording: closed form, warnings, rates, threads, what is imported."""

from __future__ import annotations

import concurrent.futures
import csv
import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import tiny_model
from emoscope import modelfile
from emoscope.audio import Signal, resample
from emoscope.audio.level import TrimAndNormalise
from emoscope.audio.quality import Quality
from emoscope.errors import ModelError
from emoscope.modelfile.card import Input
from emoscope.prediction import Prediction, Predictor, formats
from emoscope.prediction.prediction import GivenSegment
from recordings import RATE, at_level, silence, voice


@pytest.mark.parametrize(("level", "emotion"), [(-35, "sad"), (-25, "neutral"), (-15, "angry")])
def test_probabilities_are_those_of_the_closed_form(
    predictor: Predictor, level: float, emotion: str
) -> None:
    samples = at_level(voice(2.0), level)
    found = predictor.predict(samples, RATE)
    assert found.emotion == emotion
    np.testing.assert_allclose(
        list(found.probabilities.values()), tiny_model.expected(samples), atol=1e-5
    )
    assert found.confidence == max(found.probabilities.values())
    assert list(found.probabilities) == list(tiny_model.EMOTIONS)


def test_file_signal_and_array_agree(predictor: Predictor, tmp_path: Path) -> None:
    samples = voice(2.0)
    path = tmp_path / "voice.wav"
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    from_file = predictor.predict(path)
    assert from_file.file == str(path)
    for source in (samples, Signal(samples, RATE), samples.tolist()):
        found = predictor.predict(source, None if isinstance(source, Signal) else RATE)
        assert found.file == ""
        assert found.probabilities == from_file.probabilities


def test_rate_hardly_matters(predictor: Predictor) -> None:
    import soxr

    samples = voice(2.0, 110.0, rate=48_000)
    high = predictor.predict(samples, 48_000)
    low = predictor.predict(soxr.resample(samples, 48_000, 22_050), 22_050)
    np.testing.assert_allclose(
        list(high.probabilities.values()), list(low.probabilities.values()), atol=0.02
    )


def test_json_has_exactly_the_promised_keys(predictor: Predictor) -> None:
    found = json.loads(predictor.predict(voice(2.0), RATE, timeline=True).to_json())
    assert list(found) == [
        "file", "emotion", "confidence", "probabilities", "arousal", "valence", "uncertain",
        "warnings", "segments", "about", "summary",
    ]  # fmt: skip
    for segment in found["segments"]:
        position = ["arousal", "valence"] if segment["probabilities"] else []
        said = ["start", "end", "speaker", "emotion", "confidence", "probabilities"]
        assert list(segment) == [*said, *position, "uncertain", "warnings"]
    assert predictor.predict(voice(2.0), RATE).to_dict()["segments"] == []


def test_uncertain_follows_the_threshold_of_the_card(tmp_path: Path) -> None:
    samples = at_level(voice(2.0), -30)  # half way between two emotions
    for threshold, wanted in ((0.4, False), (0.6, True)):
        rule = tiny_model.Uncertain(threshold=threshold, coverage=0.9, risk=0.1)
        found = Predictor(tiny_model.write(tmp_path, uncertain=rule)).predict(samples, RATE)
        assert found.confidence == pytest.approx(0.5, abs=0.02)
        assert found.uncertain is wanted


def keywords(prediction: Prediction) -> list[str]:
    return [warning.split(":")[0] for warning in prediction.warnings]


def test_a_good_recording_has_no_warning(predictor: Predictor) -> None:
    samples = np.concatenate([silence(0.5), voice(2.0), silence(0.5)])
    assert predictor.predict(samples, RATE).warnings == ()


@pytest.mark.parametrize(
    ("samples", "keyword"),
    [
        (np.concatenate([silence(0.5), voice(0.3), silence(0.5)]), "too short"),
        (0.5 * silence(1.0), "silent"),
        (10 * silence(2.0), "no speech"),
        (np.clip(4 * np.concatenate([silence(1), voice(2.0)]), -1, 1), "clipped"),
        (np.concatenate([silence(1), voice(2.0)]) + 300 * silence(3.0), "noisy"),
        (at_level(np.concatenate([silence(0.5), voice(2.0)]), -55), "unfamiliar"),
    ],
)
def test_warnings(predictor: Predictor, samples: np.ndarray, keyword: str) -> None:
    found = predictor.predict(samples, RATE)
    assert keyword in keywords(found)
    assert all(len(warning.split(": ", 1)[1]) > 10 for warning in found.warnings)
    if keyword in ("silent", "no speech", "unfamiliar"):
        assert found.uncertain
    if keyword == "unfamiliar":
        assert found.confidence > predictor.card.uncertain.threshold


def test_arousal_and_valence_are_expected_under_the_probabilities(tmp_path: Path) -> None:
    samples = np.concatenate([at_level(voice(2.0), -30), silence(1.0), at_level(voice(2.0), -20)])
    found = Predictor(tiny_model.write(tmp_path)).predict(samples, RATE, timeline=True)
    spoken = [part for part in found.segments if part.is_speech]
    assert len(spoken) < len(found.segments)
    for one in (found, *spoken):
        sad, angry = one.probabilities["sad"], one.probabilities["angry"]
        assert one.arousal == pytest.approx(0.59 * angry - 0.27 * sad)
        assert one.valence == pytest.approx(-0.51 * angry - 0.63 * sad)
        written = one.to_dict()
        assert (written["arousal"], written["valence"]) == pytest.approx(
            (one.arousal, one.valence), abs=1e-6
        )
    assert all(part.arousal is None for part in found.segments if not part.is_speech)
    own = Predictor(tiny_model.write(tmp_path, emotions=("neutral", "sad", "proud")))
    found = own.predict(samples, RATE)
    assert found.arousal is None and found.valence is None
    assert "arousal" not in found.to_dict()
    layout = formats.Layout(own.emotions)
    assert formats.csv_header(layout).endswith(
        "p_proud,uncertain,warnings,licence,commercial_use,meaning\n"
    )
    (row,) = csv.reader([formats.text_of(found, "csv", layout)])
    assert len(row) == 11 and row[8:] == ["CC0-1.0", "yes", own.card.about.meaning]
    assert "arousal" not in formats.table_text(found)


@pytest.mark.parametrize(
    ("probabilities", "told"),
    [
        ({"angry": 0.8, "sad": 0.2}, "agitated (arousal +0.4), unpleasant (valence −0.5)"),
        ({"calm": 1.0}, "subdued (arousal −0.5), pleasant (valence +0.7)"),
        (
            {"neutral": 0.98, "angry": 0.02},
            "even (arousal +0.0), neither pleasant nor unpleasant (valence +0.0)",
        ),
    ],
)
def test_an_uncertain_label_stands_behind_arousal_and_valence(probabilities, told) -> None:  # type: ignore[no-untyped-def]
    best, sure = max(probabilities.items(), key=lambda item: item[1])
    said = Prediction("a.wav", best, sure, probabilities, uncertain=True)
    assert formats.table_text(said).startswith(
        f"a.wav  uncertain; sounds {told}; perhaps {best} {sure:.0%}  ("
    )
    plain = formats.table_text(dataclasses.replace(said, uncertain=False))
    assert plain.startswith(f"a.wav  {best} {sure:.0%}  (") and plain.endswith(f")  {told}\n")
    hiss = formats.table_text(dataclasses.replace(said, warnings=("no speech: only noise",)))
    assert hiss.startswith(f"a.wav  no speech found; uncertain: {best} {sure:.0%}  (")
    assert "arousal" not in hiss
    part = GivenSegment(0.0, 1.0, best, sure, probabilities, uncertain=True)
    given = dataclasses.replace(said, segments=(part,))
    assert f"1.00 s  uncertain; sounds {told}" in formats.table_text(given, timeline=True)


@pytest.mark.parametrize("ratio", [0.0, 5.0, 10.0, 20.0, 30.0])
def test_signal_to_noise_ratio_is_measured(ratio: float) -> None:
    from emoscope.audio import voice_activity as detector

    clean = np.concatenate([silence(1.0), voice(3.0), silence(1.0)])
    speech = detector.speech_probabilities(clean).speech >= 0.5
    frames = clean[: len(clean) // 512 * 512].reshape(-1, 512)
    power = np.square(frames, dtype=np.float64).mean(axis=1)[speech[: len(frames)]].mean()
    noise = np.random.default_rng(2).normal(size=len(clean)) * np.sqrt(power / 10 ** (ratio / 10))
    quality = Quality()
    quality.feed_frames(detector.speech_probabilities((clean + noise).astype(np.float32)))
    assert quality.snr == pytest.approx(ratio, abs=2.0)


def test_clipping_is_found_when_the_ceiling_comes_late() -> None:
    quiet, loud = 0.1 * voice(1.0), np.clip(5 * voice(1.0), -0.8, 0.8)
    for order in ((quiet, loud), (loud, quiet)):
        quality = Quality()
        for piece in order:
            quality.feed(piece, RATE)
        assert quality.clipped == pytest.approx(
            np.mean(np.abs(np.concatenate(order)) >= 0.8), abs=0.02
        )
    quality = Quality()
    quality.feed(voice(2.0), RATE)
    assert quality.clipped < 1e-4


def test_threads_share_one_predictor(predictor: Predictor) -> None:
    clips = [at_level(voice(1.0, seed=n), -15 - n) for n in range(16)]
    alone = [predictor.predict(clip, RATE) for clip in clips]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda clip: predictor.predict(clip, RATE), clips)) == alone


def test_a_model_of_features_predicts_too(tmp_path: Path) -> None:
    from emoscope.features import get
    from emoscope.features.spectrum import Spectrum

    hears = tiny_model.of_feature()
    path = tiny_model.write_linear(tmp_path, hears.width, input=hears)
    found = Predictor(path).predict(voice(1.0), RATE)
    values = get("mfcc").extract(Spectrum(Signal(voice(1.0), RATE)))
    np.testing.assert_allclose(
        list(found.probabilities.values()), tiny_model.expected_linear(values), atol=1e-4
    )
    hears.features[0].spec["version"] = 99
    with pytest.raises(ModelError, match="trained on 'mfcc'"):
        Predictor(tiny_model.write_linear(tmp_path, hears.width, input=hears))


def of_features(folder: Path, rate: int) -> Predictor:
    """A model of ``mfcc`` whose card knows the rate of its training clips; 0: it does not."""
    hears = tiny_model.of_feature()
    model = modelfile.load(tiny_model.write_linear(folder, hears.width, input=hears))
    card = dataclasses.replace(model.card, input=dataclasses.replace(hears, rate=rate))
    return Predictor(dataclasses.replace(model, card=card))


def test_whole_and_timeline_agree_for_a_model_of_features(tmp_path: Path) -> None:
    # Its features depend on the rate: at 16 kHz this voice has another label.
    predictor, samples = of_features(tmp_path, 0), voice(2.6, rate=48_000)
    whole = predictor.predict(samples, 48_000)
    found = predictor.predict(samples, 48_000, timeline=True)
    assert found.probabilities == pytest.approx(whole.probabilities, abs=1e-6)
    low = predictor.predict(resample(Signal(samples, 48_000), RATE))
    assert low.emotion != whole.emotion
    long = np.tile(samples, 7)  # longer than an utterance
    assert predictor.predict(long, 48_000).emotion == whole.emotion


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
@pytest.mark.parametrize("step", [1_000, 10_000_000])
def test_a_model_of_features_hears_the_rate_of_its_training(
    tmp_path: Path, rate: int, step: int
) -> None:
    predictor = of_features(tmp_path, 48_000)
    samples = np.concatenate([silence(0.7, rate=rate), voice(6.0, rate=rate)])
    high = resample(Signal(samples, rate), 48_000)
    assert predictor.predict(samples, rate).probabilities == pytest.approx(
        predictor.predict(high).probabilities, abs=1e-6
    )
    stream = predictor.stream(rate)
    for start in range(0, len(samples), step):
        stream.feed(samples[start : start + step])
    stream.finish()
    assert len(stream.windows) >= 4
    for window in stream.windows:
        first, stop = (round(time * 48_000) for time in (window.start, window.end))
        wanted = predictor.infer(Signal(high.samples[first:stop], 48_000))
        np.testing.assert_allclose(window.inference.probabilities, wanted.probabilities, atol=1e-4)


@pytest.mark.parametrize("preprocess", [None, TrimAndNormalise(), TrimAndNormalise(shortest=3.0)])
def test_the_file_runs_without_emoscope(
    tmp_path: Path, preprocess: TrimAndNormalise | None
) -> None:
    hears = Input(kind="samples", rate=RATE, preprocess=preprocess)
    predictor = Predictor(tiny_model.write(tmp_path, input=hears))
    path = tmp_path / "speech.wav"
    samples = np.concatenate([silence(0.7), voice(1.5), silence(0.6)])
    soundfile.write(path, np.repeat(samples, 2), 2 * RATE)
    example = Path(__file__).parents[1] / "examples" / "plain_onnxruntime.py"
    command = [sys.executable, "-I", example, predictor.model.path, path]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    found = {name: float(p) for name, p in map(str.split, run.stdout.splitlines())}
    wanted = predictor.predict(path).probabilities
    assert found == pytest.approx(wanted, abs=2e-4)
    assert "import emoscope" not in example.read_text(encoding="utf-8")


def test_without_a_shipped_model_the_message_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modelfile, "DATA", "/nowhere")
    with pytest.raises(ModelError, match="default.emoscope: cannot be read: .*shipped models"):
        Predictor()


def test_predicting_imports_nothing_heavy(predictor: Predictor, tmp_path: Path) -> None:
    path = tmp_path / "voice.wav"
    soundfile.write(path, voice(1.0), RATE)
    program = (
        "import sys; from emoscope.prediction import Predictor; "
        f"Predictor({predictor.model.path!r}).predict({str(path)!r}, timeline=True); "
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    heavy = {"torch", "pandas", "matplotlib", "sklearn", "scipy", "librosa", "transformers", "onnx"}
    assert not heavy & set(run.stdout.split())


def test_a_short_recording_has_one_label_with_and_without_a_timeline(predictor: Predictor) -> None:
    quiet, loud = at_level(voice(2.0), -30), at_level(voice(2.0), -12)
    one = Signal(np.concatenate([silence(0.5), loud, silence(1.0)]), RATE)
    two = Signal(np.concatenate([quiet, silence(2.0), loud]), RATE)
    for signal, n_spoken in ((one, 1), (two, 2)):
        plain, timed = predictor.predict(signal), predictor.predict(signal, timeline=True)
        assert dataclasses.replace(timed, segments=(), summary=None) == plain
        spoken = [segment for segment in timed.segments if segment.is_speech]
        assert len(spoken) == n_spoken
        same = [(s.emotion, s.confidence) == (plain.emotion, plain.confidence) for s in spoken]
        assert same == [True] if n_spoken == 1 else not all(same)


def test_a_long_recording_whose_label_changes_says_so(predictor: Predictor) -> None:
    quiet, loud = at_level(voice(3.0), -32), at_level(voice(3.0), -12)
    gap = silence(2.0)
    changing = np.concatenate([quiet, gap, loud, gap, quiet, gap, loud, gap])
    steady = np.concatenate([loud, gap] * 4)
    spoken = {"sad": 0.0, "angry": 0.0}
    for segment in predictor.predict(Signal(changing, RATE), timeline=True).segments:
        if segment.is_speech:
            spoken[segment.emotion] += segment.end - segment.start
    assert min(spoken.values()) > 0.25 * sum(spoken.values())
    shares = [f"{emotion} {spoken[emotion] / sum(spoken.values()):.0%}" for emotion in spoken]
    for timeline in (False, True):
        found = predictor.predict(Signal(changing, RATE), timeline=timeline)
        (said,) = (warning for warning in found.warnings if warning.startswith("mixed: "))
        assert all(share in said for share in shares)
        assert "mixed" not in keywords(predictor.predict(Signal(steady, RATE), timeline=timeline))
