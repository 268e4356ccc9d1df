"""How far voices can be told apart: single clips, groups by voice, and names that are not voices.

    python benchmarks/voices.py path/to/data

``path/to/data`` holds ``ravdess``, ``emodb`` and ``nemo``. Every limit with which a corpus is tested was
set on the two others. Writes ``results/voices/voices.json`` and ``voices.md``.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import recall_score
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from emoscope import audio, corpus, dataset
from emoscope import voices as verification
from emoscope.audit import checks
from emoscope.audit.sources import Split
from emoscope.cli.terminal import progress
from emoscope.dataset import voices as corpus_voices
from emoscope.dataset.store import Store
from emoscope.labels import canonical
from emoscope.voices import embed, to_embed, verify

OUT = Path(__file__).parents[1] / "results" / "voices"
CORPORA = ("ravdess", "emodb", "nemo")
KINDS = ("clean", "one-voice-two-names", "two-voices-one-name", "voice-on-both-sides")
N_PLANTED, N_TO_SET, N_GROUPINGS = 20, 100, 10
HEIGHTS = (0.25, 0.30, 0.35, 0.40, 0.45)
LEAST_COMPLETE = 0.85  # of groups: a voice in two of them may stand on both sides
MAX_PAIRS = 300_000


@dataclass(frozen=True)
class Voices:
    """A corpus as this benchmark needs it, row for row."""

    clips: np.ndarray
    names: np.ndarray
    emotions: np.ndarray
    styles: np.ndarray

    def rows(self, rows: np.ndarray) -> Voices:
        parts = (self.clips, self.names, self.emotions, self.styles)
        return Voices(*(part[rows] for part in parts))


@dataclass(frozen=True)
class Limits:
    """What is set on other corpora than the tested one."""

    one_voice: float = verification.ONE_VOICE
    two_voices: float = verification.TWO_VOICES
    separation: float = verification.LEAST_SEPARATION


def load(place: str) -> tuple[Voices, corpus.Corpus]:
    with progress(f"embedding {place}") as tick:
        source = nemo(Path(place)) if place.endswith("nemo") else place
        found = dataset.load(source, "voice", store=Store(), progress=tick)
    table = found.corpus.table
    told = (table[c].to_numpy(dtype=str) for c in ("speaker", "emotion"))
    return Voices(found.features["vector"].X, *told, corpus_voices.styles(table)), found.corpus


def nemo(place: Path) -> corpus.Corpus:
    table = pd.read_csv(place / "data.tsv", sep="\t", dtype=str)
    clips = {
        "clip": table["file_id"],
        "path": [str(place / "samples" / name) for name in table["file_id"]],
        "emotion": [canonical(word) for word in table["emotion"]],
        "label": table["emotion"],
        "speaker": table["speaker_id"],
        "corpus": "nemo",
    }
    return corpus.Corpus("nemo", pd.DataFrame(clips))


# --- single clips


def pairs(voices: Voices, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Similarity of pairs of clips, whether of one voice, whether of one emotion."""
    first, second = rng.integers(0, len(voices.names), (2, 8 * MAX_PAIRS))
    same = voices.names[first] == voices.names[second]
    keep = (first < second) & (same | (rng.random(len(first)) < 0.3))
    first, second, same = first[keep][:MAX_PAIRS], second[keep][:MAX_PAIRS], same[keep][:MAX_PAIRS]
    similar = np.einsum("ij,ij->i", voices.clips[first], voices.clips[second])
    return similar, same, voices.emotions[first] == voices.emotions[second]


def equal_error(similar: np.ndarray, same: np.ndarray) -> tuple[float, float]:
    """The equal error rate, and the similarity at which it is reached."""
    order = np.argsort(-similar)
    missed = 1 - np.cumsum(same[order]) / same.sum()
    accepted = np.cumsum(~same[order]) / (~same).sum()
    at = int(np.argmin(np.abs(missed - accepted)))
    return float(missed[at] + accepted[at]) / 2, float(similar[order][at])


def error_at(limit: float, similar: np.ndarray, same: np.ndarray) -> float:
    """Mean of the shares of pairs of one voice below a limit and of pairs of two above it."""
    return float(((similar[same] < limit).mean() + (similar[~same] >= limit).mean()) / 2)


