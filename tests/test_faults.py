"""What is left when machines fail: kills, full disks, folders without permission, clocks, restarts.

The functions that count runs and losses are run longer by ``benchmarks/faults.py``. Kills of an
extraction, of its workers and of a cluster are in ``test_extraction.py`` and ``test_compute.py``.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

import bad_audio
import bad_audio_outcomes as outcomes
import command_line
from emoscope import corpus as corpora
from emoscope.dataset.extraction import extract
from emoscope.dataset.store import Store
from emoscope.errors import EmoscopeError
from emoscope.evaluation.engine import Checkpoint
from emoscope.prediction.formats import Layout
from emoscope.prediction.output import Output
from small_corpus import Levels, make_corpus

pytest.importorskip("onnx", reason="the extra 'deep' is not installed")
tiny_model = pytest.importorskip("tiny_model")
needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="no signals and limits like these")
pytestmark = needs_posix

HERE = str(Path(__file__).parent)


def make_clips(folder: Path, count: int) -> None:
    """Clips of different levels in ``speaker/emotion``."""
    for number in range(count):
        speaker = bad_audio.SPEAKERS[number % 4]
        place = folder / speaker / bad_audio.EMOTIONS[number // 4 % 2]
        place.mkdir(parents=True, exist_ok=True)
        level = (1 + number % 30) / 40
        (place / f"{number:03d}.wav").write_bytes(bad_audio.encoded(level * bad_audio.speech()))


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faults") / "clips"
    make_clips(folder, 32)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.write(tmp_path_factory.mktemp("model"))


# --- killed ---------------------------------------------------------------------------------------

PREDICT = "from emoscope.cli import main; main()"


def killed_predictions(clips: Path, model: Path, folder: Path, trials: int) -> dict[str, int]:
    """Kill ``predict --out`` at random moments, go on, and count what is not as if undisturbed."""
    rng = random.Random(7)
    words = [
        "predict",
        str(clips),
        "--model",
        str(model),
        "--format",
        "json",
        "--jobs",
        "1",
        "-q",
        "--out",
    ]
    assert command_line.run(*words, folder / "whole.jsonl") == 0
    whole = (folder / "whole.jsonl").read_bytes()
    cut, lost = 0, 0
    for trial in range(trials):
        out = folder / f"{trial}.jsonl"
        process = subprocess.Popen([sys.executable, "-c", PREDICT, *words, str(out)])
        wanted = rng.randrange(len(whole) // 2)  # far enough from the end to be in time
        while process.poll() is None and (out.stat().st_size if out.exists() else -1) < wanted:
            time.sleep(0.001)
        process.kill()
        process.wait()
        cut += out.stat().st_size < len(whole)
        assert command_line.run(*words, out) == 0
        lost += out.read_bytes() != whole
    return {"runs": trials, "cut_off": cut, "losses": lost}


WRITER = """
import sys
from emoscope.evaluation.engine import Checkpoint
checkpoint = Checkpoint(sys.argv[1])
for number in range(100_000):
    checkpoint.put({"unit": number}, {"outcome": [number] * 2000})
    print(number, flush=True)
"""


def killed_journals(folder: Path, trials: int) -> dict[str, int]:
    """Kill a run that notes finished units, and count units that are not as they were noted."""
    rng = random.Random(8)
    lost = noted = 0
    for trial in range(trials):
        place = folder / f"checkpoint-{trial}"
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(place)], stdout=subprocess.PIPE, text=True
        )
        first = process.stdout.readline()
        time.sleep(rng.uniform(0, 0.1))
        process.kill()
        finished = 1 + len((first and process.stdout.read()).splitlines()) if first else 0
        process.wait()
        process.stdout.close()
        checkpoint = Checkpoint(place)
        outcomes = [checkpoint.get({"unit": number}) for number in range(finished + 1)]
        wanted = [{"outcome": [number] * 2000} for number in range(finished + 1)]
        lost += sum(a != b for a, b in zip(outcomes[:-1], wanted[:-1], strict=True))
        lost += outcomes[-1] not in (None, wanted[-1])  # the unit that was being noted
        noted += finished
    return {"runs": trials, "units": noted, "losses": lost}


def test_predictions_killed_at_any_moment_go_on(clips: Path, model: Path, tmp_path: Path) -> None:
    found = killed_predictions(clips, model, tmp_path, 4)
    assert found["losses"] == 0 and found["cut_off"] >= 2


def test_what_was_noted_as_finished_is_whole_after_a_kill(tmp_path: Path) -> None:
    found = killed_journals(tmp_path, 4)
    assert found["losses"] == 0 and found["units"] >= 4


# --- no space, no permission ----------------------------------------------------------------------

COMMANDS = """
import io, json, os, resource, sys
from contextlib import redirect_stderr, redirect_stdout
from emoscope.cli import main
import emoscope.cli.terminal as terminal
out, clips, model, limit, *wanted = sys.argv[1:]
clip = os.path.join(clips, "anna", "happy", "000.wav")
commands = {
    "extract": ["extract", clips, "--features", "mfcc", "--jobs", "1",
                "--out", f"{out}/features.parquet"],
    "compare": ["compare", clips, "--features", "mfcc", "--models", "lda", "--protocol", "loso",
                "--no-leak-gap", "--jobs", "1", "--out", f"{out}/result"],
    "train": ["train", "lda", clips, "--features", "mfcc", "--jobs", "1",
              "--out", f"{out}/mine.emoscope"],
    "show": ["show", clip, "--panels", "waveform", "--out", f"{out}/clip.png"],
    "predict": ["predict", clip, "--model", model, "--format", "json", "--out", f"{out}/p.jsonl"],
    "picture": ["predict", clip, "--model", model, "--picture", f"{out}/t.png"],
    "convert": ["convert", clips, "--out", f"{out}/clips.csv"],
    "export": ["export", model, "--onnx", f"{out}/level.onnx"],
}
resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
found = {}
for name in wanted or commands:
    replace = [] if name == "predict" else ["--replace"]
    sys.argv = ["emoscope", *commands[name], *replace]
    said = io.StringIO()
    terminal.err.file = said
    with redirect_stderr(said), redirect_stdout(io.StringIO()):
        try:
            main()
        except SystemExit as end:
            status = end.code
        except BaseException as error:
            status = repr(error)
    found[name] = [status, said.getvalue()]
