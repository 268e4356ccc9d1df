"""Foreign bytes: the targets of ``benchmarks/fuzz.py`` on damaged good files, and what fuzzing found."""

from __future__ import annotations

import importlib.util
import json
import os
import struct
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emoscope import audio, corpus, modelfile
from emoscope.errors import AudioError, EmoscopeError
from emoscope.prediction import Predictor
from emoscope.training import publishing

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
pytest.importorskip("onnx", reason="the extra 'deep' is not installed")

TONE = 0.1 * np.sin(np.arange(8000) / 10)
SCRIPT = Path(__file__).parents[1] / "benchmarks" / "fuzz_targets.py"
LIGHT = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


def load_script():
    spec = importlib.util.spec_from_file_location("fuzz_targets", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


fuzz = load_script()


def peak_memory():
    """MiB that this process has had at most."""
    resource = pytest.importorskip("resource", reason="not a POSIX system")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


@pytest.mark.parametrize("name", ["audio", "manifests", "models", "http"])
def test_damaged_files_are_used_or_refused(name, tmp_path):
    target = fuzz.TARGETS[name](tmp_path)
    seeds = [seed for seed in target.seeds() if seed]
    change = st.tuples(st.integers(0, 2**20), st.binary(max_size=8), st.integers(0, 64))

    @settings(LIGHT, max_examples=20 if name == "http" else 60)
    @given(seed=st.sampled_from(seeds), changes=st.lists(change, min_size=1, max_size=5))
    def check(seed, changes):
        content = bytearray(seed)
        for at, put, dropped in changes:
            # The first two bytes choose what is fuzzed and stay as they are.
            at = 2 + at % max(1, len(content) - 2)
            content[at : at + dropped] = put
        started = time.process_time()
        try:
            target.run(bytes(content))
        except EmoscopeError as error:
            assert str(error)
        assert time.process_time() - started < fuzz.LONGEST_CPU

    before = peak_memory()
    for seed in seeds:
        try:
            target.run(seed)  # whole files are used, or too short to be
        except AudioError as error:
            assert "too short" in error.reason
    check()
    assert peak_memory() - before < fuzz.LARGEST_MEMORY


chunk = st.tuples(
    st.sampled_from([b"fmt ", b"data", b"LIST", b"fact", b"JUNK", b"id3 ", b"bext"]),
    st.none() | st.integers(0, 2**32 - 1),
    st.binary(max_size=64),
)
number = st.integers(0, 2**16 - 1)


@LIGHT
@given(
    start=st.sampled_from([b"RIFF", b"RIFX", b"RF64"]),
    form=st.tuples(st.sampled_from([1, 2, 3, 6, 7, 17, 0xFFFE]) | number, number, number, number),
    rate=st.integers(0, 2**32 - 1),
    chunks=st.lists(chunk, max_size=6),
)
def test_any_chunks_are_a_recording_or_not(tmp_path, start, form, rate, chunks):
    code, channels, block, bits = form
    header = struct.pack("<HHIIHH", code, channels, rate, rate, block, bits)
    body = b"WAVEfmt \x10\0\0\0" + header
    for name, size, content in chunks:
        body += name + struct.pack("<I", len(content) if size is None else size) + content
    path = tmp_path / "chunks.wav"
    path.write_bytes(start + struct.pack("<I", len(body)) + body)
    with pytest.raises(AudioError) as caught:  # never long enough
        audio.load(path)
    assert caught.value.reason


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=8)
json_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@settings(LIGHT, max_examples=300)
@given(data=st.data())
def test_any_value_anywhere_in_a_card_is_checked(data, tmp_path, monkeypatch):
    """What is accepted can be published, and judges a recording."""
    import tiny_model

    monkeypatch.setattr(os, "fsync", lambda _: None)  # most of the time otherwise
    monkeypatch.setattr(modelfile, "SandboxedGraph", modelfile.LocalGraph)  # as is a process each
    values = json.loads(tiny_model.card().to_json())
    place = values
    while True:
        key = data.draw(
            st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place)))
        )
        inner = place[key]
        if not isinstance(inner, (dict, list)) or not inner or data.draw(st.booleans()):
            break
        place = inner
    place[key] = data.draw(json_value)
    path = tmp_path / "any.emoscope"
    path.write_bytes(modelfile.pack(tiny_model.graph(), json.dumps(values)))
    try:
        model = modelfile.load(path)
        prediction = Predictor(model).predict(TONE, 16_000)
    except EmoscopeError as error:
        str(error).encode()
        return
    assert set(prediction.probabilities) == set(model.card.emotions)
    publishing.to_hub(model, tmp_path / "any")
    names = {"README.md", "config.json", "model.onnx", f"{model.card.name}.emoscope"}
    assert names <= {found.name for found in (tmp_path / "any").iterdir()}
    assert {found.name for found in tmp_path.iterdir()} == {"any", "any.emoscope"}


# --- found by fuzzing -----------------------------------------------------------------------------


@pytest.mark.parametrize("notes", [b"{}", b"[]", b"no JSON", b'{"index_columns": [7]}'])
def test_what_pandas_noted_in_a_parquet_file_is_not_believed(tmp_path, notes):
    table = pa.table({"file": ["a.wav"], "emotion": ["sad"]})
    path = tmp_path / "m.parquet"
    parquet.write_table(table.replace_schema_metadata({b"pandas": notes}), path)
    assert corpus.load(path).table["emotion"].tolist() == ["sad"]


def test_an_index_with_a_name_is_a_column_and_one_without_is_not(tmp_path):
    frame = pd.DataFrame({"emotion": ["sad", "happy"]})
    path = tmp_path / "m.parquet"
    frame.set_index(pd.Index(["a.wav", "b.wav"], name="file")).to_parquet(path)
    table = corpus.load(path).table
    assert table["emotion"].tolist() == ["sad", "happy"]
    frame.assign(file=["a.wav", "b.wav"]).set_index(pd.Index(["x", "y"])).to_parquet(path)
    assert not [name for name in corpus.load(path).table if "index" in name]


def test_facts_of_a_speaker_may_have_any_name(tmp_path):
    speaker = b"speaker: {dtype: str, labels: {s1: {gender: female"
    assert fuzz.HEADER.count(speaker) == 1
    (tmp_path / "db.yaml").write_bytes(fuzz.HEADER.replace(speaker, speaker + b", 2: 3, null: 4"))
    (tmp_path / "db.files.csv").write_text("file,emotion,speaker\na.wav,happy,s1\n")
    row = corpus.load(tmp_path).table.iloc[0]
    assert (row["gender"], row["2"], row["none"]) == ("female", "3", "4")
