"""The corpus container, folders by emotion, EmoBox, Hugging Face: what is used, and what is refused why."""

import json
import os

import pandas as pd
import pytest

from emoscope import corpus, labels
from emoscope.corpus import EMOTIONS, Corpus
from emoscope.errors import CorpusError, EmoscopeError, UnknownNameError
from manifests import csv, reasons, touch


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


def test_sound_of_every_format_is_a_clip_and_films_are_not(tmp_path):
    touch(tmp_path, "sad/a.wav", "sad/b.m4a", "happy/c.amr", "happy/d.mp4")
    assert corpus.load(tmp_path).table["clip"].tolist() == ["happy/c", "sad/a", "sad/b"]


def test_german_labels_are_understood_and_so_are_other_words_in_a_selection(tmp_path):
    words = ["Freude", "Trauer", "Ärger", "Angst", "Ekel", "Langeweile", "BOR"]
    text = "file,emotion\n" + "".join(f"{n}.wav,{word}\n" for n, word in enumerate(words))
    loaded = corpus.load(csv(tmp_path, text))
    assert loaded.table["emotion"].tolist() == [
        "happy", "sad", "angry", "fearful", "disgust", "bored", "bored",
    ]  # fmt: skip
    assert loaded.select(emotions=["anger", "Joy"]).emotions == ["happy", "angry"]
