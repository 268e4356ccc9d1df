"""nEMO: 90 Polish sentences in six emotions by four women and five men, 4481 clips.

A name is the speaker, the emotion and the number of the sentence, which stands for the words where
``data.tsv`` does not tell them.
"""

import csv
import itertools
from collections.abc import Mapping
from pathlib import Path, PurePath

from .base import CorpusInfo, Facts, Naming, Row, lines_beside, numbers, words

LABEL_MAP = words("anger fear happiness neutral sadness surprised")

FORM = r"(?P<speaker>[A-Z]{2}[0-9])_(?P<label>[a-z]+)_(?P<statement>[0-9]{1,2})"
SPEAKERS = {
    **dict.fromkeys(("EB0", "IC0", "KD0", "MK0"), {"gender": "female"}),
    **dict.fromkeys(("KS0", "MP0", "SM0", "TP0", "WR0"), {"gender": "male"}),
}
FACTS: Facts = {"speaker": SPEAKERS, "label": LABEL_MAP, "statement": numbers(1, 90, 1)}


def annotate(root: Path, rows: Mapping[PurePath, Row]) -> Mapping[PurePath, Row]:
    """The words of each clip, from ``data.tsv``."""
    lines = itertools.chain(*lines_beside(root, "data.tsv").values())
    table = csv.DictReader(lines, delimiter="\t", restval="")
    words = {row.get("file_id", "").partition(".")[0]: row.get("raw_text") for row in table}
    return {p: {"text": words.get(p.stem) or row["text"]} for p, row in rows.items()}


MEMBERS = {
    "nemo": CorpusInfo(
        name="nemo",
        title="nEMO, emotional speech in Polish",
        licence="CC BY-NC-SA 4.0",
        citation="Christop I (2024), LREC-COLING, 12111-12116. https://aclanthology.org/2024.lrec-main.1059",
        homepage="https://github.com/amu-cai/nEMO",
        label_map=LABEL_MAP,
        parse=Naming(FORM, FACTS),
        annotate=annotate,
        file_names="speaker, emotion and sentence",
        example="samples/EB0_anger_1.wav",
    )
}
