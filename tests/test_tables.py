"""Tables as people have them: times, channels, JSON, clips inside, Windows's and macOS's habits."""

import datetime
import json
import math
import unicodedata

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
import soundfile

from emoscope import audio, corpus
from emoscope.corpus import places, times, writing
from emoscope.errors import CorpusError
from recordings import RATE, voice


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EMOSCOPE_STORE", str(tmp_path / "cache"))


def table(folder, text, name="m.csv", encoding="utf-8"):
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def spans(loaded):
    return loaded.table[["start", "end"]].to_numpy().tolist()


@pytest.mark.parametrize(
    "text,seconds",
    [
        ("1.5", 1.5), ("1,5", 1.5), (".5", 0.5), ("3", 3), ("1.5 s", 1.5), ("1500ms", 1.5), ("1e-1", 0.1),
        ("1:02.5", 62.5), ("00:01:02,500", 62.5), ("01:00:00", 3600), ("0 days 00:00:01.5", 1.5),
        ("1 days 00:00:00", 86400), ("1 day, 0:00:01.5", 86401.5), ("0 days", 0), ("-1 days +23:59:59", -1),
        ("-2.5", -2.5), (" 7 ", 7),
    ],
)  # fmt: skip
def test_times(text, seconds):
    assert times.seconds(text) == pytest.approx(seconds, abs=1e-12)


def test_no_times():
    assert all(math.isnan(times.seconds(text)) for text in ("", "NaT", "nan", "None"))
    for text in ("soon", "1.2.3", "1,234.5", "inf", "1:2:3:4", "2024-01-01 10:00"):
        with pytest.raises(ValueError, match="is not a time; write seconds"):
            times.seconds(text)
    assert times.seconds("1500", 0.001) == 1.5 and times.seconds("1500 ms", 0.001) == 1.5


@pytest.mark.parametrize(
    "header,row",
    [
        ("file,start,end,emotion", "a.wav,1.5,3,sad"),
        ("File;Start Time;End Time;Emotion", "a.wav;1,5;3,0;sad"),
        ("path\tonset\toffset\temo", "a.wav\t0 days 00:00:01.500000\t0 days 00:00:03\tsad"),
        ("file,begin,duration,emotion", "a.wav,00:00:01.5,1.5,sad"),
        ("audio_filepath,offset,duration,emotion", "a.wav,1.5,1.5,sad"),
        ("filename,start_ms,end_ms,emotion", "a.wav,1500,3000,sad"),
        ("wav,xmin,xmax,label", 'a.wav,"1,5",3.0,sad'),
        ("file,Start (s),End (s),emotion", "a.wav,1.5,3,sad"),
        ("file,segment_start,segment_end,emotion", "a.wav,1.5,3,sad"),
        ("file,from,to,emotion", "a.wav,1.5,3,sad"),
        ("file;Beginn;Ende;emotion", "a.wav;1,5;3;sad"),
    ],
)
def test_columns_of_times(tmp_path, header, row):
    loaded = corpus.load(table(tmp_path, f"{header}\n{row}\n"))
    assert spans(loaded) == [[1.5, 3.0]] and loaded.table["clip"].tolist() == ["a#1.50-3.00"]


def test_parts_that_are_not_told_apart_are_no_silent_whole(tmp_path):
    rows = "a.wav,0,8000,sad\na.wav,8000,16000,angry\n"
    with pytest.raises(CorpusError, match="'start_sample' counts samples or frames; give start"):
        corpus.load(table(tmp_path, f"file,start_sample,end_sample,emotion\n{rows}"))
    with pytest.raises(CorpusError, match="tied .*; if its rows are parts or channels, add"):
        corpus.load(table(tmp_path, f"file,T1,T2,emotion\n{rows}"))
    loaded = corpus.load(table(tmp_path, f"file,start,T2,emotion\n{rows}"))
    assert "1 parts have no end: they run to the end" in loaded.notes[0]


def test_a_speaker_that_is_not_known_is_no_speaker(tmp_path):
    text = "file,emotion,speaker\na.wav,sad,unknown\nb.wav,sad,NaN\nc.wav,sad,anna\n"
    assert corpus.load(table(tmp_path, text)).table["speaker"].tolist() == ["", "", "anna"]


