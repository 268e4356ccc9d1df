"""What a label costs: cold start, throughput, timelines of hours, 32 clients at once, the page.

    python benchmarks/prediction.py                       # all parts
    python benchmarks/prediction.py --parts start server  # some; the others stay as they were
    python benchmarks/prediction.py --model M.emoscope    # another model than the shipped one

Real recordings (RAVDESS) are found through EMOSCOPE_DATA. Results go to
results/benchmarks/prediction.json and, as a table, to standard output.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import functools
import http.client
import json
import os
import re
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from emoscope import audio
from emoscope.audio.level import frame_levels

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results" / "benchmarks" / "prediction.json"
DATA = Path(os.environ.get("EMOSCOPE_DATA", ROOT.parent / "shared" / "data"))
BARE = [sys.executable, "-c", "import onnxruntime, numpy, soundfile"]
PREDICT = [sys.executable, "-m", "emoscope", "predict"]
ONE_CORE = {**os.environ, "OMP_NUM_THREADS": "1"}
BOUNDARY = "----emoscope"


def clips(count: int) -> list[Path]:
    """Real clips, the same number of every actor, of all emotions."""
    found = []
    for number, actor in enumerate(sorted((DATA / "ravdess").glob("Actor_*"))):
        own = sorted(actor.glob("*.flac"))
        found += [own[(7 * number + step * 11) % len(own)] for step in range(count // 24)]
    if not found:
        sys.exit(f"no RAVDESS in {DATA}; set EMOSCOPE_DATA")
    return found


def seconds(command: list[str], environment: dict[str, str] | None = None) -> float:
    started = time.perf_counter()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def start(model: list[str]) -> dict[str, Any]:
    """Cold start to the first label, beside what cannot be avoided."""
    command = [*PREDICT, str(clips(24)[0]), *model]
    bare, whole = [], []
    with tempfile.TemporaryDirectory() as folder:
        # With bytecode, as an installation has it, whatever is set here.
        here = {
            name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
        }
        environment = {**here, "PYTHONPYCACHEPREFIX": folder}
        for _ in range(12):
            bare.append(seconds(BARE, environment))
            whole.append(seconds(command, environment))
    first, least = statistics.median(whole[1:]), statistics.median(bare[1:])
    ratios = sorted(a / b for a, b in zip(whole[1:], bare[1:], strict=True))
    return {
        "first_label_s": first,
        "bare_imports_s": least,
        "ratio": first / least,
        "ratio_quartiles": [ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]],
    }


def throughput(model: list[str]) -> dict[str, Any]:
    """1,000 clips, model loaded: ratios to real time, and the share of onnxruntime on one core."""
    program = (
        "import sys, time; from emoscope.prediction import Predictor; from emoscope.audio import "
        "voice_activity; spent = dict.fromkeys(('model', 'voice activity'), 0.0)\n"
        "def timed(run, name):\n"
        "    def wrapped(*given):\n"
        "        began = time.thread_time()\n"
        "        found = run(*given)\n"
        "        spent[name] += time.thread_time() - began\n"
        "        return found\n"
        "    return wrapped\n"
        "p = Predictor(*sys.argv[1:2] if sys.argv[1] else ()); files = sys.argv[3:]\n"
        "p.model.graph.run = timed(p.model.graph.run, 'model')\n"
        "detect = timed(voice_activity.speech_probabilities, 'voice activity')\n"
        "voice_activity.speech_probabilities = detect\n"
        "p.predict(files[0]); t = time.process_time(); w = time.perf_counter()\n"
        "spent.update(dict.fromkeys(spent, 0.0))\n"
        "n = sum(1 for _ in p.predict_many(files, jobs=int(sys.argv[2])))\n"
        "print(n, time.perf_counter() - w, time.process_time() - t, *spent.values())"
    )
    files = clips(1008)[:1000]
    length = sum(soundfile.info(file).duration for file in files)
    measured: dict[str, Any] = {"clips": len(files), "audio_s": length}
    for cores in (1, 2):
        command = [*pinned(cores), sys.executable, "-c", program, model[1] if model else ""]
        run = subprocess.run(
            [*command, str(cores), *map(str, files)], env=ONE_CORE, check=True, capture_output=True, text=True
        )  # fmt: skip
        _, wall, cpu, inside, detector = map(float, run.stdout.split())
        measured |= {
            f"wall_s_cores_{cores}": wall,
            f"times_real_time_cores_{cores}": length / wall,
            f"times_real_time_of_cpu_cores_{cores}": length / cpu,
            f"share_of_model_cores_{cores}": inside / cpu,
            f"share_of_voice_activity_cores_{cores}": detector / cpu,
        }
    return measured


def hour(model: list[str], hours: int = 1) -> dict[str, Any]:
    """The timeline of an hour of clips and silence: time on one core and two, memory, what is found."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "hour.flac")
        truth = write_hour(path)
        if hours > 1:
            path = repeated(path, hours)
        length, times = soundfile.info(path).duration, {}
        for cores in (2, 1)[: 2 if hours == 1 else 1]:
            started = time.perf_counter()
            run = subprocess.run(
                [*pinned(cores), *PREDICT, str(path), "--timeline", "--format", "json", *model],
                check=True, capture_output=True, text=True,
            )  # fmt: skip
            wall = time.perf_counter() - started
            times |= {
                f"wall_s_cores_{cores}": wall,
                f"times_real_time_cores_{cores}": length / wall,
            }
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    found = json.loads(run.stdout)
    measured = {"audio_s": length, **times, "peak_mb": peak, "segments": len(found["segments"])}
    if hours > 1:
        return measured
    speech = [(s["start"], s["end"]) for s in found["segments"] if s["probabilities"]]
    grid = np.arange(0, truth[-1][1] + 10, 0.01)
    spoken, near, called = (
        inside(grid, truth), inside(grid, [(a - 0.2, b + 0.2) for a, b in truth]),
        inside(grid, speech),
    )  # fmt: skip
    return measured | {
        "recall": float((spoken & called).sum() / spoken.sum()),
        "precision": float((near & called).sum() / called.sum()),
        "utterances": len(truth),
        "utterances_found": sum(any(a < end and b > begin for a, b in speech)
                                for begin, end in truth),
    }  # fmt: skip


