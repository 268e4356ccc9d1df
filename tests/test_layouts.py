"""Corpora as people have them on disk: miniature trees of empty files, made from documented names."""

import itertools

import pytest

from emoscope import corpora, corpus
from emoscope.errors import CorpusError
from recordings import tree


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def counts(values):
    values = list(values)
    return {value: values.count(value) for value in sorted(set(values))}


def ravdess(*, modality="03", actors=(1, 2), emotions=("01", "04", "05"), statements=("01", "02")):
    for actor, emotion, statement in itertools.product(actors, emotions, statements):
        yield f"Actor_{actor:02}/{modality}-01-{emotion}-01-{statement}-01-{actor:02}"


# --- IEMOCAP --------------------------------------------------------------------------------------


@pytest.fixture
def iemocap(tmp_path):
    """Two sessions with a scripted and an improvised scene, as the release has them."""
    codes = ["ang", "neu", "exc", "fru", "xxx", "sad"]
    for session, scene in itertools.product((1, 2), ("F_impro01", "M_script01_1b")):
        name = f"Ses0{session}{scene}"
        turns = [f"{name}_{who}{n:03}" for n, who in enumerate("FMFMFM")]
        tree(tmp_path, [f"Session{session}/sentences/wav/{name}/{turn}.wav" for turn in turns])
        lines = [
            f"[{n}.5 - {n + 1}.25]\t{turn}\t{code}\t[2.5, 2.5, 2.5]\nC-E1:\tNeutral;\t()\n"
            for n, (turn, code) in enumerate(zip(turns, codes, strict=True))
        ]
        dialog = tmp_path / f"Session{session}/dialog"
        write(
            dialog / f"EmoEvaluation/{name}.txt", "% [START - END] TURN EMOTION\n" + "".join(lines)
        )
        write(dialog / f"EmoEvaluation/._{name}.txt", "junk")
        words = [f"{turn} [000.5-001.2]: Words {n}.\n" for n, turn in enumerate(turns)]
        write(dialog / f"transcriptions/{name}.txt", "".join(words))
    return tmp_path


def test_iemocap_takes_labels_and_words_from_its_sessions(iemocap):
    loaded = corpus.load(iemocap)
    assert loaded.name == "iemocap"
    assert counts(loaded.table["label"]) == {"ang": 4, "neu": 4, "sad": 4}
    assert counts(loaded.table["speaker"]) == {"Ses01F": 2, "Ses01M": 4, "Ses02F": 2, "Ses02M": 4}
    row = loaded.table.set_index("clip").loc["Ses01F_impro01_M001"]
    assert (row["speaker"], row["gender"], row["emotion"]) == ("Ses01M", "male", "neutral")
    assert (row["text"], row["statement"]) == ("Words 1.", "impro01")
    reasons = counts(error.reason for error in loaded.rejected)
    assert list(reasons.values()) == [4, 4, 4]
    assert any("fru (frustration)" in r and "--label fru=" in r for r in reasons)


def test_iemocap_takes_other_labels_as_told(iemocap):
    loaded = corpus.load(iemocap, labels={"exc": "happy", "fru": "angry"})
    assert counts(loaded.table["emotion"]) == {"angry": 8, "happy": 4, "neutral": 4, "sad": 4}
    assert len(loaded.rejected) == 4


def test_iemocap_of_one_session_finds_the_labels_above(iemocap):
    assert len(corpus.load(iemocap / "Session1/sentences/wav")) == 6


def test_iemocap_in_folders_of_emotions_keeps_ten_voices_apart(tmp_path):
    names = [
        f"{folder}/Ses0{session}{markers}_impro01_{who}{n}00.wav"
        for n, folder in enumerate(("ang", "neu", "sad"))
        for session, markers, who in itertools.product(range(1, 6), "FM", "FM")
    ]
    loaded = corpus.load(tree(tmp_path, [*names, "fru/Ses01F_impro01_F900.wav"]))
    assert len(loaded) == 60 and len(loaded.speakers) == 10
    assert counts(loaded.table["emotion"]) == {"angry": 20, "neutral": 20, "sad": 20}
    assert counts(loaded.table["speaker"])["Ses01M"] == 6
    assert [error.reason[:9] for error in loaded.rejected] == ["label fru"]


