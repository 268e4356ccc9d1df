"""Manifests as CSV, Parquet and JSON Lines: what is read, and what is refused why."""

import json
import os
from collections import Counter

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emoscope import corpus, labels
from emoscope.corpus import COLUMNS, EMOTIONS, rows
from emoscope.corpus import tables as manifest_files
from emoscope.errors import CorpusError, EmoscopeError
from manifests import csv, manifest_text, reasons, touch


def test_csv(tmp_path):
    path = csv(
        tmp_path,
        "file,emotion,speaker,Gender,sentence,room\n"
        'a.wav,Anger,7,F,"Hello, you",big\nsub/b.wav,happy,8,m,Hi,\n',
    )
    loaded = corpus.load(path)
    assert loaded.name == "clips" and not loaded.rejected
    assert tuple(loaded.table.columns[:6]) == COLUMNS
    first, second = loaded.table.to_dict("records")
    assert first == {
        "clip": "a.wav", "path": str(tmp_path / "a.wav"), "emotion": "angry", "label": "Anger",
        "speaker": "7", "corpus": "clips", "gender": "female", "text": "Hello, you", "room": "big",
        "unique_speaker": "7",
    }  # fmt: skip
    assert second["path"] == str(tmp_path / "sub" / "b.wav") and second["gender"] == "male"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiters_and_byte_order_mark(tmp_path, delimiter):
    text = "\ufefffile,emotion,speaker\nä.wav,sad,ö\n".replace(",", delimiter)
    assert corpus.load(csv(tmp_path, text)).speakers == ["ö"]


