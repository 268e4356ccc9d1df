"""Timelines: what was joined is found again, in bounded memory, in every format."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import re
import resource
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
import soundfile

from emoscope import audio
from emoscope.audio.level import frame_levels
from emoscope.audio.voice_activity import PAD, Frames, SpeechTracker
from emoscope.modelfile.about import About
from emoscope.prediction import Prediction, Predictor, Segment, Windows, formats, timeline
from emoscope.prediction.timeline import Inference, Window
from recordings import RATE, at_level, silence, voice


@pytest.fixture(scope="module")
def joined() -> np.ndarray:
    """2 s silence, sad, 1.5 s silence, angry, 1 s silence, 2 s noise, 1.5 s silence, neutral."""
    clips = {level: at_level(voice(4.0, 100.0), level) for level in (-35, -15, -25)}
    noise = np.random.default_rng(0).normal(size=2 * RATE) * 0.05
    parts = [silence(2), clips[-35], silence(1.5), clips[-15]]
    parts += [silence(1.0), noise, silence(1.5), clips[-25]]
    return np.concatenate(parts).astype(np.float32)


def test_segments_are_what_was_joined(predictor: Predictor, joined: np.ndarray) -> None:
    found = predictor.predict(joined, RATE, timeline=True).segments
    assert [segment.emotion for segment in found] == [
        "silence", "sad", "silence", "angry", "silence", "non-speech", "silence", "neutral"
    ]  # fmt: skip
    wanted = [0, 2, 6, 7.5, 11.5, 12.5, 14.5, 16, 20]
    starts = [segment.start for segment in found]
    np.testing.assert_allclose([*starts, found[-1].end], wanted, atol=0.5)


def test_segments_leave_no_gap_and_probabilities_sum_to_one(
    predictor: Predictor, joined: np.ndarray
) -> None:
    found = predictor.predict(joined, RATE, timeline=True).segments
    assert found[0].start == 0.0
    assert found[-1].end == pytest.approx(len(joined) / RATE, abs=1e-6)
    for one, other in itertools.pairwise(found):
        assert one.end == other.start > one.start
    for segment in found:
        assert segment.is_speech is (segment.emotion in predictor.emotions)
        if segment.is_speech:
            assert sum(segment.probabilities.values()) == pytest.approx(1.0)
            assert segment.confidence == max(segment.probabilities.values())
        assert 0.0 <= segment.confidence <= 1.0


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
@pytest.mark.parametrize("seconds", [0.013, 0.7, 60.0])
def test_the_size_of_the_pieces_does_not_matter(
    predictor: Predictor, joined: np.ndarray, rate: int, seconds: float
) -> None:
    import soxr

    samples = soxr.resample(joined, RATE, rate).astype(np.float32)
    whole = predictor.stream(rate)
    whole.feed(samples)
    whole.finish()
    pieces = predictor.stream(rate)
    step = max(1, int(rate * seconds))
    for start in range(0, len(samples), step):
        pieces.feed(samples[start : start + step])
    pieces.finish()
    for one, other in zip(whole.segments(), pieces.segments(), strict=True):
        assert one.emotion == other.emotion
        assert one.start == pytest.approx(other.start, abs=1e-6)
        assert one.confidence == pytest.approx(other.confidence, abs=1e-3)


def test_a_stream_judges_soon_when_asked(predictor: Predictor) -> None:
    stream = predictor.stream(RATE, Windows(live=0.25))
    samples = np.concatenate([silence(1.0), voice(4.0)])
    heard = 0.0
    for start in range(0, len(samples), 800):
        windows = stream.feed(samples[start : start + 800])
        heard += 0.05
        if windows:
            break
    assert heard < 1.0 + 0.5 + 0.3
    assert stream.speaking


def test_recordings_longer_than_an_utterance_are_judged_by_their_speech(
    predictor: Predictor, joined: np.ndarray
) -> None:
    found = predictor.predict(joined, RATE)
    assert found.segments == ()
    np.testing.assert_allclose(list(found.probabilities.values()), [1 / 3] * 3, atol=0.05)
    mostly = np.concatenate([joined, *[at_level(voice(4.0), -15)] * 4])
    assert predictor.predict(mostly, RATE).emotion == "angry"


def test_a_long_recording_without_speech_is_uncertain(predictor: Predictor) -> None:
    found = predictor.predict(silence(20.0), RATE, timeline=True)
    assert [segment.emotion for segment in found.segments] == ["silence"]
    assert found.uncertain
    assert found.warnings[0].startswith(("no speech", "silent"))


def test_windows_side_by_side_give_the_same(predictor: Predictor, joined: np.ndarray) -> None:
    signal = audio.Signal(joined, RATE)
    (found,) = predictor.predict_many([signal], timeline=True, jobs=3)
    assert found == predictor.predict(signal, timeline=True)


def test_an_hour_fits_into_bounded_memory(
    predictor: Predictor, joined: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "long.flac"
    with soundfile.SoundFile(path, "w", RATE, 1) as file:
        for _ in range(30):  # 10 minutes
            file.write(joined)
    program = (
        "import resource, sys; from emoscope.prediction import Predictor; "
        f"p = Predictor({predictor.model.path!r}); start = resource.getrusage(0).ru_maxrss; "
        f"print(len(p.predict({str(path)!r}, timeline=True).segments), "
        "resource.getrusage(0).ru_maxrss - start)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    n_segments, kilobytes = map(int, run.stdout.split())
    scale = 1 if sys.platform == "linux" else 1024
    assert n_segments >= 8 * 30 - 30
    # Ten minutes are 37 MB of samples at 16 kHz; pieces, windows and the two graphs stay below.
    assert kilobytes * 1024 / scale < 60e6, resource.getrusage(0)


def test_real_clips_joined_with_silence_are_found(predictor: Predictor, ravdess: Path) -> None:
    clips = [audio.load(path) for path in sorted(ravdess.glob("Actor_*/*"))[::120]]
    rate = clips[0].rate
    parts = [part for clip in clips for part in (silence(2.0, rate=rate), clip.samples)]
    found = predictor.predict(np.concatenate(parts), rate, timeline=True).segments
    # Frames of 25 ms every 10 ms; the loud ones, within 25 dB of the loudest, are speech for sure.
    loud = np.concatenate(
        [frame_levels(p, rate) > np.percentile(frame_levels(p, rate), 97) - 25 for p in parts[1::2]]
    )
    starts = np.cumsum([0, *map(len, parts)]) / rate
    times = np.concatenate(
        [
            start + 0.01 * np.arange(len(frame_levels(part, rate))) + 0.0125
            for start, part in zip(starts[1::2], parts[1::2], strict=False)
        ]
    )
    speech = np.array([(s.start, s.end) for s in found if s.is_speech])
    inside = ((times[:, None] >= speech[:, 0]) & (times[:, None] < speech[:, 1])).any(axis=1)
    assert inside[loud].mean() > 0.93  # some of what is loud is breath
    called = np.concatenate([np.arange(start, end, 0.01) for start, end in speech])
    distance = np.abs(called[:, None] - times[loud]).min(axis=1)
    assert (distance < 0.25).mean() > 0.97


def test_hysteresis_bridges_pauses_and_drops_clicks() -> None:
    def segments(probabilities: list[float]) -> list[tuple[int, int]]:
        tracker = SpeechTracker()
        ended = [*map(tracker.feed, probabilities), tracker.finish()]
        return [segment for segment in ended if segment]

    quiet, loud, between = [0.0], [0.9], [0.4]
    probabilities = quiet * 20 + loud * 10 + quiet * 5 + between * 3 + quiet * 30 + loud * 2
    probabilities += quiet * 20 + loud * 20
    assert segments(probabilities) == [(20 - PAD, 38 + PAD), (90 - PAD, 110)]
    assert segments([0.4] * 100) == []
    assert segments([]) == []


def test_viterbi_against_every_path() -> None:
    rng = np.random.default_rng(4)
    for _ in range(20):
        scores = np.log(rng.dirichlet(np.ones(3), size=5))

        def total(path: tuple[int, ...], scores: np.ndarray = scores) -> float:
            moves = [0.7 if a == b else 0.15 for a, b in itertools.pairwise(path)]
            return float(scores[range(5), path].sum() + np.log(moves).sum())

        best = max(itertools.product(range(3), repeat=5), key=total)
        assert tuple(timeline.viterbi(scores, 0.7)) == best


def window(start: float, end: float, probabilities: list[float]) -> Window:
    values = np.array(probabilities, np.float32)
    return Window(start, end, 0, Inference(np.log(values), values, values, 0.0))


def test_smoothing_removes_a_single_outlier() -> None:
    sad, angry = [0.8, 0.2], [0.2, 0.8]
    windows = [window(t, t + 3.0, angry if t == 4 else sad) for t in range(9)]
    frames = Frames(np.ones(344, np.float32), np.full(344, -20.0, np.float32))
    found = timeline.divide(
        windows, [(0.0, 11.0)], frames, seconds=11.0, hop=1.0, emotions=("sad", "angry")
    )
    assert [segment.emotion for segment in found] == ["sad"]
    assert found[0].end == 11.0


def test_a_lasting_change_is_kept() -> None:
    sad, angry = [0.8, 0.2], [0.2, 0.8]
    windows = [window(t, t + 3.0, sad if t < 5 else angry) for t in range(11)]
    frames = Frames(np.ones(407, np.float32), np.full(407, -20.0, np.float32))
    found = timeline.divide(
        windows, [(0.0, 13.0)], frames, seconds=13.0, hop=1.0, emotions=("sad", "angry")
    )
    assert [segment.emotion for segment in found] == ["sad", "angry"]
    assert found[0].end == pytest.approx(6.0, abs=1.0)


TOLD = About().text


@pytest.fixture
def prediction() -> Prediction:
    probabilities = {"sad": 0.75, "angry": 0.25}
    segments = (
        Segment(0.0, 1.25, "silence", 0.99, {}),
        Segment(1.25, 3661.5, "sad", 0.75, probabilities),
        Segment(3661.5, 3662.0, "non-speech", 0.9, {}),
    )
    return Prediction('a"b & <c>.wav', "sad", 0.75, probabilities, False, (), segments)


def test_textgrid(prediction: Prediction) -> None:
    text = formats.timeline_text(prediction, "textgrid")
    assert text.startswith('File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\n')
    assert re.findall(r'name = "(\w+)"', text) == ["emotion", "confidence", "about"]
    assert text.endswith(f'points [1]:\n            number = 0\n            mark = "{TOLD}"\n')
    assert re.findall(r'text = "([^"]*)"', text) == [
        "silence", "sad", "non-speech", "", "0.750", ""
    ]  # fmt: skip
    bounds = [float(x) for x in re.findall(r"            x(?:min|max) = ([\d.]+)", text)]
    assert bounds == [0, 1.25, 1.25, 3661.5, 3661.5, 3662] * 2


def test_uncertain_labels_have_a_question_mark(prediction: Prediction) -> None:
    silent, sad, sound = prediction.segments
    doubt = (silent, dataclasses.replace(sad, uncertain=True), sound)
    doubtful = dataclasses.replace(prediction, segments=doubt)
    marked = {
        "textgrid": '"sad?"',
        "srt": "\nsad? 75%\n",
        "vtt": "\nsad? 75%\n",
        "eaf": ">sad? 75%<",
    }
    for name, text in marked.items():
        assert text in formats.timeline_text(doubtful, name)
        assert "sad?" not in formats.timeline_text(prediction, name)


def test_subtitles(prediction: Prediction) -> None:
    assert formats.timeline_text(prediction, "srt") == (
        f"1\n00:00:00,000 --> 00:00:00,000\n{TOLD}\n\n"
        "2\n00:00:01,250 --> 01:01:01,500\nsad 75%\n\n"
        "3\n01:01:01,500 --> 01:01:02,000\nnon-speech\n"
    )
    assert formats.timeline_text(prediction, "vtt") == (
        f"WEBVTT\n\nNOTE {TOLD}\n\n00:00:01.250 --> 01:01:01.500\nsad 75%\n\n"
        "01:01:01.500 --> 01:01:02.000\nnon-speech\n"
    )


def test_elan(prediction: Prediction, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    root = ElementTree.fromstring(formats.timeline_text(prediction, "eaf"))
    assert root.get("DATE") == "2001-09-09T01:46:40Z"
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    written = datetime.datetime.now(datetime.timezone.utc)
    date = (
        ElementTree.fromstring(formats.timeline_text(prediction, "eaf"))
        .get("DATE", "")
        .replace("Z", "+00:00")
    )
    assert abs(datetime.datetime.fromisoformat(date) - written) < datetime.timedelta(minutes=1)
    media = root.find("HEADER/MEDIA_DESCRIPTOR")
    assert media is not None and media.get("MEDIA_URL") == 'a"b & <c>.wav'
    assert root.findtext("HEADER/PROPERTY") == TOLD
    slots = {s.get("TIME_SLOT_ID"): s.get("TIME_VALUE") for s in root.iter("TIME_SLOT")}
    notes = [
        (slots[a.get("TIME_SLOT_REF1")], slots[a.get("TIME_SLOT_REF2")], a[0].text)
        for a in root.iter("ALIGNABLE_ANNOTATION")
    ]
    assert notes == [("1250", "3661500", "sad 75%"), ("3661500", "3662000", "non-speech")]
