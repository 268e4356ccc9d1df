"""Make the embedded RAVDESS features from the recordings.

    python scripts/embed_ravdess.py path/to/ravdess

Writes ``src/emoscope/data/ravdess.parquet``; a test with the recordings holds it against what the
extractor gives.
"""

import sys
from pathlib import Path

from emoscope import corpus, dataset, embedded
from emoscope.cli.terminal import progress
from emoscope.features import DEFAULT
from emoscope.store import Store

TARGET = Path(__file__).parents[1] / "src" / "emoscope" / "data" / embedded.FILE


def main(source: str) -> None:
    if corpus.load(source).name != "ravdess":
        sys.exit(f"{source} is not RAVDESS")
    with progress("extracting features") as tick:
        data = dataset.load(
            source, [*DEFAULT, embedded.FRAMES], store=Store.default(), progress=tick
        )
    path = embedded.save(data.corpus, data.features["vector"], data.features["frames"], TARGET)
    print(f"{path}: {len(data.corpus.table)} clips, {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main(sys.argv[1])
