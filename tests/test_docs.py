"""The documentation: every example in it runs and prints what is shown, its pages are made without
a warning, and it is complete.

``docs/making/record.py`` says which blocks are run, and writes their outputs. Blocks in ``sh`` set up a
machine; what they name must exist. Those of the README are run as well, in a fresh clone; there
``make`` finds its environment set up, and ``make compare`` and ``make test`` run in their quick forms.
"""

import ast
import contextlib
import importlib.util
import re
import shlex
import subprocess
import sys
import urllib.parse
import zlib
from pathlib import Path

import pytest
import tomlkit
import typer.main

from emoscope import cli

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS))

from making import api, measured, record  # noqa: E402

PAGES = sorted(
    [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *(path for path in DOCS.rglob("*.md") if "generated" not in path.parts),
    ]
)
#: Languages of blocks that are run, and those that show a file or a form of words.
RUN = {"python", "console", "sh"}
SHOWN = {
    "",
    "text",
    "html",
    "toml",
    "json",
    "yaml",
    "toctree",
    "include",
    "literalinclude",
    "eval-rst",
}


@pytest.fixture(scope="module")
def furnished(tmp_path_factory):
    """The recordings of which the pages speak, and whether they are those that were recorded."""
    folder = tmp_path_factory.mktemp("pages") / "furnished"
    with record.warmed(folder.parent):
        yield folder, record.furnish(folder)


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


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_block_is_run_or_shown_on_purpose(page):
    for block in record.blocks(page.read_text("utf-8")):
        where = f"{page.name}:{block.line}"
        assert block.language in RUN or block.language in SHOWN, f"{where}: {block.language}"
        if block.language == "sh":
            check_sh(block.text)


def test_the_readme_is_short_and_has_its_two_commands():
    lines = record.README.read_text("utf-8").splitlines()
    assert len(lines) <= 110
    assert {"make compare", "make test"} <= {line.split("  #")[0].strip() for line in lines}
    examples = list((ROOT / "examples").glob("*.flac"))
    assert sum(path.stat().st_size for path in examples) <= 200_000
    told = (ROOT / "examples" / "README.md").read_text("utf-8")
    assert examples and all(path.name in told for path in examples) and "CC0 1.0" in told
    assert all(path.stat().st_size < 150_000 for path in (DOCS / "images").glob("*.png"))


def runs(page):
    return {"python", "console"} & {b.language for b in record.blocks(page.read_text("utf-8"))}


@pytest.mark.parametrize("page", list(filter(runs, PAGES)), ids=lambda p: str(p.relative_to(ROOT)))
def test_blocks_print_what_is_shown(page, furnished, tmp_path):
    folder, real = furnished
    if page == record.README:
        tools = record.clone(tmp_path / "clone")
        desk = record.Desk(tmp_path / "clone", store=tmp_path / "store", path=tools)
    else:
        desk = record.desk_for(page, folder, tmp_path / "desk")
    with contextlib.closing(desk):
        text = page.read_text("utf-8")
        for block, found in record.perform(text, desk, setting_up=page == record.README):
            same = record.alike(block.text, found)
            shown = f"shown:\n{block.text}\nfound:\n{found}"
            advice = "if this is meant: python docs/making/record.py"
            assert same or not real, f"{page}:{block.line}: {advice}\n{shown}"


@pytest.mark.parametrize(
    ("shown", "found", "same"),
    [
        ("angry 79%", "angry 80%", True),
        ("angry 79%", "angry 85%", False),
        ("UAR 0.798", "UAR 0.799", True),
        ("UAR 0.798", "UAR 0.861", False),
        ("valence −0.4", "valence 0.4", False),
        ("trained in 0.1 s", "trained in 31.5 s", True),
        ("a  b\nc", "a b c", True),
        ("a b", "a c", False),
    ],
)
def test_outputs_are_alike_but_for_small_figures(shown, found, same):
    assert record.alike(shown, found) is same


def check_sh(text):
    """Each line names a target of make, an extra, a script, a module, or a valid command line."""
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        if not words or words == [".", ".venv/bin/activate"]:
            continue
        if words[0] == "make":
            assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), line
        elif words[:2] == ["pip", "install"]:
            project = tomlkit.parse((ROOT / "pyproject.toml").read_text())["project"]
            extras = re.fullmatch(r"(?:emoscope|\.)(?:\[([\w,]+)\])?", words[-1])[1] or ""
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
    rows = measured.read(f"reproduction/{measured.REPRODUCED[0]}/reproduction.json")["rows"]
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
