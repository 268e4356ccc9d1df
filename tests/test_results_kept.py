"""What a run has left stays until somebody says otherwise; what an evaluation of a model tells."""

import json
import shutil

import pandas as pd
import pytest

from emoscope.errors import ModelError
from emoscope.files import DATA
from emoscope.prediction import Predictor
from small_corpus import make_corpus

DEFAULT_MODEL = f"{DATA}/default.emoscope"


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A manifest of 24 clips by six speakers."""
    folder = tmp_path_factory.mktemp("clips")
    table = make_corpus(folder / "clips", n_clips=24).table
    table["speaker"] = [str(number % 6) for number in range(24)]
    table["emotion"] = ["happy" if number // 6 % 2 else "sad" for number in range(24)]
    table[["path", "emotion", "speaker"]].to_csv(folder / "clips.csv", index=False)
    return folder / "clips.csv"


def contents(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_comparison_stays_when_others_come_to_its_place(emoscope, clips, tmp_path):
    comparison = [
        "compare", clips, "--features", "mfcc", "--models", "dummy,svm", "--no-leak-gap",
        "--jobs", 1, "--out", tmp_path / "out",
    ]  # fmt: skip
    assert emoscope(*comparison)[0] == 0
    before = contents(tmp_path)
    for words in (
        ["evaluate", DEFAULT_MODEL, clips],
        ["tune", "svm", clips, "--features", "mfcc", "--trials", 1],
        ["compare", clips, "--features", "mfcc", "--models", "dummy"],
        ["compare", clips, "--features", "mfcc", "--models", "dummy,svm", "--emotions", "sad"],
    ):
        status, _, err = emoscope(*words, "--out", tmp_path / "out")
        said = " ".join(err.split())
        assert status == 2 and "exists, made by: emoscope compare " in said and "--replace" in said
        assert "UTC" in said
    quick = ["--quick", "--rows", "max_depth 2", "--jobs", 1]
    assert emoscope("reproduce", *quick, "--out", tmp_path / "out")[0] == 0
    after = contents(tmp_path)
    assert {path: after[path] for path in before} == before
    assert emoscope(*comparison)[0] == 0  # the same again, in other words
    again = [word if word != "dummy,svm" else "dummy, svm" for word in comparison]
    assert emoscope(*again, "--quiet")[0] == 0
    record = tmp_path / "out" / "run.toml"
    assert emoscope("compare", "--config", record)[0] == 0
    assert emoscope("evaluate", DEFAULT_MODEL, clips, "--out", tmp_path / "out", "--replace")[0] < 2
    document = json.loads((tmp_path / "out" / "results.json").read_text())
    assert document["runs"][0]["protocol"] == "evaluate"
    assert "[evaluate]" in record.read_text()


def test_a_file_of_somebody_elses_is_not_replaced(emoscope, clips, tmp_path):
    (tmp_path / "predictions.csv").write_text("mine\n")
    words = ["compare", clips, "--features", "mfcc", "--models", "dummy", "--out", tmp_path]
    status, _, err = emoscope(*words)
    assert status == 2 and "predictions.csv: already exists" in " ".join(err.split())
    assert (tmp_path / "predictions.csv").read_text() == "mine\n"


@pytest.mark.parametrize("fault", [["--protocol", "nothing"], ["--emotions", "sad"]])
def test_wrong_usage_leaves_no_folder(emoscope, clips, tmp_path, monkeypatch, fault):
    monkeypatch.chdir(tmp_path)
    assert emoscope("compare", clips, "--features", "mfcc", "--models", "dummy", *fault)[0] == 2
    assert emoscope("tune", "svm", clips, "--features", "mfcc", *fault, "--out", "a/b")[0] == 2
    assert list(tmp_path.iterdir()) == []


def test_a_folder_for_results_is_not_called_like_one_of_them(emoscope, clips, tmp_path):
    out = tmp_path / "mine" / "results.json"
    status, _, err = emoscope("compare", clips, "--features", "mfcc", "--out", out)
    assert status == 2 and "looks like a file; give a folder" in " ".join(err.split())
    assert not out.parent.exists()


def test_a_model_is_replaced_by_the_same_command_alone(emoscope, clips, tmp_path):
    words = ["train", "lda", clips, "--features", "mfcc", "--out", tmp_path / "m.emoscope"]
    assert emoscope(*words)[0] == 0
    assert emoscope(*words)[0] == 0
    before = contents(tmp_path)
    status, _, err = emoscope(*words, "--seed", 1)
    assert status == 2 and "exists, made by: emoscope train lda " in " ".join(err.split())
    shutil.copy(DEFAULT_MODEL, tmp_path / "other.emoscope")
    assert emoscope(*words[:-1], tmp_path / "other.emoscope")[0] == 2
    (tmp_path / "other.emoscope").unlink()
    assert contents(tmp_path) == before
    assert emoscope(*words, "--seed", 1, "--replace")[0] == 0
    assert contents(tmp_path) != before


def test_an_evaluation_tells_free_answers_beside_those_of_the_corpus(emoscope, clips, tmp_path):
    (tmp_path / "more.csv").write_text(
        clips.read_text().replace(",happy,4", ",fearful,4").replace(",happy,5", ",fearful,5")
    )
    words = ["evaluate", "free", tmp_path / "more.csv", "--emotions", "sad,happy", "--jobs", 1]
    status, out, err = emoscope(*words, "--out", tmp_path / "e")
    assert status == 0
    (run,) = json.loads((tmp_path / "e" / "results.json").read_text())["runs"]
    rows = pd.read_csv(tmp_path / "e" / "predictions.csv", dtype=str)
    assert set(rows["predicted"]) <= {"happy", "sad"} and run["chance"] == 0.5
    freely = {
        row["clip"]: Predictor("free").predict(clips.parent / row["clip"]).emotion
        for _, row in rows.iterrows()
    }
    right = rows["clip"].map(freely) == rows["emotion"]
    assert run["free"]["uar"] == pytest.approx(right.groupby(rows["emotion"]).mean().mean())
    assert run["free"]["chance"] == pytest.approx(1 / 7)
    assert (
        f"UAR {run['free']['uar']:.3f}" in out and "chance 0.143" in out and "chance 0.500" in out
    )
    said = " ".join(err.split())
    (absent,) = [note for note in err.splitlines() if "the corpus has no" in note]
    assert "fearful" not in absent and "angry" in absent
    assert "left out as asked (--emotions): fearful" in said
    page = (tmp_path / "e" / "report.html").read_text()
    assert "answering freely among its 7 emotions" in page


def test_the_names_of_shipped_models_mean_them_everywhere(emoscope, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "free").write_text("not a model")
    assert Predictor("free").card.name == "emoscope-free"
    assert Predictor("default").model.identity == Predictor().model.identity
    with pytest.raises(ModelError, match="not a usable model"):
        Predictor("./free")
    with pytest.raises(ModelError, match="not a usable model"):
        Predictor(tmp_path / "free")
    assert emoscope("export", "free", "--onnx", "graph.onnx")[0] == 0
