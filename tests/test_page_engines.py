"""The page with an engine of the tab's kind, played by a stub: progress, cancel, live labels, corrections."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile

import emoscope
import tiny_model
from chromium import DESKTOP, PHONE, launched, playwright
from emoscope.prediction import Predictor
from recordings import RATE, silence, voice

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")

from pages import record, rows, upload, visit
from serving import Running, serving

ABOUT = {"model": "stub", "licence": "CC0-1.0", "commercial_use": "yes", "meaning": "A stub."}

#: Answers with ``stub.found`` by file name; those of ``stub.slow`` come in part, and wait for ``stub.go``.
ENGINE = """
export async function openEngine({ progress }) {
  let ready = null; // an engine is there before its model
  if (stub.load) {
    progress(2e6, 8e6);
    ready = new Promise((done) => { stub.loaded = () => { progress(8e6, 8e6); done(); }; });
  }
  return {
    kind: "tab", limits: {}, examples: stub.examples ?? [],
    models: async () => [],
    listen: async (file) => file,
    async predict(file, { progress, signal }) {
      await ready;
      const predictions = stub.found[file.name];
      if (stub.slow === file.name) {
        const part = { ...predictions[0], segments: predictions[0].segments.slice(0, 2) };
        progress(0.25, [stub.mix ?? part]);
        await new Promise((done, failed) => {
          stub.go = done;
          signal.onabort = () => failed(signal.reason);
        });
      }
      return { predictions, errors: [] };
    },
    label: async (entries) => entries.map(({ prediction }) => (
      { ...prediction, ...stub.together, segments: [] })),
    stream: ({ rate, update }) => ({
      push: async () => update({ speaking: true, emotion: "angry", probabilities: { angry: rate / 1e5 } }),
      cancel() { stub.finished = true; },
    }),
  };
}"""


def segment(start: float, end: float, emotion: str, **more: Any) -> dict[str, Any]:
    """A segment as in the JSON output, of no speech where its emotion is silence."""
    sure = more.pop("confidence", 0.8)
    share = {"sad": (1 - sure) / 2, "angry": (1 - sure) / 2, "happy": (1 - sure) / 2, emotion: sure}
    found = {} if emotion == "silence" else {"probabilities": share, "arousal": 0.1, "valence": 0.1}
    times = {"start": start, "end": end, "emotion": emotion, "confidence": sure}
    return {**times, "probabilities": {}, **found, **more}


def prediction(*segments: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A prediction as in the JSON output."""
    first = next((part for part in segments if part["probabilities"]), segment(0, 1, "sad"))
    label = {name: first[name] for name in ("emotion", "confidence", "probabilities")}
    known = {"uncertain": False, "warnings": [], "segments": list(segments), "about": ABOUT}
    return {"file": "", "arousal": 0.1, "valence": -0.5, **label, **known, **more}


TALK = (
    segment(0.0, 1.0, "silence"),
    segment(1.0, 3.0, "sad", speaker="A", uncertain=False, confidence=0.7),
    segment(3.0, 4.0, "angry", speaker="B", uncertain=True, confidence=0.4),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("engines")
    soundfile.write(folder / "talk.wav", voice(4.0), RATE)
    for name in ("one.wav", "long.wav"):
        soundfile.write(folder / name, voice(1.0), RATE)
    soundfile.write(folder / "microphone.wav", voice(3.0) + silence(3.0), RATE)
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Running]:
    with serving(Predictor(tiny_model.write(folder))) as running:
        yield running


@pytest.fixture(scope="module")
def browser(folder: Path):  # type: ignore[no-untyped-def]
    with launched(f"--use-file-for-fake-audio-capture={folder / 'microphone.wav'}") as browser:
        yield browser


@pytest.fixture
def opened(browser, server: Running):  # type: ignore[no-untyped-def]
    """Opens the page with a stub of these answers; it may do all that the page of a server may."""
    visits = []

    def opened(found: dict[str, Any], *, ready: str = "#choose", view=DESKTOP, **stub: Any):  # type: ignore[no-untyped-def]
        script = f"window.stub = {json.dumps({'found': found, **stub})};"
        visits.append(visit(browser, server, script, engine=ENGINE, ready=ready, viewport=view))
        return next(visits[-1])

    yield opened
    for one in visits:
        assert next(one, None) is None


