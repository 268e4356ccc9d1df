"""Make the bundled RAVDESS features from the recordings.

    python scripts/bundle_ravdess.py path/to/ravdess

Writes ``ravdess.npz`` (speech) and ``ravdess_song.npz`` into ``src/emoscope/data``, whichever
the folder holds; tests with the recordings hold both against what the extractor gives.
"""

import json
import sys
from pathlib import Path

import numpy as np

from emoscope import corpus, dataset
from emoscope.cli.terminal import progress
from emoscope.dataset import bundled
from emoscope.dataset.store import Store
from emoscope.features import DEFAULT
from emoscope.features.logmel import FLOOR_DB, STEP_DB
from emoscope.files import DATA


def main(source: str) -> None:
    whole = corpus.load(source)
    if whole.name != "ravdess":
        sys.exit(f"{source} is not RAVDESS")
    for channel in sorted(set(whole.table["channel"])):
        names = [*DEFAULT, bundled.FRAMES] if channel == "speech" else list(DEFAULT)
        target = Path(DATA, bundled.FILES[channel])
        with progress(f"extracting features of {channel}") as tick:
            clips = whole.select(channel=channel)
            data = dataset.load(clips, names, store=Store(), progress=tick)
        save(data, target, Path(source))
        print(f"{target}: {len(data.corpus.table)} clips, {target.stat().st_size / 1e6:.1f} MB")


def save(data: dataset.Dataset, path: Path, root: Path) -> None:
    """Write what ``emoscope.dataset.bundled.load`` reads; paths are those below `root`."""
    vector, frames = data.features["vector"], data.features.get("frames")
    about = data.corpus.table[bundled.ABOUT_CLIP].reset_index(drop=True)
    about["path"] = [str(Path(clip).relative_to(root)) for clip in about["path"]]
    told = {
        "specs": {"vector": vector.specs},
        "columns": vector.columns,
        "clips": about.to_dict(orient="list"),
    }
    arrays = {"X": np.asarray(vector.X, np.float32)}
    if frames is not None:
        levels = [np.rint((clip - FLOOR_DB) / STEP_DB) for clip in frames.frames or []]
        steps = [clip.astype(np.uint8) for clip in levels]
        arrays |= {"frames": np.concatenate(steps)}
        arrays |= {"lengths": np.array([len(clip) for clip in steps])}
        told["specs"]["frames"] = frames.specs
    text = json.dumps(told, ensure_ascii=False, default=int).encode()
    np.savez_compressed(path, about=np.frombuffer(text, np.uint8), **arrays)


if __name__ == "__main__":
    main(sys.argv[1])
