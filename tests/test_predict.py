"""Predictions: closed form, warnings, many files, resuming, threads, what is imported."""

from __future__ import annotations

import concurrent.futures
import csv
import dataclasses
import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import emoscope
import tiny_model
from emoscope import modelfile
from emoscope.audio import Signal, opening, resample
from emoscope.audio.level import TrimAndNormalise
from emoscope.audio.quality import Quality
from emoscope.errors import AudioError, EmoscopeError, ModelError, UnknownNameError
from emoscope.modelfile.card import Input
from emoscope.models import offsets
from emoscope.prediction import Prediction, Predictor, formats, output
from emoscope.prediction import predictor as predicting
from emoscope.prediction.prediction import GivenSegment
from recordings import RATE, silence, voice
from spoken import csv_of


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor(tiny_model.write(tmp_path_factory.mktemp("model")))


def at_level(samples: np.ndarray, decibels: float) -> np.ndarray:
    power = np.mean(np.square(samples, dtype=np.float64))
    return (samples * 10 ** (decibels / 20) / np.sqrt(power)).astype(np.float32)


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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for number in range(12):
        path = folder / f"{number:02d} ümlaut, 'x'.wav"
        soundfile.write(path, at_level(voice(1.0), -15 - 2 * number), RATE)
    (folder / "05 broken.wav").write_bytes(b"RIFF....WAVE")
    return folder


def test_many_files_come_in_order_and_errors_stay_where_they_are(
    predictor: Predictor, folder: Path
) -> None:
    files = opening.find([str(folder)])
    found = list(predictor.predict_many(files, jobs=3))
    assert len(found) == len(files) == 13
    for file, outcome in zip(files, found, strict=True):
        if "broken" in file:
            assert isinstance(outcome, AudioError) and outcome.path == file
        else:
            assert outcome == predictor.predict(file)


def test_an_endless_source_is_taken_a_few_at_a_time(predictor: Predictor) -> None:
    taken = []

    def endless():  # type: ignore[no-untyped-def]
        while True:
            taken.append(1)
            yield Signal(voice(0.5), RATE)

    outcomes = predictor.predict_many(endless(), jobs=2)
    for _ in range(3):
        assert isinstance(next(outcomes), Prediction)
    outcomes.close()
    assert len(taken) <= 12


def test_whoever_stops_waits_for_no_recording_that_is_still_read(predictor: Predictor) -> None:
    talk = Signal(voice(2.0), RATE)
    outcomes = predictor.predict_many([talk, itertools.repeat(talk)], jobs=2)
    assert isinstance(next(outcomes), Prediction)
    outcomes.close()  # the second has no end


def test_threads_share_one_predictor(predictor: Predictor) -> None:
    clips = [at_level(voice(1.0, seed=n), -15 - n) for n in range(16)]
    alone = [predictor.predict(clip, RATE) for clip in clips]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda clip: predictor.predict(clip, RATE), clips)) == alone


@pytest.mark.parametrize("kind", ["json", "csv"])
@pytest.mark.parametrize("timeline", [False, True])
def test_output_resumes_wherever_it_was_cut(
    predictor: Predictor, folder: Path, tmp_path: Path, kind: str, timeline: bool
) -> None:
    files = [file for file in opening.find([str(folder)]) if "broken" not in file][:4]

    def run(path: Path) -> int:
        with output.Output(
            path,
            kind,
            formats.Layout(predictor.emotions, "m", timeline=timeline),
            sources=files,
        ) as target:
            return len(
                list(output.predict_files(predictor, files, timeline=timeline, output=target))
            )

    whole = tmp_path / "whole"
    assert run(whole) == 4
    content = whole.read_bytes()
    for cut in range(0, len(content), 97):
        stopped = tmp_path / "stopped"
        stopped.write_bytes(content[:cut])
        run(stopped)
        assert stopped.read_bytes() == content
    assert run(whole) == (1 if kind == "csv" and timeline else 0)


def test_output_refuses_a_file_that_holds_something_else(
    predictor: Predictor, tmp_path: Path
) -> None:
    path = tmp_path / "notes"
    path.write_text("dear diary\n")
    for kind in ("json", "csv"):
        with pytest.raises(EmoscopeError, match="exists"):
            output.Output(path, kind, formats.Layout(predictor.emotions, "m"))
        assert path.read_text() == "dear diary\n"
    with pytest.raises(UnknownNameError, match="json, csv"):
        output.Output(path, "xml", formats.Layout(predictor.emotions, "m"))


