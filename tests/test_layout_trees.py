"""Miniature trees of the corpora whose names tell everything."""

import itertools

import pytest

from emoscope import corpus
from emoscope.errors import CorpusError
from recordings import tree

# --- corpora whose names tell everything ----------------------------------------------------------


def product(form, **values):
    for chosen in itertools.product(*values.values()):
        yield form.format(**dict(zip(values, chosen, strict=True)))


TREES = {  # corpus → names, and numbers of clips, speakers, sentences, women's clips, rejected
    "mead": (
        product("{s}/audio/{e}/level_{v}/{n}.m4a", s=["M003", "W009"], e=["angry", "disgusted", "contempt"],
                v="12", n=["001", "002"]),
        (16, 2, 2, 8, 8),
    ),
    "subesco": (
        product("{s}_S_{t}_{e}_{k}.wav", s=["F_02_MONIKA", "M_02_NIPUN", "M_10_EVAN"], t=[1, 10],
                e=["ANGRY", "FEAR"], k=[1, 5]),
        (24, 3, 2, 8, 0),
    ),
    "cafe": (
        product("{s}-{e}-{v}-{t}.wav", s=["01", "12"], e="CDJPST", v="12", t="16"),
        (48, 2, 2, 24, 0),
    ),
    "nemo": (
        product("samples/{s}_{e}_{t}.wav", s=["EB0", "WR0"], e=["anger", "surprised"], t=[1, 90]),
        (8, 2, 2, 4, 0),
    ),
    "emospeech": (
        product("webservice/{w}-safe-{e}-{k}-{s}.opus", w=["yes", "bacho"], e=["calm", "angry"],
                k=["1562996360436", "??"], s=["c7b431195e28", "3d9d3e0eb86e"]),
        (16, 2, 2, None, 0),
    ),
    "ased": (
        product("0{e}/{e}-{t}-{k}-{s}.wav", e=["a5", "f2", "s4", "n1"], t=["01", "07"], k=["01", "02"],
                s=["01-01", "02-65"]),
        (32, 2, 2, 16, 0),
    ),
    "urdu": (
        product("{e}/{s}_F1_{e}01.wav", e="AHNS", s=["SM1", "SM27", "SF11"]),
        (12, 3, None, 4, 0),
    ),
    "turev": (
        product("{e}/{s}_{e}_{w}.wav", e=["kz", "sk", "mt", "hl"], s=["1157", "7895"], w=["melek", "ogul1"]),
        (16, 2, 2, None, 0),
    ),
    "jlcorpus": (
        product("{s}_{e}_{t}_{k}.wav", s=["female1", "male2"], e=["angry", "sad", "anxious", "excited"],
                t=["1a", "15b"], k="12"),
        (16, 2, 2, 8, 16),
    ),
    "shemo": (
        product("{s}{e}0{k}.wav", s=["F31", "M56"], e="AFHNSW", k="12"),
        (24, 2, None, 12, 0),
    ),
    "aesdd": (
        product("{e}/{e}{t} ({s}){k}.wav", e="adfhs", t=["01", "20"], s="16", k=["", "b"]),
        (40, 2, 11, None, 0),
    ),
    "mesd": (
        product("{e}_{v}_A_{w}.wav", e=["Anger", "Happiness"], v="FMC", w=["hola", "basta_ya"]),
        (12, 0, 2, 4, 0),
    ),
    "savee": (
        product("{s}/{e}{t}.wav", s=["DC", "KL"], e=["a", "sa", "n"], t=["01", "15"]),
        (12, 2, 4, 0, 0),
    ),
    "emovo": (
        product("{s}/{e}-{s}-{t}.wav", s=["f1", "m3"], e=["rab", "gio"], t=["b1", "n5"]),
        (8, 2, 2, 4, 0),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TREES)
def test_a_miniature_tree_of(tmp_path, name):
    names, (clips, speakers, texts, women, rejected) = TREES[name]
    loaded = corpus.load(tree(tmp_path, names))
    table = loaded.table
    assert (loaded.name, len(loaded), len(loaded.rejected)) == (name, clips, rejected)
    assert len(loaded.speakers) == speakers and loaded.licence and loaded.citation
    assert loaded.speakers_from.kind == ("rule" if speakers else "none")
    assert ("text" in table) == (texts is not None) and (
        table.get("text") is None or table["text"].nunique() == texts
    )
    assert ("gender" in table) == (women is not None)
    assert women is None or (table["gender"] == "female").sum() == women
    assert all("--label" in error.reason for error in loaded.rejected)


def test_labels_that_are_no_emotion_alone_are_explained(tmp_path):
    names = product("M003/audio/contempt/level_{v}/{n}.m4a", v="12", n=["001", "002"])
    with pytest.raises(CorpusError, match=r"'contempt' \(4\).*--label contempt=EMOTION"):
        corpus.load(tree(tmp_path, names))


def test_a_corpus_whose_names_do_not_tell_voices_guesses_none(tmp_path):
    names = product("{e}_{v}_A_{w}.wav", e=["Anger", "Fear"], v="FMC", w=["hola", "hoy", "no"])
    loaded = corpus.load(tree(tmp_path, names))
    assert loaded.speakers == [] and loaded.speakers_from.kind != "rule"
