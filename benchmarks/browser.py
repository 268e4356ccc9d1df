"""Compares the recogniser in a headless Chromium with Python: labels, sizes, speed, memory, requests.

``python benchmarks/browser.py`` exports the page, classifies every clip of RAVDESS and EMO-DB below
EMOSCOPE_DATA in both, and writes ``results/browser/browser.json`` and ``README.md``. ``--clips N``
takes every N-th clip, ``--clips 0`` none: labels and speed stay as they were measured before. Where
there is a ``firefox-esr``, it classifies some clips too, driven by WebDriver BiDi.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import functools
import gzip
import http.server
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright

from emoscope import modelfile
from emoscope.audio import load, resample
from emoscope.prediction import Predictor
from emoscope.training import web

ROOT = Path(__file__).parents[1]
OUT = ROOT / "results" / "browser"
CORPORA = {"ravdess": "ravdess/Actor_*/*.flac", "emodb": "emodb/wav/*.flac"}
FLAGS = ["--no-sandbox", "--disable-gpu", "--enable-precise-memory-info"]
START = """
  window.recogniser = async (threads) => {
    const { load } = await import(new URL("/web/engine/emoscope.js", location.href));
    const one = await load(new URL("/model/", location.href), { threads });
    await one.ready;
    return (window.one = one);
  };
  window.classify = async (name, text, options) => {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0)), begun = performance.now();
    return [await one.classify(new File([bytes], name), options), performance.now() - begun];
  };
"""
EMPTY = "web/style.css"  # a page of the same site with no script of its own
LABEL = "#verdict:not(:empty)"


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files without a word, counted."""

    asked: list[str] = []

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a folder."""
    handler = functools.partial(Handler, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


def sizes(folder: Path) -> dict[str, Any]:
    """Bytes by file, as they are and with gzip as a static host sends them."""
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            packed = min(len(content), len(gzip.compress(content, 6)))
            files[path.relative_to(folder).as_posix()] = {"raw": len(content), "gzip": packed}
    total = {kind: sum(one[kind] for one in files.values()) for kind in ("raw", "gzip")}
    return {"total": total, "files": files}


def first_label(browser: Browser, address: str) -> dict[str, float]:
    """Seconds from an empty cache until an example that is clicked at once has its label."""
    times = []
    for _ in range(5):
        context = browser.new_context()
        page = context.new_page()
        begun = time.perf_counter()
        page.goto(address, wait_until="commit")
        page.locator("#example-buttons button").first.click()
        page.locator(LABEL).wait_for()
        times.append(time.perf_counter() - begun)
        context.close()
    return {"best_s": round(min(times), 2), "median_s": round(float(np.median(times)), 2)}


def without_network(browser: Browser, address: str, folder: Path) -> dict[str, Any]:
    """What a page that has been opened once asks for when the network is cut; and whether it works."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(address)
    page.locator("#example-buttons button").first.click()
    page.locator(LABEL).wait_for()
    kept = "caches.match('model/model.onnx.gz').then((found) => found && navigator.serviceWorker.controller)"
    while not page.evaluate(f"{kept}.then(Boolean)"):
        time.sleep(0.1)
    Handler.asked.clear()
    context.set_offline(True)
    page.reload()
    isolated = page.evaluate("crossOriginIsolated")
    page.locator("#files").set_input_files(folder / "examples" / "woman-sad.flac")
    page.locator(LABEL).wait_for()
    label = page.locator("#verdict").inner_text()
    asked = list(Handler.asked)
    context.close()
    return {"requests": asked, "label": label, "isolated": isolated}


def classify(page: Page, path: Path, *, timeline: bool) -> tuple[list[dict[str, Any]], float]:
    """Predictions in the browser, and milliseconds."""
    text = base64.b64encode(path.read_bytes()).decode()
    given = [path.name, text, {"timeline": timeline}]
    found, took = page.evaluate("([name, text, options]) => classify(name, text, options)", given)
    return found, took


def agreement(page: Page, predictor: Predictor, paths: list[Path]) -> dict[str, Any]:
    """Labels and probabilities of clips in both."""
    unequal, uncertain, warnings, differences = [], 0, 0, []
    for number, path in enumerate(paths):
        (found,), _ = classify(page, path, timeline=False)
        expected = predictor.predict(path).to_dict()
        pairs = zip(
            found["probabilities"].values(), expected["probabilities"].values(), strict=True
        )
        differences.append(max(abs(a - b) for a, b in pairs))
        if found["emotion"] != expected["emotion"]:
            unequal.append(path.name)
        uncertain += found["uncertain"] != expected["uncertain"]
        warnings += found["warnings"] != expected["warnings"]
        if number % 100 == 99:
            print(f"{number + 1} of {len(paths)}, {len(unequal)} unequal", flush=True)
    return {
        "clips": len(paths),
        "equal_labels": 1 - len(unequal) / len(paths),
        "unequal": unequal,
        "largest_difference": max(differences),
        "median_difference": float(np.median(differences)),
        "unequal_uncertain": uncertain,
        "unequal_warnings": warnings,
    }


