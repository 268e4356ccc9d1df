"""Every corpus that names() lists keeps one contract; each rule is tested on its own names."""

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
