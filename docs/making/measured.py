"""Pages of figures, read from ``results/`` when the documentation is built.

A result that is not there yet is named as such, with the command that makes it; no figure is
written by hand.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from emoscope.evaluation import metrics
from emoscope.evaluation.result import Result
from emoscope.report import plots

from .pictures import svg

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results"

#: What of ``results/benchmarks/prediction.json`` is shown, in which words and unit.
PREDICTION = (
    ("start", "first_label_s", "from the command to the first label", "{:.2f} s"),
    ("start", "bare_imports_s", "of which numpy and onnxruntime alone", "{:.2f} s"),
    ("throughput", "times_real_time_cores_1", "1,000 clips on one core, against real time",
     "{:.0f} times"),
    ("throughput", "times_real_time_cores_2", "the same on two cores", "{:.0f} times"),
    ("hour", "wall_s_cores_1", "timeline of an hour, on one core", "{:.0f} s"),
    ("hour", "wall_s_cores_2", "the same on two cores", "{:.0f} s"),
    ("three_hours", "wall_s_cores_2", "timeline of three hours, on two cores", "{:.0f} s"),
    ("hour", "peak_mb", "memory for it", "{:.0f} MB"),
    ("hour", "recall", "of its speech found", "{:.1%}"),
    ("hour", "precision", "of what was found is speech", "{:.1%}"),
    ("server", "requests_per_s", "server: requests a second", "{:.0f}"),
    ("server", "audio_s_per_s", "server: seconds of sound a second", "{:.0f}"),
    ("live", "p95_ms_streams_1", "live stream: end of a window to its label, 95 of 100", "{:.0f} ms"),
    ("live", "p95_ms_streams_20", "the same with 20 streams on two cores", "{:.0f} ms"),
    ("page", "complete_ms", "browser page complete after", "{:.0f} ms"),
)  # fmt: skip


def pages() -> dict[str, Callable[[], str]]:
    """One maker per page."""
    return {
        "measured/accuracy.md": accuracy,
        "measured/reproduction.md": reproduction,
        "measured/speed.md": speed,
        "measured/trust.md": trust,
        "measured/guarantees.md": guarantees,
        "measured/example.md": example,
    }


def read(name: str) -> Any:
    """A JSON file below ``results/``, or None when it is not there."""
    path = RESULTS / name
    return json.loads(path.read_text("utf-8")) if path.exists() else None


def absent(what: str, command: str) -> str:
    """What a page says of a result that is not there."""
    return f":::{{note}}\n{what}: not measured yet. `{command}` measures it.\n:::\n"


def accuracy() -> str:
    """What is known about accuracy, then every saved result with its interval."""
    parts = [_written("accuracy.md", "# Accuracy\n")]
    rows = []
    for path in sorted((RESULTS / "accuracy").glob("*/results.json")):
        document = json.loads(path.read_text("utf-8"))
        first = document["runs"][0]
        for run in document["runs"]:
            if run["features"] == first["features"]:
                rows.append({"result": path.parent.name, "corpus": document["corpus"], **run})
    parts.append("\n## Every saved result\n")
    if not rows:
        return parts[0] + absent("Accuracy", "emoscope compare SOURCE --out results/accuracy/NAME")
    parts.append(
        "Each line is computed from a `predictions.csv` in `results/accuracy/`; the interval covers "
        "95 % and is over speakers.\n\n"
        "| result | tested on | protocol | emotions | clips | UAR, % | interval |\n|"
        + "---|" * 4 + "--:|" * 3
    )  # fmt: skip
    for row in rows:
        parts.append(
            f"| `{row['result']}` | {row['corpus']['name']} | `{row['protocol']}` | "
            f"{_n_emotions(row)} | {row['n_clips']} | {100 * row['uar']:.1f} | "
            f"{_interval(row['uar_low'], row['uar_high'])} |"
        )
    return "\n".join([*parts, _shipped()])


def _n_emotions(row: dict[str, Any]) -> int:
    clips = row["corpus"].get("clips_per_emotion", {})
    return sum(n > 0 for n in clips.values())


def _shipped() -> str:
    """Pictures of the shipped model on RAVDESS speakers unseen in its training."""
    if not (RESULTS / "accuracy" / "ravdess-shipped").is_dir():
        return ""
    result = Result.load(RESULTS / "accuracy" / "ravdess-shipped")
    rows = result.rows(result.leaderboard()[0].model)
    emotions = [e for e in result.emotions if (rows["emotion"] == e).any()]
    counts = metrics.confusion(rows["emotion"], rows["predicted"], emotions=emotions).loc[emotions]
    curve = metrics.reliability(
        rows["emotion"], rows[[f"p_{e}" for e in result.emotions]], emotions=result.emotions
    )
    return (
        "\n## The shipped model on RAVDESS, speakers unseen\n"
        + svg(
            lambda ax: plots.confusion(counts, ax=ax),
            "What is taken for what: percent of the clips of each emotion.",
            size=(8, 5),
        )
        + svg(
            lambda ax: plots.reliability(curve, ax=ax),
            "Is it right as often as it is sure? On the dashed line it is.",
            size=(8, 4.5),
        )
    )


N_PUBLISHED = 20
REPRODUCED = (
    "speech-and-song",
    "speech",
)  # folders of results/reproduction, the published set first


def reproduction() -> str:
    """Published, reproduced and honest, on both parts and on speech, with verdicts on the claims."""
    title = "# What was published, and what it is worth\n"
    documents = {part: read(f"reproduction/{part}/reproduction.json") for part in REPRODUCED}
    parts = [
        title,
        "The field's most-copied student project trained twenty models on four emotions of RAVDESS, "
        "with a random split: the same voices are in training and test. `emoscope reproduce` trains "
        "each as it was published, and again so that no test speaker is in training.\n",
    ]
    for part, document in documents.items():
        if document is None:
            return title + absent("The reproduction", "emoscope reproduce path/to/ravdess")
        parts += _reproduced(part.replace("-", " ").capitalize(), document)
    parts += _differences(f"reproduction/{REPRODUCED[0]}")
    return "\n".join(parts)


def _reproduced(heading: str, document: dict[str, Any]) -> list[str]:
    about = document["about"]
    missing = N_PUBLISHED - len(document["rows"])
    parts = [
        f"## {heading}\n",
        f"{about['n_clips']:,} clips of {about['n_speakers']} speakers (published: "
        f"{about['published_clips']:,} clips of speech and song), {about['epochs']} epochs. "
        + ("" if not missing else f"{missing} networks are not measured yet. ")
        + "Accuracy in percent.\n",
        svg(
            lambda ax: plots.dumbbell(_ends(document["rows"]), ax=ax),
            "Accuracy of each model: as published, reproduced on the published split, and on unseen "
            "speakers.",
            size=(9, 7),
        ),
        "| model | published | reproduced | mean of ten seeds | training | unseen speakers | 95 % |\n"
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    parts += [
        f"| {r['model']} | {r['published']:.1f} | {r['reproduced']:.1f} | {_seeds(r)} | "
        f"{r['training']:.1f} | **{r['honest']:.1f}** | "
        f"{_interval(r['honest_low'], r['honest_high'], 1)} |"
        for r in document["rows"]
    ]
    parts.append(
        "\n*Training*: on the clips that the model was trained on. Intervals are over speakers.\n"
    )
    for claim in document["verdicts"]:
        parts.append(f"### “{claim['claim']}”\n\n**{_sentence(claim['verdict'])}**\n")
        parts += [f"- {line}" for line in claim["evidence"]]
        parts.append("")
    return parts


def _differences(folder: str) -> list[str]:
    """Where a published accuracy stands among random splits, and what choosing the epoch gives."""
    splits, epochs = read(f"{folder}/splits.json"), read(f"{folder}/epochs.json")
    if splits is None or epochs is None:
        return [
            absent("Where published and reproduced differ", "python benchmarks/reproduction.py")
        ]
    parts = [
        "## Where published and reproduced differ\n",
        "The published code lists its recordings in whatever order the file system gives, so nobody can "
        "repeat its split. 100 random splits of the same sizes show where the published accuracy lies "
        "(`python benchmarks/reproduction.py splits`).\n",
        "| model | published | median of 100 splits | 95 % of splits | splits as high or higher |\n"
        "|---|--:|--:|--:|--:|",
    ]
    parts += [
        f"| {model} | {r['published']:.1f} | {r['median']:.1f} | {r['low']:.1f} to {r['high']:.1f} | "
        f"{r['as_high']} % |"
        for model, r in splits.items()
    ]
    parts += [
        "\nNetworks are trained for 500 epochs and tested after the last one. Had the epoch been chosen by "
        "the accuracy on the test clips, the networks would have scored as in the column *best epoch*. Such "
        "a figure is chosen on the test clips and estimates nothing; it shows how much that choice could "
        "explain (`python benchmarks/reproduction.py epochs`).\n",
        "| model | published | last epoch | best epoch | training |\n|---|--:|--:|--:|--:|",
    ]
    parts += [
        f"| {model} | {r['published']:.1f} | {r['last']:.1f} | {r['best']:.1f} (epoch {r['epoch']}) | "
        f"{r['train']:.1f} |"
        for model, r in epochs.items()
    ]
    return [*parts, ""]


def _seeds(row: dict[str, Any]) -> str:
    if row["reproduced_mean"] is None:
        return "–"
    low, high = row["reproduced_low"], row["reproduced_high"]
    return f"{row['reproduced_mean']:.1f} ({low:.1f} to {high:.1f})"


def _ends(rows: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(
        [[r[key] / 100 for key in ("published", "reproduced", "honest")] for r in rows],
        index=[r["model"].split(":")[0][:44] for r in rows],
        columns=["published", "reproduced", "honest"],
    )


def speed() -> str:
    """How long things take, and beside whom."""
    parts = ["# Speed\n\nEvery figure comes with the command that measures it.\n"]
    prediction = read("benchmarks/prediction.json")
    parts.append("## Prediction\n")
    if prediction is None:
        parts.append(absent("Prediction", "python benchmarks/prediction.py"))
    else:
        parts.append("| what | measured |\n|---|--:|")
        for section, key, words, shown in PREDICTION:
            if key in prediction.get(section, {}):
                parts.append(f"| {words} | {shown.format(prediction[section][key])} |")
        parts.append("\nCommand: `python benchmarks/prediction.py`.\n")
    for name in ("features", "training"):
        path = RESULTS / "benchmarks" / f"{name}.md"
        parts.append(
            re.sub(r"^#", "##", path.read_text("utf-8"), flags=re.MULTILINE)
            if path.exists()
            else f"## {name.capitalize()}\n\n"
            + absent(name.capitalize(), f"python benchmarks/{name}.py")
        )
    return "\n".join(parts)


def trust() -> str:
    """Whether the intervals and the audit do what they say."""
    parts = ["# Can the checks be trusted?\n\n## Intervals\n"]
    coverage = read("statistics/coverage.json")
    if coverage is None:
        parts.append(absent("The coverage", "python benchmarks/interval_coverage.py"))
    else:
        table = pd.DataFrame(coverage["rows"]).pivot_table(
            index=["scene", "speakers"], columns="interval", values="coverage", sort=False
        )
        parts.append(
            f"A 95 % interval should hold the true value in 95 of 100 experiments. "
            f"{coverage['runs']} simulated experiments per line, in which the clips of a speaker are "
            "alike; the usual interval, which takes clips for independent, is far too narrow.\n\n"
            f"| scene | speakers | {' | '.join(table.columns)} |\n|---|--:|"
            + "--:|"
            * len(table.columns)
        )
        for (scene, speakers), row in table.iterrows():
            cells = " | ".join(f"{100 * value:.1f} %" for value in row)
            parts.append(f"| {scene} | {speakers} | {cells} |")
        parts.append("\nCommand: `python benchmarks/interval_coverage.py`.")
    parts.append("\n## Audit\n")
    for path in sorted((RESULTS / "audit").glob("*.json")):
        found = json.loads(path.read_text("utf-8"))
        parts.append(f"**{found['source']}.** {found['verdict']}\n")
        parts += [f"- {finding['text']}" for finding in found["findings"]]
        parts.append("")
    return "\n".join(parts)


def guarantees() -> str:
    """What holds whatever comes in, as far as it was measured."""
    if (ROOT / "docs" / "guarantees.md").exists():
        return _written("guarantees.md", "")
    return "# Guarantees\n" + absent("Robustness", "python benchmarks/guarantees.py")


def example() -> str:
    """The paragraphs of figures in the page on honest evaluation; included there, no page itself."""
    document = read(f"reproduction/{REPRODUCED[0]}/reproduction.json")
    if document is None:
        return absent("The example", "emoscope reproduce path/to/ravdess")
    rows = document["rows"]
    top = max(rows, key=lambda r: r["published"])
    gap = sum(r["reproduced"] - r["honest"] for r in rows) / len(rows)
    best = max(rows, key=lambda r: r["honest"])
    return (
        f"Of the {N_PUBLISHED} models of a student project that has been copied many times, "
        f"*{_short(top)}* was published with the highest accuracy: **{top['published']:.1f} %** on "
        "four emotions. Trained and tested in the same way, on the same clips with a random split, "
        f"we measure {top['reproduced']:.1f} %. On unseen speakers it recognises "
        f"**{top['honest']:.1f} %** of the clips "
        f"({_interval(top['honest_low'], top['honest_high'], 1)}).\n\n"
        f"It is no exception: over the {len(rows)} that we have measured in this way the random split "
        f"overstates accuracy by {gap:.1f} points on average. The best on unseen speakers is "
        f"*{_short(best)}* with {best['honest']:.1f} %. "
        "[All of them](generated/measured/reproduction.md) stand side by side.\n"
    )


def _short(row: dict[str, Any]) -> str:
    return row["model"].split(":")[0].split(",")[0]


def contributing() -> str:
    """How to add to emoscope, as the repository says it."""
    return _written("../CONTRIBUTING.md", "# Contributing\n")


def _written(name: str, title: str) -> str:
    """A page that somebody wrote in the repository, without links to its files; else the title."""
    path = ROOT / "docs" / name
    if not path.exists():
        return title
    return _relinked(path.read_text("utf-8"))


def _relinked(text: str) -> str:
    """Links to the repository's files become plain names: they are no pages of the site."""
    return re.sub(r"\[([^\]]+)\]\((?!https?:|#)[^)]*\)", r"\1", text)


def _interval(low: float | None, high: float | None, scale: float = 100) -> str:
    return "–" if low is None or high is None else f"{scale * low:.1f} to {scale * high:.1f}"


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."
