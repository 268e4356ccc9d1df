"""Folds: disjoint, published as published, refused when they leak."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emoscope import protocols
from emoscope.corpus import Corpus
from emoscope.errors import ProtocolError, UnknownNameError

EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")


def table(speakers=24, corpus="ravdess", clips_each=8):
    rows = [
        {
            "clip": f"{corpus}-{s:02d}-{n}",
            "emotion": EMOTIONS[n % 8],
            "speaker": f"{s:02d}",
            "corpus": corpus,
        }
        for s in range(1, speakers + 1)
        for n in range(clips_each)
    ]
    return pd.DataFrame(rows)


def folds(clips, protocol, **options):
    """The folds of a corpus of these clips."""
    whole = Corpus("test", clips.assign(path=clips["clip"], label=clips["emotion"]))
    return protocols.folds(whole.table, protocol, **options)


SPEAKER_DISJOINT = ["speaker-6fold", "luna-5fold", "audeering-1.1", "loso"]


@pytest.mark.parametrize("protocol", SPEAKER_DISJOINT)
def test_no_speaker_on_both_sides(protocol):
    t = table()
    speakers = t["speaker"].to_numpy()
    for fold in folds(t, protocol):
        assert not set(speakers[fold.train]) & set(speakers[fold.test])
        assert len(fold.train) + len(fold.test) == len(t)


@pytest.mark.parametrize("protocol", ["speaker-6fold", "luna-5fold", "loso"])
def test_every_clip_is_tested_once(protocol):
    tested = np.concatenate([fold.test for fold in folds(table(), protocol)])
    assert sorted(tested) == list(range(len(table())))


@pytest.mark.parametrize(
    ("protocol", "published"),
    [("speaker-6fold", "emobox-6fold"), ("luna-5fold", "luna-5fold")],
)
def test_ravdess_folds_are_the_published_ones(protocol, published):
    source = Path(__file__).parent / "data" / "published-folds.json"
    expected = json.loads(source.read_text())[published]
    t = table()
    found = [sorted(set(t["speaker"].iloc[fold.test].astype(int))) for fold in folds(t, protocol)]
    assert found == expected


def test_audeering_tests_the_last_four_actors():
    t = table()
    (fold,) = folds(t, "audeering-1.1")
    assert set(t["speaker"].iloc[fold.test]) == {"21", "22", "23", "24"}


def test_other_corpora_get_six_balanced_folds_that_the_seed_decides():
    t = table(speakers=13, corpus="mine")
    one, again, other = (folds(t, "speaker-6fold", seed=s) for s in (1, 1, 2))
    assert len(one) == 6
    assert all(np.array_equal(a.test, b.test) for a, b in zip(one, again, strict=True))
    assert any(not np.array_equal(a.test, b.test) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(("protocol", "share"), [("random-75/25", 0.25), ("random-80/20", 0.2)])
def test_random_protocols_mix_speakers_on_purpose(protocol, share):
    t = table()
    (fold,) = folds(t, protocol, seed=7)
    speakers = t["speaker"].to_numpy()
    assert set(speakers[fold.train]) & set(speakers[fold.test])
    assert not set(fold.train) & set(fold.test)
    assert len(fold.test) == pytest.approx(share * len(t), abs=1)


def test_cross_corpus_leaves_a_corpus_out_and_keeps_shared_emotions():
    both = pd.concat([table(), table(corpus="emodb", speakers=10)], ignore_index=True)
    both.loc[(both["corpus"] == "emodb") & (both["emotion"] == "calm"), "emotion"] = "bored"
    for fold in folds(both, "cross-corpus"):
        train, test = both.iloc[fold.train], both.iloc[fold.test]
        assert set(test["corpus"]) == {fold.name}
        assert fold.name not in set(train["corpus"])
        assert set(train["emotion"]) == set(test["emotion"]) == set(EMOTIONS) - {"calm"}


def test_own_split_that_leaks_is_refused_with_the_speaker():
    t = table(speakers=2)
    t["split"] = ["train", "test"] * 8
    with pytest.raises(ProtocolError, match=r"training and test: 01, 02"):
        folds(t, "own-split")


@pytest.mark.parametrize(
    ("change", "protocol", "says"),
    [
        (
            {"speaker": "01"},
            "loso",
            "at least 2 speakers; found 1: 01. emoscope compare --protocol random-75/25 needs 1",
        ),
        ({"speaker": ""}, "loso", "come from a column 'speaker', or from --speaker"),
        ({"corpus": "mine", "speaker": "a"}, "speaker-6fold", "at least 6 speakers"),
        ({"corpus": "mine"}, "luna-5fold", "published for RAVDESS"),
        ({"emotion": "sad"}, "loso", "at least two emotions; found: sad"),
        ({}, "cross-corpus", "at least two corpora; found: ravdess"),
        ({}, "own-split", "needs a column 'split'"),
        ({"split": "dev"}, "own-split", "tests the split 'test'; found: dev"),
        ({}, "random-75/25+speaker-adapted", "measured on unseen speakers"),
    ],
)
def test_a_corpus_that_does_not_fit_says_what_is_missing(change, protocol, says):
    with pytest.raises(ProtocolError, match=says):
        folds(table().assign(**change), protocol)


def test_unknown_names_list_the_valid_ones():
    with pytest.raises(UnknownNameError, match="Did you mean 'speaker-6fold'"):
        folds(table(), "speaker-5fold")
    with pytest.raises(UnknownNameError, match=r"…\+speaker-adapted, …\+corpus-adapted"):
        folds(table(), "loso+adapted")


@pytest.mark.parametrize("protocol", ["speaker-6fold", "luna-5fold", "audeering-1.1"])
def test_actors_may_be_named_and_others_are_refused(protocol):
    plain, named = table(), table()
    named["speaker"] = "Actor_" + named["speaker"]
    for one, two in zip(folds(plain, protocol), folds(named, protocol), strict=True):
        assert np.array_equal(one.test, two.test)
    for name in ("Anna", "Actor_25", ""):
        named.loc[5, "speaker"] = name
        with pytest.raises(ProtocolError, match=f"actors, 1 to 24, as speakers; found: '{name}'"):
            folds(named, protocol)


def test_a_fold_must_have_two_emotions_to_learn():
    t = table(speakers=4, corpus="mine")
    t["emotion"] = np.where(t["speaker"] < "03", "sad", "happy")
    t["split"] = np.where(t["speaker"] < "03", "train", "test")
    with pytest.raises(ProtocolError, match="fold 1: all training clips are sad"):
        folds(t, "own-split")


def test_an_emotion_of_one_speaker_is_neither_trained_nor_tested():
    t = table(speakers=4, corpus="mine")
    t.loc[0, "emotion"] = "bored"
    message = (
        r"no fold can train and test bored \(1 clip\); an emotion needs clips of at least two "
    )
    for protocol in ("loso", "speaker+text"):
        with pytest.raises(
            ProtocolError, match=message + "speakers; --emotions .*leaves bored out"
        ):
            folds(t.assign(text="a"), protocol)
    with pytest.raises(
        ProtocolError, match=r"bored \(1 clip\); an emotion needs at least two clips"
    ):
        folds(t, "random-75/25")
    two = table(speakers=2, corpus="mine")
    two["emotion"] = two["speaker"].map({"01": "sad", "02": "happy"})
    with pytest.raises(ProtocolError, match="happy .8 clips. and sad .8 clips.; an emotion needs"):
        folds(two, "loso")


def test_a_fold_that_tests_what_it_cannot_train_is_refused():
    t = table(speakers=6, corpus="mine")
    t["split"] = np.where(t["speaker"] < "04", "train", "test")
    t.loc[(t["speaker"] >= "05") & (t["emotion"] == "happy"), "emotion"] = "bored"
    with pytest.raises(ProtocolError, match="tests bored and has no training clip of it"):
        folds(t, "own-split")


def test_six_folds_need_six_clips_of_an_emotion():
    t = table(speakers=10, corpus="mine", clips_each=1)
    t["emotion"] = ["sad", "happy"] * 5
    with pytest.raises(ProtocolError, match="an emotion with at least 6 clips; the most have 5"):
        folds(t, "speaker-6fold")


@pytest.mark.parametrize(
    ("splits", "says"),
    [
        (["", "train", "dev"], "1 of 16 clips is none of train, dev and test, the first is ''"),
        (["other"], "the first is 'other'"),
    ],
)
def test_own_split_leaves_no_clip_unassigned(splits, says):
    t = table(speakers=2, corpus="mine")
    t["split"] = np.where(t["speaker"] == "01", "train", "test")
    t.loc[: len(splits) - 1, "split"] = splits
    with pytest.raises(ProtocolError, match=says):
        folds(t, "own-split")
    t["split"], t["speaker"] = "train", ""
    with pytest.raises(ProtocolError, match="needs the speaker of every clip"):
        folds(t, "own-split")


def spoken_table(speakers=6, sentences=4, emotions=("sad", "happy", "angry")):
    """Every speaker says every sentence in every emotion."""
    cells = [
        (f"{s:02d}", f"Sentence {t}!", e)
        for s in range(speakers)
        for t in range(sentences)
        for e in emotions
    ]
    t = pd.DataFrame(cells, columns=["speaker", "text", "emotion"])
    return t.assign(corpus="mine", clip=[f"clip-{n}" for n in range(len(t))])


@pytest.mark.parametrize(
    ("speakers", "sentences", "n_folds"), [(6, 4, 24), (13, 2, 12), (3, 7, 15), (2, 2, 4)]
)
def test_speaker_text_tests_each_clip_once_on_new_voices_in_new_sentences(
    speakers, sentences, n_folds
):
    t = spoken_table(speakers, sentences)
    made = folds(t, "speaker+text")
    assert len(made) == n_folds
    assert sorted(np.concatenate([fold.test for fold in made])) == list(range(len(t)))
    for fold in made:
        train, test = t.iloc[fold.train], t.iloc[fold.test]
        assert not set(train["speaker"]) & set(test["speaker"])
        assert not set(train["text"]) & set(test["text"])
        outside = ~t["speaker"].isin(test["speaker"]) & ~t["text"].isin(test["text"])
        assert list(np.flatnonzero(outside)) == list(fold.train)


def test_speaker_text_on_ravdess_tests_each_sentence_with_the_other_on_the_published_groups():
    t = table()
    t["text"] = np.where(np.arange(len(t)) // 4 % 2, "Kids are talking", "Dogs are sitting")
    t["emotion"] = [EMOTIONS[n % 4] for n in range(len(t))]
    published = {tuple(sorted(set(t["speaker"].iloc[f.test]))) for f in folds(t, "speaker-6fold")}
    made = folds(t, "speaker+text", seed=5)
    assert len(made) == 12
    assert {tuple(sorted(set(t["speaker"].iloc[f.test]))) for f in made} == published
    assert all(t["text"].iloc[f.train].nunique() == 1 for f in made)


def test_words_count_as_the_same_whatever_their_case_and_punctuation():
    t = spoken_table(2, 2)
    t["text"] = ["Don’t  go -- now!", "dont go, NOW", "Don't go now"] * 2 + ["Geh!"] * 6
    assert list(pd.unique(protocols.sentences(t))) == ["dont go now", "geh"]
    assert list(protocols.sentences(t.drop(columns="text"))) == [""] * 12
    t.loc[0, "text"] = None
    t.loc[1, "text"] = "?!"
    assert list(protocols.sentences(t)[:2]) == ["", ""]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.drop(columns="text"), "in a column 'text'; 36 of 36 clips have none"),
        (lambda t: t.assign(text=["", *t["text"][1:]]), "1 of 36 clips have none"),
        (lambda t: t.assign(text="Go on."), "at least two; all clips say 'go on'"),
        (lambda t: t.assign(speaker="a"), "at least 2 speakers"),
        (
            lambda t: t.assign(text=t["text"].where(t["emotion"] != "sad", "Oh no.")),
            "tests sad and has no training clip of it; .* it has 1; --emotions happy,angry leaves sad",
        ),
    ],
)
def test_speaker_text_says_what_it_lacks(change, says):
    with pytest.raises(ProtocolError, match=says):
        folds(change(spoken_table(3)), "speaker+text")


def test_a_sentence_on_both_sides_is_refused():
    t = spoken_table(2, 2).assign(path="", label="")
    corpus = Corpus("test", t)
    voices = protocols.folds(corpus.table, "loso")
    protocols.check(voices, corpus.table, protocol="loso")
    with pytest.raises(ProtocolError, match="a sentence is in training and test"):
        protocols.check(voices, corpus.table, protocol="speaker+text")


def test_the_control_trains_on_as_many_clips_of_the_same_speakers_and_emotions():
    t = spoken_table(6, 4)
    corpus = Corpus("test", t.assign(path="", label=""))
    made = protocols.folds(corpus.table, "speaker+text")
    controls = protocols.script_control(made, corpus.table, seed=3)
    shares = 0
    for fold, control in zip(made, controls, strict=True):
        assert fold.name == control.name
        assert np.array_equal(fold.test, control.test)
        keys = [t.iloc[f.train].groupby(["speaker", "emotion"]).size() for f in (fold, control)]
        pd.testing.assert_series_equal(*keys)
        assert len(set(control.train)) == len(fold.train)
        shares += np.isin(t["text"].iloc[control.train], t["text"].iloc[control.test]).mean()
    assert shares / len(made) == pytest.approx(1 / 4, abs=0.05)  # as often as in the corpus
    again = protocols.script_control(made, corpus.table, seed=3)
    assert all(np.array_equal(a.train, b.train) for a, b in zip(controls, again, strict=True))


def test_names_with_a_plus_are_split_where_the_adaptation_begins():
    assert protocols.split_name("speaker+text") == ("speaker+text", "")
    assert protocols.split_name("speaker+text+speaker-adapted") == (
        "speaker+text",
        "speaker-adapted",
    )
    assert protocols.split_name("loso+corpus-adapted") == ("loso", "corpus-adapted")
    assert protocols.adaptation_of("evaluate+speaker-adapted") == "speaker-adapted"
    assert protocols.adaptation_of("speaker+text") == ""
    with pytest.raises(UnknownNameError, match=r"Did you mean 'speaker\+text'"):
        protocols.split_name("speaker+texts")
    with pytest.raises(UnknownNameError, match=r"…\+speaker-adapted"):
        protocols.split_name("speaker+text+adapted")
