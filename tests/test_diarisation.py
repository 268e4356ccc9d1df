"""Speakers of a recording: voices found by their sound, channels, what each segment says of itself."""

from __future__ import annotations

import csv
import io
import itertools
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

import tiny_model
from emoscope import audio
from emoscope.audio.quality import Quality
from emoscope.audio.voice_activity import FRAME_SECONDS, Frames, Turn, TurnTracker
from emoscope.corpus import rows, tiers
from emoscope.errors import EmoscopeError, UnknownNameError
from emoscope.files import sentence
from emoscope.prediction import Prediction, Predictor, Segment, Windows, formats, speakers
from emoscope.prediction.sources import Division
from emoscope.prediction.timeline import Inference, Stream, Window
from emoscope.voices import clustering
from recordings import RATE, at_level, silence, voice
from spoken import csv_of

NONE = np.zeros(0, np.float32)
UNDIVIDED = sentence("prediction.undivided")


def around(directions: np.ndarray, labels: np.ndarray, spread: float = 0.05) -> np.ndarray:
    """Rows of unit length around the direction of each label."""
    rng = np.random.default_rng(0)
    noise = spread * rng.normal(size=(len(labels), directions.shape[1]))
    return clustering.unit(directions[labels] + noise)


@pytest.mark.parametrize("n_voices", [1, 2, 3, 5])
def test_voices_are_counted_and_found(n_voices: int) -> None:
    labels = np.random.default_rng(1).integers(0, n_voices, 400)
    for given in (None, n_voices):
        found = clustering.centres(around(np.eye(16), labels), given)
        assert len(found) == n_voices
        np.testing.assert_allclose(np.sort((found @ np.eye(16)).argmax(axis=1)), range(n_voices))
        assert (found @ np.eye(16)).max(axis=1).min() > 0.95


def test_a_given_number_of_voices_leaves_outliers_out() -> None:
    labels = np.repeat([0, 1, 2], [200, 200, 4])  # four rows are a cough
    found = clustering.centres(around(np.eye(16), labels), 2)
    assert sorted((found @ np.eye(16)).argmax(axis=1)) == [0, 1]
    one = clustering.centres(around(np.eye(16), labels[:1]))
    assert one.shape == (1, 16)
    assert clustering.centres(around(np.eye(16), labels), 1).shape == (1, 16)


def test_more_rows_than_are_clustered() -> None:
    labels = np.arange(3 * clustering.MOST) // 700 % 2
    assert len(clustering.centres(around(np.eye(8), labels))) == 2


def windows_of(voices: np.ndarray, changes: list[float], end: float, speech: int) -> list[Window]:
    """Windows of a part of speech from 0 s, whose voice changes at those times."""
    hop, found = speakers.WINDOWS.hop, []
    for stop in np.arange(speakers.WINDOWS.length, end + 1e-6, hop):
        start = stop - speakers.WINDOWS.length
        bounds = [start, *(c for c in changes if start < c < stop), stop]
        shares = np.zeros(len(voices))
        for a, b in zip(bounds[:-1], bounds[1:], strict=True):
            shares[sum(c <= a for c in changes) % len(voices)] += b - a
        mixed = (shares @ voices / shares.sum()).astype(np.float32)
        found.append(Window(start, stop, speech, Inference(NONE, NONE, mixed, 0.0)))
    return found


def test_turns_begin_where_the_voice_changes_and_are_named_as_they_appear() -> None:
    windows = windows_of(np.eye(256)[[5, 2]], [8.0, 14.0], 20.0, 0)
    found = speakers.turns(windows, [(0.0, 20.0)])
    assert [turn.speaker for turn in found] == ["speaker 1", "speaker 2", "speaker 1"]
    times = np.array([(turn.start, turn.stop) for turn in found]) * FRAME_SECONDS
    np.testing.assert_allclose(times, [(0, 8), (8, 14), (14, 20)], atol=0.45)
    assert [turn.speaker for turn in speakers.turns(windows, [(0.0, 20.0)], 1)] == ["speaker 1"]
    assert speakers.turns([], []) == ()


