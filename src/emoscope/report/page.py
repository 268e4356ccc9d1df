"""A result as one self-contained HTML page: nothing is loaded from anywhere.

A section is a function in :data:`SECTIONS` and a block of ``report.html.j2`` of the same name.
"""

import base64
import functools
import hashlib
import importlib.resources
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jinja2
import numpy as np
import pandas as pd
import soundfile

from .. import audio, models, unseen
from .._version import __version__
from ..audio import Recording
from ..errors import AudioError, check_known
from ..evaluation import metrics, statistics
from ..evaluation.result import Result, Run
from ..files import printable, said, shipped_table
from ..modelfile.about import About
from ..modelfile.card import Card
from ..models.described import ON_EMBEDDINGS
from ..protocols import SCRIPT_CONTROL, SPEAKER_TEXT, adaptation_of, base_of, shares_speakers
from . import plots, summary

N_HARDEST = 20  # clips shown
N_HEARD, MAX_SOUND = 2, 5_000_000  # clips of each confusion, and characters of all in the page
PLAY_RATE, PLAY_PEAK = 16_000, 0.9  # of the playable clips: small, clear and equally loud
WIDTH = 4.6  # inches of a plot: its text stays readable on a phone
TEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
TEX |= {character: f"\\{character}" for character in "&%$#_{}"}
SLICES = ("gender", "intensity", "statement", "channel", "speaker")


@dataclass(frozen=True)
class HardClip:
    """A clip that most models get wrong, most often as `predicted`; `audio` is a data URL."""

    clip: str
    emotion: str
    predicted: str
    n_wrong: int
    n_models: int
    audio: str | None
    about: str = ""  # how, what and by whom it was spoken


def render(result: Result, *, clips: Mapping[str, Recording] | None = None) -> str:
    """The report as HTML; `clips`, recordings by clip, make the hardest clips playable."""
    hardest = hardest_clips(result, clips or {})
    players, heard = _confused(result, clips or {}, hardest)
    return rendered(
        "report.html.j2",
        "report.js",
        result=result,
        about=About.of("", result.corpus.get("licence") or "", result.emotions),
        unit=unseen.units_of(result.corpus)[0],
        units=unseen.units_of(result.corpus)[1],
        random=shares_speakers(result.protocol),
        hardest=hardest,
        players=players,
        heard=heard,
        no_interval=statistics.no_interval(result.leaderboard()[0].n_speakers),
        summary=summary,
        **{name: section(result) for name, section in SECTIONS.items()},
    )


def hardest_clips(result: Result, clips: Mapping[str, Recording]) -> list[HardClip]:
    """Clips that over half of the models get wrong, ordered by how often, then by how far."""
    names = [run.model for run in result.leaderboard() if run.model != "dummy"]
    if len(names) < 2:
        return []
    rows = pd.concat([result.rows(model) for model in names])
    probabilities = rows[[f"p_{emotion}" for emotion in result.emotions]].to_numpy()
    given = probabilities[np.arange(len(rows)), rows["emotion"].map(result.emotions.index)]
    rows = rows.assign(wrong=rows["emotion"] != rows["predicted"], given=given)
    by_clip = rows.groupby("clip").agg({"emotion": "first", "wrong": "sum", "given": "mean"})
    by_clip = by_clip[by_clip["wrong"] > len(names) / 2]
    ordered = by_clip.sort_values(["wrong", "given"], ascending=[False, True], kind="stable")
    mistakes = rows[rows["wrong"]].groupby("clip")["predicted"]
    first = rows.drop_duplicates("clip").set_index("clip")
    return [
        HardClip(
            clip=printable(str(clip)),
            emotion=row["emotion"],
            predicted=mistakes.get_group(clip).mode().iloc[0],
            n_wrong=int(row["wrong"]),
            n_models=len(names),
            audio=playable(clips.get(str(clip))),
            about=_about(first.loc[clip]),
        )
        for clip, row in ordered.head(N_HARDEST).iterrows()
    ]


def _about(row: Mapping[str, Any]) -> str:
    forms = {"intensity": "{} intensity", "text": "“{}”", "speaker": "speaker {}", "gender": "{}"}
    told = [(form, row.get(name)) for name, form in forms.items()]
    return printable(", ".join(form.format(v) for form, v in told if isinstance(v, str) and v))


