"""Every corpus that names() lists keeps one contract; each rule is tested on its own names."""

import itertools
import re
from pathlib import PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emoscope import corpora, corpus
from emoscope.audio.opening import ENDINGS, SOUND_ENDINGS
from emoscope.corpora import described
from emoscope.errors import UnknownNameError
from emoscope.labels import EMOTIONS
from recordings import tree

NAMES = corpora.names()
VOICES_UNTOLD = {"mesd"}  # whose names tell women, men and children apart, and no more
CREMAD, EMODB, EMOVO, RAVDESS, SAVEE, TESS = map(
    corpora.get, ("cremad", "emodb", "emovo", "ravdess", "savee", "tess")
)
OPTIONAL = {
    "gender", "age", "text", "intensity", "statement", "repetition", "channel", "modality", "split",
}  # fmt: skip


#: What the example of a corpus needs beside it.
ACCOMPANYING = {
    "iemocap": {
        "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt": "[6.29 - 8.23]\tSes01F_impro01_M000\tneu\t[2]\n"
    },
    "meld": {
        "train/train_sent_emo.csv": "Utterance,Speaker,Emotion,Dialogue_ID,Utterance_ID\n"
        '"Oh, no!",Ross,joy,12,4\n'
    },
}


def example_tree(root, name, example):
    for file, text in ACCOMPANYING.get(name, {}).items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(text)
    return tree(root, [example])


def scan(info, root):
    rows = corpora.Match.of(info, corpora.list_audio(root, ENDINGS)[0]).rows
    return info.table(info.annotated(root, rows, {}))


def rows(info, names):
    found = [info.row(PurePath(name)) for name in names]
    assert all(row is not None for row in found)
    return found


def counts(values):
    values = list(values)
    return {value: values.count(value) for value in sorted(set(values))}


# --- the contract ---------------------------------------------------------------------------------


def test_the_published_corpora_are_known():
    assert {"ravdess", "emodb", "tess", "cremad", "savee", "emovo", "iemocap", "meld"} <= set(NAMES)


def test_an_unknown_corpus_lists_the_known_ones():
    with pytest.raises(UnknownNameError, match="Did you mean 'ravdess'.*cremad, emodb"):
        corpora.get("ravdes")


@pytest.mark.parametrize("name", NAMES)
def test_facts_are_complete(name):
    info = corpora.get(name)
    assert info.name == name
    assert all((info.title, info.licence, info.citation, info.homepage, info.file_names))
    assert info.downloads or info.obtain or info.homepage, "a user must learn how to get it"
    assert set(info.label_map.values()) <= set(EMOTIONS)
    for item in info.downloads:
        assert item.url.startswith("http") and item.file_name
        assert item.md5 is None or len(item.md5) == 32


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("suffix", sorted(f".{ending}" for ending in SOUND_ENDINGS) + [".WAV"])
def test_a_clip_is_found_whatever_its_format(name, suffix, tmp_path):
    info = corpora.get(name)
    file = PurePath(info.example).with_suffix(suffix)
    table = scan(info, example_tree(tmp_path, name, file))
    assert len(table) == 1 and tuple(table.columns[:6]) == corpora.COLUMNS
    assert set(table.columns[6:]) <= OPTIONAL
    row = table.iloc[0]
    assert row["path"] == str(tmp_path / file) and row["corpus"] == name
    assert row["emotion"] in EMOTIONS and info.label_map[row["label"]] == row["emotion"]
    assert row["clip"] and (row["speaker"] or name in VOICES_UNTOLD)
    assert row.get("gender", "female") in ("female", "male")


@pytest.mark.parametrize("name", NAMES)
def test_no_other_corpus_claims_its_clips(name):
    example = PurePath(corpora.get(name).example)
    assert [other for other in NAMES if corpora.get(other).row(example)] == [name]


@pytest.mark.parametrize("name", NAMES)
def test_it_is_recognised_and_its_strangers_are_named(name, tmp_path):
    info = corpora.get(name)
    example_tree(tmp_path, name, info.example)
    loaded = corpus.load(tree(tmp_path, ["stranger.wav", "readme.txt", "._a.wav"]))
    assert (loaded.name, loaded.licence, loaded.citation) == (name, info.licence, info.citation)
    assert len(loaded) == 1 and [e.path for e in loaded.rejected] == [
        str(tmp_path / "stranger.wav")
    ]
    assert info.example in loaded.rejected[0].reason


def test_each_name_is_parsed_once_by_each_corpus(tmp_path, monkeypatch):
    names = [f"03-01-0{emotion}-01-01-01-01.wav" for emotion in range(1, 9)]
    calls = []
    row = corpora.CorpusInfo.row
    monkeypatch.setattr(
        corpora.CorpusInfo,
        "row",
        lambda info, path: calls.append((info.name, path)) or row(info, path),
    )
    assert len(corpus.load(tree(tmp_path, [*names, "stranger.wav"]))) == 8
    assert len(calls) == len(set(calls)) and calls.count(("ravdess", tmp_path / names[0])) == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_second_copy_is_used_once_and_named(name, tmp_path):
    example = corpora.get(name).example
    example_tree(tmp_path, name, example)
    loaded = corpus.load(tree(tmp_path, [f"again/{example}"]))
    assert loaded.table["path"].tolist() == [str(tmp_path / example)]
    assert "duplicate of the clip" in loaded.rejected[0].reason


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_folder_gives_an_empty_table(name, tmp_path):
    table = scan(corpora.get(name), tmp_path)
    assert table.empty and tuple(table.columns) == corpora.COLUMNS


