"""The command ``emoscope predict`` as a user types it."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from rich.console import Console

import command_line
import predict_command
import tiny_model
from emoscope import cli
from emoscope.cli import commands
from emoscope.files import sentence
from emoscope.prediction import formats, known, progress
from emoscope.prediction import predictor as predicting
from recordings import RATE, silence, voice

folder, model = predict_command.folder, predict_command.model
predict = predict_command.predict


def test_a_folder_as_a_table(predict, folder: Path) -> None:  # type: ignore[no-untyped-def]
    status, out, err = predict(folder)
    worth = "about 90 in 100 such labels were correct within its own corpora, on unseen speakers"
    assert status == 0 and err.startswith(f"labels not marked uncertain: {worth}; other")
    assert err.count("\n") == 3
    assert predict(folder, "--quiet")[2] == ""
    lines = out.splitlines()
    for number, emotion in enumerate(("sad", "neutral", "angry")):
        assert lines[number].startswith(f"{folder}/{number}.wav  {emotion} ")


def test_json_and_csv(predict, folder: Path) -> None:  # type: ignore[no-untyped-def]
    _, out, _ = predict(folder, "--format", "json")
    found = [json.loads(line) for line in out.splitlines()]
    assert [p["emotion"] for p in found] == ["sad", "neutral", "angry"]
    assert all(p["segments"] == [] for p in found)
    _, out, _ = predict(folder, "--format", "json", "--timeline")
    assert all(json.loads(line)["segments"] for line in out.splitlines())
    _, out, _ = predict(folder, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["emotion"] for row in rows] == ["sad", "neutral", "angry"]
    assert float(rows[2]["p_angry"]) == pytest.approx(found[2]["probabilities"]["angry"])
    for row, one in zip(rows, found, strict=True):
        assert list(row)[-6:] == [
            "model", "arousal", "valence", "licence", "commercial_use", "meaning"
        ]  # fmt: skip
        assert float(row["arousal"]) == one["arousal"] and float(row["valence"]) == one["valence"]


def test_good_files_are_delivered_and_bad_ones_named(predict, folder: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"no sound")
    status, out, err = predict(bad, folder / "0.wav", "missing.wav", tmp_path / "*.flac")
    assert status == 1
    assert len(out.splitlines()) == 1
    named = [line for line in err.splitlines() if line.startswith("left out: ")]
    assert [line.split(": ")[1].rsplit("/", 1)[-1] for line in named] == [
        "*.flac", "bad.wav", "missing.wav"
    ]  # fmt: skip


def test_a_bar_takes_nothing_from_what_is_piped(  # type: ignore[no-untyped-def]
    capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rich.console import Console

    from emoscope.cli import terminal

    monkeypatch.setattr(terminal, "err", Console(stderr=True, force_terminal=True))
    with terminal.progress("working") as bar:
        bar(1, 2)
        print("a row")
    assert capsys.readouterr().out == "a row\n"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--format", "xml"], "table, json, csv, textgrid, eaf, srt, vtt"),
        (["--format", "srt"], "srt holds one recording; 3 were given"),
        (["--picture", "a.png"], "draws one recording"),
        (["--html", "a.html"], "--html shows one recording; 3 were given"),
        (["--out", "a.txt"], "a table is for the terminal; name a .csv or .json file"),
        (["--same-source"], "does not know what clips of one source have in common"),
        (["--same-source", "--timeline"], "cannot be combined with a timeline"),
        (["--format", "json", "--out", "/dev/full"], "cannot be written: No space left"),
        (["--format", "csv", "--out", "/proc/x/y"], "cannot be written"),
    ],
)
def test_wrong_usage_is_explained(predict, folder: Path, words: list[str], why: str) -> None:  # type: ignore[no-untyped-def]
    status, out, err = predict(folder, *words)
    assert status == 2 and why in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("chosen", [["0.wav"], ["0.wav", "1.wav"], ["0.wav", "1.wav", "2.wav"]])
def test_training_data_is_said_once_in_a_table(  # type: ignore[no-untyped-def]
    predict, folder: Path, monkeypatch: pytest.MonkeyPatch, chosen: list[str]
) -> None:
    told = sentence("known.is_trained", what=known.WHOLE, name="emodb")
    monkeypatch.setattr(predicting, "training_warning", lambda card, signal: [told])
    files = [folder / name for name in chosen]
    _, out, err = predict(*files)
    if len(files) == 1:  # where it belongs
        assert told in out and "training data" not in err
    else:
        assert "training data" not in out
        each = f"each of {len(files)} recordings ({', '.join(map(str, files))})"
        assert told.replace("this recording", each) in err
    for words in (["--format", "json"], ["--quiet"]):
        assert predict(*files, *words)[1].count(told) == len(files)


def test_a_terminal_shows_the_summary_in_place_of_many_segments(  # type: ignore[no-untyped-def]
    predict, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from emoscope.cli import predicting as command

    rows = predict(folder / "0.wav", "--timeline")[1]
    monkeypatch.setattr(command, "FEW", 0)
    assert predict(folder / "0.wav", "--timeline")[1] == rows  # piped
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    _, out, err = predict(folder / "0.wav", "--timeline")
    assert "of speech (" in out and "over time" in out and " – " not in out
    assert "segments: --format table lists them, --html FILE shows and plays them" in err
    listed = predict(folder / "0.wav", "--timeline", "--format", "table")[1]
    assert listed.split() == rows.split()  # though lines may be broken


def test_labels_are_shown_as_provisional_while_a_recording_is_read(  # type: ignore[no-untyped-def]
    predict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from emoscope.cli import predicting as command
    from emoscope.cli import terminal

    path, one = tmp_path / "talk.wav", np.concatenate([voice(2.0), silence(1.0)])
    soundfile.write(path, np.tile(one, 10), RATE)
    monkeypatch.setattr("emoscope.audio._BLOCK", 2 * RATE)
    monkeypatch.setattr(command, "LONG", 0)
    monkeypatch.setattr(progress, "EVERY", 0.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: 0.0))
    piped = predict(path, "--timeline")
    screen = io.StringIO()
    monkeypatch.setattr(terminal, "err", Console(file=screen, force_terminal=True, width=80))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(sys.stderr, "fileno", lambda: 2, raising=False)
    found = predict(path, "--timeline")
    assert found[1] == piped[1] and "provisional" not in found[1]
    lines = screen.getvalue().splitlines()
    assert any("listening to talk.wav" in line and " of 0:30" in line for line in lines)
    at = next(n for n, line in enumerate(lines) if "provisional; the whole recording" in line)
    assert lines[at + 1].split()[1] in tiny_model.EMOTIONS


def test_what_was_found_so_far_is_of_what_was_heard(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.0)
    monkeypatch.setattr(
        progress, "time", SimpleNamespace(monotonic=lambda: 0.0)
    )  # nothing takes long
    monkeypatch.setattr("emoscope.audio._BLOCK", 2 * RATE)
    path, one = tmp_path / "call.wav", np.concatenate([voice(2.0), silence(1.0)])
    soundfile.write(path, np.tile(np.stack([one, one], axis=1), (10, 1)), RATE)
    predictor, told = predicting.Predictor(model), list[progress.Heard]()
    progress.Progress(predictor, told.append)
    final = predictor.predict(str(path), timeline=True)
    assert told[-1].seconds == pytest.approx(30.0) and {heard.length for heard in told} == {30.0}
    assert {heard.name for heard in told} == {"call.wav (mix)"}
    known = [heard for heard in told if heard.found]
    assert len(known) > 5
    for heard in known:  # this model learns nothing from the rest: only the newest may change
        segments = heard.found.segments
        assert segments[-1].end <= heard.seconds
        assert segments[:-1] == final.segments[: len(segments) - 1]
    told.clear()
    predictor.predict(str(path), timeline=True, by="speaker")
    names = [heard.name for heard in told]
    voices = names.count("call.wav (mix), its voices")
    assert voices > 5 and not any(heard.found for heard in told[:voices])
    assert told[-1].name == "call.wav (mix)"
    assert {"speaker 1"} == {part.speaker for part in told[-1].found.segments if part.is_speech}


def test_a_number_of_speakers_means_that_voices_are_told_apart(predict, folder: Path) -> None:  # type: ignore[no-untyped-def]
    asked = [folder / "0.wav", "--speakers", "1"]
    assert predict(*asked)[1] == predict(*asked, "--by", "speaker")[1]
    assert "speaker 1" in predict(*asked)[1]
    status, _, err = predict(*asked, "--by", "none")
    assert status == 2 and "needs division by speaker, not by none" in err
    status, _, err = predict(folder / "0.wav", "--speakers", "0")
    assert status == 2 and "speakers 0: expected 1 to 20" in err


def test_arguments_are_checked(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["a.wav", "--jobs", "0"], ["a.wav", "--jobs", "x"], ["a.wav", "--what"]):
        assert command_line.run("predict", *words) == 2
        assert "Usage: emoscope predict" in capsys.readouterr().err


def test_what_is_labelled_together_is_said(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tiny_model.write(tmp_path, offsets=tiny_model.offsets()))
    given = [str(folder), "--format", "json", "--model", path]
    assert command_line.run("predict", *given) == 0
    out, err = capsys.readouterr()
    assert "together: 3 recordings were labelled relative to the others in their folder" in err
    assert "--each-alone" in err and err.count("\n") == 1
    assert all("together: " in json.loads(line)["warnings"][-1] for line in out.splitlines())
    assert command_line.run("predict", str(folder), "--model", path) == 0
    out, err = capsys.readouterr()
    assert "together:" in err and "together:" not in out  # once is enough for the eye
    assert command_line.run("predict", *given, "--same-source") == 0
    out, err = capsys.readouterr()
    assert err == "" and out.count("together: ") == 3
    for words in (["--each-alone"], ["--timeline"]):
        assert command_line.run("predict", *given, *words) == 0
        out, err = capsys.readouterr()
        assert err == "" and "together" not in out
    assert command_line.run("predict", *given, "--same-source", "--each-alone") == 2
    assert "--same-source cannot be combined with --each-alone" in capsys.readouterr().err


def test_folders_are_told_apart_whatever_the_order_of_their_files(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = str(tiny_model.write(tmp_path, offsets=tiny_model.offsets()))
    (other := tmp_path / "other").mkdir()
    monkeypatch.setattr(predicting, "MAX_REFERENCES", 2)
    files = sorted(map(str, folder.glob("*.wav")))
    others = [shutil.copy(file, other) for file in files]
    found = []
    mixed = [f for pair in zip(others[1:] + others[:1], files, strict=True) for f in pair]
    for given in (files + others, mixed):
        assert command_line.run("predict", *given, "--format", "json", "--model", path) == 0
        out, err = capsys.readouterr()
        assert f"together: {len(given)} recordings" in err
        found.append(sorted(out.splitlines()))
    assert found[0] == found[1]


def test_words_for_arousal_and_valence_go_with_the_numbers_beside_them() -> None:
    for share in np.linspace(0.0, 1.0, 401):
        said = formats.sounds({"happy": share, "neutral": 1.0 - share}).split(", ")
        word = {f"+{n / 10}": "even" if n < 2 else "agitated" for n in range(9)}
        assert said[0].split()[0] == word[said[0][-5:-1].strip()]


def test_whoever_reads_the_output_may_stop(folder: Path, model: Path) -> None:
    command = [sys.executable, "-m", "emoscope", "predict", *[str(folder / "0.wav")] * 1]
    command += [str(folder), "--model", str(model), "--format", "json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 0


def test_predicting_from_the_command_line_imports_nothing_heavy(folder: Path, model: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "emoscope", "predict"]
    command += [str(folder / "0.wav"), "--model", str(model)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    imported = {line.split("|")[-1].strip().split(".")[0] for line in run.stderr.splitlines()}
    heavy = {"torch", "pandas", "matplotlib", "sklearn", "scipy", "rich", "pydantic"}
    assert "onnxruntime" in imported
    assert heavy & imported == set()


@pytest.mark.parametrize(
    "words",
    [
        ["a.wav"],
        ["a.wav", "--timeline", "-q", "b.wav"],
        ["--jobs=3", "--each-alone", "a.wav"],
        ["a.wav", "--out", "x.csv", "--format", "csv", "--same-source", "-vq", "--jobs", "1"],
        ["--model", "m.emoscope", "--picture", "p.png", "--", "-a.wav"],
    ],
)
def test_a_command_line_is_read_at_once_as_typer_reads_it(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[dict[str, object]] = []
    application = cli.application()
    monkeypatch.setattr(commands.Command, "run", lambda command, **options: read.append(options))
    assert commands.run_quickly("predict", words)
    with pytest.raises(SystemExit):
        application(["predict", *words])
    assert read[0] == read[1]


@pytest.mark.parametrize("words", [[], ["--help"], ["a.wav", "--jobs", "0"], ["a.wav", "--what"]])
def test_what_needs_an_answer_is_left_to_typer(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.application()
    monkeypatch.setattr(commands.Command, "run", lambda command, **options: pytest.fail("was run"))
    assert not commands.run_quickly("predict", words)
