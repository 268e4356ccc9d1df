"""Make the bundled embeddings of the RAVDESS speech clips from the recordings.

    python scripts/bundle_embeddings.py path/to/ravdess

Writes ``ravdess_embeddings.npz`` into ``src/emoscope/data``: what the encoder of a shipped model gives for
each clip, in 8 bits. The encoder is frozen and was told no label; a test with the recordings holds
what is stored against what it gives.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emoscope import audio, corpus, modelfile
from emoscope.cli.terminal import progress
from emoscope.dataset import bundled
from emoscope.files import DATA


def main(source: str) -> None:
    whole = corpus.load(source).table
    paths = dict(zip(whole["clip"], whole["path"], strict=True))
    clips = bundled.load()[0].table["clip"].tolist()
    model = modelfile.load(bundled.ENCODER)

    def embedding(clip: str) -> NDArray[np.float32]:
        return model.run(model.prepare(audio.load(paths[clip])))[1][0]

    rows = []
    with progress("embedding clips") as tick, ThreadPoolExecutor(2) as pool:
        for row in pool.map(embedding, clips):
            rows.append(row)
            tick(len(rows), len(clips))
    save(clips, np.stack(rows), model.identity, Path(DATA, bundled.EMBEDDINGS))


def save(clips: list[str], embeddings: NDArray[np.float32], model: str, path: Path) -> None:
    """Write what ``emoscope.dataset.bundled.embeddings`` reads."""
    steps = np.clip(np.round(embeddings / bundled.STEP), -127, 127).astype(np.int8)
    np.savez_compressed(path, clips=np.array(clips), steps=steps, model=np.array(model))
    print(f"{path}: {len(steps)} clips, {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main(sys.argv[1])
