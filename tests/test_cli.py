"""The commands as a user types them: what they deliver, what they say, their exit status."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
import soundfile

from emoscope.evaluation.result import Result
from emoscope.files import DATA
from recordings import RATE, voice
from small_corpus import make_corpus

DEFAULT_MODEL = f"{DATA}/default.emoscope"

CLASSICAL = "dummy,svm,tree"


def test_compare_without_arguments_runs_on_the_bundled_features(emoscope, tmp_path):
    status, out, _ = emoscope("compare", "--models", "dummy,svm", "--jobs", 1, "--out", tmp_path)
    assert status == 0 and "svm" in out
    assert {"report.html", "results.json", "predictions.csv"} <= {
        p.name for p in tmp_path.iterdir()
    }
    document = json.loads((tmp_path / "results.json").read_text())
    assert document["corpus"]["n_clips"] == 1440
    assert {run["protocol"] for run in document["runs"]} == {
        "speaker-6fold", "random-75/25", "speaker+text", "speaker+text-control",
    }  # fmt: skip
    again = Result.load(tmp_path)
    svm = again.rows("svm")
    recalls = (svm["emotion"] == svm["predicted"]).groupby(svm["emotion"]).mean()
    line = next(r for r in again.leaderboard() if r.model == "svm")
    assert line.uar == pytest.approx(recalls.mean())
    assert line.leak_gap > 0.05
    page = (tmp_path / "report.html").read_text()
    assert "<audio" not in page and f"{line.uar:.3f}" in page


def break_five(clips):
    """Five kinds of damage; returns what each file's reason must mention."""
    empty, cut, noise, link, nan = clips[:5]
    empty.write_bytes(b"")
    cut.write_bytes(cut.read_bytes()[:4000])
    noise.write_bytes(bytes(range(256)) * 40)
    link.unlink()
    link.symlink_to(link.parent / "nowhere.flac")
    import numpy as np
    import soundfile

    nan.unlink()
    soundfile.write(nan.with_suffix(".wav"), np.full(48_000, np.nan), 48_000, subtype="FLOAT")
    return [empty.name, cut.name, noise.name, link.name, nan.with_suffix(".wav").name]


def test_five_broken_files_among_sixty_are_named_and_the_rest_is_used(emoscope, ravdess, tmp_path):
    corpus = tmp_path / "corpus"
    clips = []
    for actor in range(1, 7):
        folder = ravdess / f"Actor_{actor:02d}"
        (corpus / folder.name).mkdir(parents=True)
        for clip in sorted(folder.glob("*.flac"))[::6]:
            clips.append(corpus / folder.name / clip.name)
            shutil.copy(clip, clips[-1])
    assert len(clips) == 60
    names = break_five(clips[::12])
    out = tmp_path / "out"
    status, _, err = emoscope(
        "compare", corpus, "--models", CLASSICAL, "--features", "mfcc", "--protocol", "loso",
        "--jobs", 1, "--out", out,
    )  # fmt: skip
    assert status == 1
    document = json.loads((out / "results.json").read_text())
    assert document["corpus"]["n_clips"] == 55
    assert len(document["corpus"]["rejected"]) == 5
    for name in names:
        assert name in err.replace("\n", "")
        assert any(bad["file"].endswith(name) for bad in document["corpus"]["rejected"])
    page = (out / "report.html").read_text()
    assert "Left out: 5 recordings" in page and page.count("<audio") > 0


