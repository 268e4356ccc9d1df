"""The commands that compare, tune, reproduce, check, train, evaluate and export models."""

import dataclasses
import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import config
from ..errors import AudioError, EmoscopeError
from ..files import refuse_overwrite, sentence, write_together
from . import commands, keeping, terminal
from .commands import COMPARING, RECOGNISING, command

if TYPE_CHECKING:
    from ..checking import Checked
    from ..corpus import Corpus
    from ..evaluation.result import Result
    from ..modelfile import ModelFile
    from ..modelfile.card import Card

ABLATION_MODELS = ("svm", "svm-rbf", "tree")  # quick enough for every subset of the features
SCRIPT_MODELS = (*ABLATION_MODELS, "lda")  # and for the many folds of speaker+text, twice
TUNED = "tuned.json"  # what ``emoscope train --parameters`` takes
RESULT = ("results.json", "predictions.csv", "report.html")


@command(COMPARING, configurable=True)
def compare(
    source: commands.Source = commands.BUNDLED, *, models: str | None = None,
    features: str | None = None, protocol: str = "speaker-6fold", as_published: bool = False,
    quick: bool = False, leak_gap: bool = True, raters: str = "majority", seed: int = 0,
    jobs: int | None = None, cluster: str | None = None, out: Path = Path("emoscope-compare"),
) -> None:  # fmt: skip
    """Train and test models on unseen speakers, and write a report."""
    from .. import models as registry
    from .. import protocols
    from ..dataset import bundled
    from ..evaluation import comparison
    from ..evaluation.engine import Checkpoint
    from ..models.described import ON_EMBEDDINGS

    embedded = {} if source.places or source.has_song else {ON_EMBEDDINGS.name: ON_EMBEDDINGS}
    chosen = commands.split(models) or [*registry.names(), *([] if features else embedded)]
    infos = {name: embedded.get(name) or registry.get(name) for name in chosen}
    feature_names = commands.features_for("vector", features)
    needed = {info.input for info in infos.values()}
    if "frames" in needed and (models or not source.has_song):
        feature_names += ["logmel"] * ("logmel" not in feature_names)
    protocols.split_name(protocol)
    keeping.claim(out, *RESULT, record=config.FILE)
    data = source.dataset(feature_names, jobs=jobs, cluster=cluster, protocol=protocol)
    if "embedding" in needed:
        data.features["embedding"] = bundled.embeddings(data.corpus)
    if not commands.split(models):
        left = comparison.incompatible_models(infos, data.features, raters)
        if source.has_song and not features:
            left[ON_EMBEDDINGS.name] = bundled.NO_EMBEDDINGS
        for reason in dict.fromkeys(left.values()):
            terminal.note(f"left out: {', '.join(n for n in left if left[n] == reason)}: {reason}")
        infos = {name: info for name, info in infos.items() if name not in left}
    leaks = not leak_gap or data.corpus.speakers_from.held_out(protocol) == "clips"
    leaky = None if leaks or protocols.adaptation_of(protocol) else "random-75/25"
    board = terminal.Leaderboard(protocol, leaky, data.corpus.speakers_from)
    with terminal.accounted(data.corpus.rejected), board:
        result = comparison.compare(
            data.corpus, data.features, models=infos, protocol=protocol, leak_protocol=leaky,
            ablation=[name for name in ABLATION_MODELS if name in infos],
            script_gap=[name for name in SCRIPT_MODELS if leaky and name in infos],
            as_published=as_published, quick=quick, raters=raters, seed=seed, jobs=jobs, cluster=cluster,
            checkpoint=Checkpoint(out / "finished"), on_run=board.on_run, on_unit=board.on_unit,
            command=commands.command_line(),
        )  # fmt: skip
    with terminal.step("writing the report"):
        _save(result, out, source, data.corpus, models=list(infos), features=feature_names)
    terminal.say_comparison(board, result)
    terminal.say(f"report: {out / 'report.html'}")
    commands.end(data.corpus.rejected)


@command(COMPARING, configurable=True)
def tune(
    model: str, source: commands.Source = commands.BUNDLED, *, features: str | None = None,
    protocol: str = "speaker-6fold", trials: int = 20, seed: int = 0, jobs: int | None = None,
    cluster: str | None = None, out: Path = Path("emoscope-tune"),
) -> None:  # fmt: skip
    """Tune a model's parameters by nested cross-validation over speakers.

    The parameters chosen on all speakers are written to tuned.json.
    """
    from .. import models, protocols
    from ..evaluation import search
    from ..evaluation.engine import Checkpoint

    info = models.get(model)
    names = commands.features_for(info.input, features)
    search.search(info, trials=trials, seed=seed)  # what cannot be tuned is said at once
    protocols.split_name(protocol)
    keeping.claim(out, *RESULT, TUNED, record=config.FILE)
    data = source.dataset(names, jobs=jobs, cluster=cluster, protocol=protocol)
    board = terminal.Leaderboard(protocol, None, data.corpus.speakers_from)
    with terminal.accounted(data.corpus.rejected), board:
        result = search.measure(
            data.corpus, data.features, model, protocol=protocol, trials=trials, seed=seed,
            jobs=jobs, cluster=cluster, checkpoint=Checkpoint(out / "finished"), on_run=board.on_run,
            on_unit=board.on_unit, command=commands.command_line(),
        )  # fmt: skip
    with terminal.step("tuning on all speakers"):
        best_first = search.choose(data.corpus, data.features, model, trials=trials, seed=seed)
    written = {out / TUNED: search.to_json(model, best_first, names)}
    _save(result, out, source, data.corpus, written, features=names)
    terminal.say_comparison(board, result)
    tuned = next(run.chosen for run in result.runs if any(run.chosen or []))
    terminal.say_all("tuning", tuned=tuned, best=best_first[0], n=len(best_first))
    terminal.say(f"tuned parameters: {out / TUNED}")
    commands.end(data.corpus.rejected)


