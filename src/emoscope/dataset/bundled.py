"""The RAVDESS features that ship inside the package: 1440 speech clips, features only, no audio.

One Parquet file, made by ``scripts/bundle_ravdess.py``, holds per clip what the corpus says of it, the
193 named values and the log-mel spectrogram in the uint8 steps of the feature ``logmel``. It is under
the corpus's own licence, CC BY-NC-SA 4.0.
"""

from __future__ import annotations

import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from ..corpora import get as get_corpus
from ..corpus import Corpus, SpeakerOrigin
from ..errors import CorpusError
from ..features.logmel import from_bytes
from ..features.table import Features
from ..files import DATA

FILE = "ravdess.parquet"
ABOUT_CLIP = [
    "clip", "path", "emotion", "label", "speaker", "corpus", "gender", "text", "intensity",
    "statement", "repetition", "channel",
]  # fmt: skip
FRAMES = "logmel"
RATE = 48_000  # Hz, of the recordings that the features are of


def load() -> tuple[Corpus, Features, Features]:
    """The corpus, whose paths name no file; 193 values per clip; log-mel spectrograms in dB."""
    path = os.path.join(DATA, FILE)
    if not os.path.exists(path):
        raise CorpusError(f"{path}: the bundled features are missing; install emoscope again")
    table = pa.parquet.read_table(path)
    specs = json.loads(table.schema.metadata[b"emoscope"])
    frame = table.select([c for c in table.column_names if c != FRAMES]).to_pandas()
    info = get_corpus("ravdess")
    about = frame[ABOUT_CLIP].astype(object)
    origin = SpeakerOrigin("rule", f"file names of {info.name}: {info.file_names}")
    corpus = Corpus(info.name, about, info.licence, info.citation, speakers_from=origin)
    clips = frame["clip"].tolist()
    shape = (-1, specs["frames"][0]["n_mels"])
    steps = [np.frombuffer(clip.as_py(), dtype=np.uint8).reshape(shape) for clip in table[FRAMES]]
    frames = [from_bytes(clip) for clip in steps]
    values = frame.drop(columns=ABOUT_CLIP)
    X = np.ascontiguousarray(values.to_numpy(dtype=np.float32))
    vector = Features(clips=clips, specs=specs["vector"], columns=tuple(values.columns), X=X)
    return corpus, vector, Features(clips=clips, specs=specs["frames"], frames=frames)