def test_iemocap_without_its_labels_says_where_they_are(tmp_path):
    with pytest.raises(CorpusError, match="EmoEvaluation"):
        corpus.load(tree(tmp_path, ["wav/Ses01F_impro01_F000.wav"]))


# --- MELD and ESD ---------------------------------------------------------------------------------


def test_meld_reads_films_by_its_tables_and_not_by_times_of_the_episode(tmp_path):
    head = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,StartTime,EndTime\n"
    folders = {"train": "train/train_splits", "dev": "dev_splits_complete"}
    folders["test"] = "output_repeated_splits_test"
    for split, folder in folders.items():
        rows = [
            f'{n},"Oh, {split} {n}",{who},{label},x,0,{n},"00:16:16,059","00:16:21,731"\n'
            for n, (who, label) in enumerate([("Ross", "joy"), ("Monica", "anger")])
        ]
        write(tmp_path / f"{split}_sent_emo.csv", head + "".join(rows))
        tree(tmp_path, [f"{folder}/dia0_utt0.mp4", f"{folder}/dia0_utt1.mp4"])
    tree(tmp_path, ["train/train_splits/dia9_utt9.mp4", "train/train_splits/._dia0_utt0.mp4"])
    loaded = corpus.load(tmp_path)
    assert (loaded.name, len(loaded), loaded.speakers) == ("meld", 6, ["Monica", "Ross"])
    assert counts(loaded.table["split"]) == {"dev": 2, "test": 2, "train": 2}
    assert loaded.table.set_index("clip").loc["dev_dia0_utt1", "text"] == "Oh, dev 1"
    assert not {"start", "end"} & set(loaded.table)
    assert ["_sent_emo.csv" in error.reason for error in loaded.rejected] == [True]


def test_esd_has_its_splits_genders_and_parallel_sentences(tmp_path):
    for speaker, (n, emotion) in itertools.product(
        ("0001", "0011"), enumerate(("Neutral", "Angry", "Happy"))
    ):
        for k, split in ((1, "evaluation"), (21, "test"), (51, "train")):
            tree(tmp_path, [f"{speaker}/{emotion}/{split}/{speaker}_{n * 350 + k:06}.wav"])
    table = corpus.load(tmp_path).table
    assert len(table) == 18 and counts(table["split"]) == {"dev": 6, "test": 6, "train": 6}
    assert counts(table["gender"]) == {"female": 9, "male": 9}
    assert counts(table["text"]) == {
        "en-001": 3, "en-021": 3, "en-051": 3, "zh-001": 3, "zh-021": 3, "zh-051": 3,
    }  # fmt: skip


# --- nEMO and tables beside recordings ------------------------------------------------------------

NEMO = (
    "file_id\temotion\traw_text\tnormalized_text\tspeaker_id\tgender\tage\n"
    "EB0_anger_1.wav\tanger\tTen miesiąc.\tten\tEB0\tfemale\t27\n"
    "WR0_fear_1.wav\tfear\tTen miesiąc.\tten\tWR0\tmale\t23\n"
)


@pytest.mark.parametrize("source", [".", "samples"])
def test_nemo_takes_words_from_its_table(tmp_path, source):
    tree(
        tmp_path,
        [f"samples/{name}.opus" for name in ("EB0_anger_1", "WR0_fear_1", "WR0_sadness_2")],
    )
    write(tmp_path / "data.tsv", NEMO)
    loaded = corpus.load(tmp_path / source)
    assert (loaded.name, loaded.speakers) == ("nemo", ["EB0", "WR0"]) and not loaded.rejected
    assert loaded.table["text"].tolist() == ["Ten miesiąc.", "Ten miesiąc.", "2"]


