"""Who speaks: what names tell, what is only a guess, and that no text claims more than is known."""

import itertools
import json
import re
from pathlib import PurePath

import numpy as np
import pandas as pd
import pytest
import soundfile

from emoscope import corpus, modelfile, unseen
from emoscope.corpus import Reading, speakers

E, NAMES = ["happy", "sad", "angry"], ["anna", "ben", "carla"]
TWO, IDS = ["1", "2"], ["03", "08", "10"]


def tree(form, **values):
    return [
        form.format(**dict(zip(values, chosen, strict=True)))
        for chosen in itertools.product(*values.values())
    ]


def make(folder, files):
    for file in files:
        path = folder / "mine" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder / "mine"


#: How folders and files are named → the speakers that may be guessed, or none: then the names of
#: those who speak, or what else there is to choose from, are shown.
LAYOUTS = {
    "names first": (tree("{e}/{s}_{k}.wav", e=E, s=NAMES, k=TWO), set(NAMES)),
    "two names, many takes": (
        tree("{e}/{s}_{k:02d}.wav", e=E, s=["anna", "ben"], k=range(10)),
        {"anna", "ben"},
    ),
    "sex and number": (
        tree("{e}/{s}_{k}.wav", e=E, s=["F1", "F2", "M1"], k=IDS),
        {"F1", "F2", "M1"},
    ),
    "sex and number, sentence codes": (
        tree("{e}/{s}-{t}.wav", e=E, s=["f1", "m1"], t=["b1", "l2"]),
        {"f1", "m1"},
    ),
    "folders of speakers": (tree("spk{s}/{e}/{k}.wav", e=E, s=TWO, k=IDS), {"spk1", "spk2"}),
    "numbers above": (tree("{s}/{e}/{k}.wav", e=E, s=["1001", "1091"], k=TWO), {"1001", "1091"}),
    "participants above": (tree("p{s}/{e}/{k}.wav", e=E, s=IDS, k=TWO), {"p03", "p08", "p10"}),
    "actor in the name": (tree("{e}/actor_{s}_{k}.wav", e=E, s=IDS, k=TWO), set(IDS)),
    "folds and names": (tree("fold{f}/{e}/{s}_1.wav", e=E, f=TWO, s=NAMES), set(NAMES)),
    "levels and names": (
        tree("{e}/{v}/{s}_{k}.wav", e=E, v=["high", "low"], s=NAMES, k=TWO),
        set(NAMES),
    ),
    "copies": (tree("{e}/{s} ({k}).wav", e=E, s=NAMES, k=TWO), set(NAMES)),
    "folder of a person": (tree("{e}/{s}/{k}.wav", e=E, s=NAMES, k=TWO), set(NAMES)),
    # Not taken: what varies is no speaker, or it could be another.
    "surnames": (
        tree("{e}/{s}-{k}.wav", e=E, s=["kowalski", "nowak", "wilk", "zych"], k="12"),
        None,
    ),
    "sessions of two": (
        tree("{e}/Sess{n}{w}_talk_{s}00{k}.wav", e=E, n="12", w="FM", s="FM", k="01"),
        None,
    ),
    "places": (tree("{p}/{e}/{k}.wav", e=E, p=["berlin", "paris"], k=IDS), None),
    "raters": (tree("{r}/{e}/{k}.wav", e=E, r=["raterA", "raterB"], k=IDS), None),
    "months": (tree("{m}/{e}/{k}.wav", e=E, m=["may", "june", "july", "august"], k=IDS), None),
    "sentence code first": (tree("{e}/{t}_{s}.wav", e=E, t=["a01", "a02"], s=IDS), None),
    "sentence word first": (tree("{e}/{t}_{s}.wav", e=E, t=["kids", "dogs"], s=IDS), None),
    "running speakers": (
        tree("{e}/{t}_{s:02d}.wav", e=E, t=["kids", "dogs"], s=range(1, 7)),
        None,
    ),
    "sex first": (tree("{e}/{w}_{s}_{k}.wav", e=E, w="mf", s=IDS, k="ab"), None),
    "sex alone": (tree("{e}/{w}_{k}.wav", e=E, w=["male", "female"], k=TWO), None),
    "folders of sentences": (
        tree("{e}/{t}/{k}.wav", e=E, t=["kids_are_talking", "dogs_are_sitting"], k=IDS),
        None,
    ),
    "folders of takes": (tree("{e}/take{t}/{k}.wav", e=E, t=TWO, k=IDS), None),
    "numbered folds above": (tree("{f}/{e}/x{k}.wav", e=E, f="123", k=TWO), None),
    "sessions above": (tree("Session{n}/{e}/{w}_{k}.wav", e=E, n=TWO, w="FM", k=TWO), None),
    "codes above": (tree("S{n}/{e}/{k}.wav", e=E, n="123", k=TWO), None),
    "no separators": (tree("{e}/{s}{t}{k}.wav", e=E, s=IDS, t=["a01", "b02"], k="ab"), None),
    "two words": (tree("{e}/{s}_{t}.wav", e=E, s=["OAF", "YAF"], t=["back", "bar"]), None),
    "two people": (tree("{e}/{a}_{b}.wav", e=E, a=["anna", "ben"], b=["tom", "sue"]), None),
    "days": (tree("{e}/{d}_{k}.wav", e=E, d=["20200101", "20200102"], k=TWO), None),
    "microphones": (tree("{e}/{s}/{k}.wav", e=E, s=["clean", "noisy"], k=TWO), None),
    "dialogues": (tree("{e}/dia{d}_utt{u}.wav", e=E, d=range(4), u=range(3)), None),
    "numbered clips": (tree("{e}/clip_{k:03d}.wav", e=E, k=range(9)), None),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_what_names_tell(tmp_path, name):
    files, right = LAYOUTS[name]
    loaded = corpus.load(make(tmp_path, files))
    assert set(loaded.speakers) == (right or set())
    assert loaded.speakers_from.kind == ("guess" if right else "none")
    if right:
        [note] = loaded.notes
        assert "guessed" in note and all(speaker in note for speaker in list(right)[:4])
        assert loaded.speakers_from.pattern in note and "--speaker 'REGEX'" in note
    else:
        assert "speakers are unknown" in loaded.notes[0]
        assert any("--one-speaker" in note for note in loaded.notes)


@pytest.mark.parametrize("name", [name for name, (_, right) in LAYOUTS.items() if right is None])
def test_every_expression_that_is_shown_can_be_pasted(tmp_path, name):
    folder = make(tmp_path, LAYOUTS[name][0])
    shown = [n for n in corpus.load(folder).notes if n.startswith("  --speaker '")]
    for note in shown:
        option = note.split("'")[1]
        told = corpus.load(folder, speaker=option)
        assert not told.rejected and told.speakers_from.kind == "option"
        assert f"{told.speakers[0]} (" in note
    assert bool(shown) != (name in ("numbered clips", "dialogues"))


@pytest.mark.parametrize(
    ("expression", "right"),
    [
        (r"_(\d+)$", "03"),
        (r"_(\d+)\.wav$", "03"),
        (r"(?P<speaker>\d+)$", "03"),
        (r"\d+$", "03"),
        (r"([a-z])\d+_(\d+)", "a-03"),
        ("folder:1", "happy"),
        ("folder:-1", "happy"),
        ("folder:2", None),
        ("x(y)?", None),
    ],
)
def test_an_expression_matches_with_or_without_the_ending(expression, right):
    assert Reading(speaker=expression).speaker_of(PurePath("happy/a01_03.wav")) == right


def table(folder, rows, header="file,emotion,speaker"):
    path = folder / "mine.csv"
    path.write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n")
    return path


@pytest.mark.parametrize(
    ("speakers", "said"),
    [
        ([f"{n:03d}" for n in range(12)], "12 of 12 clips have a speaker of their own"),
        (["a", "a", *map(str, range(10))], "10 of 12 clips have a speaker of their own"),
        (["F", "M"] * 6, "sexes, not people"),
        (["Anna 03", "anna_3", "ben"] * 4, "'Anna 03' and 'anna_3' are probably the same person"),
        (["1_12", "11_2", "112"] * 4, ""),
        (["happy", "sad"] * 6, "emotions, not people"),
        (["the kids are talking now", "dogs sit by the door"] * 6, "sentences, not people"),
        (["anna", "ben"] * 6, ""),
        (["03"] * 12, ""),
    ],
)
def test_a_column_that_cannot_be_of_speakers_is_said(tmp_path, speakers, said):
    rows = [(f"{n}.wav", E[n % 3], speaker) for n, speaker in enumerate(speakers)]
    loaded = corpus.load(table(tmp_path, rows))
    assert loaded.speakers_from.kind == "column" and said in loaded.speakers_from.doubt
    assert bool(loaded.speakers_from.doubt) == bool(said)
    assert [said in note for note in loaded.notes] == ([True] if said else [])


def test_one_sentence_each_is_no_speaker(tmp_path):
    rows = [(f"{n}.wav", E[n % 3], "ab"[n % 2], ["kids", "dogs"][n % 2]) for n in range(12)]
    loaded = corpus.load(table(tmp_path, rows, "file,emotion,speaker,text"))
    assert "sentences, not people" in loaded.speakers_from.doubt


def test_nothing_is_taken_from_the_names_in_a_table(tmp_path):
    rows = [(f"{s}_{e}_{k}.wav", e) for s in NAMES for e in E for k in TWO]
    loaded = corpus.load(table(tmp_path, rows, "file,emotion"))
    assert loaded.speakers == [] and loaded.speakers_from.kind == "none"
    assert "anna (6 clips)" in " ".join(loaded.notes)


def test_a_corpus_of_ones_own_making_says_where_its_speakers_are_from():
    rows = {"path": "", "label": "", "corpus": "x", "emotion": "sad"}
    frame = pd.DataFrame([{**rows, "clip": str(n), "speaker": str(n % 2)} for n in range(4)])
    assert corpus.Corpus("x", frame).speakers_from.kind == "column"
    assert corpus.Corpus("x", frame.assign(speaker="")).speakers_from.kind == "none"


@pytest.mark.parametrize(
    ("kind", "doubt", "protocol", "right"),
    [
        ("rule", "", "loso", "unseen speakers"),
        ("column", "", "speaker-6fold", "unseen speakers"),
        ("option", "", "loso+speaker-adapted", "unseen speakers"),
        ("guess", "", "loso", "unseen speakers, as far as the file names tell"),
        ("guess", "", "voice-6fold", "unseen voices, grouped by sound"),
        ("none", "", "voice-6fold", "unseen voices, grouped by sound"),
        ("none", "", "cross-corpus", "clips whose voices may be in training too"),
        ("one", "", "loso", "clips whose voices may be in training too"),
        ("column", "they are files", "loso", "clips whose voices may be in training too"),
        ("rule", "", "random-75/25", "clips whose voices may be in training too"),
    ],
)
def test_the_words_claim_what_is_known(kind, doubt, protocol, right):
    assert unseen.WORDS[unseen.held_out(kind, doubt, protocol)] == right
    assert unseen.of_record({"speakers": {"kind": kind, "doubt": doubt}}, protocol) == (
        unseen.held_out(kind, doubt, protocol)
    )


def test_a_result_of_older_versions_says_what_it_said():
    assert unseen.of_record({}, "loso") == unseen.of_record({"speakers": 3}, "loso") == "speakers"


def test_what_a_result_records_of_guessed_speakers(tmp_path):
    loaded = corpus.load(make(tmp_path, LAYOUTS["names first"][0]))
    kept = speakers.record(loaded)
    assert (kept["kind"], kept["n"]) == ("guess", 3)
    assert kept["pattern"] == "the first part of the file names"
    assert kept["clips"] == {"anna": 6, "ben": 6, "carla": 6}
    assert kept["examples"]["ben"] == "angry/ben_1"


def recorded(folder, form, numbers=range(4)):
    """Noise of a level for each emotion, in files named by `form`, and a table that lists them."""
    rows = []
    for s, (e, emotion), k in itertools.product(range(6), enumerate(E), numbers):
        name = ["anna", "ben", "carla", "dora", "emil", "felix"][s]
        path = folder / "mine" / form.format(s=name, e=emotion, k=k, n=len(rows))
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(len(rows)).uniform(-1, 1, 3000) * (0.1 + 0.2 * e)
        soundfile.write(path, noise, 8000)
        rows.append((str(path.relative_to(folder)), emotion, path.stem))
    return folder / "mine", table(folder, rows)


def everything_said(emoscope, folder, source, *options):
    """All that the commands print and write about a source, in lower case and on one line."""
    texts, model = [], folder / "out" / "mine.emoscope"
    few = ("--features", "mfcc", "--jobs", 1)
    for words in (
        ["compare", source, *options, *few, "--models", "svm,lda", "--out", folder / "out/compare"],
        ["tune", "svm", source, *options, *few, "--trials", 1, "--out", folder / "out/tune"],
        ["train", "lda", source, *options, *few, "--out", model],
        ["evaluate", model, source, *options, "--jobs", 1, "--out", folder / "out/evaluate"],
        ["predict", source.parent / "mine", "--model", model, "--format", "csv"],
        ["export", model, "--hub", folder / "out/hub", "--onnx", folder / "out/mine.onnx"],
        ["audit", folder / "out/compare", "--out", folder / "out/findings.json"],
    ):
        status, out, err = emoscope(*words)
        assert status == 0, (words, err)
        texts += [out, err]
    files = [
        p for p in (folder / "out").rglob("*") if p.suffix in (".html", ".json", ".md", ".toml")
    ]
    texts += [path.read_text("utf-8") for path in files]
    texts += [
        modelfile.load(model).card.to_json(),
        (folder / "out/mine.onnx").read_bytes().decode("latin1"),
    ]
    assert len(files) >= 7
    return " ".join(" ".join(texts).lower().split())


def test_no_output_calls_guessed_speakers_unseen(emoscope, kept_models, tmp_path):
    source, _ = recorded(tmp_path, "{e}/{s}_{k}.wav")
    said = everything_said(emoscope, tmp_path, source)
    assert said.count("unseen speaker") >= 6
    assert not re.search("unseen speaker(?!s, as far as the file names tell)", said)
    record = json.loads((tmp_path / "out/compare/results.json").read_text())["corpus"]["speakers"]
    assert record["kind"] == "guess" and record["clips"]["anna"] == 12
    assert record["examples"]["anna"].endswith("anna_0") and record["n"] == 6
    assert "peakers are guessed from the first part of the file names" in said


def test_no_output_calls_files_unseen_speakers(emoscope, kept_models, tmp_path):
    _, source = recorded(tmp_path, "{e}/{s}_{e}_{k}.wav", range(2))
    said = everything_said(emoscope, tmp_path, source)
    assert "unseen speaker" not in said
    assert "36 of 36 clips have a speaker of their own" in said and "optimistic" in said


def test_given_speakers_are_unseen(emoscope, kept_models, tmp_path):
    source, _ = recorded(tmp_path, "{e}/{s}_{k}.wav", range(2))
    said = everything_said(emoscope, tmp_path, source, "--speaker", "([a-z]+)_")
    assert "unseen speakers, protocol speaker-6fold" in said
    assert "as far as the file names tell" not in said and "optimistic: " not in said


def test_without_speakers_training_works_and_comparing_says_what_helps(
    emoscope, kept_models, tmp_path
):
    source, _ = recorded(tmp_path, "{e}/x{n}.wav", range(2))
    few = ("--features", "mfcc", "--jobs", 1)
    status, _, err = emoscope("compare", source, *few, "--models", "svm", "--out", tmp_path / "c")
    assert status == 2 and "--speaker 'REGEX'" in err and "random-" in err
    for options in ([], ["--one-speaker"]):
        model = tmp_path / f"{len(options)}.emoscope"
        status, out, err = emoscope("train", "mlp", source, *options, *few, "--out", model)
        assert status == 0 and "optimistic" in out and "unseen speaker" not in out + err
        status, out, err = emoscope("predict", source / "sad", "--model", model)
        assert status == 0 and err.count("optimistic") == 1 and "optimistic" not in out
        emoscope("export", model, "--hub", tmp_path / "hub", "--replace")
        card = (tmp_path / "hub" / "README.md").read_text()
        assert "optimistic" in card and "unseen speaker" not in card
        assert ("of one speaker" in card) == bool(options)


def test_one_clip_of_an_emotion_is_said_in_plain_words(emoscope, tmp_path):
    source, _ = recorded(tmp_path, "{e}/{s}_{k}.wav", range(2))
    for path in sorted((source / "sad").iterdir())[1:]:
        path.unlink()
    options = ["--speaker", "([a-z]+)_", "--features", "mfcc", "--models", "svm"]
    status, _, err = emoscope("compare", source, *options, "--out", tmp_path / "out")
    assert status == 2 and "no fold can train and test sad (1 clip)" in err
    assert "--emotions happy,angry leaves sad out" in err
