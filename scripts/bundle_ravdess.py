"""Make the bundled RAVDESS features from the recordings.

    python scripts/bundle_ravdess.py path/to/ravdess

Writes ``src/emoscope/data/ravdess.parquet``; a test with the recordings holds it against what the
extractor gives.
"""

import sys
from pathlib import Path

from emoscope import corpus, dataset
from emoscope.cli.terminal import progress
from emoscope.dataset import bundled
from emoscope.dataset.store import Store
from emoscope.features import DEFAULT

TARGET = Path(__file__).parents[1] / "src" / "emoscope" / "data" / bundled.FILE


def main(source: str) -> None:
    if corpus.load(source).name != "ravdess":
        sys.exit(f"{source} is not RAVDESS")
    with progress("extracting features") as tick:
        data = dataset.load(source, [*DEFAULT, bundled.FRAMES], store=Store(), progress=tick)
    path = bundled.save(data.corpus, data.features["vector"], data.features["frames"], TARGET)
    print(f"{path}: {len(data.corpus.table)} clips, {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main(sys.argv[1])
