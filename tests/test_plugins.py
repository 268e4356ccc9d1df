"""A corpus, a feature, a model and a panel from one file each outside the package.

They come as an installed distribution does: modules on the path and a ``.dist-info`` folder with
entry points, in a process of their own.
"""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import tomlkit

from emoscope import corpora, features, models
from emoscope.errors import PluginError, UnknownNameError
from emoscope.registry import Registry
from emoscope.report import plots
from small_corpus import make_corpus

EXAMPLES = Path(__file__).parents[1] / "examples" / "plugin"


def install(folder, entry_points, name="my-emotions"):
    """What pip leaves behind of a distribution besides its modules."""
    about = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(entry_points)
    return folder


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The distribution that the example's own ``pyproject.toml`` describes."""
    project = tomlkit.parse((EXAMPLES / "pyproject.toml").read_text()).unwrap()["project"]
    groups = project["entry-points"].items()
    lines = [f"[{group}]\n{name} = {at}\n" for group, e in groups for name, at in e.items()]
    return install(tmp_path_factory.mktemp("site"), "".join(lines), project["name"])


@pytest.fixture
def run(installed, tmp_path):
    """Run a command line in a process that sees the distribution."""

    def run(*words):
        path = os.pathsep.join([str(installed), str(EXAMPLES)])
        code = "from emoscope.cli import main; main()"
        return subprocess.run(
            [sys.executable, "-c", code, *map(str, words)],
            env={**os.environ, "PYTHONPATH": path, "EMOSCOPE_STORE": str(tmp_path / "store")},
            capture_output=True,
            text=True,
        )

    return run


@pytest.fixture
def opera(tmp_path):
    """A folder whose files are named as the corpus of the example names them."""
    make_corpus(tmp_path / "made", n_clips=24)
    folder = tmp_path / "opera"
    folder.mkdir()
    for number, clip in enumerate(sorted((tmp_path / "made").glob("*.wav"))):
        singer, role = "ABCD"[number % 4], "hs"[number // 4 % 2]
        clip.rename(folder / f"{singer}-{role}-{number:02d}.wav")
    return folder


def test_all_four_from_the_command_line(run, opera, tmp_path):
    listed = run("corpora")
    assert listed.returncode == 0 and "opera" in listed.stdout, listed.stderr

    out = tmp_path / "out"
    compared = run(
        "compare", opera, "--models", "nearest,dummy", "--features", "crossings,mel", "--protocol",
        "loso", "--no-leak-gap", "--jobs", 1, "--out", out,
    )  # fmt: skip
    assert compared.returncode == 0, compared.stderr
    document = json.loads((out / "results.json").read_text())
    assert document["corpus"]["name"] == "opera" and document["corpus"]["n_speakers"] == 4
    assert {(r["model"], r["features"]) for r in document["runs"]} == {
        ("nearest", "crossings+mel"),
        ("dummy", "crossings+mel"),
    }

    picture = tmp_path / "clip.svg"
    clip = next(opera.glob("*.wav"))
    shown = run("show", clip, "--panels", "waveform,histogram", "--out", picture)
    assert shown.returncode == 0 and "<svg" in picture.read_text(), shown.stderr


def test_a_plugin_feature_in_worker_processes(run, opera, tmp_path):
    out = tmp_path / "features.csv"
    extracted = run("extract", opera, "--features", "crossings", "--jobs", 2, "--out", out)
    assert extracted.returncode == 0, extracted.stderr
    assert "crossings_per_second" in out.read_text().splitlines()[0]


def test_predict_does_not_look_for_plugins(installed, tmp_path):
    """Neither the packages nor what they bring is touched before a name asks for it."""
    clip = make_corpus(tmp_path / "clips", n_clips=1).table["path"].iloc[0]
    code = f"""
import importlib.metadata, sys
def refuse(**_): raise AssertionError("looked for plugins")
importlib.metadata.entry_points = refuse
from emoscope.cli import main
sys.argv = ["emoscope", "predict", {clip!r}]
try:
    main()
except SystemExit as end:
    print([m for m in sys.modules if m.startswith("my_")])
    sys.exit(end.code)
"""
    path = os.pathsep.join([str(installed), str(EXAMPLES)])
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0 and done.stdout.endswith("[]\n"), done.stderr


def registry(tmp_path, monkeypatch, entry_points):
    """The models as a process sees them in which a distribution has those entry points."""
    monkeypatch.syspath_prepend(str(install(tmp_path, entry_points)))
    return Registry("model", "emoscope.models", fits=models.registry.fits, wanted="a ModelInfo")


def test_a_broken_plugin_harms_nothing_else(tmp_path, monkeypatch):
    entry_points = "[emoscope.models]\nbroken = no_such_module:X\nwrong = json:loads\n"
    found = registry(tmp_path, monkeypatch, entry_points)
    assert {"broken", "wrong", "svm"} <= set(found.names())
    assert found.get("svm").name == "svm"
    with pytest.raises(PluginError, match="'broken' of my-emotions 1.0.*no_such_module"):
        found.get("broken")
    with pytest.raises(PluginError, match="'json:loads' is function, not a ModelInfo"):
        found.get("wrong")
    with pytest.raises(UnknownNameError, match="broken"):
        found.get("brokn")
    with pytest.warns(UserWarning, match="left out: the model '(broken|wrong)'"):
        assert "svm" in found.members() and "broken" not in found.members()


def test_no_plugin_takes_a_name_that_is_taken(tmp_path, monkeypatch):
    found = registry(tmp_path, monkeypatch, "[emoscope.models]\nsvm = json:loads\n")
    with pytest.warns(UserWarning, match="'svm' of my-emotions 1.0; another model has that name"):
        assert found.names() == list(models.registry.own)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # said once
        assert found.get("svm") is models.get("svm")


def test_registration_for_a_session(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import my_corpus
    import my_feature
    import my_model
    import my_panel

    for family, name, member in (
        (corpora, "opera", my_corpus.OPERA),
        (features, "crossings", my_feature.Crossings),
        (models, "nearest", my_model.NEAREST),
        (plots, "histogram", my_panel.histogram),
    ):
        family.register(name, member)
        assert name in family.names() and family.registry.get(name) is member
        family.registry._registered.pop(name)
