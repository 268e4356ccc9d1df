"""Databases in audformat: what is read, and what is refused why."""

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings

from emoscope import corpus
from emoscope.corpus import audformat
from emoscope.errors import CorpusError
from manifests import csv, manifest_text

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
