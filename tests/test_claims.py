"""Reports and terminal claim what their tests bear out, and nothing beyond it."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import emoscope
from emoscope.cli import terminal
from emoscope.corpus import SpeakerOrigin
from emoscope.evaluation import comparison, statistics
from emoscope.evaluation.result import Result, Run, summarise
from emoscope.files import DATA, shipped_table
from emoscope.report import page, summary
from emoscope.reproduction import claims as claimed
from emoscope.reproduction import sentences as of_reproduction

EMOTIONS = ("angry", "happy", "neutral", "sad")
NAMES = ("cnn1d-a", "mlp", "svm", "tree")
CLAIM = re.compile(
    r"\b(best|better|worse|beats?|beaten|wins?|winner|outperforms?|superior|stronger|ahead|above|"
    r"below|flatters?|recognised voices|it matters|easiest|hardest|speakers differ)\b",
    re.IGNORECASE,
)


def predictions(model, rights, *, protocol="loso", n_speakers=12, seed=0):
    """Clips of a corpus as a model with these shares of right answers, one a speaker, has them."""
    rng = np.random.default_rng(seed)
    per_speaker = 40
    n_clips = n_speakers * per_speaker
    emotion = np.tile(EMOTIONS, n_clips // 4)
    of_speaker = np.repeat(rights, per_speaker)
    wrong = np.roll(np.tile(EMOTIONS, n_clips // 4), 1)
    predicted = np.where(rng.random(n_clips) < of_speaker, emotion, wrong)
    rows = pd.DataFrame(
        {
            "model": model, "features": "mfcc", "protocol": protocol,
            "fold": np.repeat([str(n % 3) for n in range(n_speakers)], per_speaker),
            "clip": [f"c{n:04d}" for n in range(n_clips)],
            "speaker": np.repeat([f"s{n:02d}" for n in range(n_speakers)], per_speaker),
            "emotion": emotion, "predicted": predicted,
        }
    )  # fmt: skip
    for name in EMOTIONS:
        rows[f"p_{name}"] = np.where(predicted == name, 0.7, 0.1)
    return rows


def make(accuracies, *, seed, leaky=0.0, n_speakers=12):
    """A result of models with these true accuracies; speakers are easy and hard alike for all."""
    rng = np.random.default_rng(1000 + seed)
    ease = rng.normal(0, 0.08, n_speakers)
    tables, runs = [], []
    for number, (name, accuracy) in enumerate(accuracies.items()):
        for protocol, more in (("loso", 0.0), ("random-75/25", leaky)):
            table = predictions(
                name, np.clip(accuracy + ease + more, 0, 1), protocol=protocol,
                n_speakers=n_speakers, seed=100 * seed + 10 * number + (protocol != "loso"),
            )  # fmt: skip
            if protocol != "loso":
                table = table.iloc[seed % 4 :: 4]
            history = (
                [[{"epoch": 1, "train_accuracy": 0.5}]] if name[:3] in ("cnn", "mlp") else None
            )
            runs.append(summarise(table, fit_seconds=1.0, predict_seconds=0.1, history=history))
            tables.append(table)
    corpus = {"name": "toy", "n_clips": 40 * n_speakers, "n_speakers": n_speakers}
    corpus |= {"clips_per_emotion": dict.fromkeys(EMOTIONS, 10 * n_speakers), "rejected": []}
    corpus |= {"licence": "none", "citation": "none"}
    return Result(pd.concat(tables, ignore_index=True), comparison.with_gaps(runs, tables), corpus)


def told(result, monkeypatch):
    """All words of the report and of what `compare` prints."""
    monkeypatch.setattr(terminal.out, "_width", 200)
    monkeypatch.setattr(page.plots, "to_svg", lambda *_, **options: "<svg></svg>")  # takes long
    board = terminal.Leaderboard(result.protocol, "random-75/25", SpeakerOrigin("rule"))
    for run in result.runs:
        board.on_run(run)
    with terminal.out.capture() as printed:
        terminal.say_comparison(board, result)
    html = re.sub(r"<style>.*?</style>|<svg.*?</svg>", " ", page.render(result), flags=re.DOTALL)
    texts = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))
    spoken = " ".join(re.findall(r'(?:title|aria-label)="([^"]*)"', html))
    return f"{printed.get()} {texts} {spoken}"


def test_models_that_cannot_be_told_apart_are_not(monkeypatch):
    said_otherwise = 0
    for seed in range(20):
        result = make(dict.fromkeys(NAMES, 0.45), seed=seed)
        text = told(result, monkeypatch)
        found = {match[0] for match in CLAIM.finditer(text)}
        if (result.comparisons()["p_holm"] < statistics.ALPHA).any():
            said_otherwise += 1  # as one result in twenty may, of tests at 5 %
            continue
        assert not found, (seed, found)
        first = result.leaderboard()[0].model
        assert f"{first} has UAR" in text and "no significant difference from 3 others: " in text
    assert said_otherwise <= 2


def test_a_difference_that_is_real_is_told(monkeypatch):
    accuracies = {**dict.fromkeys(NAMES, 0.35), "mlp": 0.6}
    for seed in range(3):
        result = make(accuracies, seed=seed, leaky=0.2)
        text = told(result, monkeypatch)
        assert (
            "mlp is best: UAR" in text and "it differs significantly from each other model" in text
        )
        assert "the network is better" in text
        assert "it matters whether the voice was in training" in text
        assert "models that share none differ" in text


def test_chance_is_not_surpassed_by_luck():
    said = [summary.verdict(make(dict.fromkeys(NAMES, 0.25), seed=seed)) for seed in range(10)]
    assert sum("no significant difference from chance, 0.250" in text for text in said) >= 9


def test_few_speakers_give_no_interval_but_a_reason(monkeypatch):
    result = make({"svm": 0.6, "mlp": 0.4}, seed=1, n_speakers=3)
    assert result.runs[0].uar_low is None and result.runs[0].n_speakers == 3
    text = told(result, monkeypatch)
    assert "interval not given: 3 speakers; at least 5 speakers are needed" in text.lower()
    assert "95 % interval over speakers" not in text
    assert "with so few speakers, no difference could be" in text
    assert 'class="interval"' in page.render(result) and "<i style=" not in page.render(result)


def test_intervals_of_few_speakers_in_older_results_are_not_shown():
    old = {"model": "svm", "features": "a", "protocol": "loso", "uar": 0.5, "uar_low": 0.1}
    old |= {"uar_high": 0.9}
    assert Run.from_json({**old, "n_speakers": 4}).uar_low is None
    assert Run.from_json({**old, "n_speakers": 5}).uar_low == 0.1


@pytest.mark.parametrize(("n_speakers", "n_pairs", "could"), [(6, 1, True), (6, 2, False)])
def test_whether_a_test_could_tell(n_speakers, n_pairs, could):
    names = NAMES[: 2 if n_pairs == 1 else 3]
    result = make(dict.fromkeys(names, 0.5), seed=0, n_speakers=n_speakers)
    assert len(result.comparisons()) == (1 if n_pairs == 1 else 3)
    assert summary.can_differ(result) is could  # the smallest p of all is 2 / 2 ** n


def test_a_reproduction_claims_no_more():
    row = claimed.Row(
        "svm", "classical", 70.0, 68.0, None, None, None, 1, 99.0, 50.0, None, None, 99.0,
        "audeering-1.1", "random-80/20", 100, None, 1.0,
    )  # fmt: skip
    rows = [row, dataclasses.replace(row, model="tree", honest=48.0)]
    kept = type("Kept", (), {"rows": rows})
    assert not CLAIM.search(" ".join(of_reproduction(kept)).replace("below the published", ""))


def test_every_sentence_of_the_table_is_said_somewhere():
    source = "".join(
        path.read_text("utf-8") for path in Path(emoscope.__file__).parent.rglob("*.py")
    )
    table = shipped_table("sentences.toml")
    keys = [key for key, said in table.items() if isinstance(said, str)]
    keys += [f"{name}.{key}" for name in table.keys() - set(keys) for key in table[name]]
    macros = re.findall(r"{% macro (\w+)\(", Path(DATA, "said.j2").read_text("utf-8"))
    assert [key for key in [*keys, *macros] if f'"{key}"' not in source] == []
