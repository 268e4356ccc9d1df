"""What every command makes of the corpus of :mod:`bad_audio`."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

import serving
from bad_audio import PERMISSION, Case, fits
from emoscope.files import printable
from emoscope.prediction import Predictor

LIMIT = 240.0
"""Seconds after which a command counts as hanging; all of them need a tenth of it."""
_DROP_CAPABILITY = 24  # PR_CAPBSET_DROP
_READ_ANYTHING = (1, 2)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH


@dataclasses.dataclass
class Outcome:
    """What one command did.

    Attributes
    ----------
    command : str
    status : int
        Exit status; -1 when it was still running after :data:`LIMIT`.
    seconds : float
    said : str
        Everything on standard error.
    delivered : set of str
        Paths that are in the result.
    refused : dict of str to str
        The reason of each path that was named as left out.
    """

    command: str
    status: int = 0
    seconds: float = 0.0
    said: str = ""
    delivered: set[str] = dataclasses.field(default_factory=set)
    refused: dict[str, str] = dataclasses.field(default_factory=dict)

    def cell(self, path: str) -> str:
        """The outcome of one file in a few words."""
        if path in self.delivered and path not in self.refused:
            return "used"
        return self.refused.get(path, "not named")


def as_expected(case: Case, cell: str, *, sent: bool = False) -> bool:
    """Whether a good file was used, and a bad one refused with its own reason."""
    if sent and case.name == PERMISSION:  # what is sent is content; permission stays behind
        return cell == "used"
    return cell == "used" if case.good else fits(case, cell)


def inside(paths: Mapping[str, Case]) -> dict[str, Case]:
    """What a corpus folder holds: directories in it are walked through and are no clips."""
    return {path: case for path, case in paths.items() if case.make is not os.mkdir}


def without_privileges() -> None:
    """Let the superuser meet the permissions that everybody else meets (Linux)."""
    if sys.platform == "linux" and os.geteuid() == 0:
        for capability in _READ_ANYTHING:
            ctypes.CDLL(None).prctl(_DROP_CAPABILITY, capability, 0, 0, 0)


def run(words: Sequence[object], folder: Path) -> Outcome:
    """Run one command line in a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    words = [str(word) for word in words]
    outcome = Outcome(words[0])
    started = time.perf_counter()
    try:
        found = subprocess.run(
            [sys.executable, "-m", "emoscope", *words], capture_output=True, timeout=LIMIT,
            cwd=folder, preexec_fn=without_privileges, stdin=subprocess.DEVNULL,
            env={**os.environ, "EMOSCOPE_STORE": str(folder / "store"), "COLUMNS": "200"},
        )  # fmt: skip
        outcome.status, outcome.said = found.returncode, found.stderr.decode(errors="replace")
    except subprocess.TimeoutExpired:
        outcome.status = -1
    outcome.seconds = time.perf_counter() - started
    return outcome


def named(said: str, paths: Mapping[str, Case]) -> dict[str, str]:
    """The reason given on standard error for each path."""
    found = {}
    for path in paths:
        match = re.search(re.escape(printable(path)) + r": (.+)", said)
        if match:
            found[path] = match[1]
    return found


def predict(paths: Mapping[str, Case], model: Path, folder: Path) -> Outcome:
    """``emoscope predict`` of all files by name."""
    out = folder / "predictions.jsonl"
    words = ["predict", *paths, "--model", model, "--format", "json", "--out", out, "--timeline"]
    outcome = run(words, folder)
    lines = out.read_text(encoding="utf-8").splitlines() if out.is_file() else []
    files = {json.loads(line)["file"] for line in lines}
    outcome.delivered = set(paths) & files
    outcome.refused = named(outcome.said, paths)
    return outcome


def show(paths: Mapping[str, Case], folder: Path) -> Outcome:
    """``emoscope show`` of all files by name, in one picture."""
    out = folder / "all.png"
    outcome = run(["show", *paths, "--panels", "waveform", "--out", out], folder)
    outcome.refused = named(outcome.said, paths)
    if out.is_file() and out.read_bytes().startswith(b"\x89PNG"):
        outcome.delivered = set(paths) - set(outcome.refused)
    return outcome


def extract(root: Path, paths: Mapping[str, Case], folder: Path) -> Outcome:
    """``emoscope extract`` of the folder."""
    out = folder / "features.parquet"
    outcome = run(["extract", root, "--features", "mfcc", "--out", out, "--jobs", 2], folder)
    clips = set(pd.read_parquet(out)["clip"]) if out.is_file() else set()
    outcome.delivered = _with_clips(clips, root, paths)
    outcome.refused = named(outcome.said, paths)
    return outcome


def compare(root: Path, paths: Mapping[str, Case], folder: Path) -> Outcome:
    """``emoscope compare`` of the folder, on speakers it has not heard."""
    words = ["compare", root, "--models", "lda", "--features", "mfcc", "--protocol", "loso"]
    outcome = run([*words, "--no-leak-gap", "--jobs", 1, "--out", folder / "result"], folder)
    rows = folder / "result" / "predictions.csv"
    clips = set(pd.read_csv(rows)["clip"]) if rows.is_file() else set()
    outcome.delivered = _with_clips(clips, root, paths)
    outcome.refused = named(outcome.said, paths)
    return outcome


def serve(paths: Mapping[str, Case], model: Path) -> Outcome:
    """Every file that can be sent, uploaded to a running server."""
    outcome = Outcome("serve")
    started = time.perf_counter()
    with serving.serving(Predictor(model)) as server:
        for path, case in paths.items():
            if case.content is None:
                continue
            answer = server.upload("/api/predict", (_form_name(case.file), case.content))
            if answer.status == 200:
                outcome.delivered.add(path)
            elif answer.status == 422:
                outcome.refused[path] = answer.json["error"].split(": ", 1)[1]
            else:
                outcome.status = answer.status
    outcome.seconds = time.perf_counter() - started
    return outcome


def every_command(root: Path, paths: Mapping[str, Case], model: Path) -> Iterator[Outcome]:
    """The outcome of each command in turn; what they write lies beside the corpus."""
    beside = root.parent
    yield predict(paths, model, beside / "predict")
    yield show(paths, beside / "show")
    yield extract(root, paths, beside / "extract")
    yield compare(root, paths, beside / "compare")
    yield serve(paths, model)


def _with_clips(clips: set[str], root: Path, paths: Mapping[str, Case]) -> set[str]:
    found = set()
    for path in paths:
        name = os.path.relpath(path, root)
        if {printable(name), printable(os.path.splitext(name)[0])} & clips:
            found.add(path)
    return found


def _form_name(name: str) -> str:
    """A file name as browsers put it into a form."""
    plain = name.encode("utf-8", "replace").decode()
    escaped = {"\n": "%0A", "\r": "%0D", '"': "%22"}
    return "".join(escaped.get(letter, letter) for letter in plain)


@contextlib.contextmanager
def removable(root: Path) -> Iterator[None]:
    """Make what has no permission removable again."""
    try:
        yield
    finally:
        for path in root.rglob("permission.wav"):
            path.chmod(0o600)
