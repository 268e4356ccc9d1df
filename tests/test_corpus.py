"""The corpus container, folders by emotion, manifests: what is used, and what is refused why."""

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
from emoscope.corpus import COLUMNS, EMOTIONS, Corpus, audformat, rows
from emoscope.corpus import tables as manifest_files
from emoscope.errors import CorpusError, EmoscopeError, UnknownNameError


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def table(**columns):
    clips = {
        "clip": ["a", "b", "c", "d"],
        "path": ["a.wav", "b.wav", "c.wav", "d.wav"],
        "emotion": ["sad", "happy", "sad", "neutral"],
        "label": ["s", "h", "s", "n"],
        "speaker": ["2", "1", "1", ""],
        "corpus": ["mine"] * 4,
    }
    return pd.DataFrame(clips | columns)


def csv(root, text, name="clips.csv"):
    path = root / name
    path.write_text(text, encoding="utf-8")
    return path


def reasons(loaded):
    return [error.reason for error in loaded.rejected]


# --- labels ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "word,emotion",
    [
        ("angry", "angry"), ("Anger", "angry"), ("HAPPINESS", "happy"), ("joy", "happy"),
        ("Sadness", "sad"), ("fear", "fearful"), ("anxiety", "fearful"), ("surprise", "surprised"),
        ("ps", "surprised"), ("pleasant_surprise", "surprised"), ("Surprise", "surprised"),
        ("boredom", "bored"), ("disgusted", "disgust"), (" calm ", "calm"), ("neutral", "neutral"),
        ("excited", None), ("", None), ("Hunger", None), ("gioia", "happy"),
    ],
)  # fmt: skip
def test_synonyms(word, emotion):
    assert labels.canonical(word) == emotion


def test_every_synonym_means_an_emotion_and_is_spelled_as_looked_up():
    assert set(labels.SYNONYMS.values()) <= set(EMOTIONS)
    assert all(labels.canonical(word) == emotion for word, emotion in labels.SYNONYMS.items())
    assert not set(labels.SYNONYMS) & set(EMOTIONS)


# --- the container --------------------------------------------------------------------------------


def test_corpus_knows_its_emotions_and_speakers():
    mine = Corpus("mine", table())
    assert len(mine) == 4
    assert mine.emotions == ["neutral", "happy", "sad"] and mine.speakers == ["1", "2"]


@pytest.mark.parametrize(
    "bad,message",
    [
        (table().drop(columns="speaker"), "lacks speaker"),
        (table(clip=["a", "a", "c", "d"]), "'a' occurs twice"),
        (table(emotion=["sad", "happy", "sad", "glum"]), "unknown emotion 'glum'"),
        (table(speaker=["1", None, "1", "2"]), "missing values in speaker"),
        (table().iloc[:0], "contains no clips"),
    ],
)
def test_corpus_is_checked_at_the_boundary(bad, message):
    with pytest.raises(EmoscopeError, match=message):
        Corpus("mine", bad)


def test_select_keeps_order_and_index():
    mine = Corpus("mine", table(gender=["female", "male", "male", "female"]), "CC0", "me")
    sad = mine.select(emotions=["sad"])
    assert sad.table["clip"].tolist() == ["a", "c"] and sad.table.index.tolist() == [0, 2]
    assert (sad.name, sad.licence, sad.citation) == ("mine", "CC0", "me")
    assert mine.select(gender="male", speaker=["1", "2"]).table["clip"].tolist() == ["b", "c"]
    assert len(mine) == 4


def test_select_says_what_is_wrong():
    mine = Corpus("mine", table())
    with pytest.raises(UnknownNameError, match="unknown emotion 'hapy'. Did you mean 'happy'"):
        mine.select(emotions=["hapy"])
    with pytest.raises(CorpusError, match="no clips of 'bored'; it has neutral, happy, sad"):
        mine.select(emotions=["bored"])
    with pytest.raises(UnknownNameError, match="unknown column 'colour'"):
        mine.select(colour="red")
    with pytest.raises(CorpusError, match="this selection leaves no clips"):
        mine.select(speaker="9")


