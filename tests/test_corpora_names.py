"""Names of recordings of RAVDESS, EMO-DB, TESS, CREMA-D, SAVEE and EMOVO: what they tell."""

import itertools
from pathlib import PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emoscope import corpus
from recordings import tree
from test_corpora import CREMAD, EMODB, EMOVO, RAVDESS, SAVEE, TESS, counts, rows, scan

# --- RAVDESS --------------------------------------------------------------------------------------


def ravdess_names(channel):
    """The audio-only half: in song, five emotions beside neutral, and nothing by actor 18."""
    emotions = range(2, 9) if channel == "01" else range(2, 7)
    variants = [("01", "01"), *((f"{e:02}", i) for e in emotions for i in ("01", "02"))]
    for actor in range(1, 25):
        if channel == "02" and actor == 18:
            continue
        for (emotion, intensity), statement, repetition in itertools.product(
            variants, ("01", "02"), ("01", "02")
        ):
            fields = ["03", channel, emotion, intensity, statement, repetition, f"{actor:02}"]
            yield f"Actor_{actor:02}/{'-'.join(fields)}.wav"


@pytest.mark.parametrize(
    "channel,clips,per_emotion", [("01", 1440, 192), ("02", 1012, 184)], ids=["speech", "song"]
)
def test_ravdess_counts(channel, clips, per_emotion):
    found = rows(RAVDESS, ravdess_names(channel))
    assert len(found) == clips
    expected = {
        emotion: per_emotion // 2 if emotion == "neutral" else per_emotion
        for code, emotion in RAVDESS.label_map.items()
        if channel == "01" or code <= "06"
    }
    assert counts(row["emotion"] for row in found) == dict(sorted(expected.items()))
    assert {row["channel"] for row in found} == {RAVDESS.parse.facts["channel"][channel]}
    assert counts(row["statement"] for row in found) == {"01": clips / 2, "02": clips / 2}
    assert counts(row["repetition"] for row in found) == {1: clips / 2, 2: clips / 2}
    assert all((row["gender"] == "male") == (int(row["speaker"]) % 2 == 1) for row in found)
    assert len({row["speaker"] for row in found}) == (24 if channel == "01" else 23)


def test_ravdess_fields():
    row = RAVDESS.row(PurePath("x/03-02-06-02-01-02-12.flac"))
    assert row == {
        "clip": "03-02-06-02-01-02-12",
        "path": "x/03-02-06-02-01-02-12.flac",
        "corpus": "ravdess",
        "emotion": "fearful",
        "label": "06",
        "speaker": "12",
        "gender": "female",
        "text": "Kids are talking by the door",
        "intensity": "strong",
        "statement": "01",
        "repetition": 2,
        "channel": "song",
        "modality": "audio",
    }
    assert RAVDESS.row(PurePath("01-01-01-01-02-01-24.wav"))["modality"] == "audio-video"


@pytest.mark.parametrize(
    "stem",
    [
        "03-01-01-02-01-01-01",  # neutral has no strong intensity
        "03-01-09-01-01-01-01",
        "03-01-00-01-01-01-01",
        "03-03-01-01-01-01-01",
        "02-01-02-01-01-01-01",  # video without sound
        "03-01-02-01-01-01-00",
        "03-01-02-01-01-01-25",
        "03-01-02-01-03-01-01",
        "03-01-02-01-01-01",
        "03-01-02-01-01-01-01-01",
        "03-01-02-01-01-01-01 (1)",
        "03-01-0٢-01-01-01-01",  # an Arabic digit
    ],
)
def test_ravdess_declines(stem):
    assert RAVDESS.row(PurePath(f"{stem}.wav")) is None


@given(fields=st.tuples(*[st.integers(0, 12)] * 6, st.integers(0, 30)))
def test_ravdess_rule(fields):
    modality, channel, emotion, intensity, statement, repetition, actor = fields
    valid = (
        modality in (1, 3)
        and channel in (1, 2)
        and 1 <= emotion <= 8
        and intensity in ((1,) if emotion == 1 else (1, 2))
        and statement in (1, 2)
        and repetition in (1, 2)
        and 1 <= actor <= 24
    )
    row = RAVDESS.row(PurePath("-".join(f"{f:02}" for f in fields) + ".wav"))
    assert (row is not None) == valid