def test_turns_end_where_they_are_known_to_end() -> None:
    tracker = TurnTracker([Turn(1, 3, "a"), Turn(3, 6, "b"), Turn(8, 20, "a")])
    ended = [tracker.feed(0.0) for _ in range(10)]
    assert [one for one in ended if one] == [(1, 3), (3, 6)]
    assert (tracker.start, tracker.speech_end) == (8, 10)
    assert tracker.finish() == (8, 20) and tracker.finish() is None


@pytest.fixture(scope="module")
def alternating() -> tuple[np.ndarray, tuple[Turn, ...]]:
    """20 s of speech without a pause, and four turns in it: a sad voice and an angry one."""
    levels = (-35, -15, -35, -15)
    parts = [at_level(voice(5.0, 110.0 + 70.0 * (n % 2)), level) for n, level in enumerate(levels)]
    samples = np.concatenate(parts).astype(np.float32)
    n_frames, bounds = len(samples) // 512, [round(5 * n / FRAME_SECONDS) for n in range(5)]
    names = ("speaker 1", "speaker 2") * 2
    return samples, tuple(map(Turn, bounds[:-1], [*bounds[1:-1], n_frames], names))


def test_no_window_holds_two_voices(
    predictor: Predictor, alternating: tuple[np.ndarray, tuple[Turn, ...]]
) -> None:
    samples, turns = alternating
    stream = predictor.stream(RATE, turns=turns)
    for piece in np.array_split(samples, 7):
        stream.feed(piece)
    stream.finish()
    bounds = [(turn.start * FRAME_SECONDS, turn.stop * FRAME_SECONDS) for turn in turns]
    for window in stream.windows:
        start, end = bounds[window.speech]
        assert start <= window.start < window.end <= end + 1e-9
    spoken = [part for part in stream.segments() if part.is_speech]
    assert [(part.speaker, part.emotion) for part in spoken] == [
        ("speaker 1", "sad"), ("speaker 2", "angry"), ("speaker 1", "sad"), ("speaker 2", "angry")
    ]  # fmt: skip
    np.testing.assert_allclose([part.start for part in spoken], [0, 5, 10, 15], atol=0.02)


def test_each_voice_is_a_source_of_its_own(
    alternating: tuple[np.ndarray, tuple[Turn, ...]],
) -> None:
    samples, turns = alternating
    asked: list[list[float]] = []

    def infer(sound: audio.Signal) -> Inference:
        level = np.array([np.log10(np.mean(np.square(sound.samples)))], np.float32)
        return Inference(level, np.array([0.4, 0.6], np.float32), NONE, 0.0)

    def label(inferences, overlap):  # type: ignore[no-untyped-def]
        asked.append([float(one.logits[0]) for one in inferences])
        return inferences

    given = (RATE, RATE, Windows(), map, label)
    for known in (turns, None):
        stream = Stream(infer, ("sad", "angry"), *given, known)
        stream.feed(samples)
        stream.finish()
        stream.segments()
    quiet, loud, mixed = asked
    assert max(quiet) < -3.2 and min(loud) > -1.8  # -35 and -15 dB
    assert len(quiet) == len(loud) and min(mixed) < -3 < -2 < max(mixed)


# --- what a segment says of itself


def test_each_segment_has_its_own_doubts(predictor: Predictor) -> None:
    clean, noise = silence(1.0), np.random.default_rng(0).normal(size=6 * RATE)
    clipped = np.clip(8 * voice(6.0, 110.0), -0.5, 0.5)
    noisy = at_level(voice(6.0, 110.0), -25) + 0.02 * noise
    sound = np.concatenate([clean, at_level(voice(6.0, 110.0), -25), clean, clipped, clean, noisy])
    found = predictor.predict(sound.astype(np.float32), RATE, timeline=True)
    spoken = [part for part in found.segments if part.is_speech]
    told = {
        name: [any(w.startswith(name) for w in part.warnings) for part in spoken]
        for name in ("clipped", "unfamiliar")
    }
    middle = [7.5 < (part.start + part.end) / 2 < 14.0 for part in spoken]
    assert told["clipped"] == middle and any(middle) and not all(middle)
    for part in found.segments:
        doubtful = any(w.startswith(("unfamiliar", "silent", "no speech")) for w in part.warnings)
        low = part.confidence < predictor.card.uncertain.threshold
        assert part.uncertain is (part.is_speech and (doubtful or low))
        assert not part.warnings or part.is_speech
    assert found.to_dict()["segments"][1].keys() >= {"speaker", "uncertain", "warnings"}


