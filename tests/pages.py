"""The page of a real server in headless Chromium: fixtures, and what a visitor does there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

import tiny_model
from chromium import DESKTOP, launched, playwright
from emoscope.prediction import Predictor
from recordings import RATE, at_level, silence, voice

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")

from serving import Running, serving


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    sad, angry = (at_level(voice(3.0, 100.0), level) for level in (-35, -15))
    parts = [silence(1.0), sad, silence(1.0), angry]
    samples = np.concatenate([*parts, silence(1.0)])
    soundfile.write(folder / "two voices.wav", samples, RATE)
    soundfile.write(folder / "apple.aiff", at_level(voice(2.0), -15), RATE)
    (folder / "<b>broken.wav").write_bytes(b"no sound in here")
    turns = [np.concatenate([sad, silence(3.0)]), np.concatenate([silence(3.0), angry])]
    soundfile.write(folder / "call.wav", np.stack(turns, axis=1), RATE)
    microphone = np.concatenate([silence(0.3), at_level(voice(2.0), -15)])
    soundfile.write(folder / "microphone.wav", np.tile(microphone, 5), RATE)
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Running]:
    with serving(Predictor(tiny_model.write(folder))) as running:
        yield running


@pytest.fixture(scope="module")
def browser(folder: Path):  # type: ignore[no-untyped-def]
    capture = f"--use-file-for-fake-audio-capture={folder / 'microphone.wav'}"
    with launched(capture) as browser:
        yield browser


@pytest.fixture
def page(browser, server: Running):  # type: ignore[no-untyped-def]
    yield from visit(browser, server)


def visit(  # type: ignore[no-untyped-def]
    browser, server: Running, script: str = "", *, engine: str = "", ready: str = ".card", **options
):
    """A page that must neither ask another host for anything nor report an error.

    The script runs in the page before its own do; the source of an engine replaces the server's.
    """
    context = browser.new_context(**{"viewport": DESKTOP, **options})
    context.set_default_timeout(15_000)
    opened = context.new_page()
    opened.add_init_script(script)
    asked: list[str] = []
    faults: list[str] = []
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("console", lambda m: faults.append(m.text) if m.type == "error" else None)
    if engine:
        answer = {"body": engine, "content_type": "text/javascript"}
        opened.route("**/web/engine.js", lambda route: route.fulfill(**answer))
    opened.goto(server.address)
    opened.locator(ready).wait_for()
    yield opened
    context.close()
    own = (f"{server.address}/", f"blob:{server.address}/")
    assert asked and all(url.startswith(own) for url in asked)
    # A refused upload is shown on the page; Chromium notes it in the console as well.
    assert [fault for fault in faults if not re.search("status of (422|503)", fault)] == []


def upload(page, *paths: Path) -> None:  # type: ignore[no-untyped-def]
    page.set_input_files("#files", [str(path) for path in paths])
    page.locator("#results").wait_for()
    playwright.expect(page.locator("#status")).to_have_text("")


def record(page) -> None:  # type: ignore[no-untyped-def]
    """Press Record, and agree to the notice where it is shown."""
    page.locator("#record").click()
    if page.locator("#notice").is_visible():
        page.locator("#agree").click()


def rows(page) -> list[str]:  # type: ignore[no-untyped-def]
    return page.locator("#segments button span:nth-child(3)").all_text_contents()


def drawn(page) -> bool:  # type: ignore[no-untyped-def]
    """Whether the spectrogram's part of the picture holds many colours."""
    return page.evaluate(
        """() => {
          const { width, height } = document.getElementById("picture");
          const pen = document.getElementById("picture").getContext("2d");
          const { data } = pen.getImageData(0, height * 0.5, width, height * 0.3);
          return new Set(new Uint32Array(data.buffer)).size > 100;
        }"""
    )