def test_a_folder_in_a_column_of_files_is_a_path(tmp_path):
    rows = [{"audio": {"path": "a.wav", "sampling_rate": 8000}, "emotion": "sad"}]
    loaded = corpus.load(table(tmp_path, json.dumps(rows), "m.json"))
    assert loaded.table["clip"].tolist() == ["a.wav"]


def test_times_of_every_type(tmp_path):
    frame = pd.DataFrame({"file": "a.wav", "emotion": ["sad", "angry", "happy"]})
    seconds = [1.5, 3.25, None], [3.25, 5.0, None]
    for number, make in enumerate(
        [
            lambda s: pd.to_timedelta(pd.Series(s), unit="s"),
            lambda s: pa.array(
                [None if x is None else round(1000 * x) for x in s], pa.duration("ms")
            ),
            lambda s: pd.Series(s),
            lambda s: pd.Series(
                None if x is None else str(datetime.timedelta(seconds=x)) for x in s
            ),
        ]
    ):
        told = pa.table({**frame, "start": make(seconds[0]), "end": make(seconds[1])})
        pyarrow.parquet.write_table(told, tmp_path / f"{number}.parquet")
        loaded = corpus.load(tmp_path / f"{number}.parquet")
        np.testing.assert_array_equal(spans(loaded), [[1.5, 3.25], [3.25, 5], [np.nan, np.nan]])
    pyarrow.feather.write_feather(told, tmp_path / "m.feather")
    assert len(corpus.load(tmp_path / "m.feather")) == 3


def test_bad_times_are_a_reason_for_each_row(tmp_path):
    text = (
        "file,start,end,emotion\na.wav,0,1,sad\na.wav,soon,2,sad\na.wav,3,2,sad\na.wav,-1,2,sad\n"
    )
    loaded = corpus.load(table(tmp_path, text + "a.wav,2,2,sad\na.wav,0,1,sad\n"))
    assert spans(loaded) == [[0, 1]]
    reasons = [str(error).partition("row ")[2] for error in loaded.rejected]
    assert reasons[0].startswith("2: 'soon' is not a time; write seconds")
    assert reasons[1].startswith("3: from 3.0 s to 2.0 s: a part must end after it starts")
    assert reasons[2].startswith("4: from -1.0 s") and reasons[3].startswith(
        "5: from 2.0 s to 2.0 s"
    )
    assert "listed more than once" in str(loaded.rejected[4])


def test_times_that_are_of_no_file(tmp_path):
    meld = "Utterance,file,Emotion,Season,Episode,StartTime,EndTime\n"
    meld += '"Hi",dia0_utt0.mp4,neutral,8,21,"00:16:16,059","00:16:21,731"\n'
    loaded = corpus.load(table(tmp_path, meld))
    assert "start" not in loaded.table and loaded.excerpts[0].end is None
    with pytest.raises(CorpusError, match="'offset' may be where a clip starts or ends"):
        corpus.load(table(tmp_path, "file,offset,emotion\na.wav,1,sad\n"))
    loaded = corpus.load(table(tmp_path, "file,duration,emotion\na.wav,1.5,sad\n"))
    assert "end" not in loaded.table


def test_parts_sound_as_they_were_cut(tmp_path):
    samples = voice(3.0)
    soundfile.write(tmp_path / "a.wav", samples, RATE)
    text = "file,start,end,emotion\na.wav,0,1.5,sad\na.wav,1.5,,angry\na.wav,,,happy\n"
    parts = [audio.load(excerpt) for excerpt in corpus.load(table(tmp_path, text)).excerpts]
    whole = audio.load(tmp_path / "a.wav").samples
    half = round(1.5 * RATE)
    for part, expected in zip(parts, (whole[:half], whole[half:], whole), strict=True):
        np.testing.assert_array_equal(part.samples, expected)


@pytest.mark.parametrize("target", ["m.csv", "m.parquet", "m.jsonl", "db"])
def test_parts_survive_a_conversion(tmp_path, target):
    soundfile.write(tmp_path / "a.wav", voice(3.0), RATE)
    text = "file,start,end,emotion,speaker\na.wav,0,1.1234567,sad,1\na.wav,1.5,2.75,angry,2\n"
    own = corpus.load(table(tmp_path, text))
    made = tmp_path / "made" / target
    writing.write(own, made, format="audformat" if target == "db" else None)
    same = ["clip", "emotion", "speaker", "start", "end"]
    pd.testing.assert_frame_equal(corpus.load(made).table[same], own.table[same])
    with pytest.raises(CorpusError, match="2 of 2 clips are parts.*use --format audformat, csv"):
        writing.write(own, tmp_path / "hf", format="huggingface")