def test_the_model_is_loaded_before_recordings_are_analysed(opened, folder: Path) -> None:  # type: ignore[no-untyped-def]
    example = {"name": "A logo", "file": "web/logo.svg", "source": "Corpus, CC0"}
    found = {name: [prediction(*TALK)] for name in ("talk.wav", "logo.svg")}
    page = opened(found, load=True, examples=[example])
    playwright.expect(page.locator("#status")).to_have_text("Loading the model …")
    playwright.expect(page.locator("#amount")).to_have_text("2.0 of 8.0 MB")
    assert page.locator("#bar").get_attribute("value") == "0.25"
    assert page.locator("#cancel").is_hidden()
    page.set_input_files("#files", folder / "talk.wav")  # waits for the model
    playwright.expect(page.locator("#cancel")).to_be_visible()
    page.evaluate("stub.loaded()")
    playwright.expect(page.locator("#name")).to_have_text("talk.wav")
    playwright.expect(page.locator("#work")).to_be_hidden()
    privacy = page.locator("#privacy").text_content()
    assert "cannot leave this tab" in privacy and "until you clear them" in privacy
    assert page.locator(".of-server").is_hidden()
    assert page.locator("[data-format]").count() == 6


def test_an_example_is_one_click_away(opened) -> None:  # type: ignore[no-untyped-def]
    example = {"name": "A logo", "file": "web/logo.svg", "source": "Corpus, CC0"}
    page = opened({"logo.svg": [prediction(*TALK)]}, examples=[example])
    playwright.expect(page.locator("#example-source")).to_have_text("Corpus, CC0")
    page.get_by_role("button", name="A logo").click()
    playwright.expect(page.locator("#name")).to_have_text("logo.svg")
    playwright.expect(page.locator("#silent-view")).to_contain_text("cannot play or draw")


def test_results_appear_while_it_works_and_it_can_be_cancelled(opened, folder: Path) -> None:  # type: ignore[no-untyped-def]
    page = opened({name: [prediction(*TALK)] for name in ("talk.wav", "one.wav")}, slow="talk.wav")
    page.set_input_files("#files", [folder / "talk.wav", folder / "one.wav"])
    playwright.expect(page.locator("#length")).to_have_text("0:03.0 analysed so far")
    assert rows(page) == ["silence", "sad"]
    playwright.expect(page.locator("#amount")).to_have_text("25 %")
    assert page.locator(".corrections").is_hidden()
    assert page.locator("[data-format]:disabled").count() == 6  # half a recording is not exported
    page.evaluate("stub.go()")
    playwright.expect(page.locator("#length")).to_have_text("0:04.0 long")
    assert page.locator("[data-format]:enabled").count() == 6
    assert rows(page) == ["silence", "sad", "angry"]
    playwright.expect(page.locator("#list button")).to_have_count(2)

    page.set_input_files("#files", [folder / "talk.wav", folder / "one.wav"])
    playwright.expect(page.locator("#list button")).to_have_count(3)
    page.locator("#cancel").click()
    playwright.expect(page.locator("#work")).to_be_hidden()
    assert page.locator(".problem").all_text_contents() == [
        "talk.wav: not analysed to the end.",
        "one.wav: not analysed to the end.",
    ]
    playwright.expect(page.locator("#warnings")).to_contain_text("Incomplete: the analysis ended")
    with page.expect_download() as download:
        page.locator("[data-format=srt]").click()
    assert download.value.suggested_filename == "talk-incomplete.srt"
    playwright.expect(page.locator("#list button")).to_have_count(3)


def test_channels_take_the_place_of_their_mix(opened, folder: Path) -> None:  # type: ignore[no-untyped-def]
    each = [prediction(TALK[1], channel=channel) for channel in ("left", "right")]
    page = opened({"talk.wav": each}, slow="talk.wav", mix=prediction(*TALK))
    page.set_input_files("#files", folder / "talk.wav")
    playwright.expect(page.locator("#segments button")).to_have_count(3)
    page.evaluate("stub.go()")  # with fewer segments than are listed
    playwright.expect(page.locator("#list button")).to_have_count(2)
    playwright.expect(page.locator("#name")).to_have_text("talk.wav (left)")
    assert rows(page) == ["sad"]


