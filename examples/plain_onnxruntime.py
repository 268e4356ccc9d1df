"""A .emoscope file without emoscope: numpy, soundfile, soxr and onnxruntime are enough.

python plain_onnxruntime.py MODEL.emoscope SPEECH.wav

It labels one utterance by a model whose graph takes samples, as those of both shipped models do. It
refuses what it cannot run: a model whose graph takes features, which emoscope computes, and a recording
longer than the graph takes. It does not find speech, draw timelines, label recordings together, or say
when a label is uncertain.
"""

import json
import sys
import zipfile

import numpy as np
import onnxruntime
import soundfile
import soxr


def speech_level(x, rate, below_loud, above_floor, margin, level, shortest, name):
    """Remove the offset, cut outer silence, bring speech to one level (emoscope/audio/level.py)."""
    x = x - x.mean()
    size, hop = round(0.025 * rate), round(0.010 * rate)
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(x, (0, max(0, size - len(x)))), size)
    levels = 10 * np.log10((frames[::hop].astype(float) ** 2).mean(axis=1) + 1e-12)
    loud, floor = np.percentile(levels, (97, 5))
    speech = np.flatnonzero(levels > max(loud - below_loud, min(floor + above_floor, loud - 15)))
    first, last = (speech[0], speech[-1]) if len(speech) else (0, len(levels) - 1)
    now = 10 * np.log10(np.mean(10 ** (levels[levels > loud - 25] / 10)))
    start = max(0, first * hop - round(margin * rate))
    x = x[start : last * hop + size + round(margin * rate)] * 10 ** ((level - now) / 20)
    return np.pad(x, (0, max(0, round(shortest * rate) - len(x))))


model, path = sys.argv[1:]
with zipfile.ZipFile(model) as file:
    card = json.loads(file.read("card.json"))
    graph = file.read("model.onnx")
if card["input"]["kind"] != "samples":
    names = ", ".join(feature["name"] for feature in card["input"]["features"])
    sys.exit(
        f"{model}: this model takes features ({names}), which emoscope computes. "
        f"Only a model that takes samples runs here; use: emoscope predict --model {model} {path}"
    )
session = onnxruntime.InferenceSession(graph)
x, rate = soundfile.read(path, dtype="float32", always_2d=True)
x = soxr.resample(x.mean(axis=1), rate, card["input"]["rate"], quality="HQ")
if card["input"]["preprocess"]:
    x = speech_level(x, card["input"]["rate"], **card["input"]["preprocess"])
if len(x) > card["input"]["longest"] * card["input"]["rate"]:
    sys.exit(
        f"{path}: {len(x) / card['input']['rate']:.0f} s of sound; this model takes up to "
        f"{card['input']['longest']:.0f} s at once: emoscope predict divides longer ones"
    )
logits, embedding = session.run(None, {"samples": x[None].astype(np.float32)})
p = np.exp(logits[0] / card["temperature"])
for emotion, probability in sorted(
    zip(card["emotions"], p / p.sum(), strict=True), key=lambda pair: -pair[1]
):
    print(f"{emotion:10} {probability:.4f}")
