"""The package as a whole: light to import, layered, free of what it promises not to contain."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src" / "emoscope"
MODULES = sorted(ROOT.rglob("*.py"))
MAX_LINES, MAX_FILES, MAX_FILE_LINES, MAX_FUNCTION_LINES = 23_500, 165, 400, 60
MAX_UNTYPED_DICTIONARIES = 40

#: From the bottom up; a module imports from its own layer or from layers below it.
LAYERS = (
    {"_version", "errors", "files", "registry", "labels", "config"},
    {"audio", "compute", "protocols", "unseen"},
    {"features", "corpora", "voices"},
    {"corpus", "models", "modelfile", "adapters"},
    {"dataset", "prediction"},
    {"evaluation"},
    {"audit", "report"},
    {"training", "reproduction", "checking"},
    {"server"},
    {"cli", "__main__"},
    {"__init__"},
)


def imported_names(path):
    """Modules of the package that a file imports, wherever in the file."""
    package = ["emoscope", *path.relative_to(ROOT).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            full = base + (node.module.split(".") if node.module else [])
            yield from ([full] if node.module else [[*full, alias.name] for alias in node.names])
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("emoscope"):
            yield node.module.split(".")
        elif isinstance(node, ast.Import):
            yield from (a.name.split(".") for a in node.names if a.name.startswith("emoscope"))


def layer_of(name):
    for number, layer in enumerate(LAYERS):
        if name in layer:
            return number
    raise AssertionError(f"{name} stands in no layer of tests/test_package.py")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_downwards(path):
    own = path.relative_to(ROOT).parts[0].removesuffix(".py")
    for name in imported_names(path):
        if len(name) > 1 and name[1] == "__version__":
            raise AssertionError(f"{own} imports the version from the package's root")
        if len(name) > 1 and name[1] != own:
            assert layer_of(name[1]) <= layer_of(own), f"{own} imports {name[1]} from above"


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import emoscope", {"torch", "matplotlib", "pandas", "sklearn", "scipy", "onnxruntime"}),
        (
            "import emoscope.cli as c; c.application()",
            {"torch", "matplotlib", "pandas", "sklearn", "scipy"},
        ),
        ("import emoscope.models as m; m.names()", {"torch", "onnx", "skl2onnx", "matplotlib"}),
        ("import emoscope.report.plots", {"torch", "jinja2", "sklearn"}),
        ("import emoscope.features as f; f.names()", {"torch", "transformers", "opensmile"}),
    ],
)
def test_imports_are_light(statement, absent):
    code = f"{statement}; import sys; print(*sorted({absent!r} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_code_is_loaded_from_data(path):
    """No eval, exec, shell or unpickling: nothing a user opens can run code."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in {"eval", "exec", "os.system", "os.popen"}, called
            assert not called.endswith(("pickle.load", "pickle.loads", "joblib.load")), called
            for keyword in node.keywords:
                literal = ast.unparse(keyword)
                assert literal not in {"shell=True", "allow_pickle=True", "weights_only=False"}


def test_public_names_stay_what_they_are():
    """A submodule of the same name would take a function's place once it is imported."""
    code = (
        "import emoscope, sys; names = emoscope.__all__; "
        "first = {n: getattr(emoscope, n) for n in names}; "
        "sys.exit(any(getattr(emoscope, n) is not first[n] for n in names))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_house_stays_small():
    """Budgets that keep the whole readable; raise them only with a reason in the commit."""
    sizes = {path: len(path.read_text("utf-8").splitlines()) for path in MODULES}
    assert sum(sizes.values()) <= MAX_LINES
    assert len(sizes) <= MAX_FILES
    assert not {str(path): size for path, size in sizes.items() if size > MAX_FILE_LINES}
    functions = {
        f"{path.relative_to(ROOT)}:{node.name}": node.end_lineno - node.lineno + 1
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert not {name: size for name, size in functions.items() if size > MAX_FUNCTION_LINES}
    untyped = sum(path.read_text("utf-8").count("dict[str, Any]") for path in MODULES)
    assert untyped <= MAX_UNTYPED_DICTIONARIES


ARCHITECTURE = ROOT.parents[1] / "docs" / "architecture.md"


def test_every_name_in_the_architecture_exists():
    """``package/module.py:Class.method`` and folders, as ``docs/architecture.md`` names them."""
    text = ARCHITECTURE.read_text("utf-8")
    places = re.findall(r"`([\w/]+/|[\w/]+\.py)(?::([\w.]+))?`", text)
    assert len(places) > 60
    for file, name in places:
        assert (ROOT / file).exists() or (ROOT.parents[1] / file).exists(), file
        if name:
            module = "emoscope." + file.removesuffix(".py").replace("/", ".")
            thing = importlib.import_module(module.removesuffix(".__init__"))
            for part in name.split("."):
                assert hasattr(thing, part), f"{file}:{name}"
                thing = getattr(thing, part)
