"""Make the bundled RAVDESS features from the recordings.

    python scripts/bundle_ravdess.py path/to/ravdess

Writes ``ravdess.parquet`` (speech) and ``ravdess_song.parquet`` into ``src/emoscope/data``, whichever
the folder holds; tests with the recordings hold both against what the extractor gives.
"""

import json
import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from emoscope import corpus, dataset
from emoscope.cli.terminal import progress
from emoscope.dataset import bundled
from emoscope.dataset.store import Store
from emoscope.features import DEFAULT
from emoscope.features.logmel import to_bytes
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
    values = pd.DataFrame(vector.X, columns=list(vector.columns))
    table = pa.Table.from_pandas(pd.concat([about, values], axis=1), preserve_index=False)
    specs = {"vector": vector.specs}
    if frames is not None:
        steps = [to_bytes(spectrogram).tobytes() for spectrogram in frames.frames or []]
        table = table.append_column(bundled.FRAMES, pa.array(steps, type=pa.binary()))
        specs["frames"] = frames.specs
    table = table.replace_schema_metadata({b"emoscope": json.dumps(specs).encode()})
    pa.parquet.write_table(table, path, compression="zstd", compression_level=19)


if __name__ == "__main__":
    main(sys.argv[1])