def speed(page: Page, predictor: Predictor, paths: list[Path]) -> dict[str, float]:
    """Milliseconds for a second of sound, in turn: all of it, and the model's graph alone."""
    wasm, native, seconds = 0.0, 0.0, 0.0
    for path in paths:
        signal = load(path)
        for _ in range(2):  # the first time warms up
            _, took = classify(page, path, timeline=False)
            begun = time.perf_counter()
            predictor.predict(path)
            own = 1000 * (time.perf_counter() - begun)
        wasm, native, seconds = wasm + took, native + own, seconds + signal.duration
    signal = resample(load(paths[0]), 16_000)
    given = predictor.model.prepare(signal)
    graphs = {"wasm": [], "native": []}
    script = "(x) => one.call('time', { samples: new Float32Array(x) })"
    for _ in range(5):
        graphs["wasm"].append(page.evaluate(script, given[0].tolist()))
        begun = time.perf_counter()
        predictor.model.run(given)
        graphs["native"].append(1000 * (time.perf_counter() - begun))
    length = given.shape[1] / 16_000
    found = {
        "wasm_ms_per_s": wasm / seconds,
        "native_ms_per_s": native / seconds,
        "ratio": wasm / native,
        **{f"graph_{kind}_ms_per_s": min(times) / length for kind, times in graphs.items()},
    }
    found["graph_ratio"] = found["graph_wasm_ms_per_s"] / found["graph_native_ms_per_s"]
    return {key: round(value, 2) for key, value in found.items()}


def memory(browser: Browser, address: str) -> dict[str, float]:
    """Megabytes of the largest renderer process, which is the page's, before and after a label."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(address)
    empty = max(renderers().values())
    page.locator("#example-buttons button").first.click()
    page.locator(LABEL).wait_for()
    loaded = max(renderers().values())
    context.close()
    return {"renderer_with_model_mb": round(loaded), "renderer_at_start_mb": round(empty)}


FIREFOX = """(async () => {
  const wait = (ms) => new Promise((done) => setTimeout(done, ms));
  const find = (name) => document.querySelector(name);
  while (!find("#example-buttons button")) await wait(20);
  find("#example-buttons button").click();
  while (!find("#verdict")?.textContent) await wait(20);
  return performance.now();
})()"""


def firefox(address: str, predictor: Predictor, paths: list[Path]) -> dict[str, Any]:
    """Version, seconds to the first label, and labels of some clips."""
    from websockets.sync.client import connect

    with tempfile.TemporaryDirectory() as profile:
        command = ["firefox-esr", "--headless", "--remote-debugging-port", "0", "--profile"]
        running = subprocess.Popen([*command, profile], stderr=subprocess.PIPE, text=True)
        assert running.stderr is not None
        said = (re.search(r"BiDi listening on (ws://\S+)", line) for line in running.stderr)
        with connect(next(filter(None, said))[1] + "/session", max_size=None) as socket:
            numbers = itertools.count(1)

            def ask(method: str, **params: object) -> Any:
                number = next(numbers)
                socket.send(json.dumps({"id": number, "method": method, "params": params}))
                while (answer := json.loads(socket.recv(timeout=120))).get("id") != number:
                    pass
                return answer["result"]

            def evaluate(expression: str) -> Any:
                given = {"target": {"context": context}, "awaitPromise": True}
                found = ask("script.evaluate", expression=expression, **given)
                return found["result"].get("value")

            about = ask("session.new", capabilities={})["capabilities"]
            context = ask("browsingContext.getTree")["contexts"][0]["context"]
            ask("browsingContext.navigate", context=context, url=address, wait="none")
            time.sleep(0.2)
            first = evaluate(FIREFOX)
            ask("browsingContext.navigate", context=context, url=address + EMPTY, wait="complete")
            evaluate(START + "recogniser(1).then(() => null)")
            equal, differences = 0, []
            for path in paths:
                text = base64.b64encode(path.read_bytes()).decode()
                given = f"{json.dumps(path.name)}, {json.dumps(text)}, {{ timeline: false }}"
                found = json.loads(
                    evaluate(f"classify({given}).then(([[one]]) => JSON.stringify(one))")
                )
                expected = predictor.predict(path).to_dict()
                equal += found["emotion"] == expected["emotion"]
                pairs = [
                    (found["probabilities"][k], p) for k, p in expected["probabilities"].items()
                ]
                differences.append(max(abs(a - b) for a, b in pairs))
        running.terminate()
        running.wait()
    return {
        "version": about["browserVersion"],
        "first_label_s": round(first / 1000, 2),
        "clips": len(paths),
        "equal_labels": equal,
        "largest_difference": max(differences),
    }


def renderers() -> dict[int, float]:
    """Private megabytes of this user's renderer processes by number, from /proc."""
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if b"--type=renderer" in (place / "cmdline").read_bytes():
                rollup = (place / "smaps_rollup").read_text()
                kib = [int(x.split()[1]) for x in rollup.splitlines() if x.startswith("Private_")]
                found[int(place.name)] = sum(kib) / 1000
    return found


