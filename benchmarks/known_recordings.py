"""How surely ``emoscope predict`` tells recordings that its models were trained on from others.

    python benchmarks/known_recordings.py DATA

DATA holds ``ravdess``, ``emodb``, ``nemo`` and ``emospeech``. Every clip of the first two is looked
up as it is, as MP3 of 64 kbit/s, without 200 ms at its beginning, at its end and at both, and with
its own fingerprint taken out (does a repetition by the same speaker pass for it?); every clip of the
other two as it is. Writes ``results/known-recordings/``.
"""

from __future__ import annotations

import dataclasses
import io
import json
import sys
import time
from pathlib import Path

import numpy as np
import soundfile

from emoscope import audio
from emoscope.audio import Signal
from emoscope.errors import AudioError
from emoscope.modelfile import load
from emoscope.prediction import DEFAULT_MODEL, known

OUT = Path(__file__).parents[1] / "results" / "known-recordings"
CUT = 0.2  # seconds
KBITS = 64
WAYS = ("as it is", "MP3, 64 kbit/s", "200 ms cut at its beginning", "at its end", "at both")


def as_mp3(signal):
    top, lowest = (320, 32) if signal.rate >= 32_000 else (160, 8)  # kbit/s that LAME knows
    level = (top - KBITS) / (top - lowest)
    content = io.BytesIO()
    kind = {"format": "MP3", "subtype": "MPEG_LAYER_III", "bitrate_mode": "CONSTANT"}
    with soundfile.SoundFile(content, "w", signal.rate, 1, compression_level=level, **kind) as file:
        file.write(signal.samples)
    assert content.tell() * 8 / signal.duration < 1.2 * KBITS * 1000
    content.seek(0)
    samples, rate = soundfile.read(content, dtype="float32")
    return Signal(samples, rate)


def versions(signal):
    n = round(CUT * signal.rate)
    whole = signal.samples
    yield from (signal, as_mp3(signal))
    for part in (whole[n:], whole[:-n], whole[n:-n]):
        yield Signal(part, signal.rate)


def without(index, clip):
    """The index without one clip."""
    words, start = index.words.copy(), index.lengths[:clip].sum(dtype=int)
    words[start : start + index.lengths[clip]] = 0
    return dataclasses.replace(index, words=words)


def trained_on(card, index, root, name):
    """Counts for a corpus of the index; its clips are there in the order of their names."""
    files = sorted(root.rglob("*.flac" if name == "ravdess" else "*.*"), key=lambda path: path.stem)
    numbers = np.flatnonzero(index.corpora == name)
    assert len(files) == len(numbers)
    told, right, repetitions, seconds = [0] * len(WAYS), [0] * len(WAYS), 0, 0.0
    for number, file in zip(numbers, files, strict=True):
        signal = audio.load(file)
        for way, version in enumerate(versions(signal)):
            start = time.perf_counter()
            told[way] += bool(known.training_warning(card, version))
            seconds += time.perf_counter() - start
            found = index.find(version)
            right[way] += int(found is not None and found[0] == number)
        repetitions += int(without(index, number).find(signal) is not None)
    return {
        "clips": len(files),
        "told": dict(zip(WAYS, told, strict=True)),
        "the very clip": dict(zip(WAYS, right, strict=True)),
        "taken for another clip, its own fingerprint removed": repetitions,
        "milliseconds": round(1000 * seconds / (len(files) * len(WAYS)), 1),
    }


def strangers(card, root):
    n_clips = told = 0
    for file in sorted(path for path in root.rglob("*") if path.is_file()):
        try:
            signal = audio.load(file)
        except AudioError:
            continue
        n_clips += 1
        told += bool(known.training_warning(card, signal))
    return {"clips": n_clips, "told": told}


def main(data):
    data = Path(data)
    card, index = load(DEFAULT_MODEL).card, known.index()
    known.training_warning(card, Signal(np.ones(8000, np.float32), 8000))
    outcome = {name: trained_on(card, index, data / name, name) for name in ("ravdess", "emodb")}
    for name, folder in (("nemo", "nemo/samples"), ("emospeech", "emospeech")):
        outcome[name] = strangers(card, data / folder)
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "known-recordings.json").write_text(json.dumps(outcome, indent=1) + "\n")
    lines = ["# Recordings that the default model was trained on", ""]
    lines += ["Written by `python benchmarks/known_recordings.py DATA`.", ""]
    lines += ["| corpus | given | told 'in the training data' |", "|---|---|---|"]
    for name in ("ravdess", "emodb"):
        n = outcome[name]["clips"]
        lines += [f"| {name} | {way} | {k} of {n} |" for way, k in outcome[name]["told"].items()]
        k = outcome[name]["taken for another clip, its own fingerprint removed"]
        lines += [f"| {name} | as it is, its own fingerprint removed | {k} of {n} |"]
    for name in ("nemo", "emospeech"):
        lines += [f"| {name} | as it is | {outcome[name]['told']} of {outcome[name]['clips']} |"]
    (OUT / "README.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main(sys.argv[1])
