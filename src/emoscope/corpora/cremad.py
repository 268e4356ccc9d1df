"""CREMA-D: the Crowd-sourced Emotional Multimodal Actors Dataset.

Ninety-one actors, 43 women and 48 men between 20 and 74 years, speak twelve English sentences in
six emotions, one of the sentences also at three intensities: 7442 clips at 16 kHz. The label is the
emotion the actor was asked for. Gender and age of the actors are in ``VideoDemographics.csv``,
which is read when it lies in the folder or beside it.

A file name is the actor, the sentence, the emotion and the intensity: ``1001_DFA_ANG_XX.wav``
(``1040_ITH_SAD_X.wav`` lacks a letter in the original). One clip of the original,
``1076_MTI_SAD_XX.wav``, has no sound; it is refused when its audio is read.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from .base import CorpusInfo, Row, by_stem

LABEL_MAP = {
    "ANG": "angry",
    "DIS": "disgust",
    "FEA": "fearful",
    "HAP": "happy",
    "NEU": "neutral",
    "SAD": "sad",
}

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

NAME = (
    r"(?P<actor>10(?!00)(?:[0-8][0-9]|9[01]))"  # 1001 to 1091
    r"_(?P<text>[A-Z]{3})_(?P<emotion>[A-Z]{3})_(?P<level>X|..)"
)


def _tell(fields: Row) -> Row:
    return {
        "label": fields["emotion"],
        "speaker": fields["actor"],
        "text": SENTENCES[fields["text"]],
        "intensity": INTENSITIES[fields["level"]],
        "statement": fields["text"],
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
    parse=partial(by_stem, NAME, _tell),
    file_names="actor, sentence, emotion and intensity",
    example="AudioWAV/1001_DFA_ANG_XX.wav",
    obtain=(
        "clone https://github.com/CheyneyComputerScience/CREMA-D with git and Git LFS, and use its "
        "folder AudioWAV"
    ),
    speaker_facts=demographics,
)

MEMBERS = {"cremad": CREMAD}
