"""The commands that compare, reproduce, check and train."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import config
from ..errors import AudioError, EmoscopeError
from ..files import refuse_overwrite, write_together
from .commands import (
    COMPARING,
    Cluster,
    Emotions,
    FeatureNames,
    Jobs,
    ModelNames,
    Out,
    Seed,
    Source,
    claim,
    command,
    end,
    options_of,
    recordings,
    split,
    words,
)

#: Models quick enough to be run on every subset of the features by the way.
ABLATION_MODELS = ("svm", "svm-rbf", "tree")


@command(
    examples=(
        "emoscope compare",
        "emoscope compare path/to/ravdess --models svm,forest --features mfcc,chroma,mel",
        "emoscope compare manifest.csv --protocol loso --out my-result",
        "emoscope compare --config my-result/run.toml --out again",
    ),
    panel=COMPARING,
    configurable=True,
)
def compare(
    context: typer.Context,
    source: Source = None,
    *,
    models: ModelNames = None,
    features: FeatureNames = None,
    protocol: Annotated[
        str, typer.Option(metavar="NAME", help="How clips are divided into training and test.")
    ] = "speaker-6fold",
    emotions: Emotions = None,
    as_published: Annotated[
        bool, typer.Option("--as-published", help="The published form of each model.")
    ] = False,
    quick: Annotated[bool, typer.Option("--quick", help="A tenth of the epochs.")] = False,
    leak_gap: Annotated[
        bool, typer.Option(help="Also run on random folds, to show what a leak would claim.")
    ] = True,
    seed: Seed = 0,
    jobs: Jobs = None,
    cluster: Cluster = None,
    mlflow: Annotated[
        bool, typer.Option("--mlflow", help="Also write to MLflow (MLFLOW_TRACKING_URI).")
    ] = False,
    out: Out = Path("emoscope-out"),
) -> None:
    """Compare models on unseen speakers: train, test, leak gap, report."""
    from .. import dataset
    from .. import models as model_registry
    from ..dataset.store import Store
    from ..evaluation import comparison, tracking
    from ..evaluation.engine import Checkpoint
    from ..features import DEFAULT
    from ..protocols import shares_speakers
    from ..report import page
    from . import terminal

    if mlflow:
        tracking.mlflow()  # before the work, not after it
    chosen = split(models) or list(model_registry.names())
    infos = {name: model_registry.get(name) for name in chosen}
    wanted = split(features) or list(DEFAULT)
    if any(info.input == "frames" for info in infos.values()) and "logmel" not in wanted:
        wanted.append("logmel")
    with terminal.progress("extracting features") as tick:
        data = dataset.load(
            source, wanted, emotions=split(emotions), store=Store.default(), jobs=jobs,
            cluster=cluster, progress=tick,
        )  # fmt: skip
    if not split(models):
        for name, reason in comparison.incompatible_models(chosen, data.features).items():
            terminal.status.print(f"{name} is left out: {reason}", markup=False, soft_wrap=True)
            chosen.remove(name)
    claim(out)
    twin = leak_gap and not shares_speakers(protocol) and "+" not in protocol
    leak_protocol = "random-75/25" if twin else None
    ablation = [name for name in ABLATION_MODELS if name in chosen]
    rejected = data.corpus.rejected
    with terminal.accounted(rejected), terminal.Leaderboard(protocol, leak_protocol) as board:
        result = comparison.compare(
            data.corpus, data.features, models=chosen, protocol=protocol,
            leak_protocol=leak_protocol, ablation=ablation, as_published=as_published, quick=quick, seed=seed,
            jobs=jobs, cluster=cluster, checkpoint=Checkpoint(out / "finished"),
            on_run=board.on_run, on_unit=board.on_unit, project_clips="vector" in data.features,
            command=words(),
        )  # fmt: skip
    with terminal.step("writing the report"):
        options = options_of(
            context, out / config.FILE, models=chosen, features=wanted,
            emotions=split(emotions) or None,
        )  # fmt: skip
        clips = recordings(data.corpus) if source is not None else None
        result.save(out, {out / "report.html": page.render(result, clips=clips), **options})
    terminal.out.print(board.table())
    terminal.out.print(f"report: {out / 'report.html'}", soft_wrap=True)
    if mlflow:
        tracking.to_mlflow(result, out)
    end(data.corpus.rejected)


@command(
    examples=(
        "emoscope reproduce --quick",
        "emoscope reproduce path/to/ravdess --out reproduction",
        'emoscope reproduce --rows "random forest" --rows "decision tree"',
    ),
    panel=COMPARING,
    configurable=True,
)
def reproduce(
    context: typer.Context,
    source: Source = None,
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="Few epochs and few seeds; the output says so.")
    ] = False,
    rows: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="Only results whose name contains this; repeatable."),
    ] = None,
    seed: Seed = 0,
    jobs: Jobs = None,
    cluster: Cluster = None,
    out: Out = Path("emoscope-out"),
) -> None:
    """Reproduce every published result as published, and measure it on unheard speakers.

    The full run takes hours; stop it whenever you like, the same command goes on where it was.
    """
    from .. import reproduction
    from . import terminal

    claim(out)
    with terminal.accounted([]), terminal.progress("training and testing") as tick:
        made = reproduction.reproduce(
            source, out=out, quick=quick, rows=rows, jobs=jobs, cluster=cluster, seed=seed,
            progress=tick,
        )  # fmt: skip
    made.save(out, options_of(context, out / "reproduction.toml"))
    terminal.say_reproduction(made)
    terminal.out.print(f"report: {out / 'reproduction.html'}", soft_wrap=True)
    end(made.rejected)


@command(
    examples=(
        "emoscope audit manifest.csv",
        "emoscope audit train.txt test.txt --audio recordings",
        "emoscope audit emoscope-out --out findings.json",
    ),
    panel=COMPARING,
)
def audit(
    source: Annotated[
        str,
        typer.Argument(
            help="Manifest with a split column, audformat, Hugging Face or EmoBox-style folder, "
            "saved result, or, with a second file, the list of training files."
        ),
    ],
    test: Annotated[
        str | None, typer.Argument(help="The list of test files.", show_default=False)
    ] = None,
    *,
    audio: Annotated[
        str | None, typer.Option(metavar="DIR", help="Folder in which to look for the recordings.")
    ] = None,
    inflation: Annotated[bool, typer.Option(help="Also measure what a leak flatters by.")] = True,
    seed: Seed = 0,
    jobs: Jobs = None,
    cluster: Cluster = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="A .json file for the findings.")
    ] = None,
) -> None:
    """Look for leaks in a split; exit status 1 when there is one."""
    from .. import audit as audits
    from . import terminal

    if out is not None:
        refuse_overwrite(out, source, test)
    with terminal.progress("comparing recordings") as tick:
        found = audits.audit(
            source, test, audio=audio, inflation=inflation, seed=seed, jobs=jobs, cluster=cluster,
            progress=tick,
        )  # fmt: skip
    terminal.say_findings(found.verdict, found.findings)
    if out is not None:
        found.save(out)
    terminal.say_rejected(found.rejected)
    if found.leaks or found.rejected:
        raise typer.Exit(1)


@command(
    examples=(
        "emoscope train svm path/to/ravdess --out mine.emoscope",
        "emoscope train cnn2d-a path/to/emodb --seed 1 --out mine.emoscope",
        "emoscope train --config mine.toml --out again.emoscope",
    ),
    panel=COMPARING,
    configurable=True,
)
def train(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="A model's name.")],
    source: Source = None,
    *,
    features: FeatureNames = None,
    parameters: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What emoscope tune has chosen: its tuned.json."),
    ] = None,
    emotions: Emotions = None,
    seed: Seed = 0,
    jobs: Jobs = None,
    cluster: Cluster = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="The .emoscope file to write.")
    ],
) -> None:
    """Fit one model on a whole corpus and save it, calibrated on speakers held out in turn.

    The options are saved beside it, with the ending .toml.
    """
    from .. import dataset, modelfile, training
    from .. import models as model_registry
    from ..dataset.store import Store
    from ..evaluation import search
    from ..features import DEFAULT
    from . import terminal

    if out.suffix != modelfile.SUFFIX:  # its options get the ending .toml
        raise EmoscopeError(f"--out {out}: the file must end in {modelfile.SUFFIX}")
    beside = out.with_suffix(".toml")
    refuse_overwrite(out, source, parameters)
    if beside.exists() and not config.is_one(beside):
        raise EmoscopeError(f"--out {out}: the options would replace {beside}; give another name")
    info = model_registry.get(model)
    chosen = search.load(parameters, model) if parameters else {}
    names = split(features) or (list(DEFAULT) if info.input == "vector" else ["logmel"])
    with terminal.progress("extracting features") as tick:
        data = dataset.load(
            source, names, emotions=split(emotions), store=Store.default(), jobs=jobs,
            cluster=cluster, progress=tick,
        )  # fmt: skip
    with terminal.accounted(data.corpus.rejected, kept=False), terminal.step("training"):
        card = training.train(
            model, data.corpus, data.features[info.input], names=names, out=out, seed=seed,
            parameters=chosen,
        )  # fmt: skip
    write_together(options_of(context, beside, features=names, emotions=split(emotions) or None))
    size = out.stat().st_size / 1e6
    terminal.out.print(f"{out}: {card.name}, {size:.1f} MB", soft_wrap=True)
    for measured in card.results:
        terminal.out.print(
            f"on speakers it had not heard: UAR {measured.uar:.3f} "
            f"({measured.uar_low:.3f}–{measured.uar_high:.3f})"
        )
    end(data.corpus.rejected)


@command(
    examples=(
        "emoscope evaluate mine.emoscope path/to/emodb",
        "emoscope evaluate mine.emoscope manifest.csv --adapt speaker --out evaluation",
    ),
    panel=COMPARING,
)
def evaluate(
    model: Annotated[str, typer.Argument(help="A .emoscope file.")],
    source: Annotated[str, typer.Argument(help="Corpus folder or manifest.")],
    *,
    adapt: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="speaker or corpus: standardise on its own clips."),
    ] = None,
    emotions: Emotions = None,
    jobs: Jobs = None,
    out: Out = Path("emoscope-out"),
) -> None:
    """Score a saved model on any labelled source."""
    from .. import corpus, modelfile
    from ..evaluation import saved_model
    from ..report import page
    from . import terminal

    loaded = corpus.load(source)
    if emotions:
        loaded = loaded.select(emotions=split(emotions))
    claim(out)
    with terminal.step("judging recordings"):
        result = saved_model.evaluate(
            modelfile.load(model), loaded, adapt=adapt, jobs=jobs, command=words()
        )
    result.save(out, {out / "report.html": page.render(result, clips=recordings(loaded))})
    terminal.say_scores(result.leaderboard(), result.config["notes"])
    terminal.out.print(f"report: {out / 'report.html'}", soft_wrap=True)
    end(AudioError(bad["file"], bad["reason"]) for bad in result.corpus["rejected"])
