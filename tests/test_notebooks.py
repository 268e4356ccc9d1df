"""The notebooks run from top to bottom, with recordings at hand and without, and show pictures."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "notebooks"
#: How many pictures each shows: with recordings, and without.
PICTURES = {
    "explore_a_corpus": (5, 4),
    "compare_models": (4, 4),
    "look_inside_a_prediction": (4, 4),
}
SECONDS = 240


def test_every_notebook_is_tested():
    assert sorted(PICTURES) == sorted(path.stem for path in FOLDER.glob("*.ipynb"))


@pytest.mark.parametrize("name", PICTURES)
def test_committed_without_outputs(name):
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs") and not cell.get("execution_count")


def execute(name, data):
    """Run one notebook in a kernel of its own; gives its outputs."""
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    client = NotebookClient(notebook, timeout=SECONDS, kernel_name="python3")
    # The kernel reads only what is there: an empty folder has no corpus.
    asyncio.run(client.async_execute(env={**os.environ, "EMOSCOPE_DATA": str(data)}))
    return [out for cell in notebook.cells for out in cell.get("outputs", [])]


@pytest.fixture(scope="module")
def pool():
    with ThreadPoolExecutor(2) as threads:
        yield threads


@pytest.fixture(scope="module")
def without_recordings(pool, tmp_path_factory):
    """All notebooks on a machine without a corpus, side by side."""
    empty = tmp_path_factory.mktemp("empty")
    return {name: pool.submit(execute, name, empty) for name in PICTURES}


@pytest.fixture(scope="module")
def with_recordings(pool, ravdess):
    """The two notebooks that look at sound, on RAVDESS."""
    names = ("explore_a_corpus", "look_inside_a_prediction")
    return {name: pool.submit(execute, name, ravdess.parent) for name in names}


def said(outputs):
    return "".join(out["text"] for out in outputs if out.output_type == "stream")


def check(outputs, n_pictures):
    pictures = [out for out in outputs if "image/png" in out.get("data", {})]
    assert len(pictures) == n_pictures
    assert not [out for out in outputs if out.get("name") == "stderr"]


@pytest.mark.parametrize("name", PICTURES)
def test_without_recordings(name, without_recordings):
    outputs = without_recordings[name].result(SECONDS)
    check(outputs, PICTURES[name][1])
    if name != "compare_models":
        assert "No recordings in" in said(outputs)


@pytest.mark.parametrize("name", ["explore_a_corpus", "look_inside_a_prediction"])
def test_with_recordings(name, with_recordings):
    outputs = with_recordings[name].result(SECONDS)
    check(outputs, PICTURES[name][0])
    assert "RAVDESS" in said(outputs) or "1440 recordings of 24 speakers" in said(outputs)