def test_ravdess_downloads_are_those_of_zenodo():
    speech, song = RAVDESS.downloads
    assert (speech.size, song.size) == (208_468_073, 225_505_317)
    assert speech.file_name == "Audio_Speech_Actors_01-24.zip" and song.part == "song"


def test_real_ravdess(ravdess):
    loaded = corpus.load(ravdess)
    assert loaded.name == "ravdess" and len(loaded) == 1440 and not loaded.rejected
    table = loaded.table
    assert counts(table["emotion"]) == {
        "angry": 192, "calm": 192, "disgust": 192, "fearful": 192, "happy": 192, "neutral": 96,
        "sad": 192, "surprised": 192,
    }  # fmt: skip
    for column in ("statement", "repetition", "text", "gender"):
        assert list(counts(table[column]).values()) == [720, 720]
    assert list(counts(table["speaker"]).values()) == [60] * 24
    assert table["repetition"].dtype.kind == "i"


# --- EMO-DB ---------------------------------------------------------------------------------------


def test_real_emodb(emodb):
    loaded = corpus.load(emodb)
    assert loaded.name == "emodb" and len(loaded) == 535 and not loaded.rejected
    assert counts(loaded.table["label"]) == {
        "A": 69, "E": 46, "F": 71, "L": 81, "N": 79, "T": 62, "W": 127,
    }  # fmt: skip
    assert counts(loaded.table["speaker"]) == {
        "03": 49, "08": 58, "09": 43, "10": 38, "11": 55, "12": 35, "13": 61, "14": 69, "15": 56,
        "16": 71,
    }  # fmt: skip
    assert corpus.load(emodb / "wav").table["clip"].tolist() == loaded.table["clip"].tolist()
    assert set(loaded.table["statement"]) == set(EMODB.parse.facts["statement"])


def test_emodb_fields():
    row = EMODB.row(PurePath("16b10Wb.wav"))
    assert (row["emotion"], row["speaker"], row["gender"], row["age"]) == (
        "angry",
        "16",
        "female",
        31,
    )
    assert row["text"] == "Die wird auf dem Platz sein, wo wir sie immer hinlegen."
    assert [f["gender"] for f in EMODB.parse.facts["speaker"].values()].count("male") == 5


@pytest.mark.parametrize("stem", ["04a01Fa", "03c01Fa", "03a03Fa", "03a01Xa", "03a01F", "03a01Fab"])
def test_emodb_declines(stem):
    assert EMODB.row(PurePath(f"{stem}.wav")) is None


# --- TESS -----------------------------------------------------------------------------------------


def test_tess_fields_and_counts():
    words = TESS.parse.facts["statement"]
    names = [
        f"{speaker}_{label}/{speaker}_{word}_{label}.wav"
        for speaker, word, label in itertools.product(("OAF", "YAF"), words, TESS.label_map)
    ]
    found = rows(TESS, names)
    assert len(found) == 2800 and set(counts(row["emotion"] for row in found).values()) == {400}
    row = TESS.row(PurePath("YAF_pleasant_surprised/YAF_shout_ps.wav"))
    assert (row["emotion"], row["speaker"], row["gender"]) == ("surprised", "YAF", "female")
    assert (row["text"], row["age"]) == ("Say the word shout", 26)


def test_tess_file_that_lacks_a_letter():
    row = TESS.row(PurePath("OAF_neutral/OA_bite_neutral.wav"))
    assert (row["speaker"], row["clip"]) == ("OAF", "OAF_bite_neutral")


@pytest.mark.parametrize("stem", ["XAF_back_angry", "OAF_back_bored", "OAF_back", "OAF_ba_ck_sad"])
def test_tess_declines(stem):
    assert TESS.row(PurePath(f"{stem}.wav")) is None


