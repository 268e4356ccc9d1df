"""The command that tunes a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import config
from .commands import (
    COMPARING,
    Cluster,
    Emotions,
    FeatureNames,
    Jobs,
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

#: What ``emoscope train --parameters`` takes.
FILE = "tuned.json"


@command(
    examples=(
        "emoscope tune svm-rbf",
        "emoscope tune lda path/to/emodb --protocol loso --trials 8 --out tuned",
        "emoscope train lda path/to/emodb --parameters tuned/tuned.json --out mine.emoscope",
    ),
    panel=COMPARING,
    configurable=True,
)
def tune(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="A model's name.")],
    source: Source = None,
    *,
    features: FeatureNames = None,
    protocol: Annotated[
        str, typer.Option(metavar="NAME", help="How clips are divided into training and test.")
    ] = "speaker-6fold",
    trials: Annotated[
        int, typer.Option(metavar="N", min=1, help="Most sets of parameters to try in each fold.")
    ] = 20,
    emotions: Emotions = None,
    seed: Seed = 0,
    jobs: Jobs = None,
    cluster: Cluster = None,
    out: Out = Path("emoscope-out"),
) -> None:
    """Choose a model's parameters inside training speakers, and say what that is worth.

    The choice for other voices, made on all speakers, is written to tuned.json.
    """
    from .. import dataset, models
    from ..dataset.store import Store
    from ..evaluation import search
    from ..evaluation.engine import Checkpoint
    from ..features import DEFAULT
    from ..report import page
    from . import terminal

    info = models.get(model)
    names = split(features) or (list(DEFAULT) if info.input == "vector" else ["logmel"])
    search.search(info, trials=trials, seed=seed)  # what cannot be tuned is said at once
    with terminal.progress("extracting features") as tick:
        data = dataset.load(
            source, names, emotions=split(emotions), store=Store.default(), jobs=jobs,
            cluster=cluster, progress=tick,
        )  # fmt: skip
    claim(out)
    rejected = data.corpus.rejected
    with terminal.accounted(rejected), terminal.Leaderboard(protocol, None) as board:
        result = search.measure(
            data.corpus, data.features, model, protocol=protocol, trials=trials, seed=seed,
            jobs=jobs, cluster=cluster, checkpoint=Checkpoint(out / "finished"), on_run=board.on_run,
            on_unit=board.on_unit, command=words(),
        )  # fmt: skip
    with terminal.step("choosing on all speakers"):
        trials_on_all = search.choose(data.corpus, data.features, model, trials=trials, seed=seed)
    clips = recordings(data.corpus) if source else None
    beside = {
        **options_of(context, out / config.FILE, features=names, emotions=split(emotions) or None),
        out / "report.html": page.render(result, clips=clips),
        out / FILE: search.to_json(model, trials_on_all, names),
    }
    result.save(out, beside)
    terminal.out.print(board.table())
    terminal.say_tuning(result, trials_on_all)
    terminal.out.print(f"for training: {out / FILE}", soft_wrap=True)
    end(data.corpus.rejected)