def single_clips(all_voices: dict[str, Voices]) -> dict[str, dict[str, float]]:
    of = {name: pairs(v, np.random.default_rng(0)) for name, v in all_voices.items()}
    found: dict[str, dict[str, float]] = {}
    for name, (similar, same, alike) in of.items():
        found[name] = {}
        for word, side in (("within", True), ("across", False)):
            picked = alike == side
            others = [values for other, values in of.items() if other != name]
            limits = [equal_error(s[a == side], o[a == side])[1] for s, o, a in others]
            found[name][f"equal_error_{word}"] = equal_error(similar[picked], same[picked])[0]
            limit = float(np.mean(limits))
            found[name][f"error_{word}"] = error_at(limit, similar[picked], same[picked])
    return found


# --- groups by voice


def purity(first: np.ndarray, second: np.ndarray) -> float:
    """Share of the clips that belong to the commonest `second` of their `first`."""
    return float(pd.crosstab(first, second).max(axis=1).sum() / len(first))


def grouped(voices: Voices, height: float) -> tuple[np.ndarray, dict[str, float]]:
    corpus_voices.HEIGHT = height
    labels = corpus_voices.group(voices.clips, styles=voices.emotions, least=6)
    about = {"voices": len(set(voices.names)), "groups": int(labels.max()) + 1}
    scores = {"purity": purity(labels, voices.names), "completeness": purity(voices.names, labels)}
    return labels, {**about, **scores}


def some_of(voices: Voices, rng: np.random.Generator) -> Voices:
    names = np.unique(voices.names)
    chosen = rng.choice(names, rng.integers(6, len(names) + 1), replace=False)
    rows = [
        rng.permutation(np.flatnonzero(voices.names == n))[: rng.integers(15, 61)] for n in chosen
    ]
    return voices.rows(np.concatenate(rows))


def height_for(others: list[Voices]) -> float:
    """The height of the purest groups among those that are complete enough, on other corpora."""
    scores = {}
    for height in HEIGHTS:
        rng = np.random.default_rng(1)
        drawn = [some_of(v, rng) for v in others for _ in range(N_GROUPINGS)]
        found = [grouped(v, height)[1] for v in drawn]
        scores[height] = [np.mean([f[k] for f in found]) for k in ("completeness", "purity")]
    complete = [h for h, (completeness, _) in scores.items() if completeness >= LEAST_COMPLETE]
    return max(complete or HEIGHTS[-1:], key=lambda height: scores[height][1])


def uar_under(groups: np.ndarray | None, X: np.ndarray, emotions: np.ndarray) -> float:
    """UAR of a linear SVM over six folds that keep groups whole, or random ones."""
    splitter = StratifiedKFold if groups is None else StratifiedGroupKFold
    folds = splitter(6, shuffle=True, random_state=0).split(X, emotions, groups)
    predicted = emotions.copy()
    for train, test in folds:
        if len(test):
            model = make_pipeline(StandardScaler(), LinearSVC(C=0.01, random_state=0))
            predicted[test] = model.fit(X[train], emotions[train]).predict(X[test])
    return float(recall_score(emotions, predicted, average="macro"))


def groups_by_voice(
    all_voices: dict[str, Voices], corpora: dict[str, corpus.Corpus]
) -> dict[str, dict[str, float]]:
    found = {}
    for name, voices in all_voices.items():
        height = height_for([v for other, v in all_voices.items() if other != name])
        rng = np.random.default_rng(2)
        rows = np.sort(rng.permutation(len(voices.names))[:1500])  # nEMO's features take minutes
        part = dataset_part(corpora[name], rows)
        labels, scores = grouped(voices.rows(rows), height)
        X = dataset.load(part, "mfcc,mel", store=Store()).features["vector"].X
        emotions, names = voices.emotions[rows], voices.names[rows]
        scores |= {"height": height, "clips": len(rows)}
        scores["uar_random"] = uar_under(None, X, emotions)
        scores["uar_by_voice"] = uar_under(labels, X, emotions)
        scores["uar_by_speaker"] = uar_under(names, X, emotions)
        found[name] = scores
    return found


def dataset_part(whole: corpus.Corpus, rows: np.ndarray) -> corpus.Corpus:
    return corpus.Corpus(whole.name, whole.table.iloc[rows].reset_index(drop=True))


# --- names that are not voices