json.dump(found, sys.stdout)
"""


def run_commands(out: Path, clips: Path, model: Path, limit: int, *wanted: str) -> dict[str, list]:
    words = [sys.executable, "-c", COMMANDS, str(out), str(clips), str(model), str(limit), *wanted]
    found = subprocess.run(
        words, capture_output=True, text=True, check=True, preexec_fn=outcomes.without_privileges,
        env={**os.environ, "EMOSCOPE_STORE": str(out.parent / "store"), "COLUMNS": "300"},
    )  # fmt: skip
    return json.loads(found.stdout)


@pytest.mark.parametrize("fault", ["no space", "no permission"])
def test_what_cannot_be_written_is_said_in_one_line(
    clips: Path, model: Path, tmp_path: Path, fault: str
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    kept = ["features.parquet", "mine.emoscope", "clip.png", "t.png", "clips.csv", "level.onnx"]
    for name in kept:
        (out / name).write_text("of an earlier run")
    if fault == "no space":  # no file may grow beyond 100 bytes, as on a disk that is full
        found = run_commands(out, clips, model, 100)
    else:
        out.chmod(0o555)
        found = run_commands(out, clips, model, 10**9, "extract", "show", "predict")
        out.chmod(0o755)
    for name, (status, said) in found.items():
        assert status == 2, (name, status, said)
        last = said.strip().splitlines()[-1]
        assert str(out) in last and last.startswith("error: "), said
        assert last.endswith(("File too large", "ermission denied")), said
    for name in kept:
        assert (out / name).read_text() == "of an earlier run"
    left = {path.name for path in out.rglob("*") if path.is_file()} - set(kept)
    assert left <= {"p.jsonl"}  # no temporary file, nothing that looks finished


def test_a_store_that_may_not_be_entered_costs_no_work(
    clips: Path, model: Path, tmp_path: Path
) -> None:
    out, store = tmp_path / "out", tmp_path / "store"
    out.mkdir()
    run_commands(out, clips, model, 10**9, "extract")
    wanted = (out / "features.parquet").read_bytes()
    for closed in (store, store / "features-2.sqlite"):
        closed.chmod(0)
        ((status, said),) = run_commands(out, clips, model, 10**9, "extract").values()
        closed.chmod(0o755)
        assert status in (0, None) and "without storing" in said, said
        assert (out / "features.parquet").read_bytes() == wanted


OLDER = b"of an earlier run"
WRITTEN = {
    "extract": "features.parquet", "compare": "result/predictions.csv", "train": "mine.emoscope",
    "show": "clip.png", "predict": "p.jsonl", "picture": "t.png", "convert": "clips.csv",
    "export": "level.onnx",
}  # fmt: skip
RESULT = ("predictions.csv", "results.json", "report.html", "run.toml")


def filled_disks(clips: Path, model: Path, folder: Path, limits: Sequence[int]) -> dict[str, int]:
    """Run every command that writes while no file may grow beyond a size; count what is then wrong.

    Wrong is an end that is neither success nor a refusal, success without the whole file, and a
    refusal that cost an older file or left half of a new one.
    """
    whole = folder / "whole"
    whole.mkdir()
    ends = run_commands(whole, clips, model, 10**9)
    assert {name: end for name, end in ends.items() if end[0] != 0} == {}
    wanted = {name: (whole / file).read_bytes() for name, file in WRITTEN.items()}
    counts = {"runs": 0, "refused": 0, "losses": 0}
    for limit in limits:
        out = folder / f"limit-{limit}"
        (out / "result").mkdir(parents=True)
        for file in (*WRITTEN.values(), *(f"result/{name}" for name in RESULT)):
            if file != "p.jsonl":  # which an older run would have to fit
                (out / file).write_bytes(OLDER)
        for name, (status, said) in run_commands(out, clips, model, limit).items():
            file = out / WRITTEN[name]
            found = file.read_bytes() if file.exists() else b""
            if status == 2:
                kept = found == OLDER
                if name == "predict":  # what was written of it is continued
                    kept = wanted[name].startswith(found)
                elif name == "compare":  # the files of a result are of one run
                    kept = all((out / "result" / file).read_bytes() == OLDER for file in RESULT)
                right = kept and said.strip().splitlines()[-1].startswith("error: ")
            else:
                right = status in (0, None) and found == wanted[name]
            counts["runs"] += 1
            counts["refused"] += status == 2
            counts["losses"] += not right
        counts["losses"] += any(path.name.startswith(".") for path in out.rglob("*"))
    return counts


def test_a_disk_that_fills_up_costs_no_older_file(clips: Path, model: Path, tmp_path: Path) -> None:
    found = filled_disks(clips, model, tmp_path, [3000])
    assert found["losses"] == 0 and 0 < found["refused"] < found["runs"] == len(WRITTEN)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
@pytest.mark.parametrize("words", [["predict", "CLIP", "--model", "MODEL"], ["corpora"]])
def test_a_full_disk_behind_standard_output(clips: Path, model: Path, words: list[str]) -> None:
    names = {"CLIP": str(clips / "anna" / "happy" / "000.wav"), "MODEL": str(model)}
    command = [sys.executable, "-m", "emoscope", *(names.get(word, word) for word in words)]
    with open("/dev/full", "wb") as full:
        found = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert found.returncode == 2
    assert found.stderr == "error: the output: No space left on device\n"


# --- two at once ----------------------------------------------------------------------------------


def runs_at_once(clips: Path, model: Path, folder: Path, rounds: int) -> dict[str, int]:
    """Two predictions into one file, and two extractions through one empty store, all at once.

    A loss is a file that is not as if its run had been alone, or a store that is damaged.
    """
    judge = ["predict", str(clips), "--model", str(model), "--jobs", "1", "--out"]
    extraction = ["extract", str(clips), "--features", "mfcc,mel", "--jobs", "1", "--out"]

    def start(words: list[str], out: Path, store: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "emoscope", *words, str(out)], stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, env={**os.environ, "EMOSCOPE_STORE": str(store)},
        )  # fmt: skip

    wanted = {}
    for name, words in (("p.jsonl", judge), ("f.csv", extraction)):
        assert start(words, folder / name, folder / "store").wait() == 0
        wanted[name] = (folder / name).read_bytes()
    counts = {"runs": 0, "refused": 0, "losses": 0}
    for number in range(rounds):
        place = folder / str(number)
        place.mkdir()
        store = place / "store"
        judging = [start(judge, place / "p.jsonl", store) for _ in range(2)]
        tables = [place / f"{n}.csv" for n in range(2)]
        extracting = [start(extraction, table, store) for table in tables]
        ends = [process.wait() for process in judging]
        counts["refused"] += ends.count(2)
        counts["losses"] += 0 not in ends or not set(ends) <= {0, 2}
        counts["losses"] += (place / "p.jsonl").read_bytes() != wanted["p.jsonl"]
        for process, table in zip(extracting, tables, strict=True):
            counts["losses"] += process.wait() != 0 or table.read_bytes() != wanted["f.csv"]
        counts["losses"] += bool(Store(store).verify())
        counts["runs"] += 4
    return counts


def test_runs_at_once_are_as_if_each_were_alone(clips: Path, model: Path, tmp_path: Path) -> None:
    found = runs_at_once(clips, model, tmp_path, 1)
    assert found["runs"] == 4 and found["losses"] == 0


def test_two_runs_never_write_one_output(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    with Output(path, "csv", Layout(["happy"], "m")):
        before = path.read_bytes()
        with pytest.raises(EmoscopeError, match="another run is writing it"):
            Output(path, "csv", Layout(["happy"], "m"))
        assert path.read_bytes() == before
    with Output(path, "csv", Layout(["happy"], "m")):
        pass
    assert path.read_bytes() == before


# --- a clock that goes back -----------------------------------------------------------------------


def test_a_clock_set_back_serves_nothing_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "store")
    clips = make_corpus(tmp_path / "clips", 6)
    first = extract(clips, [Levels()], store=store, jobs=1)
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() - 86_400 * 10**9)
    monkeypatch.setattr(time, "time", lambda: real() / 1e9 - 86_400)
    changed = Path(clips.table["path"][2])
    louder = Path(clips.table["path"][3]).read_bytes()
    changed.write_bytes(louder)
    again = extract(clips, [Levels()], store=Store(store.folder), jobs=1)
    X, Y = first.features["vector"].X, again.features["vector"].X
    assert (Y[2] == X[3]).all() and (Y[[0, 1, 3, 4, 5]] == X[[0, 1, 3, 4, 5]]).all()
    assert corpora.load(write_manifest(tmp_path, clips)).rejected == []


def write_manifest(folder: Path, clips: corpora.Corpus) -> Path:
    path = folder / "m.csv"
    clips.table[["path", "emotion", "speaker"]].to_csv(path, index=False)
    return path