def three_hours(model: list[str]) -> dict[str, Any]:
    """The timeline of three hours, on two cores."""
    return hour(model, hours=3)


def repeated(path: Path, times: int) -> Path:
    longer = path.with_name("longer.flac")
    with soundfile.SoundFile(longer, "w", 48_000, 1) as file:
        for _ in range(times):
            for block in soundfile.blocks(path, blocksize=2**20, dtype="float32"):
                file.write(block)
    return longer


def pinned(cores: int) -> list[str]:
    """What restricts a command to so many cores."""
    return ["taskset", "-c", "0" if cores == 1 else f"0-{cores - 1}"]


def write_hour(path: Path) -> list[tuple[float, float]]:
    """Write an hour of clips between silences; returns where each utterance begins and ends.

    An utterance reaches from the first to the last frame within 25 dB of its loud ones.
    """
    rng = np.random.default_rng(0)
    files = rng.permutation(clips(1440))
    truth, position = [], 0
    with soundfile.SoundFile(path, "w", 48_000, 1) as file:
        for name in files:
            clip = audio.load(name)
            gap = 10**-4.5 * rng.normal(size=int(clip.rate * rng.uniform(0.5, 4.0)))
            file.write(gap.astype(np.float32))
            file.write(clip.samples)
            levels = frame_levels(clip.samples, clip.rate)
            loud = np.flatnonzero(levels > np.percentile(levels, 97) - 25.0)
            begin = (position + len(gap)) / clip.rate
            truth.append((begin + 0.01 * loud[0], begin + 0.01 * loud[-1] + 0.025))
            position += len(gap) + len(clip.samples)
            if position > 3600 * clip.rate:
                return truth
    raise AssertionError("too few clips for an hour")


def inside(grid: np.ndarray, spans: list[tuple[float, float]]) -> np.ndarray:
    found = np.zeros(len(grid), bool)
    for begin, end in spans:
        found |= (grid >= begin) & (grid < end)
    return found


