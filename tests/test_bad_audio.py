"""Every command over the corpus of bad audio: all good files delivered, all others named."""

from __future__ import annotations

import os

import pandas as pd
import pytest

import bad_audio
import bad_audio_outcomes as outcomes

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
pytest.importorskip("onnx", reason="the extra 'deep' is not installed")
pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    import tiny_model

    folder = tmp_path_factory.mktemp("bad")
    model = tiny_model.write(folder)
    paths = bad_audio.write(folder / "corpus")
    with outcomes.removable(folder):
        yield folder / "corpus", paths, model


def check(outcome: outcomes.Outcome, paths: dict[str, bad_audio.Case]) -> None:
    """Nothing escapes: no traceback, no hang, each file delivered or named with its own reason."""
    assert outcome.status == 1, outcome.said[-2000:]
    assert "Traceback" not in outcome.said
    wrong = {
        case.name: outcome.cell(path)
        for path, case in paths.items()
        if not outcomes.as_expected(case, outcome.cell(path))
    }
    assert wrong == {}


def test_the_corpus_is_large_and_mixed() -> None:
    cases = bad_audio.cases()
    assert len(cases) >= 60
    assert min(sum(case.good for case in cases), sum(not case.good for case in cases)) >= 50
    assert len({case.name for case in cases}) == len({case.file for case in cases}) == len(cases)


def test_predict(corpus) -> None:  # type: ignore[no-untyped-def]
    root, paths, model = corpus
    check(outcomes.predict(paths, model, root.parent / "predict"), paths)


def test_extract(corpus) -> None:  # type: ignore[no-untyped-def]
    root, paths, _ = corpus
    check(outcomes.extract(root, paths, root.parent / "extract"), outcomes.inside(paths))


def test_compare(corpus) -> None:  # type: ignore[no-untyped-def]
    root, paths, _ = corpus
    check(outcomes.compare(root, paths, root.parent / "compare"), outcomes.inside(paths))


def test_convert(corpus) -> None:  # type: ignore[no-untyped-def]
    """A list of clips is converted as it stands: nothing is decoded, so nothing is left out."""
    root, paths, _ = corpus
    place = root.parent / "convert"
    outcome = outcomes.run(["convert", root, "--out", place / "clips.csv", "--quiet"], place)
    assert (outcome.status, outcome.said) == (0, "")
    assert len(pd.read_csv(place / "clips.csv")) == len(outcomes.inside(paths))


def test_show(corpus) -> None:  # type: ignore[no-untyped-def]
    root, paths, _ = corpus
    # Every picture takes time; whether a name can be drawn depends on the name alone.
    some = {path: c for path, c in paths.items() if not c.good or c.name.startswith("named")}
    check(outcomes.show(some, root.parent / "show"), some)


def test_serve(corpus) -> None:  # type: ignore[no-untyped-def]
    _, paths, model = corpus
    outcome = outcomes.serve(paths, model)
    assert outcome.status == 0
    sent = {path: case for path, case in paths.items() if case.content is not None}
    for path, case in sent.items():
        assert outcomes.as_expected(case, outcome.cell(path), sent=True), case.name
