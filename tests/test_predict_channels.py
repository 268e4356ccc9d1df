"""Channels: chosen, or told and classified one by one where two hold different speech."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

import tiny_model
from emoscope import audio
from emoscope.errors import AudioError, UnknownNameError
from emoscope.prediction import Prediction, Predictor
from emoscope.prediction.output import predict_files
from emoscope.prediction.sources import Division
from recordings import RATE, at_level, silence, voice


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A call of an angry and a sad voice in turns, one stereo voice, one inverted, one mono."""
    folder = tmp_path_factory.mktemp("channels")
    tiny_model.write(folder)
    rests = [silence(2.0, seed=seed) for seed in (1, 2)]
    left = np.concatenate([at_level(voice(2.0, 110.0), -15), rests[0]])
    right = np.concatenate([rests[1], at_level(voice(2.0, 190.0, seed=3), -35)])
    sounds = {
        "call": np.stack([left, right], axis=1),
        "stereo": np.stack([left, 0.8 * left], axis=1),
        "inverted": np.stack([left, -left], axis=1),
        "mono": left,
    }
    for name, samples in sounds.items():
        soundfile.write(folder / f"{name}.wav", samples, RATE, subtype="PCM_16")
    for name, samples in (("left", left), ("right", right)):
        soundfile.write(folder / f"alone_{name}.wav", samples, RATE, subtype="PCM_16")
    return folder


@pytest.fixture(scope="module")
def predictor(folder: Path) -> Predictor:
    return Predictor(folder / "level.emoscope")


