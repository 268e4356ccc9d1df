"""Runs ``emoscope serve`` for 15 minutes under good and hostile load and watches it.

``python benchmarks/soak.py`` writes ``results/guarantees/soak.json``: memory and open files of the
server in the first and the last minute, answers counted by kind, and good requests whose answer was
not the right one. The model is the shipped one. Traffic stays on this machine.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import http.client
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
OUT = ROOT / "results" / "guarantees" / "soak.json"
sys.path.insert(0, str(ROOT / "tests"))

import bad_audio  # noqa: E402
from recordings import voice  # noqa: E402
from serving import BOUNDARY, Running, multipart  # noqa: E402

FORM = f"multipart/form-data; boundary={BOUNDARY}"
ERRORS = (OSError, http.client.HTTPException)


def start(port, scratch):
    """The server in a process of its own, once it answers."""
    words = [sys.executable, "-m", "emoscope", "serve", "--port", str(port), "--quiet"]
    process = subprocess.Popen(words, env={**os.environ, "TMPDIR": scratch})
    until = time.monotonic() + 120
    while time.monotonic() < until:
        with contextlib.suppress(*ERRORS):
            if Running(port).ask("GET", "/api/health").status == 200:
                return process
        assert process.poll() is None, "the server did not start"
        time.sleep(0.1)
    raise TimeoutError("the server did not answer")


def watched(process):
    """Resident memory in MiB, and open files."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    memory = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(memory.split()[1]) / 1024, len(os.listdir(f"/proc/{process.pid}/fd"))


class Load:
    """Threads that send good and hostile requests until they are told to stop."""

    def __init__(self, port, seconds):
        self.server, self.port = Running(port), port
        self.stop = time.monotonic() + seconds
        self.counts = collections.Counter()
        self.clips = [bad_audio.encoded(voice(2.0, 90.0 + 30 * n, seed=n)) for n in range(4)]
        self.right = [self.predictions(clip) for clip in self.clips]
        self.bad = [
            case
            for case in bad_audio.cases()
            if case.content and not case.good and case.name != bad_audio.PERMISSION
        ]
        self.bomb = bad_audio.encoded(np.zeros(30 * 60 * 16_000, np.float32), "FLAC")

    def predictions(self, clip):
        return self.server.upload("/api/predict", ("a.wav", clip)).json["predictions"]

    def run(self):
        """Send until the end; gives the threads."""
        for target, pause in ((self.good, 0.5), (self.good, 0.5), (self.hostile, 0.4)):
            threading.Thread(target=self.loop, args=(target, pause), daemon=True).start()

    def loop(self, target, pause):
        rng = random.Random(threading.get_ident())
        while time.monotonic() < self.stop:
            try:
                target(rng)
            except ERRORS:
                self.counts[f"{target.__name__}: connection closed by the server"] += 1
            time.sleep(pause)

    def good(self, rng):
        number = rng.randrange(len(self.clips))
        answer = self.server.upload("/api/predict", ("a.wav", self.clips[number]))
        right = answer.status == 200 and answer.json["predictions"] == self.right[number]
        self.counts["good: right" if right else "good: wrong"] += 1

    def hostile(self, rng):
        kinds = (self.refused, self.refused, self.cut_off, self.garbage, self.foreign, self.form,
                 self.idle, self.oversize, self.bombed)  # fmt: skip
        rng.choice(kinds)(rng)

    def count(self, kind, status):
        self.counts[f"hostile: {kind}: {status}"] += 1

    def refused(self, rng):
        case = rng.choice(self.bad)
        answer = self.server.upload("/api/predict", ("bad.wav", case.content))
        self.count("bad audio", answer.status)

    def bombed(self, rng):
        if rng.random() < 0.2:
            self.count("bomb", self.server.upload("/api/listen", ("b", self.bomb)).status)

    def foreign(self, rng):
        headers = rng.choice(({"host": "evil.example"}, {"origin": "https://evil.example"}))
        answer = self.server.upload("/api/predict", ("a.wav", self.clips[0]), **headers)
        self.count("other host or site", answer.status)

    def form(self, rng):
        body = bytearray(multipart(("a.wav", self.clips[0][:2000])))
        for _ in range(20):
            body[rng.randrange(300)] = rng.randrange(256)
        answer = self.server.ask("POST", "/api/predict", bytes(body), content_type=FORM)
        self.count("damaged form", answer.status)

    def connection(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def cut_off(self, rng):
        with self.connection() as link:
            head = f"POST /api/predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: {FORM}\r\n"
            body = multipart(("a.wav", self.clips[0]))
            link.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode())
            link.sendall(body[: rng.randrange(len(body))])
        self.count("upload cut off", "no answer")

    def garbage(self, rng):
        with self.connection() as link:
            link.sendall(rng.randbytes(500) + b"\r\n\r\n")
            said = link.recv(100).split(b" ")
        self.count("no HTTP", said[1].decode() if len(said) > 1 else "no answer")

    def idle(self, rng):
        link = self.connection()
        link.sendall(b"GET / HTTP/1.1\r\nhost: loc")
        threading.Timer(rng.uniform(1, 30), link.close).start()
        self.count("idle connection", "no answer")

    def oversize(self, rng):
        with self.connection() as link:
            head = f"POST /api/predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: {FORM}\r\n"
            link.sendall(f"{head}content-length: {rng.randrange(10**9, 10**12)}\r\n\r\n".encode())
            self.count("oversize upload", link.recv(100).split(b" ")[1].decode())


def measure(minutes):
    """Serve under load; what was seen each second, and the counts."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as scratch:
        process = start(port, scratch)
        try:
            load = Load(port, 60 * minutes)
            load.run()
            seen = []
            while time.monotonic() < load.stop:
                seen.append(watched(process))
                time.sleep(1)
            time.sleep(35)  # the last clients that hold an idle connection have left
            after = watched(process)
            ended = process.poll()
            left = [path.name for path in Path(scratch).iterdir()]
        finally:
            process.terminate()
            process.wait(20)
    return seen, after, load.counts, ended, left


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=15.0)
    given = parser.parse_args()
    seen, after, counts, ended, left = measure(given.minutes)
    memory, files = zip(*seen, strict=True)
    figures = {
        "minutes": given.minutes,
        "memory_mib": {
            "first_minute": round(statistics.median(memory[:60]), 1),
            "last_minute": round(statistics.median(memory[-60:]), 1),
            "largest": round(max(memory), 1),
            "each_minute": [
                round(statistics.median(memory[at : at + 60]), 1)
                for at in range(0, len(memory), 60)
            ],
        },
        "open_files": {
            "first_minute": statistics.median(files[:60]),
            "last_minute": statistics.median(files[-60:]),
            "largest": max(files),
            "when_left_alone": after[1],
        },
        "good_right": counts["good: right"],
        "good_not_right": sum(
            n for kind, n in counts.items() if kind.startswith("good") and "right" not in kind
        ),
        "hostile": sum(n for kind, n in counts.items() if kind.startswith("hostile")),
        "answers": dict(sorted(counts.items())),
        "server_ended": ended is not None,
        "left_on_disk": left,
    }
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
