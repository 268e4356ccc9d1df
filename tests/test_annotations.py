"""Praat, ELAN, subtitles and Label Studio: parts of recordings, and corpora where they name emotions."""

import json
from pathlib import Path

import pytest

from emoscope import corpus
from emoscope.corpus.rows import Segment
from emoscope.corpus.rows import segments as read
from emoscope.errors import CorpusError
from emoscope.prediction import formats
from emoscope.prediction.prediction import NON_SPEECH, SILENCE, Prediction
from emoscope.prediction.prediction import Segment as Predicted
from spoken import csv_of

SHORT = """File type = "ooTextFile"
Object class = "TextGrid"

0
4.5
<exists>
2
"IntervalTier"
"emotion"
0
4.5
3
0
1.5
"angry"
1.5
2
""
2
4.5
"sad"
"TextTier"
"clicks"
0
4.5
1
1.25
"a ""click"" at xmin = 3"
"""

LONG = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 4.5
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "emotion"
        xmin = 0
        xmax = 4.5
        intervals: size = 3
        intervals [1]:
            xmin = 0
            xmax = 1.5
            text = "angry"
        intervals [2]:
            xmin = 1.5
            xmax = 2
            text = ""
        intervals [3]:
            xmin = 2
            xmax = 4.5
            text = "sad"
    item [2]:
        class = "TextTier"
        name = "clicks"
        xmin = 0
        xmax = 4.5
        points: size = 1
        points [1]:
            number = 1.25
            mark = "a ""click"" at xmin = 3"
"""

EAF = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT><HEADER TIME_UNITS="milliseconds">
<MEDIA_DESCRIPTOR MEDIA_URL="file:///elsewhere/talk.mp4" RELATIVE_MEDIA_URL="./talk.mp4"/>
<MEDIA_DESCRIPTOR MEDIA_URL="file:///elsewhere/talk.wav" RELATIVE_MEDIA_URL="./talk.wav"/></HEADER>
<TIME_ORDER><TIME_SLOT TIME_SLOT_ID="t1" TIME_VALUE="0"/><TIME_SLOT TIME_SLOT_ID="t2"/>
<TIME_SLOT TIME_SLOT_ID="t3" TIME_VALUE="3000"/></TIME_ORDER>
<TIER TIER_ID="words" PARTICIPANT="Anna">
<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="t1" TIME_SLOT_REF2="t2">
<ANNOTATION_VALUE>hello</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="t2" TIME_SLOT_REF2="t3">
<ANNOTATION_VALUE>bye</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
<TIER TIER_ID="emotion" PARTICIPANT="Anna" PARENT_REF="words">
<ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a3" ANNOTATION_REF="a1">
<ANNOTATION_VALUE>joy</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>
<ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a4" ANNOTATION_REF="a2">
<ANNOTATION_VALUE>Trauer</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION></TIER>
</ANNOTATION_DOCUMENT>"""


def parts(segments: list[Segment]) -> list[tuple[float, float, str]]:
    return [(s.start, s.end, s.label) for s in segments]


def beside(folder, text, name, encoding="utf-8"):
    (folder / "talk.wav").touch()
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("text", [SHORT, LONG, LONG.replace("\n", "\r\n")])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_textgrid(tmp_path, text, encoding):
    path = beside(tmp_path, text, "talk.TextGrid", encoding)
    assert parts(read(path)) == [(0, 1.5, "angry"), (2, 4.5, "sad")]
    loaded = corpus.load(path)
    assert loaded.table["clip"].tolist() == ["talk#0.00-1.50", "talk#2.00-4.50"]
    assert loaded.table["path"].tolist() == [str(tmp_path / "talk.wav")] * 2
    assert loaded.speakers == [] and [e.start for e in loaded.excerpts] == [0, 2]


def test_elan(tmp_path):
    path = beside(tmp_path, EAF, "anything.eaf")
    halves = [(0, 1.5), (1.5, 3)]
    assert [(s.start, s.end) for s in read(path)] == halves * 2
    assert {s.file for s in read(path)} == {f"{tmp_path}/./talk.wav"}
    loaded = corpus.load(path)
    assert loaded.table["emotion"].tolist() == ["happy", "sad"] and loaded.speakers == ["Anna"]
    assert "not used: 'words'" in loaded.notes[0]


@pytest.mark.parametrize(
    "text,message",
    [
        ("<!DOCTYPE a [<!ENTITY b 'c'>]>" + EAF[38:], "declares XML entities"),
        (EAF.replace('ANNOTATION_REF="a1"', 'ANNOTATION_REF="a9"'), "refers to 'a9'"),
        (EAF[:-30], "not a readable eaf file"),
        ("<html/>", "begins with <html>"),
    ],
)
def test_broken_elan(tmp_path, text, message):
    with pytest.raises(CorpusError, match=message):
        read(beside(tmp_path, text, "talk.eaf"))