def test_combine_keeps_clips_and_speakers_apart():
    one, two = Corpus("one", table(), "CC0", "x"), Corpus("two", table(age=[1, 2, 3, 4]), "", "y")
    both = corpus.combine([one, two])
    assert both.name == "one+two" and len(both) == 8 and both.speakers[0] == "one/1"
    assert both.table["speaker"].tolist().count("") == 2
    assert set(both.table["corpus"]) == {"one", "two"} and both.citation == "x\ny"
    assert one.table["unique_speaker"].tolist() == one.table["speaker"].tolist()
    apart = [f"{c}/{s}" for c, s in both.table[["corpus", "speaker"]].to_numpy()]
    assert both.table["unique_speaker"].tolist() == apart
    assert both.select(corpus="one").table["unique_speaker"].tolist()[0] == "one/2"
    with pytest.raises(CorpusError, match="are called 'one'"):
        corpus.combine([one, one])


# --- sources --------------------------------------------------------------------------------------


def test_folders_of_emotions_beside_a_known_corpus_are_told(tmp_path):
    codes = ("ANG", "SAD", "HAP")
    touch(tmp_path, *(f"crema/10{n:02}_DFA_{c}_XX.wav" for n in range(1, 4) for c in codes))
    loaded = corpus.load(touch(tmp_path, "own/angry/anna.wav", "own/sad/anna.wav"))
    assert loaded.name == "cremad" and len(loaded) == 9 and len(loaded.rejected) == 2
    assert "2 recordings lie in folders named after emotions beside cremad" in loaded.notes[-1]


def test_what_is_no_source_says_what_is(tmp_path):
    with pytest.raises(CorpusError, match="no such folder or manifest"):
        corpus.load(tmp_path / "none")
    with pytest.raises(CorpusError, match="no audio file.*happy/….*manifest"):
        corpus.load(tmp_path)
    with pytest.raises(CorpusError, match="1 audio files, but no label can be read"):
        corpus.load(touch(tmp_path, "x.wav"))
    with pytest.raises(
        CorpusError, match="cannot read '.txt' files; unpack archives, save tables as CSV.*can read"
    ):
        corpus.load(csv(tmp_path, "", "notes.txt"))
    touch(tmp_path / "own", "01_Angry/x.wav", "02_Sad/y.wav")
    with pytest.raises(
        CorpusError, match="after unknown emotions: '01_Angry' .1., '02_Sad' .1..*--label"
    ):
        corpus.load(tmp_path / "own")
    touch(tmp_path / "own", "sad/anna/x.wav", "excited/anna/y.wav")
    (note,) = (n for n in corpus.load(tmp_path / "own").notes if n.startswith("folders are named"))
    assert "'excited' (1)" in note and "anna" not in note
    with pytest.raises(CorpusError, match="name of a corpus.* give its folder"):
        corpus.load("ravdess")
    with pytest.raises(UnknownNameError, match="unknown emotion 'glad'"):
        corpus.load(tmp_path, labels={"x": "glad"})


# --- folders by emotion ---------------------------------------------------------------------------


def test_folders_by_emotion(tmp_path):
    touch(tmp_path, "Happiness/1.wav", "sad/1.flac", "sad/1.wav", "other/1.wav", "2.wav")
    loaded = corpus.load(tmp_path)
    assert loaded.name == tmp_path.name
    assert dict(zip(loaded.table["clip"], loaded.table["emotion"], strict=True)) == {
        "Happiness/1": "happy",
        "sad/1.flac": "sad",
        "sad/1.wav": "sad",
    }
    assert set(loaded.table["label"]) == {"Happiness", "sad"}
    assert set(loaded.table["speaker"]) == {""}
    assert len(loaded.rejected) == 2 and "not named after an emotion" in reasons(loaded)[0]