@pytest.mark.parametrize("name", NAMES)
@given(
    stem=st.text(min_size=1, max_size=30) | st.from_regex(r"[A-Za-z0-9_-]{1,25}", fullmatch=True)
)
def test_any_name_is_parsed_or_declined(name, stem):
    row = corpora.get(name).row(PurePath("folder") / (stem.replace("/", "_") + ".wav"))
    assert (
        row is None
        or row["emotion"] in EMOTIONS
        or row["label"] in ("", *corpora.get(name).no_emotion)
    )


# --- corpora as data ------------------------------------------------------------------------------


def test_a_corpus_can_be_described_in_a_file(tmp_path):
    (tmp_path / "opera.toml").write_text(
        """
        title = "Singers"
        licence = "CC0"
        citation = ""
        homepage = ""
        file_names = "singer, aria, mood and take"
        example = "S08-2-h-x.wav"
        form = '(?P<speaker>S[0-9]{2})-(?P<statement>[0-9])-(?P<label>[a-z])-(?P<take>[a-z])'
        tell = { clip = "{speaker}{take}" }
        [label_map]
        h = "happy"
        [no_emotion]
        b = "bravura"
        [facts]
        speaker = { "S08..10 S77" = { gender = "female", age = 40 }, S99 = {} }
        statement = { 1 = "Casta diva", 2 = "Vissi d'arte" }
        label = { b = { text = "{label}-{statement}" } }
        take = "x y"
        """
    )
    info = described.read(tmp_path / "opera.toml")
    assert info.name == "opera" and info.no_emotion == {"b": "bravura"}
    row = info.row(PurePath("S09-2-h-y.wav"))
    assert row == {
        "clip": "S09y", "path": "S09-2-h-y.wav", "emotion": "happy", "corpus": "opera",
        "speaker": "S09", "text": "Vissi d'arte", "statement": "2", "label": "h",
        "gender": "female", "age": 40,
    }  # fmt: skip
    assert info.row(PurePath("S99-1-b-x.wav"))["text"] == "b-1"
    assert "gender" not in info.row(PurePath("S99-1-b-x.wav"))
    for stem in ("S07-1-h-x", "S11-1-h-x", "S08-3-h-x", "S08-1-c-x", "S08-1-h-z"):
        assert info.row(PurePath(f"{stem}.wav")) is None


@pytest.mark.parametrize("name", sorted(described.MEMBERS))
def test_what_a_file_says_of_fields_is_of_fields_of_the_name(name):
    info = described.MEMBERS[name]
    naming = info.parse
    fields = re.compile(naming.form).groupindex.keys()
    assert set(naming.facts) - {"label"} <= set(fields)
    told = naming.tell(dict.fromkeys(fields, "1"))
    assert "label" in fields or (told["label"] == "" and info.annotate)
    for values in naming.facts.values():
        for meaning in values.values():
            corpora.filled(meaning if isinstance(meaning, dict) else {}, dict.fromkeys(fields, ""))


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


# --- listing files --------------------------------------------------------------------------------


def test_links_to_folders_are_followed_once(tmp_path):
    tree(tmp_path / "real", ["wav/03a01Fa.wav"])
    root = tmp_path / "root"
    root.mkdir()
    (root / "data").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "loop").symlink_to(tmp_path / "real")
    paths, errors = corpora.list_audio(root)
    assert [p.name for p in paths] == ["03a01Fa.wav"] and not errors


def test_resource_forks_are_left_alone(tmp_path):
    tree(tmp_path, ["__MACOSX/03a01Fa.wav", "._03a01Fa.wav", ".hidden/03a01Fa.wav", "03a01Fa.wav"])
    assert [str(p.relative_to(tmp_path)) for p in corpora.list_audio(tmp_path)[0]] == [
        "03a01Fa.wav"
    ]


def test_an_unreadable_folder_is_reported(tmp_path, monkeypatch):
    tree(tmp_path, ["open/03a01Fa.wav", "closed/03a01Wa.wav"])
    scandir = corpora.os.scandir

    def refuse(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(corpora.os, "scandir", refuse)
    loaded = corpus.load(tmp_path)
    assert len(loaded) == 1
    assert [e.reason for e in loaded.rejected] == ["folder cannot be read: Permission denied"]


@pytest.mark.parametrize(
    "text", ["a,b\n1,2\n", "ActorID,Age,Race,Sex\n1001\n", "ActorID,Age\n1001,51\n"]
)
def test_demographics_that_are_something_else_are_left_alone(tmp_path, text):
    (tmp_path / "VideoDemographics.csv").write_text(text)
    row = CREMAD.row(PurePath("1001_DFA_ANG_XX.wav"))
    assert CREMAD.annotate(tmp_path, {PurePath("x"): row}) == {PurePath("x"): {}}


def test_films_are_listed_where_they_are_asked_for(tmp_path):
    tree(tmp_path, ["a.wav", "b.mp4"])
    assert [path.name for path in corpora.list_audio(tmp_path)[0]] == ["a.wav"]
    assert [path.name for path in corpora.list_audio(tmp_path, ENDINGS)[0]] == ["a.wav", "b.mp4"]