def table(result: dict[str, Any]) -> str:
    """The result for people."""
    lines = [
        "# The recogniser in the browser",
        "",
        f"Made by `{result['command']}` in headless Chromium {result['chromium']} on "
        f"{result['cores']} cores (load average at the start: {result.get('load', 'not noted')}).",
        "",
        "| corpus | clips | equal labels | largest difference of a probability | median |",
        "|---|---|---|---|---|",
    ]
    for name, one in result["agreement"].items():
        share = f"{one['equal_labels']:.2%}"
        largest, median = one["largest_difference"], one["median_difference"]
        lines.append(f"| {name} | {one['clips']} | {share} | {largest:.5f} | {median:.6f} |")
    fast, first, total = result["speed"], result["first_label"], result["sizes"]["total"]
    if fox := result.get("firefox"):
        told = f"{fox['equal_labels']} of {fox['clips']} labels equal, largest difference "
        told += f"{fox['largest_difference']:.5f}; first label after {fox['first_label_s']} s."
        lines += ["", f"Firefox {fox['version']}: {told}"]
    lines += [
        "",
        f"- Size: {total['raw'] / 1e6:.1f} MB on disk, {total['gzip'] / 1e6:.1f} MB sent with gzip.",
        f"- From an empty cache to the first label, on localhost: {first['best_s']} s at best, "
        f"{first['median_s']} s in the median of five visits.",
        f"- Speed on one core, per second of sound: {fast['wasm_ms_per_s']} ms in the browser, "
        f"{fast['native_ms_per_s']} ms in Python (ratio {fast['ratio']}); the model's graph alone "
        f"{fast['graph_wasm_ms_per_s']} and {fast['graph_native_ms_per_s']} ms "
        f"(ratio {fast['graph_ratio']}).",
        f"- Memory of the page's process: {result['memory']['renderer_with_model_mb']} MB.",
        "- Network cut after the first visit: the page reloads and recognises. Requests that the server saw: "
        f"{', '.join(result['offline']['requests']) or 'none'} (`/sw.js` is the browser's own question "
        "whether there is a newer service worker).",
        "",
        "| file | bytes | with gzip |",
        "|---|---|---|",
    ]
    for name, one in result["sizes"]["files"].items():
        lines.append(f"| `{name}` | {one['raw']:,} | {one['gzip']:,} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Export, compare, write; 1 where fewer than 99.9 % of the labels are equal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=1, help="every N-th clip")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    data = Path(os.environ.get("EMOSCOPE_DATA", ROOT.parent / "shared" / "data"))
    step = given.clips
    paths = {name: sorted(data.glob(p))[:: step or 1] for name, p in CORPORA.items()}
    predictor = Predictor()
    executable = os.environ.get("EMOSCOPE_CHROMIUM") or shutil.which("chromium")
    with tempfile.TemporaryDirectory() as place, sync_playwright() as started:
        folder = Path(place)
        web.write(modelfile.load("default"), folder, "default")
        with served(folder) as address:
            browser = started.chromium.launch(executable_path=executable, args=FLAGS)
            result: dict[str, Any] = {
                "command": "python benchmarks/browser.py",
                "chromium": browser.version,
                "cores": len(os.sched_getaffinity(0)),
                "load": round(
                    os.getloadavg()[0], 1
                ),  # of other work too: it delays the first label
                "sizes": sizes(folder),
            }
            for name, measure in (("first_label", first_label), ("memory", memory)):
                result[name] = measure(browser, address)
                print(name, result[name], flush=True)
            result["offline"] = without_network(browser, address, folder)
            print("offline", result["offline"], flush=True)
            some = (
                sorted(data.glob(CORPORA["ravdess"]))[::60]
                + sorted(data.glob(CORPORA["emodb"]))[::60]
            )
            if shutil.which("firefox-esr"):
                result["firefox"] = firefox(address, predictor, some)
                print("firefox", result["firefox"], flush=True)
            if step:
                page = browser.new_page()
                page.add_init_script(START)
                page.goto(address + EMPTY)
                page.evaluate("recogniser(1).then(() => null)")
                few = paths["ravdess"][:: max(1, 144 // step)]
                result["speed"] = speed(page, predictor, few)
                print("speed", result["speed"], flush=True)
                result["agreement"] = {n: agreement(page, predictor, p) for n, p in paths.items()}
            else:
                before = json.loads((given.out / "browser.json").read_text(encoding="utf-8"))
                result |= {key: before[key] for key in ("speed", "agreement")}
            browser.close()
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "browser.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (given.out / "README.md").write_text(text := table(result), encoding="utf-8")
    print(text.partition("| file |")[0])
    return int(any(one["equal_labels"] < 0.999 for one in result["agreement"].values()))


if __name__ == "__main__":
    sys.exit(main())
