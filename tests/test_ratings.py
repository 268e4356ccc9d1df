"""Several ratings of one clip: the majority, ties, duplicates, and how far raters agree."""

import dataclasses
import json
import os

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from emoscope import corpus, models
from emoscope.corpus import Corpus, ratings
from emoscope.errors import CorpusError, FeatureError, UnknownNameError
from emoscope.evaluation import comparison, engine
from emoscope.features.table import Features
from emoscope.report import page


def load(tmp_path, *rows, columns="file,emotion,speaker,rater"):
    path = tmp_path / "m.csv"
    path.write_text("\n".join([columns, *rows]) + "\n")
    return corpus.load(path)


def left_out(loaded):
    return [(os.path.basename(bad.path), bad.reason) for bad in loaded.rejected]


def test_the_majority_counts_and_a_tie_is_named(tmp_path):
    loaded = load(
        tmp_path,
        "a.wav,sad,s1,anna", "a.wav,angry,s1,ben", "a.wav,anger,s1,cleo",
        "b.wav,happy,s2,anna", "b.wav,sad,s2,ben",
        "c.wav,happy,s1,anna",
    )  # fmt: skip
    table = loaded.table.set_index("clip")
    assert table["emotion"].to_dict() == {"a.wav": "angry", "c.wav": "happy"}
    assert table["ratings"].to_dict() == {"a.wav": "angry 2, sad 1", "c.wav": ""}
    assert table["rater"].to_dict() == {"a.wav": "anna, ben, cleo", "c.wav": "anna"}
    assert table.loc["a.wav", "label"] == "angry"
    assert left_out(loaded) == [
        ("b.wav", "its ratings are tied (happy 1, sad 1): no emotion has a majority")
    ]
    (agreement,) = loaded.agreements
    assert (agreement.n_clips, agreement.n_ratings, agreement.n_tied) == (2, 5, 1)
    assert loaded.notes == [
        "2 clips of m have several ratings (5 in all); each gets the majority emotion; 1 have "
        "no majority and are left out; Krippendorff's alpha is 0.000"
    ]


def test_unnamed_raters_vote_where_labels_differ_and_repeat_where_they_do_not(tmp_path):
    columns = "file,emotion,speaker"
    rows = ["a.wav,sad,s1", "a.wav,sad,s1", "a.wav,angry,s1", "b.wav,happy,s1", "b.wav,happy,s1"]
    loaded = load(tmp_path, *rows, columns=columns)
    assert loaded.table["emotion"].tolist() == ["sad", "happy"]
    assert loaded.table["ratings"].tolist() == ["sad 2, angry 1", "happy 2"]
    assert not loaded.rejected
    again = load(tmp_path, *rows[3:], columns=columns)
    assert left_out(again) == [("b.wav", "listed more than once; the first row is used")]
    assert not again.agreements
    assert "ratings" not in again.table


@pytest.mark.parametrize("alias", ["annotator", "worker_id", "coder", "Rater"])
def test_what_one_rater_says_twice_counts_once(tmp_path, alias):
    loaded = load(
        tmp_path,
        "a.wav,sad,s1,anna", "a.wav,sad,s1,anna", "a.wav,angry,s1,anna", "a.wav,sad,s1,ben",
        columns=f"file,emotion,speaker,{alias}",
    )  # fmt: skip
    assert loaded.table["ratings"].tolist() == ["sad 2"]
    again = ("a.wav", "listed more than once by anna; the first row is used")
    assert left_out(loaded) == [again, again]


def test_ratings_of_another_part_or_split_are_of_another_clip(tmp_path):
    rows = ["a.wav,sad,s1,0,1,train", "a.wav,angry,s1,1,2,train", "a.wav,happy,s1,0,1,test"]
    loaded = load(tmp_path, *rows, columns="file,emotion,speaker,start,end,split")
    assert loaded.table["emotion"].tolist() == ["sad", "angry", "happy"]
    assert not loaded.agreements


def test_when_every_clip_is_tied_the_first_is_named(tmp_path):
    with pytest.raises(CorpusError, match="its ratings are tied .sad 1, happy 1."):
        load(tmp_path, "a.wav,sad,s1,anna", "a.wav,happy,s1,ben")


#: The ratings of 12 units by 4 observers in K. Krippendorff, Computing Krippendorff's
#: Alpha-Reliability, 2011, part C: the published nominal alpha is 0.743.
OBSERVERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
    [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
]


def test_alpha_is_the_published_one():
    values = np.array(OBSERVERS)
    counts = np.stack([(values == value).sum(axis=0) for value in range(1, 6)], axis=1)
    assert ratings.krippendorff_alpha(counts.astype(float)) == pytest.approx(0.743, abs=5e-4)
    assert ratings.krippendorff_alpha(np.array([[3.0, 0.0], [2.0, 0.0]])) is None


RATED = pd.DataFrame(
    {
        "emotion": ["angry", "sad", "happy", "sad"],
        "ratings": ["angry 2, sad 1", "", "happy 3, bored 1", "sad 2"],
    }
)


def test_shares_are_those_of_the_emotions_that_clips_have():
    shares = ratings.shares(RATED)
    assert list(shares.columns) == ["angry", "happy", "sad"]
    np.testing.assert_allclose(
        shares.to_numpy(), [[2 / 3, 0, 1 / 3], [0, 0, 1], [0, 1, 0], [0, 0, 1]]
    )
    assert ratings.shares(RATED, "majority") is None
    with pytest.raises(CorpusError, match="--raters soft: no clip has several ratings"):
        ratings.shares(RATED.drop(columns="ratings"))
    with pytest.raises(UnknownNameError, match="majority, soft"):
        ratings.shares(RATED, "mean")


