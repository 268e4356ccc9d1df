"""The page in real headless Chromium: recording with the microphone."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

import pages
import tiny_model
from chromium import playwright
from emoscope.prediction import Predictor
from pages import drawn, record, rows, visit

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")

from serving import Running, serving

folder, server = pages.folder, pages.server
browser, page = pages.browser, pages.page


def test_recording_with_the_microphone(page) -> None:  # type: ignore[no-untyped-def]
    record(page)
    playwright.expect(page.locator("#clock")).to_have_text(re.compile("0:0[3-9]"))
    page.locator("#stop").click()
    page.locator("#results").wait_for()
    playwright.expect(page.locator("#name")).to_have_text(re.compile(r"^recording .*\.wav$"))
    assert "angry" in rows(page)
    assert drawn(page)


def test_a_notice_stands_before_the_microphone_once(browser, server: Running) -> None:  # type: ignore[no-untyped-def]
    counted = """
      window.opened = 0;
      const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
      navigator.mediaDevices.getUserMedia = (options) => { opened += 1; return open(options); };"""
    visited = visit(browser, server, counted)
    page = next(visited)
    page.locator("#record").focus()
    page.keyboard.press("Enter")
    notice = page.locator("#notice")
    playwright.expect(notice).to_be_visible()
    playwright.expect(page.locator("#agree")).to_be_focused()
    playwright.expect(notice).to_contain_text("not what anybody feels")
    playwright.expect(notice).to_contain_text("Article 50(3)")
    if pictures := os.environ.get("EMOSCOPE_SCREENSHOTS"):
        page.screenshot(path=Path(pictures, "notice.png"))
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    assert axe.run(page).response["violations"] == []
    page.keyboard.press("Escape")
    playwright.expect(page.locator("#record")).to_be_focused()
    assert page.evaluate("opened") == 0 and page.locator("#recording").is_hidden()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # Cancel
    playwright.expect(notice).to_be_hidden()
    playwright.expect(page.locator("#record")).to_be_focused()
    assert page.evaluate("opened") == 0
    page.keyboard.press("Enter")
    playwright.expect(page.locator("#agree")).to_be_focused()
    page.keyboard.press("Enter")
    playwright.expect(page.locator("#stop")).to_be_focused()
    page.locator("#discard").click()
    page.locator("#record").click()
    playwright.expect(page.locator("#stop")).to_be_focused()
    assert page.evaluate("opened") == 2 and notice.is_hidden()
    playwright.expect(page.locator("#clock")).to_have_text(re.compile("0:0[3-9]"))
    page.locator("#stop").click()
    page.locator("#results").wait_for()
    for said in ("not what anybody feels", "CC0-1.0", "Commercial use: yes"):
        playwright.expect(page.locator("#about")).to_contain_text(said)
    assert next(visited, None) is None


def test_a_discarded_recording_is_not_sent(page) -> None:  # type: ignore[no-untyped-def]
    record(page)
    playwright.expect(page.locator("#clock")).to_have_text(re.compile("0:0[1-9]"))
    sent = []
    page.on("request", lambda request: sent.append(request.method))
    page.locator("#discard").click()
    page.wait_for_timeout(500)
    assert "POST" not in sent
    playwright.expect(page.locator("#record")).to_be_focused()
    assert page.locator("#results").is_hidden()


def test_a_second_click_opens_no_second_microphone(browser, server: Running) -> None:  # type: ignore[no-untyped-def]
    slow = """
      window.opened = [];
      const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
      navigator.mediaDevices.getUserMedia = async (options) => {
        await new Promise((resolve) => setTimeout(resolve, 300));
        opened.push(await open(options));
        return opened.at(-1);
      };"""
    visited = visit(browser, server, slow)
    page = next(visited)
    record(page)
    for _ in range(2):
        playwright.expect(page.locator("#clock")).to_have_text(re.compile("0:0[1-9]"))
        page.locator("#discard").click()
        playwright.expect(page.locator("#record")).to_be_focused()
        page.locator("#record").dblclick()
    page.locator("#discard").click()
    playwright.expect(page.locator("#record")).to_be_focused()
    states = "() => opened.map((stream) => stream.getTracks()[0].readyState)"
    assert page.evaluate(states) == ["ended"] * 3
    assert next(visited, None) is None


def test_without_a_microphone_the_button_stays_usable(browser, server: Running) -> None:  # type: ignore[no-untyped-def]
    refused = """navigator.mediaDevices.getUserMedia = async () => {
        throw new DOMException("none", "NotFoundError"); };"""
    visited = visit(browser, server, refused)
    page = next(visited)
    for _ in range(2):
        record(page)
        playwright.expect(page.locator(".problem")).to_have_text(re.compile("No microphone"))
        playwright.expect(page.locator("#record")).to_be_focused()
    assert next(visited, None) is None


def test_a_recording_ends_before_it_is_too_large(browser, folder: Path) -> None:  # type: ignore[no-untyped-def]
    predictor = Predictor(tiny_model.write(folder))
    with serving(predictor, bytes=300_000) as small:  # two seconds at 48 kHz, and some to spare
        visited = visit(browser, small)
        page = next(visited)
        sent = []
        page.on("request", lambda request: sent.append(request.url))
        record(page)
        playwright.expect(page.locator("#status")).to_have_text(re.compile(r"0:0\d is reached"))
        page.locator("#results").wait_for()
        assert page.locator(".problem").count() == 0
        assert sum("/api/predict" in url for url in sent) == 1
        assert next(visited, None) is None


def test_a_recording_that_cannot_be_predicted_can_be_saved(page) -> None:  # type: ignore[no-untyped-def]
    page.route("**/api/predict*", lambda route: route.fulfill(status=503, json={"error": "busy"}))
    record(page)
    playwright.expect(page.locator("#clock")).to_have_text(re.compile("0:0[1-9]"))
    page.locator("#stop").click()
    playwright.expect(page.locator(".problem")).to_have_text(re.compile("busy"))
    record(page)  # the next recording does not push the last one out
    page.locator("#discard").click()
    with page.expect_download() as download:
        page.locator(".problem button").click()
    assert re.match(r"recording .*\.wav$", download.value.suggested_filename)
    samples, rate = soundfile.read(download.value.path())
    assert len(samples) / rate > 0.4 and np.abs(samples).max() > 0.01
    record(page)
    assert page.locator(".problem").count() == 0
    page.locator("#discard").click()
