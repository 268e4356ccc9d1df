"""A recording as a page and as a picture: what they hold, how large they are, and that they work."""

from __future__ import annotations

import base64
import itertools

import numpy as np
import pytest
import soundfile
from matplotlib.backends.backend_agg import FigureCanvasAgg

from chromium import DESKTOP, PHONE, launched
from emoscope.report import plots, recording
from recordings import RATE, voice
from spoken import call, prediction, quiet, random_segments, said

LARGEST = 20_000_000  # bytes of a page of three hours


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve seconds of a call, of which the left side speaks first."""
    path = tmp_path_factory.mktemp("recording")
    speech, pause = voice(6.0), np.zeros(6 * RATE, np.float32)
    sides = [np.concatenate(order) for order in ((speech, pause), (pause, 0.5 * speech))]
    soundfile.write(path / "a <b>.wav", np.stack(sides, axis=1), RATE)
    return path


@pytest.fixture(scope="module")
def shown(folder):
    """The page of that call."""
    left = [said(0, 3, "angry"), said(3, 6, "sad", uncertain=True), quiet(6, 12)]
    found = call(left, [quiet(0, 6), said(6, 12, "happy")])
    path = str(folder / "a <b>.wav")
    html = recording.render(found, path, recording.waveforms(found, path), sign="its mark")
    (folder / "page.html").write_text(html, encoding="utf-8")
    return folder / "page.html"


def test_a_waveform_has_the_loudest_sample_of_each_part(folder):
    path, samples = str(folder / "clicks.wav"), np.zeros((2 * RATE, 2), np.float32)
    samples[[160, 319, 320, 2 * RATE - 1], 0] = 0.25, 0.5, 0.75, 0.125
    samples[8000:, 1] = -0.5
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    found = recording.waveforms(call([said(0, 2, "sad")], [said(0, 2, "sad")]), path)
    expected = np.abs(samples).reshape(200, 160, 2).max(axis=1)
    np.testing.assert_array_equal(np.stack([found["left"], found["right"]]), expected.T)
    alone = recording.waveforms(prediction(said(0, 2, "sad"), channel="right"), path)
    np.testing.assert_array_equal(alone["right"], expected[:, 1])
    both = recording.waveforms(prediction(said(0, 2, "sad")), path)
    mixed = np.abs(samples.mean(axis=1)).reshape(200, 160).max(axis=1)
    np.testing.assert_array_equal(both[""], mixed)


def test_the_page_escapes_names_and_says_what_made_it(shown):
    text = shown.read_text("utf-8").replace("&nbsp;", " ")
    assert "<h1>a &lt;b&gt;.wav</h1>" in text and "<!-- its mark -->" in text
    assert (
        "<strong>Left</strong> speaks 0:06 (50 %): angry 50 %, sad 50 %. 50 % of it is uncertain."
        in text
    )
    assert 'src="http' not in text and "url(" not in text


@pytest.fixture(scope="module")
def browser():
    with launched() as browser:
        yield browser


@pytest.mark.parametrize(("viewport", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")])
def test_the_page_draws_lanes_and_plays_a_moment(browser, shown, viewport, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    asked, faults = [], []
    with browser.new_context(viewport=viewport, color_scheme=scheme, offline=True) as context:
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda m: faults.append(m.text) if m.type == "error" else None)
        page.goto(shown.as_uri())
        page.wait_for_timeout(200)
        assert page.evaluate("lanes.map((lane) => lane.name)") == ["left", "right"]
        colours = page.evaluate(COLOURS)
        wanted = [page.evaluate(f"data.colours.{scheme}.{name}") for name in ("angry", "happy")]
        assert {tuple(c) for c in colours} >= {tuple(bytes.fromhex(name[1:])) for name in wanted}
        page.locator("button[data-from]").first.click()
        assert page.evaluate(HEARD)
        assert page.locator("#play").text_content() == "Pause"
        page.locator("#play").click()
        page.locator("#closer").click()
        assert page.evaluate("view.end - view.start") < 12
        page.locator("#lanes").press("ArrowRight")
        page.locator("#all").click()
        assert page.evaluate("[view.start, view.end]") == [0, 12]
        box = page.locator("#lanes").bounding_box()
        page.locator("#lanes").click(position={"x": box["width"] * 0.75, "y": box["height"] * 0.8})
        assert "right: happy 90\xa0%" in page.locator("#told").text_content()
        assert page.evaluate("view.time") == pytest.approx(9, abs=0.1)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert page.locator("#paper canvas").count() == 1
        assert axe.run(page).response["violations"] == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert faults == []


#: Whether sound comes, within five seconds.
HEARD = """async () => {
  for (let n = 0; n < 50 && !(view.audio.currentTime > 0.2); n += 1) {
    await new Promise((wait) => setTimeout(wait, 100));
  }
  return view.audio.currentTime > 0.2 && !view.audio.paused;
}"""
#: The colours in the middle of the blocks of the lanes.
COLOURS = """() => {
  const canvas = document.getElementById("lanes"), pen = canvas.getContext("2d");
  const all = pen.getImageData(0, 0, canvas.width, canvas.height).data, found = [];
  const seen = new Set();
  for (let n = 0; n < all.length; n += 4) {
    const key = all[n] << 16 | all[n + 1] << 8 | all[n + 2];
    if (!seen.has(key)) { seen.add(key); found.push([all[n], all[n + 1], all[n + 2]]); }
  }
  return found;
}"""


def test_three_hours_stay_within_the_limit(folder, monkeypatch):
    """Their sound is not encoded here: what it may take is reckoned from its rate."""
    hours = 3 * 3600
    found = call(random_segments(hours), random_segments(hours, seed=1))
    wave = np.ones(recording.MAX_CELLS, np.float32)
    monkeypatch.setattr(recording, "_sounds", lambda *given: [])
    html = recording.render(found, "talk.wav", {"left": wave, "right": wave})
    spans, whole = recording._spans(found.summary)
    assert whole and spans[0] == (0.0, 300.0) and spans[-1][1] == found.summary.seconds
    assert len(html.encode()) + recording.MAX_SOUND < LARGEST
    longer = prediction(*random_segments(4 * 3600)).summary
    spans, whole = recording._spans(longer)
    assert not whole and len(spans) == len(longer.moments) + len(longer.turns)


def test_the_sound_takes_as_many_bits_as_are_left(folder):
    path = str(folder / "a <b>.wav")
    found = prediction(said(0, 12, "sad"))
    sounds = recording._sounds(path, found, [(0.0, 5.0), (5.0, 12.0)], lambda done, total: None)
    assert [(start, round(end)) for start, end, _ in sounds] == [(0.0, 5), (5.0, 12)]
    bits = [6 * len(text) / (end - start) for start, end, text in sounds]
    assert all(5_000 < each < 1.2 * recording.BITS[1] for each in bits)
    assert base64.b64decode(sounds[0][2]).startswith(b"OggS")


@pytest.mark.parametrize(("seconds", "n_rows"), [(30, 1), (600, 5), (3 * 3600, 9)])
def test_texts_of_the_picture_fit_and_do_not_overlap(seconds, n_rows):
    found = prediction(*random_segments(seconds, seed=3, speakers=("Ann", "Bob")))
    with plots.style():
        figure = plots.recording(found, {"": np.ones(1000, np.float32)})
        figure.set_dpi(50)  # which is enough to measure texts, and quick
        FigureCanvasAgg(figure).draw()
        rows = [ax for ax in figure.axes if ax.get_xticklabels()]
        assert len(rows) == n_rows
        renderer = figure.canvas.get_renderer()
        for ax in rows:
            boxes = [text.get_window_extent(renderer) for text in ax.texts]
            for one, other in itertools.combinations(boxes, 2):
                assert not (one.overlaps(other)), seconds
            ticks = [label.get_window_extent(renderer) for label in ax.get_xticklabels()]
            assert all(a.x1 < b.x0 for a, b in itertools.pairwise(ticks))
            assert {label.get_text() for label in ax.get_yticklabels()} == {"Ann", "Bob"}
        times = [label.get_text() for label in rows[-1].get_xticklabels()]
        assert times[-1] == {30: "0:30", 600: "10:00", 10800: "3:00:00"}[seconds]
        (legend,) = figure.legends
        assert [text.get_text() for text in legend.get_texts()][-1] == "uncertain"
        limits = figure.bbox
        for text in legend.get_texts():
            assert text.get_window_extent(renderer).x1 < limits.x1
    assert sum(len(ax.texts) for ax in rows) > 0 or seconds == 3 * 3600


def test_the_waveform_of_the_picture_ends_with_the_recording():
    found = prediction(*random_segments(315, seed=3))
    figure = plots.recording(found, {"": np.ones(31_500, np.float32)})
    ends = [
        max(wave.get_datalim(ax.transData).x1 for wave in ax.collections[:1]) for ax in figure.axes
    ]
    assert ends == pytest.approx([60, 120, 180, 240, 300, 315], abs=0.1)


def test_uncertain_segments_are_hatched():
    from matplotlib.figure import Figure

    ax = Figure().subplots()
    parts = [said(0, 5, "sad"), said(5, 9, "sad", uncertain=True)]
    assert plots.timeline({"": parts}, ax=ax) is ax
    hatched = {bool(drawn.get_hatch()): len(drawn.get_paths()) for drawn in ax.collections}
    assert hatched == {False: 1, True: 1}
