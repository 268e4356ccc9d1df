"""Every result that the original student project published: reproduced, and measured honestly.

Each row of ``data/published.json`` is trained as published and, beside it, as it should have been
measured: the same model and features on unseen speakers.
"""

import dataclasses
import itertools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .. import dataset, models, protocols
from .._version import __version__
from ..dataset import Dataset
from ..dataset.bundled import NO_SPECTROGRAMS
from ..dataset.store import Store
from ..errors import AudioError, CorpusError
from ..evaluation import engine, metrics, statistics
from ..evaluation.comparison import describe_corpus
from ..evaluation.engine import Checkpoint, Outcome, Unit
from ..files import DATA, lines, write_together
from ..modelfile.about import NOT_FELT
from ..models import ModelInfo
from ..protocols import shares_speakers
from . import claims
from .claims import CLASSICAL, Row, Verdict

QUICK_EPOCHS, QUICK_SEEDS = 10, 3
SEEDS = 10  # of the split, for the mean and the range; the published 7 is one of them
#: Six folds of five spectrogram networks would train all night; one published split does.
HONEST = {"vector": "speaker-6fold", "frames": "audeering-1.1"}
RANDOM = {"vector": "random-75/25", "frames": "random-80/20"}
#: Families of models, by how their public names begin; whatever fits none is classical.
FAMILIES = {"mlp": "MLP", "cnn1d": "CNN-1D", "cnn2d": "CNN-2D"}
SEEDED = (CLASSICAL, "MLP")  # quick enough to train on every seed of the split


@dataclasses.dataclass(frozen=True)
class Published:
    """One published result: its accuracy in percent, and how to build its model."""

    name: str
    accuracy: float
    info: ModelInfo
    parameters: Mapping[str, Any]  # in place of those of the model's published form
    run: int  # 1 for a second run of the same model: added to the seed

    @property
    def family(self) -> str:
        """The kind of model: one of :data:`FAMILIES`, or classical."""
        return FAMILIES.get(self.info.name.split("-")[0], CLASSICAL)

    def build(self, seed: int) -> Any:
        """The model as it was published, not yet fitted."""
        return self.info.as_published(seed + self.run).set_params(**self.parameters)


@dataclasses.dataclass(frozen=True)
class Reproduction:
    """A row per published result, a verdict per published claim, and all predictions."""

    rows: list[Row]
    verdicts: list[Verdict]
    predictions: pd.DataFrame
    about: Mapping[str, Any]  # what it was made of, and every option of the run
    rejected: list[AudioError] = dataclasses.field(default_factory=list)

    def save(self, out: str | os.PathLike[str], beside: Mapping[Path, str] = {}) -> Path:
        """Write ``reproduction.json``, ``.csv``, ``.html`` and the files `beside`, all or none."""
        folder = Path(out)
        document = {
            "about": self.about,
            "rows": [dataclasses.asdict(row) for row in self.rows],
            "verdicts": [dataclasses.asdict(verdict) for verdict in self.verdicts],
        }
        own = {
            folder / "reproduction.csv": self.predictions.to_csv(index=False, lineterminator="\n"),
            folder / "reproduction.json": json.dumps(document, indent=1) + "\n",
            folder / "reproduction.html": render(self),
        }
        write_together({**own, **beside})
        return folder