def test_segmented_tables_of_audformat(tmp_path):
    audformat = pytest.importorskip("audformat")
    own = audformat.Database("seg")
    own.schemes["emotion"] = audformat.Scheme("str", labels=["anger", "sadness"])
    own.schemes["speaker"] = audformat.Scheme("str")
    index = audformat.segmented_index(
        ["a.wav", "a.wav", "b.wav"], ["0s", "1.5s", "0s"], ["1.5s", "3s", "NaT"]
    )
    own["emotion"] = audformat.Table(index)
    own["emotion"]["emotion"] = audformat.Column(scheme_id="emotion")
    own["emotion"]["emotion"].set(["anger", "sadness", "anger"])
    own["files"] = audformat.Table(audformat.filewise_index(["a.wav", "b.wav"]))
    own["files"]["speaker"] = audformat.Column(scheme_id="speaker")
    own["files"]["speaker"].set(["x", "y"])
    for form in ("csv", "parquet"):
        own.save(str(tmp_path / form), storage_format=form)
        loaded = corpus.load(tmp_path / form)
        np.testing.assert_array_equal(spans(loaded), [[0, 1.5], [1.5, 3], [0, np.nan]])
        assert loaded.table["speaker"].tolist() == ["x", "x", "y"]


def test_channels(tmp_path):
    text = "file,channel,emotion\na.wav,L,sad\na.wav,2,angry\na.wav,,happy\n"
    assert [e.channel for e in corpus.load(table(tmp_path, text)).excerpts] == [0, 1, None]
    text = "file,channel,emotion\na.wav,0,sad\na.wav,1,angry\n"
    assert [e.channel for e in corpus.load(table(tmp_path, text)).excerpts] == [0, 1]
    for text in (
        "file,channel,emotion\na.wav,speech,sad\nb.wav,song,sad\n",
        "file,channel,statement,emotion\na.wav,1,2,sad\nb.wav,2,2,sad\n",
    ):
        loaded = corpus.load(table(tmp_path, text))
        assert "audio_channel" not in loaded.table and "channel" in loaded.table
    loaded = corpus.load(
        table(tmp_path, "file,audio_channel,emotion\na.wav,left,sad\na.wav,up,sad\n")
    )
    assert len(loaded) == 1 and "unknown channel 'up'" in loaded.rejected[0].reason


@pytest.mark.parametrize("channel", ["left", "each", "mix"])
def test_a_channel_of_the_table_is_not_another_by_an_option(tmp_path, channel):
    soundfile.write(tmp_path / "a.wav", np.zeros((800, 2)), 8000)
    path = table(tmp_path, "file,audio_channel,emotion\na.wav,right,sad\na.wav,,happy\n")
    loaded = corpus.load(path, channel=channel)
    told = set(zip(loaded.table["emotion"], loaded.table["audio_channel"], strict=True))
    others = {"left": ["left"], "each": ["left", "right"], "mix": [""]}[channel]
    assert told == {("sad", "right"), *(("happy", name) for name in others)}
    assert (
        loaded.notes[0].startswith("1 clips have a channel in") and "--channel" in loaded.notes[0]
    )


@pytest.mark.parametrize(
    "content",
    [
        [{"wav": "w/a.wav", "emo": "ang"}, {"wav": "w/b.wav", "emo": "sad"}],
        {"x": {"wav": "{data_root}/w/a.wav", "length": 1.5, "emo": "ang"},
         "y": {"wav": "{data_root}/w/b.wav", "length": 1.5, "emo": "sad"}},
        {"wav": {"0": "w/a.wav", "1": "w/b.wav"}, "emo": {"0": "ang", "1": "sad"}},
        {"w/a.wav": {"emo": "ang"}, "w/b.wav": {"emo": "sad"}},
        {"version": 1, "clips": [{"wav": "w/a.wav", "emo": "ang"}, {"wav": "w/b.wav", "emo": "sad"}]},
    ],
)  # fmt: skip
def test_json(tmp_path, content):
    touch(tmp_path, "w/a.wav", "w/b.wav")
    loaded = corpus.load(table(tmp_path, json.dumps(content), "train.json"))
    assert loaded.table["path"].tolist() == [
        str(tmp_path / "w" / name) for name in ("a.wav", "b.wav")
    ]
    assert loaded.table["emotion"].tolist() == ["angry", "sad"]


