"""Retrains the shipped models from the corpora, and measures them.

    python -m research.train_default measure --data D --encoder E --work W --out results/accuracy
    python -m research.train_default train   --data D --encoder E --work W --out M.emoscope

D holds ``ravdess``, ``emodb``, ``nemo`` and ``emospeech``; E is Whisper's base encoder (a local folder,
or ``openai/whisper-base`` from the Hugging Face hub). Embeddings and fitted heads are kept in W, so a
stopped run goes on where it was; about an hour of one core in all. ``--corpora emodb --blocks 2 3`` (with
a W of its own) makes the smaller model for those who may not use non-commercial data; the other corpora
then only say how much it errs.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

# Two threads of linear algebra on a busy machine wait for each other longer than they work.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd

from emoscope import __version__, modelfile, protocols
from emoscope import corpus as corpora
from emoscope.corpus import Corpus
from emoscope.evaluation.comparison import describe_corpus
from emoscope.evaluation.result import Result, summarise
from emoscope.labels import EMOTIONS
from emoscope.modelfile.card import Card, Measurement, Training
from emoscope.training import export, provenance
from research import confidence, cross_corpus, recipe, source_classifier
from research.recipe import EmbeddedClips

CORPORA = ("ravdess", "emodb", "nemo", "emospeech")
MODEL = "emoscope-default"
WEIGHTS = "encoder int8, head float32"
FIGURES = (
    ("ravdess-shipped", "ravdess", "speaker-6fold"),
    ("ravdess-shipped-luna", "ravdess", "luna-5fold"),
    ("emodb-shipped", "emodb", "loso"),
)
NOTICE = """Contains the convolutions and first four blocks of the encoder of OpenAI Whisper base \
(https://github.com/openai/whisper), its weights rounded to 8 bits.

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
    parser.add_argument("--corpora", nargs="+", default=list(CORPORA), choices=CORPORA)
    parser.add_argument(
        "--results", type=Path, nargs="*", help="Folders of 'measure', for the card."
    )
    parser.add_argument("--name", default=MODEL)
    parser.add_argument("--blocks", nargs="+", type=int, default=list(recipe.BLOCKS))
    parser.add_argument("--threads", type=int, default=1, help="Processes that fit heads.")
    options = parser.parse_args()
    graph = cached_trunk(options)
    clips = load_embeddings(graph, options)
    here = np.isin(clips.corpora, options.corpora)
    recipe_of = Recipe(recipe.Fits(clips, options.work), tuple(sorted(set(clips.speakers[here]))))
    if options.job == "train":
        train(graph, recipe_of, options)
    else:
        measure(recipe_of, options)


def cached_trunk(options: argparse.Namespace) -> bytes:
    path = options.work / "trunk.onnx"
    if not path.is_file():
        options.work.mkdir(parents=True, exist_ok=True)
        path.write_bytes(recipe.trunk(options.encoder, options.blocks))
    return path.read_bytes()


def features_of(options: argparse.Namespace) -> str:
    first, *_, last = options.blocks
    return f"whisper-base, blocks {first}-{last}, mean"


def load_embeddings(graph: bytes, options: argparse.Namespace) -> EmbeddedClips:
    """Embeddings of all corpora, from the work folder where they are there already."""
    parts = [corpora.load(options.data / name) for name in CORPORA]
    copies = []
    for copy in range(1 + recipe.COPIES):
        found = [embeddings(graph, part, copy, options) for part in parts]
        copies.append(np.concatenate(found))
    return EmbeddedClips.of(corpora.combine(parts), copies)


def embeddings(graph: bytes, part: Corpus, copy: int, options: argparse.Namespace) -> np.ndarray:
    path = options.work / f"{part.name}-{copy}.npy"
    if not path.is_file():
        start = time.perf_counter()
        found = recipe.embed(graph, part, copy=copy, threads=options.threads)
        np.save(path, found)
        print(f"{path.name}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    return np.load(path)


@dataclasses.dataclass(frozen=True, eq=False)
class Recipe:
    """The recipe on some training speakers."""

    fits: recipe.Fits
    speakers: tuple[str, ...]

    @property
    def clips(self) -> EmbeddedClips:
        """All clips, also of corpora that are not trained on."""
        return self.fits.clips

    @property
    def corpora(self) -> list[str]:
        """Those trained on."""
        return [str(name) for name in np.unique(self.clips.corpora[self.clips.rows(self.speakers)])]

    def without(self, corpus: str) -> Recipe:
        """The same recipe on the speakers of the other corpora."""
        clips = self.clips
        others = set(clips.speakers[clips.corpora != corpus])
        return Recipe(self.fits, tuple(s for s in self.speakers if s in others))

    def left_out(self, *, excluding: str = "") -> dict[str, recipe.Predicted]:
        """Corpora other than `excluding`, each predicted by a head that was not trained on it.

        Training corpora left out in turn; of one training corpus alone, all others.
        """
        own = self.corpora
        if len(own) > 1:
            return {
                name: self.fits.without([name], self.speakers) for name in own if name != excluding
            }
        rows = {name: np.flatnonzero(self.clips.corpora == name) for name in CORPORA}
        others = [name for name in CORPORA if name not in (*own, excluding)]
        return {name: self.fits.predict_unseen(self.speakers, rows[name]) for name in others}

    def calibration(self, *, excluding: str = "") -> confidence.Calibration:
        """Calibration for a card, without using one corpus."""
        unseen = self.fits.unseen_speakers(self.speakers)
        return confidence.calibrate(
            self.clips, unseen, list(self.left_out(excluding=excluding).values())
        )


# --- training -------------------------------------------------------------------------------------


def train(graph: bytes, made: Recipe, options: argparse.Namespace) -> None:
    """Fit to all training speakers and write the file."""
    head, calibration = made.fits.head(made.speakers), made.calibration()
    parts = [corpora.load(options.data / name) for name in options.corpora]
    left_out = sorted(made.left_out())
    card = Card(
        name=options.name,
        emotions=tuple(EMOTIONS[n] for n in head.emotions),
        input=recipe.INPUT,
        embedding_width=len(head.form.mean),
        temperature=calibration.temperature,
        uncertain=calibration.uncertain,
        domain=made.fits.domain(made.speakers),
        offsets=calibration.offsets,
        training=Training(
            corpora=tuple(corpus for part in parts for corpus in provenance(part)),
            recipe={
                "recipe": recipe.__doc__,
                "encoder": f"{recipe.ENCODER}, blocks {options.blocks}, mean over time",
                "weights": WEIGHTS,
                "copies": recipe.COPIES,
                "penalty": source_classifier.PENALTY,
                "confidence measured on": f"{', '.join(left_out)}, each left out of training",
            },
        ),
        results=tuple(measured(options.results or [])),
        licence="; ".join(f"{part.name}: {part.licence}" for part in parts),
        notices=(NOTICE, *(part.citation for part in parts if part.citation)),
        emoscope=__version__,
    )
    whole = export.attach_head(graph, head.form)
    whole = whole if head.familiar is None else head.familiar.attach(whole)
    modelfile.save(options.out, whole, card)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.2f} MB")
    print(f"temperature {card.temperature:.3f}, {card.uncertain}")


def measured(folders: list[Path]) -> list[Measurement]:
    """What 'measure' found, for the card."""
    found = []
    for folder in folders:
        document = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        name = document["corpus"]["name"]
        found += [Measurement.of(**{"corpus": name, **run}) for run in document["runs"]]
    return found


# --- measuring ------------------------------------------------------------------------------------


def measure(made: Recipe, options: argparse.Namespace) -> None:
    """Every figure of the recipe that the corpora at hand allow, each in its own folder."""
    fit_all(made, options.threads)
    own, prefix = made.corpora, "" if len(made.corpora) > 1 else f"{made.corpora[0]}-alone-"
    for folder, name, protocol in FIGURES:
        if name in own:
            alone = f"{name}-{protocol}" if len(own) == 1 else folder
            inside(made, alone, name, protocol, options)
    found = {}
    for name in own if len(own) > 1 else made.left_out():
        trained = made.without(name)
        predicted = made.left_out()[name]
        calibration = trained.calibration(excluding=name)
        found[name] = cross_corpus.figures(made.clips, predicted, calibration)
        if len(own) > 1:
            found[name]["unseen_speakers"] = unseen_speakers(made, name)
        print(name, json.dumps(found[name]), flush=True)
        folder = options.out / f"{prefix}cross-corpus-to-{name}"
        rows = cross_corpus.rows(
            made.clips, predicted, calibration, model=options.name, features=features_of(options)
        )
        save(made, name, rows, folder, options)
    path = options.out / f"{prefix}strangers.json"
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def unseen_speakers(made: Recipe, name: str) -> dict[str, object]:
    """Figures of a corpus that is in the training data, its test speakers excepted: the most to expect."""
    unseen = made.fits.unseen_speakers(made.speakers)
    here = made.clips.corpora[unseen.rows] == name
    found = recipe.Predicted(unseen.rows[here], unseen.logits[here], unseen.emotions)
    figures = cross_corpus.figures(made.clips, found, made.calibration(excluding=name))
    doubt = cast("dict[str, dict[str, float]]", figures["doubt"])["alone"]
    kept = {axis: doubt[axis] for axis in ("arousal", "valence")}
    return {"emotions": figures["emotions"], "alone": figures["alone"], **kept}


def fit_all(made: Recipe, n_processes: int) -> None:
    """Fit every head that measuring asks for, side by side; the others are read afterwards."""
    asked = [set(made.speakers) - set(made.clips.speakers[test]) for *_, test in folds_of(made)]
    recipes = [made]
    if len(made.corpora) > 1:
        recipes += [made.without(name) for name in made.corpora]
    for part in recipes:
        asked += [set(part.speakers), *part.fits.training_folds(part.speakers)]
        asked += [
            set(part.without(name).speakers) for name in part.corpora if len(part.corpora) > 1
        ]
    missing = {made.fits.path(one): one for one in asked if not made.fits.path(one).is_file()}
    print(f"{len(missing)} heads to fit", file=sys.stderr, flush=True)
    with multiprocessing.get_context("fork").Pool(n_processes) as pool:
        for n, _ in enumerate(pool.imap_unordered(made.fits.keep, missing.values()), start=1):
            print(f"{n} of {len(missing)}", file=sys.stderr, flush=True)


def folds_of(made: Recipe) -> Iterator[tuple[str, str, str, np.ndarray]]:
    """Corpus, protocol, fold and test rows of every figure inside a corpus."""
    for _, name, protocol in FIGURES:
        if name in made.corpora:
            here = np.flatnonzero(made.clips.corpora == name)
            table = made.clips.corpus.table.iloc[here].reset_index(drop=True)
            table["speaker"] = [speaker.removeprefix(f"{name}/") for speaker in table["speaker"]]
            table["unique_speaker"] = table["speaker"]
            for fold in protocols.folds(table, protocol):
                yield name, protocol, fold.name, here[fold.test]


def inside(
    made: Recipe, folder: str, name: str, protocol: str, options: argparse.Namespace
) -> None:
    """One corpus by one protocol; other training corpora are training data in every fold."""
    clips, rows = made.clips, []
    left_out = list(made.left_out(excluding=name).values())
    temperature = confidence.temperature(clips, left_out)
    allowed = np.unique(clips.labels[clips.corpora == name])
    for corpus, asked, fold, test in folds_of(made):
        if (corpus, asked) == (name, protocol):
            found = made.fits.predict(set(made.speakers) - set(clips.speakers[test]), test)
            columns = np.searchsorted(found.emotions, allowed)
            probabilities = modelfile.softmax(found.logits[:, columns] / temperature)
            told = {
                "model": options.name,
                "features": features_of(options),
                "protocol": protocol,
                "fold": fold,
            }
            rows.append(cross_corpus.as_rows(clips, test, probabilities, allowed, told))
    save(made, name, pd.concat(rows, ignore_index=True), options.out / folder, options)


def save(
    made: Recipe, name: str, rows: pd.DataFrame, folder: Path, options: argparse.Namespace
) -> None:
    tested = Corpus(name, made.clips.corpus.table[made.clips.corpora == name])
    runs = []
    for _, part in rows.groupby("protocol", sort=False):
        run = summarise(part)
        runs.append(run)
        print(
            f"{folder.name} {run.protocol}: UAR {run.uar:.4f} [{run.uar_low:.3f}, "
            f"{run.uar_high:.3f}], accuracy {run.accuracy:.4f}, ECE {run.calibration_error:.3f}",
            flush=True,
        )
    config = {
        "protocol": runs[0].protocol,
        "recipe": recipe.__doc__,
        "command": "python -m research.train_default measure --data DATA --encoder ENCODER "
        f"--work WORK --out results/accuracy --corpora {' '.join(options.corpora)} "
        f"--blocks {' '.join(map(str, options.blocks))} --name {options.name}",
        "also_trained_on": [corpus for corpus in made.corpora if corpus != name],
    }
    Result(rows, runs, describe_corpus(tested), config).save(folder)


if __name__ == "__main__":
    main()