def reproduce(
    source: str | None = None, *, part: str | None = None,
    out: str | os.PathLike[str] = "emoscope-reproduce", quick: bool = False,
    rows: Sequence[str] | None = None, jobs: int | None = None, cluster: str | None = None,
    seed: int = 0, progress: Callable[[int, int], None] | None = None,
) -> Reproduction:  # fmt: skip
    """Train every published model as published, and again for unseen speakers.

    The source is RAVDESS, of which `part` names "speech", "song" or "both". Finished units stand in
    `out`: run again, it goes on where it was. With `rows` only the published results whose names
    contain one of these texts. The `seed` decides initial weights; the split's is the published one.
    """
    facts = published()
    has_spectrograms = source is not None or part in (None, "speech")
    data = dataset.load(
        source, [*facts["features"], *["logmel"] * has_spectrograms], emotions=facts["emotions"],
        part=part, store=Store(), jobs=jobs, cluster=cluster,
    )  # fmt: skip
    data = without_two_channels(data, facts["split"]["two_channels"])
    if absent := set(facts["emotions"]) - set(data.corpus.table["emotion"]):
        raise CorpusError(f"the published results need clips that are {', '.join(sorted(absent))}")
    asked = published_results(facts, rows or ())
    chosen = [result for result in asked if result.info.input in data.features]
    if not chosen:
        raise CorpusError(f"{NO_SPECTROGRAMS}; name the folder with the recordings")
    planned = plan(chosen, data, facts["split"]["seed"], quick=quick, seed=seed)
    finished = engine.run(
        [unit for _, unit in planned], checkpoint=Checkpoint(Path(out) / "finished"),
        jobs=jobs, cluster=cluster, on_unit=progress,
    )  # fmt: skip
    outcomes = dict(finished)
    pairs = [(result, unit, outcomes[n]) for n, (result, unit) in enumerate(planned)]
    made = [_row(one, [p[1:] for p in pairs if p[0] is one], data) for one in chosen]
    found = [row for row, _ in made]
    predictions = pd.concat([table for _, table in made], ignore_index=True)
    verdicts = claims.assess(facts["claims"], found, predictions)
    missing = f"{NO_SPECTROGRAMS}: {len(asked) - len(chosen)} results are left out"
    corpus = data.corpus
    channels = sorted(set(corpus.table.get("channel", ["speech"])), reverse=True)
    about = {
        **describe_corpus(corpus),
        "corpus": corpus.name,
        "part": " and ".join(channels) if len(channels) > 1 else f"{channels[0]} alone",
        "published_clips": facts["split"]["clips"],
        "n_published": len(facts["rows"]),
        "split_seed": facts["split"]["seed"],
        "published_epochs": facts["epochs"],
        "notes": [missing] if len(chosen) < len(asked) else [],
        "epochs": QUICK_EPOCHS if quick else facts["epochs"],
        "quick": quick,
        "seed": seed,
        "seconds": round(sum(row.seconds for row in found), 1),
    }
    return Reproduction(found, verdicts, predictions, about, corpus.rejected)


def without_two_channels(data: Dataset, clips: Sequence[str]) -> Dataset:
    """Speech and song without two stereo recordings, on which the published code fails."""
    table = data.corpus.table
    if "channel" not in table or table["channel"].nunique() < 2:
        return data
    keep = np.flatnonzero(~table["clip"].isin(clips))
    corpus = dataclasses.replace(data.corpus, table=table.iloc[keep])
    features = {name: values.rows(keep) for name, values in data.features.items()}
    return dataclasses.replace(data, corpus=corpus, features=features)


def published() -> Mapping[str, Any]:
    """What was published: ``rows, claims, emotions, features, split, epochs, known_faults``."""
    return dict(json.loads(Path(DATA, "published.json").read_text("utf-8")))


def published_results(facts: Mapping[str, Any], texts: Sequence[str] = ()) -> list[Published]:
    """The published results with their models; only those whose name contains one of the texts."""
    results = [
        Published(
            fact["model"], fact["published"], models.get(fact["of"]), fact.get("parameters", {}),
            fact.get("seed", 0),
        )
        for fact in facts["rows"]
    ]  # fmt: skip
    chosen = [r for r in results if not texts or any(text in r.name for text in texts)]
    if not chosen:
        raise CorpusError(f"no published result is called {', '.join(texts)}")
    return chosen


def plan(
    results: Sequence[Published], data: Dataset, split_seed: int, *, quick: bool, seed: int
) -> list[tuple[Published, Unit]]:
    """The published split first, then unseen speakers, then more seeds of the split."""
    others = [n for n in range(QUICK_SEEDS if quick else SEEDS) if n != split_seed]
    seeded = [result for result in results if result.family in SEEDED]
    emotions = data.corpus.table["emotion"].to_numpy(dtype=str)
    planned = []
    for protocol_of, repeated, seeds in (
        (RANDOM, results, [split_seed]), (HONEST, results, [0]), (RANDOM, seeded, others)
    ):  # fmt: skip
        for result, split in itertools.product(repeated, seeds):
            protocol, epochs = protocol_of[result.info.input], None
            estimator, is_long = result.build(seed), result.family != CLASSICAL
            if is_long:
                name = "max_iter" if result.family == "MLP" else "epochs"
                epochs = QUICK_EPOCHS if quick else int(estimator.get_params()[name])
                estimator.set_params(**{name: epochs})
            about = {"row": result.name, "protocol": protocol, "epochs": epochs, "seed": seed}
            shared: dict[str, Any] = {"about": about, "score_training": True, "is_long": is_long}
            features = data.features[result.info.input]
            folds = protocols.folds(data.corpus.table, protocol, seed=split)
            for fold in folds:
                planned.append((result, Unit(estimator, features, emotions, fold, **shared)))
    return planned


