"""Every result that the original student project published: reproduced, and measured honestly.

Each row of ``data/published.json`` is trained as published and, beside it, as it should have been
measured: the same model and features on unseen speakers.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .. import dataset, models, protocols
from ..dataset import Dataset
from ..dataset.bundled import NO_SPECTROGRAMS
from ..dataset.store import Store
from ..errors import AudioError, CorpusError
from ..evaluation import engine, metrics, statistics
from ..evaluation.engine import Checkpoint, Outcome, Unit
from ..files import DATA, write_together
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
    family: str
    input: str
    build: Callable[[int], Any]


@dataclasses.dataclass(frozen=True, eq=False)
class Training:
    """One published model on one split; ``epochs`` is None for classical models."""

    published: Published
    protocol: str
    epochs: int | None
    unit: Unit


@dataclasses.dataclass(frozen=True)
class Reproduction:
    """A row per published result, a verdict per published claim, and all predictions."""

    rows: list[Row]
    verdicts: list[Verdict]
    predictions: pd.DataFrame
    about: Mapping[str, Any]  # what it was made of, and every option of the run
    rejected: list[AudioError] = dataclasses.field(default_factory=list)

    def save(self, out: str | os.PathLike[str], beside: Mapping[Path, str] | None = None) -> Path:
        """Write ``reproduction.json``, ``.csv``, ``.html`` and the files `beside`, all or none."""
        from .report import render

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
        write_together({**own, **(beside or {})})
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
    asked = published_results(facts, rows)
    chosen = [result for result in asked if result.input in data.features]
    if not chosen:
        raise CorpusError(f"{NO_SPECTROGRAMS}; name the folder with the recordings")
    trainings = plan(chosen, data, facts["split"]["seed"], quick=quick, seed=seed)
    finished = engine.run(
        [training.unit for training in trainings], checkpoint=Checkpoint(Path(out) / "finished"),
        resumable_fits=True, jobs=jobs, cluster=cluster, on_unit=progress,
    )  # fmt: skip
    outcomes = dict(finished)
    pairs = [(training, outcomes[n]) for n, training in enumerate(trainings)]
    made = [_row([p for p in pairs if p[0].published is result], data) for result in chosen]
    lines = [line for line, _ in made]
    predictions = pd.concat([table for _, table in made], ignore_index=True)
    verdicts = claims.assess(facts["claims"], lines, predictions)
    missing = f"{NO_SPECTROGRAMS}: {len(asked) - len(chosen)} results are left out"
    about = {
        **_about(data, facts),
        "notes": [missing] if len(chosen) < len(asked) else [],
        "epochs": QUICK_EPOCHS if quick else facts["epochs"],
        "quick": quick,
        "seed": seed,
        "seconds": round(sum(row.seconds for row in lines), 1),
    }
    return Reproduction(lines, verdicts, predictions, about, data.corpus.rejected)


def _about(data: Dataset, facts: Mapping[str, Any]) -> dict[str, Any]:
    table = data.corpus.table
    channels = sorted(set(table.get("channel", ["speech"])), reverse=True)
    return {
        "corpus": data.corpus.name,
        "part": " and ".join(channels) if len(channels) > 1 else f"{channels[0]} alone",
        "n_clips": len(table),
        "n_speakers": int(table["speaker"].nunique()),
        "published_clips": facts["split"]["clips"],
        "n_published": len(facts["rows"]),
        "split_seed": facts["split"]["seed"],
        "published_epochs": facts["epochs"],
        "rejected": [{"file": bad.path, "reason": bad.reason} for bad in data.corpus.rejected],
        "licence": data.corpus.licence,
        "citation": data.corpus.citation,
    }


def without_two_channels(data: Dataset, clips: Sequence[str]) -> Dataset:
    """Speech and song without two stereo recordings, which leaves as many clips as were published.

    The published code reads them as two rows of samples, on which its features fail.
    """
    table = data.corpus.table
    if "channel" not in table or table["channel"].nunique() < 2:
        return data
    keep = np.flatnonzero(~table["clip"].isin(clips))
    corpus = dataclasses.replace(data.corpus, table=table.iloc[keep])
    features = {name: values.rows(keep) for name, values in data.features.items()}
    return dataclasses.replace(data, corpus=corpus, features=features)


def published() -> Mapping[str, Any]:
    """What was published: ``rows, claims, emotions, features, split, epochs, known_faults``."""
    document: Mapping[str, Any] = json.loads(Path(DATA, "published.json").read_text("utf-8"))
    return document


def published_results(
    facts: Mapping[str, Any], texts: Sequence[str] | None = None
) -> list[Published]:
    """The published results with their models; only those whose name contains one of the texts."""
    builds = {
        name: (info, build)
        for info in map(models.get, models.names())
        for name, build in info.published.items()
    }
    results = []
    for fact in facts["rows"]:
        info, build = builds[fact["model"]]
        family = FAMILIES.get(info.name.split("-")[0], CLASSICAL)
        results.append(Published(fact["model"], fact["published"], family, info.input, build))
    chosen = [r for r in results if texts is None or any(text in r.name for text in texts)]
    if not chosen:
        raise CorpusError(f"no published result is called {', '.join(texts or [])}")
    return chosen


def plan(
    results: Sequence[Published], data: Dataset, split_seed: int, *, quick: bool, seed: int
) -> list[Training]:
    """The published split first, then unseen speakers, then more seeds of the split."""
    n_seeds = QUICK_SEEDS if quick else SEEDS
    others = [other for other in range(n_seeds) if other != split_seed]
    seeded = [result for result in results if result.family in SEEDED]
    stages = [(RANDOM, results, [split_seed]), (HONEST, results, [0]), (RANDOM, seeded, others)]
    return [
        training
        for protocol_of, stage_results, seeds in stages
        for result in stage_results
        for split in seeds
        for training in _trainings(result, protocol_of[result.input], split, data, quick, seed)
    ]


def _trainings(
    result: Published, protocol: str, split_seed: int, data: Dataset, quick: bool, seed: int
) -> list[Training]:
    estimator = result.build(seed)
    name = next((n for n in ("epochs", "max_iter") if n in estimator.get_params()), None)
    epochs = None
    if result.family != CLASSICAL and name is not None:
        epochs = QUICK_EPOCHS if quick else int(estimator.get_params()[name])
        estimator.set_params(**{name: epochs})
    features = data.features[result.input]
    emotions = data.corpus.table["emotion"].to_numpy(dtype=str)
    about = {"row": result.name, "protocol": protocol, "epochs": epochs, "seed": seed}
    is_long = result.family != CLASSICAL
    units = (
        Unit(estimator, features, emotions, fold, about=about, score_training=True, is_long=is_long)
        for fold in protocols.folds(data.corpus.table, protocol, seed=split_seed)
    )
    return [Training(result, protocol, epochs, unit) for unit in units]


def _row(finished: Sequence[tuple[Training, Outcome]], data: Dataset) -> tuple[Row, pd.DataFrame]:
    random = [(t, o) for t, o in finished if shares_speakers(t.protocol)]
    honest = [(t, o) for t, o in finished if not shares_speakers(t.protocol)]
    columns = ["model", "family", "protocol", "clip", "speaker", "emotion", "predicted"]
    tables = []
    for training, outcome in [random[0], *honest]:
        clips = data.corpus.table.iloc[training.unit.fold.test].assign(
            model=training.published.name, family=training.published.family,
            protocol=training.protocol, predicted=outcome.predicted,
        )  # fmt: skip
        tables.append(clips[columns].reset_index(drop=True))
    unseen = pd.concat(tables[1:], ignore_index=True)
    interval = statistics.speaker_interval(
        unseen["emotion"], unseen["predicted"], unseen["speaker"], metrics.accuracy
    )
    is_given = not statistics.no_interval(unseen["speaker"].nunique())
    over_seeds = [
        100 * metrics.accuracy(t.unit.emotions[t.unit.fold.test], o.predicted) for t, o in random
    ]
    is_repeated = len(over_seeds) > 1
    first, outcome = random[0]
    row = Row(
        model=first.published.name,
        family=first.published.family,
        published=first.published.accuracy,
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
        honest_protocol=honest[0][0].protocol,
        random_protocol=first.protocol,
        n_test=len(outcome.predicted),
        epochs=first.epochs,
        seconds=sum(o.fit_seconds + o.predict_seconds for _, o in finished),
    )
    rounded: dict[str, Any] = {k: round(v, 2) for k, v in vars(row).items() if isinstance(v, float)}
    return dataclasses.replace(row, **rounded), pd.concat(tables, ignore_index=True)
