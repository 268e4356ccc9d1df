"""The command ``emoscope predict`` with a tiny model, and clips for it: fixtures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

import command_line
import tiny_model
from recordings import RATE, at_level, silence, voice


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for number, level in enumerate((-35, -25, -15)):
        samples = np.concatenate([silence(0.5), at_level(voice(1.5, 100.0), level)])
        soundfile.write(folder / f"{number}.wav", samples, RATE)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.write(tmp_path_factory.mktemp("model"))


@pytest.fixture
def predict(model: Path, kept_models, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = command_line.run("predict", *words, "--model", model)
        return status, *capsys.readouterr()

    return run