@command(COMPARING, configurable=True)
def reproduce(
    source: str | None = None, *, part: str | None = None, quick: bool = False,
    rows: list[str] | None = None, seed: int = 0, jobs: int | None = None,
    cluster: str | None = None, out: Path = Path("emoscope-reproduce"),
) -> None:  # fmt: skip
    """Reproduce published accuracies, and measure the same models on unseen speakers.

    The full run takes hours. You can stop it at any time; the same command resumes it.
    """
    from .. import reproduction

    names = [f"reproduction.{ending}" for ending in ("json", "csv", "html")]
    keeping.claim(out, *names, record="reproduction.toml")
    with terminal.accounted([]), terminal.progress("training and testing") as tick:
        outcome = reproduction.reproduce(
            source, part=part, out=out, quick=quick, rows=rows, jobs=jobs, cluster=cluster,
            seed=seed, progress=tick,
        )  # fmt: skip
    outcome.save(out, keeping.options_of(out / "reproduction.toml"))
    terminal.say_reproduction(outcome)
    terminal.say(f"report: {out / 'reproduction.html'}")
    commands.end(outcome.rejected)


@command(COMPARING)
def audit(
    source: str, test: str | None = None, *, audio: str | None = None, jobs: int | None = None,
    cluster: str | None = None, out: Path | None = None,
) -> None:  # fmt: skip
    """Check a split for leaks. Exit status 1 if there is one."""
    from .. import audit as audits

    if out is not None:
        refuse_overwrite(out, source, test)
        named = json.dumps(" + ".join(filter(None, (source, test))))
        keeping.keep(out, record=out, sign=f'"source": {named}')
    with terminal.progress("comparing recordings") as tick:
        result = audits.audit(source, test, audio=audio, jobs=jobs, cluster=cluster, progress=tick)
    terminal.say_findings(result.headline, result.findings)
    if result.voices:
        terminal.say(result.voices)
    if out is not None:
        result.save(out)
    terminal.say_rejected(result.rejected)
    if result.leaks or result.rejected:
        sys.exit(1)


@command(COMPARING, configurable=True)
def train(
    model: str, source: commands.Source = commands.BUNDLED, *, features: str | None = None,
    parameters: Path | None = None, raters: str = "majority", seed: int = 0,
    jobs: int | None = None, cluster: str | None = None, from_corrections: bool = False, out: Path,
) -> None:  # fmt: skip
    """Train a model on a whole corpus, calibrate it on held-out speakers, and save it.

    The options are saved next to it in a .toml file.
    """
    from .. import modelfile, models, training
    from ..evaluation import search

    if out.suffix != modelfile.SUFFIX:  # its options get the ending .toml
        raise EmoscopeError(f"--out {out}: the file must end in {modelfile.SUFFIX}")
    refuse_overwrite(out, *source.places, parameters)
    beside = keeping.beside(out, out.with_suffix(".toml"))
    if from_corrections:
        _adapt(model, source, seed=seed, jobs=jobs, out=out)
        write_together(keeping.options_of(beside))
        return
    if model in modelfile.SHIPPED or model.endswith(modelfile.SUFFIX):
        raise EmoscopeError(sentence("is_trained", name=model))
    info = models.get(model)
    chosen = search.load(parameters, model) if parameters else {}
    names = commands.features_for(info.input, features)
    data = source.dataset(names, jobs=jobs, cluster=cluster)
    names = data.names(names)
    with terminal.accounted(data.corpus.rejected, resumable=False), terminal.step("training"):
        card = training.train(
            model, data.corpus, data.features[info.input], names=names, out=out, seed=seed,
            parameters=chosen, raters=raters,
        )  # fmt: skip
    write_together(keeping.options_of(beside, features=names))
    _say_trained(card, out)
    commands.end(data.corpus.rejected)


