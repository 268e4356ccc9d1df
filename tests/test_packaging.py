"""What is shipped: contents and size of the wheel, metadata that agree, notices, clean sources."""

import ast
import re
import subprocess
import sys
import textwrap
import zlib
from collections import defaultdict
from pathlib import Path

import pytest
import tomlkit
import yaml

import emoscope

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
PROJECT = tomlkit.parse((ROOT / "pyproject.toml").read_text()).unwrap()["project"]
LARGEST_WHEEL = 40e6
DEVELOPING = ("test", "docs", "dist")
LONGEST_TWIN = 8
"""Lines of code that may stand in two places."""


@pytest.fixture(scope="module")
def trees():
    """Source file → its syntax."""
    return {path: ast.parse(path.read_text("utf-8")) for path in SOURCES}


@pytest.fixture(scope="module")
def contents():
    """Path in the wheel → path here."""
    wheel = pytest.importorskip("hatchling.builders.wheel")
    builder = wheel.WheelBuilder(str(ROOT))
    files = builder.recurse_included_files()
    return {Path(file.distribution_path).as_posix(): Path(file.path) for file in files}


def test_the_wheel_holds_the_package_and_nothing_else(contents):
    assert all(name.startswith("emoscope/") for name in contents)
    here = {path.relative_to(ROOT / "src").as_posix() for path in SOURCES}
    assert here == {name for name in contents if name.endswith(".py")}
    assert "emoscope/py.typed" in contents
    for name in ("default.emoscope", "ravdess.npz", "published.json"):
        assert f"emoscope/data/{name}" in contents
    ours = [name for name in contents if not name.startswith("emoscope/data/examples/")]
    assert not [n for n in ours if re.search(r"\.(wav|flac|mp3|pyc|npy|pkl)$|__pycache__", n)]


def test_the_wheel_stays_small(contents):
    packed = (len(zlib.compress(path.read_bytes())) for path in contents.values())
    assert sum(packed) <= LARGEST_WHEEL


def test_version_is_one():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert emoscope.__version__ == PROJECT["version"] == citation["version"]
    assert f"## {emoscope.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_a_missing_extra_that_is_named_exists(trees):
    extras, asks = set(), ("installed", "MissingExtraError")
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in asks:
                if path.name == "errors.py":
                    continue  # hands on what it was told
                assert isinstance(node.args[2], ast.Constant), path
                extras.add(node.args[2].value)
    assert {"deep", "serve", "listen"} <= extras <= set(PROJECT["optional-dependencies"])


def test_every_derived_file_has_its_notice():
    notice = (ROOT / "NOTICE").read_text()
    for path in (ROOT / "src" / "emoscope" / "data").iterdir():
        written_here = path.suffix in (".json", ".toml", ".txt", ".so", ".j2")
        if not written_here and not path.name.startswith("."):
            assert path.name in notice, path.name


def test_nothing_is_imported_that_is_not_declared(trees):
    """Names at the top of imports, against the distributions that the project asks for."""
    extras = {k: v for k, v in PROJECT["optional-dependencies"].items() if k not in DEVELOPING}
    asked = [*PROJECT["dependencies"], *sum(extras.values(), [])]
    names = {re.match(r"[\w.-]+", text)[0].lower().replace("-", "_") for text in asked}
    # Modules that are called otherwise than their distributions, and what serves types alone.
    names |= {"sklearn", "yaml", "huggingface_hub", "starlette", "typing_extensions"}
    names |= {"pydantic_core", "h11", "anyio"}  # of pydantic, uvicorn and starlette
    names |= {"google"}  # protobuf, of onnx
    for path, tree in trees.items():
        for node in ast.walk(tree):
            found = []
            if isinstance(node, ast.Import):
                found = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found = [node.module]
            for name in found:
                top = name.split(".")[0].lower()
                assert top in names or top in sys.stdlib_module_names, f"{path.name}: {name}"


def test_no_function_is_written_twice(trees):
    """The same statements, whatever the function is called."""
    places = defaultdict(list)
    for path, tree in trees.items():
        lines = path.read_text("utf-8").splitlines()
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                if body and body[-1].end_lineno - body[0].lineno >= LONGEST_TWIN:
                    text = "\n".join(lines[body[0].lineno - 1 : body[-1].end_lineno])
                    places[textwrap.dedent(text)].append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert [found for found in places.values() if len(found) > 1] == []


@pytest.mark.parametrize(
    "words",
    [
        ("ruff", "check", "--quiet", "."),
        ("ruff", "format", "--check", "--quiet", "."),
        ("codespell", "src", "tests", "README.md", "CONTRIBUTING.md", "docs/decisions.md"),
    ],
    ids=["style", "format", "spelling"],
)
def test_sources_are_clean(words):
    program = Path(sys.executable).with_name(words[0])
    if not program.exists():
        pytest.skip(f"{words[0]} is not installed")
    done = subprocess.run([program, *words[1:]], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_sdist_holds_the_kernels_source_and_how_it_is_built():
    sdist = pytest.importorskip("hatchling.builders.sdist")
    files = sdist.SdistBuilder(str(ROOT)).recurse_included_files()
    held = {Path(file.relative_path).as_posix() for file in files}
    assert {"hatch_build.py", "src/kernel/kernel.cpp", "src/kernel/lanes.h"} <= held
    assert not [name for name in held if name.endswith(".so")]
