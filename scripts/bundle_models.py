"""Keeps a model beside the shipped default, whose encoder it shares, as what it has of its own.

    python scripts/bundle_models.py free.emoscope

Writes ``src/emoscope/data/free.npz``: the bytes that ``default.emoscope`` does not hold, and where the
others are in it. ``emoscope.modelfile`` puts the file together again, byte for byte. Whenever the
default model is replaced, all others have to be bundled anew.
"""

from __future__ import annotations

import io
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx

from emoscope import modelfile
from emoscope.files import DATA

SHORTEST = 1024  # bytes; shorter tensors are stored again


def difference(content: bytes, first: bytes) -> tuple[bytes, list[tuple[int, int, int]]]:
    """The bytes that `first` lacks, and rows of (bytes that come first, start in `first`, length)."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        graph = onnx.load_model_from_string(archive.read(modelfile.GRAPH)).graph
    weights = [one.raw_data for one in graph.initializer if len(one.raw_data) >= SHORTEST]
    found = sorted((content.index(raw), first.find(raw), len(raw)) for raw in weights)
    own, ranges, position = bytearray(), [], 0
    for place, start, length in found:
        if start >= 0 and place >= position:
            own += content[position:place]
            ranges.append((place - position, start, length))
            position = place + length
    ranges.append((len(content) - position, 0, 0))
    return bytes(own + content[position:]), ranges


def main(path: Path) -> None:
    content, first = path.read_bytes(), modelfile.read(modelfile.SHIPPED[0])
    own, ranges = difference(content, first)
    target = Path(DATA, f"{path.stem}.npz")
    bytes_of_its_own = np.frombuffer(own, np.uint8)
    np.savez_compressed(target, own=bytes_of_its_own, ranges=np.array(ranges, np.int64))
    if modelfile.read(path.stem) != content:
        sys.exit(f"{target}: does not give {path} back")
    print(f"{target}: {target.stat().st_size:,} bytes for {len(content):,}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
