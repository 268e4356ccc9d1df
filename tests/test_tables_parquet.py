"""Tables that hold the recordings themselves: Parquet, data sets of Hugging Face."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
import soundfile

from emoscope import corpus
from emoscope.corpus import arrow
from emoscope.errors import CorpusError
from recordings import RATE, voice


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EMOSCOPE_STORE", str(tmp_path / "cache"))


def hub(folder, name="m.parquet", labels=("angry", "sad"), metadata=None):
    """A table with two clips inside, as Hugging Face's hub has them."""
    soundfile.write(folder / "one.wav", voice(0.5), RATE)
    soundfile.write(folder / "two.wav", voice(0.6), RATE)
    clips = [
        {"bytes": (folder / f"{n}.wav").read_bytes(), "path": f"{n}.wav"} for n in ("one", "two")
    ]
    told = pa.table({"audio": clips, "label": list(labels)}).replace_schema_metadata(metadata)
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    if name.endswith(".parquet"):
        pyarrow.parquet.write_table(told, folder / name)
    else:
        with (
            pa.OSFile(str(folder / name), "wb") as sink,
            pa.ipc.new_stream(sink, told.schema) as stream,
        ):
            stream.write_table(told)
    return folder / name


def test_clips_inside_parquet(tmp_path, monkeypatch):
    loaded = corpus.load(hub(tmp_path))
    assert loaded.table["clip"].tolist() == ["one", "two"]
    for path, name in zip(loaded.table["path"], ("one", "two"), strict=True):
        assert (tmp_path / f"{name}.wav").read_bytes() == Path(path).read_bytes()
    before = sorted((tmp_path / "cache").rglob("*"))
    assert (
        corpus.load(tmp_path / "m.parquet").table["path"].tolist() == loaded.table["path"].tolist()
    )
    assert sorted((tmp_path / "cache").rglob("*")) == before
    monkeypatch.setattr(arrow, "MAX_AUDIO", 10_000)
    with pytest.raises(CorpusError, match="larger than the limit of 10000 bytes"):
        corpus.load(tmp_path / "m.parquet")


@pytest.mark.parametrize(
    "names",
    [
        (
            "train/data-00000-of-00001.arrow",
            "test/data-00000-of-00001.arrow",
            "train/cache-1_00000_of_00001.arrow",
        ),
        ("data/train-00000-of-00001-abc.parquet", "data/test-00000-of-00001-abc.parquet"),
    ],
)
def test_hugging_face_datasets(tmp_path, names):
    classes = {"info": {"features": {"label": {"names": ["sad", "angry"], "_type": "ClassLabel"}}}}
    for name in names:
        hub(tmp_path, f"set/{name}", (1, 0), {"huggingface": json.dumps(classes)})
    loaded = corpus.load(tmp_path / "set")
    assert loaded.name == "set" and sorted(loaded.table["split"]) == [
        "test",
        "test",
        "train",
        "train",
    ]
    assert loaded.table["emotion"].tolist() == ["angry", "sad"] * 2
    assert loaded.table["label"].tolist() == ["angry", "sad"] * 2