@pytest.mark.parametrize("ending", ["", ".wav", ".mp3"])
def test_a_table_beside_recordings_is_found(tmp_path, ending):
    tree(tmp_path, ["audio/a/one.wav", "audio/b/two.wav", "audio/b/three.wav"])
    names = ("one", "two", "three")
    rows = [
        f"{name}{ending},{label},{n}\n"
        for n, (name, label) in enumerate(zip(names, "xyx", strict=True))
    ]
    labels = {"x": "sad", "y": "angry"}
    write(tmp_path / "data.csv", "filename,emotion,speaker_id\n" + "".join(rows))
    write(tmp_path / "durations.csv", "name,seconds\none,2\n")
    loaded = corpus.load(tmp_path, labels=labels)
    assert counts(loaded.table["emotion"]) == {"angry": 1, "sad": 2}
    assert sorted(loaded.table["path"]) == sorted(map(str, tmp_path.glob("audio/*/*.wav")))


def test_a_name_that_several_recordings_have_needs_its_folder(tmp_path):
    tree(tmp_path, ["audio/a/one.wav", "audio/b/one.wav", "audio/b/two.wav"])
    write(tmp_path / "data.csv", "file,emotion\nb/one.wav,sad\ntwo,happy\n")
    paths = corpus.load(tmp_path).table["path"].tolist()
    assert paths == [str(tmp_path / "audio/b/one.wav"), str(tmp_path / "audio/b/two.wav")]


# --- RAVDESS's films, several corpora, look-alikes ------------------------------------------------


def test_films_of_ravdess_are_clips(tmp_path):
    silent = [f"{name}.mp4" for name in ravdess(modality="02")]
    loaded = corpus.load(tree(tmp_path, [f"{n}.mp4" for n in ravdess(modality="01")] + silent))
    assert (loaded.name, len(loaded), loaded.speakers) == ("ravdess", 12, ["01", "02"])
    assert set(loaded.table["modality"]) == {"audio-video"} and not loaded.rejected
    assert "12 films" in " ".join(loaded.notes)


@pytest.mark.parametrize("ending", [".mp4", ".wav"])
def test_a_performance_of_ravdess_counts_once(tmp_path, ending):
    audio = [f"{name}.wav" for name in ravdess()]
    film = [f"{name}{ending}" for name in ravdess(modality="01", actors=(1, 2, 3))]
    loaded = corpus.load(tree(tmp_path, [*audio, *film]))
    assert counts(loaded.table["modality"]) == {"audio": 12, "audio-video": 6}
    assert "12 films also exist as audio" in " ".join(loaded.notes) and not loaded.rejected


def four_corpora():
    for k, n in itertools.product(range(4), range(3)):
        code, number, letter = (("ANG", "05", "a"), ("NEU", "01", "n"), ("SAD", "04", "sa"))[n]
        yield f"Crema/10{k + 1:02}_DFA_{code}_XX.wav"
        yield f"Ravdess/Actor_{k + 1:02}/03-01-{number}-01-01-01-{k + 1:02}.wav"
        yield f"Savee/{('DC', 'JE', 'JK', 'KL')[k]}_{letter}01.wav"
        if k < 2:
            yield f"Tess/{('OAF', 'YAF')[k]}_back_{('angry', 'neutral', 'sad')[n]}.wav"


@pytest.mark.parametrize("flat", [False, True])
def test_four_corpora_in_one_folder_are_read_as_four(tmp_path, flat):
    names = [name.rsplit("/", 1)[-1] if flat else name for name in four_corpora()]
    loaded = corpus.load(tree(tmp_path, names))
    assert counts(loaded.table["corpus"]) == {"cremad": 12, "ravdess": 12, "savee": 12, "tess": 6}
    assert len(set(loaded.table["unique_speaker"])) == 14 and not loaded.rejected
    assert "cremad 12" in loaded.notes[0] and "tess 6" in loaded.notes[0]


def test_strays_do_not_make_a_second_corpus(tmp_path):
    strays = ["Savee/DC_a01.wav", "OAF_back_angry.wav", "YAF_back_sad.wav"]
    loaded = corpus.load(tree(tmp_path, [*(f"{n}.wav" for n in ravdess()), *strays]))
    assert (loaded.name, len(loaded), len(loaded.rejected)) == ("ravdess", 12, 3)