def test_all_three_formats_agree(tmp_path):
    rows = [
        {"file": "a.wav", "emotion": "sad", "speaker": "1", "split": "train"},
        {"file": "/abs/b.wav", "emotion": "fear", "speaker": "2", "split": "test"},
        {"file": "s3://bucket/c.wav", "emotion": "calm", "speaker": "", "split": ""},
    ]
    frame = pd.DataFrame(rows)
    frame.to_csv(tmp_path / "m.csv", index=False)
    frame.to_parquet(tmp_path / "m.parquet")
    (tmp_path / "m.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    tables = [corpus.load(tmp_path / f"m.{form}").table for form in ("csv", "parquet", "jsonl")]
    for other in tables[1:]:
        pd.testing.assert_frame_equal(tables[0], other)
    assert tables[0]["path"].tolist() == [
        str(tmp_path / "a.wav"),
        "/abs/b.wav",
        "s3://bucket/c.wav",
    ]


def test_every_source_of_rows_has_the_same_columns(tmp_path):
    touch(tmp_path, "sub/a.wav")
    (tmp_path / "lists").mkdir()
    one = csv(tmp_path / "lists", "WAV;Emo;spk;Room\nsub/a.wav;joy;3;big\n")
    line = '{"file_name": "sub/a.wav", "label": "joy", "actor": 3.0, "room": "big"}'
    two = csv(tmp_path, line, "clips.jsonl")
    path = str(tmp_path / "sub" / "a.wav")
    expected = {"file": "sub/a.wav", "label": "joy", "speaker": "3", "room": "big", "path": path}
    assert rows.read([one]).rows == rows.read([two]).rows == [expected]
    listed = csv(tmp_path, "# remark\n\nsub/a.wav\n", "list.txt")
    assert rows.read([listed], labelled=False).rows == [{"file": "sub/a.wav", "path": path}]
    with pytest.raises(CorpusError, match="no column of emotions.*Found: file"):
        rows.read([listed])


def test_numbers_become_text(tmp_path):
    frame = pd.DataFrame({"file": ["a", "b"], "emotion": ["sad", "sad"], "speaker": [3.0, np.nan]})
    frame.to_parquet(tmp_path / "m.parquet")
    assert corpus.load(tmp_path / "m.parquet").table["speaker"].tolist() == ["3", ""]


def test_without_speakers_the_column_is_empty(tmp_path):
    loaded = corpus.load(csv(tmp_path, "path,label\na.wav,sad\n"))
    assert loaded.table["speaker"].tolist() == [""] and loaded.speakers == []


def test_refused_rows_are_listed_with_reasons(tmp_path):
    loaded = corpus.load(
        csv(tmp_path, "file,emotion\na.wav,sad\nb.wav,\nc.wav,hungry\n,sad\na.wav,sad\n")
    )
    assert loaded.table["clip"].tolist() == ["a.wav"]
    assert [os.path.basename(e.path) for e in loaded.rejected] == [
        "b.wav",
        "c.wav",
        "row 4",
        "a.wav",
    ]
    assert reasons(loaded) == [
        "unlabelled: the manifest gives no emotion",
        "label 'hungry' is not a known emotion",
        "names no file",
        "listed more than once; the first row is used",
    ]


def test_a_file_in_two_splits_stays_in_both_for_the_audit_to_find(tmp_path):
    text = "file,emotion,split\na.wav,sad,train\na.wav,sad,test\n"
    loaded = corpus.load(csv(tmp_path, text))
    assert loaded.table["clip"].tolist() == ["a.wav", "a.wav#2"]
    assert loaded.table["path"].nunique() == 1


def test_only_unknown_emotions(tmp_path):
    path = csv(tmp_path, "file,emotion\na.wav,excited\nb.wav,frustrated\n")
    told = r"'excited' \(1\), 'frustrated' \(1\).*--label excited=EMOTION.*neutral, calm, happy"
    with pytest.raises(CorpusError, match=told):
        corpus.load(path)
    loaded = corpus.load(path, labels={"excited": "happy"})
    assert len(loaded) == 1 and "'frustrated'" in reasons(loaded)[0]


@pytest.mark.parametrize(
    "name,content,message",
    [
        ("m.csv", b"", "not a readable csv"),
        ("m.csv", b"file,emotion\n", "none of its 0 rows"),
        ("m.csv", b"file,emotion\na.wav,\n", "none of its 1 rows.*unlabelled"),
        ("m.csv", b"clips,emotion\na.wav,sad\n", "no column of files.*Found: clips, emotion"),
        ("m.csv", b"file,mood\na.wav,sad\n", "no column of emotions; name it one of emotion"),
        ("m.csv", b"file,emotion\n\xff\xfe\n", "not text in UTF-8"),
        ("m.csv", b'file,emotion\n"a.wav,sad\n', "not a readable csv"),
        ("m.parquet", b"PAR1 no", "not a readable parquet"),
        ("m.jsonl", b'{"wav": "a.wav"', "not a readable jsonl"),
        ("m.jsonl", b"[1]\n", "line 1 is not a JSON object"),
        ("m.jsonl", b"[" * 100_000, "line 1 is nested too deeply"),
    ],
)
def test_broken_manifests(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(CorpusError, match=message):
        corpus.load(path)


def test_manifests_have_a_size_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(manifest_files, "MAX_BYTES", 1000)
    frame = pd.DataFrame({"file": ["a.wav"] * 100_000, "emotion": ["sad"] * 100_000})
    frame.to_parquet(tmp_path / "m.parquet")
    for path in (tmp_path / "m.parquet", csv(tmp_path, "file,emotion\n" + "a,sad\n" * 1000)):
        with pytest.raises(CorpusError, match="larger than the limit"):
            corpus.load(path)


def test_a_known_corpus_in_a_manifest_brings_what_its_names_tell(tmp_path):
    path = csv(tmp_path, "file,emotion,corpus\n03a01Wa.wav,W,emodb\n16b10Fa.wav,happiness,EMODB\n")
    loaded = corpus.load(path)
    assert loaded.name == "emodb" and loaded.licence.startswith("CC0")
    assert loaded.table["emotion"].tolist() == ["angry", "happy"]
    assert loaded.table["speaker"].tolist() == ["03", "16"]
    assert loaded.table["gender"].tolist() == ["male", "female"]


def test_columns_of_any_kind_may_stand_beside_those_that_are_read(tmp_path):
    kinds = {
        "map": pa.array([[("a", "b")], None, [], [("c", "d")]], pa.map_(pa.string(), pa.string())),
        "list": pa.array([[1, 2], None, [], [3]]),
        "struct": pa.array([{"x": 1}, None, {"x": 2}, {"x": 3}]),
        "category": pa.array(["u", "v", "u", None]).dictionary_encode(),
    }  # fmt: skip
    read = {"file": [f"{n}.wav" for n in range(4)], "emotion": ["sad"] * 4, "speaker": list("abab")}
    pa.parquet.write_table(pa.table({**read, **kinds}), tmp_path / "m.parquet")
    assert corpus.load(tmp_path / "m.parquet").table["emotion"].tolist() == ["sad"] * 4


@pytest.mark.parametrize(
    "suffix", [".csv", ".jsonl", ".json", ".parquet", ".arrow", ".TextGrid", ".eaf", ".srt"]
)
@given(content=manifest_text | st.binary(max_size=200))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_read_or_refused(tmp_path, suffix, content):
    path = tmp_path / f"m{suffix}"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(EmoscopeError):
        corpus.load(path)


cell = st.text(st.characters(), max_size=12)  # lone surrogates included


def is_a_name(file):
    try:
        return b"\0" not in os.fsencode(file)
    except UnicodeEncodeError:
        return False


def test_equal_ratings_outvote_a_word_that_is_no_emotion(tmp_path):
    lines = [{"file": "a.wav", "emotion": word} for word in ("unclear", "CALM", "CALM")]
    path = tmp_path / "m.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    assert corpus.load(path).table["emotion"].tolist() == ["calm"]


@given(rows=st.lists(st.tuples(cell, cell | st.sampled_from(EMOTIONS), cell), max_size=8))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_row_is_used_or_refused(tmp_path, rows):
    lines = [dict(zip(("file", "emotion", "speaker"), row, strict=True)) for row in rows]
    path = tmp_path / "m.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    try:
        loaded = corpus.load(path)
    except EmoscopeError:
        named: dict[str, Counter[str]] = {}
        for file, label, _ in rows:
            if file.strip() and is_a_name(file) and label.strip():
                vote = labels.canonical(label.strip()) or label.strip()
                named.setdefault(file.strip(), Counter())[vote] += 1
        # Raters that are tied, or whose word is no emotion, leave a clip without a label.
        for votes in named.values():
            first = [word for word, count in votes.items() if count == max(votes.values())]
            assert len(first) > 1 or first[0] not in EMOTIONS
    else:
        ratings = sum(found.n_ratings - found.n_clips for found in loaded.agreements)
        assert len(loaded) + len(loaded.rejected) + ratings == len(rows)
        loaded.table.drop(columns="path").to_csv(tmp_path / "out.csv", encoding="utf-8")


@pytest.mark.parametrize(
    "name",
    [
        "http://127.0.0.1/a.wav", "HTTPS://host/a.wav", "webhdfs://127.0.0.1:8765/a.wav",
        "github://owner:repo@main/a.wav", "zip://a.wav::/tmp/bomb.zip",
        "s3://bucket/a.zip::memory://x", "reference://a.wav::/tmp/refs.json", "nul\0.wav",
        "\ud800.wav",
    ],
)  # fmt: skip
def test_a_manifest_cannot_name_everything(tmp_path, name):
    """It may be foreign: it must not choose whom this machine asks, nor unpack what it points at."""
    rows = [{"file": file, "emotion": "sad"} for file in (name, "a.wav", "s3://bucket/b.wav")]
    path = csv(tmp_path, "\n".join(map(json.dumps, rows)), "m.jsonl")
    loaded = corpus.load(path)
    assert loaded.table["clip"].tolist() == ["a.wav", "s3://bucket/b.wav"]
    assert reasons(loaded)[0].startswith(("'", "a URL inside", "this is not a valid file name"))
    str(loaded.rejected[0]).encode()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "m.csv",
            "file,emotion,emotion\na,sad,happy\n",
            "columns 'emotion' and 'emotion' have the same",
        ),
        ("m.csv", "file;emotion ;Emotion\na;sad;happy\n", "columns 'emotion ' and 'Emotion'"),
        (
            "m.jsonl",
            '{"file": "a", "emotion": "sad", "FILE": "b"}',
            "'file' and 'FILE' have the same",
        ),
    ],
)
def test_two_columns_of_one_name_are_refused(tmp_path, name, content, message):
    with pytest.raises(CorpusError, match=message):
        corpus.load(csv(tmp_path, content, name))


