"""A corpus of short synthetic clips and cheap features, for tests of what happens around them."""

from __future__ import annotations

import dataclasses
import functools
import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import soundfile
from joblib.externals.loky import get_reusable_executor

from emoscope import compute
from emoscope.corpus import Corpus
from emoscope.dataset import store
from emoscope.dataset.extraction import extract
from emoscope.dataset.store import Store
from emoscope.features.base import Feature

RATE = 8000


@dataclasses.dataclass(frozen=True)
class Levels(Feature):
    """Level of each part of a clip; in some clips it does what no feature should."""

    name: ClassVar[str] = "levels"
    parts: int = 4
    seconds: float = 0.0
    deadly: str = ""

    @property
    def columns(self):
        return tuple(f"level_{part}_of_{self.parts}" for part in range(self.parts))

    def extract(self, spectrum):
        time.sleep(self.seconds)
        if self.deadly and spectrum.signal.path.endswith(self.deadly):
            os.kill(os.getpid(), signal.SIGKILL)
        parts = np.array_split(spectrum.signal.samples, self.parts)
        return np.array([np.sqrt(np.mean(part**2)) for part in parts], dtype=np.float32)


@dataclasses.dataclass(frozen=True)
class Blocks(Feature):
    """The samples themselves, eight to a frame: as many frames as the clip is long."""

    name: ClassVar[str] = "blocks"
    kind: ClassVar[str] = "frames"

    @property
    def columns(self):
        return tuple(f"sample_{i}" for i in range(8))

    def extract(self, spectrum):
        samples = spectrum.signal.samples
        return samples[: len(samples) // 8 * 8].reshape(-1, 8)


@functools.cache
def weights():
    """Something expensive that a process loads once; the value tells which process and when."""
    return float(os.getpid() % 1000) + time.perf_counter() % 1


@dataclasses.dataclass(frozen=True)
class Encoder(Feature):
    """A feature with weights."""

    name: ClassVar[str] = "loaded"

    @property
    def columns(self):
        return ("weights",)

    def extract(self, spectrum):
        return np.array([weights()], dtype=np.float32)


def samples(number: int) -> np.ndarray:
    """The samples of one clip: noise whose level and length depend on its number."""
    rng = np.random.default_rng(number)
    return 0.1 * (1 + number % 5) * rng.uniform(-1, 1, RATE // 5 + 8 * (number % 7))


def make_corpus(folder: Path, n_clips: int = 40) -> Corpus:
    """Write the clips and describe them."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"clip_{number:03d}.wav" for number in range(n_clips)]
    for number, path in enumerate(paths):
        soundfile.write(path, samples(number), RATE, subtype="FLOAT")
        os.utime(path, (1e9, 1e9))
    table = pd.DataFrame(
        {
            "clip": [path.stem for path in paths],
            "path": [str(path) for path in paths],
            "emotion": ["happy" if number % 2 else "sad" for number in range(n_clips)],
            "label": [str(number % 2) for number in range(n_clips)],
            "speaker": [f"{number % 4}" for number in range(n_clips)],
            "corpus": "synthetic",
        }
    )
    return Corpus(name="synthetic", table=table)


def expected(n_clips: int = 40, parts: int = 4) -> np.ndarray:
    """The levels of all clips, computed here."""
    rows = []
    for number in range(n_clips):
        clip = samples(number).astype(np.float32)
        rows.append([np.sqrt(np.mean(p**2)) for p in np.array_split(clip, parts)])
    return np.array(rows, dtype=np.float32)


def extract_and_save(corpus: Corpus, folder: Path, jobs: int, table: Path) -> None:
    """Extract with a store, and save the table."""
    found = extract(corpus, [Levels(seconds=0.003), Blocks()], store=Store(folder), jobs=jobs)
    frames = np.concatenate(found.features["frames"].frames)
    np.savez(table, X=found.features["vector"].X, frames=frames)


def write_busily(begun: Any, *arguments: Any) -> None:
    """Extract in a process of its own that hands over and stores a few clips at a time."""
    compute.CHUNK_SECONDS = 0.01
    store.FLUSH_SECONDS = 0.04
    begun.set()
    extract_and_save(*arguments)
    get_reusable_executor().shutdown()  # the end of this process would wait until they are idle


def start(*arguments: Any) -> multiprocessing.Process:
    """Begin :func:`write_busily`; the fork server has the imports that take long behind it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["emoscope.dataset.extraction", "small_corpus"])
    begun = context.Event()
    process = context.Process(target=write_busily, args=(begun, *arguments))
    process.start()
    begun.wait(30)
    return process
