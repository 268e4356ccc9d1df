"""Several ratings of one clip: the majority, ties, duplicates, and how far raters agree."""

import os

import numpy as np
import pytest

from emoscope import corpus
from emoscope.corpus import ratings
from emoscope.errors import CorpusError


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
        ("b.wav", "its raters are tied (happy 1, sad 1): no emotion has a majority")
    ]
    (agreement,) = loaded.agreements
    assert (agreement.n_clips, agreement.n_ratings, agreement.n_tied) == (2, 5, 1)
    assert loaded.notes == [
        "2 clips of m have several ratings, 5 in all, and take the emotion of the majority; 1 have "
        "none and are left out; Krippendorff's alpha is 0.000; single ratings have UAR 0.000 against "
        "the clip's others"
    ]


def test_unnamed_raters_vote_where_labels_differ_and_repeat_where_they_do_not(tmp_path):
    columns = "file,emotion,speaker"
    rows = ["a.wav,sad,s1", "a.wav,sad,s1", "a.wav,angry,s1", "b.wav,happy,s1", "b.wav,happy,s1"]
    loaded = load(tmp_path, *rows, columns=columns)
    assert loaded.table["emotion"].tolist() == ["sad", "happy"]
    assert loaded.table["ratings"].tolist() == ["sad 2, angry 1", "happy 2"]
    assert not loaded.rejected
    again = load(tmp_path, *rows[3:], columns=columns)
    assert left_out(again) == [("b.wav", "listed more than once; its first row is used")]
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
    again = ("a.wav", "listed more than once by anna; its first row is used")
    assert left_out(loaded) == [again, again]


def test_ratings_of_another_part_or_split_are_of_another_clip(tmp_path):
    rows = ["a.wav,sad,s1,0,1,train", "a.wav,angry,s1,1,2,train", "a.wav,happy,s1,0,1,test"]
    loaded = load(tmp_path, *rows, columns="file,emotion,speaker,start,end,split")
    assert loaded.table["emotion"].tolist() == ["sad", "angry", "happy"]
    assert not loaded.agreements


def test_when_every_clip_is_tied_the_first_is_named(tmp_path):
    with pytest.raises(CorpusError, match="its raters are tied .sad 1, happy 1."):
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


def test_human_uar_holds_each_rating_against_the_others():
    """Of 3 to 1, the three are right and the one is wrong; of 2 to 2 each meets two of the other."""
    assert ratings.human_uar(np.array([[3.0, 1.0]])) == 0.75
    assert ratings.human_uar(np.array([[2.0, 2.0]])) == 0.0
    assert ratings.human_uar(np.array([[4.0, 0.0], [1.0, 2.0]])) == 0.5
    assert ratings.human_uar(np.array([[1.0, 0.0]])) is None