def _confused(
    result: Result, clips: Mapping[str, Recording], hardest: Sequence[HardClip]
) -> tuple[list[tuple[str, str]], dict[tuple[str, str, str], str]]:
    """Further clips with their audio, and the players' numbers by model, emotion and label."""
    numbers = {clip.clip: n for n, clip in enumerate(c for c in hardest if c.audio)}
    board, players = result.leaderboard(), list[tuple[str, str]]()
    rows = result.rows(board[0].model)
    wrong = rows[rows["emotion"] != rows["predicted"]]
    for clip in wrong.groupby(["emotion", "predicted"]).head(N_HEARD)["clip"] if clips else ():
        full = sum(len(sound) for _, sound in players) > MAX_SOUND
        if clip not in numbers and not full and (sound := playable(clips.get(clip))):
            numbers[clip] = len(numbers)
            players.append((printable(clip), sound))
    rows = pd.concat([result.rows(run.model) for run in board])
    cells = rows[rows["clip"].isin(numbers)].groupby(["model", "emotion", "predicted"])["clip"]
    return players, {key: " ".join(str(numbers[c]) for c in found) for key, found in cells}


def playable(recording: Recording | None) -> str | None:
    """A recording as a small OGG data URL; None when it is not at hand."""
    if not recording:
        return None
    try:
        signal = audio.resample(audio.load(recording), PLAY_RATE)
    except AudioError:
        return None
    samples = signal.samples * (PLAY_PEAK / max(float(np.abs(signal.samples).max()), 1e-9))
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, PLAY_RATE, format="OGG", subtype="VORBIS")
    return "data:audio/ogg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _details(result: Result) -> Iterator[dict[str, object]]:
    for run in result.leaderboard():
        rows = result.rows(run.model)
        labels = (rows["emotion"], rows["predicted"])
        curves = [history for history in run.history or [] if history]
        yield {
            "run": run,
            "n_folds": rows["fold"].nunique(),
            "confusion": metrics.confusion(*labels, emotions=result.emotions),
            "per_emotion": metrics.per_emotion(*labels, emotions=result.emotions),
            "curve": _svg((9, 3), plots.learning_curves, curves) if curves else None,
        }


def _slices(result: Result) -> dict[str, pd.DataFrame]:
    rows = result.rows(result.leaderboard()[0].model)
    if {"statement", "text"} <= set(rows):
        rows = rows.assign(statement=rows["statement"] + ": " + rows["text"])
    several = [name for name in SLICES if name in rows and rows[name].nunique() > 1]
    return {name: metrics.by_group(rows, name) for name in several}


def _ablation(result: Result) -> pd.DataFrame | None:
    """UAR of each model on each feature set: one row per set, in the order they were run."""
    rows: dict[str, dict[str, float]] = {}
    for run in result.ablations():
        rows.setdefault(run.features, {})[run.model] = run.uar
    if not rows:
        return None
    everything = next(iter(rows)).split("+")

    def words(label: str) -> str:
        names = label.split("+")
        if not (absent := [name for name in everything if name not in names]):
            return "all"
        return label if len(names) == 1 else f"all but {absent[0]}"

    return pd.DataFrame(list(rows.values()), index=[words(features) for features in rows])


def _leak_protocol(result: Result) -> str | None:
    others = [run.protocol for run in result.runs if run.protocol != result.protocol]
    return next((name for name in others if shares_speakers(name)), None)


def _paper(result: Result) -> dict[str, Any]:
    board, words = result.leaderboard(), _protocol_words(result)
    rows = result.rows(board[0].model)
    counts = metrics.confusion(rows["emotion"], rows["predicted"], emotions=result.emotions)
    lines, letters = {"chance": summary.chance(result)}, _groups(result)
    leaderboard = functools.partial(plots.leaderboard, letters=letters, lines=lines)
    table = template("table.tex.j2").render(
        corpus=result.corpus, board=board, protocol=result.protocol, protocol_words=words,
        chance=summary.chance(result), emotions=summary.tested_emotions(result),
        units=unseen.units_of(result.corpus)[1], leak_protocol=_leak_protocol(result),
    )  # fmt: skip
    citations = str(result.corpus.get("citation") or "").split("\n")
    return {
        "sentence": paper_sentence(result, words),
        "table": table,
        "bib": template("cite.bib.j2").render(version=__version__, citations=citations),
        "figures": [
            (_svg((WIDTH, 1.2 + 0.35 * len(board)), leaderboard, board), "Leaderboard"),
            (_svg((WIDTH, 4.4), plots.confusion, counts),
             f"Confusion matrix of {board[0].model}, in percent"),
        ],
    }  # fmt: skip


def _titles(result: Result) -> dict[str, str]:
    """What the names of models stand for, of those that emoscope or a plugin brings."""
    own = {name: models.get(name).title for name in models.names()}
    own[ON_EMBEDDINGS.name] = ON_EMBEDDINGS.title
    return {run.model: own[run.model] for run in result.runs if run.model in own}