@pytest.mark.parametrize("form", ["{s}/{e}/1.wav", "{e}/{s}/1.wav", "x/{s}/y/{e}/1.wav"])
def test_speakers_from_the_folder_level_that_varies(tmp_path, form):
    touch(tmp_path, *(form.format(s=s, e=e) for s in ("anna", "ben") for e in ("happy", "sad")))
    assert corpus.load(tmp_path).speakers == ["anna", "ben"]


def test_speakers_from_prefixes(tmp_path):
    touch(tmp_path, *(f"{e}/{s}_1.wav" for s in ("anna", "ben") for e in ("happy", "sad")))
    assert corpus.load(tmp_path).speakers == ["anna", "ben"]


@pytest.mark.parametrize(
    "names",
    [
        ["happy/happy_1.wav", "happy/happy_2.wav", "sad/sad_1.wav"],  # the emotion again
        ["happy/clip_1.wav", "sad/clip_1.wav"],  # one prefix for all
        ["happy/anna_1.wav", "sad/anna_1.wav", "happy/ben.wav", "sad/ben.wav"],  # not all have one
        ["a/happy/1.wav", "b/sad/1.wav"],  # could be sessions as well as speakers
        ["a/x/happy/1.wav", "b/y/happy/1.wav", "a/x/sad/1.wav", "b/y/sad/1.wav"],  # two levels vary
    ],
)
def test_speakers_are_not_guessed(tmp_path, names):
    assert corpus.load(touch(tmp_path, *names)).speakers == []


def test_a_table_beside_folders_of_emotions_is_named(tmp_path):
    touch(tmp_path, *(f"{emotion}/{n}.wav" for emotion in ("happy", "sad") for n in (1, 2, 3)))
    (tmp_path / "speakers.csv").write_text("file,speaker\nhappy/1.wav,anna\nsad/1.wav,ben\n")
    loaded = corpus.load(tmp_path)
    assert loaded.speakers == [] and "speakers.csv is not used" in loaded.notes[0]


def test_splits_are_not_speakers(tmp_path):
    touch(tmp_path, *(f"{s}/{e}/1.wav" for s in ("train", "Test") for e in ("happy", "sad")))
    loaded = corpus.load(tmp_path)
    assert loaded.speakers == [] and sorted(loaded.table["split"]) == ["test"] * 2 + ["train"] * 2


def test_own_words_for_folders(tmp_path):
    touch(tmp_path, "Freude/1.wav", "Wut/2.wav")
    loaded = corpus.load(tmp_path, labels={"Freude": "happy", "Wut": "angry"})
    assert loaded.emotions == ["happy", "angry"]


def test_names_that_are_not_utf8_survive(tmp_path):
    folder = os.fsencode(touch(tmp_path, "sad/a.wav") / "sad")
    raw = folder + b"/\xff\n.wav"
    with open(raw, "wb"):
        pass
    loaded = corpus.load(tmp_path)
    odd = loaded.table.set_index("clip").loc["sad/\\udcff\\n"]
    assert os.fsencode(odd["path"]) == raw
    loaded.table.drop(columns="path").to_csv(tmp_path / "out.csv", encoding="utf-8")


# --- CSV, Parquet, JSON Lines ---------------------------------------------------------------------


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


manifest_text = st.text(st.characters(codec="utf-8"), max_size=200)


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


# --- EmoBox and Hugging Face ----------------------------------------------------------------------


def emobox_line(name, emotion, dataset="ravdess"):
    line = {
        "key": f"{dataset}-{name}", "dataset": dataset, "wav": f"downloads/{dataset}/{name}.wav",
        "sample_rate": 48000, "task": "category", "length": 3.3, "emo": emotion, "channel": 1,
    }  # fmt: skip
    return json.dumps(line)