# --- CREMA-D --------------------------------------------------------------------------------------


def test_cremad_fields():
    row = CREMAD.row(PurePath("1091_WSI_SAD_HI.wav"))
    assert (row["emotion"], row["speaker"], row["intensity"]) == ("sad", "1091", "high")
    assert row["text"] == "We'll stop in a couple of minutes" and "gender" not in row
    assert CREMAD.row(PurePath("1040_ITH_SAD_X.wav"))["intensity"] == "unspecified"
    assert len(CREMAD.parse.facts["statement"]) == 12


@pytest.mark.parametrize(
    "stem",
    ["1000_DFA_ANG_XX", "1092_DFA_ANG_XX", "1001_DFX_ANG_XX", "1001_DFA_BOR_XX", "1001_DFA_ANG_ZZ"],
)
def test_cremad_declines(stem):
    assert CREMAD.row(PurePath(f"{stem}.wav")) is None


@pytest.mark.parametrize("beside", [False, True])
def test_cremad_genders_come_from_the_demographics(tmp_path, beside):
    names = [f"AudioWAV/{actor}_DFA_ANG_XX.wav" for actor in (1001, 1002, 1003)]
    tree(tmp_path, names)
    (tmp_path / "VideoDemographics.csv").write_text(
        "ActorID,Age,Sex,Race,Ethnicity\n1001,51,Male,Caucasian,Not Hispanic\n"
        "1002,21,Female,Caucasian,Not Hispanic\n1003,?,Female,,\n"
    )
    table = scan(CREMAD, tmp_path / "AudioWAV" if beside else tmp_path)
    assert table["gender"].tolist()[:2] == ["male", "female"]
    assert table["age"].tolist()[:2] == [51, 21]


# --- SAVEE ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["{s}/{e}{n:02}.wav", "ALL/{s}_{e}{n:02}.wav"])
def test_savee_fields_and_counts(form):
    names = [
        form.format(s=s, e=e, n=n)
        for s, e in itertools.product(SAVEE.parse.facts["speaker"], SAVEE.label_map)
        for n in range(1, 31 if e == "n" else 16)
    ]
    found = rows(SAVEE, names)
    assert len(found) == 480 and {row["gender"] for row in found} == {"male"}
    assert counts(row["emotion"] for row in found) == {
        "angry": 60, "disgust": 60, "fearful": 60, "happy": 60, "neutral": 120, "sad": 60,
        "surprised": 60,
    }  # fmt: skip
    assert len({row["clip"] for row in found}) == 480 and "DC_sa03" in {r["clip"] for r in found}


@pytest.mark.parametrize("path", ["a01.wav", "XX/a01.wav", "XX_a01.wav", "DC/b01.wav", "DC/a1.wav"])
def test_savee_declines(path):
    assert SAVEE.row(PurePath(path)) is None


# --- EMOVO ----------------------------------------------------------------------------------------


def test_emovo_fields_and_counts():
    sentences = ["b1", "b2", "b3", "d1", "d2", "l1", "l2", "l3", "l4", "n1", "n2", "n3", "n4", "n5"]
    speakers = ["f1", "f2", "f3", "m1", "m2", "m3"]
    found = rows(
        EMOVO,
        [
            f"{s}/{e}-{s}-{t}.wav"
            for e, s, t in itertools.product(EMOVO.label_map, speakers, sentences)
        ],
    )
    assert len(found) == 588 and set(counts(r["emotion"] for r in found).values()) == {84}
    assert counts(row["gender"] for row in found) == {"female": 294, "male": 294}
    assert EMOVO.row(PurePath("rab-m2-l4.wav"))["emotion"] == "angry"


@pytest.mark.parametrize("stem", ["xxx-f1-b1", "gio-f4-b1", "gio-x1-b1", "gio-f1-z1", "gio-f1"])
def test_emovo_declines(stem):
    assert EMOVO.row(PurePath(f"{stem}.wav")) is None
