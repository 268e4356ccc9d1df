"""Makes the fingerprints by which ``emoscope predict`` recognises what its models were trained on.

    python scripts/bundle_fingerprints.py path/to/ravdess path/to/emodb

Writes ``src/emoscope/data/fingerprints.npz``: of every clip each second word, 0 where it is silent,
with its corpus, speaker and emotion. ``benchmarks/known_recordings.py`` measures what it finds.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from emoscope import audio, corpus
from emoscope.files import DATA
from emoscope.prediction import known


def kept_words(signal: audio.Signal) -> np.ndarray:
    """Each second word from the first to the last that sounds."""
    words, sounding = known.recording_words(signal)
    first, last = np.flatnonzero(sounding)[[0, -1]]
    return np.where(sounding, words, np.uint32(0))[first : last + 1 : known.STEP]


def main(sources: list[str]) -> None:
    table = corpus.load(*sources).table.sort_values(["corpus", "clip"])
    # Speakers of joined corpora stand after the name of theirs; on the cards of models they do not.
    table["speaker"] = table["speaker"].str.rpartition("/")[2]
    if set(table["corpus"]) != known.SHIPPED:
        sys.exit(f"{sources}: give the folders of {' and '.join(sorted(known.SHIPPED))}")
    kept = [kept_words(audio.load(path)) for path in table["path"]]
    target = Path(DATA) / known.FILE
    about = {"corpora": "corpus", "speakers": "speaker", "emotions": "emotion"}
    np.savez(  # words hardly shrink, and unpacking them delays the first label
        target,
        words=np.concatenate(kept),
        lengths=np.array([len(words) for words in kept], dtype=np.uint16),
        **{name: table[column].to_numpy(dtype=str) for name, column in about.items()},
    )
    print(f"{target}: {len(kept)} clips, {target.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main(sys.argv[1:])
