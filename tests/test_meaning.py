"""Every output says what a label means, which model gave it, and under which licence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile

import command_line
import tiny_model
from emoscope import corpora, modelfile
from emoscope.labels import EMOTIONS
from emoscope.modelfile.about import NOT_FELT, About, commercial_use
from emoscope.prediction import Predictor, formats
from emoscope.training import publishing
from recordings import RATE, voice

NC = "ravdess: CC BY-NC-SA 4.0; emodb: CC0 1.0 (as republished by audEERING)"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "one.wav"
    soundfile.write(path, voice(2.0), RATE)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.write(tmp_path_factory.mktemp("model"), licence=NC)


def says_all(text: str, about: About) -> None:
    plain = " ".join(text.replace("&amp;", "&").split())
    for told in (
        NOT_FELT,
        "The model can name neutral, sad and angry;",
        "calm, happy",
        about.licence,
    ):
        assert told in plain, told
    assert about.model in plain and about.commercial_use in plain


@pytest.mark.parametrize("format", formats.FORMATS)
def test_every_format_of_predict(
    format: str, clip: Path, model: Path, kept_models, capsys, tmp_path
) -> None:  # type: ignore[no-untyped-def]
    """Of a new format in `formats.FORMATS` as well; a table has it below, on standard error."""
    about = Predictor(model).card.about
    assert about.commercial_use == "no"
    assert command_line.run("predict", clip, "--model", model, "--format", format) == 0
    out, err = capsys.readouterr()
    says_all(err if format == "table" else out, about)
    if format != "table":
        path = tmp_path / f"out.{format}"
        assert command_line.run("predict", clip, "--model", model, "--out", path) == 0
        says_all(path.read_text("utf-8"), about)
    if format == "json":
        assert json.loads(out)["about"] == {
            "model": about.model, "licence": NC, "commercial_use": "no", "meaning": about.meaning
        }  # fmt: skip


def test_a_picture(clip: Path, model: Path, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    from emoscope.cli import data

    figures: list[object] = []
    monkeypatch.setattr(data, "save_figure", lambda figure, path: figures.append(figure))
    assert command_line.run("predict", clip, "--model", model, "--picture", tmp_path / "a.png") == 0
    says_all(figures[0].get_supxlabel(), Predictor(model).card.about)  # type: ignore[attr-defined]


def test_answers_over_http(clip: Path, model: Path) -> None:
    client = pytest.importorskip("fastapi.testclient")
    from emoscope import server

    app = server.create_app({"tiny": Predictor(model)}, hosts=("testserver",))
    about = Predictor(model).card.about
    with client.TestClient(app) as http, clip.open("rb") as sound:
        answer = http.post("/api/predict?timeline=true", files={"files": sound})
        says_all(answer.text, about)
        assert http.get("/api/models").json()[0]["about"]["meaning"] == about.meaning


@pytest.mark.parametrize("name", modelfile.SHIPPED)
def test_cards_of_the_hub(name: str) -> None:
    card = Predictor(name).card
    text = publishing.model_card(card, f"{name}.emoscope")
    assert card.about.meaning in text and card.licence in text
    assert f"Commercial use: {card.about.commercial_use}." in text


def test_what_the_shipped_models_cannot_name() -> None:
    free, default = (Predictor(name).card.about for name in ("free", "default"))
    assert (free.commercial_use, default.commercial_use) == ("yes", "no")
    assert "any other emotion (calm, surprised or another) gets one of these names" in free.meaning
    assert "any other emotion gets one of these names" in default.meaning
    assert all(name in default.meaning for name in EMOTIONS)


@pytest.mark.parametrize(
    ("licence", "allowed"),
    [
        ("", "not known"), ("not stated", "not known"), (NC, "no"), ("CC0 1.0", "yes"),
        ("emodb: CC0 1.0 (as republished by audEERING)", "yes"), ("CC BY 4.0", "yes"),
        ("CC BY-SA 4.0; MIT", "yes"), ("CC BY-ND 4.0", "not known"), ("free for research", "no"),
        ("mine: proprietary; emodb: CC0 1.0", "not known"), ("MIT corpus: not stated", "not known"),
    ],
)  # fmt: skip
def test_commercial_use(licence: str, allowed: str) -> None:
    assert commercial_use(licence) == allowed


def test_commercial_use_of_the_corpora() -> None:
    told = {name: commercial_use(corpora.get(name).licence) for name in corpora.names()}
    assert {name for name, use in told.items() if use == "yes"} == {
        "cremad", "emodb", "jlcorpus", "mesd", "subesco"
    }  # fmt: skip


def test_a_card_cannot_break_a_format() -> None:
    about = About("m\n", "a\n\n00:00:01,000 --> 00:00:02,000\nb", "no", "x\u2028y")
    assert about.text.isprintable() and "-->" not in about.text