def test_emobox_fold(tmp_path):
    fold = tmp_path / "data" / "ravdess" / "fold_1"
    touch(tmp_path, "downloads/ravdess/03-01-05-01-01-01-02.wav").joinpath("data/ravdess/fold_1")
    fold.mkdir(parents=True)
    train = emobox_line("03-01-05-01-01-01-02", "Angry")
    (fold / "ravdess_train_fold_1.jsonl").write_text(train + "\n")
    (fold / "ravdess_test_fold_1.jsonl").write_text(
        emobox_line("03-01-08-01-01-01-01", "Surprised")
    )
    loaded = corpus.load(fold)
    assert loaded.name == "ravdess" and loaded.licence == "CC BY-NC-SA 4.0"
    rows = loaded.table.set_index("split")
    assert rows.loc["train", "emotion"] == "angry" and rows.loc["test", "emotion"] == "surprised"
    assert rows.loc["train", "speaker"] == "02" and rows.loc["train", "gender"] == "female"
    assert os.path.samefile(
        rows.loc["train", "path"], tmp_path / "downloads/ravdess/03-01-05-01-01-01-02.wav"
    )
    assert rows.loc["train", "clip"] == "03-01-05-01-01-01-02"
    one = corpus.load(fold / "ravdess_train_fold_1.jsonl")
    assert len(one) == 1 and "split" not in one.table


def test_emobox_label_maps(tmp_path):
    fold = tmp_path / "polish" / "fold_1"
    fold.mkdir(parents=True)
    (tmp_path / "polish" / "label_map.json").write_text('{"zlosc": "Angry", "inne": "Other"}')
    (fold / "polish_test_fold_1.jsonl").write_text(
        emobox_line("a", "zlosc", "polish") + "\n" + emobox_line("b", "inne", "polish")
    )
    loaded = corpus.load(fold)
    assert loaded.emotions == ["angry"] and len(loaded.rejected) == 1
    (tmp_path / "polish" / "label_map.json").write_text("{")
    with pytest.raises(CorpusError, match="not a readable label map"):
        corpus.load(fold)


def test_emobox_codes_of_known_corpora(tmp_path):
    path = tmp_path / "emovo.jsonl"
    path.write_text(emobox_line("f2/gio-f2-b2", "gio", "emovo"))
    loaded = corpus.load(path)
    assert loaded.emotions == ["happy"] and loaded.speakers == ["f2"]


def test_hugging_face_audio_folder(tmp_path):
    touch(tmp_path, "train/a.wav", "test/b.wav")
    csv(tmp_path / "train", "file_name,label\na.wav,sad\n", "metadata.csv")
    csv(tmp_path / "test", "file_name,label\nb.wav,joy\n", "metadata.csv")
    loaded = corpus.load(tmp_path)
    assert loaded.name == tmp_path.name
    rows = loaded.table.set_index("split")
    assert rows.loc["test", "emotion"] == "happy"
    assert rows.loc["train", "path"] == str(tmp_path / "train" / "a.wav")


def test_hugging_face_single_metadata(tmp_path):
    touch(tmp_path, "x/a.wav")
    csv(tmp_path, '{"file_name": "x/a.wav", "emotion": "sad"}', "metadata.jsonl")
    assert os.path.exists(corpus.load(tmp_path).table["path"].iloc[0])


# --- audformat ------------------------------------------------------------------------------------

HEADER = """
name: tiny
source: nowhere
usage: unrestricted
license: CC0-1.0
splits:
  train: {type: train}
  test: {type: test}
schemes:
  emotion:
    dtype: str
    labels: {anger: {}, happiness: {}, no_agreement: {}}
  speaker:
    dtype: int
    labels:
      3: {gender: male, age: 31}
      8: {gender: female}
tables:
  emotion:
    type: filewise
    columns:
      emotion: {scheme_id: emotion, rater_id: gold}
      emotion.confidence: {}
  emotion.categories.test:
    type: filewise
    split_id: test
    columns: {emotion: {scheme_id: emotion}}
  files:
    type: filewise
    columns: {speaker: {scheme_id: speaker}, transcription: {}}
  words:
    type: segmented
    columns: {word: {}}
"""


