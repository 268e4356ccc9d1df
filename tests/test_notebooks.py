"""The notebooks run from top to bottom, with recordings at hand and without, and show pictures."""

import asyncio
from pathlib import Path

import nbformat
import pytest
from jupyter_client import AsyncKernelManager
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


@pytest.fixture(scope="module")
def kernel():
    """Runs a notebook in one kernel for all, whose start and imports take long; gives its outputs."""
    manager = AsyncKernelManager(kernel_name="python3")

    def execute(name, data):
        notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
        # The kernel reads only what is there: an empty folder has no corpus.
        fresh = f"%reset -f\n__import__('os').environ['EMOSCOPE_DATA'] = {str(data)!r}"
        notebook.cells.insert(0, nbformat.v4.new_code_cell(fresh))
        NotebookClient(notebook, km=manager, timeout=SECONDS).execute()
        return [out for cell in notebook.cells for out in cell.get("outputs", [])]

    yield execute
    asyncio.run(manager.shutdown_kernel(now=True))


def said(outputs):
    return "".join(out["text"] for out in outputs if out.output_type == "stream")


def check(outputs, n_pictures):
    pictures = [out for out in outputs if "image/png" in out.get("data", {})]
    assert len(pictures) == n_pictures
    assert not [out for out in outputs if out.get("name") == "stderr"]


@pytest.mark.parametrize("name", PICTURES)
def test_without_recordings(name, kernel, tmp_path):
    outputs = kernel(name, tmp_path)
    check(outputs, PICTURES[name][1])
    if name != "compare_models":
        assert "No recordings in" in said(outputs)


@pytest.mark.parametrize("name", ["explore_a_corpus", "look_inside_a_prediction"])
def test_with_recordings(name, kernel, ravdess):
    outputs = kernel(name, ravdess.parent)
    check(outputs, PICTURES[name][0])
    assert "RAVDESS" in said(outputs) or "1440 recordings of 24 speakers" in said(outputs)
