"""Retrains the shipped models from the corpora, and measures them.

    python -m research.train_default measure --data D --encoder E --work W --out results/accuracy
    python -m research.train_default train   --data D --encoder E --work W --out M.emoscope

D holds ``ravdess`` and ``emodb``; E is Whisper's base encoder (a local folder, or
``openai/whisper-base`` from the Hugging Face hub). Embeddings are kept in W, so a stopped run goes
on where it was; some ten minutes of one core in all. ``--corpora emodb --weights int8`` makes the
smaller model for those who may not use non-commercial data (with a W of its own). ``measure``
writes one folder per figure; ``--fold 1`` measures one fold of RAVDESS alone, to compare with the
committed one.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import time
from pathlib import Path

# Two threads of linear algebra on a busy machine wait for each other longer than they work.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd

from emoscope import __version__, modelfile, protocols
from emoscope import corpus as corpora
from emoscope.corpus import Corpus
from emoscope.evaluation import metrics
from emoscope.evaluation.comparison import describe_corpus
from emoscope.evaluation.result import ABOUT_CLIP, ROW, Result, summarise
from emoscope.labels import EMOTIONS
from emoscope.modelfile.card import Card, Measurement, OutOfDomainDetector, Training
from emoscope.training import calibration, export
from emoscope.training.description import provenance
from research import recipe
from research.recipe import EmbeddedClips

DOMAIN_RANK = 16
MODEL, FEATURES = "emoscope-default", "whisper-base, blocks 1-3, mean"
WEIGHTS = {
    "mixed": "convolutions and first block float16, other blocks int8, head float32",
    "int8": "int8, head float32",
    "float32": "float32, nothing rounded: what rounding costs is told by this",
}
FIGURES = (
    ("ravdess-shipped", "ravdess", "speaker-6fold"),
    ("ravdess-shipped-luna", "ravdess", "luna-5fold"),
    ("emodb-shipped", "emodb", "loso"),
)
NOTICE = """Contains the convolutions and first three blocks of the encoder of OpenAI Whisper base \
(https://github.com/openai/whisper), its weights rounded to 16 and 8 bits.

MIT License

Copyright (c) 2022 OpenAI

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and \
associated documentation files (the "Software"), to deal in the Software without restriction, \
including without limitation the rights to use, copy, modify, merge, publish, distribute, \
sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is \
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or \
substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT \
NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND \
NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, \
DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT \
OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("job", choices=["train", "measure"])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--encoder", required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--corpora", nargs="+", default=["ravdess", "emodb"])
    parser.add_argument(
        "--results", type=Path, nargs="*", help="Folders of 'measure', for the card."
    )
    parser.add_argument("--name", default=MODEL)
    parser.add_argument(
        "--weights", default="mixed", choices=list(WEIGHTS), help="How they are stored."
    )
    parser.add_argument("--fold", help="Measure this fold of RAVDESS alone.")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    graph = cached_trunk(options)
    clips = load_embeddings(graph, options)
    if options.job == "train":
        train(graph, clips, options)
    elif options.fold:
        report(clips, *FIGURES[0], options, only=options.fold)
    else:
        measure(clips, options)


def cached_trunk(options: argparse.Namespace) -> bytes:
    path = options.work / "trunk.onnx"
    if not path.is_file():
        options.work.mkdir(parents=True, exist_ok=True)
        path.write_bytes(
            recipe.trunk(options.encoder, None if options.weights == "float32" else options.weights)
        )
    return path.read_bytes()


def load_embeddings(graph: bytes, options: argparse.Namespace) -> EmbeddedClips:
    """Embeddings of all corpora asked for, from the work folder where they are there already."""
    parts = [corpora.load(options.data / name) for name in options.corpora]
    copies = []
    for copy in range(1 + recipe.COPIES):
        found = [embeddings(graph, part, copy, options) for part in parts]
        copies.append(np.concatenate(found))
    return EmbeddedClips.of(corpora.combine(parts) if len(parts) > 1 else parts[0], copies)


