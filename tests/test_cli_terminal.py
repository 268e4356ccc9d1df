"""What the commands say: in colour or without, in few columns, with reasons."""

import dataclasses
import io
import os
import subprocess
import sys

import soundfile

from emoscope.cli import commands
from emoscope.corpus import SpeakerOrigin
from emoscope.evaluation.result import Run
from recordings import RATE, voice


def test_help_tells_the_exit_statuses(emoscope):
    _, out, _ = emoscope("--help")
    assert "Exit status: 0 success" in " ".join(out.split())


def test_verbose_shows_where_an_error_came_from(tmp_path):
    words = ["extract", str(tmp_path / "nothing"), "--out", "x.csv", "--verbose"]
    code = "from emoscope.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.returncode == 2 and "Traceback" in done.stderr
    assert "no such folder or manifest" in done.stderr.splitlines()[-1]


def test_no_colour_where_none_is_wanted():
    code = "from emoscope.cli import main; main()"
    words = [sys.executable, "-c", code, "corpora", "--help"]
    environment = {**os.environ, "FORCE_COLOR": "1"}
    coloured = subprocess.run(words, env=environment, capture_output=True, text=True)
    environment = {**os.environ, "NO_COLOR": "1"}
    plain = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert "\x1b[" in coloured.stdout and "\x1b[" not in plain.stdout


def test_a_narrow_terminal_keeps_the_main_figure(monkeypatch):
    from emoscope.cli import terminal

    run = Run(
        "svm-rbf", "mfcc", "loso", uar=0.4321, uar_low=0.4, uar_high=0.5, accuracy=0.45,
        macro_f1=0.44, fit_seconds=123.0,
    )  # fmt: skip
    for width, shown in ((120, "0.440"), (60, "0.400–0.500"), (40, "0.432")):
        monkeypatch.setattr(terminal.out, "_width", width)
        board = terminal.Leaderboard("loso", "random-75/25", SpeakerOrigin("rule"))
        board.on_run(run)
        board.on_run(dataclasses.replace(run, protocol="random-75/25", uar=0.6))
        with terminal.out.capture() as printed:
            terminal.out.print(board.table())
        text = printed.get()
        assert "svm-rbf" in text and "0.432" in text and shown in text and "+0.168" in text
        assert "…" not in text and max(map(len, text.splitlines())) <= width
    for width in range(1, 40):
        monkeypatch.setattr(terminal.out, "_width", width)
        for twin in (None, "random-75/25"):
            board = terminal.Leaderboard("loso", twin, SpeakerOrigin("rule"))
            board.on_run(run)
            assert board.table().columns


def test_what_was_left_out_is_told_before_an_error_and_counted(emoscope, tmp_path):
    rows = "".join(f"{n}.wav,sad,s{n % 4}\n" for n in range(4))
    rows += "".join(f"{n}.wav,Hunger,s{n % 4}\n" for n in range(4, 16))
    (tmp_path / "m.csv").write_text("file,emotion,speaker\n" + rows)
    for n in range(4):
        soundfile.write(tmp_path / f"{n}.wav", voice(1.0), RATE)
    status, _, err = emoscope(
        "compare",
        tmp_path / "m.csv",
        "--models",
        "svm",
        "--features",
        "mfcc",
        "--out",
        tmp_path / "o",
    )
    assert status == 2
    assert "12 x label 'Hunger' is not a known emotion" in err and "15.wav: label 'Hunger'" in err
    assert err.index("12 x") < err.index("needs clips of at least two emotions; found: sad")


def test_lines_for_a_terminal_break_between_words(monkeypatch):
    class Stream(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("COLUMNS", "20")
    text = "    a warning of more than twenty characters\n/a/path/that/is/long/and/stays/whole\nshort\n"
    assert commands.fitted(text, Stream()) == (
        "    a warning of\n    more than twenty\n    characters\n"
        "/a/path/that/is/long/and/stays/whole\nshort\n"
    )
    assert commands.fitted(text, io.StringIO()) == text