def test_a_label_while_somebody_speaks(opened) -> None:  # type: ignore[no-untyped-def]
    page = opened({})
    record(page)
    playwright.expect(page.locator("#heard")).to_have_text(re.compile(r"^angry, 4\d\s%"))
    page.locator("#discard").click()
    assert page.evaluate("stub.finished")
    assert "Nothing leaves" not in page.locator("#status").text_content()


def test_recordings_of_one_speaker_are_labelled_together(opened, folder: Path) -> None:  # type: ignore[no-untyped-def]
    found = {name: [prediction(*TALK)] for name in ("talk.wav", "one.wav")}
    told = {"emotion": "happy", "warnings": ["together: labelled relative to 2 recordings"]}
    page = opened(found, together=told)
    upload(page, folder / "talk.wav")
    assert page.locator("#together").is_hidden()
    upload(page, folder / "one.wav")
    verdict, said = page.locator("#verdict"), page.locator("#together-said")
    page.get_by_label("These recordings share one speaker or room").check()
    playwright.expect(said).to_have_text(
        "2 recordings are labelled relative to each other; 2 of their labels changed."
    )
    playwright.expect(verdict).to_have_text("happy")
    assert len(rows(page)) == 3
    page.locator("#together").uncheck()
    playwright.expect(verdict).to_have_text("sad")
    playwright.expect(said).to_have_text("")