def embeddings(graph: bytes, part: Corpus, copy: int, options: argparse.Namespace) -> np.ndarray:
    path = options.work / f"{part.name}-{copy}.npy"
    if not path.is_file():
        start = time.perf_counter()
        found = recipe.embed(graph, part, copy=copy, threads=options.threads)
        np.save(path, found)
        print(f"{path.name}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    return np.load(path)


# --- training -------------------------------------------------------------------------------------


def train(graph: bytes, clips: EmbeddedClips, options: argparse.Namespace) -> None:
    fitted = recipe.fit(clips, set(clips.speakers))
    present = np.unique(clips.labels)
    form = dataclasses.replace(
        fitted.form, weights=fitted.form.weights[:, present], bias=fitted.form.bias[present]
    )
    unseen, labels = fitted.unseen
    log_probabilities = modelfile.log_softmax(unseen / fitted.temperature)
    parts = [corpora.load(options.data / name) for name in options.corpora]
    card = Card(
        name=options.name,
        emotions=tuple(EMOTIONS[n] for n in present),
        input=recipe.INPUT,
        embedding_width=len(form.mean),
        temperature=fitted.temperature,
        uncertain=calibration.uncertain(log_probabilities, labels),
        domain=training_domain(clips, fitted),
        training=Training(
            corpora=tuple(corpus for part in parts for corpus in provenance(part)),
            recipe={
                "recipe": recipe.__doc__,
                "encoder": f"{recipe.ENCODER}, blocks {recipe.BLOCKS}, mean over time",
                "weights": WEIGHTS[options.weights],
                "copies": recipe.COPIES,
                "shrinkage": fitted.shrinkage,
                "criterion": {str(key): value for key, value in fitted.criterion.items()},
            },
        ),
        results=tuple(measured(options.results or [])),
        licence="; ".join(f"{part.name}: {part.licence}" for part in parts),
        notices=(NOTICE, *(part.citation for part in parts if part.citation)),
        emoscope=__version__,
    )
    modelfile.save(options.out, export.attach_head(graph, form), card)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.2f} MB")
    print(f"shrinkage {fitted.shrinkage} of {fitted.criterion}")
    print(f"temperature {card.temperature:.3f}, {card.uncertain}")


def training_domain(clips: EmbeddedClips, fitted: recipe.Fitted) -> OutOfDomainDetector:
    """Where the training clips lie, changed copies included: other rooms are no surprise."""
    form, rows, copies = fitted.form, fitted.rows, clips.copies
    values = np.concatenate([(copy[rows] - form.mean) / form.scale for copy in copies])
    starts = len(rows) * np.arange(len(copies))[:, np.newaxis]
    folds = [tuple((starts + part).reshape(-1) for part in fold) for fold in fitted.inner.folds]
    return calibration.out_of_domain_detector(values, folds, rank=DOMAIN_RANK)


def measured(folders: list[Path]) -> list[Measurement]:
    """What 'measure' found, for the card."""
    found = []
    for folder in folders:
        document = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        name = document["corpus"]["name"]
        found += [Measurement.of(**{"corpus": name, **run}) for run in document["runs"]]
    return found


# --- measuring ------------------------------------------------------------------------------------


def measure(clips: EmbeddedClips, options: argparse.Namespace) -> None:
    """Every figure of the recipe that the corpora at hand allow, each in its own folder."""
    names = [str(name) for name in np.unique(clips.corpora)]
    for folder, name, protocol in FIGURES:
        if name in names:
            alone = f"{name}-{protocol}" if len(names) == 1 else folder
            report(clips, alone, name, protocol, options)
    for name in names if len(names) > 1 else []:
        cross(clips, name, options)


