"""Makes the directions in which emotions move a voice, for telling speakers apart.

    python scripts/bundle_voice_emotions.py path/to/emodb

Writes ``src/emoscope/data/voice_emotions.npz``, from four speakers of EMO-DB (CC0 as republished by
audEERING), each clip as it is and as over a telephone; ``benchmarks/diarisation.py`` tests on its other
speakers.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np
from scipy import signal as filters

from emoscope import audio, corpus
from emoscope.files import DATA
from emoscope.voices import clustering, encoder

SPEAKERS = ("03", "08", "09", "10")
N_DIRECTIONS = 5  # chosen on RAVDESS and four speakers of nEMO
HOP = 9_600  # samples, 0.6 s, from one window to the next


def windows(path: str, *, telephone: bool) -> np.ndarray:
    """The embeddings of a clip's windows of 1.6 s."""
    samples, length = (
        audio.resample(audio.load(path), encoder.RATE).samples,
        encoder.PART * encoder.HOP,
    )
    if telephone:
        band = filters.butter(4, (300, 3400), "bandpass", fs=encoder.RATE, output="sos")
        samples = filters.sosfilt(band, samples).astype(np.float32)
    starts = range(0, max(1, len(samples) - length + 1), HOP)
    pieces = [audio.Signal(samples[s : s + length], encoder.RATE) for s in starts]
    return clustering.unit(encoder.embed_each(pieces).astype(np.float64))


def main(source: str) -> None:
    table = corpus.load(source).table
    table = table[table["speaker"].isin(SPEAKERS)]
    found, means = [], []
    for (_, own), telephone in itertools.product(table.groupby("speaker"), (False, True)):
        emotions = own["emotion"].to_numpy()
        rows = [windows(path, telephone=telephone) for path in own["path"]]
        means.append(np.concatenate(rows).mean(axis=0))
        for emotion in np.unique(emotions):
            said = [r for r, name in zip(rows, emotions, strict=True) if name == emotion]
            found.append(np.concatenate(said).mean(axis=0) - means[-1])
    directions = np.linalg.svd(np.stack(found))[2][:N_DIRECTIONS]
    target = Path(DATA) / clustering.FILE
    np.savez(
        target,
        mean=np.mean(means, axis=0).astype(np.float32),
        directions=directions.astype(np.float32),
    )
    print(f"{target}: {len(table)} clips, {target.stat().st_size / 1e3:.1f} kB")


if __name__ == "__main__":
    main(sys.argv[1])
