"""``emoscope check``: what it tests, and that it finds a fault that was planted."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import tiny_model
from emoscope import checking, modelfile
from emoscope.audio import Signal
from emoscope.checking import Outcome, sounds
from recordings import RATE, voice


def test_an_outcome_passes_on_the_right_side_of_its_threshold():
    def made(value, at_least, skipped=""):
        return Outcome("behaviour", "a/b", "", "", value, 0.5, at_least, "", skipped=skipped)

    assert made(0.5, True).passed
    assert made(0.5, False).passed
    assert made(0.4, True).failed
    assert made(0.6, False).failed
    assert made(float("nan"), True).failed
    skipped = made(float("nan"), True, "no speaker")
    assert not skipped.passed
    assert not skipped.failed


@pytest.mark.parametrize("condition", sounds.conditions(), ids=lambda c: c.name)
def test_conditions_repeat_exactly_and_change_the_sound(condition):
    signal = Signal(voice(1.0, seed=3), RATE)
    others = [Signal(voice(1.0, pitch, seed=4), RATE) for pitch in (90.0, 200.0)]
    first, again = (condition.of(signal, others, clip="a", seed=0) for _ in range(2))
    np.testing.assert_array_equal(first.samples, again.samples)
    assert np.isfinite(first.samples).all()
    assert abs(first.duration - signal.duration) <= 1.05
    same = len(first.samples) == len(signal.samples) and np.allclose(first.samples, signal.samples)
    assert not same


@pytest.mark.parametrize("snr", [10, 20])
def test_noise_has_its_level(snr):
    signal = Signal(voice(1.0), RATE)
    condition = next(c for c in sounds.conditions() if c.name == f"noise/pink-{snr}")
    noise = condition.of(signal, [], clip="a", seed=0).samples - signal.samples
    found = 20 * np.log10(sounds.root_mean_square(signal.samples) / sounds.root_mean_square(noise))
    assert found == pytest.approx(snr, abs=0.01)


def test_babble_needs_another_speaker():
    condition = next(c for c in sounds.conditions() if c.name == "noise/babble-20")
    with pytest.raises(sounds.Unusable, match="another speaker"):
        condition.of(Signal(voice(1.0), RATE), [], clip="a", seed=0)


def test_a_model_is_tested_without_a_corpus(tmp_path):
    found = checking.check(modelfile.load(tiny_model.write(tmp_path)), quick=True)
    assert {one.group for one in found.outcomes} == {"behaviour"}
    assert len(found.outcomes) == len({one.name for one in found.outcomes}) > 20
    assert "no corpus" in found.notes[0]
    assert checking.Checked.from_json(found.to_json()) == found


def test_the_command_without_a_corpus(tmp_path):
    model = str(tiny_model.write(tmp_path))
    words = ["check", model, "--quick", "--format", "junit", "--out", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-m", "emoscope", *words],
        capture_output=True, text=True, check=False, env={**os.environ, "EMOSCOPE_DATA": ""},
    )  # fmt: skip
    written = json.loads((tmp_path / "out" / "check.json").read_text("utf-8"))
    failed = sum(one["passed"] is False for one in written["outcomes"])
    assert done.returncode == bool(failed), done.stderr
    assert f'failures="{failed}"' in done.stdout
    assert (tmp_path / "out" / "answers.csv").exists()
