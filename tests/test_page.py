"""The page in real headless Chromium: what a visitor does, sees and hears."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path

import pandas as pd
import pytest
import soundfile

import pages
import tiny_model
from chromium import DESKTOP, PHONE, playwright
from emoscope import modelfile
from emoscope.prediction import Predictor
from emoscope.prediction.formats import sounds
from pages import drawn, record, rows, upload, visit
from recordings import RATE, at_level, silence, voice
from test_adapting import corrections  # noqa: F401  # a fixture

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")

from serving import Running, serving

folder, server = pages.folder, pages.server
browser, page = pages.browser, pages.page


def test_upload_shows_label_timeline_and_picture(page, folder: Path) -> None:  # type: ignore[no-untyped-def]
    upload(page, folder / "two voices.wav")
    assert page.locator("#name").text_content() == "two voices.wav"
    assert rows(page) == ["silence", "sad", "silence", "angry", "silence"]
    assert page.locator("#verdict").text_content() == "Mixed"
    assert sorted(page.locator("#bars dt").all_text_contents()) == ["angry", "sad"]
    assert drawn(page)
    assert "stay on this computer" in page.locator("#privacy").text_content()


def test_clicking_a_segment_plays_it_to_its_end(page, folder: Path) -> None:  # type: ignore[no-untyped-def]
    upload(page, folder / "two voices.wav")
    page.locator("#segments button").nth(3).click()
    playwright.expect(page.locator("#play")).to_have_attribute("aria-label", "Pause")
    title = page.locator("#bars-title")
    playwright.expect(title).to_have_text(re.compile(r"Probabilities, 0:0[45]"))
    playwright.expect(page.locator("#bars dt").first).to_have_text("angry")
    playwright.expect(page.locator("#play")).to_have_attribute("aria-label", "Play")
    assert float(page.locator("#seek").input_value()) == pytest.approx(8.0, abs=0.6)
    page.locator("#whole").click()
    playwright.expect(page.locator("#bars-title")).to_have_text("Share of the speech")


def test_clicking_the_picture_seeks_and_picks(page, folder: Path) -> None:  # type: ignore[no-untyped-def]
    upload(page, folder / "two voices.wav")
    box = page.locator("#picture").bounding_box()
    page.locator("#picture").click(position={"x": box["width"] / 2, "y": box["height"] / 2})
    playwright.expect(page.locator("#time")).to_have_text("0:04.5 / 0:09.0")
    lane = {"x": box["width"] * 2.5 / 9, "y": box["height"] - 20}
    page.locator("#picture").click(position=lane)
    playwright.expect(page.locator("#bars dt").first).to_have_text("sad")
    page.locator("#zoom-in").click()
    playwright.expect(page.locator("#zoom-out")).to_be_enabled()


def test_everything_works_from_the_keyboard(page, folder: Path) -> None:  # type: ignore[no-untyped-def]
    upload(page, folder / "two voices.wav")
    page.keyboard.press("Tab")
    playwright.expect(page.locator("#play")).to_be_focused()
    page.keyboard.press("Space")
    playwright.expect(page.locator("#play")).to_have_attribute("aria-label", "Pause")
    page.keyboard.press("Space")
    page.locator("#seek").focus()
    page.keyboard.press("End")
    playwright.expect(page.locator("#time")).to_have_text(re.compile("^0:09.0"))
    page.locator("#segments button").nth(1).focus()
    page.keyboard.press("Enter")
    playwright.expect(page.locator("#bars dt").first).to_have_text("sad")


def test_pausing_before_the_sound_begins(page, folder: Path) -> None:  # type: ignore[no-untyped-def]
    upload(page, folder / "two voices.wav")
    page.evaluate(
        "() => { const play = document.getElementById('play'); play.click(); play.click(); }"
    )
    playwright.expect(page.locator("#play")).to_have_attribute("aria-label", "Play")
    page.wait_for_timeout(200)


def test_export(page, folder: Path) -> None:  # type: ignore[no-untyped-def]
    upload(page, folder / "two voices.wav")
    starts = {"json": "{", "csv": "file,start", "textgrid": "File type", "eaf": "<?xml"}
    for format, start in {**starts, "srt": "1\n", "vtt": "WEB"}.items():
        with page.expect_download() as download:
            page.locator(f"[data-format={format}]").click()
        ending = "TextGrid" if format == "textgrid" else format
        assert download.value.suggested_filename == f"two voices.{ending}"
        text = Path(download.value.path()).read_text(encoding="utf-8")
        assert text.startswith(start) and "angry" in text, format


def test_a_format_the_browser_does_not_know(page, folder: Path) -> None:  # type: ignore[no-untyped-def]
    upload(page, folder / "apple.aiff")
    assert drawn(page)
    page.locator("#play").click()
    playwright.expect(page.locator("#play")).to_have_attribute("aria-label", "Pause")


def test_the_recording_that_was_picked_last_is_shown(page, folder: Path) -> None:  # type: ignore[no-untyped-def]
    upload(page, folder / "two voices.wav", folder / "apple.aiff")
    waiting = []
    page.route(
        "**/api/listen", lambda route: waiting.append(route)
    )  # what this browser cannot decode takes its time
    with page.expect_request("**/api/listen"):
        page.locator("#list button").nth(1).click()
    playwright.expect(page.locator("#length")).to_have_text("0:02.0 long")
    page.locator("#list button").nth(0).click()
    with page.expect_response("**/api/listen"):
        waiting[0].continue_()
    page.wait_for_timeout(500)
    assert page.locator("#name").text_content() == "two voices.wav"
    assert page.locator("#length").text_content() == "0:09.0 long"
    assert page.locator("#time").text_content() == "0:00.0 / 0:09.0"
    assert len(rows(page)) == 5
    page.locator("#list button").nth(1).click()
    playwright.expect(page.locator("#time")).to_have_text("0:00.0 / 0:02.0")
    assert drawn(page)


def test_how_sure_a_label_is_in_words(page, folder: Path) -> None:  # type: ignore[no-untyped-def]
    soundfile.write(folder / "hiss.wav", 10 * silence(2.0), RATE)
    certainty = page.locator("#certainty")
    upload(page, folder / "apple.aiff")
    playwright.expect(certainty).to_have_text(
        re.compile(
            "% sure. .*About 90 in 100 such labels were correct within its own corpora, on unseen speakers"
        )
    )
    upload(page, folder / "hiss.wav")  # uncertain because nobody speaks, not by its confidence
    playwright.expect(certainty).to_have_text("Nobody is heard to speak. So no emotion is shown.")
    assert page.locator("#verdict").text_content() == "No speech"
    assert page.locator("#position dt, #bars dt").count() == 0
    halves = at_level(voice(2.0), -30)  # half way between two emotions
    soundfile.write(folder / "between.wav", halves, RATE)
    upload(page, folder / "between.wav")
    playwright.expect(certainty).to_have_text(
        re.compile(r"Labels below 60\s% are marked uncertain")
    )


@pytest.mark.parametrize("view", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_an_uncertain_label_stands_behind_arousal_and_valence(  # type: ignore[no-untyped-def]
    browser, server: Running, folder: Path, view
) -> None:
    for name, level in (("doubt.wav", -30), ("sure.wav", -15)):
        soundfile.write(folder / name, at_level(voice(2.0), level), RATE)
    for page in visit(browser, server, viewport=view):
        upload(page, folder / "doubt.wav")
        (found,) = server.upload(
            "/api/predict", ("doubt.wav", (folder / "doubt.wav").read_bytes())
        ).json["predictions"]
        words = re.sub(r" \(.*?\)", "", sounds(found["probabilities"]))
        playwright.expect(page.locator("#verdict")).to_have_text(f"Not sure; sounds {words}")
        place = page.locator("#position")
        playwright.expect(place).to_contain_text(
            "Derived from the probabilities of acted emotions."
        )
        numbers = [text.replace("−", "-") for text in place.locator(".number").all_text_contents()]
        wanted = [found["arousal"], found["valence"]]
        assert [float(text) for text in numbers] == pytest.approx(wanted, abs=0.051)
        assert place.bounding_box()["y"] < page.locator("#certainty").bounding_box()["y"]
        bar = place.locator(".track i").nth(1).bounding_box()
        track = place.locator(".track").nth(1).bounding_box()
        assert bar["x"] + bar["width"] == pytest.approx(track["x"] + track["width"] / 2, abs=1)
        share = bar["width"] / (track["width"] / 2)
        assert share == pytest.approx(-found["valence"], abs=0.02)
        upload(page, folder / "sure.wav")
        playwright.expect(page.locator("#verdict")).to_have_text("angry")
        assert place.bounding_box()["y"] > page.locator("#certainty").bounding_box()["y"]
        assert page.evaluate("document.documentElement.scrollWidth") <= view["width"]


def test_bad_files_are_named_and_the_others_shown(page, folder: Path) -> None:  # type: ignore[no-untyped-def]
    upload(page, folder / "<b>broken.wav", folder / "two voices.wav", folder / "apple.aiff")
    problem = page.locator(".problem")
    assert problem.text_content().startswith("<b>broken.wav: not audio")
    assert problem.locator("b").count() == 0
    playwright.expect(page.locator("#list button")).to_have_count(2)
    page.locator("#list button").nth(1).click()
    playwright.expect(page.locator("#name")).to_have_text("apple.aiff")


def test_voices_are_told_apart_on_request(page, folder: Path) -> None:  # type: ignore[no-untyped-def]
    assert page.locator("#speakers").is_hidden()
    page.get_by_label("Tell apart who speaks").check()
    for count, asked in (("", "by=speaker&timeline"), ("99", "by=speaker&speakers=99&timeline")):
        page.get_by_label("Speakers, if known").fill(count)
        with page.expect_request(lambda request, asked=asked: asked in request.url):
            page.set_input_files("#files", str(folder / "two voices.wav"))
        playwright.expect(page.locator("#status")).to_have_text(re.compile("^$|No recording"))
    playwright.expect(page.locator(".problem")).to_contain_text("speakers 99: expected 1 to 20")


def test_a_card_that_cannot_be_shown_costs_nothing_else(page, folder: Path) -> None:  # type: ignore[no-untyped-def]
    def odd(route) -> None:  # type: ignore[no-untyped-def]
        (model,) = route.fetch().json()
        route.fulfill(json=[{**model, "name": "odd", "results": [{"uar": "x"}]}, model])

    page.route("**/api/models", odd)
    page.reload()
    playwright.expect(page.locator(".problem")).to_have_text(re.compile("model card of odd"))
    playwright.expect(page.locator(".card")).to_have_count(1)
    upload(page, folder / "two voices.wav")


def test_the_model_is_adapted_to_the_corrections_of_all_recordings(  # type: ignore[no-untyped-def]
    browser,
    server: Running,
    corrections: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    rows = pd.read_csv(corrections, dtype={"speaker": str}).assign(corrected=True)
    sounds = sorted(corrections.parent.glob("?.wav"))
    kept = {
        f"emoscope:corrections:{hashlib.sha256(path.read_bytes()).hexdigest()}:": part.drop(
            columns="file"
        ).to_json(orient="records")
        for path, (_, part) in zip(sounds, rows.groupby("file"), strict=True)
    }
    script = f"for (const [k, v] of Object.entries({json.dumps(kept)})) localStorage.setItem(k, v);"
    for page in visit(browser, server, script):
        upload(page, sounds[0])
        adapt, adapted = page.locator("#adapt"), page.locator("#adapted")
        adapt.click()
        too_few = "9 labelled clips of 3 emotions are too few to adapt a model; it takes 10"
        playwright.expect(adapted.get_by_role("alert")).to_contain_text(too_few)
        upload(page, *sounds[1:])  # of which only one is shown
        page.route("**/api/adapt*", lambda route: None)
        adapt.click()
        playwright.expect(page.locator(".adapting .status")).to_have_text(
            "Adapting the model to 36 labels …"
        )
        page.locator(".adapting .work button").click()
        playwright.expect(adapted).to_have_text("Cancelled. The model is as it was.")
        page.unroute("**/api/adapt*")
        adapt.click()
        playwright.expect(adapted).to_contain_text(
            "UAR 0.333 before, 1.000 after, measured on unseen speakers: 36 segments."
        )
        playwright.expect(adapted).to_be_focused()
        axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
        assert axe.run(page).response["violations"] == []
        with page.expect_download() as download:
            page.locator("#save-adapted").click()
        download.value.save_as(tmp_path / download.value.suggested_filename)
        assert modelfile.load(tmp_path / "adapted.emoscope").card.name == "level-adapted"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_accessible_and_in_shape_everywhere(  # type: ignore[no-untyped-def]
    browser, server: Running, folder: Path, viewport: dict[str, int], scheme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    visited = visit(browser, server, viewport=viewport, color_scheme=scheme)
    page = next(visited)
    found = [axe.run(page)]
    upload(page, folder / "two voices.wav", folder / "apple.aiff")
    playwright.expect(page.locator("#list button")).to_have_count(2)
    found.append(axe.run(page))
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    if pictures := os.environ.get("EMOSCOPE_SCREENSHOTS"):
        name = f"{'phone' if viewport is PHONE else 'desktop'}-{scheme}.png"
        page.screenshot(path=Path(pictures, name), full_page=True)
    record(page)
    playwright.expect(page.locator("#clock")).to_have_text(re.compile("0:0[1-9]"))
    found.append(axe.run(page))
    page.locator("#discard").click()
    page.goto(f"{server.address}/docs")
    page.locator(".card").first.wait_for()
    found.append(axe.run(page))
    faults = [fault for result in found for fault in result.response["violations"]]
    assert [(fault["id"], fault["impact"]) for fault in faults] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    assert next(visited, None) is None


def test_two_people_on_two_channels(page, folder: Path) -> None:  # type: ignore[no-untyped-def]
    upload(page, folder / "call.wav")
    both = page.locator("#list button")
    assert both.all_text_contents() == ["call.wav (left): sad", "call.wav (right): angry"]
    playwright.expect(page.locator("#name")).to_have_text("call.wav (left)")
    assert "this is the left one" in page.locator("#warnings").inner_text()
    both.nth(1).click()
    playwright.expect(page.locator("#name")).to_have_text("call.wav (right)")
    assert [word for word in rows(page) if word in ("sad", "angry")] == ["angry"]


def test_voices_in_one_channel_get_lanes_of_their_own(page, folder: Path) -> None:  # type: ignore[no-untyped-def]
    page.get_by_label("Tell apart who speaks").check()
    with page.expect_request("**/api/predict*") as asked:
        upload(page, folder / "two voices.wav")
    assert "by=speaker" in asked.value.url
    assert [word for word in rows(page) if word != "silence"] == ["sad", "angry"]


def test_recordings_of_one_source_are_labelled_together(browser, folder: Path) -> None:  # type: ignore[no-untyped-def]
    levels = (-40, -30, -20)  # 5 dB below the centres of sad, neutral and angry
    names = [folder / f"{level}.wav" for level in levels]
    for name, level in zip(names, levels, strict=True):
        soundfile.write(name, at_level(voice(2.0), level), RATE)
    with serving(Predictor(tiny_model.write(folder, offsets=tiny_model.offsets()))) as own:
        for page in visit(browser, own):
            upload(page, *names)
            alone = page.locator("#list button").all_text_contents()
            page.locator("#together").check()
            said = page.locator("#together-said")
            playwright.expect(said).to_contain_text("3 recordings are labelled relative")
            wanted = [
                f"{level}.wav: {word}"
                for level, word in zip(levels, ("sad", "neutral", "angry"), strict=True)
            ]
            assert [
                text.replace("perhaps ", "")
                for text in page.locator("#list button").all_text_contents()
            ] == wanted
            page.locator("#together").uncheck()
            assert page.locator("#list button").all_text_contents() == alone