@pytest.mark.parametrize("end", [300, len(SHORT) - 40, 60])
def test_a_textgrid_that_breaks_off_is_refused(tmp_path, end):
    with pytest.raises(CorpusError, match="not a readable TextGrid file"):
        read(beside(tmp_path, LONG[:end] if end > 100 else SHORT[:end], "talk.TextGrid"))


def test_subtitles(tmp_path):
    srt = "1\n00:00:00,000 --> 00:00:01,613\n<i>first</i>\nline\n\n2\n01:00:01,5 --> 01:00:03,25\nsad\n"
    told = [(0, 1.613, "first line"), (3601.5, 3603.25, "sad")]
    assert parts(read(beside(tmp_path, srt, "talk.srt"))) == told
    vtt = "WEBVTT\n\nNOTE x\n\n00:01.000 --> 00:02.500 align:start\n<v Anna>joy\n\n"
    vtt += "00:03.000 --> 00:04.000\n<v Bo>fear"
    path = beside(tmp_path, vtt, "talk.vtt")
    assert parts(read(path)) == [(1, 2.5, "joy"), (3, 4, "fear")]
    assert corpus.load(path).speakers == ["Anna", "Bo"]
    words = beside(tmp_path, srt.replace("sad", "second"), "words.srt")
    (tmp_path / "words.wav").touch()
    with pytest.raises(CorpusError, match="'first line', 'second'.*predict RECORDING --segments"):
        corpus.load(words)
    with pytest.raises(CorpusError, match="1 of its lines with --> are not valid"):
        read(beside(tmp_path, srt + "\n3\nlater --> soon\nsad\n\n4\n-->\n", "talk.srt"))


def test_what_predict_writes_is_read(tmp_path):
    chances = {"angry": 0.75, "sad": 0.25}
    segments = (
        Predicted(0.0, 1.5, "angry", 0.75, chances),
        Predicted(1.5, 2.0, SILENCE, 0.0, {}),
        Predicted(2.0, 3.0, NON_SPEECH, 0.0, {}),
        Predicted(3.0, 4.0, "sad", 0.6, chances),
    )
    made = Prediction(str(tmp_path / "talk.wav"), "angry", 0.75, chances, False, segments=segments)
    for name in formats.TIMELINES:
        path = beside(tmp_path, formats.timeline_text(made, name), f"talk.{name}")
        found = [s for s in read(path) if s.label.startswith(("angry", "sad"))]
        assert [(s.start, s.end) for s in found] == [(0, 1.5), (3, 4)], name
    path = beside(tmp_path, csv_of(made, list(chances), timeline=True), "talk.csv")
    loaded = corpus.load(path)
    assert loaded.table[["start", "end"]].to_numpy().tolist() == [[0, 1.5], [3, 4]]
    assert (
        loaded.rejected == []
        and "predicted by a model" in loaded.notes[0]
        and "2 parts without speech" in loaded.notes[1]
    )


@pytest.mark.parametrize("name", formats.TIMELINES)
def test_labels_left_and_labels_corrected_are_read(tmp_path, name):
    chances = {"angry": 0.75, "sad": 0.25}
    segments = (
        Predicted(0.0, 1.5, "angry", 0.75, chances),
        Predicted(1.5, 3.0, "sad", 0.25, chances, uncertain=True),
        Predicted(3.0, 4.0, "sad", 0.3, chances, uncertain=True),
    )
    made = Prediction("talk.wav", "angry", 0.75, chances, False, segments=segments)
    text = formats.timeline_text(made, name).replace("sad? 30%", "happy")
    if name == "textgrid":
        text = "happy".join(text.rsplit("sad?", 1))
    path = beside(tmp_path, text, f"talk.{name}")
    assert [part.label[:4] for part in read(path)][:3] == ["angr", "sad?", "happ"]
    loaded = corpus.load(path)
    assert loaded.table["emotion"].tolist() == ["angry", "sad", "happy"]
    assert "labels with a question mark count as without it" in loaded.notes[0]
    assert loaded.rejected == []
    left_out = corpus.load(path, labels={"sad?": "", "sad? 25%": ""})
    assert left_out.table["emotion"].tolist() == ["angry", "happy"]


TASK = {
    "data": {"audio": "/data/upload/3/1a2b3c4d-talk.wav"},
    "annotations": [
        {
            "result": [
                {"type": "labels", "from_name": "emotion",
                 "value": {"start": 0.5, "end": 1.5, "channel": 0, "labels": ["angry"]}},
                {"type": "textarea", "from_name": "words",
                 "value": {"start": 0.5, "end": 1.5, "text": ["get out"]}},
            ]
        },
        {"was_cancelled": True, "result": [{"type": "labels", "value": {"labels": ["sad"]}}]},
    ],
}  # fmt: skip
REGION = [{"start": 0.5, "end": 1.5, "channel": 0, "labels": ["angry"]}]


