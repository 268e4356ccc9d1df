"""Runs what the pages show and writes what came out into them.

    python docs/making/record.py [PAGE…]

Without a page, all of :data:`PAGES`. A block in ``console`` holds command lines after ``$``, each with
what it prints; a block in ``text`` that follows one in ``python`` holds what that prints. They are run
in the order of the page, in a folder that holds ``examples/`` and the corpus that :func:`furnish`
makes. ``tests/test_docs.py`` runs them again and compares. Outputs show a corpus, so that recording
needs EMO-DB: ``EMOSCOPE_DATA`` names the folder in which it is.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = (
    README, DOCS / "start.md", DOCS / "engineering.md", *sorted((DOCS / "tutorials").glob("*.md"))
)  # fmt: skip
PORT = "8765"
WARM, SOCKET = Path(__file__).resolve().with_name("warm.py"), "socket"
#: The README is read in a fresh clone; this is the quickest form of what takes minutes there.
SHORT = {
    "make compare": 'make compare ARGS="--quick --models tree,dummy --features mfcc '
    '--emotions happy,sad --no-leak-gap --jobs 1"',
    "make test": 'make test ARGS="-n 0 tests/test_labels.py"',
}


class Block(NamedTuple):
    """A fenced block: where its text begins and ends in the page, its line, language and text."""

    start: int
    end: int
    line: int
    language: str
    text: str


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page."""
    fence = re.compile(r"^(```+)\{?([\w-]*)\}?[^\n]*\n(.*?)^\1[ ]*$", re.MULTILINE | re.DOTALL)
    return [
        Block(m.start(3), m.end(3), page.count("\n", 0, m.start()) + 1, m[2], m[3])
        for m in fence.finditer(page)
    ]


OF_MAKE = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "ARGS")  # what running inside make would add


def _environment() -> dict[str, str]:
    own = {k: v for k, v in os.environ.items() if k not in OF_MAKE}
    return {
        **own, "COLUMNS": "100", "PYTHONPATH": str(ROOT / "src"), "PYTHONUNBUFFERED": "1",
        "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1", "NO_COLOR": "1", "LC_ALL": "C.UTF-8",
    }  # fmt: skip


class Desk:
    """A folder in which commands and Python are run as a reader would run them."""

    def __init__(self, folder: Path, *, store: Path, path: Path | None = None) -> None:
        self.folder, self.port, self.before = folder, _free_port(), ""
        self.module = types.ModuleType("page")
        self.running: list[subprocess.Popen[bytes]] = []
        tools = path or _tools(store.parent / "tools")
        self.environment = {
            **_environment(),
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "EMOSCOPE_STORE": str(store),
        }

    def run(self, line: str) -> str:
        """What a command line prints, errors too; one that serves goes on until :meth:`close`."""
        if re.match(r"\.|export ", line):
            self.before += f"{line}\n"
            return ""
        line = SHORT.get(line.split("  #")[0].strip(), line)
        serves = re.match(r"(?:make|emoscope) serve", line)
        if serves:
            line = re.sub(r"\s+#.*", "", line)
            line += (
                f' ARGS="--port {self.port}"' if line.startswith("make") else f" --port {self.port}"
            )
        line = line.replace(f":{PORT}", f":{self.port}")
        words = ["bash", "-e", "-o", "pipefail", "-c", f"{self.before}{line}"]
        options = {"cwd": self.folder, "env": self.environment}
        if serves:
            return self._serve(words, options)
        done = subprocess.run(
            words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, **options
        )
        assert done.returncode == 0, f"{line}\n{done.stdout.decode()}"
        return self._plain(done.stdout.decode())

    def python(self, code: str) -> str:
        """What a piece of Python prints; a page's pieces share their names."""
        out = io.StringIO()
        with _inside(self.folder, self.environment), contextlib.redirect_stdout(out):
            exec(compile(code, "page", "exec"), self.module.__dict__)
        return self._plain(out.getvalue())

    def close(self) -> None:
        """End what still serves."""
        for process in self.running:
            process.terminate()
            process.wait(20)

    def _serve(self, words: list[str], options: dict) -> str:
        log = self.folder / ".served"
        with open(log, "wb") as file:
            self.running.append(subprocess.Popen(words, stdout=file, stderr=file, **options))
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            # The address is printed a moment after the socket answers.
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self.port), 1),
            ):
                if str(self.port) in (text := log.read_text()):
                    return self._plain(text)
            assert self.running[-1].poll() is None, log.read_text()
            time.sleep(0.1)
        raise TimeoutError(log.read_text())

    def _plain(self, text: str) -> str:
        lines = (line.rstrip() for line in text.replace(str(self.port), PORT).splitlines())
        return "".join(f"{line}\n" for line in lines).strip("\n") + "\n" if text.strip() else ""