@pytest.fixture
def database(tmp_path):
    csv(tmp_path, HEADER, "db.yaml")
    csv(
        tmp_path,
        "file,emotion,emotion.confidence\nwav/a.wav,anger,0.9\nwav/b.wav,happiness,1\n"
        "wav/c.wav,no_agreement,0.4\nwav/d.wav,,\n",
        "db.emotion.csv",
    )
    csv(tmp_path, "file,emotion\nwav/b.wav,happiness\n", "db.emotion.categories.test.csv")
    csv(tmp_path, "file,speaker,transcription\nwav/a.wav,3,Hallo\nwav/b.wav,8,Na\n", "db.files.csv")
    return tmp_path


def test_audformat(database):
    loaded = corpus.load(database)
    assert (loaded.name, loaded.licence) == ("tiny", "CC0-1.0")
    first, second = loaded.table.to_dict("records")
    assert (first["emotion"], first["speaker"], first["gender"]) == ("angry", "3", "male")
    assert (first["text"], first["age"], first["split"]) == ("Hallo", "31", "")
    assert (second["emotion"], second["gender"], second["split"]) == ("happy", "female", "test")
    assert first["path"] == str(database / "wav" / "a.wav")
    assert len(loaded.rejected) == 2


def test_audformat_parquet_tables_and_raters_columns(database):
    pd.DataFrame(
        {"gold": ["anger"]}, index=pd.Index(["wav/a.wav"], name="file")
    ).to_parquet(database / "db.emotion.parquet")  # fmt: skip
    (database / "db.emotion.csv").unlink()
    header = HEADER.replace(
        "emotion: {scheme_id: emotion, rater", "gold: {scheme_id: emotion, rater"
    )
    csv(database, header, "db.yaml")
    assert corpus.load(database).table["emotion"].tolist() == ["angry", "happy"]


def test_audformat_speakers_in_a_table(database):
    labels_in_header = HEADER[HEADER.index("    labels:\n      3:") : HEADER.index("tables:\n  em")]
    csv(database, HEADER.replace(labels_in_header, "    labels: people\n"), "db.yaml")
    csv(database, "speaker,gender\n3,male\n8,female\n", "db.people.csv")
    assert corpus.load(database).table["gender"].tolist() == ["male", "female"]


@pytest.mark.parametrize(
    "name,content,message",
    [
        ("db.yaml", "{", "not a readable YAML header"),
        ("db.yaml", "just text", "not the header"),
        ("db.yaml", "!!python/object/apply:os.system ['true']", "not a readable YAML header"),
        ("db.yaml", "tables: {}", "no table of files or.*tables: none"),
        ("db.yaml", "tables: {../../x: {type: filewise}}", "invalid table name"),
        ("db.emotion.csv", "", "not a readable csv"),
        ("db.emotion.csv", "a,b\n1,2\n", "no column 'file'"),
    ],
)
def test_audformat_refusals(database, name, content, message):
    csv(database, content, name)
    with pytest.raises(CorpusError, match=message):
        corpus.load(database)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
            + "".join(f"a{n + 1}: &a{n + 1} [{f'*a{n}, ' * 10}]\n" for n in range(9))
            + "license: *a9\nname: *a9\n",
            None,
        ),
        ("license: &x [*x]\n", None),
        ("name: {a: b}\n", None),
        ("x: '" + "y" * 2**21 + "'\n", "larger than the limit of 2097152 bytes"),
    ],
)  # fmt: skip
def test_headers_that_unfold_into_more_are_not_unfolded(database, text, message):
    header = HEADER.replace("name: tiny\n", "").replace("license: CC0-1.0\n", "")
    csv(database, header + text, "db.yaml")
    if message is None:
        loaded = corpus.load(database)
        assert (loaded.name, loaded.licence) == (database.name, "")
    else:
        with pytest.raises(CorpusError, match=message):
            corpus.load(database)