@pytest.mark.parametrize(
    "name,text",
    [
        ("full.json", json.dumps([TASK])),
        ("min.json", json.dumps([{"audio": "/data/local-files/?d=talk.wav", "label": REGION}])),
        (
            "rows.csv",
            'audio,id,label\ntalk.wav,1,"' + json.dumps(REGION).replace('"', '""') + '"\n',
        ),
    ],
)
def test_label_studio(tmp_path, name, text):
    path = beside(tmp_path, text, name)
    assert parts(s for s in read(path) if s.tier != "words") == [(0.5, 1.5, "angry")]
    assert corpus.load(path).table["path"].tolist() == [str(tmp_path / "talk.wav")]


def test_exports_of_labels_for_whole_recordings_and_broken_ones(tmp_path):
    text = "audio,emotion,id\n/data/upload/3/1a2b3c4d-talk.wav,angry,1\n"
    loaded = corpus.load(beside(tmp_path, text, "m.csv"))
    assert loaded.table["path"].tolist() == [str(tmp_path / "talk.wav")]
    with pytest.raises(CorpusError, match="not a readable export of Label Studio"):
        corpus.load(
            beside(tmp_path, '[{"data": {"audio": "a.wav"}, "annotations": [1]}]', "m.json")
        )


def test_a_folder_of_annotation_files(tmp_path):
    (tmp_path / "one").mkdir()
    beside(tmp_path / "one", SHORT, "talk.TextGrid")
    beside(tmp_path, LONG.replace("emotion", "feelings"), "talk.TextGrid")
    beside(tmp_path, LONG.replace("angry", "hello").replace("sad", "bye"), "words.TextGrid")
    (tmp_path / "words.wav").touch()
    loaded = corpus.load(tmp_path)
    assert len(loaded) == 4 and loaded.table["path"].nunique() == 2
    assert [error.reason[:25] for error in loaded.rejected] == ["no tier contains emotions"]


def test_annotations_in_a_folder_beside_that_of_the_recordings(tmp_path):
    for name in ("annotations", "audio"):
        (tmp_path / name).mkdir()
    (tmp_path / "annotations" / "talk.TextGrid").write_text(SHORT)
    for name in ("talk.wav", "further.wav"):
        (tmp_path / "audio" / name).touch()
    loaded = corpus.load(tmp_path)
    assert {path.resolve() for path in map(Path, loaded.table["path"])} == {
        tmp_path.resolve() / "audio" / "talk.wav"
    }
    assert any(note.startswith("1 recordings are left out, for example") for note in loaded.notes)
    (tmp_path / "audio" / "talk.TextGrid").touch()
    with pytest.raises(CorpusError, match="name no recording"):
        corpus.load(tmp_path / "annotations")


def test_speakers_and_raters_of_tiers(tmp_path):
    two = SHORT.replace('"TextTier"', '"IntervalTier"').replace('"emotion"', '"emotion Anna"')
    two = two.replace('"clicks"', '"Bo_emotion"').replace("1.25\n", "1\n1.25\n")
    two = two[: two.index('"a ""click')] + '"fear"\n'
    loaded = corpus.load(beside(tmp_path, two, "talk.TextGrid"))
    assert loaded.table["speaker"].tolist() == ["Anna", "Anna", "Bo"]
    second = SHORT[SHORT.index('"IntervalTier"') : SHORT.index('"TextTier"')]
    rated = SHORT[: SHORT.index('"TextTier"')] + second.replace('"emotion"', '"emotion 2"')
    loaded = corpus.load(beside(tmp_path, rated, "talk.TextGrid"))
    assert loaded.speakers == [] and len(loaded) == 2


def test_annotation_files_need_recordings(tmp_path):
    path = tmp_path / "talk.TextGrid"
    path.write_text(SHORT)
    assert parts(read(path)) == [(0, 1.5, "angry"), (2, 4.5, "sad")]
    with pytest.raises(CorpusError, match=r"2 of its parts name no recording.*such as talk\.wav"):
        corpus.load(path)


def test_a_table_of_parts_need_not_name_the_recording(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("begin;dur\n0;1,5\n1,5;soon\n")
    first, second = read(path)
    assert (first.file, first.start, first.end, first.problem) == ("", 0, 1.5, "")
    assert second.start != second.start and second.problem.startswith("'soon' is not a time")


def test_a_table_without_times_is_no_list_of_segments(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("file,emotion\na.wav,sad\n")
    with pytest.raises(CorpusError, match="has no times.*start and end.*Found: file, label$"):
        read(path)
    path = tmp_path / "none.srt"
    path.write_text("1\n00:00:01,000 --> 00:00:02,000\n<i></i>\n")
    with pytest.raises(CorpusError, match="contains no parts; points and empty intervals"):
        read(path)
    with pytest.raises(CorpusError, match="not found"):
        read(tmp_path / "none.TextGrid")
