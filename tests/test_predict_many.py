"""Predictions of many recordings: in order, into outputs that resume, labelled together."""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

import emoscope
import tiny_model
from emoscope.audio import Signal, opening
from emoscope.errors import AudioError, EmoscopeError, UnknownNameError
from emoscope.models import offsets
from emoscope.prediction import Prediction, Predictor, formats, output
from emoscope.prediction import predictor as predicting
from recordings import RATE, at_level, silence, voice
from spoken import csv_of


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