@pytest.mark.parametrize(
    "text,message",
    [
        ("{", "not a readable json"), ("3", "neither a list of JSON objects"), ("[1]", "object 1 is not"),
        ('{"a.wav": "sad", "b.wav": "happy"}', "nor named JSON objects"), ("[" * 100_000, "too deeply"),
    ],
)  # fmt: skip
def test_broken_json(tmp_path, text, message):
    with pytest.raises(CorpusError, match=message):
        corpus.load(table(tmp_path, text, "m.json"))


def test_names_of_files(tmp_path):
    nfd = unicodedata.normalize("NFD", "Müller")
    touch(
        tmp_path,
        f"{nfd}/Ä1.wav",
        "deep/er/b.wav",
        "x/same.wav",
        "y/same.wav",
        "._d.wav",
    )
    names = [
        "Müller\\Ä1.wav",
        "er/b",
        "same.wav",
        "x/same.wav",
        "d.wav",
        "C:\\old\\deep\\er\\b.wav",
    ]
    found = [place.removeprefix(f"{tmp_path}/") for place in places.find(tmp_path, names)]
    assert found[0] == f"{nfd}/Ä1.wav" and found[2:5] == [
        "same.wav",
        "x/same.wav",
        "d.wav",
    ]
    assert found[1] == "er/b", "two names of one file: neither is taken"
    assert places.find(tmp_path, names[:2]) == [
        f"{tmp_path}/{nfd}/Ä1.wav",
        f"{tmp_path}/deep/er/b.wav",
    ]
    assert places.find(tmp_path, names[-1:]) == [f"{tmp_path}/deep/er/b.wav"]
    assert places.find(tmp_path, ["/home/me/other/b.wav"]) == ["/home/me/other/b.wav"]


def test_a_recording_that_was_converted_is_found(tmp_path):
    touch(tmp_path, "wav/a.flac", "wav/b.flac", "wav/b.mp3", "there.wav")
    found = places.find(tmp_path, ["there.wav", "wav/a.wav", "wav/b.wav", "wav/a.txt"])
    assert found[1] == f"{tmp_path}/wav/a.flac"
    assert found[2:] == [f"{tmp_path}/wav/b.wav", f"{tmp_path}/wav/a.txt"], "not one file alone"


@pytest.mark.parametrize(
    "text,encoding",
    [
        ("\ufefffile;emotion;start;end\r\nMüller\\a.wav; NEUTRAL;0,5;1,25\r\n", "utf-8"),
        ("file\temotion\tstart\tend\r\nMüller\\a.wav\t NEUTRAL\t0,5\t1,25\r\n", "utf-16"),
        ('sep=;\r\nfile;emotion;start;end\r\n"Müller\\a.wav";"neutral";"0,5";"1,25"\r\n', "utf-8"),
    ],
)
def test_tables_from_windows(tmp_path, text, encoding):
    touch(tmp_path, "Müller/a.wav")
    loaded = corpus.load(table(tmp_path, text, encoding=encoding))
    assert loaded.table["path"].tolist() == [str(tmp_path / "Müller/a.wav")]
    assert loaded.emotions == ["neutral"] and spans(loaded) == [[0.5, 1.25]]


def test_codepages_are_refused_with_the_line_and_what_to_do(tmp_path):
    text = "file,emotion\na.wav,sad\nMüller/b.wav,sad\n"
    told = "line 3 is not text in UTF-8: byte 0xfc, 'ü' in Windows-1252; save it again as UTF-8"
    with pytest.raises(CorpusError, match=told):
        corpus.load(table(tmp_path, text, encoding="cp1252"))


def test_a_table_of_dimensions_says_what_is_expected(tmp_path):
    text = "file,arousal,valence,dominance\na.wav,3.5,2.1,4.0\n"
    with pytest.raises(
        CorpusError,
        match="no column of emotions.*Found: file, arousal.*dimensions are not emotions",
    ):
        corpus.load(table(tmp_path, text))


def test_two_tables_of_the_same_recordings_are_named(tmp_path):
    touch(tmp_path, "a.wav")
    for name in ("one.csv", "two.csv"):
        table(tmp_path, "file,emotion\na.wav,sad\n", name)
    with pytest.raises(
        CorpusError, match="2 tables list its recordings; give one of them: one.csv, two.csv"
    ):
        corpus.load(tmp_path)
