"""The page of a check, the table of several and the badge, made of outcomes that are laid down here."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from emoscope import modelfile
from emoscope.checking import Broken, Checked, Outcome, page
from emoscope.modelfile.about import About
from emoscope.training import publishing
from recordings import RATE, voice

soundfile = pytest.importorskip("soundfile")


def outcome(name: str, value: float = 1.0, **more: object) -> Outcome:
    settings = {"threshold": 0.5, "at_least": True, "basis": "taste", "group": "correctness"}
    return Outcome(name=name, title=f"<{name}>", why="because", value=value, **{**settings, **more})


@pytest.fixture
def checked(tmp_path) -> Checked:
    clip = tmp_path / "a & b.wav"
    soundfile.write(clip, voice(0.5), RATE)
    broken = (Broken(str(clip), "angry", "sad"), Broken("gone.wav", "angry", "happy"))
    outcomes = (
        outcome("uar/one"),
        outcome("recall/one", memory=True),
        outcome("fails", 0.2, clips=broken, group="behaviour"),
        outcome("none", skipped="no clips"),
    )
    return Checked("model", About("model"), 1.0, ("one", "two"), outcomes)


def test_what_failed_comes_first_with_its_clips(checked):
    text = page.render(checked)
    assert text.index("What failed") < text.index("&lt;fails&gt;") < text.index("&lt;uar/one&gt;")
    assert text.count("<audio") == 1  # of the clip that is there
    assert "gone.wav" in text and "a &amp; b.wav" in text
    assert "Correctness</strong>: 2 of 2 passed, 1 skipped" in text
    assert not re.search(r'(?:src|href)="https?:', text)


def test_the_table_has_a_row_for_every_test_and_a_column_for_every_model(checked):
    fewer = Checked("other", About("other"), 1.0, ("one",), checked.outcomes[2:])
    assert {k: [bool(t) for t in v] for k, v in page.rows([checked, fewer]).items()} == {
        "uar/one": [True, False], "recall/one": [True, False], "fails": [True, True],
        "none": [True, True],
    }  # fmt: skip
    text = page.table([checked, fewer], ["a/report.html", "b/report.html"])
    assert 'href="b/report.html"' in text and "not the same" not in text.split("<tbody>")[0]
    assert 'data-outcome="failed by all"' in text and 'data-outcome="passed by all"' in text


def test_the_badge_counts_memory_apart_and_is_an_image(checked):
    memory = "1 of them with clips of its training"
    said = f"checked: 2 of 3 tests passed, {memory} (emoscope {checked.emoscope}, "
    assert page.badge_text(checked) == f"{said}{checked.date}, one, two)"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", checked.date)
    card = publishing.model_card(modelfile.load("free").card, "free.emoscope", checked)
    assert f"![{page.badge_text(checked)}](badge.svg)" in card and "not measured" not in card
    image = ElementTree.fromstring(page.badge(checked))
    assert image.get("aria-label") == page.badge_text(checked)
    assert "2 of 3 tests passed" in "".join(image.itertext())
