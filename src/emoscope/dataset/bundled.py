"""The RAVDESS features that ship inside the package: 1,440 clips of speech, 1,012 of song, no audio.

A Parquet file for each, made by ``scripts/bundle_ravdess.py``, holds what the corpus says of every clip
and the 193 named values; that of speech also the log-mel spectrogram in the uint8 steps of the feature
``logmel``. They are under the corpus's own licence, CC BY-NC-SA 4.0.
"""

from __future__ import annotations

import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from ..corpora import PARTS
from ..corpora import get as get_corpus
from ..corpus import Corpus, SpeakerOrigin
from ..errors import CorpusError, UnknownNameError
from ..features.logmel import from_bytes
from ..features.table import Features
from ..files import DATA

FILES = {"speech": "ravdess.parquet", "song": "ravdess_song.parquet"}
ABOUT_CLIP = [
    "clip", "path", "emotion", "label", "speaker", "corpus", "gender", "text", "intensity",
    "statement", "repetition", "channel",
]  # fmt: skip
FRAMES = "logmel"
NO_SPECTROGRAMS = "the bundled features of song have no spectrograms"
RATE = 48_000  # Hz, of the recordings that the features are of


def load(part: str = "speech") -> tuple[Corpus, Features, Features | None]:
    """The corpus, whose paths name no file; 193 values a clip; of speech alone spectrograms in dB."""
    if part not in PARTS:
        raise UnknownNameError("part", part, PARTS)
    tables = [_read(file) for channel, file in FILES.items() if part in (channel, "both")]
    specs = json.loads(tables[0].schema.metadata[b"emoscope"])
    values = [name for name in tables[0].column_names if name not in (*ABOUT_CLIP, FRAMES)]
    columns = [table.select([*ABOUT_CLIP, *values]) for table in tables]
    table = pa.concat_tables(columns, promote_options="permissive").to_pandas()
    info = get_corpus("ravdess")
    origin = SpeakerOrigin("rule", f"file names of {info.name}: {info.file_names}")
    about = table[ABOUT_CLIP].astype(object)
    corpus = Corpus(info.name, about, info.licence, info.citation, speakers_from=origin)
    clips, X = table["clip"].tolist(), table[values].to_numpy(dtype=np.float32)
    vector = Features(
        clips=clips, specs=specs["vector"], columns=tuple(values), X=np.ascontiguousarray(X)
    )
    if part != "speech":
        return corpus, vector, None
    shape = (-1, specs["frames"][0]["n_mels"])
    steps = [np.frombuffer(c.as_py(), dtype=np.uint8).reshape(shape) for c in tables[0][FRAMES]]
    frames = [from_bytes(clip) for clip in steps]
    return corpus, vector, Features(clips=clips, specs=specs["frames"], frames=frames)


def _read(file: str) -> pa.Table:
    path = os.path.join(DATA, file)
    if not os.path.exists(path):
        raise CorpusError(f"{path}: the bundled features are missing; install emoscope again")
    return pa.parquet.read_table(path)