def test_two_columns_of_one_name_in_parquet_are_refused(tmp_path):
    names = ["file", "emotion", "emotion"]
    table = pa.table([pa.array(["a.wav"]), pa.array(["sad"]), pa.array(["happy"])], names=names)
    pa.parquet.write_table(table, tmp_path / "m.parquet")
    with pytest.raises(CorpusError, match="columns 'emotion' and 'emotion'"):
        corpus.load(tmp_path / "m.parquet")


@pytest.mark.parametrize("bomb", ["nothing", "rows", "text", "nested"])
def test_small_parquet_files_cannot_unpack_without_bound(tmp_path, monkeypatch, bomb):
    """What the file says of its size is not believed: packed, all of these are a few kB."""
    monkeypatch.setattr(manifest_files, "MAX_BYTES", 2**24)
    n = 10_000_000 if bomb in ("nothing", "rows") else 5_000
    indices = pa.array(np.zeros(n, dtype=np.int32))
    files = pa.DictionaryArray.from_arrays(indices, ["a.wav"])
    sad = pa.DictionaryArray.from_arrays(indices, ["sad"])
    long = pa.DictionaryArray.from_arrays(indices, ["x" * 100_000])
    table = {
        "nothing": lambda: {"file": pa.nulls(n), "emotion": pa.nulls(n)},
        "rows": lambda: {"file": files, "emotion": sad},
        "text": lambda: {"file": files, "emotion": sad, "text": long},
        "nested": lambda: {"file": files, "emotion": pa.StructArray.from_arrays([long], ["x"])},
    }[bomb]()
    path = tmp_path / "m.parquet"
    pa.parquet.write_table(pa.table(table), path, compression="zstd", row_group_size=n)
    assert path.stat().st_size < 100_000
    message = "is that small" if n > 5_000 else "limit of 16777216 bytes when unpacked"
    with pytest.raises(CorpusError, match=message):
        corpus.load(path)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_manifests_have_a_limit_of_rows(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(manifest_files, "MAX_ROWS", 3)
    frame = pd.DataFrame({"file": list("abcd"), "emotion": ["sad"] * 4})
    path = tmp_path / f"m{suffix}"
    if suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path) if suffix == ".csv" else frame.to_json(
            path, orient="records", lines=True
        )
    with pytest.raises(CorpusError, match="more than the limit of 3 rows"):
        corpus.load(path)