@pytest.mark.parametrize(
    "names,found",
    [
        (
            (f"{n}.wav" for n in ravdess(actors=(1, 2, 24, 25, 34), statements=("01", "03"))),
            "25, 34",
        ),
        (
            (f"{n}.wav" for n in ravdess(actors=(1, 2, 3), emotions=("01", "04", "09"))),
            "label 09",
        ),
        ((f"{n}.wav" for n in ravdess(actors=range(30, 40))), "speaker 30, 31 … 39"),
        (
            (
                f"{a}_{s}_{e}_XX.wav"
                for a in range(1080, 1100)
                for s in ("DFA", "IEO")
                for e in ("ANG", "SAD")
            ),
            "1092, 1093 … 1099",
        ),
        (
            (f"{s:02}a0{t}{e}a.wav" for s in range(3, 20) for t in (1, 2) for e in "WNT"),
            "speaker 04, 05",
        ),
        (
            (
                f"OAF_{w}_{e}.wav"
                for w in ("back", "dog", "haus", "maus", "tisch")
                for e in corpora.get("tess").label_map
            ),
            "haus",
        ),
        (
            (f"{s}_{e}{n:02}.wav" for s in ("DC", "AB", "XY") for e in "adfh" for n in (1, 2, 3)),
            "AB, XY",
        ),
        (
            (
                f"{a}_DFA_{e}_XX.wav"
                for a in range(2001, 2010)
                for e in corpora.get("cremad").label_map
            ),
            "speaker 2001",
        ),
    ],
)
def test_names_that_fit_the_form_but_not_the_facts_are_refused(tmp_path, names, found):
    tree(tmp_path, names)
    with pytest.raises(CorpusError, match=found) as error:
        corpus.load(tmp_path)
    assert "folders named after emotions" in str(error.value) and "manifest" in str(error.value)


def test_a_few_damaged_names_are_named_and_the_rest_is_delivered(tmp_path):
    names = [f"{n}.wav" for n in ravdess(actors=range(1, 25))]
    broken = ["Actor_01/03-01-09-01-01-01-01.wav", "Actor_01/03-01-05-01-01-01-99.wav"]
    loaded = corpus.load(tree(tmp_path, [*names, *broken]))
    assert len(loaded) == 144
    reasons = [error.reason for error in loaded.rejected]
    assert "label 09 (ravdess has" in reasons[1] and "speaker 99" in reasons[0]


def test_look_alikes_in_folders_of_emotions_are_read_by_the_folders(tmp_path):
    names = [
        f"{folder}/03-01-{code}-01-01-01-{actor:02}.wav"
        for actor in range(20, 40)
        for folder, code in (("happy", "01"), ("sad", "02"))
    ]
    loaded = corpus.load(tree(tmp_path, names))
    assert loaded.name != "ravdess" and counts(loaded.table["emotion"]) == {"happy": 20, "sad": 20}
    assert "named as in ravdess" in loaded.notes[0]


def test_folders_of_other_emotions_overrule_names(tmp_path):
    names = [
        f"{folder}/F{speaker:02}{code}0{n}.wav"
        for speaker in (1, 2)
        for folder, code in (("happy", "S"), ("sad", "A"))
        for n in range(1, 4)
    ]
    loaded = corpus.load(tree(tmp_path, names))
    assert counts(loaded.table["emotion"]) == {"happy": 6, "sad": 6}


@pytest.mark.parametrize(
    "name", ["._03-01-01-01-01-01-01.wav", "__MACOSX/03-01-01-01-01-01-01.wav"]
)
def test_files_of_macos_are_no_clips(tmp_path, name):
    loaded = corpus.load(tree(tmp_path, [*(f"{n}.wav" for n in ravdess()), name]))
    assert len(loaded) == 12 and not loaded.rejected


def test_sentences_are_told_in_words_where_they_are_published():
    from pathlib import PurePath

    rows = {
        "cafe": ("12-J-2-3.wav", "Trois cygnes aveugles au bord du lac"),
        "emovo": ("gio-f1-b2.wav", "I vigili sono muniti di pistola."),
        "cremad": ("1001_IEO_ANG_HI.wav", "It's eleven o'clock"),
        "tess": ("OAF_back_angry.wav", "Say the word back"),
    }
    for name, (file, text) in rows.items():
        assert corpora.get(name).row(PurePath(file))["text"] == text