@pytest.mark.parametrize("kind", ["json", "csv"])
def test_output_refuses_what_does_not_fit(
    predictor: Predictor, folder: Path, tmp_path: Path, kind: str
) -> None:
    files = opening.find([str(folder)])[:2]

    def run(path: Path, emotions: tuple[str, ...], timeline: bool) -> None:
        with output.Output(path, kind, formats.Layout(emotions, "m", timeline=timeline)) as target:
            list(output.predict_files(predictor, files, timeline=timeline, output=target))

    for timeline in (False, True):
        path = tmp_path / str(timeline)
        run(path, predictor.emotions, timeline)
        content = path.read_bytes()
        with pytest.raises(EmoscopeError, match=r"exists .*model"):
            run(path, ("happy", "sad"), timeline)
        with pytest.raises(EmoscopeError, match=r"exists .*timeline"):
            run(path, predictor.emotions, not timeline)
        assert path.read_bytes() == content
    for line in (b'{"file": 1}\n', b'{"file": "a", "probabilities": 2, "segments": []}\n', b"3\n"):
        path.write_bytes(line)
        with pytest.raises(EmoscopeError, match="exists"):
            output.Output(path, kind, formats.Layout(predictor.emotions, "m"))


def test_segments_are_written_only_where_they_are_asked_for(
    predictor: Predictor, tmp_path: Path
) -> None:
    found = predictor.predict(voice(2.0), RATE, timeline=True)
    for timeline, count in ((False, 0), (True, len(found.segments))):
        path = tmp_path / str(timeline)
        with output.Output(
            path, "json", formats.Layout(predictor.emotions, "m", timeline=timeline)
        ) as target:
            target.write(found)
        assert len(json.loads(path.read_bytes())["segments"]) == count


def test_csv_columns_and_values(predictor: Predictor) -> None:
    samples = np.concatenate([silence(1.0), voice(2.0), silence(1.0)])
    found = predictor.predict(samples, RATE, timeline=True)
    for timeline in (False, True):
        text = csv_of(found, predictor.emotions, timeline=timeline)
        columns, *rows = csv.reader(text.splitlines())
        assert len(rows) == (len(found.segments) if timeline else 1)
        assert {len(row) for row in rows} == {len(columns)}
        first = dict(zip(columns, rows[0], strict=True))
        assert first["emotion"] == ("silence" if timeline else found.emotion)
        if not timeline:
            assert float(first["p_sad"]) == pytest.approx(found.probabilities["sad"], abs=1e-6)


def test_names_of_files_survive_json_and_csv(predictor: Predictor, tmp_path: Path) -> None:
    for name in ("a\nb.wav", 'q"uote.wav', "\udcff.wav", "<b>.wav", "日本.wav"):
        found = Prediction(name, "sad", 0.5, {"sad": 0.5, "neutral": 0.3, "angry": 0.2}, False)
        assert json.loads(found.to_json())["file"] == name
        with output.Output(
            tmp_path / "out.csv", "csv", formats.Layout(predictor.emotions, "m")
        ) as target:
            target.write(found)
        _, line = (tmp_path / "out.csv").read_bytes().decode().split("\n", 1)
        (tmp_path / "out.csv").unlink()
        assert line.count("\n") == 1
        assert next(csv.reader([line]))[0] == emoscope.files.printable(name)


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