def test_text_that_parquet_calls_bytes_is_text(tmp_path):
    rows = {"file": ["a.wav", "b.wav"], "emotion": [b"sad", b"sad"], "speaker": [b"03", b"\xff"]}
    pd.DataFrame(rows).to_parquet(tmp_path / "m.parquet")
    assert corpus.load(tmp_path / "m.parquet").speakers == ["03", "\\xff"]


def test_pipes_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "metadata.csv")
    os.mkfifo(tmp_path / "x_train_1.jsonl")
    with pytest.raises(CorpusError, match="no audio file"):
        corpus.load(tmp_path)
    with pytest.raises(CorpusError, match="not a regular file"):
        manifest_files.read(tmp_path / "metadata.csv")


def test_splits_have_one_word_each(tmp_path):
    text = "file,emotion,split\n" + "".join(
        f"{n}.wav,sad,{word}\n" for n, word in enumerate(["Training", "VAL", "testing", "own"])
    )
    assert corpus.load(csv(tmp_path, text)).table["split"].tolist() == [
        "train", "dev", "test", "own",
    ]  # fmt: skip


def test_a_comma_at_the_end_of_every_row_shifts_nothing(tmp_path):
    loaded = corpus.load(csv(tmp_path, "file,emotion,speaker\na.wav,sad,1,\nb.wav,happy,2,\n"))
    assert loaded.table[["emotion", "speaker"]].to_numpy().tolist() == [
        ["sad", "1"],
        ["happy", "2"],
    ]


def test_a_corpus_named_in_some_rows_only_is_refused(tmp_path):
    """Joined with the corpus, one speaker would have two names, and stand on both sides."""
    text = "file,emotion,speaker,dataset\na.wav,sad,1,mine\nb.wav,sad,1,\n"
    with pytest.raises(CorpusError, match="1 of 2 rows name no corpus"):
        corpus.load(csv(tmp_path, text))


def test_rows_longer_than_the_header_are_refused(tmp_path):
    with pytest.raises(CorpusError, match="row 1 has 3 fields and the header 2"):
        corpus.load(csv(tmp_path, "file,emotion\na.wav,sad,1\nb.wav,happy,2\n"))


def test_text_in_another_encoding_is_named(tmp_path):
    (tmp_path / "m.csv").write_bytes("file,emotion\nä.wav,sad\n".encode("cp1252"))
    with pytest.raises(CorpusError, match="line 2 is not text in UTF-8: byte 0xe4, 'ä'"):
        corpus.load(tmp_path / "m.csv")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_comma_at_the_end_of_rows_leaves_quoted_text_alone(tmp_path, end):
    text = f'file,emotion,text{end}a.wav,sad,"one,\ntwo",{end}b.wav,happy,three,{end}'
    read = manifest_files.read(csv(tmp_path, text))
    assert [row["text"].replace("\r", "") for row in read] == ["one,\ntwo", "three"]
    assert [row["emotion"] for row in read] == ["sad", "happy"]
