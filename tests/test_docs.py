"""The documentation: every example in it runs, its pages are made without a warning, and it is
complete.

Blocks in ``python`` share one namespace per page. Blocks in ``console`` are command lines after
``$``, each with what it prints; ``…`` stands for anything. Blocks in ``sh`` set up a machine; what
they name must exist.
"""

import ast
import contextlib
import importlib.util
import io
import re
import shlex
import subprocess
import sys
import urllib.parse
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import tomlkit
import typer.main
from sybil import Document
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser

from emoscope import cli
from recordings import RATE, silence, voice

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS))

from making import api, measured  # noqa: E402

PAGES = sorted(
    [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *(path for path in DOCS.rglob("*.md") if "generated" not in path.parts),
    ]
)
#: Languages of blocks that are run, and those that show a file or a form of words.
RUN = {"python", "console", "sh"}
SHOWN = {"", "text", "toml", "json", "toctree", "include", "literalinclude", "eval-rst"}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """What the pages speak of: a recording, an interview, and a small corpus of four speakers."""
    folder = tmp_path_factory.mktemp("recordings")
    soundfile.write(folder / "speech.wav", voice(2.5, 190.0), RATE)
    talk = [voice(5, 110.0), silence(2), voice(5, 280.0, seed=3)]
    soundfile.write(folder / "interview.wav", np.concatenate(talk), RATE)
    (folder / "my-recordings").mkdir()
    rows = []
    for n, (speaker, take, height) in enumerate(
        (s, t, h) for s in "ABCD" for t in (1, 2) for h in (1.0, 1.25, 1.6)
    ):
        path = Path("my-recordings", f"{speaker}{n:02d}.wav")
        pitch = height * (100, 130, 190, 230)["ABCD".index(speaker)]
        soundfile.write(folder / path, height * voice(0.6, pitch, seed=take) / 2, RATE)
        rows.append((path, {1.0: "sad", 1.25: "neutral", 1.6: "angry"}[height], speaker))
    table = pd.DataFrame(rows, columns=["file", "emotion", "speaker"])
    table.to_csv(folder / "my-recordings.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """One store for all pages, as for one reader."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def desk(recordings, store, tmp_path, monkeypatch):
    """A folder of one's own in which the recordings lie."""
    for path in recordings.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EMOSCOPE_STORE", str(store))
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture(scope="module", autouse=True)
def building(tmp_path_factory):
    """Sphinx at work as in ``make docs``, beside the tests; notebooks stay as they lie there."""
    out = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "sphinx", "-W", "-q", "-D", "nb_execution_mode=off", "docs", out]
    with (
        open(out / "log", "w") as log,
        subprocess.Popen(build, cwd=ROOT, stdout=log, stderr=log) as process,
    ):
        yield process, out
        process.kill()


@pytest.fixture
def site(building):
    """The built site."""
    process, out = building
    assert process.wait(600) == 0, (out / "log").read_text()
    return out


def blocks(page):
    """The blocks of a page in the order of the page: line, language and text."""
    text = page.read_text("utf-8")
    fence = re.compile(r"^(```+)\{?([\w-]*)\}?[^\n]*\n(.*?)^\1[ ]*$", re.MULTILINE | re.DOTALL)
    return [(text.count("\n", 0, m.start()) + 1, m[2], m[3]) for m in fence.finditer(text)]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_block_is_run_or_shown_on_purpose(page):
    for line, language, _ in blocks(page):
        assert language in RUN or language in SHOWN, f"{page.name}:{line}: {language}"


def runs(page):
    return any(language in RUN for _, language, _ in blocks(page))


@pytest.mark.parametrize("page", list(filter(runs, PAGES)), ids=lambda p: str(p.relative_to(ROOT)))
def test_blocks_run(page, desk, capsys):
    document = Document.parse(
        str(page),
        PythonCodeBlockParser(),
        CodeBlockParser("console", run_console),
        CodeBlockParser("sh", check_sh),
    )
    for example in document.examples():
        example.evaluate()


def run_console(example):
    """Run each command line and compare what it prints with what the page shows."""
    for part in re.split(r"^\$ ", example.parsed, flags=re.MULTILINE)[1:]:
        line, _, shown = part.partition("\n")
        status, printed = command(line)
        where = f"{example.path}:{example.line}: {line}\n"
        assert status == 0, where + printed
        if shown.strip():
            pattern = r".*?".join(re.escape(p.strip()) for p in squeezed(shown).split("…"))
            assert re.fullmatch(rf"\s*{pattern}\s*", squeezed(printed), re.DOTALL), where + printed


