"""What goes out in the forms of others comes back the same, and others can read it."""

import errno
import json
import os

import numpy as np
import onnxruntime
import pandas as pd
import pytest

from emoscope import corpus, dataset, modelfile
from emoscope.corpus import writing
from emoscope.errors import CorpusError, UnknownNameError
from emoscope.evaluation.result import Result, Run
from emoscope.features.table import Features
from emoscope.files import DATA
from emoscope.training import publishing
from small_corpus import make_corpus

KEPT = ["clip", "emotion", "speaker", "corpus", "gender", "age", "text"]


@pytest.fixture
def own(tmp_path):
    """A small corpus with facts about clips and speakers, and awkward characters in them."""
    table = make_corpus(tmp_path / "clips", n_clips=8).table
    table["gender"] = ["female" if s in "02" else "male" for s in table["speaker"]]
    table["age"] = [str(30 + int(s)) for s in table["speaker"]]
    table["text"] = ["it's, 'quoted'", "über 100 %", '"x"\\n', "", "a", "b", "c", "d"]
    return corpus.Corpus("synthetic", table, licence="CC BY 4.0", citation="Nobody (2020).")


def assert_same(read, own, columns=KEPT):
    assert not read.rejected
    table = read.table.sort_values("clip").reset_index(drop=True)
    for column in columns:
        assert table[column].tolist() == own.table[column].tolist(), column
    for there, here in zip(table["path"], own.table["path"], strict=True):
        with open(there, "rb") as one, open(here, "rb") as other:
            assert one.read() == other.read()


@pytest.mark.parametrize("format", ["audformat", "huggingface"])
@pytest.mark.parametrize("splits", [False, True])
def test_folders_come_back_and_can_be_moved(own, tmp_path, format, splits):
    if splits:
        own.table["split"] = ["train"] * 5 + ["test"] * 3
    folder = tmp_path / "made"
    written = writing.write(own, folder, format=format)
    assert written.table["path"].str.startswith(str(folder)).all()
    moved = folder.rename(tmp_path / "moved")
    read = corpus.load(moved)
    assert_same(read, own, [*KEPT, "split"] if splits else KEPT)
    if format == "audformat":
        assert (read.name, read.licence) == ("synthetic", "CC BY 4.0")
    else:
        told = (moved / "README.md").read_text()
        assert "license_name: CC BY 4.0" in told and "Nobody (2020)." in told


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_manifests_come_back(own, tmp_path, ending):
    for path in (tmp_path / f"clips.{ending}", tmp_path / "else" / f"x.{ending}"):
        writing.write(own, path)
        assert_same(corpus.load(path), own)


def test_audformat_reads_its_database(own, tmp_path):
    audformat = pytest.importorskip("audformat")
    own.table["split"] = ["train"] * 5 + ["test"] * 3
    folder = tmp_path / "made"
    writing.write(own, folder, format="audformat")
    database = audformat.Database.load(str(folder))
    assert database.is_portable and set(database.tables) == {
        "files", "emotion.train", "emotion.test",
    }  # fmt: skip
    assert database.tables["emotion.train"].split_id == "train"
    got = database["files"]["speaker"].get(map="gender")
    assert got.tolist() == own.table["gender"].tolist()
    emotions = pd.concat([database[f"emotion.{n}"]["emotion"].get() for n in ("train", "test")])
    assert emotions.tolist() == own.table["emotion"].tolist()
    assert all((folder / file).is_file() for file in database.files)


def test_interchange_refuses(own, tmp_path):
    with pytest.raises(UnknownNameError, match="audformat"):
        writing.write(own, tmp_path / "x", format="audformatt")
    own.table["path"] = str(tmp_path / "gone.wav")
    with pytest.raises(
        CorpusError, match="no recording could be written there; first: .*gone.wav: no such"
    ):
        writing.write(own, tmp_path / "x", format="huggingface")