def test_audformat_headers_may_refer_to_what_they_said(database):
    """As audformat writes them when two schemes have the same list of labels."""
    again = HEADER.replace("labels: {anger", "labels: &id001 {anger")
    again = again.replace("  speaker:\n", "  mood: {labels: *id001}\n  speaker:\n", 1)
    csv(database, again, "db.yaml")
    assert len(corpus.load(database)) == 2


def test_audformat_rows_that_contradict_are_named(database):
    rows = "file,emotion\nwav/b.wav,anger\nwav/b.wav,anger\n"
    csv(database, rows, "db.emotion.categories.test.csv")
    loaded = corpus.load(database)
    assert loaded.emotions == ["happy", "angry"]
    told = [str(error).replace(str(database), "") for error in loaded.rejected]
    assert [told[0], told[-1]] == [
        "table 'emotion.categories.test': says emotion 'anger' of wav/b.wav, where an earlier table "
        "says 'happiness', which is used; contradictory rows: 1",
        "/wav/b.wav: listed more than once; the first row is used",
    ]


def test_audformat_files_in_two_splits_stay_in_both(database):
    test = HEADER[HEADER.index("  emotion.categories.test:") : HEADER.index("  files:\n")]
    csv(database, HEADER.replace(test, test.replace("test", "train") + test), "db.yaml")
    csv(database, "file,emotion\nwav/b.wav,happiness\n", "db.emotion.categories.train.csv")
    table = corpus.load(database).table
    both = table[table["path"].str.endswith("b.wav")]
    assert sorted(both["split"]) == ["test", "train"] and set(both["speaker"]) == {"8"}


def test_audformat_tables_are_not_shifted_by_a_comma(database):
    rows = "file,speaker,transcription\nwav/a.wav,3,Hallo,\nwav/b.wav,8,Na,\n"
    csv(database, rows, "db.files.csv")
    assert corpus.load(database).table["speaker"].tolist() == ["3", "8"]


def test_audformat_pickles_are_refused(database):
    (database / "db.emotion.csv").rename(database / "db.emotion.pkl")
    with pytest.raises(CorpusError, match="could run code when opened"):
        corpus.load(database)
    (database / "db.emotion.pkl").unlink()
    with pytest.raises(CorpusError, match="db.emotion.csv: this table of the database is missing"):
        corpus.load(database)


@given(text=manifest_text)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_header_is_read_or_refused(tmp_path, text):
    csv(tmp_path, text, audformat.HEADER)
    with pytest.raises(CorpusError):
        corpus.load(tmp_path)


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


def test_sound_of_every_format_is_a_clip_and_films_are_not(tmp_path):
    touch(tmp_path, "sad/a.wav", "sad/b.m4a", "happy/c.amr", "happy/d.mp4")
    assert corpus.load(tmp_path).table["clip"].tolist() == ["happy/c", "sad/a", "sad/b"]


def test_rows_longer_than_the_header_are_refused(tmp_path):
    with pytest.raises(CorpusError, match="row 1 has 3 fields and the header 2"):
        corpus.load(csv(tmp_path, "file,emotion\na.wav,sad,1\nb.wav,happy,2\n"))


def test_german_labels_are_understood_and_so_are_other_words_in_a_selection(tmp_path):
    words = ["Freude", "Trauer", "Ärger", "Angst", "Ekel", "Langeweile", "BOR"]
    text = "file,emotion\n" + "".join(f"{n}.wav,{word}\n" for n, word in enumerate(words))
    loaded = corpus.load(csv(tmp_path, text))
    assert loaded.table["emotion"].tolist() == [
        "happy", "sad", "angry", "fearful", "disgust", "bored", "bored",
    ]  # fmt: skip
    assert loaded.select(emotions=["anger", "Joy"]).emotions == ["happy", "angry"]


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
