"""Given parts of recordings, each classified by itself, from annotation files of any form."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

import tiny_model
from emoscope.prediction import Predictor, sources
from recordings import RATE, at_level, silence, voice

PARTS = [(0.25, 1.75, "one"), (2.0, 3.5, "two"), (4.0, 4.75, "one")]
LEVELS = (-15, -35, -25)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A talk of an angry, a sad and a neutral voice."""
    folder = tmp_path_factory.mktemp("segments")
    tiny_model.write(folder)
    sound = silence(5.0)
    for number, ((start, end, _), level) in enumerate(zip(PARTS, LEVELS, strict=True)):
        first, stop = round(start * RATE), round(end * RATE)
        sound[first:stop] = at_level(voice(end - start, 110.0 + 30 * number, seed=number), level)
    soundfile.write(folder / "talk.wav", sound, RATE, subtype="PCM_16")
    for number, (start, end, _) in enumerate(PARTS):
        part = soundfile.read(folder / "talk.wav", dtype="int16")[0]
        cut = part[round(start * RATE) : round(end * RATE)]
        soundfile.write(folder / f"part{number}.wav", cut, RATE, subtype="PCM_16")
    return folder


def textgrid() -> str:
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "0", "5", "<exists>", "1"]
    lines += ['"IntervalTier"', '"words"', "0", "5", str(2 * len(PARTS) + 1)]
    last = 0.0
    for start, end, text in PARTS:
        lines += [str(last), str(start), '""', str(start), str(end), f'"{text}"']
        last = end
    return "\n".join([*lines, str(last), "5", '""']) + "\n"


def eaf() -> str:
    slots, annotations = "", ""
    for n, (start, end, text) in enumerate(PARTS):
        for name, time in ((f"a{n}", start), (f"b{n}", end)):
            slots += f'<TIME_SLOT TIME_SLOT_ID="{name}" TIME_VALUE="{round(1000 * time)}"/>'
        annotations += (
            f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="n{n}" TIME_SLOT_REF1="a{n}" '
            f'TIME_SLOT_REF2="b{n}"><ANNOTATION_VALUE>{text}</ANNOTATION_VALUE>'
            "</ALIGNABLE_ANNOTATION></ANNOTATION>"
        )
    return (
        '<ANNOTATION_DOCUMENT><HEADER MEDIA_FILE=""><MEDIA_DESCRIPTOR MEDIA_URL="talk.wav" '
        f'MIME_TYPE="audio/x-wav"/></HEADER><TIME_ORDER>{slots}</TIME_ORDER><TIER TIER_ID="words">'
        f"{annotations}</TIER></ANNOTATION_DOCUMENT>"
    )


def subtitles(mark: str) -> str:
    cues = "".join(
        f"{n}\n00:00:{start:06.3f} --> 00:00:{end:06.3f}\n{text}\n\n".replace(".", mark)
        for n, (start, end, text) in enumerate(PARTS, 1)
    )
    return cues if mark == "," else f"WEBVTT\n\n{cues}"


def table() -> str:
    rows = [f"talk.wav,{start},{end},{text}" for start, end, text in PARTS]
    return "\n".join(["file,start,end,label", *rows]) + "\n"


def jsonl() -> str:
    return "".join(
        json.dumps({"file": "talk.wav", "start": start, "end": end, "label": text}) + "\n"
        for start, end, text in PARTS
    )


FORMS = {
    "talk.TextGrid": textgrid(),
    "talk.eaf": eaf(),
    "talk.srt": subtitles(","),
    "talk.vtt": subtitles("."),
    "parts.csv": table(),
    "parts.jsonl": jsonl(),
}