def planted(
    voices: Voices, kind: str, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Rows and names of a made corpus, and the names that are wrong in it."""
    known, counts = np.unique(voices.names, return_counts=True)
    usable = known[counts >= 30]
    n_names = int(rng.integers(4, min(16, len(usable) - 1) + 1))
    *chosen, extra = rng.choice(usable, n_names + 1, replace=False)
    of = {n: rng.permutation(np.flatnonzero(voices.names == n)) for n in (*chosen, extra)}
    parts, wrong = [], ()
    for number, name in enumerate(chosen):
        n_clips = int(rng.integers(10, 61))
        if number or kind == "clean":
            parts.append((name, of[name][:n_clips]))
        elif kind == "two-voices-one-name":
            n_clips = max(n_clips, 20)
            n_first = int(rng.integers(10, n_clips - 10 + 1))
            both = np.concatenate([of[name][:n_first], of[extra][: n_clips - n_first]])
            parts, wrong = [(name, both)], (str(name),)
        else:
            halves = np.array_split(of[name][: max(20, 2 * n_clips)], 2)
            parts, wrong = [(f"{name}-{k}", half) for k, half in enumerate(halves)], ()
            wrong = tuple(str(part[0]) for part in parts)
    rows = np.concatenate([part for _, part in parts])
    names = np.concatenate([np.full(len(part), name, dtype=object) for name, part in parts])
    return rows, names.astype(str), wrong


def checked(
    voices: Voices, rows: np.ndarray, names: np.ndarray, seed: int
) -> verification.VoiceCheck:
    picked, _ = to_embed(names, seed=seed)
    part = voices.rows(rows[picked])
    return verify(part.clips, names[picked], part.styles)


def limits_from(others: list[Voices]) -> Limits:
    """Limits that hardly call a corpus wrong which was made of clean names of others.

    No pair of names is called one voice, and in one of 50 corpora a name is called two voices.
    """
    close, apart, wide = [], [], []
    for number, voices in enumerate(others):
        rng, widest = np.random.default_rng(100 + number), []
        for seed in range(N_TO_SET):
            rows, names, _ = planted(voices, "clean", rng)
            picked, _ = to_embed(names, seed=seed)
            part, names = voices.rows(rows[picked]), names[picked]
            clips = verification.without_styles(part.clips.astype(float), names, part.styles)
            separations = list(verification.separations(clips, names).values())
            close.append(min(separations))
            apart.append(np.median(separations))
            found = verification.surpluses(clips, names, part.styles)
            widest.append(max(found.values(), default=-1.0))
        wide.append(np.percentile(widest, 98))
    return Limits(float(min(close)), float(max(wide)), 0.9 * float(min(apart)))


def use(limits: Limits) -> None:
    verification.ONE_VOICE, verification.TWO_VOICES = limits.one_voice, limits.two_voices
    verification.LEAST_SEPARATION = limits.separation


def outcomes(voices: Voices, limits: Limits) -> dict[str, dict[str, int]]:
    """Of planted corpora: how many were found, had a false alarm, or were not checked."""
    use(limits)
    found = {}
    for number, kind in enumerate(KINDS):
        rng = np.random.default_rng(1000 + number)
        counts = {"found": 0, "false_alarms": 0, "left_out": 0}
        for seed in range(N_PLANTED):
            rows, names, wrong = planted(voices, kind, rng)
            check = checked(voices, rows, names, seed)
            pieces = checks.of_voices({"": check}, [split_of(names, wrong, kind, rng)])
            told = {(k, tuple(p["speakers"])) for k, found in pieces.items() for p in found}
            right = (kind, tuple(sorted(wrong)))
            counts["found"] += right in told
            counts["false_alarms"] += bool(told - {right})
            counts["left_out"] += bool(check.left_out)
        found[kind] = counts
    use(Limits())
    return found


def split_of(
    names: np.ndarray, wrong: tuple[str, ...], kind: str, rng: np.random.Generator
) -> Split:
    """A split by speaker; the two names of one voice on two sides where that is planted."""
    is_test = {str(name): bool(rng.random() < 0.3) for name in np.unique(names)}
    for number, name in enumerate(wrong):
        is_test[name] = kind == "voice-on-both-sides" and number == 1
    side = ["test" if is_test[name] else "train" for name in names]
    return Split("", pd.DataFrame({"speaker": names, "side": side}))


def by_emotion(voices: Voices) -> float:
    """Of voices whose two names share no emotion, the share that are found with shipped limits."""
    rng = np.random.default_rng(3)
    n_found = n_tried = 0
    for seed in range(N_PLANTED):
        rows, names, _ = planted(voices, "clean", rng)
        name = rng.choice(np.unique(names))
        emotions = rng.permutation(np.unique(voices.emotions))[:3]
        alias = (names == name) & np.isin(voices.emotions[rows], emotions)
        if min(alias.sum(), (names == name).sum() - alias.sum()) < verification.MIN_CLIPS:
            continue
        names = np.where(alias, "alias", names.astype("U16"))
        check = checked(voices, rows, names, seed)
        n_tried += 1
        n_found += any("alias" in f.names and name in f.names for f in check.findings)
    return n_found / max(n_tried, 1)


def cost(whole: corpus.Corpus) -> float:
    """Milliseconds of one core for a decoded clip."""
    signals = [audio.load(excerpt) for excerpt in whole.excerpts[:40]]
    embed(signals[0])
    begun = time.process_time()
    for signal in signals:
        embed(signal)
    return 1000 * (time.process_time() - begun) / len(signals)


# --- the report


def as_text(result: dict) -> str:
    lines = [
        "# Voices\n",
        "Made by `benchmarks/voices.py`; limits are set on the two other corpora.\n",
    ]
    lines += [
        "| single clips | equal error, one emotion | two emotions | error at the others' limit | |"
    ]
    lines += ["|---|---|---|---|---|"]
    for name, f in result["single_clips"].items():
        values = ("equal_error_within", "equal_error_across", "error_within", "error_across")
        lines.append(f"| {name} | " + " | ".join(f"{f[key]:.1%}" for key in values) + " |")
    lines += [
        "",
        "| groups | voices | groups | purity | completeness | UAR random | by voice | by speaker |",
    ]
    lines += ["|---|---|---|---|---|---|---|---|"]
    for name, f in result["groups"].items():
        scores = ("purity", "completeness", "uar_random", "uar_by_voice", "uar_by_speaker")
        values = " | ".join(f"{f[key]:.3f}" for key in scores)
        lines.append(f"| {name} | {f['voices']} | {f['groups']} | {values} |")
    for which in ("planted", "planted_shipped_limits"):
        words = "of the two other corpora" if which == "planted" else "that ship"
        lines += [
            "",
            f"| limits {words} | " + " | ".join(KINDS[1:]) + " | false alarms, clean | left out |",
        ]
        lines += ["|---|---|---|---|---|---|"]
        for name, f in result[which].items():
            found = " | ".join(f"{f[kind]['found']} of {N_PLANTED}" for kind in KINDS[1:])
            left = sum(f[kind]["left_out"] for kind in KINDS)
            lines.append(
                f"| {name} | {found} | {f['clean']['false_alarms']} of {N_PLANTED} | {left} |"
            )
    share = ", ".join(f"{name} {value:.0%}" for name, value in result["names_by_emotion"].items())
    lines += ["", f"Two names of one voice that share no emotion, found: {share}."]
    lines += ["", *(f"{name}, whole: {text}" for name, text in result["whole"].items())]
    took = f"An embedding takes {result['ms_per_clip']:.0f} ms of one core for a clip of RAVDESS."
    return "\n".join([*lines, "", took]) + "\n"


def main(place: str) -> None:
    loaded = {name: load(f"{place}/{name}") for name in CORPORA}
    all_voices = {name: voices for name, (voices, _) in loaded.items()}
    corpora = {name: whole for name, (_, whole) in loaded.items()}
    others = {n: [v for o, v in all_voices.items() if o != n] for n in all_voices}
    limits = {name: limits_from(others[name]) for name in CORPORA}
    whole = {}
    for name, v in all_voices.items():
        whole[name] = checked(v, np.arange(len(v.names)), v.names, 0).text
    result = {
        "single_clips": single_clips(all_voices),
        "planted": {n: outcomes(v, limits[n]) for n, v in all_voices.items()},
        "planted_shipped_limits": {n: outcomes(v, Limits()) for n, v in all_voices.items()},
        "limits": {name: vars(found) for name, found in limits.items()},
        "names_by_emotion": {n: by_emotion(v) for n, v in all_voices.items()},
        "whole": whole,
        "ms_per_clip": cost(corpora["ravdess"]),
        "groups": groups_by_voice(all_voices, corpora),
    }
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "voices.json").write_text(json.dumps(result, indent=1) + "\n")
    (OUT / "voices.md").write_text(as_text(result))
    print(as_text(result))


if __name__ == "__main__":
    main(sys.argv[1])
