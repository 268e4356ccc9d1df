"""The RAVDESS features that ship inside the package: 1,440 clips of speech, 1,012 of song, no audio.

``scripts/bundle_ravdess.py`` and ``scripts/bundle_embeddings.py`` made them; they are under the corpus's
own licence, CC BY-NC-SA 4.0.
"""

import json
import os
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..corpora import COLUMNS, PARTS
from ..corpora import get as get_corpus
from ..corpus import Corpus, SpeakerOrigin
from ..errors import CorpusError, check_known
from ..features.logmel import from_bytes
from ..features.table import Features
from ..files import DATA

FILES = {"speech": "ravdess.npz", "song": "ravdess_song.npz"}
ABOUT_CLIP = [*COLUMNS, "gender", "text", "intensity", "statement", "repetition", "channel"]
FRAMES = "logmel"
ENCODER, EMBEDDINGS = "default", "ravdess_embeddings.npz"  # a shipped model, and of its encoder
STEP = 1 / 16  # of embeddings in 8 bits; their columns are standardised, so 127 steps are enough
NO_EMBEDDINGS = "the bundled features of song have no embeddings"
NO_SPECTROGRAMS = "the bundled features of song have no spectrograms"
RATE = 48_000  # Hz, of the recordings that the features are of


def load(part: str = "speech") -> tuple[Corpus, Features, Features | None]:
    """The corpus, whose paths name no file; 193 values a clip; of speech alone spectrograms in dB."""
    check_known("part", PARTS, part)
    files = [_read(file) for channel, file in FILES.items() if part in (channel, "both")]
    told = [json.loads(file["about"].tobytes()) for file in files]
    about = pd.concat([pd.DataFrame(one["clips"], dtype=object) for one in told], ignore_index=True)
    info, specs = get_corpus("ravdess"), told[0]["specs"]
    origin = SpeakerOrigin("rule", f"file names of {info.name}: {info.file_names}")
    corpus = Corpus(info.name, about, info.licence, info.citation, speakers_from=origin)
    clips, X = about["clip"].tolist(), np.concatenate([file["X"] for file in files])
    vector = Features(clips=clips, specs=specs["vector"], columns=tuple(told[0]["columns"]), X=X)
    if part != "speech":
        return corpus, vector, None
    stops = np.cumsum(files[0]["lengths"])[:-1]
    frames = [from_bytes(clip) for clip in np.split(files[0]["frames"], stops)]
    return corpus, vector, Features(clips=clips, specs=specs["frames"], frames=frames)


def embeddings(corpus: Corpus) -> Features:
    """The embeddings of clips of the bundled speech, computed without labels of emotion or speaker."""
    stored, clips = _read(EMBEDDINGS), corpus.table["clip"].tolist()
    X = stored["steps"][pd.Index(stored["clips"]).get_indexer(clips)] * np.float32(STEP)
    columns = tuple(f"encoder_{n}" for n in range(X.shape[1]))
    return Features(clips, [{"name": "encoder", "model": str(stored["model"])}], columns, X)


def _read(file: str) -> dict[str, NDArray[Any]]:
    path = os.path.join(DATA, file)
    if not os.path.exists(path):
        raise CorpusError(f"{path}: the bundled features are missing; install emoscope again")
    with np.load(path) as arrays:
        return dict(arrays)
