"""Sentences on both sides of a split: what an audit says of them, and what a comparison measures."""

import json

import numpy as np
import pandas as pd
import pytest

from emoscope.audit import audit
from emoscope.corpus import Corpus
from emoscope.evaluation import comparison
from emoscope.features.table import Features

EMOTIONS = ("happy", "sad", "angry")
#: The same words as others write them.
WRITTEN = ("The day is long.", "the day is LONG", "The day — is long!", "The  day is long …")


def split(train, test, tmp_path, **options):
    """The audit of a manifest that lists these sentences, each clip of its own speaker."""
    rows = [
        {"file": f"{side}{n}.wav", "speaker": f"{side}{n}", "emotion": EMOTIONS[n % 3],
         "text": text, "split": side}
        for side, texts in (("train", train), ("test", test))
        for n, text in enumerate(texts)
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(tmp_path / "split.csv", index=False)
    return audit(tmp_path / "split.csv", jobs=1, inflation=False, **options)


def test_audit_counts_shared_sentences_and_the_test_clips_that_say_them(tmp_path):
    train = [WRITTEN[0], "It is cold.", "It is cold.", ""]
    test = [*WRITTEN[1:], "Nobody knows.", "Nobody knew.", ""]
    outcome = split(train, test, tmp_path)
    (finding,) = (f for f in outcome.findings if f.kind == "same-sentence")
    assert finding.text == (
        "One sentence is spoken in training and test: 60% of the test clips say what training clips "
        "say."
    )
    assert finding.evidence == [{"sentence": "the day is long", "train_clips": 1, "test_clips": 3}]
    told = outcome.as_dict()["sentences"]
    assert told == {"n_tested": 3, "n_shared": 1, "share": 0.6}


def test_audit_of_sentences_that_are_apart_or_unknown(tmp_path):
    apart = split(["One.", "Two.", "Three."], ["Four.", "Five.", "Six."], tmp_path)
    assert apart.verdict.startswith("No leak found.")
    assert "same-sentence" not in {f.kind for f in apart.findings}
    assert (apart.sentences.n_tested, apart.sentences.n_shared, apart.sentences.share) == (3, 0, 0)
    unknown = split(["One.", "Two.", "Three."], ["", "", ""], tmp_path)
    assert unknown.sentences is None
    assert unknown.as_dict()["sentences"] is None


@pytest.mark.parametrize("seed", range(20))
def test_audit_finds_every_planted_sentence(seed, tmp_path):
    """Clips of 40 sentences, divided by sentence; in every other corpus some are put back."""
    rng = np.random.default_rng(seed)
    names = [f"Sentence number {n}." for n in range(40)]
    train = list(rng.choice(names[:30], 60))
    test = list(rng.choice(names[30:], 20))
    planted = list(rng.choice(test, 1 + seed % 5)) if seed % 2 else []
    train += [rng.choice([str.upper, str.lower, lambda s: s.rstrip(".")])(s) for s in planted]
    outcome = split(train, test, tmp_path)
    found = [f for f in outcome.findings if f.kind == "same-sentence"]
    assert bool(found) == bool(planted)
    if planted:
        assert found[0].count == len(set(planted))
        assert outcome.sentences.share == np.isin(test, planted).mean()


@pytest.fixture(scope="module")
def spoken():
    """Eight speakers say four sentences in three emotions; what a sentence does hides the emotion."""
    rng = np.random.default_rng(0)
    n_emotions, n_sentences = len(EMOTIONS), 4
    of_sentence = rng.normal(size=(n_emotions, n_sentences, 12)) * 2
    rows, values = [], []
    for speaker in range(8):
        for n in range(n_sentences * n_emotions * 2):
            emotion, sentence = n % n_emotions, n // n_emotions % n_sentences
            name = EMOTIONS[emotion]
            rows.append(
                {"clip": f"{speaker}-{n:02d}", "path": "", "emotion": name, "label": name,
                 "speaker": f"s{speaker}", "corpus": "small", "text": f"Sentence {sentence}."}
            )  # fmt: skip
            here = of_sentence[emotion, sentence] + rng.normal(size=12)
            here[emotion] += 1
            values.append(here)
    columns = tuple(f"a_{i}" for i in range(12))
    features = Features(
        clips=[row["clip"] for row in rows], specs=[{"name": "a", "version": 1}], columns=columns,
        X=np.asarray(values, np.float32),
    )  # fmt: skip
    return Corpus("small", pd.DataFrame(rows)), {"vector": features}


def compare(spoken, **options):
    options = {"models": ["svm", "tree"], "leak_protocol": None, "jobs": 1, **options}
    return comparison.compare(*spoken, **options)


def test_a_saved_result_under_speaker_text_is_audited_by_its_own_sentences(spoken, tmp_path):
    result = compare(spoken, models=["tree"], protocol="speaker+text")
    result.save(tmp_path)
    apart = audit(tmp_path, inflation=False)
    assert apart.n_splits == 24
    assert (apart.sentences.n_tested, apart.sentences.n_shared) == (4, 0)
    assert apart.verdict.startswith("No leak found.")
    document = json.loads((tmp_path / "results.json").read_text())
    every = [f"sentence {n}" for n in range(4)]
    document["config"]["folds"]["speaker+text"][0]["train_sentences"] = every
    (tmp_path / "results.json").write_text(json.dumps(document))
    assert audit(tmp_path, inflation=False).sentences.n_shared == 1
    compare(spoken, models=["tree"], protocol="loso").save(tmp_path)
    assert audit(tmp_path, inflation=False).sentences.share == 1
