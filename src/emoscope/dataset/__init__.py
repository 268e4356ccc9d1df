"""From what a user names to what models read: a corpus and its features."""

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from .. import corpus as corpora
from .. import features
from ..corpus import Corpus
from ..corpus.writing import write_table
from ..errors import FeatureError
from ..files import encodable, sentence
from . import bundled, extraction
from .extraction import Dataset, Progress
from .store import Store

__all__ = ["Dataset", "load", "write"]


def load(
    source: str | os.PathLike[str] | Corpus | None, names: Sequence[str] | str, *,
    emotions: Sequence[str] | None = None, part: str | None = None, store: Store | None = None,
    jobs: int | None = None, cluster: str | None = None, progress: Progress | None = None,
) -> Dataset:  # fmt: skip
    """Load a corpus and its features, computing what neither the package nor the store holds.

    Parameters
    ----------
    source
        Corpus folder or manifest, or a corpus that is loaded; None for the bundled RAVDESS features.
    names
        Features, as :func:`emoscope.features.get` reads them; a text is divided at its commas.
    emotions, part
        Keep these only; `part` of RAVDESS is "speech", "song" or "both", of the bundled by default speech.
    store, jobs, cluster, progress
        As for :func:`emoscope.dataset.extraction.extract`, which also says what is raised.
    """
    chosen = features.get_all(names)
    if source is None:
        return _bundled([feature.name for feature in chosen], emotions, part or "speech")
    corpus = source if isinstance(source, Corpus) else corpora.load(source, part=part)
    if emotions:
        corpus = corpus.select(emotions=emotions)
    return extraction.extract(
        corpus, chosen, store=store, jobs=jobs, cluster=cluster, progress=progress
    )


def _bundled(names: Sequence[str], emotions: Sequence[str] | None, part: str) -> Dataset:
    corpus, vector, frames = bundled.load(part)
    if emotions:
        corpus = corpus.select(emotions=emotions)
        rows = corpus.table.index.to_numpy()
        vector, frames = vector.rows(rows), frames.rows(rows) if frames else None
    available = vector.names + (frames.names if frames else [])
    if absent := [name for name in names if name not in available]:
        told = {"absent": ", ".join(absent), "available": ", ".join(available)}
        raise FeatureError(sentence("not_bundled", of_song="" if frames else " of song", **told))
    vectors = [name for name in dict.fromkeys(names) if name != bundled.FRAMES]
    tables = {"vector": vector.select(vectors)} if vectors else {}
    if frames and bundled.FRAMES in names:
        tables["frames"] = frames
    return Dataset(corpus, tables)


def write(data: Dataset, path: str | os.PathLike[str]) -> dict[str, str]:
    """Write corpus columns and features side by side, by the ending as Parquet or CSV.

    Frames go into Parquet alone: a column ``frames`` of float32 bytes, row after row, and ``n_frames``.
    Returns what columns of the corpus that have the name of a feature's are called instead.
    """
    target = Path(path)
    values = pd.DataFrame(index=range(len(data.corpus)))
    if "vector" in data.features:
        values = data.features["vector"].to_pandas().reset_index(drop=True)
    if found := data.features.get("frames"):
        if target.suffix != ".parquet":
            raise FeatureError(sentence("no_frames", label=found.label, ending=target.suffix))
        values["n_frames"] = [len(f) for f in found.frames or ()]
        values["frames"] = [f.astype("<f4").tobytes() for f in found.frames or ()]
    about = data.corpus.table.reset_index(drop=True)
    about["path"] = [encodable(os.fspath(path)) for path in about["path"]]
    renamed: dict[str, str] = {}
    for name in filter(values.__contains__, about):
        renamed[name] = f"corpus_{name}"
        while renamed[name] in about or renamed[name] in values:
            renamed[name] = f"corpus_{renamed[name]}"
    write_table(target, pd.concat([about.rename(columns=renamed), values], axis=1))
    return renamed
