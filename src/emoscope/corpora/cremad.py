"""CREMA-D: twelve English sentences in six emotions by 43 women and 48 men, 7442 clips.

``1001_DFA_ANG_XX`` is actor, sentence, emotion and intensity (``1040_ITH_SAD_X`` lacks a letter in the
original, ``1076_MTI_SAD_XX`` has no sound). ``VideoDemographics.csv`` has gender and age of the actors.
"""

import csv
from collections.abc import Mapping
from pathlib import Path

from .base import CorpusInfo, Naming, Row, numbers, words

LABEL_MAP = words("ANG DIS FEA HAP NEU SAD")

INTENSITIES = {"LO": "low", "MD": "medium", "HI": "high", "XX": "unspecified", "X": "unspecified"}

SENTENCES = {
    "IEO": "It's eleven o'clock",
    "TIE": "That is exactly what happened",
    "IOM": "I'm on my way to the meeting",
    "IWW": "I wonder what this is about",
    "TAI": "The airplane is almost full",
    "MTI": "Maybe tomorrow it will be cold",
    "IWL": "I would like a new alarm clock",
    "ITH": "I think I have a doctor's appointment",
    "DFA": "Don't forget a jacket",
    "ITS": "I think I've seen this before",
    "TSI": "The surface is slick",
    "WSI": "We'll stop in a couple of minutes",
}

FORM = (
    r"(?P<speaker>[0-9]{4})_(?P<statement>[A-Z]{3})_(?P<label>[A-Z]{3})_(?P<intensity>X|[A-Z]{2})"
)
FACTS = {
    "speaker": numbers(1001, 1091),
    "statement": SENTENCES,
    "label": LABEL_MAP,
    "intensity": INTENSITIES,
}


def demographics(root: Path) -> Mapping[str, Row]:
    """Gender and age of each actor, from ``VideoDemographics.csv`` in `root` or beside it."""
    for folder in (root, root.parent):
        file = folder / "VideoDemographics.csv"
        if file.is_file():
            with open(file, newline="", encoding="utf-8-sig") as lines:
                actors = list(csv.DictReader(lines, restval=""))
            return {
                row["ActorID"]: {"gender": row["Sex"].lower(), "age": int(row["Age"])}
                for row in actors
                if {"ActorID", "Sex", "Age"} <= set(row)
                and row["Sex"].lower() in ("female", "male")
                and row["Age"].isdecimal()
            }
    return {}


CREMAD = CorpusInfo(
    name="cremad",
    title="Crowd-sourced Emotional Multimodal Actors Dataset",
    licence="Open Database License 1.0, contents under the Database Contents License 1.0",
    citation=(
        "Cao H, Cooper DG, Keutmann MK, Gur RC, Nenkova A, Verma R (2014). CREMA-D: Crowd-sourced "
        "emotional multimodal actors dataset. IEEE Transactions on Affective Computing 5(4), "
        "377-390. https://doi.org/10.1109/TAFFC.2014.2336244"
    ),
    homepage="https://github.com/CheyneyComputerScience/CREMA-D",
    label_map=LABEL_MAP,
    parse=Naming(FORM, FACTS),
    file_names="actor, sentence, emotion and intensity",
    example="AudioWAV/1001_DFA_ANG_XX.wav",
    obtain=(
        "clone https://github.com/CheyneyComputerScience/CREMA-D with git and Git LFS, and use its "
        "folder AudioWAV"
    ),
    speaker_facts=demographics,
)

MEMBERS = {"cremad": CREMAD}