def test_corrections_are_kept_offered_and_saved(opened, folder: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    page = opened({"talk.wav": [prediction(*TALK)], "one.wav": [prediction(*TALK)]})
    upload(page, folder / "talk.wav")
    assert page.locator("#segments .who").all_text_contents() == ["", "A", "B"]
    playwright.expect(page.locator("#segments button").nth(2)).to_contain_text("not sure, 40 %")
    page.locator("#next").focus()
    page.keyboard.press("Enter")  # the one whose two best emotions are closest
    playwright.expect(page.locator("#which")).to_contain_text("the model says angry, 40 %")
    page.get_by_role("combobox", name="Emotion").select_option("happy")
    page.get_by_role("textbox", name="Speaker").fill('C, "Cy"')
    page.keyboard.press("Enter")
    playwright.expect(page.locator("#checked")).to_have_text(
        "1 checked, 1 of them corrected; 1 not checked."
    )
    adapting = page.locator(".adapting")
    playwright.expect(adapting).to_contain_text("No server runs this page, so it cannot adapt")
    assert page.locator("#adapt").count() == 0
    page.locator("#next").click()
    page.locator("#keep").click()
    assert rows(page) == ["silence", "sad", "happy"]
    sure = page.locator("#segments .sure").all_text_contents()
    assert sure == ["", "confirmed", "corrected; was angry"]

    page.reload()
    upload(page, folder / "one.wav")
    assert rows(page)[2] == "angry"
    upload(page, folder / "talk.wav")
    playwright.expect(page.locator("#segments button").nth(2)).to_contain_text("happy")
    for format in ("csv", "json"):
        with page.expect_download() as download:
            page.locator(f"#corrections-{format}").click()
        download.value.save_as(tmp_path / download.value.suggested_filename)
    table = (tmp_path / "talk-corrections.csv").read_text(encoding="utf-8")
    assert table.splitlines() == [
        "file,start,end,speaker,emotion,corrected",
        "talk.wav,1,3,A,sad,no",
        'talk.wav,3,4,"C, ""Cy""",happy,yes',
    ]
    (tmp_path / "talk.wav").write_bytes((folder / "talk.wav").read_bytes())
    for format in ("csv", "json"):
        corpus = emoscope.load_corpus(tmp_path / f"talk-corrections.{format}")
        assert list(corpus.table["emotion"]) == ["sad", "happy"]
        assert list(corpus.table["speaker"]) == ["A", 'C, "Cy"']

    for answer, kept in (("dismiss", 1), ("accept", 0)):
        page.once("dialog", lambda dialog, answer=answer: getattr(dialog, answer)())
        page.locator("#clear").click()
        assert page.evaluate("localStorage.length") == kept
        assert rows(page)[2] == ("happy" if kept else "angry")


def test_three_hours_minute_by_minute(opened, folder: Path) -> None:  # type: ignore[no-untyped-def]
    parts = [segment(2.0 * n, 2.0 * n + 2, ("sad", "angry", "silence")[n % 3]) for n in range(5400)]
    parts[0]["uncertain"] = True
    warning = "mixed: the label changes (sad 50%, angry 50% of the speech); the timeline says where"
    found = {"long.wav": [prediction(*parts, warnings=[warning])]}
    for view in (DESKTOP, PHONE):
        page = opened(found, view=view)
        upload(page, folder / "long.wav")
        assert page.locator("#verdict").text_content() == "Mixed"
        assert page.locator("#bars dt").all_text_contents() == ["sad", "angry"]
        playwright.expect(page.locator("#silent-view")).to_contain_text("longer than half an hour")
        assert page.locator("#minutes button").count() == 180
        assert page.locator("#count").text_content() == "Segments 1 to 200 of 5400"
        assert "fullest at full height" in page.locator("#dense-view").text_content()
        striped, solid = (
            page.locator("#minutes .strip").nth(n).evaluate("strip => strip.style.backgroundImage")
            for n in (0, 1)
        )
        assert striped.count("--sad") == solid.count("--sad") + 2  # 3.33 % in stripes of 1.2 %
        page.locator("#minutes button").nth(2).click()
        list_, row = page.locator("#segments"), page.locator("#segments button").nth(60)
        assert row.text_content().startswith("2:00")
        assert row.bounding_box()["y"] == pytest.approx(list_.bounding_box()["y"], abs=2)
        page.locator("#minutes button").nth(90).click()
        playwright.expect(page.locator("#count")).to_have_text("Segments 2701 to 2900 of 5400")
        assert page.evaluate("document.documentElement.scrollWidth") <= view["width"]
    page.get_by_role("button", name="Earlier segments").click()
    playwright.expect(page.locator("#count")).to_have_text("Segments 2501 to 2700 of 5400")


@pytest.mark.parametrize(
    ("answer", "headline", "bars"),
    [
        ({"warnings": ["no speech: no voice was found"], "uncertain": True}, "No speech", 0),
        ({"uncertain": True, "segments": TALK}, "Mixed", 2),
        ({"uncertain": True}, "Not sure; sounds even, unpleasant", 3),
        ({"uncertain": True, "arousal": None}, "Not sure", 3),
        ({}, "sad", 3),
    ],
)
def test_the_headline_says_what_is_known(  # type: ignore[no-untyped-def]
    opened, folder: Path, answer: dict[str, Any], headline: str, bars: int
) -> None:
    told = prediction(*TALK[:2], **answer)
    page = opened({"talk.wav": [{k: v for k, v in told.items() if v is not None}]})
    upload(page, folder / "talk.wav")
    playwright.expect(page.locator("#verdict")).to_have_text(headline)
    assert page.locator("#bars dt").count() == bars
    page.locator("#segments button").first.click()
    playwright.expect(page.locator("#bars-title")).to_have_text("No speech, 0:00.0 to 0:01.0")
    assert page.locator("#bars dt").count() == 0


def test_the_stubbed_page_is_accessible(opened, folder: Path) -> None:  # type: ignore[no-untyped-def]
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    parts = [segment(2.0 * n, 2.0 * n + 2, ("sad", "angry", "silence")[n % 3]) for n in range(1000)]
    page = opened({"long.wav": [prediction(*parts)], "talk.wav": [prediction(*TALK)]})
    upload(page, folder / "talk.wav", folder / "long.wav")
    for place in (0, 1):
        page.locator("#list button").nth(place).click()
        page.locator("#next").click()
        playwright.expect(page.locator("#which")).to_be_visible()
        faults = axe.run(page).response["violations"]
        assert [(fault["id"], [node["html"] for node in fault["nodes"]]) for fault in faults] == []