@pytest.fixture
def run(emoscope, kept_models, folder: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.chdir(folder)
    return lambda *words: emoscope("predict", *words, "--model", "level.emoscope")


def label(found: Prediction) -> tuple[str, dict[str, float]]:
    return found.emotion, found.probabilities


def test_each_channel_is_as_in_a_file_of_its_own(predictor: Predictor, folder: Path) -> None:
    found = predictor.predict(folder / "call.wav")
    assert [(one.channel, one.emotion) for one in found.each] == [
        ("left", "angry"),
        ("right", "sad"),
    ]
    for one in found.each:
        assert label(one) == label(predictor.predict(folder / f"alone_{one.channel}.wav"))
        assert one.warnings[0].startswith("two channels: they hold different speech, so each")
        chosen = predictor.predict(folder / "call.wav", channel=one.channel)
        assert label(chosen) == label(one)
        assert not any("two channels" in warning for warning in chosen.warnings)
    mixed = predictor.predict(folder / "call.wav", channel="mix")
    assert label(mixed) == label(found)
    assert mixed.each == (mixed,)
    assert found.warnings == (
        "two channels: they hold different speech, which this label mixes; the channels 'left' and "
        "'right' give each",
        *mixed.warnings,
    )


def test_arrays_have_channels_too(predictor: Predictor, folder: Path) -> None:
    samples, rate = soundfile.read(folder / "call.wav", dtype="int16")
    from_file = predictor.predict(folder / "call.wav").each
    assert list(map(label, predictor.predict(samples, rate).each)) == list(map(label, from_file))
    assert label(predictor.predict(samples, rate, channel="2")) == label(from_file[1])
    with pytest.raises(AudioError, match="has no channel 3; it has 2 channels"):
        predictor.predict(samples, rate, channel="3")
    with pytest.raises(AudioError, match="each_channel"):
        predictor.predict(samples, rate, channel="each")
    with pytest.raises(UnknownNameError, match="left, right"):
        predictor.predict(samples, rate, channel="lft")


@pytest.mark.parametrize("name", ["mono", "stereo"])
def test_recordings_of_one_voice_are_as_ever(
    predictor: Predictor, folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    decode = audio._decode
    monkeypatch.setattr(audio, "_decode", lambda *args: opened.append(args) or decode(*args))
    found = predictor.predict(folder / f"{name}.wav")
    assert len(opened) == 1
    assert "channel" not in found.to_dict()
    assert type(found) is Prediction


def test_more_than_two_channels_are_told(predictor: Predictor) -> None:
    sound = np.stack([voice(1.0), voice(1.0, seed=1), voice(1.0, seed=2)], axis=1)
    found = predictor.predict(sound, RATE)
    assert found.warnings[0] == "3 channels: mixed; channel '1', '2' … takes one of them"
    for channel in ("mix", "3"):
        chosen = predictor.predict(sound, RATE, channel=channel)
        assert not any("channels" in warning for warning in chosen.warnings)


def test_given_parts_are_of_a_channel(run, folder: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    parts = tmp_path / "parts.csv"
    parts.write_text("start,end\n0,2\n2,4\n")
    words = ["call.wav", "--segments", str(parts), "--format", "csv"]
    found = list(csv.DictReader(io.StringIO(run(*words)[1])))
    told = [(row["start"], "this is the left one" in row["file_warnings"]) for row in found]
    assert told == [("0.0", True), ("2.0", True), ("0.0", False), ("2.0", False)]
    assert all("two channels" in row["file_warnings"] for row in found)
    parts.write_text("start,end,channel\n0,2,left\n2,4,right\n")
    for options in ([], ["--channel", "each"], ["--channel", "mix"]):
        found = list(csv.DictReader(io.StringIO(run(*words, *options)[1])))
        assert [(row["start"], row["emotion"]) for row in found] == [
            ("0.0", "angry"),
            ("2.0", "sad"),
        ]


def test_inverted_channels_are_named(run) -> None:  # type: ignore[no-untyped-def]
    status, out, err = run("inverted.wav", "mono.wav")
    assert status == 1
    assert out.startswith("mono.wav  angry")
    assert "nearly inverted copies" in err and "channel 'left'" in err
    status, out, _ = run("inverted.wav", "--channel", "left")
    assert status == 0 and out.startswith("inverted.wav (left)  angry")


def test_a_line_for_each_channel(run) -> None:  # type: ignore[no-untyped-def]
    status, out, err = run("call.wav", "mono.wav", "--format", "json")
    assert (status, err) == (0, "")
    lines = [json.loads(line) for line in out.splitlines()]
    assert [(line["file"], line.get("channel")) for line in lines] == [
        ("call.wav", "left"),
        ("call.wav", "right"),
        ("mono.wav", None),
    ]
    assert list(lines[0])[:2] == ["file", "channel"]
    status, out, _ = run("call.wav", "mono.wav", "--format", "csv", "--channel", "each")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [(row["file"], row["channel"], row["emotion"]) for row in rows] == [
        ("call.wav", "left", "angry"),
        ("call.wav", "right", "sad"),
        ("mono.wav", "", "angry"),
    ]
    status, out, err = run("call.wav", "mono.wav", "--channel", "right")
    assert status == 1 and out.startswith("call.wav (right)  sad")
    assert "mono.wav (right): has no channel right; it has one channel" in err
    status, out, err = run("call.wav", "--format", "srt")
    assert status == 0 and "left: angry" in out and "right: sad" in out
    status, out, _ = run("call.wav", "--format", "srt", "--channel", "left")
    assert status == 0 and "angry" in out


@pytest.mark.parametrize("kind", ["json", "csv"])
@pytest.mark.parametrize("options", [[], ["--channel=each"], ["--timeline"]])
def test_an_output_goes_on_wherever_it_was_cut_off(  # type: ignore[no-untyped-def]
    run, kind: str, options: list[str], tmp_path: Path
) -> None:
    out = tmp_path / f"all.{kind}"
    words = ["call.wav", "mono.wav", "stereo.wav", *options, "--out", str(out)]
    assert run(*words)[0] == 0
    whole = out.read_bytes()
    lines = whole.splitlines(keepends=True)
    for n_lines in range(len(lines)):
        out.write_bytes(b"".join(lines[:n_lines]) + lines[n_lines][:20])
        assert run(*words)[0] == 0
        assert out.read_bytes() == whole
    if not options:  # the mix is another thing than its channels
        status, _, err = run("call.wav", "--channel=mix", "--out", str(out))
        assert status == 2 and ("--channel mix" in err or "other columns" in err)
        assert out.read_bytes() == whole
    _, _, err = run(*words)
    assert f"resuming; {5 if 'each' in str(options) else 3} of" in err or "--timeline" in options


def test_recordings_labelled_together_are_divided_as_asked(folder: Path, tmp_path: Path) -> None:
    relative = Predictor(tiny_model.write(tmp_path, offsets=tiny_model.offsets()))
    for together in (True, None):
        alone = predict_files(relative, [str(folder / "call.wav")], together=together)
        assert [len(one.each) for one in alone if isinstance(one, Prediction)] == [2]
        words = dict(together=together, division=Division("none"))
        mixed = predict_files(relative, [str(folder / "call.wav")], **words)  # type: ignore[arg-type]
        assert [len(one.each) for one in mixed if isinstance(one, Prediction)] == [1]


def test_an_output_loses_no_channel_to_other_recordings(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    for kind in ("json", "csv"):
        out = tmp_path / f"left.{kind}"
        words = ["--channel", "left", "--out", str(out)]
        assert run("call.wav", *words)[0] == 0
        first = out.read_bytes()
        assert run("stereo.wav", *words)[0] == 0
        assert out.read_bytes().startswith(first) and len(out.read_bytes()) > len(first)


def test_the_http_api_takes_a_channel(predictor: Predictor, folder: Path) -> None:
    pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
    from serving import serving

    call = ("call.wav", (folder / "call.wav").read_bytes())
    mono = ("mono.wav", (folder / "mono.wav").read_bytes())
    with serving(predictor) as running:

        def asked(query: str, *files: tuple[str, bytes]) -> list[tuple[str, str, str]]:
            found = running.upload(f"/api/predict{query}", *files).json["predictions"]
            return [(one["file"], one.get("channel", ""), one["emotion"]) for one in found]

        left, right = ("call.wav", "left", "angry"), ("call.wav", "right", "sad")
        assert asked("", call, mono) == [left, right, ("mono.wav", "", "angry")]
        assert asked("?channel=each", call) == [left, right]
        assert asked("?channel=right", call) == [right]
        assert len(asked("?channel=mix", call)) == 1
        wrong = running.upload("/api/predict?channel=lft", call)
        assert wrong.status == 422 and "left, right" in wrong.json["error"]
        described = running.ask("GET", "/openapi.json").json
        parameters = described["paths"]["/api/predict"]["post"]["parameters"]
        assert "channel" in {parameter["name"] for parameter in parameters}
