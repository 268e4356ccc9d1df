"""How often a 95 % interval holds the true score, by simulation: speakers against clips.

Simulates corpora in which each speaker has a chance of being recognised of their own, as RAVDESS
has, and counts how often three intervals hold the score that endlessly many speakers would give.
Writes ``results/statistics/coverage.json``; run with ``python benchmarks/interval_coverage.py`` (two
minutes on one core).
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from emoscope.evaluation import statistics

RUNS = 1000
EMOTIONS = np.array(["neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"])
CLIPS = np.array([4, 8, 8, 8, 8, 8, 8, 8])  # of each emotion per speaker, as in RAVDESS speech
SCENES = {  # mean logit, sd between speakers, sd between emotions of one speaker
    "hard, UAR 50 %": (0.0, 0.6, 0.4),
    "middling, UAR 70 %": (1.0, 0.8, 0.4),
    "easy, UAR 86 %": (2.2, 1.0, 0.5),
    "speakers nearly alike, UAR 72 %": (1.0, 0.2, 0.6),
}


def simulate(rng, n_speakers, mean, sd_speaker, sd_emotion):
    logit = mean + rng.normal(0, sd_speaker, (n_speakers, 1))
    recall = 1 / (1 + np.exp(-logit - rng.normal(0, sd_emotion, (n_speakers, len(EMOTIONS)))))
    true = np.tile(np.repeat(np.arange(len(EMOTIONS)), CLIPS), n_speakers)
    speakers = np.repeat(np.arange(n_speakers), CLIPS.sum())
    right = rng.random(len(true)) < recall[speakers, true]
    return true, np.where(right, true, (true + 1) % len(EMOTIONS)), speakers


def truth(mean, sd_speaker, sd_emotion):
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    recall = 1 / (1 + np.exp(-mean - np.hypot(sd_speaker, sd_emotion) * nodes))
    return float(recall @ weights / weights.sum())


def clip_interval(rng, true, predicted):
    """Percentile bootstrap of clips within each emotion: what treats clips as independent."""
    recall = np.array([np.mean(predicted[true == e] == e) for e in range(len(EMOTIONS))])
    n = np.bincount(true)
    return np.quantile((rng.binomial(n, recall, (2000, len(n))) / n).mean(axis=1), [0.025, 0.975])


def percentile_interval(rng, true, predicted, speakers):
    """Plain percentile bootstrap of speakers, for comparison."""
    shape = (speakers.max() + 1, len(EMOTIONS))
    right, total = np.zeros(shape), np.zeros(shape)
    np.add.at(right, (speakers, true), true == predicted)
    np.add.at(total, (speakers, true), 1)
    drawn = rng.multinomial(shape[0], np.full(shape[0], 1 / shape[0]), 2000)
    return np.quantile((drawn @ right / (drawn @ total)).mean(axis=1), [0.025, 0.975])


def main():
    rows = []
    for n_speakers in (4, 10, 16, 24):
        for scene, parameters in SCENES.items():
            rng, target = np.random.default_rng(n_speakers), truth(*parameters)
            ends = {"clips": [], "speakers, percentile": [], "emoscope": []}
            for run in range(RUNS):
                true, predicted, speakers = simulate(rng, n_speakers, *parameters)
                ends["clips"].append(clip_interval(rng, true, predicted))
                ends["speakers, percentile"].append(
                    percentile_interval(rng, true, predicted, speakers)
                )
                ours = statistics.speaker_interval(
                    EMOTIONS[true], EMOTIONS[predicted], speakers, seed=run
                )
                ends["emoscope"].append((ours.low, ours.high))
            for method, intervals in ends.items():
                low, high = np.transpose(intervals)
                row = {
                    "speakers": n_speakers,
                    "scene": scene,
                    "interval": method,
                    "coverage": round(float(np.mean((low <= target) & (target <= high))), 4),
                    "mean_width": round(float(np.mean(high - low)), 4),
                }
                rows.append(row)
                print(*row.values(), sep="\t", flush=True)
    out = Path(__file__).parents[1] / "results" / "statistics" / "coverage.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"level": 0.95, "runs": RUNS, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
