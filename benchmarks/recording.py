"""Three hours of a call in stereo: time, memory, and what one HTML page of them weighs and costs to draw.

    python benchmarks/recording.py                # three hours, which takes ten minutes on two cores
    python benchmarks/recording.py --minutes 10

Both sides are real clips (RAVDESS: actors with odd numbers left, even ones right) between silences, so
that both speak at once at times. EMOSCOPE_DATA names the folder with the corpus. The command runs in a
terminal of its own (a pseudo-terminal): the first result on the screen is the first second that the bar
says was heard. `load_average` includes what else the machine does. Results go to
results/benchmarks/recording.json.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pty
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from emoscope import audio
from prediction import clips, pinned

RESULTS = Path(__file__).parents[1] / "results" / "benchmarks" / "recording.json"
RATE = 16_000
PREDICT = [sys.executable, "-m", "emoscope", "predict"]


def write_call(path: Path, seconds: float) -> float:
    """Write both sides; returns the seconds in which both speak, clip against clip."""
    n_samples = round(seconds * RATE)
    speaking = np.zeros((n_samples, 2), bool)
    with soundfile.SoundFile(path, "w", RATE, 2, subtype="PCM_16") as file:
        sides = np.stack([_side(speaking[:, n], n) for n in (0, 1)], axis=1)
        file.write(sides)
    return float(speaking.all(axis=1).sum() / RATE)


def _side(speaking: np.ndarray, number: int) -> np.ndarray:
    rng = np.random.default_rng(number)
    files = [path for path in clips(1440) if int(path.stem[-2:]) % 2 == 1 - number]
    samples = (10**-4.0 * rng.normal(size=len(speaking))).astype(np.float32)
    position = round(RATE * rng.uniform(1, 10))
    while True:
        clip = audio.resample(audio.load(files[rng.integers(len(files))]), RATE).samples
        end = position + len(clip)
        if end >= len(samples):
            return samples
        samples[position:end] += clip
        speaking[position:end] = True
        position = end + round(RATE * rng.exponential(4.0))


def watched(words: list[str]) -> dict[str, Any]:
    """Run a command in a terminal: seconds until the bar says what was heard, and until the end."""
    begun, seen, first, labelled = time.perf_counter(), b"", None, None
    main, other = pty.openpty()
    process = subprocess.Popen(
        words, stdout=other, stderr=other, env={**os.environ, "COLUMNS": "80", "TERM": "xterm"}
    )
    os.close(other)
    memory = 0  # of the process itself: what getrusage gives includes this one, which started it
    while True:
        try:
            piece = os.read(main, 65_536)
        except OSError:  # the end, on Linux
            piece = b""
        if not piece:
            break
        seen += piece
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{process.pid}/status").read_text()
            memory = max(memory, *map(int, re.findall(r"VmHWM:\s+(\d+)", status)), 0)
        newest = seen[-4096:]
        if first is None and re.search(rb"\d:\d\d.{0,20} of ", newest):
            first = time.perf_counter() - begun
        if labelled is None and b"compressing" in newest:
            labelled = time.perf_counter() - begun
    assert process.wait() == 0, seen.decode(errors="replace")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "first_on_screen_s": first,
        "labelled_and_drawn_s": labelled,
        "wall_s": time.perf_counter() - begun,
        "processor_s": used.ru_utime + used.ru_stime,
        "peak_mb": memory / 1024,
    }


def drawn(path: Path) -> dict[str, float]:
    """What the page costs in headless Chromium: until it is drawn, and for each picture of a zoom."""
    from chromium import DESKTOP, launched

    with launched() as browser:
        page = browser.new_page(viewport=DESKTOP)
        begun = time.perf_counter()
        page.goto(path.as_uri())
        page.evaluate(
            "new Promise((wait) => requestAnimationFrame(() => requestAnimationFrame(wait)))"
        )
        opened = time.perf_counter() - begun
        times = page.evaluate(
            """async () => {
              const times = [];
              for (let step = 0; step < 60; step += 1) {
                view.zoom(step < 30 ? 0.8 : 1.25, 0.37);
                await new Promise(requestAnimationFrame);
                const begun = performance.now(), width = view.canvas.parentNode.clientWidth;
                new Drawing(view.canvas, data.colours.light).draw(width, view.start, view.end);
                times.push(performance.now() - begun);
              }
              return times;
            }"""
        )
        segments = page.evaluate("data.lanes.reduce((sum, lane) => sum + lane.parts.length, 0)")
    return {
        "segments_of_speech": segments,
        "opened_s": opened,
        "draw_ms_median": float(np.median(times)),
        "draw_ms_max": max(times),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=180.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        call, page, picture = (folder / file for file in ("call.wav", "call.html", "call.png"))
        both = write_call(call, 60 * given.minutes)
        words = [*pinned(2), *PREDICT, str(call), "--timeline"]
        shown = ["--html", str(page), "--picture", str(picture)]
        measured = {"audio_s": soundfile.info(call).duration, "both_speak_s": both}
        measured |= watched([*words, *shown])
        measured |= {
            "load_average": os.getloadavg()[0],
            "page_mb": page.stat().st_size / 1e6,
            "picture_mb": picture.stat().st_size / 1e6,
            **drawn(page),
        }
    print(json.dumps(measured, indent=1, ensure_ascii=False))
    if given.minutes == 180:
        RESULTS.write_text(json.dumps(measured, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