@pytest.mark.parametrize("format", ["audformat", "huggingface"])
def test_what_cannot_be_copied_is_named_and_the_rest_delivered(emoscope, own, tmp_path, format):
    os.mkfifo(tmp_path / "fifo.wav")
    own.table.loc[[0, 3, 5], "path"] = [
        str(tmp_path / "gone.wav"), str(tmp_path / "fifo.wav"), "s3://nobody/a.wav",
    ]  # fmt: skip
    manifest, folder = tmp_path / "clips.csv", tmp_path / "made"
    writing.write(own, manifest)
    status, out, err = emoscope("convert", manifest, "--format", format, "--out", folder)
    assert status == 1 and "5 clips" in out
    for reason in (
        "gone.wav: no such file",
        "fifo.wav: not a regular",
        "s3://nobody/a.wav: is not",
    ):
        assert reason in err
    assert sorted(corpus.load(folder).table["clip"]) == sorted(own.table["clip"].drop([0, 3, 5]))


def test_convert_and_extract_from_the_command_line(emoscope, own, tmp_path):
    manifest = tmp_path / "clips.csv"
    writing.write(own, manifest)
    folder, table = tmp_path / "database", tmp_path / "features.csv"
    status, out, _ = emoscope("convert", manifest, "--format", "audformat", "--out", folder)
    assert status == 0 and "8 clips" in out and (folder / "db.yaml").is_file()
    status, _, _ = emoscope("extract", folder, "--features", "mel", "--jobs", 1, "--out", table)
    assert status == 0 and "mel_128" in pd.read_csv(table)


def test_onnx_explains_itself_and_computes_the_same(tmp_path):
    model = modelfile.load("free", optimise=False)
    path = publishing.to_onnx(model, tmp_path / "free.onnx")
    session = onnxruntime.InferenceSession(path.read_bytes())
    told = session.get_modelmeta().custom_metadata_map
    assert told == publishing.metadata(model.card)
    assert tuple(json.loads(told["emotions"])) == model.card.emotions
    assert "mono speech in [-1, 1] at 16000 Hz" in told["signature"]
    sound = np.random.default_rng(0).normal(0, 0.05, (1, 16000)).astype(np.float32)
    logits, _ = session.run(["logits", "embedding"], {"samples": sound})
    np.testing.assert_allclose(logits, model.run(sound)[0], rtol=1e-4, atol=1e-4)


def test_onnx_library_accepts_the_file(tmp_path):
    onnx = pytest.importorskip("onnx")
    model = modelfile.load("free", optimise=False)
    graph = onnx.load(publishing.to_onnx(model, tmp_path / "free.onnx"))
    found = {pair.key: pair.value for pair in graph.metadata_props}
    assert found["licence"] == model.card.licence
    onnx.checker.check_model(graph)