def perform(page: str, desk: Desk, *, setting_up: bool = False) -> Iterator[tuple[Block, str]]:
    """Each block with a recorded output, and the text that it should have.

    Parameters
    ----------
    page
        Text of the page.
    desk
        Where to run it.
    setting_up
        Also run the blocks in ``sh``, which say how to set up a machine.
    """
    printed = None
    for block in blocks(page):
        if block.language == "python":
            printed = desk.python(block.text)
            continue
        if block.language == "console":
            yield block, "".join(f"$ {line}\n{desk.run(line)}" for line in commands(block.text))
        elif block.language == "sh" and setting_up:
            for line in block.text.splitlines():
                desk.run(line)
        elif block.language == "text" and printed:
            yield block, printed
        printed = None


def commands(text: str) -> list[str]:
    r"""The command lines of a block in ``console``; one goes on after a ``\``."""
    return [m[1] for m in re.finditer(r"^\$ ((?:[^\n]*\\\n)*[^\n]*)", text, re.MULTILINE)]


def furnish(folder: Path) -> bool:
    """Lay out the examples, EMO-DB and a table of a part of it; whether EMO-DB is the real one."""
    (folder / "emodb").mkdir(parents=True)
    (folder / "examples").mkdir()
    for path in (ROOT / "examples").glob("*.*"):
        shutil.copy(path, folder / "examples")
    data = Path(os.environ.get("EMOSCOPE_DATA", ROOT.parent / "shared" / "data"), "emodb", "wav")
    if data.is_dir():
        shutil.copytree(data, folder / "emodb" / "wav", copy_function=shutil.copyfile)
    else:
        _imitate(folder / "emodb" / "wav")
    table = "emoscope convert emodb --out my-recordings.csv --emotions angry,happy,neutral"
    with contextlib.closing(Desk(folder, store=folder.parent / "store")) as desk:
        desk.run(table)
    return data.is_dir()


def _imitate(folder: Path) -> None:
    """Synthetic voices under the names of EMO-DB."""
    sys.path.insert(0, str(ROOT / "tests"))
    from recordings import RATE, voice

    folder.mkdir()
    for speaker, pitch in {"03": 100.0, "08": 230.0, "09": 190.0, "10": 130.0}.items():
        for n, sentence in enumerate(("a01", "a02")):
            for letter, height in {"W": 1.6, "F": 1.25, "N": 1.0}.items():
                samples = height * voice(0.6, pitch * height, seed=n) / 2
                soundfile.write(folder / f"{speaker}{sentence}{letter}a.wav", samples, RATE)


def desk_for(page: Path, furnished: Path, folder: Path) -> Desk:
    """A folder of a page's own: what :func:`furnish` made, less what the page itself makes."""
    shutil.copytree(furnished, folder, copy_function=os.link)
    if "--out my-recordings.csv" in page.read_text("utf-8"):
        (folder / "my-recordings.csv").unlink()
    return Desk(folder, store=furnished.parent / "store")


def clone(folder: Path) -> Path:
    """A fresh clone with its environment set up, though by linking this one: returns its tools.

    ``make`` finds an environment that is up to date. What it would have installed is what runs this.
    """
    names = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, names.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    tools = folder / ".venv" / "bin"
    _tools(tools, folder / "src")
    (tools / "activate").write_text(f"export PATH={tools}:$PATH\n")
    for stamp in (".ready-demo", ".ready-serve", ".ready", ".ready-test"):
        (folder / ".venv" / stamp).touch()
    return tools


