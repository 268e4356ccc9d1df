"""Corpora and recordings as people have them: what comes out, beside what is right.

``python benchmarks/cases.py FOLDER`` takes the folder that ``make_cases.py`` of the shared cases has
filled (its README says what is right), runs the commands on each case as a user would, and writes
``results/cases.md``. The exit status is 1 when an outcome is not as it should be.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from emoscope import corpus
from emoscope.errors import EmoscopeError

OUT = Path(__file__).parents[1] / "results" / "cases.md"
COMPARE = ("--models", "svm", "--no-leak-gap", "--protocol", "loso")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One case, what came out, and whether that is what the cases' README calls right."""

    case: str
    command: str
    outcome: str
    right: bool


class Cases:
    """Runs commands on the cases below a folder and collects the outcomes."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.outcomes = folder, list[Outcome]()
        self.scratch = tempfile.TemporaryDirectory()

    def run(self, *words: str) -> tuple[int, str]:
        """Exit status and everything that a command says."""
        done = subprocess.run(
            [sys.executable, "-m", "emoscope", *words],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        return done.returncode, " ".join(done.stdout.split())

    def command(
        self, case: str, right: Callable[[int, str], bool], *words: str, show: str = ""
    ) -> None:
        """Add the outcome of a command; `show` is an expression for what of its output is shown."""
        status, said = self.run(*words)
        found = re.search(show, said) if show else None
        text = (found[0] if found else said)[:300].replace(str(self.folder) + "/", "")
        shown = " ".join(words).replace(str(self.folder) + "/", "")
        shown = shown.replace(self.scratch.name + "/", "")
        self.outcomes.append(Outcome(case, shown, f"status {status}: {text}", right(status, said)))

    def load(self, case: str, right: Callable[[corpus.Corpus], bool], **reading: object) -> None:
        """Add what is read of a corpus."""
        options = "".join(f", {name}={value!r}" for name, value in reading.items())
        shown = f"load_corpus({case!r}{options})"
        try:
            loaded = corpus.load(self.folder / case, **reading)  # type: ignore[arg-type]
        except EmoscopeError as error:
            text = str(error).replace(str(self.folder) + "/", "")[:300]
            self.outcomes.append(Outcome(case, shown, f"refused: {text}", False))
            return
        table = loaded.table
        told = [f"{len(table)} clips of {', '.join(sorted(set(table['corpus'])))}"]
        told += [f"{len(loaded.speakers)} speakers ({loaded.speakers_from.kind})"]
        told += [", ".join(f"{n} {e}" for e, n in Counter(table["emotion"]).items())]
        told += [f"splits {', '.join(sorted(set(table['split'])))}"] if "split" in table else []
        told += [f"{len(loaded.rejected)} left out"] if loaded.rejected else []
        self.outcomes.append(Outcome(case, shown, "; ".join(told), right(loaded)))

    def out(self, name: str) -> str:
        """A folder for results that goes when the run ends."""
        return os.path.join(self.scratch.name, name)


def is_cut(loaded: corpus.Corpus) -> bool:
    """Whether every clip is a part of its file."""
    return all(excerpt.is_part and excerpt.end is not None for excerpt in loaded.excerpts)


def run_all(cases: Cases) -> None:
    """All cases, in the order of their numbers."""
    at = cases.folder
    ten = {f"Ses0{n}{who}" for n in range(1, 6) for who in "FM"}

    def by_letter(loaded: corpus.Corpus) -> bool:
        pairs = {(Path(p).stem[:5], Path(p).stem[-4]): set() for p in loaded.table["path"]}
        for path, speaker in zip(loaded.table["path"], loaded.table["speaker"], strict=True):
            pairs[Path(path).stem[:5], Path(path).stem[-4]].add(speaker)
        return len(loaded.speakers) in (0, len(ten)) and all(len(s) == 1 for s in pairs.values())

    cases.load("01_iemocap_folders", by_letter)
    cases.load("02_sentence_first", lambda c: c.speakers in ([], ["03", "08", "09", "10"]))
    cases.load("02_sentence_first", lambda c: len(c.speakers) == 4, speaker=r"_(\d+)")
    cases.load("04_segments/all_parts.csv", lambda c: len(c) == 24 and is_cut(c))
    cases.load("04_segments/one_part_each.csv", lambda c: len(c) == 6 and is_cut(c))
    cases.load("05_given_parts/talk.TextGrid", lambda c: len(c) == 2 and is_cut(c))
    for name in ("talk.srt", "talk.TextGrid"):
        cases.command(
            f"05_given_parts/{name}",
            lambda status, said: status == 0 and "angry" in said and "sad" in said,
            "predict", str(at / "05_given_parts/talk.flac"), "--segments",
            str(at / "05_given_parts" / name), "--format", "json", show=r"\"segments\".*",
        )  # fmt: skip
    for name in ("turns.wav", "at_once.wav"):
        cases.command(
            f"06_call/{name}",
            lambda status, said: "angry" in said and "sad" in said and "channel" in said,
            "predict", str(at / "06_call" / name), "--format", "csv",
        )  # fmt: skip
    for name in ("avaudiofile", "riff36", "zeros", "first_block"):
        cases.command(
            f"08_unfinished/{name}.wav",
            lambda status, said: status == 0 and "header" in said,
            "predict", str(at / "08_unfinished" / f"{name}.wav"), "--format", "json",
            show=r"\"warnings\": \[.*?\]",
        )  # fmt: skip
    cases.load("09_windows/backslashes.csv", lambda c: len(c) == 12 and len(c.speakers) == 6)
    cases.load("10_nfd/nfc.csv", lambda c: len(c) == 12)
    cases.load("10_nfd", lambda c: len(c) == 12)
    cases.load(
        "12_four_corpora",
        lambda c: (
            len(c) == 42
            and set(c.table["corpus"]) == {"cremad", "ravdess", "savee", "tess"}
            and len(c.speakers) == 14
        ),
    )
    cases.command(
        "13_like_ravdess",
        lambda status, said: status == 2 or ("RAVDESS" in said and "actor" in said.lower()),
        "compare", str(at / "13_like_ravdess"), "--models", "svm", "--out", cases.out("13"),
    )  # fmt: skip
    cases.load("14_ravdess_video", lambda c: len(c) == 12 and c.name == "ravdess")
    tables(cases, at / "16_tables")
    parts = {"train": 6, "dev": 6, "test": 6}
    cases.load("17_esd", lambda c: Counter(c.table["split"]) == parts and len(c.speakers) == 3)
    cases.load("18_mead", lambda c: len(c) == 24 and len(c.speakers) == 6)


def tables(cases: Cases, at: Path) -> None:
    """The tables of case 16."""

    def compare(
        name: str, right: Callable[[int, str], bool], *further: str, show: str = ""
    ) -> None:
        words = ("compare", str(at / name), *COMPARE, "--out", cases.out(Path(name).stem), *further)
        cases.command(f"16_tables/{name}", right, *words, show=show)

    codes = [f"e{n}={e}" for n, e in enumerate(("neutral", "happy", "angry", "sad"))]
    options = [word for code in codes for word in ("--label", code)]
    every = ("e0", "e1", "e2", "e3", "--label")
    compare("codes.csv", lambda status, said: status == 2 and all(w in said for w in every))
    compare("codes.csv", lambda status, said: status == 0, *options, show=r" svm .*")
    words = ("exc", "fru", "--label")
    compare("iemocap_words.csv", lambda status, said: all(w in said for w in words))
    compare("one_clip_of_sad.csv", lambda status, said: status == 2 and "sad" in said)
    compare(
        "speaker_is_file.csv",
        lambda status, said: "unseen" not in said.replace("no result will call them unseen", ""),
    )
    compare("no_speaker.csv", lambda status, said: status == 2 and "voice-6fold" in said)
    cases.command(
        "16_tables/no_speaker.csv",
        lambda status, said: status == 0 and "optimistic" in said,
        "train", "svm", str(at / "no_speaker.csv"), "--out", cases.out("m.emoscope"),
    )  # fmt: skip
    compare("eight_khz.csv", lambda status, said: status == 0 and "8000" in said.replace(",", ""))
    compare("dimensions.csv", lambda status, said: status == 2 and "arousal" in said)
    cases.load("16_tables/speechbrain.json", lambda c: len(c) == 24)
    cases.load("16_tables/hub.parquet", lambda c: len(c) == 6 and len(c.speakers) == 2)


def markdown(outcomes: Sequence[Outcome]) -> str:
    """The table."""
    lines = ["| case | command | what came out | right |", "|---|---|---|---|"]
    for one in outcomes:
        cells = (one.case, f"`{one.command}`", one.outcome, "yes" if one.right else "**no**")
        lines.append("| " + " | ".join(cell.replace("|", "¦") for cell in cells) + " |")
    head = "Written by `python benchmarks/cases.py FOLDER`.\n\n"
    right = sum(one.right for one in outcomes)
    return f"{head}{right} of {len(outcomes)} outcomes are right.\n\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="what make_cases.py has filled")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    cases = Cases(options.folder.resolve())
    run_all(cases)
    OUT.parent.mkdir(exist_ok=True)
    options.out.write_text(markdown(cases.outcomes), encoding="utf-8")
    for one in cases.outcomes:
        print("right" if one.right else "WRONG", one.case, one.outcome[:160], sep="  ")
    raise SystemExit(not all(one.right for one in cases.outcomes))