def test_hub_repository(emoscope, tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    status, _, _ = emoscope("export", f"{DATA}/default.emoscope", "--hub", tmp_path / "repository")
    folder = tmp_path / "repository"
    assert status == 0
    card = modelfile.load(f"{DATA}/default.emoscope", optimise=False).card
    assert {path.name for path in folder.iterdir()} == {
        "README.md", "config.json", "model.onnx", f"{card.name}.emoscope",
    }  # fmt: skip
    told = hub.ModelCard.load(folder / "README.md")
    assert told.data.license == "cc-by-nc-sa-4.0" and told.data.library_name == "emoscope"
    measured = {(r.dataset_name, r.metric_name): r.metric_value for r in told.data.eval_results}
    first = card.results[0]
    key = f"{first.corpus}, {first.protocol}"
    assert measured[key, "UAR"] == pytest.approx(first.uar, abs=1e-4)
    assert f"{first.uar:.3f}" in told.text and "Copyright (c) 2022 OpenAI" in told.text
    config = json.loads((folder / "config.json").read_text())
    assert [config["id2label"][str(n)] for n in range(len(card.emotions))] == list(card.emotions)
    assert modelfile.load(folder / f"{card.name}.emoscope", optimise=False).card.name == card.name


def test_export_wants_to_know_what(emoscope):
    status, _, err = emoscope("export", "free")
    assert status == 2 and "--onnx" in err


def a_result():
    rows = pd.DataFrame(
        {
            "model": "tree", "features": "mel", "protocol": "loso", "fold": ["a", "b"],
            "clip": ["1", "2"], "speaker": ["a", "b"], "emotion": ["sad", "happy"],
            "predicted": ["sad", "sad"], "p_happy": 0.4, "p_sad": 0.6,
        }
    )  # fmt: skip
    run = {"model": "tree", "features": "mel", "protocol": "loso", "uar": 0.5, "uar_low": None}
    run |= {"uar_high": None, "accuracy": 0.5, "macro_f1": 1 / 3, "n_clips": 2, "n_speakers": 2}
    return Result(
        rows, [Run.from_json(run)], {"name": "synthetic", "n_clips": 2}, {"seed": 3, "folds": {}}
    )


def test_a_real_corpus_becomes_a_database_and_comes_back(emodb, tmp_path):
    """EMO-DB knows the age of its speakers, as a number."""
    loaded = corpus.load(emodb)
    writing.write(loaded.select(speaker=["03", "08"]), tmp_path / "made", format="audformat")
    read = corpus.load(tmp_path / "made").table
    ages = loaded.table.astype(str).groupby("speaker")["age"].first()
    assert read.groupby("speaker")["age"].first().to_dict() == ages[["03", "08"]].to_dict()


def test_linked_recordings_are_put_there_themselves(own, tmp_path):
    """Corpora are often trees of relative links, which lead elsewhere from another folder."""
    for n, path in enumerate(own.table["path"]):
        link = tmp_path / "links" / own.table["emotion"][n] / f"{n}.wav"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(path, link.parent))
    linked = corpus.load(tmp_path / "links")
    writing.write(linked, tmp_path / "deep" / "down" / "made", format="huggingface")
    moved = (tmp_path / "deep" / "down" / "made").rename(tmp_path / "moved")
    read = corpus.load(moved)
    assert len(read) == 8 and not any(os.path.islink(path) for path in read.table["path"])


def test_no_recording_is_put_over_another(own, tmp_path):
    own.table["clip"] = ["a b", "a_b", "A_b", *"cdefg"]
    own.table.loc[7, "path"] = own.table.loc[6, "path"]
    own.table["split"] = ["train"] * 7 + ["test"]
    folder = tmp_path / "made"
    writing.write(own, folder, format="huggingface")
    writing.write(corpus.load(folder), folder, format="huggingface")  # nothing is to be moved
    assert sorted(os.listdir(folder / "audio")) == [
        "A_b#3.wav", "a_b#2.wav", "a_b.wav", "c.wav", "d.wav", "e.wav", "f.wav",
    ]  # fmt: skip
    read = corpus.load(folder)
    assert len(read) == 8 and not read.rejected
    for n in range(3):
        there = read.table["path"][read.table["clip"] == own.table["clip"][n]].item()
        with open(there, "rb") as one, open(own.table["path"][n], "rb") as other:
            assert one.read() == other.read()


def test_splits_of_the_users_own_are_kept(own, tmp_path):
    own.table["split"] = ["train"] * 4 + ["", "odd", "test", "test"]
    writing.write(own, tmp_path / "made", format="audformat")
    read = corpus.load(tmp_path / "made").table.sort_values("clip")
    assert read["split"].tolist() == own.table["split"].tolist()


def test_a_link_in_the_folder_is_read_before_its_place_is_taken(own, tmp_path):
    made = tmp_path / "made" / "audio"
    made.mkdir(parents=True)
    links = [made / f"{n}.wav" for n in range(8)]
    for link, path in zip(links, own.table["path"], strict=True):
        link.symlink_to(path)
    wanted = [open(path, "rb").read() for path in own.table["path"]]  # noqa: SIM115
    own.table["path"] = [str(link) for link in links]
    own.table["clip"] = [str((n + 1) % 8) for n in range(8)]
    written = writing.write(own, tmp_path / "made", format="huggingface")
    assert [open(path, "rb").read() for path in written.table["path"]] == wanted  # noqa: SIM115


