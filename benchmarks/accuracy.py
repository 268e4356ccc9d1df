"""Recomputes every claimed accuracy from the committed predictions, and writes them into docs/accuracy.md
and README.md.

    python benchmarks/accuracy.py

Ends with status 1 when a figure in a ``results.json`` is not what its ``predictions.csv`` gives.
Each folder in ``results/accuracy`` holds the command that makes it again.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pandas as pd

from emoscope import modelfile
from emoscope.evaluation import metrics

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results" / "accuracy"
PAGES = (ROOT / "docs" / "accuracy.md", ROOT / "README.md")

#: The ladder: folder, model in it, what the step is.
LADDER = (
    ("ravdess-classic", "dummy", "chance: always the most frequent emotion"),
    ("ravdess-classic", "forest", "193 classic values, random forest"),
    ("ravdess-classic", "mlp", "the same, multi-layer perceptron"),
    ("ravdess-classic", "cnn1d-a", "the same, 1-D network A"),
    ("ravdess-classic", "cnn2d-a", "log-mel spectrograms, 2-D network"),
    ("ravdess-no-encoder", "stack", "no pretrained encoder: functionals and openSMILE, stacked"),
    ("ravdess-shipped", "emoscope-default", "**shipped model**: Whisper-base blocks 2 to 4, 15 MB"),
    ("ravdess-encoders", "lda", "Whisper-tiny and -base frozen, discriminant"),
    ("ravdess-best", "stack", "**best**: both, as recorded, levelled, slower and faster, stacked"),
    ("ravdess-adapted", None, "the same, standardised on unlabelled clips of each speaker"),
)
OTHERS = (
    ("ravdess-shipped-luna", "RAVDESS, Luna-Jiménez's five folds, shipped recipe"),
    ("ravdess-luna", "RAVDESS, Luna-Jiménez's five folds, best model"),
    ("emodb-loso", "EMO-DB, the free model's recipe, trained on EMO-DB alone"),
    ("emodb-encoders", "EMO-DB, both encoders"),
    ("emodb-shipped", "EMO-DB, shipped recipe, trained with the other three corpora"),
)
#: What 'measure' wrote for the models: how its names begin; and the names of the corpora.
STRANGERS = (("default", ""), ("free", "emodb-alone-"))
CORPORA = {"ravdess": "RAVDESS", "emodb": "EMO-DB", "nemo": "nEMO", "emospeech": "EmoSpeech"}


def runs(folder: str) -> list[dict]:
    """The runs of a figure, each checked against its predictions."""
    path = RESULTS / folder
    if not path.exists():
        return []
    document = json.loads((path / "results.json").read_text("utf-8"))
    rows = pd.read_csv(path / "predictions.csv", dtype=str, keep_default_na=False)
    for run in document["runs"]:
        own = rows[
            (rows["model"] == run["model"])
            & (rows["features"] == run["features"])
            & (rows["protocol"] == run["protocol"])
        ]
        for name, score in (("uar", metrics.uar), ("accuracy", metrics.accuracy)):
            found = score(own["emotion"].to_numpy(), own["predicted"].to_numpy())
            if abs(found - run[name]) > 1e-9:
                sys.exit(f"{path}: {name} of {run['model']} is {run[name]}, predictions: {found}")
    return document["runs"]


def line(what: str, run: dict, protocol: bool = False) -> str:
    interval = f"{run['uar_low']:.3f} to {run['uar_high']:.3f}"
    cells = [what, f"{run['uar']:.3f}", interval, f"{run['accuracy']:.3f}"]
    cells.insert(1, f"`{run['protocol']}`") if protocol else None
    return f"| {' | '.join(cells)} |"


def ladder() -> str:
    lines = ["| step | UAR | 95 % over speakers | accuracy |", "|---|--:|--:|--:|"]
    for folder, model, what in LADDER:
        found = [
            run
            for run in runs(folder)
            if run["protocol"].startswith("speaker-6fold") and model in (None, run["model"])
        ]
        lines += [line(what, found[0])] if found else []
    return "\n".join(lines)


def others() -> str:
    lines = ["| figure | protocol | UAR | 95 % over speakers | accuracy |", "|---|---|--:|--:|--:|"]
    lines += [line(what, run, True) for folder, what in OTHERS for run in runs(folder)]
    return "\n".join(lines)


def cross_corpus() -> str:
    """Figures on held-out corpora: UAR of clips alone and together, coverage, risk and calibration."""
    parts = []
    for model, begin in STRANGERS:
        found = _measured(begin)
        parts += [f"### `{model}`", *_recognised(found), "", *_doubted(found), ""]
        parts += [*_in_training(found), ""] if len(found) == len(CORPORA) else []
        parts += [*_each_emotion(model, begin), ""]
    return "\n".join(parts).rstrip()


def models() -> str:
    """The short table of the README: each model on each held-out corpus."""
    lines = [f"| model | emotions | {' | '.join(CORPORA.values())} |", "|---|--:|" + "--:|" * 4]
    for model, begin in STRANGERS:
        found = _measured(begin)
        cells = [
            f"{found[c]['alone']['uar']:.3f}" if c in found else "in training" for c in CORPORA
        ]
        lines.append(f"| `{model}` | {len(_names(model))} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _measured(begin: str) -> dict:
    return json.loads((RESULTS / f"{begin}strangers.json").read_text("utf-8"))


def _names(model: str) -> list[str]:
    """The emotions that a shipped model can answer."""
    return modelfile.load(model).card.emotions


def _each_emotion(model: str, begin: str) -> list[str]:
    """Recall and precision of every emotion in every corpus, and what the model cannot answer."""
    tables = {}
    for path in sorted(RESULTS.glob(f"{begin}cross-corpus-to-*/predictions.csv")):
        rows = pd.read_csv(path, usecols=["emotion", "predicted", "protocol"])
        rows = rows[rows["protocol"] == "cross-corpus"]
        hit = rows["emotion"] == rows["predicted"]
        tables[CORPORA[path.parent.name.rsplit("-", 1)[1]]] = pd.DataFrame(
            {
                "recall": hit.groupby(rows["emotion"]).mean(),
                "precision": hit.groupby(rows["predicted"]).mean(),
                "clips": rows["emotion"].value_counts(),
            }
        )
    lines = [f"| emotion | {' | '.join(tables)} |", "|---|" + "--:|" * len(tables)]
    for emotion in _names(model):
        cells = [_cell(t.loc[emotion]) if emotion in t.index else "–" for t in tables.values()]
        lines += [f"| {emotion} | {' | '.join(cells)} |"] if set(cells) - {"–"} else []
    told = "Recall, precision (clips) of each emotion, each clip alone, among the emotions that the model"
    lines.insert(0, f"{told}\nand the corpus share.\n")
    missing = [name for name in _names("default") if name not in _names(model)]
    if missing:
        lines.append(
            f"\n`{model}` has no label for {' or '.join(missing)} and gives such clips another label. It"
            "\nmarks every label *uncertain*, because at no confidence were enough of its labels correct"
            "\non held-out corpora."
        )
    return lines


def _cell(row: pd.Series) -> str:
    precision = "never predicted" if pd.isna(row["precision"]) else f"{row['precision']:.0%}"
    return f"{row['recall']:.0%}, {precision} ({row['clips']:.0f})"


def _recognised(found: dict) -> list[str]:
    head = "| held-out corpus | emotions | single clips | 4 clips | 16 clips | 64 clips | "
    lines = [
        head + "all clips of a speaker | 16 of one emotion |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    columns = [
        [one["alone"], *one["together"].values(), one["one_emotion"]["16"]]
        for one in found.values()
    ]
    for (corpus, one), cells in zip(found.items(), columns, strict=True):
        shown = [f"{c['uar']:.3f} ({c['low']:.2f} to {c['high']:.2f})" for c in cells]
        lines.append(f"| {CORPORA[corpus]} | {len(one['emotions'])} | {' | '.join(shown)} |")
    means = [sum(c["uar"] for c in cells) / len(cells) for cells in zip(*columns, strict=True)]
    return [*lines, f"| **mean** | | {' | '.join(f'**{m:.3f}**' for m in means)} |"]


def _doubted(found: dict) -> list[str]:
    head = "| held-out corpus | coverage | risk | both with 16 clips | "
    lines = [head + "calibration error | arousal | valence |", "|---|--:|--:|--:|--:|--:|--:|"]

    def percent(value: float | None) -> str:
        return "none" if value is None else f"{value:.0%}"

    for corpus, one in found.items():
        alone, together = one["doubt"]["alone"], one["doubt"]["together"]
        both = f"{percent(together['coverage'])}, {percent(together['risk'])}"
        cells = [percent(alone["coverage"]), percent(alone["risk"]), both]
        cells += [f"{alone[name]:.2f}" for name in ("calibration_error", "arousal", "valence")]
        lines.append(f"| {CORPORA[corpus]} | {' | '.join(cells)} |")
    return lines


def _in_training(found: dict) -> list[str]:
    """What a corpus allows at most: speakers held out, the corpus's other speakers in training."""
    lines = [
        "With the corpus itself in training, and only its test speakers held out (three folds), the"
        "\nrecipe gives:\n",
        "| corpus | emotions | single clips | arousal | valence |",
        "|---|--:|--:|--:|--:|",
    ]
    for corpus, one in ((corpus, one["unseen_speakers"]) for corpus, one in found.items()):
        uar = "{uar:.3f} ({low:.2f} to {high:.2f})".format(**one["alone"])
        axes = f"{one['arousal']:.2f} | {one['valence']:.2f}"
        lines.append(f"| {CORPORA[corpus]} | {len(one['emotions'])} | {uar} | {axes} |")
    each = [one["unseen_speakers"] for one in found.values()]
    uar = sum(one["alone"]["uar"] for one in each) / len(each)
    axes = [sum(one[axis] for one in each) / len(each) for axis in ("arousal", "valence")]
    means = " | ".join(f"**{mean:.2f}**" for mean in axes)
    return [*lines, f"| **mean** | | **{uar:.3f}** | {means} |"]


