"""Options as a file: what was run can be run again from it, and mistakes in it are named."""

import pytest
import tomlkit

from emoscope import config
from emoscope.errors import ConfigError, UnknownNameError
from small_corpus import make_corpus

VALID = ("models", "seed", "quick", "out")


@pytest.fixture
def manifest(tmp_path):
    """A small corpus as a user has it: recordings and a table."""
    table = make_corpus(tmp_path / "clips", n_clips=24).table
    table[["path", "emotion", "speaker"]].to_csv(tmp_path / "clips.csv", index=False)
    return tmp_path / "clips.csv"


def test_options_come_back_as_they_were(tmp_path):
    options = {"models": ["svm", "a b"], "seed": 7, "quick": True, "out": tmp_path, "jobs": None}
    path = tmp_path / "run.toml"
    path.write_text(config.text("compare", options), encoding="utf-8")
    read = config.load(path, "compare", [*VALID, "jobs"])
    assert read == {"models": ["svm", "a b"], "seed": 7, "quick": True, "out": str(tmp_path)}
    assert tomlkit.parse(path.read_text())["emoscope"]


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("[compare]\nsede = 1", UnknownNameError, "Did you mean 'seed'"),
        ("[train]\nseed = 1", ConfigError, r"no table \[compare\]; tables: \[train\]"),
        ("seed = 1", ConfigError, r"put it below \[compare\]"),
        ("[compare]\nseed = ", ConfigError, "not a readable TOML file"),
        ("[compare.seed]\na = 1", ConfigError, "'seed' is a table"),
    ],
)
def test_mistakes_are_named(tmp_path, text, error, says):
    (tmp_path / "run.toml").write_text(text)
    with pytest.raises(error, match=says):
        config.load(tmp_path / "run.toml", "compare", VALID)


def test_a_byte_order_mark_is_not_a_key(tmp_path):
    (tmp_path / "run.toml").write_text("[compare]\nseed = 1\n", encoding="utf-8-sig")
    assert config.load(tmp_path / "run.toml", "compare", VALID) == {"seed": 1}


def test_a_result_can_be_made_again_from_its_options(emoscope, manifest, tmp_path):
    words = [
        "compare", manifest, "--models", "tree,svm", "--features", "mel", "--protocol", "loso",
        "--no-leak-gap", "--seed", 3, "--jobs", 1,
    ]  # fmt: skip
    first, again, other = (tmp_path / name for name in ("first", "again", "other"))
    assert emoscope(*words, "--out", first)[0] == 0
    saved = tomlkit.parse((first / "run.toml").read_text()).unwrap()["compare"]
    assert saved == {
        "source": [str(manifest)], "one_speaker": False, "models": ["tree", "svm"], "features": ["mel"],
        "protocol": "loso", "as_published": False, "quick": False, "leak_gap": False,
        "raters": "majority", "seed": 3, "jobs": 1, "out": str(first),
    }  # fmt: skip
    assert emoscope("compare", "--config", first / "run.toml", "--out", again)[0] == 0
    rows = (first / "predictions.csv").read_bytes()
    assert (again / "predictions.csv").read_bytes() == rows
    saved["out"] = str(again)
    assert tomlkit.parse((again / "run.toml").read_text()).unwrap()["compare"] == saved

    # The command line wins, for texts, lists, numbers and switches alike.
    status, _, _ = emoscope(
        "compare", "--config", first / "run.toml", "--out", other, "--models", "tree", "--seed", 4,
        "--leak-gap",
    )  # fmt: skip
    changed = tomlkit.parse((other / "run.toml").read_text()).unwrap()["compare"]
    given = {"models": ["tree"], "seed": 4, "leak_gap": True, "out": str(other)}
    assert status == 0 and changed == {**saved, **given}
    assert (other / "predictions.csv").read_bytes() != rows


def test_training_from_its_options_gives_the_same_file(emoscope, manifest, tmp_path):
    pytest.importorskip("skl2onnx")
    first, again = tmp_path / "first.emoscope", tmp_path / "again.emoscope"
    words = ["train", "svm", manifest, "--features", "mel", "--seed", 2, "--jobs", 1]
    assert emoscope(*words, "--out", first)[0] == 0
    assert emoscope("train", "--config", tmp_path / "first.toml", "--out", again)[0] == 0
    assert again.read_bytes() == first.read_bytes()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[compare]\nmodles = ['svm']", "Did you mean 'models'"),
        ("[compare]\nseed = 'three'", "'--seed'"),
        ("[compare]\nmodels = ['svn']", "Did you mean 'svm'"),
        ("[compare]\njobs = 0", "jobs"),
        ("[reproduce]\nquick = true", "no table [compare]"),
    ],
)
def test_a_wrong_file_ends_the_command(emoscope, tmp_path, text, says):
    (tmp_path / "run.toml").write_text(text)
    status, out, err = emoscope("compare", "--config", tmp_path / "run.toml")
    assert status == 2 and says in (out + err).replace("\n", "")


def test_reproduce_takes_its_options_too(emoscope, tmp_path):
    (tmp_path / "run.toml").write_text("[reproduce]\nrows = ['no such row', 'nor this']\n")
    status, _, err = emoscope("reproduce", "--config", tmp_path / "run.toml", "--out", tmp_path)
    assert status == 2 and "no such row" in err
    saved = tomlkit.parse((tmp_path / "run.toml").read_text()).unwrap()
    assert saved["reproduce"]["rows"] == ["no such row", "nor this"]