@pytest.fixture
def run(emoscope, kept_models, folder: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.chdir(folder)
    return lambda *words: emoscope("predict", *words, "--model", "level.emoscope")


@pytest.mark.parametrize("name", FORMS)
def test_every_form_gives_the_labels_of_the_parts_as_files(run, folder: Path, name: str) -> None:  # type: ignore[no-untyped-def]
    (folder / name).write_text(FORMS[name])
    status, out, err = run("talk.wav", "--segments", name, "--format", "json")
    (folder / name).unlink()
    assert (status, err) == (0, "")
    found = json.loads(out)
    whole = json.loads(run("talk.wav", "--format", "json")[1])
    assert {**found, "segments": []} == whole
    alone = [json.loads(run(f"part{n}.wav", "--format", "json")[1]) for n in range(3)]
    assert [part["emotion"] for part in found["segments"]] == ["angry", "sad", "neutral"]
    for part, (start, end, text), one in zip(found["segments"], PARTS, alone, strict=True):
        assert (part["start"], part["end"], part["label"]) == (start, end, text)
        for key in one.keys() - {"file", "segments", "model", "about"}:
            assert part[key] == one[key]


def test_audformat_gives_the_same(run, folder: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "db.yaml").write_text(
        "name: talk\nsource: tests\nusage: other\nschemes:\n  emotion: {dtype: str}\ntables:\n"
        "  words:\n    type: segmented\n    columns: {emotion: {scheme_id: emotion}}\n"
    )
    rows = [f"{folder}/talk.wav,0 days 00:00:0{s},0 days 00:00:0{e},{t}" for s, e, t in PARTS]
    (tmp_path / "db.words.csv").write_text("\n".join(["file,start,end,emotion", *rows]) + "\n")
    status, out, err = run("talk.wav", "--segments", str(tmp_path / "db.yaml"), "--format", "csv")
    assert (status, err) == (0, "")
    found = list(csv.DictReader(io.StringIO(out)))
    assert [(row["start"], row["label"], row["emotion"]) for row in found] == [
        ("0.25", "one", "angry"),
        ("2.0", "two", "sad"),
        ("4.0", "one", "neutral"),
    ]


def test_neither_emotions_nor_the_name_of_the_only_recording_are_needed(  # type: ignore[no-untyped-def]
    run, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "db.yaml").write_text(
        "name: talk\nsource: tests\nusage: other\ntables:\n  words:\n    type: segmented\n"
        "    columns: {words: {}}\n"
    )
    rows = [f"{folder}/talk.wav,0 days 00:00:0{s},0 days 00:00:0{e},{t}" for s, e, t in PARTS]
    (tmp_path / "db.words.csv").write_text("\n".join(["file,start,end,words", *rows]) + "\n")
    (tmp_path / "times.csv").write_text(
        "\n".join(["start,end", *(f"{start},{end}" for start, end, _ in PARTS)]) + "\n"
    )
    for source in (tmp_path, tmp_path / "times.csv"):
        status, out, err = run("talk.wav", "--segments", str(source), "--format", "csv")
        assert (status, err) == (0, "")
        found = [row["emotion"] for row in csv.DictReader(io.StringIO(out))]
        assert found == ["angry", "sad", "neutral"]


def test_what_cannot_be_classified_is_named_and_the_rest_delivered(run, folder: Path) -> None:  # type: ignore[no-untyped-def]
    wrong = "talk.wav,1.0,1.05,short\ntalk.wav,7,8,behind\ntalk.wav,2,1,backwards\ntalk.wav,x,1,\n"
    (folder / "wrong.csv").write_text(table() + wrong)
    status, out, err = run("talk.wav", "--segments", "wrong.csv", "--format", "csv")
    assert status == 1
    assert len(out.splitlines()) == 4
    assert len(err.splitlines()) == 4
    for reason in ("too short: 50 ms", "after the end", "part 7: ", "end"):
        assert reason in err


def test_several_recordings_get_their_own_parts(run, folder: Path) -> None:  # type: ignore[no-untyped-def]
    lines = "".join(f"part{n}.wav,0,0.5,x\n" for n in range(3)) + "elsewhere.wav,0,1,y\n"
    (folder / "several.csv").write_text("file,start,end,label\n" + lines)
    status, out, err = run("part0.wav", "part1.wav", "--segments", "several.csv", "--format", "csv")
    assert status == 0
    assert [line.split(",")[0] for line in out.splitlines()] == ["file", "part0.wav", "part1.wav"]
    assert "parts of recordings that were not given: 2" in err
    status, out, err = run("talk.wav", "part0.wav", "--segments", "several.csv")
    assert status == 1 and "left out: talk.wav: no part of it is given" in err
    assert out.startswith("part0.wav") and '"x"' in out
    (folder / "part0.flac").write_bytes(b"")  # another form of it, which was not given
    (folder / "part0.srt").write_text("1\n00:00:00,000 --> 00:00:00,500\nx\n")
    status, out, err = run("talk.wav", "part0.wav", "--segments", "part0.srt")
    assert out.startswith("part0.wav") and "not given" not in err
    (folder / "other.srt").write_text(subtitles(","))
    status, _, err = run("talk.wav", "part0.wav", "--segments", "other.srt")
    assert status == 2 and "does not say of which recording" in err
    for options in (["--timeline"], ["--format", "srt"], ["--same-source"]):
        status, _, err = run("talk.wav", "--segments", "other.srt", *options)
        assert status == 2 and "cannot be combined with" in err


@pytest.mark.parametrize("kind", ["json", "csv"])
def test_an_output_goes_on(run, folder: Path, tmp_path: Path, kind: str) -> None:  # type: ignore[no-untyped-def]
    (folder / "both.csv").write_text(table() + "part0.wav,0,0.5,x\n")
    words = ["talk.wav", "part0.wav", "--segments", "both.csv"]
    out = tmp_path / f"out.{kind}"
    assert run(*words, "--out", str(out))[0] == 0
    whole = out.read_bytes()
    out.write_bytes(whole[: len(whole) // 2])
    assert run(*words, "--out", str(out))[0] == 0
    assert out.read_bytes() == whole
    status, _, err = run("talk.wav", "part0.wav", "--out", str(out))
    assert status == 2 and ("segments" in err)
    (folder / "more.csv").write_text("file,start,end,label\npart1.wav,,0.5,x\ntalk.wav,0,1,other\n")
    for _ in range(2):  # other recordings may follow, but no part is replaced or passed over
        assert run("part1.wav", "--segments", "more.csv", "--out", str(out))[0] == 0
    whole = out.read_bytes()
    status, _, err = run("talk.wav", "--segments", "more.csv", "--out", str(out))
    assert status == 2 and "holds other parts of talk.wav than are given" in err
    assert out.read_bytes() == whole


def test_many_parts_need_little_memory(folder: Path) -> None:
    talk, rate = soundfile.read(folder / "talk.wav", dtype="int16")
    long = folder / "long.flac"
    soundfile.write(long, np.tile(talk, 120), rate)  # ten minutes
    rows = "".join(f"long.flac,{n},{n + 0.5},{n}\n" for n in range(0, 600, 3))
    (folder / "long.csv").write_text("file,start,end,label\n" + rows)
    given, _ = sources.read_parts(str(folder / "long.csv"), [str(long)])
    predictor = Predictor(folder / "level.emoscope")
    tracemalloc.start()
    (found,) = sources.predict_segments(predictor, [str(long)], given, jobs=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found.segments) == 200
    assert peak < 20e6  # all of it would be 38 MB
