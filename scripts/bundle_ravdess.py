"""Make the bundled RAVDESS features from the recordings.

    python scripts/bundle_ravdess.py path/to/ravdess

Writes ``src/emoscope/data/ravdess.parquet``; a test with the recordings holds it against what the
extractor gives.
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

TARGET = Path(__file__).parents[1] / "src" / "emoscope" / "data" / bundled.FILE


def main(source: str) -> None:
    if corpus.load(source).name != "ravdess":
        sys.exit(f"{source} is not RAVDESS")
    with progress("extracting features") as tick:
        data = dataset.load(source, [*DEFAULT, bundled.FRAMES], store=Store(), progress=tick)
    save(data, TARGET)
    print(f"{TARGET}: {len(data.corpus.table)} clips, {TARGET.stat().st_size / 1e6:.1f} MB")


def save(data: dataset.Dataset, path: Path) -> None:
    """Write what ``emoscope.dataset.bundled.load`` reads."""
    vector, frames = data.features["vector"], data.features["frames"]
    about = data.corpus.table[bundled.ABOUT_CLIP].reset_index(drop=True)
    values = pd.DataFrame(vector.X, columns=list(vector.columns))
    table = pa.Table.from_pandas(pd.concat([about, values], axis=1), preserve_index=False)
    steps = [to_bytes(spectrogram).tobytes() for spectrogram in frames.frames or []]
    table = table.append_column(bundled.FRAMES, pa.array(steps, type=pa.binary()))
    specs = {"vector": vector.specs, "frames": frames.specs}
    table = table.replace_schema_metadata({b"emoscope": json.dumps(specs).encode()})
    pa.parquet.write_table(table, path, compression="zstd", compression_level=19)


if __name__ == "__main__":
    main(sys.argv[1])