def report(
    clips: EmbeddedClips,
    folder: str,
    name: str,
    protocol: str,
    options: argparse.Namespace,
    only: str | None = None,
) -> None:
    """One corpus by one protocol; other corpora are training data in every fold."""
    here = np.flatnonzero(clips.corpora == name)
    table = clips.corpus.table.iloc[here].reset_index(drop=True)
    table["speaker"] = [speaker.removeprefix(f"{name}/") for speaker in table["speaker"]]
    table["unique_speaker"] = table["speaker"]
    rows, before = [], []
    for fold in protocols.folds(table, protocol):
        if only and fold.name != only:
            continue
        test = here[fold.test]
        fitted = recipe.fit(clips, set(clips.speakers) - set(clips.speakers[test]))
        found = fitted.form.logits(clips.copies[0][test])
        allowed = np.unique(clips.labels[here])
        before.append(as_rows(clips, test, found, allowed, protocol, fold.name))
        found = found / fitted.temperature
        rows.append(as_rows(clips, test, found, allowed, protocol, fold.name))
        uar = metrics.uar(rows[-1]["emotion"], rows[-1]["predicted"])
        print(
            f"{name} {protocol} fold {fold.name}: shrinkage {fitted.shrinkage}, UAR {uar:.4f}",
            flush=True,
        )
    if not only:
        uncalibrated = summarise(pd.concat(before, ignore_index=True)).calibration_error
        together = pd.concat(rows, ignore_index=True)
        extra = {"calibration_error_uncalibrated": uncalibrated}
        save(clips, name, together, options.out / folder, options, **extra)


def cross(clips: EmbeddedClips, name: str, options: argparse.Namespace) -> None:
    """Trained on all other corpora, tested on one; the emotions that both have."""
    test, train_rows = (
        np.flatnonzero(clips.corpora == name),
        np.flatnonzero(clips.corpora != name),
    )
    shared = np.intersect1d(clips.labels[train_rows], clips.labels[test])
    test = test[np.isin(clips.labels[test], shared)]
    fitted = recipe.fit(clips, set(clips.speakers[train_rows]))
    values = (clips.copies[0] - fitted.form.mean) / fitted.form.scale
    found = fitted.form.logits(clips.copies[0][test]) / fitted.temperature
    rows = as_rows(clips, test, found, shared, "cross-corpus", name)
    domain = training_domain(clips, fitted)
    far = float((domain.distance(values[test]) > domain.threshold).mean())
    folder = options.out / f"cross-corpus-to-{name}"
    save(clips, name, rows, folder, options, far_from_training=far)


def as_rows(
    clips: EmbeddedClips,
    test: np.ndarray,
    found: np.ndarray,
    allowed: np.ndarray,
    protocol: str,
    fold: str,
) -> pd.DataFrame:
    """Rows of a result; only the allowed emotions can be answered."""
    table = clips.corpus.table.iloc[test].reset_index(drop=True)
    probabilities = np.exp(modelfile.log_softmax(found[:, allowed]))
    names = np.array(EMOTIONS)[allowed]
    rows = table[["clip", "emotion", "speaker"]].assign(
        model=MODEL,
        features=FEATURES,
        protocol=protocol,
        fold=fold,
        predicted=names[probabilities.argmax(axis=1)],
    )
    about = [column for column in ABOUT_CLIP if column in table]
    by_emotion = pd.DataFrame(probabilities, columns=[f"p_{emotion}" for emotion in names])
    return pd.concat([rows[list(ROW)], by_emotion, table[about]], axis=1)


def save(
    clips: EmbeddedClips,
    name: str,
    rows: pd.DataFrame,
    folder: Path,
    options: argparse.Namespace,
    **extra: float,
) -> None:
    tested = Corpus(name, clips.corpus.table[clips.corpora == name])
    runs = []
    for _, part in rows.groupby("protocol", sort=False):
        run = summarise(part, extra=extra)
        runs.append(run)
        print(
            f"{folder.name} {run.protocol}: UAR {run.uar:.4f} [{run.uar_low:.3f}, "
            f"{run.uar_high:.3f}], accuracy {run.accuracy:.4f}, "
            f"ECE {run.calibration_error:.3f} {extra or ''}",
            flush=True,
        )
    config = {
        "protocol": runs[0].protocol,
        "recipe": recipe.__doc__,
        "command": "python -m research.train_default measure --data DATA --encoder ENCODER "
        f"--work WORK --out results/accuracy --corpora {' '.join(options.corpora)} "
        f"--weights {options.weights}",
        "also_trained_on": [str(c) for c in np.unique(clips.corpora) if c != name],
    }
    Result(rows, runs, describe_corpus(tested), config).save(folder)


if __name__ == "__main__":
    main()
