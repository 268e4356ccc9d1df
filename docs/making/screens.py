"""Takes the pictures in ``docs/images``: the browser page, a call, a timeline, a recording, a report.

    python docs/making/screens.py [page] [call] [timeline] [recording] [report]

Needs the extra ``serve``, playwright and a Chromium. The recordings are those of ``examples/``, but for
the page of a recording, a call of EMO-DB below EMOSCOPE_DATA; the report compares a few quick models on
the bundled features.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from PIL import Image

import emoscope

ROOT = Path(__file__).parents[2]
IMAGES, EXAMPLES = ROOT / "docs" / "images", ROOT / "examples"
sys.path.insert(0, str(ROOT / "tests"))
RATE, WIDTH = 16_000, 1120

#: The models of the report: quick ones of each kind, and chance.
MODELS = ("svm-rbf", "svm", "lda", "forest", "tree", "dummy")


def joined(*names: str) -> np.ndarray:
    """Example clips one after the other, with 1.5 s of silence around each."""
    quiet = np.zeros(round(1.5 * RATE))
    clips = [soundfile.read(EXAMPLES / f"{name}.flac")[0] for name in names]
    return np.concatenate([quiet, *(part for clip in clips for part in (clip, quiet))])


def interview() -> np.ndarray:
    """A woman whose voice changes."""
    return joined("woman-neutral", "woman-happy", "woman-sad", "woman-angry")


def call() -> np.ndarray:
    """A woman in the left channel and a man in the right one, who speak in turn."""
    first, answer, last = map(joined, ("woman-neutral", "man-angry", "woman-sad"))
    left = np.concatenate([first, 0 * answer, last])
    return np.stack([left, np.concatenate([0 * first, answer, 0 * last])], axis=1)


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """A page in a real browser."""
    from chromium import launched

    with launched() as started:
        yield started.new_page(viewport={"width": WIDTH, "height": 1000})


def answered(name: str, samples: np.ndarray) -> None:
    """What the page of a real server shows of a recording, down to the picture of its sound."""
    from serving import serving

    with (
        tempfile.TemporaryDirectory() as folder,
        serving(emoscope.Predictor()) as server,
        browser() as page,
    ):
        path = Path(folder, f"{name}.flac")
        soundfile.write(path, samples, RATE)
        page.goto(server.address)
        page.set_input_files("#files", str(path))
        page.locator("#segments button").first.wait_for()
        page.wait_for_timeout(1500)  # the spectrogram is drawn piece by piece
        top, end = (page.locator(part).bounding_box()["y"] for part in ("#drop", ".timeline"))
        clip = {"x": 0, "y": top - 20, "width": WIDTH, "height": end - top}
        save("page" if name == "interview" else name, page.screenshot(full_page=True, clip=clip))


def timeline() -> None:
    """What ``emoscope predict interview.flac --picture timeline.png`` draws."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "interview.flac")
        soundfile.write(path, interview(), RATE)
        words = ["predict", path, "--quiet", "--picture", Path(folder, "timeline.png")]
        subprocess.run([sys.executable, "-m", "emoscope", *words], check=True, capture_output=True)
        save("timeline", Path(folder, "timeline.png").read_bytes())


def recording() -> None:
    """The page of ten minutes between two speakers of EMO-DB (CC0), one of them angry at the end."""
    clips = Path(os.environ.get("EMOSCOPE_DATA", ROOT.parent / "shared" / "data"), "emodb", "wav")
    rng, sides, position = np.random.default_rng(0), np.zeros((600 * RATE, 2)), RATE
    while position < len(sides) - 6 * RATE:
        side, late = int(rng.integers(2)), position > 0.6 * len(sides)
        letters = ("WWWN" if side else "NTA") if late else ("NNNF" if side else "NNL")
        names = [p for p in clips.glob(("15" if side else "16") + "*") if p.stem[5] in letters]
        clip, _ = soundfile.read(sorted(names)[rng.integers(len(names))])
        sides[position : position + len(clip), side] += clip
        position += round(max(0.3, 1 + rng.uniform(-0.4, 2.0) * RATE / len(clip)) * len(clip))
    with tempfile.TemporaryDirectory() as folder, browser() as view:
        path, made = Path(folder, "call.wav"), Path(folder, "call.html")
        soundfile.write(path, sides, RATE)
        words = ["predict", path, "--timeline", "--quiet", "--html", made]
        subprocess.run([sys.executable, "-m", "emoscope", *words], check=True, capture_output=True)
        view.set_viewport_size({"width": WIDTH, "height": 1150})
        view.goto(made.as_uri())
        view.wait_for_timeout(500)
        save("recording", view.screenshot())


def report() -> None:
    """The head of a comparison's report."""
    from emoscope.report import page

    data = emoscope.load_dataset(None, ["mfcc", "mel"])
    result = emoscope.compare(data.corpus, data.features, models=list(MODELS), jobs=1)
    with browser() as view:
        view.set_viewport_size({"width": WIDTH, "height": 1250})
        view.set_content(page.render(result), wait_until="load")
        view.wait_for_timeout(500)
        save("report", view.screenshot())


def save(name: str, png: bytes) -> None:
    """Keep a picture in 255 colours, which makes it small."""
    colours = Image.open(io.BytesIO(png)).convert("RGB").quantize(255, dither=Image.Dither.NONE)
    path = IMAGES / f"{name}.png"
    colours.save(path, optimize=True)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB")


MAKERS = {
    "page": lambda: answered("interview", interview()),
    "call": lambda: answered("call", call()),
    "timeline": timeline,
    "recording": recording,
    "report": report,
}

if __name__ == "__main__":
    for wanted in sys.argv[1:] or MAKERS:
        MAKERS[wanted]()