def squeezed(text):
    return re.sub(r"\s+", " ", text)


def command(line):
    """Exit status and output of an emoscope command, as the entry point gives them."""
    words = shlex.split(line)
    assert words[0] == "emoscope", line
    out = io.StringIO()
    old, sys.argv = sys.argv, words
    try:
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(out),
            pytest.raises(SystemExit) as stopped,
        ):
            cli.main()
    finally:
        sys.argv = old
    return stopped.value.code or 0, out.getvalue()


def check_sh(example):
    """Each line names a target of make, an extra, a script, a module, or a valid command line."""
    for line in example.parsed.splitlines():
        words = shlex.split(line, comments=True)
        if not words:
            continue
        if words[0] == "make":
            assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), line
        elif words[:2] == ["pip", "install"]:
            project = tomlkit.parse((ROOT / "pyproject.toml").read_text())["project"]
            extras = re.fullmatch(r"emoscope(?:\[([\w,]+)\])?", words[2])[1] or ""
            assert set(filter(None, extras.split(","))) <= set(project["optional-dependencies"])
        elif words[:2] == ["python", "-m"]:
            assert importlib.util.find_spec(words[2]), line
        elif words[0] == "python":
            assert (ROOT / words[1]).is_file(), line
        else:
            assert words[0] == "emoscope", line
            group = typer.main.get_command(cli.application())
            group.commands[words[1]].make_context(words[1], words[2:])


def test_the_published_example_is_the_measured_one():
    """The example of the page on honest evaluation has the figures of results/, none of its own."""
    rows = measured.read("reproduction/reproduction.json")["rows"]
    figures = {float(figure) for figure in re.findall(r"(\d+\.\d) %", measured.example())}
    known = {round(r[k], 1) for r in rows for k in ("published", "reproduced", "honest")}
    assert len(figures) >= 4 and figures <= known


def test_a_result_that_is_absent_is_said_to_be(tmp_path, monkeypatch):
    monkeypatch.setattr(measured, "RESULTS", tmp_path)
    made = measured.pages()
    for name in ("accuracy", "reproduction", "speed", "trust", "example"):
        assert "not measured yet" in made[f"measured/{name}.md"](), name


def test_builds_without_a_warning(site):
    assert (site / "log").read_text() == ""


def test_nothing_is_loaded_from_elsewhere(site):
    """No page asks another host for a script, a style, a font or a picture."""
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        text = page.read_text("utf-8")
        loaded = re.findall(r'<(?:script|img|iframe|source)[^>]*\ssrc="([^"]*)"', text)
        loaded += re.findall(
            r'<link[^>]*rel="(?:stylesheet|icon|preload)"[^>]*href="([^"]*)"', text
        )
        assert loaded
        for address in loaded:
            assert not urllib.parse.urlsplit(address).netloc, f"{page.name}: {address}"
            target = page.parent / urllib.parse.urlsplit(address).path
            assert target.exists(), f"{page.name}: {address}"
    for style in site.rglob("*.css"):
        assert not re.search(r"(?:@import|url\()\s*[\"']?https?:", style.read_text("utf-8"))


def test_every_command_and_public_name_is_in_the_reference(site):
    commands = (site / "generated" / "commands.html").read_text("utf-8")
    for name in typer.main.get_command(cli.application()).commands:
        assert f'id="{name}' in commands, name
    objects = zlib.decompress((site / "objects.inv").read_bytes().split(b"zlib.\n", 1)[1]).decode()
    listed = {line.split(" ", 1)[0] for line in objects.splitlines()}
    names = list(public_names())
    assert len(names) > 200 and not set(names) - listed


def public_names():
    """Functions and classes of every module without an underscore, read from the source."""
    for module in api.modules():
        path = ROOT / "src" / module.replace(".", "/")
        source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        for node in ast.parse(source.read_text("utf-8")).body if api.subject(module) else ():
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
                yield f"{module}.{node.name}"


def test_the_gallery_shows_every_picture(site):
    text = (site / "generated" / "gallery" / "index.html").read_text("utf-8")
    from emoscope.report.plots import results

    for name in set(results.__all__) - {"dumbbell", "learning_curves"}:
        assert f"#emoscope.report.plots.results.{name}" in text, name
    assert text.count("<svg") >= len(results.__all__) - 2