def _groups(result: Result) -> dict[str, str]:
    """Letters per model; models that share one cannot be told apart."""
    comparisons = result.comparisons()
    scores = {run.model: run.uar for run in result.leaderboard()}
    return {} if comparisons.empty else statistics.letters(statistics.groups(scores, comparisons))


def _script_gaps(result: Result) -> list[tuple[Run, ...]]:
    """Each model's run whose script gap is known, its control's and that under ``speaker+text``."""
    of = {(run.model, run.features, run.protocol): run for run in result.runs}
    known = [run for run in result.leaderboard() if run.script_gap is not None]
    twins = (SCRIPT_CONTROL, SPEAKER_TEXT)
    return [(run, *(of[run.model, run.features, twin] for twin in twins)) for run in known]


def _calibration(result: Result) -> str:
    rows = result.rows(result.leaderboard()[0].model)
    probabilities = rows[[f"p_{e}" for e in result.emotions]].to_numpy()
    curve = metrics.reliability(rows["emotion"], probabilities, emotions=result.emotions)
    return _svg((WIDTH, 4.2), plots.reliability, curve)


def _svg(size: tuple[float, float], plot: Callable[..., object], *shown: object) -> str:
    return plots.to_svg(lambda ax: plot(*shown, ax=ax), size=size)


def _protocol_words(result: Result) -> str:
    base, folds = base_of(result.protocol), result.config.get("folds") or {}
    return said(
        "protocol", names=shipped_table("protocols.toml"), base=base, folds=folds.get(result.protocol),
        speakers=unseen.speakers_of(result.corpus), shares_speakers=shares_speakers(base),
        adaptation=adaptation_of(result.protocol),
    )  # fmt: skip


_MADE: tuple[Callable[[Result], Any], ...] = (summary.sentences, summary.chance, _groups, _titles)
_MADE += (_script_gaps, _slices, _ablation, _calibration, _details, _paper)
_MADE += (_leak_protocol, _protocol_words)
#: What each section of the page shows, by the name that its block in the template reads.
SECTIONS = {made.__name__.lstrip("_"): made for made in _MADE} | {"human": summary.human_listeners}


def duration(seconds: float) -> str:
    """A time as a reader wants it: in seconds, minutes or hours."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def asset(name: str) -> str:
    """The text of a file beside the templates."""
    return (importlib.resources.files("emoscope.report") / "templates" / name).read_text("utf-8")


def rendered(page: str, code: str, /, **values: Any) -> str:
    """A page with the style that all share, and a script, the only one that its policy lets run."""
    script, css = asset(code), asset("base.css") + plots.emotion_css()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    more = {"css": css, "script": script, "script_hash": digest, "version": __version__}
    return template(page).render(**more, **values)


@functools.cache
def template(name: str) -> jinja2.Template:
    """A template of a page, or of LaTeX with ``<< … >>``; what it does not know raises."""
    loader, undefined = jinja2.PackageLoader("emoscope.report"), jinja2.StrictUndefined
    start, end = ("<<", ">>") if name.endswith((".tex.j2", ".bib.j2")) else ("{{", "}}")
    environment = jinja2.Environment(
        loader=loader, autoescape=name.endswith(".html.j2"), trim_blocks=True, undefined=undefined,
        variable_start_string=start, variable_end_string=end,
    )  # fmt: skip
    environment.filters |= {"tex": tex, "printable": printable, "duration": duration}
    return environment.get_template(name)


def tex(text: object) -> str:
    """A text for LaTeX, in which none of its characters is a command."""
    return re.sub(r"[\\~^&%$#_{}]", lambda found: TEX[found[0]], str(text))


def paper_sentence(result: Result, protocol: str) -> str:
    """What came out, with corpus, protocol and interval; empty without a model worth naming."""
    verdict, emotions = summary.verdict(result), summary.tested_emotions(result)
    told = {"result": result, "protocol": protocol, "version": __version__}
    return verdict and said("paper", verdict=verdict, n_emotions=len(emotions), **told)


def uses() -> dict[str, dict[str, Any]]:
    """The uses that are told apart, by name: title, verdict, why, sources and cases, if any."""
    return dict(shipped_table("ai_act.toml")["use"])


def notice(card: Card, use: str | None = None, *, html: bool = False) -> str:
    """The notice and all uses, or one use alone, as Markdown or as a page that loads nothing."""
    table, known = shipped_table("ai_act.toml"), uses()
    check_known("use", known, *filter(None, (use,)))
    told = {"meaning": card.about.meaning, "source": card.about.source, "worth": card.worth}
    parts = [{**part, "text": part["text"].format(**told)} for part in table["notice"]]
    chosen = {use: known[use]} if use else known
    return template("notice.html.j2" if html else "notice.md.j2").render(
        css=asset("base.css"), law=table, notice=() if use else parts, uses=chosen
    )