def _tools(folder: Path, source: Path = ROOT / "src") -> Path:
    """A folder with the commands ``python`` and ``emoscope``, which run the code of this tree."""
    folder.mkdir(parents=True, exist_ok=True)
    fork = f'{sys.executable} -I -S {WARM} {folder / SOCKET} "$@"'
    start = f"export PYTHONPATH={source}\nexec {sys.executable} "
    for name, before, words in (
        ("python", "", ""),
        (
            "emoscope",
            f'[ -S {folder / SOCKET} ] && [ "$1" != serve ] && exec {fork}\n',
            "-m emoscope ",
        ),
    ):
        (folder / name).write_text(f'#!/bin/sh\n{before}{start}{words}"$@"\n')
        (folder / name).chmod(0o755)
    return folder


@contextlib.contextmanager
def warmed(folder: Path) -> Iterator[None]:
    """Meanwhile desks with a store in this folder run ``emoscope`` in forks; see ``warm.py``."""
    place = folder / "tools" / SOCKET
    place.parent.mkdir(parents=True, exist_ok=True)
    words, pipe = [sys.executable, str(WARM), str(place)], subprocess.PIPE
    with subprocess.Popen(words, env=_environment(), stdin=pipe, stdout=pipe) as process:
        assert process.stdout and process.stdout.readline(), "the process did not start"
        yield
        place.unlink()


@contextlib.contextmanager
def _inside(folder: Path, environment: dict[str, str]) -> Iterator[None]:
    here, before = Path.cwd(), dict(os.environ)
    os.chdir(folder)
    os.environ.update(environment)
    try:
        yield
    finally:
        os.chdir(here)
        os.environ.clear()
        os.environ.update(before)


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


NUMBER = re.compile(r"[-+−]?\d+(?:\.\d+)?")


def alike(shown: str, found: str) -> bool:
    """Whether two outputs say the same, but for figures that differ a little between machines.

    The time that a line ends with may be any.
    """
    shown, found = (
        re.sub(r"[\d.]+ s *$", "T", text, flags=re.MULTILINE) for text in (shown, found)
    )
    if re.sub(r"\s+", " ", NUMBER.sub("0", shown)) != re.sub(r"\s+", " ", NUMBER.sub("0", found)):
        return False
    pairs = zip(NUMBER.findall(shown), NUMBER.findall(found), strict=True)
    return all(_close(a.replace("−", "-"), b.replace("−", "-")) for a, b in pairs)


def _close(shown: str, found: str) -> bool:
    last_digit = 10.0 ** -len(shown.partition(".")[2])
    small = 0.005 if abs(float(shown)) < 1 else 0.0
    return bool(
        np.isclose(float(shown), float(found), rtol=0.02, atol=max(1.5 * last_digit, small))
    )


def main() -> None:
    """Record the pages named, or all."""
    pages = [Path(name).resolve() for name in sys.argv[1:]] or PAGES
    with tempfile.TemporaryDirectory() as name, warmed(Path(name)):
        furnished = Path(name, "furnished")
        if not furnish(furnished):
            sys.exit("no EMO-DB here: set EMOSCOPE_DATA to the folder that holds emodb/wav")
        for page in filter(Path.is_file, pages):
            folder = Path(name, page.stem)
            if page == README:
                desk = Desk(folder, store=Path(name, "store"), path=clone(folder))
            else:
                desk = desk_for(page, furnished, folder)
            with contextlib.closing(desk):
                text = page.read_text("utf-8")
                made = list(perform(text, desk, setting_up=page == README))
            for block, new in reversed(made):
                if not alike(block.text, new):
                    text = text[: block.start] + new + text[block.end :]
            page.write_text(text, "utf-8")
            print(f"{page.relative_to(ROOT)}: {len(made)} outputs")


if __name__ == "__main__":
    main()
