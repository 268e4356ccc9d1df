"""From what a user names to what models read: a corpus and its features.

A source is a corpus folder, a manifest, or nothing: then the embedded RAVDESS features serve, and
neither a recording nor a network is needed.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from .. import corpus as corpora
from .. import features
from ..corpus import Corpus
from ..errors import FeatureError
from ..features.table import Features
from ..files import encodable, write_atomically
from . import arff, bundled, extraction
from .store import Store


@dataclass(frozen=True)
class Dataset:
    """A corpus with its features, row for row.

    Attributes
    ----------
    corpus : Corpus
        The usable clips; those that were left out are in ``corpus.rejected``.
    features : dict of str to Features
        ``"vector"`` and ``"frames"``, as far as they were asked for.
    """

    corpus: Corpus
    features: dict[str, Features]


def load(
    source: str | None,
    names: Sequence[str] | str,
    *,
    emotions: Sequence[str] | None = None,
    store: Store | None = None,
    jobs: int | None = None,
    cluster: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Dataset:
    """Load a corpus and its features, computing what neither the package nor the store holds.

    Parameters
    ----------
    source : str or None
        Corpus folder or manifest; None for the embedded RAVDESS features.
    names : sequence of str, or str
        Features, as :func:`emoscope.features.get` reads them; a text is divided at its commas.
    emotions : sequence of str, optional
        Keep only clips of these.
    store : Store, optional
        Where extracted features are kept and looked for.
    jobs, cluster, progress
        As for :func:`emoscope.dataset.extraction.extract`.

    Raises
    ------
    CorpusError, FeatureError, UnknownNameError
        When the source, a feature or an emotion cannot be used.
    """
    if isinstance(names, str):
        names = [name.strip() for name in names.split(",")]
    wanted = [features.get(name) for name in names]
    if source is None:
        return _embedded([f.name for f in wanted], emotions)
    corpus = corpora.load(source)
    if emotions:
        corpus = corpus.select(emotions=emotions)
    extracted = extraction.extract(
        corpus, wanted, store=store, jobs=jobs, cluster=cluster, progress=progress
    )
    return Dataset(extracted.corpus, extracted.features)


def write(data: Dataset, path: str | os.PathLike[str]) -> dict[str, str]:
    """Write corpus columns and features side by side, as Parquet or, by the ending, CSV or ARFF.

    Frames, whose number differs from clip to clip, go into Parquet alone: one column ``frames`` of
    float32 bytes, row after row, and one of their number, ``n_frames``.

    Returns
    -------
    dict of str to str
        Columns of the corpus that have the name of a feature's → what they are called instead.

    Raises
    ------
    FeatureError
        When frames are to go into CSV or ARFF.
    """
    target = Path(path)
    computed = _computed(data, target)
    about = data.corpus.table.drop(columns="unique_speaker").reset_index(drop=True)
    about["path"] = [encodable(os.fspath(path)) for path in about["path"]]
    names = {str(name) for name in [*about, *computed]}
    renamed: dict[str, str] = {}
    for name in about:
        if name in computed:
            renamed[name] = f"corpus_{name}"
            while renamed[name] in names:
                renamed[name] = f"corpus_{renamed[name]}"
    table = pd.concat([about.rename(columns=renamed), computed], axis=1)
    if target.suffix == ".csv":
        write_atomically(target, table.to_csv(index=False, lineterminator="\n"))
    elif target.suffix == ".arff":
        write_atomically(target, arff.text(table, relation=data.corpus.name))
    else:
        buffer = io.BytesIO()
        table.to_parquet(buffer, index=False)
        write_atomically(target, buffer.getvalue())
    return renamed


def _computed(data: Dataset, target: Path) -> pd.DataFrame:
    """The columns of the features."""
    table = pd.DataFrame(index=range(len(data.corpus)))
    if "vector" in data.features:
        table = data.features["vector"].to_pandas().reset_index(drop=True)
    if "frames" in data.features:
        if target.suffix != ".parquet":
            raise FeatureError(
                f"{data.features['frames'].label} gives spectrograms, which do not fit into a "
                f"{target.suffix} file; write to a .parquet file"
            )
        frames = data.features["frames"].frames or []
        table["n_frames"] = [len(f) for f in frames]
        table["frames"] = [f.astype("<f4").tobytes() for f in frames]
    return table


def _embedded(names: Sequence[str], emotions: Sequence[str] | None) -> Dataset:
    corpus, vector, frames = bundled.load()
    if emotions:
        chosen = corpus.select(emotions=emotions)
        rows = corpus.table.index.get_indexer(chosen.table.index)
        corpus, vector, frames = chosen, vector.rows(rows), frames.rows(rows)
    at_hand = [spec["name"] for spec in vector.specs + frames.specs]
    absent = [name for name in names if name not in at_hand]
    if absent:
        raise FeatureError(
            f"the embedded RAVDESS features have no {', '.join(absent)}; they have "
            f"{', '.join(at_hand)}. Name a corpus with recordings, e.g. after: emoscope get ravdess"
        )
    found = {}
    vectors = [name for name in dict.fromkeys(names) if name != bundled.FRAMES]
    if vectors:
        found["vector"] = vector.select(vectors)
    if bundled.FRAMES in names:
        found["frames"] = frames
    return Dataset(corpus, found)
