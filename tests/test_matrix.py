"""Every command on everything that another command has written: a plain answer, and nothing lost."""

import hashlib
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import soundfile

import command_line
from recordings import RATE, voice

REPRODUCED = Path(__file__).parents[1] / "results" / "reproduction"
FAST = ("--features", "mfcc", "--jobs", 1)
LOSO = ("--protocol", "loso")
#: What a person cannot read as a reason.
RAW = re.compile(r"Traceback|\b[A-Z]\w+(Error|Exception)\b|<class |\[Errno|object at 0x")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with a corpus, and with what every command has made of it."""
    root = tmp_path_factory.mktemp("world")
    rows = []
    for number in range(24):
        emotion = ("happy", "sad")[number // 6 % 2]
        path = root / "clips" / f"{number:02d}.wav"
        path.parent.mkdir(exist_ok=True)
        loud = 0.9 if emotion == "happy" else 0.2
        soundfile.write(path, loud * voice(0.5, 100 + 9 * number, seed=number), RATE)
        rows.append((f"clips/{number:02d}.wav", emotion, f"s{number % 6}"))
    manifest, made = root / "manifest.csv", root / "made"
    pd.DataFrame(rows, columns=["file", "emotion", "speaker"]).to_csv(manifest, index=False)
    clip = root / "clips" / "00.wav"
    for words in (
        ("compare", manifest, *FAST, *LOSO, "--models", "dummy,svm", "--out", made / "compare"),
        ("tune", "svm", manifest, *FAST, *LOSO, "--trials", 1, "--out", made / "tune"),
        ("train", "lda", manifest, *FAST, "--out", made / "m.emoscope"),
        ("evaluate", "free", manifest, "--out", made / "evaluate"),
        *(("extract", manifest, *FAST, "--out", made / f"f.{e}") for e in ("parquet", "csv")),
        ("predict", clip, "--model", "free", "--out", made / "p.json"),
        ("predict", clip, "--model", "free", "--out", made / "p.csv"),
        ("predict", clip, "--model", "free", "--timeline", "--out", made / "timeline.csv"),
        *(("predict", clip, "--model", "free", "--out", made / f"t.{e}") for e in ("TextGrid", "srt")),
        ("audit", made / "compare", "--out", made / "audit.json"),
        ("convert", manifest, "--format", "audformat", "--out", made / "audformat"),
        ("convert", manifest, "--format", "huggingface", "--out", made / "hub-audio"),
        ("convert", manifest, "--out", made / "clips.jsonl"),
        ("export", "free", "--onnx", made / "graph.onnx", "--hub", made / "hub-model"),
        ("show", clip, "--panels", "waveform", "--out", made / "clip.png"),
    ):  # fmt: skip
        assert command_line.run(*words) in (0, 1), words
    shutil.copytree(REPRODUCED, made / "reproduce", ignore=shutil.ignore_patterns("README.md"))
    for inner in ("results.json", "report.html", "predictions.csv", "run.toml"):
        shutil.copy(made / "compare" / inner, made / inner)
    shutil.copy(made / "tune" / "tuned.json", made)
    for record in made.glob("f.*.toml"):  # one of them stands for all
        record.rename(made / "f.toml")
    return root


def digests(root):
    """What tells whether a file is the one that it was; large ones are not read each time."""
    found = {}
    for path in sorted(root.rglob("*")):
        if path.is_file():
            about = path.stat()
            small = about.st_size < 100_000
            content = hashlib.sha1(path.read_bytes()).hexdigest() if small else about.st_mtime_ns
            found[path] = (about.st_size, content)
    return found


#: X is what another command has written, NEW a place where nothing is, M the manifest, C a clip.
READERS = [
    "compare X --models dummy --features mfcc --protocol loso --jobs 1 --no-leak-gap --out NEW",
    "compare --config X --jobs 1 --out NEW",
    "reproduce X --quick --rows max_depth --jobs 1 --out NEW",
    "audit X --jobs 1 --out NEW.json",
    "audit M X --jobs 1",
    "train lda X --features mfcc --jobs 1 --out NEW.emoscope",
    "train svm M --parameters X --features mfcc --jobs 1 --out NEW.emoscope",
    "evaluate free X --jobs 1 --out NEW",
    "evaluate X M --jobs 1 --out NEW",
    "extract X --features mfcc --jobs 1 --out NEW.csv",
    "convert X --out NEW.csv",
    "predict X --model free --jobs 1",
    "predict C --model X --jobs 1",
    "export X --onnx NEW.onnx",
    "show X --panels waveform --out NEW.png",
]
WRITERS = [
    "compare M --models dummy --features mfcc --protocol loso --jobs 1 --no-leak-gap --out X",
    "tune svm M --features mfcc --protocol loso --trials 2 --jobs 1 --out X",
    "reproduce M --quick --rows max_depth --jobs 1 --out X",
    "audit M C --jobs 1 --out X",
    "train lda M --features mfcc --seed 5 --jobs 1 --out X",
    "evaluate free M --adapt corpus --jobs 1 --out X",
    "extract M --features chroma --jobs 1 --out X",
    "convert M --emotions sad --format csv --out X",
    "predict C --model default --jobs 1 --out X",
    "predict C --model free --format textgrid --out X",
    "predict C --model free --picture X",
    "export default --onnx X",
    "export default --hub X",
    "show C --panels pitch --out X",
]


def outcomes(emoscope, world, line, tmp_path):
    """Run a command line on every output in turn; gives the outputs with the exit status."""
    before = digests(world)
    for number, output in enumerate(sorted((world / "made").iterdir())):
        new = tmp_path / f"new{number}"
        places = {"X": output, "M": world / "manifest.csv", "C": world / "clips" / "00.wav"}
        words = [
            places.get(word, word.replace("NEW", str(new)) if "NEW" in word else word)
            for word in line.split()
        ]
        status, out, err = emoscope(*words)
        told = f"{line}: X = {output.name}: {status}\n{err}{out}"
        assert status in (0, 1, 2), told
        assert not RAW.search(err + out), told
        if status == 2:
            assert err.count("\n") < 12 and len(err.split()) > 4, told
            assert not list(tmp_path.glob(f"new{number}*")), told  # wrong usage leaves nothing
        after = digests(world)
        lost = {path for path in before if after.get(path) != before[path]}
        assert not lost, f"lost: {lost}\n{told}"
        for path in after.keys() - before.keys():  # beside what was there
            path.unlink()
        yield output.name, status


@pytest.mark.parametrize("line", READERS)
def test_what_others_wrote_is_read_or_refused(emoscope, kept_models, world, line, tmp_path):
    found = dict(outcomes(emoscope, world, line, tmp_path))
    if line.startswith(("compare X", "train lda", "extract", "convert")):
        assert {found[name] for name in ("audformat", "hub-audio", "clips.jsonl")} == {0}
    if line.startswith("audit M X"):
        assert {found[name] for name in ("m.toml", "report.html")} == {2}
    if line.startswith("audit X"):
        assert found["compare"] == found["tune"] == 0 and found["evaluate"] == 2


@pytest.mark.parametrize("line", WRITERS)
def test_what_others_wrote_is_not_replaced(emoscope, kept_models, world, line, tmp_path):
    assert 2 in dict(outcomes(emoscope, world, line, tmp_path)).values()


def test_the_audit_of_a_tuned_result_finds_no_leak(emoscope, world):
    status, out, _ = emoscope("audit", world / "made" / "tune")
    assert status == 0 and "No leak found" in out
    status, _, err = emoscope("audit", world / "made" / "evaluate")
    assert status == 2 and "does not record the training clips" in " ".join(err.split())