def test_bundled_features_are_what_the_extractor_gives(ravdess):
    import numpy as np

    from emoscope import features
    from emoscope.audio import load
    from emoscope.dataset import bundled
    from emoscope.features.spectrum import Spectrum

    corpus, vector, frames = bundled.load()
    for row in range(0, 1440, 180):
        actor = corpus.table["speaker"].iloc[row]
        clip = ravdess / f"Actor_{actor}" / f"{corpus.table['clip'].iloc[row]}.flac"
        spectrum = Spectrum(load(clip))
        values = np.concatenate([features.get(n).extract(spectrum) for n in features.DEFAULT])
        np.testing.assert_allclose(vector.X[row], values, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(frames.frames[row], features.get("logmel").extract(spectrum))


def test_a_corpus_folder_gives_the_bundled_rows(ravdess):
    from emoscope import corpus
    from emoscope.dataset import bundled

    shipped, loaded = bundled.load()[0].table, corpus.load(ravdess).table
    for column in ("clip", "emotion", "speaker", "gender", "intensity", "statement"):
        assert shipped[column].tolist() == loaded[column].tolist()


def test_extract_writes_a_table_that_pandas_reads(emoscope, ravdess, tmp_path):
    for ending, read in ((".csv", pd.read_csv), (".parquet", pd.read_parquet)):
        target = tmp_path / f"features{ending}"
        status, _, _ = emoscope(
            "extract", ravdess / "Actor_01", "--features", "mfcc,chroma", "--emotions", "neutral",
            "--jobs", 1, "--out", target,
        )  # fmt: skip
        table = read(target)
        assert status == 0 and len(table) == 4
        assert {"clip", "emotion", "mfcc_01", "chroma_C"} <= set(table.columns)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["compare", "--models", "svn"], "Did you mean 'svm'"),
        (["compare", "--features", "mfc"], "Did you mean 'mfcc'"),
        (["compare", "--emotions", "hungry"], "surprised"),
        (["compare", "--protocol", "holdout"], "speaker-6fold"),
        (["compare", "no/such/folder"], "no/such/folder"),
        (["extract", "x", "--out", "x.xlsx"], ".parquet or .csv"),
        (["get", "ravdes"], "Did you mean 'ravdess'"),
        (["audit", "nothing.csv"], "nothing.csv"),
        (["predict", "x.wav", "--model", "nothing.emoscope"], "nothing.emoscope"),
    ],
)
def test_wrong_usage_says_what_is_right(emoscope, words, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where nobody has run compare before
    status, _, err = emoscope(*words)
    assert status == 2
    assert says in err.replace("\n", "")


def test_show_draws_what_it_can_and_names_what_it_cannot(emoscope, ravdess, tmp_path):
    clip = ravdess / "Actor_01" / "03-01-05-02-01-01-01.flac"
    for ending, begins in ((".png", b"\x89PNG"), (".svg", b"<?xml")):
        target = tmp_path / f"clips{ending}"
        status, _, err = emoscope("show", clip, tmp_path / "nothing.wav", "--out", target)
        assert status == 1 and "nothing.wav" in err.replace("\n", "")
        assert target.read_bytes().startswith(begins)


def test_corpora_lists_all_and_version_answers(emoscope):
    status, out, _ = emoscope("corpora")
    assert status == 0
    for name in ("ravdess", "emodb", "tess", "cremad", "savee", "emovo"):
        assert name in out
    assert emoscope("--version")[1].startswith("emoscope ")


def all_commands():
    """Every command line that ``--help`` may end, from the application itself."""
    import typer

    from emoscope.cli import application

    group = typer.main.get_command(application())
    for name, command in group.commands.items():
        below = getattr(command, "commands", None)
        yield from ([name, each] for each in below) if below else [[name]]


@pytest.mark.parametrize("words", list(all_commands()), ids=" ".join)
def test_every_help_has_examples_that_name_the_command(emoscope, words):
    status, out, _ = emoscope(*words, "--help")
    assert status == 0
    after = out[out.lower().index("examples:") :]
    assert f"emoscope {' '.join(words)}" in " ".join(after.split())
    for option in ("--quiet", "--verbose"):
        assert option in out


def test_quiet_says_results_alone_and_verbose_says_more(emoscope, tmp_path):
    words = ["compare", "--models", "dummy", "--features", "mfcc", "--jobs", 1, "--emotions"]
    words += ["sad,happy", "--out", tmp_path]
    _, results, told = emoscope(*words, "-v")
    assert "dummy" in told and "extracting features: " in told and "writing the report: " in told
    _, quiet, silence = emoscope(*words, "--quiet")
    assert (quiet.splitlines()[0], silence) == (results.splitlines()[0], "")


def test_a_model_is_not_written_where_its_options_go(emoscope, tmp_path):
    status, _, err = emoscope(
        "train", "dummy", "--features", "chroma", "--out", tmp_path / "m.toml"
    )
    assert status == 2 and "must end in .emoscope" in err
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """A comparison that takes a second."""
    folder = tmp_path_factory.mktemp("quick")
    table = make_corpus(folder / "clips", n_clips=24).table
    table[["path", "emotion", "speaker"]].to_csv(folder / "clips.csv", index=False)
    return [
        folder / "clips.csv", "--features", "mfcc", "--models", "dummy", "--protocol", "loso",
        "--no-leak-gap", "--jobs", 1,
    ]  # fmt: skip


def test_a_failed_run_leaves_an_older_result_as_it_was(emoscope, quick, tmp_path):
    words = [*quick, "--out", tmp_path]
    assert emoscope("compare", *words)[0] == 0
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert {"run.toml", "report.html"} <= {path.name for path in before}
    status, _, err = emoscope("compare", *words, "--protocol", "nothing", "--seed", 3)
    assert status == 2 and "nothing" in err
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


@pytest.mark.skipif(sys.platform == "win32", reason="no locks on folders")
def test_two_runs_never_share_a_folder_of_results(emoscope, quick, tmp_path):
    import fcntl

    words = [*quick, "--out", tmp_path]
    other = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    status, _, err = emoscope("compare", *words)
    assert status == 2 and "another run is writing to it" in err and not list(tmp_path.iterdir())
    os.close(other)
    assert emoscope("compare", *words)[0] == 0
    assert emoscope("compare", *words)[0] == 0  # what was claimed has been let go


def test_a_reproduction_leaves_a_comparison_beside_it_alone(emoscope, quick, tmp_path):
    words = [*quick, "--out", tmp_path]
    assert emoscope("compare", *words)[0] == 0
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    words = ["--quick", "--rows", "max_depth 2", "--jobs", 1, "--out", tmp_path]
    assert emoscope("reproduce", *words)[0] == 0
    after = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert {path: after[path] for path in before} == before
    assert {f"reproduction.{ending}" for ending in ("csv", "json", "html", "toml")} == {
        path.name for path in set(after) - set(before)
    }


def test_what_is_read_is_never_written_over(emoscope, tmp_path):
    sound, table, model = tmp_path / "a.png", tmp_path / "t.csv", tmp_path / "m.emoscope"
    soundfile.write(sound, voice(1.0), RATE, format="WAV")
    table.write_text("file,emotion,speaker\na.png,sad,1\n")
    shutil.copy(DEFAULT_MODEL, model)
    (tmp_path / "mine.toml").write_text("precious = 1\n")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for words in (
        ("show", sound, "--out", sound),
        ("predict", sound, "--picture", sound),
        ("extract", table, "--features", "mfcc", "--out", table),
        ("convert", table, "--out", table),
        ("export", model, "--onnx", model),
        ("audit", table, "--out", table),
        ("train", "lda", table, "--out", tmp_path / "mine.emoscope"),
    ):
        status, _, err = emoscope(*words)
        says = "choose another name" if words[0] == "train" else "write to another file"
        assert status == 2 and says in err, words
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.skipif(sys.platform == "win32", reason="no shell like this")
@pytest.mark.parametrize(
    ("command", "encoding"),
    [
        ("compare QUICK --out OUT", "ascii"),
        ("corpora >&-", "utf-8"),
        ("predict VOICE >&-", "utf-8"),
        ("predict VOICE <&- 2>&-", "utf-8"),
    ],
)
def test_an_output_that_is_closed_or_knows_few_letters(quick, tmp_path, command, encoding):
    soundfile.write(tmp_path / "voice.wav", voice(1.0), RATE)
    words = command.replace("QUICK", " ".join(map(str, quick)))
    words = words.replace("OUT", str(tmp_path / "out"))
    words = words.replace("VOICE", str(tmp_path / "voice.wav"))
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m emoscope {words}"],
        env={**os.environ, "PYTHONIOENCODING": encoding}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0 and "Traceback" not in done.stdout + done.stderr


STARTED = """
import sys
from emoscope.cli import main
print("ready", flush=True)
sys.argv = ["emoscope", *sys.argv[1:]]
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no signals like these")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_can_be_ended_from_its_first_moment_on(tmp_path, number):
    soundfile.write(tmp_path / "voice.wav", voice(1.0), RATE)
    endless = ["compare", "--models", "mlp", "--out", str(tmp_path)]
    for words, delay in ((["predict", str(tmp_path)], 0.02), (endless, 0.1), (endless, 0.5)):
        run = subprocess.Popen(
            [sys.executable, "-c", STARTED, *words], text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # however we are run
        )  # fmt: skip
        assert run.stdout is not None and run.stdout.readline() == "ready\n"
        time.sleep(delay)
        run.send_signal(number)
        _, said = run.communicate(timeout=60)
        assert "Traceback" not in said
        assert run.returncode == 128 + number or (run.returncode == 0 and words != endless), said
