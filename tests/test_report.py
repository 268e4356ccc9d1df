"""The report in real headless Chromium, offline: nothing is asked for, nothing fails, clips play."""

from __future__ import annotations

import pytest

from chromium import DESKTOP, PHONE, launched
from emoscope import dataset
from emoscope.evaluation import comparison
from emoscope.report import page as page_module

LARGEST = 10_000_000  # bytes


@pytest.fixture(scope="module")
def page(ravdess, tmp_path_factory):
    """A comparison on the bundled features, its hardest clips playable from the corpus."""
    data = dataset.load(None, ["mfcc", "contrast"], emotions=["calm", "happy", "angry"])
    result = comparison.compare(
        data.corpus, data.features, models=["dummy", "svm", "tree"], ablation=["tree"], jobs=1,
        project_clips=True,
    )  # fmt: skip
    found = {path.stem: str(path) for path in ravdess.glob("Actor_*/*.flac")}
    clips = {clip: found[clip.rpartition("/")[2]] for clip in data.corpus.table["clip"]}
    return page_module.write(result, tmp_path_factory.mktemp("report") / "report.html", clips=clips)


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_asked_for_and_clips_play(page, tmp_path, viewport, scheme):
    assert page.stat().st_size < LARGEST
    asked, faults = [], []
    with launched() as browser:
        context = browser.new_context(viewport=viewport, color_scheme=scheme, offline=True)
        opened = context.new_page()
        opened.on("request", lambda request: asked.append(request.url))
        opened.on("requestfailed", lambda request: faults.append(request.url))
        opened.on("pageerror", lambda error: faults.append(str(error)))
        opened.on("console", lambda m: faults.append(m.text) if m.type == "error" else None)
        opened.goto(page.as_uri())
        clips = opened.locator("audio")
        assert 0 < clips.count() <= 20
        heard = clips.first.evaluate(
            """async clip => {
              clip.muted = true;
              await clip.play();
              await new Promise(wait => clip.ontimeupdate = wait);
              return [clip.currentTime, clip.duration];
            }"""
        )
        assert heard[0] > 0 and 2 < heard[1] < 6
        wide = opened.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, f"{wide} pixels wider than the window"
        background = opened.evaluate("getComputedStyle(document.body).backgroundColor")
        red = int(background.partition("(")[2].partition(",")[0])
        assert red < 60 if scheme == "dark" else red > 200
        font = opened.evaluate("getComputedStyle(document.body).fontFamily")
        assert font.endswith("sans-serif"), "the style sheet did not arrive as it was written"
        picture = tmp_path / f"{scheme}.png"
        opened.screenshot(path=picture, full_page=True)
        assert picture.stat().st_size > 50_000
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert faults == []