@pytest.fixture(scope="module")
def relative(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """A model that knows that one voice is louder than another."""
    known = tiny_model.offsets()
    return Predictor(tiny_model.write(tmp_path_factory.mktemp("relative"), offsets=known))


LOUD = (-27, -17, -7)  # dBFS: sad, neutral and angry of a voice that is 8 dB louder than most
RELATIVE = ("sad", "neutral", "angry")


def test_recordings_of_one_source_are_labelled_together(relative: Predictor) -> None:
    batch = [Signal(at_level(voice(1.0), level), RATE) for level in LOUD * 4]
    alone = [found.emotion for found in relative.predict_many(batch)]  # type: ignore[union-attr]
    assert alone == ["neutral", "angry", "angry"] * 4
    found = list(relative.predict_many(batch, together=True))
    assert all(isinstance(one, Prediction) for one in found)
    assert tuple(one.emotion for one in found) == RELATIVE * 4  # type: ignore[union-attr]
    logits = np.array([tiny_model.logits(signal.samples) for signal in batch])
    wanted = offsets.learn(relative.card, logits).probabilities(logits)
    for one, probabilities in zip(found, wanted, strict=True):
        assert isinstance(one, Prediction)
        np.testing.assert_allclose(list(one.probabilities.values()), probabilities, atol=1e-4)
        assert one.warnings[-1].startswith("together: labelled relative to 12 recordings")


def test_one_recording_or_one_emotion_stays_as_alone(
    relative: Predictor, predictor: Predictor
) -> None:
    angry = [Signal(at_level(voice(1.0), level), RATE) for level in (-16, -15, -14, -13, -17)]
    assert list(relative.predict_many(angry[:1], together=True)) == [relative.predict(angry[0])]
    for found in relative.predict_many(angry, together=True):
        assert isinstance(found, Prediction) and found.emotion == "angry"
    plain = list(predictor.predict_many(angry, together=True))  # knows nothing of sources
    assert plain == list(predictor.predict_many(angry))


def test_what_is_no_speech_tells_nothing_and_keeps_its_label(relative: Predictor) -> None:
    batch = [Signal(at_level(voice(1.0), level), RATE) for level in LOUD]
    noise = Signal(np.random.default_rng(0).normal(0.0, 0.1, 3 * RATE).astype(np.float32), RATE)
    *found, last = relative.predict_many([*batch, noise], together=True)
    assert found == list(relative.predict_many(batch, together=True))
    assert last == relative.predict(noise)
    assert isinstance(last, Prediction) and last.warnings[0].startswith("no speech:")


def test_a_long_recording_among_short_ones_keeps_the_label_of_its_own_windows(
    relative: Predictor,
) -> None:
    batch = [Signal(at_level(voice(1.0), level), RATE) for level in LOUD]
    long = Signal(at_level(voice(20.0), LOUD[0]), RATE)
    *found, last = relative.predict_many([*batch, long], together=True)
    assert last == relative.predict(long)
    assert found == list(relative.predict_many(batch, together=True))


def test_a_sample_tells_of_many_and_errors_keep_their_place(
    relative: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predicting, "MAX_REFERENCES", 7)
    batch = [Signal(at_level(voice(0.5), LOUD[n % 3]), RATE, str(n)) for n in range(20)]
    batch[7] = Signal(np.zeros(RATE, np.float32), RATE, "7")
    found = list(relative.predict_many(batch, together=True, jobs=3))
    assert isinstance(found[7], AudioError)
    told = [one for one in found if isinstance(one, Prediction)]
    assert [one.file for one in told] == [str(n) for n in range(20) if n != 7]
    assert all("relative to 7 recordings" in one.warnings[-1] for one in told)
    late = relative.predict_sources([batch], skip=lambda one: int(one.path) < 10)  # type: ignore[union-attr]
    assert list(late) == found[10:]


def test_each_folder_is_a_source(relative: Predictor, tmp_path: Path) -> None:
    """A loud and a soft voice, and one recording by itself."""
    files, levels = [], {"loud": LOUD * 2, "soft": [level - 16 for level in LOUD * 2], "x": [-15]}
    for name, each in levels.items():
        (tmp_path / name).mkdir()
        for number, level in enumerate(each):
            files.append(str(tmp_path / name / f"{number}.wav"))
            soundfile.write(files[-1], at_level(voice(1.0), level), RATE, subtype="FLOAT")

    def labels(together: bool | None) -> list[str]:
        found = list(output.predict_files(relative, files, together=together))
        return [one.emotion for one in found]  # type: ignore[union-attr]

    assert labels(None) == [*RELATIVE * 4, "angry"]
    alone = [one.emotion for one in relative.predict_many(files)]  # type: ignore[union-attr]
    assert labels(False) == alone != labels(None)
    every = [one.emotion for one in relative.predict_many(files, together=True)]  # type: ignore[union-attr]
    assert labels(True) == every != labels(None)


def test_an_output_of_recordings_together_resumes_to_the_same(
    relative: Predictor, folder: Path, tmp_path: Path
) -> None:
    files = [file for file in opening.find([str(folder)]) if "broken" not in file]
    contents = []
    for name, cut in (("whole", None), ("cut", 1500)):
        path = tmp_path / name
        if cut:
            path.write_bytes(contents[0][:cut])
        with output.Output(path, "json", formats.Layout(relative.emotions, "m")) as target:
            list(output.predict_files(relative, files, output=target))
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]
    assert contents[0].count(b"together: ") == len(files)


def test_the_windows_of_a_recording_are_labelled_together(relative: Predictor) -> None:
    parts = [(level, at_level(voice(4.0), level)) for level in LOUD * 2]
    sound = np.concatenate([np.concatenate([part, silence(1.0)]) for _, part in parts])
    stream = relative.stream(RATE)
    stream.feed(sound)
    stream.finish()
    logits = np.array([window.inference.logits for window in stream.windows])
    wanted = offsets.learn(relative.card, logits, overlap=3.0).probabilities(logits)
    found = [window.inference.probabilities for window in stream.newest(len(logits))]
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(
        [window.inference.probabilities for window in stream.windows],
        relative.model.probabilities(logits),
    )
    whole = relative.predict(Signal(sound, RATE), timeline=True)
    assert [part.emotion for part in whole.segments if part.is_speech] == [*RELATIVE * 2]


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
