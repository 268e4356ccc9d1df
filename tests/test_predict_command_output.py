"""The files that ``emoscope predict`` writes: resumed, refused, never in place of something else."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

import command_line
import predict_command
import tiny_model
from emoscope.cli import predicting as predicting_command
from emoscope.prediction import Prediction, output
from emoscope.prediction.output import Output

folder, model = predict_command.folder, predict_command.model
predict = predict_command.predict


def test_an_output_is_continued(predict, folder: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    for kind in ("json", "csv"):
        path = tmp_path / kind
        assert predict(folder / "0.wav", "--format", kind, "--out", path)[0] == 0
        assert predict(folder, "--format", kind, "--out", path)[0] == 0
        whole = path.read_bytes()
        assert whole.count(b".wav") == 3
        path.write_bytes(whole[:-10])
        assert predict(folder, "--format", kind, "--out", path)[0] == 0
        assert path.read_bytes() == whole


def test_a_timeline_is_continued_with_other_recordings(
    predict, folder: Path, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    words = ["--timeline", "--out", tmp_path / "held.csv"]
    zero, one, two = (folder / f"{n}.wav" for n in range(3))
    assert predict(zero, one, *words)[0] == 0
    both = words[-1].read_bytes()
    assert predict("mistyped.wav", *words)[0] == 1
    assert words[-1].read_bytes() == both
    assert predict(two, *words)[0] == 0
    whole = words[-1].read_bytes()
    assert whole.startswith(both) and str(two).encode() in whole
    assert predict(zero, one, two, *words)[0] == 0
    assert words[-1].read_bytes() == whole
    words[-1].write_bytes(whole[:-10])  # of the last, rows may be missing
    status, _, err = predict(one, *words)
    assert status == 2 and f"breaks off after {two}; name that recording too" in err
    assert words[-1].read_bytes() == whole[:-10]
    assert predict(one, two, *words)[0] == 0
    assert words[-1].read_bytes() == whole


@pytest.mark.parametrize("kind", ["json", "csv"])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("--by speaker", "--by speaker --speakers 2"),
        ("--by none", ""),
        ("", "--by none"),
        ("--each-alone", "--same-source"),
        ("--channel mix", "--channel left"),
    ],
)
def test_an_output_is_not_continued_with_other_options(  # type: ignore[no-untyped-def]
    predict, folder: Path, tmp_path: Path, kind: str, before: str, after: str, monkeypatch
) -> None:
    monkeypatch.setattr(predicting_command, "require_offsets", lambda predictor: None)
    monkeypatch.setattr(output, "require_offsets", lambda predictor: None)
    path = tmp_path / f"held.{kind}"
    words = [folder / "0.wav", "--out", path]
    assert predict(*words, *before.split())[0] == 0
    whole = path.read_bytes()
    status, _, err = predict(*words, *after.split())
    columns = kind == "csv" and "left" in after  # which has a column of channels
    assert status == 2 and ("other columns" if columns else "or with other options, level") in err
    assert columns or f"{' ' * bool(before)}{before}; this is level " in err
    assert columns or f"{after}; give another name, or begin anew with --replace" in err
    assert path.read_bytes() == whole
    assert predict(*words, *before.split())[0] == 0
    assert path.read_bytes() == whole
    assert predict(*words, *after.split(), "--replace")[0] == 0


def test_a_table_of_an_older_version_is_not_continued(  # type: ignore[no-untyped-def]
    predict, folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "held.csv"
    assert predict(folder, "--out", path)[0] == 0
    rows = list(csv.reader(path.read_text().splitlines()))
    old = "".join(f"{','.join(row[:9])}\n" for row in rows)
    assert old.startswith(
        "file,emotion,confidence,p_neutral,p_sad,p_angry,uncertain,warnings,model\n"
    )
    path.write_text(old)
    status, _, err = predict(folder, "--out", path)
    assert status == 2 and "begun by an older emoscope; give another name" in err
    assert path.read_text() == old


@pytest.mark.parametrize("words", [("--format", "json"), ("--format", "csv"), ("--timeline",)])
def test_an_output_is_not_continued_by_another_model(  # type: ignore[no-untyped-def]
    predict, folder: Path, tmp_path: Path, words: tuple[str, ...], capsys
) -> None:
    path = tmp_path / "held.csv"
    given = [str(folder), *words, "--out", str(path)]
    assert predict(*given)[0] == 0
    whole = path.read_bytes()
    status, _, err = predict(*given)
    assert status == 0 and f"{path}: resuming; {2 if words == ('--timeline',) else 3} of 3" in err
    assert path.read_bytes() == whole
    other = tiny_model.write(tmp_path, temperature=3.0)
    assert command_line.run("predict", *given, "--model", other) == 2
    assert "was written by another model or with other options, level " in capsys.readouterr().err
    assert path.read_bytes() == whole


@pytest.mark.parametrize("name", ["held.csv", "held.json"])
def test_an_output_never_takes_the_place_of_something_else(  # type: ignore[no-untyped-def]
    predict, folder: Path, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    for content in (b"precious", b'{"precious": 1}', b"file\nprecious"):
        path.write_bytes(content)
        for asked in (folder, tmp_path / "missing.wav"):
            status, _, err = predict(asked, "--out", path)
            assert status == 2 and "exists" in err and path.read_bytes() == content


def test_an_output_that_vanishes_is_missed(  # type: ignore[no-untyped-def]
    predict, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "held.csv"
    write = Output.write

    def remove_and_write(output: Output, prediction: Prediction) -> None:
        path.unlink(missing_ok=True)
        write(output, prediction)

    monkeypatch.setattr(Output, "write", remove_and_write)
    status, _, err = predict(folder, "--out", path)
    assert status == 2 and f"{path}: was removed or replaced" in err


@pytest.mark.parametrize("cell", ["x", '"', "\xff"])
def test_an_output_that_was_damaged_is_left_as_it_is(  # type: ignore[no-untyped-def]
    predict, folder: Path, tmp_path: Path, cell: str
) -> None:
    path = tmp_path / "held.csv"
    assert predict(folder, "--out", path)[0] == 0
    header, _, rest = path.read_bytes().partition(b"\n")
    content = header + b"\n" + b"a.wav,sad,0.5," + cell.encode("latin-1") + b"\n" + rest
    path.write_bytes(content)
    status, _, err = predict(folder, "--out", path)
    assert status == 2 and "exists and" in err and err.count("\n") == 1
    assert path.read_bytes() == content


def test_one_timeline_in_other_formats(predict, folder: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "a.TextGrid"
    status, out, _ = predict(folder / "2.wav", "--format", "textgrid", "--out", path)
    assert (status, out) == (0, "")
    assert '"angry"' in path.read_text(encoding="utf-8")
    assert predict(folder / "2.wav", "--format", "vtt")[1].startswith("WEBVTT")


def test_the_picture_of_a_timeline(predict, folder: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "a.png"
    assert predict(folder / "2.wav", "--picture", path)[0] == 0
    assert path.read_bytes().startswith(b"\x89PNG")
    status, out, err = predict(folder / "2.wav", "--picture", tmp_path / "a.nonsense")
    assert (status, out) == (2, "") and "unknown picture format 'nonsense'" in err


@pytest.mark.parametrize("kind", ["json", "csv"])
def test_the_picture_is_drawn_when_the_labels_are_there_already(  # type: ignore[no-untyped-def]
    predict, folder: Path, tmp_path: Path, kind: str
) -> None:
    words = [folder / "2.wav", "--format", kind, "--timeline", "--out", tmp_path / kind]
    assert predict(*words)[0] == 0
    content = (tmp_path / kind).read_bytes()
    path = tmp_path / "a.png"
    assert predict(*words, "--picture", path)[0] == 0
    assert path.read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / kind).read_bytes() == content
    # A picture implies the timeline, so what is written is the same, and a later run goes on with it.
    words = [word for word in words[:-1] if word != "--timeline"]
    assert predict(*words, tmp_path / "other", "--picture", tmp_path / "b.png")[0] == 0
    assert (tmp_path / "other").read_bytes() == content
    assert predict(*words, tmp_path / "other", "--timeline")[0] == 0


def test_an_output_of_another_kind_is_left_as_it_is(predict, folder: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    words = [folder / "0.wav", "--format", "json", "--out", tmp_path / "found"]
    assert predict(*words)[0] == 0
    status, _, err = predict(*words, "--timeline")
    assert status == 2 and "exists with other columns" in err and "a timeline" in err


@pytest.mark.parametrize("option", ["--picture", "--html"])
def test_what_is_drawn_last_is_refused_first(predict, folder: Path, option: str) -> None:  # type: ignore[no-untyped-def]
    for path in (folder, folder / "1.wav" / "a.png", "/dev/full", "/proc/x/a.png"):
        status, out, err = predict(folder / "0.wav", option, path)
        assert (status, out) == (2, "") and f"error: {path}: cannot be written: " in err
    other, same = folder / "found.json", folder / "." / "found.json"
    _, out, err = predict(folder / "0.wav", "--out", other, option, same)
    assert not other.exists() and f"{same}: is named by two options" in err


def test_ctrl_c_says_what_is_kept(  # type: ignore[no-untyped-def]
    predict, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(output: Output, prediction: Prediction) -> None:
        if prediction.file.endswith("1.wav"):
            raise KeyboardInterrupt
        write(output, prediction)

    write = Output.write
    monkeypatch.setattr(Output, "write", stopped)
    status, _, err = predict(folder, "--out", tmp_path / "all.csv")
    assert status == 130 and f"stopped; {tmp_path}/all.csv keeps 1 of 3 recordings" in err
    monkeypatch.setattr(Output, "write", write)
    status, _, err = predict(folder, "--out", tmp_path / "all.csv")
    assert status == 0 and "resuming; 1 of 3" in err
    assert f"written: {tmp_path}/all.csv (" in err


@pytest.mark.parametrize("kind", ["json", "csv"])
def test_ctrl_c_before_the_first_recording_leaves_no_file(  # type: ignore[no-untyped-def]
    predict, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    def stopped(output: Output, prediction: Prediction) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Output, "write", stopped)
    status, _, err = predict(folder, "--out", tmp_path / f"all.{kind}")
    assert status == 130 and "stopped; no file was written" in err
    assert not list(tmp_path.iterdir())


def test_a_timeline_that_cannot_be_written(predict, folder: Path) -> None:  # type: ignore[no-untyped-def]
    status, _, err = predict(folder / "0.wav", "--format", "srt", "--out", "/proc/x/y")
    assert status == 2 and "cannot be written" in err


def test_wrong_usage_takes_nothing_away(
    folder: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "kept.csv"
    given = ["predict", str(folder), "--model", str(model), "--out", str(kept)]
    assert command_line.run(*given) == 0
    before = kept.read_bytes()
    for words in (["--same-source"], ["--same-source", "--timeline"]):
        assert command_line.run(*given, *words, "--replace") == 2
        assert kept.read_bytes() == before


def test_the_ending_of_a_file_says_its_format(predict, folder: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    for ending, start in (("csv", "file,"), ("jsonl", "{"), ("JSON", "{"), ("vtt", "WEBVTT")):
        path = tmp_path / f"found.{ending}"
        assert predict(folder / "0.wav", "--out", path)[0] == 0
        assert path.read_text().startswith(start)
