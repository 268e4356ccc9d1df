"""Emotion names in ten languages, in any form that people write them; words of the user's own."""

import unicodedata

import pytest

from emoscope import corpus, labels
from emoscope.corpora import SPLITS
from emoscope.errors import CorpusError
from emoscope.labels import EMOTIONS, SYNONYMS, canonical

#: Said by nine speakers: neutral, happy, sad, angry, fearful, disgust, surprised.
LANGUAGES = {
    "Italian": "neutro gioia tristezza rabbia paura disgusto sorpresa",
    "Spanish": "neutral felicidad tristeza enfado miedo asco sorpresa",
    "French": "neutre joie tristesse colère peur dégoût surprise",
    "German": "neutral Freude Trauer Ärger Angst Ekel Überraschung",
    "Portuguese": "neutro felicidade tristeza raiva medo nojo surpresa",
    "Polish": "neutralny radość smutek złość strach wstręt zaskoczenie",
    "Turkish": "nötr mutlu üzgün kızgın korku iğrenme şaşkın",
    "Arabic": "muhayid سعادة huzn ghadab khawf qaraf mufajaa",
    "Chinese": "zhongxing gāoxìng bēishāng shengqi haipa yanwu chijing",
}
WORDS = ["fru", "exc", "fru", "cal", "fru", "exc"]
SEVEN = ["neutral", "happy", "sad", "angry", "fearful", "disgust", "surprised"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_languages(language):
    for form in ("NFC", "NFD", "NFKD"):
        for case in (str, str.upper, str.title):
            words = [case(unicodedata.normalize(form, w)) for w in LANGUAGES[language].split()]
            assert [canonical(word) for word in words] == SEVEN, words


@pytest.mark.parametrize(
    "word,emotion",
    [
        ("ＡＮＧＲＹ", "angry"), ("KIZGIN", "angry"), ("İĞRENME", "disgust"), ("zlosc", "angry"),
        ("en_colère", "angry"), ("pleasant–surprise", "surprised"), ("bei’ai", "sad"), ("degout", "disgust"),
        ("\u00a0Sad\t", "sad"), ("WÜTEND", "angry"), ("wuetend", "angry"), ("生气", "angry"),
        ("\u200bsad\ufeff", "sad"),
        ("enojado", None), ("desgosto", None), ("farah", None), ("happy sad", None), ("", None),
    ],
)  # fmt: skip
def test_forms(word, emotion):
    assert canonical(word) == emotion


def test_the_table_of_words_has_one_meaning_for_each():
    meanings: dict[str, set[str]] = {}
    for _, emotion, *words in labels._LINES:
        assert emotion in EMOTIONS and words
        for word in words:
            meanings.setdefault(labels.folded(word), set()).add(emotion)
    assert all(len(found) == 1 for found in meanings.values())
    assert len({line[0] for line in labels._LINES}) == 10
    assert not set(SYNONYMS) & ({*EMOTIONS, *SPLITS, *labels.WITHOUT_SPEECH})
    assert all(canonical(word) == emotion for word, emotion in SYNONYMS.items())


def test_words_of_ones_own_come_first():
    own = {"Exc": "happy", "exc": "surprised", "ang": "fearful", "Weltschmerz": "sad"}
    assert canonical("Exc", own) == "happy" and canonical("exc", own) == "surprised"
    assert canonical(" EXC", own) == "happy" and canonical("welt-schmerz", own) is None
    assert canonical("ANG", own) == "fearful" and canonical("weltschmerz", own) == "sad"


def test_all_unknown_words_are_named(tmp_path):
    rows = "".join(f"{n}.wav,{word}\n" for n, word in enumerate(WORDS))
    path = tmp_path / "m.csv"
    path.write_text(f"file,emotion\n{rows}")
    with pytest.raises(
        CorpusError, match=r"'fru' \(3\), 'exc' \(2\), 'cal' \(1\).*--label fru=EMOTION"
    ):
        corpus.load(path)
    path.write_text(f"file,emotion\n{rows}9.wav,sad\n")
    loaded = corpus.load(path, labels={"EXC": "happy"})
    assert len(loaded) == 3 and "'fru' (3), 'cal' (1)" in loaded.notes[0]
    many = "".join(f"{n}.wav,w{n:02d}\n" for n in range(25))
    path.write_text(f"file,emotion\n{many}")
    with pytest.raises(CorpusError, match=r"'w19' \(1\) and 5 more words"):
        corpus.load(path)


def test_words_that_occur_nowhere_are_told(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("file,emotion\na.wav,exc\n")
    loaded = corpus.load(path, labels={"EXC": "happy", "fru": "angry"})
    assert [note for note in loaded.notes if "'fru'" in note and "'EXC'" not in note]


def test_positions_of_emotions():
    assert set(labels.POSITIONS) == set(EMOTIONS)
    for emotion, (arousal, valence) in labels.POSITIONS.items():
        assert labels.position({emotion: 1.0}) == {"arousal": arousal, "valence": valence}
    found = labels.position({"happy": 0.5, "bored": 0.5})
    assert found == pytest.approx({"arousal": -0.055, "valence": 0.08})
    assert labels.position({}) == labels.position({"happy": 0.5, "proud": 0.5}) == {}