def _adapt(model: str, source: commands.Source, *, seed: int, jobs: int | None, out: Path) -> None:
    from .. import modelfile
    from ..training import adapting

    if not source.places:  # the one argument is the source
        model, source = modelfile.SHIPPED[0], dataclasses.replace(source, places=(model,))
    if model not in modelfile.SHIPPED and not model.endswith(modelfile.SUFFIX):
        raise EmoscopeError(sentence("not_trained", name=model))
    corpus, loaded = source.corpus(), modelfile.load(model)
    with terminal.accounted(corpus.rejected, resumable=False), terminal.step("adapting"):
        card, used = adapting.adapt(loaded, corpus, out, seed=seed, jobs=jobs)
    _say_trained(card, out)
    before, n_clips = card.results[0].others["uar_before"], len(used.table)
    terminal.say(f"before: UAR {before:.3f} on the same {n_clips} clips")
    for note in used.notes[len(corpus.notes) :]:
        terminal.note(note)
    commands.end(used.rejected)


def _say_trained(card: "Card", out: Path) -> None:
    from .. import unseen

    terminal.say_all(
        "trained", out=out, size=out.stat().st_size, card=card,
        held_out=unseen.WORDS[card.held_out], optimistic=unseen.OPTIMISTIC,
    )  # fmt: skip


@command(COMPARING, configurable=True)
def evaluate(
    model: str, source: commands.Source, *, adapt: str | None = None, jobs: int | None = None,
    out: Path = Path("emoscope-evaluate"),
) -> None:  # fmt: skip
    """Test a saved model on a labelled corpus."""
    from .. import modelfile
    from ..evaluation import saved_model
    from ..report import summary

    keeping.claim(out, *RESULT, record=config.FILE)
    corpus = dataclasses.replace(source, emotions=()).corpus()
    loaded = commands.said(modelfile.load(model, labels=source.reading["labels"]))
    with terminal.step("classifying recordings"):
        result = saved_model.evaluate(
            loaded, corpus, emotions=source.emotions, adapt=adapt, jobs=jobs,
            command=commands.command_line(),
        )  # fmt: skip
    _save(result, out, source, corpus)
    terminal.say_all("scores", runs=result.leaderboard(), answers=summary.answers)
    notes = [f"note: {text}" for text in result.config["notes"]]
    for note in (*notes, *result.corpus["notes"][len(corpus.notes) :]):
        terminal.note(note)
    terminal.say(f"report: {out / 'report.html'}")
    commands.end(AudioError(bad["file"], bad["reason"]) for bad in result.corpus["rejected"])


def _save(
    result: "Result", out: Path, source: commands.Source, corpus: "Corpus",
    more: Mapping[Path, str] | None = None, **resolved: Any) -> None:  # fmt: skip
    """Write a result with its report and its options, of which some were `resolved`."""
    from ..report import page

    html = page.render(result, clips=source.clips(corpus))
    options = keeping.options_of(out / config.FILE, **resolved)
    result.save(out, {**options, out / "report.html": html, **(more or {})})
    if (install := "pip install 'emoscope[plots]'") in html:
        terminal.note(f"the report has no plots; they need matplotlib: {install}")


@command(RECOGNISING)
def export(
    model: str = "default", *, onnx: Path | None = None, hub: Path | None = None,
    check: Path | None = None, web: Path | None = None,
) -> None:  # fmt: skip
    """Write a model as ONNX, a Hugging Face repository or a web page. Nothing is uploaded."""
    from .. import modelfile
    from ..training import publishing

    if onnx is None and hub is None and web is None:
        raise EmoscopeError("nothing to write; give --onnx FILE, --hub DIR or --web DIR")
    loaded = modelfile.load(model)
    checked = _checked(check, loaded.card.name) if check else None
    refuse_overwrite(onnx or "", model)
    for option, folder in (("--hub", hub), ("--web", web)):
        if folder is not None and folder.is_file():
            raise EmoscopeError(f"{option} {folder}: is a file; give a folder")
    keeping.keep(*filter(None, (onnx,)), *(publishing.hub_files(loaded, hub) if hub else ()))
    if onnx is not None:
        terminal.say(str(publishing.to_onnx(loaded, onnx)))
    if hub is not None:
        terminal.say(str(publishing.to_hub(loaded, hub, checked)))
    if web is not None:
        _write_page(loaded, web, Path(model).stem)


def _write_page(model: "ModelFile", folder: Path, name: str) -> None:
    from ..training import web

    keeping.keep(folder / "index.html")
    sizes = web.write(model, folder, name)
    terminal.say(f"{folder}: {len(sizes)} files, {sum(sizes.values()) / 1e6:.1f} MB")
    terminal.say(f"look at it: python -m http.server --directory {shlex.quote(str(folder))}")


def _checked(folder: Path, name: str) -> "Checked":
    """The check in a folder, which has to be of the model of that name."""
    from ..checking import Checked

    try:
        found = Checked.from_json((folder / "check.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EmoscopeError(f"--check {folder}: holds no check ({error})") from error
    if found.model != name:
        raise EmoscopeError(f"--check {folder}: is of {found.model!r}, not of {name!r}")
    return found