@contextlib.contextmanager
def serving(model: list[str]) -> Iterator[int]:
    """A server in a process of its own; gives its port."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "emoscope", "serve", "--port", str(port), *model]
    process = subprocess.Popen(command, env=ONE_CORE, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            with contextlib.suppress(OSError):
                ask(port, "GET", "/api/health")
                break
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait()


def ask(port: int, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with contextlib.closing(connection):
        headers = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"} if body else {}
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.read()


def form(path: Path) -> bytes:
    head = f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="files"; filename="a"\r\n\r\n'
    return head.encode() + path.read_bytes() + f"\r\n--{BOUNDARY}--\r\n".encode()


def server(model: list[str]) -> dict[str, Any]:
    """32 clients at once for one minute, each asking again as soon as it is answered."""
    files = clips(24)
    bodies = [form(path) for path in files]
    lengths = [soundfile.info(path).duration for path in files]
    with serving(model) as port:
        for body in bodies:
            ask(port, "POST", "/api/predict", body)
        until = time.monotonic() + 60.0

        def client(number: int) -> list[tuple[int, float, float]]:
            done = []
            for turn in range(10**9):
                if time.monotonic() > until:
                    return done
                chosen = (number + turn) % len(bodies)
                began = time.perf_counter()
                status, _ = ask(port, "POST", "/api/predict", bodies[chosen])
                done.append((status, time.perf_counter() - began, lengths[chosen]))
            return done

        with concurrent.futures.ThreadPoolExecutor(33) as pool:
            running = [pool.submit(client, number) for number in range(32)]
            memory = []
            while time.monotonic() < until:
                _, text = ask(port, "GET", "/metrics")
                found = re.search(rb"process_resident_memory_bytes (\d+)", text)
                memory.append(int(found[1]) / 1e6 if found else float("nan"))
                time.sleep(1.0)
            answers = [answer for future in running for answer in future.result()]
    times = np.array([time for status, time, _ in answers if status == 200])
    return {
        "requests": len(answers),
        "statuses": dict(Counter(str(status) for status, _, _ in answers)),
        "requests_per_s": len(answers) / 60.0,
        "audio_s_per_s": sum(length for status, _, length in answers if status == 200) / 60.0,
        "latency_ms": {f"p{q}": 1000 * float(np.percentile(times, q)) for q in (50, 95, 99, 100)},
        "memory_mb_first_10s": float(np.median(memory[:10])),
        "memory_mb_last_10s": float(np.median(memory[-10:])),
    }


def live(model: list[str]) -> dict[str, Any]:
    """From the last sample of a window to its label, with 1 and 20 clients that speak for a minute."""
    sound = np.concatenate([audio.resample(audio.load(path), 16_000).samples for path in clips(24)])
    sent = (sound[: 60 * 16_000] * 32_767).astype("<i2")
    with tempfile.TemporaryDirectory() as folder, serving(model) as port:
        soundfile.write(path := Path(folder, "a.wav"), sent, 16_000)
        found = {}
        for count in (1, 20):
            with concurrent.futures.ThreadPoolExecutor(count) as pool:
                heard = list(pool.map(functools.partial(speak, port, sent), range(count)))
            times = 1000 * np.concatenate([times for times, _ in heard])
            found |= {
                f"p{q}_ms_streams_{count}": float(np.percentile(times, q)) for q in (50, 95, 99)
            }
        _, answer = ask(port, "POST", "/api/predict?timeline=true", form(path))
    of_file, of_stream = (
        at_each_tenth(p) for p in (json.loads(answer)["predictions"][0], heard[0][1])
    )
    return {**found, "labels_equal_to_file": float(np.mean(of_file == of_stream))}


def speak(port: int, sent: np.ndarray, number: int) -> tuple[list[float], dict[str, Any]]:
    """Seconds from each piece that brought a new label to the answer; the prediction at the end."""
    from websockets.sync.client import connect

    times = []
    time.sleep(number / 40)  # speakers do not begin together
    with connect(f"ws://127.0.0.1:{port}/api/stream?rate=16000") as stream:
        began = time.perf_counter()
        for start in range(0, len(sent), 1600):
            time.sleep(max(0.0, began + (start + 1600) / 16_000 - time.perf_counter()))
            due = time.perf_counter()
            stream.send(sent[start : start + 1600].tobytes())
            if json.loads(stream.recv())["latency"] is not None:
                times.append(time.perf_counter() - due)
        stream.send("end")
        return times, json.loads(stream.recv())


def at_each_tenth(prediction: dict[str, Any]) -> np.ndarray:
    """Labels every tenth of a second."""
    lengths = [round(10 * (part["end"] - part["start"])) for part in prediction["segments"]]
    return np.repeat([part["emotion"] for part in prediction["segments"]], lengths)[:590]


def page(model: list[str]) -> dict[str, Any]:
    """Weight of the page and time until it is complete, in headless Chromium."""
    from playwright.sync_api import sync_playwright

    weight = sum(file.stat().st_size for file in (ROOT / "src/emoscope/server/web").iterdir())
    with serving(model) as port, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("EMOSCOPE_CHROMIUM", "/usr/bin/chromium"),
            args=["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
                  "--no-first-run", "--disable-background-networking"],
        )  # fmt: skip
        times = []
        for _ in range(5):
            opened = browser.new_context().new_page()
            began = time.perf_counter()
            opened.goto(f"http://127.0.0.1:{port}/")
            opened.locator(".card").wait_for()
            times.append(1000 * (time.perf_counter() - began))
        browser.close()
    return {"bytes": weight, "complete_ms": statistics.median(times)}


PARTS = {
    "start": start, "throughput": throughput, "hour": hour, "three_hours": three_hours,
    "server": server, "live": live, "page": page,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--model", help="a .emoscope file; by default the shipped model")
    given = parser.parse_args()
    model = ["--model", given.model] if given.model else []
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    for part in given.parts:
        measured = PARTS[part](model)
        print(f"\n{part}")
        for name, value in measured.items():
            print(f"  {name:36} {round(value, 4) if isinstance(value, float) else value}")
        # Read again each time: another part may have been measured meanwhile.
        found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        RESULTS.write_text(json.dumps({**found, part: measured}, indent=1) + "\n")


if __name__ == "__main__":
    main()