def test_quality_of_a_part() -> None:
    quality, level = Quality(), np.repeat([-60.0, -20.0, -45.0], 100).astype(np.float32)
    quality.feed(np.zeros(300 * 512, np.float32), RATE)
    quality.feed_frames(Frames((level > -50).astype(np.float32), level))
    second = 100 * FRAME_SECONDS
    assert quality.part(second, 2 * second).snr == pytest.approx(40.0, abs=0.1)
    assert quality.part(2 * second, 3 * second).snr == pytest.approx(15.0, abs=0.2)
    assert [w.partition(":")[0] for w in quality.part(0.0, second).warnings()] == ["no speech"]


# --- channels


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A call: an angry left voice, a sad right one, both at once from 6 to 9 s."""
    left, right = (np.zeros(15 * RATE, np.float32) + silence(15.0, seed=s) for s in (1, 2))
    for start in (0.0, 6.0):
        first = round(start * RATE)
        left[first : first + 3 * RATE] += at_level(voice(3.0, 110.0), -15)
    for start in (3.5, 6.0, 11.0):
        first = round(start * RATE)
        right[first : first + 3 * RATE] += at_level(voice(3.0, 100.0, seed=3), -35)
    folder = tmp_path_factory.mktemp("call")
    tiny_model.write(folder)
    soundfile.write(folder / "call.wav", np.stack([left, right], axis=1), RATE)
    return folder / "call.wav"


LANES = {"left": ("angry", [(0, 3), (6, 9)]), "right": ("sad", [(3.5, 9), (11, 14)])}


def test_two_channels_are_two_lanes_also_where_both_speak(predictor: Predictor, call: Path) -> None:
    found = predictor.predict(call, timeline=True)
    for one in found.each:
        emotion, times = LANES[one.channel]
        spoken = [part for part in one.segments if part.is_speech]
        assert {(part.speaker, part.emotion) for part in spoken} == {(one.channel, emotion)}
        for part in spoken:
            assert any(a - 0.5 < part.start < part.end < b + 0.5 for a, b in times)
        silent = [part for part in one.segments if not part.is_speech]
        assert silent and not any(part.speaker for part in silent)
    both = found.joined
    assert [part.start for part in both.segments] == sorted(part.start for part in both.segments)
    assert {part.speaker for part in both.segments if part.is_speech} == {"left", "right"}
    at_once = [part.speaker for part in both.segments if part.start < 7.5 < part.end]
    assert sorted(at_once) == ["left", "right"]
    mixed = predictor.predict(call, timeline=True, by="none")
    assert mixed.each == (mixed,) and mixed.warnings[0].startswith("two channels")
    assert not any(part.speaker for part in mixed.segments)


def test_voices_of_two_different_channels_are_said_not_to_be_told_apart(
    emoscope, predictor: Predictor, call: Path
) -> None:  # type: ignore[no-untyped-def]
    found = predictor.predict(call, by="speaker", speakers=3)
    assert "which this label and its speakers mix; the channels" in found.warnings[0]
    for one in found.each:
        assert UNDIVIDED in one.warnings
        assert {part.speaker for part in one.segments if part.is_speech} == {one.channel}
    assert UNDIVIDED not in str(predictor.predict(call, by="speaker", channel="mix").warnings)
    model = ["--model", str(call.with_name("level.emoscope"))]
    assert emoscope("predict", str(call), "--speakers", "3", *model)[1].count(UNDIVIDED) == 2


@pytest.mark.parametrize("leak", [0.03, 0.2])
def test_a_voice_that_leaks_into_the_other_channel_stays_in_its_lane(
    predictor: Predictor, call: Path, leak: float
) -> None:
    samples, rate = soundfile.read(call)
    samples[:, 1] *= 10  # as loud as the other: -15 dBFS
    mixed = samples @ np.array([[1.0, leak], [leak, 1.0]])
    for one in predictor.predict(mixed, rate, timeline=True).each:
        _, times = LANES[one.channel]
        for part in (part for part in one.segments if part.is_speech):
            assert any(a - 0.5 < part.start < part.end < b + 0.5 for a, b in times)


def test_a_subtitle_names_who_speaks(emoscope, call: Path) -> None:  # type: ignore[no-untyped-def]
    model = ["--model", str(call.with_name("level.emoscope"))]
    status, out, _ = emoscope("predict", str(call), "--format", "vtt", *model)
    assert status == 0 and "<v left>angry" in out and "<v right>sad" in out


def test_what_a_recording_cannot_be_divided_by(predictor: Predictor) -> None:
    with pytest.raises(UnknownNameError, match="channel, speaker, none"):
        predictor.predict(voice(1.0), RATE, by="voice")
    with pytest.raises(EmoscopeError, match="needs division by speaker, not by channel"):
        Division("channel", 2)
    for count in (0, 21):
        with pytest.raises(EmoscopeError, match=f"speakers {count}: expected 1 to 20"):
            Division("speaker", count)


def test_the_server_divides_as_well(predictor: Predictor, call: Path) -> None:
    pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
    from serving import serving

    with serving(predictor) as running:

        def speakers_of(query: str) -> list[set[str]]:
            answer = running.upload(f"/api/predict?{query}", ("call.wav", call.read_bytes()))
            found = answer.json["predictions"]
            return [{part["speaker"] for part in one["segments"]} - {""} for one in found]

        assert speakers_of("timeline=true") == [{"left"}, {"right"}]
        assert speakers_of("timeline=true&by=none") == [set()]
        assert speakers_of("by=speaker&speakers=1&channel=left") == [{"speaker 1"}]
        answer = running.upload("/api/predict?by=speaker", ("call.wav", call.read_bytes()))
        assert all(UNDIVIDED in one["warnings"] for one in answer.json["predictions"])
        for query, said in (
            ("speakers=2", "a number of speakers needs division by speaker, not by channel"),
            ("by=speaker&speakers=99", "speakers 99: expected 1 to 20"),
        ):
            refused = running.upload(f"/api/predict?{query}", ("call.wav", call.read_bytes()))
            assert refused.status == 422 and refused.json["error"] == said


# --- formats


@pytest.fixture
def divided() -> Prediction:
    """Two who speak at once from 2 to 3 s, then a noise."""
    told = {"sad": 0.75, "angry": 0.25}
    segments = (
        Segment(0.0, 3.0, "sad", 0.75, told, "speaker 1", True, ("noisy: very", "clipped: a bit")),
        Segment(2.0, 4.0, "angry", 0.6, told, "speaker 2"),
        Segment(4.0, 5.0, "non-speech", 0.9, {}),
        Segment(5.0, 6.0, "sad", 0.75, told, "speaker 1"),
    )
    return Prediction("a.wav", "sad", 0.75, told, False, ("mixed: so",), segments)


@pytest.mark.parametrize("format", ["textgrid", "eaf", "vtt", "srt"])
def test_speakers_come_back_from_annotations(
    divided: Prediction, format: str, tmp_path: Path
) -> None:
    path = tmp_path / f"a.{format}"
    path.write_text(formats.timeline_text(divided, format))
    soundfile.write(tmp_path / "a.wav", voice(6.0), RATE)
    doubtful = "sad" if format == "textgrid" else "sad?"  # which is read without the mark
    wanted = [
        (0.0, 3.0, doubtful, "speaker 1"), (2.0, 4.0, "angry", "speaker 2"),
        (5.0, 6.0, "sad", "speaker 1"),
    ]  # fmt: skip
    told = [row for row in tiers.read(path) if "non-speech" not in (row["label"], row["tier"])]
    if format == "textgrid":
        told, _ = tiers.emotions(told, {}, str(path))
    found = []
    for row in told:
        start, end = (
            sum(float(x) * 60**n for n, x in enumerate(reversed(str(row[k]).replace(",", ".").split(":"))))
            for k in ("start", "end")
        )  # fmt: skip
        label, name = str(row["label"]), str(row["speaker"])
        if format == "srt":
            name, label = label.split(": ")
        found.append((start, end, label.split()[0], name))
    assert sorted(found) == wanted
    assert len(rows.segments(path)) >= len(wanted)


def test_tiers_of_speakers_have_no_gaps(divided: Prediction) -> None:
    text = formats.timeline_text(divided, "textgrid")
    assert re.findall(r'name = "([^"]+)"', text) == [
        "emotion: speaker 1", "confidence: speaker 1", "emotion: speaker 2",
        "confidence: speaker 2", "emotion", "confidence", "about",
    ]  # fmt: skip
    assert "size = 7\n" in text and "item [7]:" in text
    for tier in text.split("item [")[2:-1]:
        bounds = [float(x) for x in re.findall(r"            x(?:min|max) = ([\d.]+)", tier)]
        assert bounds[0] == 0.0 and bounds[-1] == 6.0 and bounds[1:-1:2] == bounds[2::2]


def test_rows_and_lines_are_of_their_segments(divided: Prediction) -> None:
    text = csv_of(divided, ["sad", "angry"], timeline=True)
    found = list(csv.DictReader(io.StringIO(text)))
    assert [row["speaker"] for row in found] == ["speaker 1", "speaker 2", "", "speaker 1"]
    assert [row["uncertain"] for row in found] == ["true", "false", "false", "false"]
    assert [row["warnings"] for row in found] == ["noisy: very; clipped: a bit", "", "", ""]
    assert {row["file_warnings"] for row in found} == {"mixed: so"}
    lines = formats.table_text(divided, timeline=True).splitlines()
    assert "speaker 1  uncertain; sounds" in lines[2] and lines[2].endswith("(noisy, clipped)")
    assert "s  speaker 2  angry 60%" in lines[3]


# --- real voices


def test_two_real_voices_are_told_apart(predictor: Predictor, ravdess: Path) -> None:
    """A man and a woman in four emotions, two clips in a turn; whose speech has whose name."""
    parts, wanted, position = [silence(0.5)], [], 0.5
    for emotion, actor, statement in itertools.product(("01", "02", "03", "04"), "12", "12"):
        name = f"Actor_0{actor}/03-01-{emotion}-01-0{statement}-01-0{actor}.flac"
        clip = audio.resample(audio.load(ravdess / name), RATE).samples
        parts += [clip[round(0.8 * RATE) : -round(0.8 * RATE)], silence(0.3)]
        wanted.append((position, position + len(parts[-2]) / RATE, actor))
        position = wanted[-1][1] + 0.3
    sound = np.concatenate(parts)
    for count in (2, None):
        found = predictor.predict(sound, RATE, timeline=True, by="speaker", speakers=count)
        seconds: dict[tuple[str, str], float] = {}
        for part, (start, end, actor) in itertools.product(found.segments, wanted):
            shared = max(0.0, min(part.end, end) - max(part.start, start))
            key = (part.speaker, actor)
            seconds[key] = seconds.get(key, 0.0) + shared * part.is_speech
        names = {name for name, _ in seconds if name}
        pure = sum(max(seconds.get((name, actor), 0.0) for actor in "12") for name in names)
        assert pure > 0.95 * sum(seconds.values())
        assert sum(seconds.values()) > 0.85 * sum(end - start for start, end, _ in wanted)
        said = any(warning.startswith("speakers: ") for warning in found.warnings)
        assert (len(names) == 2) if count else (2 <= len(names) <= 4)
        assert said is (count is None)
    mono = predictor.predict(audio.Signal(sound, RATE), by="speaker", speakers=2)
    assert {part.speaker for part in mono.segments} == {"", "speaker 1", "speaker 2"}