@pytest.mark.parametrize("format", ["audformat", "huggingface"])
def test_what_is_no_recording_is_not_published(own, tmp_path, format):
    """A manifest of somebody else's may name any file of this machine."""
    secret = tmp_path / "id_rsa.wav"
    secret.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n" * 50)
    own.table.loc[2, "path"] = str(secret)
    written = writing.write(own, tmp_path / "made", format=format)
    assert [error.path for error in written.rejected] == [str(secret)]
    assert "not audio" in written.rejected[0].reason
    assert len(os.listdir(tmp_path / "made" / "audio")) == 7 and secret.stat().st_nlink == 1


@pytest.mark.parametrize("format", ["audformat", "huggingface"])
def test_two_corpora_do_not_become_one(own, tmp_path, format):
    folder = tmp_path / "made"
    writing.write(own, folder, format=format)
    before = states(folder)
    clips = [f"other {clip}" for clip in own.table["clip"]]
    named = corpus.Corpus("another", own.table.assign(corpus="another"), licence="secret")
    for other in (own, named, corpus.Corpus(own.name, own.table.assign(clip=clips))):
        with pytest.raises(CorpusError, match="contains a corpus .*choose a new folder"):
            writing.write(other, folder, format=format)
    assert states(folder) == before


def states(folder):
    """What tells each file from another or a changed one, which reading leaves as it is."""
    stats = {path.name: path.stat() for path in folder.iterdir()}
    return {name: (found.st_ino, found.st_size, found.st_mtime_ns) for name, found in stats.items()}


def test_a_full_disk_leaves_no_half_recording(own, tmp_path, monkeypatch):
    folder = tmp_path / "made"
    writing.write(own, folder, format="huggingface")
    (folder / "metadata.csv").unlink()
    kept = {path: path.read_bytes() for path in (folder / "audio").iterdir()}
    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(writing.shutil, "copyfile", refuse)
    with pytest.raises(CorpusError, match="No space left"):
        writing.write(own, folder, format="huggingface")
    assert {path: path.read_bytes() for path in (folder / "audio").iterdir()} == kept
    assert not (folder / "metadata.csv").exists()


def refuse(*arguments):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_column_that_could_name_files_is_not_taken_for_them(own, tmp_path):
    own.table["file_name"] = "elsewhere"
    own.table["wav"] = "nowhere"
    writing.write(own, tmp_path / "made", format="huggingface")
    read = corpus.load(tmp_path / "made")
    assert_same(read, own)
    assert set(read.table["listed_wav"]) == {"nowhere"}
    assert set(read.table["listed_file_name"]) == {"elsewhere"}


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_column_of_the_corpus_takes_no_features_place(own, tmp_path, ending):
    own.table["level"], own.table["n_frames"], own.table["corpus_level"] = "loud", "7", "x"
    values = np.arange(8, dtype=np.float32)[:, None]
    made = {"vector": Features(list(own.table["clip"]), [{"name": "level"}], ("level",), values)}
    if ending == "parquet":
        frames = [np.ones((n + 1, 2), np.float32) for n in range(8)]
        made["frames"] = Features(list(own.table["clip"]), [{"name": "frames"}], frames=frames)
    path = tmp_path / f"x.{ending}"
    renamed = dataset.write(dataset.Dataset(own, made), path)
    assert renamed["level"] == "corpus_corpus_level"
    table = pd.read_csv(path) if ending == "csv" else pd.read_parquet(path)
    assert table["level"].tolist() == values[:, 0].tolist() and table.columns.is_unique
    assert set(table["corpus_corpus_level"]) == {"loud"}
    if ending == "parquet":
        assert table["n_frames"].tolist() == list(range(1, 9))
        assert set(table["corpus_n_frames"]) == {"7"}