class Spy(ClassifierMixin, BaseEstimator):
    """Predicts the shares of the weights that it was given."""

    def fit(self, X, y, sample_weight=None):
        weights = np.ones(len(y)) if sample_weight is None else sample_weight
        self.classes_ = np.unique(y)
        self.shares_ = np.array([weights[y == c].sum() for c in self.classes_])
        return self

    def predict(self, X):
        return np.repeat(self.classes_[self.shares_.argmax()], len(X))

    def predict_proba(self, X):
        return np.tile(self.shares_ / self.shares_.sum(), (len(X), 1))


@pytest.fixture
def rated():
    """Four speakers, six clips each; of each speaker one sad clip is angry to one of three raters."""
    rows = [
        {"clip": f"{s}-{n}", "path": "", "label": "", "corpus": "rated", "speaker": f"s{s}",
         "emotion": ("sad", "angry")[n % 2], "ratings": "sad 2, angry 1" if n == 0 else ""}
        for s in range(4)
        for n in range(6)
    ]  # fmt: skip
    rng = np.random.default_rng(0)
    columns = tuple("abcdefgh")
    x = rng.normal(size=(len(rows), len(columns))).astype(np.float32)
    clips, specs = [row["clip"] for row in rows], [{"name": "a", "version": 1}]
    features = Features(clips=clips, specs=specs, columns=columns, X=x)
    return Corpus("rated", pd.DataFrame(rows)), {"vector": features}


def compare(rated, models, raters, **options):
    options = {"protocol": "loso", "leak_protocol": None, "jobs": 1, "raters": raters, **options}
    return comparison.compare(*rated, models=models, **options)


def test_soft_weighs_each_clip_once_and_its_emotions_by_their_shares(rated):
    """Nine sad and nine angry clips of three speakers train; three of the sad are angry by a third."""
    hard, soft = (
        compare(rated, {"spy": Spy()}, raters).predictions for raters in ("majority", "soft")
    )
    np.testing.assert_allclose(hard["p_angry"], 0.5)
    np.testing.assert_allclose(soft["p_angry"], 10 / 18)
    np.testing.assert_allclose(soft["p_angry"] + soft["p_sad"], 1)
    piped = {"spy": make_pipeline(StandardScaler(), Spy())}
    np.testing.assert_allclose(compare(rated, piped, "soft").predictions["p_angry"], 10 / 18)
    trained = engine.fit(
        Spy(), rated[1]["vector"].X, rated[0].table["emotion"].to_numpy(dtype=str),
        rated[0].table["speaker"].to_numpy(dtype=str), ratings.shares(rated[0].table),
    )  # fmt: skip
    np.testing.assert_allclose(trained.shares_, [12 + 4 / 3, 12 - 4 / 3])


@pytest.mark.parametrize("model", ["svm", "svm-rbf", "tree"])
def test_models_that_take_weights_learn_the_majority_where_raters_agree(rated, model):
    corpus, features = rated
    said = corpus.table["emotion"] + " 3"
    agreed = Corpus("rated", corpus.table.assign(ratings=said).drop(columns="unique_speaker"))
    hard, soft = (
        compare((agreed, features), [model], raters).predictions for raters in ("majority", "soft")
    )
    pd.testing.assert_frame_equal(hard, soft)
    other = compare(rated, [model], "soft").predictions
    assert not np.allclose(other["p_sad"], hard["p_sad"])


def test_models_without_weights_are_named(rated):
    with pytest.raises(FeatureError, match="lda: it takes no weights of clips"):
        compare(rated, ["lda"], "soft")
    with pytest.raises(FeatureError, match="own: takes no weights of clips"):
        compare(rated, {"own": KNeighborsClassifier()}, "soft")
    left = comparison.incompatible_models(
        {name: models.get(name) for name in ("svm", "lda")}, rated[1], "soft"
    )
    assert list(left) == ["lda"]


def test_agreement_is_in_the_result_and_the_report(rated, tmp_path):
    corpus, features = rated
    agreement = ratings.Agreement("m", 4, 12, 1, 0.25)
    told = dataclasses.replace(
        corpus, table=corpus.table.drop(columns="unique_speaker"), notes=[str(agreement)],
        agreements=[agreement],
    )  # fmt: skip
    result = compare((told, features), ["tree"], "majority")
    document = json.loads((result.save(tmp_path) / "results.json").read_text())
    assert document["corpus"]["raters"] == [
        {"source": "m", "n_clips": 4, "n_ratings": 12, "n_tied": 1, "alpha": 0.25}
    ]
    assert "alpha is 0.250" in page.render(result)


def test_ratings_that_are_no_emotions_are_votes_too(tmp_path):
    rows = [("a", "sad", 1), ("a", "frustrated", 2), ("a", "frustrated", 3), ("b", "sad", 1)]
    rows += [("b", "sad", 2), ("b", "frustrated", 3)]
    text = "".join(f"{name}.wav,{word},r{rater}\n" for name, word, rater in rows)
    (tmp_path / "m.csv").write_text(f"file,emotion,rater\n{text}")
    loaded = corpus.load(tmp_path / "m.csv")
    assert loaded.table["clip"].tolist() == ["b.wav"]
    assert "(sad 1, but frustrated 2)" in loaded.rejected[-1].reason
