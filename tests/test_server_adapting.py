"""Models adapted over HTTP to labels that a client corrected."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from emoscope import corpus, modelfile
from emoscope.prediction import Predictor
from emoscope.training import adapting
from recordings import RATE, at_level, voice
from test_adapting import LEVELS, corrections, model  # noqa: F401  # fixtures

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")

from serving import BOUNDARY, Answer, Running, multipart, serving


@pytest.fixture(scope="module")
def running(model: Path) -> Iterator[Running]:  # noqa: F811
    with serving(Predictor(model), seconds=60.0) as running:
        yield running


def adapt(running: Running, table: bytes, *paths: Path, query: str = "") -> Answer:
    """Send recordings and a table of corrections, as the page does."""
    part = f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="corrections"; filename="c.csv"\r\n\r\n'
    body = part.encode() + table + b"\r\n" + multipart(*((p.name, p.read_bytes()) for p in paths))
    form = f"multipart/form-data; boundary={BOUNDARY}"
    return running.ask("POST", f"/api/adapt{query}", body, content_type=form)


def by_level(samples: np.ndarray, rate: int) -> dict[str, float]:
    return {"angry": 0.5, "sad": 0.5}


def recordings_of(table: Path) -> list[Path]:
    return sorted(table.parent.glob("?.wav"))


def test_an_adapted_model_is_that_of_the_command_line(
    running: Running,
    model: Path,  # noqa: F811
    corrections: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    sounds = recordings_of(corrections)
    answer = adapt(running, corrections.read_bytes(), *sounds, query="?stream=true")
    assert answer.status == 200 and answer.headers["content-type"] == "application/x-ndjson"
    *lines, found = map(json.loads, answer.body.splitlines())
    assert all(0 < line["fraction"] <= 1 for line in lines)
    assert adapt(running, corrections.read_bytes(), *sounds).json == found
    loaded = modelfile.load(model)
    card, _ = adapting.adapt(loaded, corpus.load(corrections), tmp_path / "a.emoscope")
    (measured,) = found["card"]["results"]
    assert measured["uar_before"] == pytest.approx(1 / 3) and measured["uar"] == 1
    assert measured["n_clips"] == 36 and found["errors"] == []
    assert (
        found["card"]["measured_on"] == "unseen speakers" and found["card"]["worth"] == card.worth
    )
    sent = tmp_path / "b.emoscope"
    sent.write_bytes(base64.b64decode(found["file"]))
    for level in LEVELS.values():
        heard = at_level(voice(1.2, 150, seed=9), level)
        one, other = (Predictor(p).predict(heard, RATE) for p in (sent, tmp_path / "a.emoscope"))
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-6)


def test_what_cannot_be_adapted_to_is_said_as_on_the_command_line(
    running: Running,
    corrections: Path,  # noqa: F811
) -> None:
    table, sounds = pd.read_csv(corrections), recordings_of(corrections)
    random = np.random.default_rng(0).permutation(list(LEVELS) * 12)
    for changed, files, said in (
        (table.head(9), sounds, "9 labelled clips of 3 emotions are too few to adapt a model"),
        (
            table.assign(emotion=random),
            sounds,
            "nothing is written: on unseen speakers the 36 clips",
        ),
        (table.assign(emotion="bored"), sounds, "level cannot answer bored"),
        (table, sounds[1:], "corrections: the file '0.wav' was not sent"),
        (
            table.assign(file="/etc/passwd"),
            sounds,
            "corrections: the file '/etc/passwd' was not sent",
        ),
        (table, [*sounds, sounds[0]], "files: give each recording a name of its own"),
        (table.assign(end=61), sounds, "corrections: give ends of at most 60 s, the limit here"),
        (table.drop(columns="emotion"), sounds, "corrections.csv: no column of emotions"),
    ):
        answer = adapt(running, changed.to_csv(index=False).encode(), *files)
        assert answer.status == 422 and answer.json["error"].startswith(said), answer.json
        assert "/proc/" not in answer.json["error"] and "/tmp/" not in answer.json["error"]


def test_corrections_that_cannot_be_used_are_named(
    running: Running,
    corrections: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    table = pd.read_csv(corrections)
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    added = pd.DataFrame([{**table.iloc[0], "file": "silent.wav"}])
    content = pd.concat([table.assign(speaker="anna"), added.assign(speaker="anna")])
    sounds = [*recordings_of(corrections), tmp_path / "silent.wav"]
    found = adapt(running, content.to_csv(index=False).encode(), *sounds).json
    alone, silent = found["errors"]
    assert alone.startswith("all of them are of one speaker, anna")
    assert silent.startswith("silent.wav") and "silent: all samples" in silent
    assert found["card"]["results"][0]["n_clips"] == 36
    assert "unknown, doubtful or only one" in found["card"]["optimistic"]


def test_a_model_of_another_tool_cannot_be_adapted(
    corrections: Path,  # noqa: F811
) -> None:
    with serving(Predictor("python:test_server_adapting:by_level")) as running:
        answer = adapt(running, corrections.read_bytes(), *recordings_of(corrections))
    assert answer.status == 422, answer.body
    assert "a model of another tool cannot be adapted" in answer.json["error"]