def _row(
    result: Published, finished: Sequence[tuple[Unit, Outcome]], data: Dataset
) -> tuple[Row, pd.DataFrame]:
    random = [(u, o) for u, o in finished if shares_speakers(u.about["protocol"])]
    honest = [(u, o) for u, o in finished if not shares_speakers(u.about["protocol"])]
    columns = ["model", "family", "protocol", "clip", "speaker", "emotion", "predicted"]
    tables = []
    for unit, outcome in [random[0], *honest]:
        clips = data.corpus.table.iloc[unit.fold.test].assign(
            model=result.name, family=result.family, protocol=unit.about["protocol"],
            predicted=outcome.predicted,
        )  # fmt: skip
        tables.append(clips[columns].reset_index(drop=True))
    unseen = pd.concat(tables[1:], ignore_index=True)
    interval = statistics.speaker_interval(
        unseen["emotion"], unseen["predicted"], unseen["speaker"], metrics.accuracy
    )
    is_given = not statistics.no_interval(unseen["speaker"].nunique())
    over_seeds = [100 * metrics.accuracy(u.emotions[u.fold.test], o.predicted) for u, o in random]
    is_repeated = len(over_seeds) > 1
    first, outcome = random[0]
    row = Row(
        model=result.name,
        family=result.family,
        published=result.accuracy,
        reproduced=over_seeds[0],
        reproduced_mean=float(np.mean(over_seeds)) if is_repeated else None,
        reproduced_low=min(over_seeds) if is_repeated else None,
        reproduced_high=max(over_seeds) if is_repeated else None,
        n_splits=len(over_seeds),
        training=100 * (outcome.training_accuracy or 0.0),
        honest=100 * interval.estimate,
        honest_low=100 * interval.low if is_given else None,
        honest_high=100 * interval.high if is_given else None,
        honest_training=100 * float(np.mean([o.training_accuracy for _, o in honest])),
        honest_protocol=honest[0][0].about["protocol"],
        random_protocol=first.about["protocol"],
        n_test=len(outcome.predicted),
        epochs=first.about["epochs"],
        seconds=sum(o.fit_seconds + o.predict_seconds for _, o in finished),
    )
    rounded: dict[str, Any] = {k: round(v, 2) for k, v in vars(row).items() if isinstance(v, float)}
    return dataclasses.replace(row, **rounded), pd.concat(tables, ignore_index=True)


def render(reproduction: Reproduction) -> str:
    """The page as HTML."""
    from ..report import page, plots

    rows = reproduction.rows
    columns = {"published": "published", "reproduced": "reproduced", "honest": "unseen speakers"}
    table = pd.DataFrame(map(vars, rows), index=[row.short_name for row in rows])
    scores = table[list(columns)].rename(columns=columns) / 100
    return page.template("reproduction.html.j2").render(
        css=page.asset("base.css"),
        version=__version__,
        meaning=NOT_FELT,
        about=reproduction.about,
        rows=rows,
        verdicts=reproduction.verdicts,
        sentences=sentences(reproduction),
        figure=plots.to_svg(
            lambda ax: plots.dumbbell(scores, ax=ax), size=(9, 1.0 + 0.3 * len(rows))
        ),
    )


def sentences(reproduction: Reproduction) -> list[str]:
    """What the rows say together, in sentences made from their numbers."""
    rows = reproduction.rows
    table = pd.DataFrame(map(vars, rows))
    off, lost = table["reproduced"] - table["published"], table["reproduced"] - table["honest"]
    then, now = (rows[table[column].argmax()] for column in ("published", "honest"))
    repeated = table.dropna(subset=["reproduced_low", "reproduced_high"])
    inside = repeated["published"].between(repeated["reproduced_low"], repeated["reproduced_high"])
    return lines(
        "reproduced", n=len(rows), off=off, lost=lost, worst=rows[lost.argmax()], then=then,
        now=now, inside=inside.sum(), n_repeated=len(repeated),
    )  # fmt: skip