def shipped() -> str:
    """Size, speed and calibration, from the files that measured them."""
    cost = json.loads((ROOT / "results/benchmarks/prediction.json").read_text("utf-8"))
    lines = ["| | |", "|---|--:|"]
    for name, _ in STRANGERS:
        size = len(modelfile.read(name))
        lines.append(f"| size of `{name}` | {size / 1e6:.1f} MB |")
    lines += [
        f"| one core, per second of audio | {1000 / cost['throughput']['times_real_time_cores_1']:.1f} ms |",
        f"| cold start to the first label | {cost['start']['first_label_s']:.2f} s |",
    ]
    for folder, name in (("ravdess-shipped", "RAVDESS"), ("emodb-shipped", "EMO-DB")):
        (run,) = runs(folder)
        error = f"{run['calibration_error']:.3f}"
        lines.append(f"| expected calibration error on {name}, unseen speakers | {error} |")
    return "\n".join(lines)


def commands() -> str:
    found = []
    for path in sorted(RESULTS.glob("*/results.json")):
        command = json.loads(path.read_text("utf-8"))["config"].get("command")
        found.append(f"- `{path.parent.name}`: `{command}`")
    return "\n".join(found)


def main() -> None:
    blocks = {
        "models": models,
        "cross-corpus": cross_corpus,
        "ladder": ladder,
        "others": others,
        "shipped": shipped,
        "commands": commands,
    }
    texts = {page: page.read_text("utf-8") for page in PAGES}
    for name, block in ((name, make()) for name, make in blocks.items()):
        begin, end = f"<!-- {name}: benchmarks/accuracy.py -->", f"<!-- end of {name} -->"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        for page, text in texts.items():
            texts[page] = pattern.sub(lambda _, b=block, s=begin, e=end: f"{s}\n\n{b}\n\n{e}", text)
        print(f"{block}\n")
    for page, text in texts.items():
        page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
