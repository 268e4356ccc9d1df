"""Sentences on both sides of a split: what an audit says of them, and what a comparison measures."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from emoscope.audit import audit
from emoscope.cli.comparing import SCRIPT_MODELS
from emoscope.corpus import Corpus
from emoscope.evaluation import comparison
from emoscope.evaluation.result import Result
from emoscope.features.table import Features
from emoscope.report import page, summary

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
    return audit(tmp_path / "split.csv", jobs=1, **options)


def test_audit_counts_shared_sentences_and_the_test_clips_that_say_them(tmp_path):
    train = [WRITTEN[0], "It is cold.", "It is cold.", ""]
    test = [*WRITTEN[1:], "Nobody knows.", "Nobody knew.", ""]
    outcome = split(train, test, tmp_path)
    (finding,) = (f for f in outcome.findings if f.kind == "same-sentence")
    assert finding.text == (
        "One sentence is spoken in both training and test: 60% of the test clips repeat a training "
        "sentence."
    )
    assert finding.evidence == [{"sentence": "the day is long"}]
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
    apart = audit(tmp_path)
    assert apart.n_splits == 24
    assert (apart.sentences.n_tested, apart.sentences.n_shared) == (4, 0)
    assert apart.verdict.startswith("No leak found.")
    document = json.loads((tmp_path / "results.json").read_text())
    every = [f"sentence {n}" for n in range(4)]
    document["config"]["folds"]["speaker+text"][0]["train_sentences"] = every
    (tmp_path / "results.json").write_text(json.dumps(document))
    assert audit(tmp_path).sentences.n_shared == 1
    compare(spoken, models=["tree"], protocol="loso").save(tmp_path)
    assert audit(tmp_path).sentences.share == 1


def test_script_gap_is_what_a_control_of_the_same_size_scores_more(spoken, tmp_path):
    without, result = compare(spoken), compare(spoken, script_gap=["svm"])
    old = result.predictions[result.predictions["protocol"] == "speaker-6fold"]
    pd.testing.assert_frame_equal(old, without.predictions)
    control, apart = (
        result.rows("svm", protocol) for protocol in ("speaker+text-control", "speaker+text")
    )
    pd.testing.assert_series_equal(
        control["clip"], apart["clip"], check_index=False, check_names=False
    )
    uar = [
        np.mean([(g["predicted"] == e).mean() for e, g in rows.groupby("emotion")])
        for rows in (control, apart)
    ]
    svm, tree = (
        next(r for r in result.leaderboard() if r.model == name) for name in ("svm", "tree")
    )
    assert svm.script_gap == pytest.approx(uar[0] - uar[1])
    assert svm.script_gap_low <= svm.script_gap <= svm.script_gap_high
    assert svm.script_gap_low > 0.1  # a sentence moves these features more than an emotion
    assert tree.script_gap is None
    assert all(
        part["n_train"] == other["n_train"]
        for part, other in zip(
            result.config["folds"]["speaker+text"],
            result.config["folds"]["speaker+text-control"],
            strict=True,
        )
    )
    loaded = Result.load(result.save(tmp_path))
    again = next(r for r in loaded.leaderboard() if r.model == "svm")
    assert (again.script_gap, again.script_gap_low) == (svm.script_gap, svm.script_gap_low)
    text = summary.script_gap(loaded, loaded.leaderboard()).text
    assert text.startswith(f"The script gap of svm is {svm.script_gap:+.3f} UAR (95 % interval +0.")
    html = page.render(loaded)
    assert "Script gap: unseen sentences" in html
    assert f'<td class="gap">{svm.script_gap:+.3f}</td>' in html


def test_where_sentences_do_not_matter_no_gap_is_claimed(spoken):
    corpus, features = spoken
    rng = np.random.default_rng(1)
    texts = [f"Sentence {n}." for n in rng.integers(0, 4, len(corpus))]
    table = corpus.table.assign(text=texts).drop(columns="unique_speaker")
    result = compare((Corpus("small", table), features), models=["svm"], script_gap=["svm"])
    (run,) = result.leaderboard()
    assert abs(run.script_gap) < 0.05
    assert run.script_gap_low < 0 < run.script_gap_high
    said = summary.script_gap(result, [run])
    assert not said.warn
    assert said.text.endswith("Knowing the sentences is not shown to change the score.")
    below = dataclasses.replace(run, script_gap=-0.2, script_gap_low=-0.3, script_gap_high=-0.1)
    assert summary.script_gap(result, [below]).text.endswith(
        "Knowing the sentences lowers the score."
    )


def test_a_comparison_under_speaker_text_runs_the_control_alone(spoken):
    result = compare(spoken, models=["svm"], protocol="speaker+text", script_gap=["svm"])
    assert [run.protocol for run in result.runs] == ["speaker+text", "speaker+text-control"]
    assert result.runs[0].script_gap > 0.1
    assert result.runs[1].script_gap is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.drop(columns="text"), "192 of 192 clips have none"),
        (lambda t: t.assign(text=t["text"].where(t.index > 1, "")), "2 of 192 clips have none"),
        (lambda t: t.assign(text=t["clip"]), "fewer than two sentences are spoken in several"),
        (
            lambda t: t.assign(text=t["text"].where(t["emotion"] != "sad", "Oh no.")),
            "tests sad and has no training clip",
        ),
    ],
)
def test_what_does_not_allow_a_script_gap_is_said(spoken, change, says):
    corpus, features = spoken
    table = change(corpus.table.drop(columns="unique_speaker"))
    result = compare((Corpus("small", table), features), models=["tree"], script_gap=["tree"])
    assert says in result.config["no_script_gap"]
    assert {run.protocol for run in result.runs} == {"speaker-6fold"}
    assert "no script gap" in page.render(result)
    assert summary.script_gap(result, result.leaderboard()) is None


@pytest.mark.parametrize("n_takes", [4, 5])
def test_every_quick_model_learns_from_the_least_that_a_fold_may_hold(n_takes):
    """Two speakers, two sentences, two emotions: a quarter of the clips trains."""
    cells = [
        (s, t, e)
        for s in "ab"
        for t in ("One.", "Two.")
        for e in ("sad", "happy")
        for _ in range(n_takes)
    ]
    table = pd.DataFrame(cells, columns=["speaker", "text", "emotion"])
    clips = [f"{n}" for n in range(len(table))]
    corpus = Corpus("tiny", table.assign(clip=clips, path="", label="", corpus="tiny"))
    x = np.random.default_rng(0).normal(size=(len(table), 5)).astype(np.float32)
    features = Features(
        clips=clips, specs=[{"name": "a", "version": 1}], columns=tuple("abcde"), X=x
    )
    result = compare(
        (corpus, {"vector": features}), models=SCRIPT_MODELS, protocol="loso",
        script_gap=SCRIPT_MODELS,
    )  # fmt: skip
    measured = {run.script_gap is not None for run in result.leaderboard()}
    assert measured == {n_takes >= 5}
    too_few = result.config.get("no_script_gap", "")
    assert too_few.endswith("from 4 clips; 5 are the least") == (n_takes == 4)


def test_compare_tells_the_script_gap(emoscope, tmp_path):
    status, out, err = emoscope(
        "compare", "--models", "lda,tree", "--features", "mfcc", "--emotions", "happy,sad", "--jobs", "1",
        "--out", str(tmp_path / "told"),
    )  # fmt: skip
    assert status == 0
    assert "The script gap of lda is " in out
    document = json.loads((tmp_path / "told" / "results.json").read_text())
    assert "script_gap_low" in document["runs"][0]
    status, out, err = emoscope(
        "compare", "--models", "lda", "--features", "mfcc", "--emotions", "happy,sad", "--jobs", "1",
        "--no-leak-gap",
        "--out", str(tmp_path / "quiet"),
    )  # fmt: skip
    assert (status, "script gap" in out + err) == (0, False)
    rows = (tmp_path / "quiet" / "predictions.csv").read_text()
    assert "speaker+text" not in rows
