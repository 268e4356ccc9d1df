"""SAVEE: the Surrey Audio-Visual Expressed Emotion database.

Four native English men, postgraduate students and researchers of the University of Surrey aged 27
to 31, speak 15 sentences in each of six emotions and 30 neutral ones: 480 clips at 44.1 kHz.

A file name is the emotion and the sentence within it, in a folder per speaker (``DC/sa03.wav``), or
with the speaker in front (``DC_sa03.wav``), as the archives on Kaggle have it.
"""

from __future__ import annotations

import re
from pathlib import PurePath

from .base import CorpusInfo, Row

LABEL_MAP = {
    "a": "angry",
    "d": "disgust",
    "f": "fearful",
    "h": "happy",
    "n": "neutral",
    "sa": "sad",
    "su": "surprised",
}

SPEAKERS = ("DC", "JE", "JK", "KL")

_NAME = re.compile(r"(?:(?P<speaker>[A-Z]{2})_)?(?P<sentence>(?P<emotion>[a-z]{1,2})[0-9]{2})")


def parse(path: PurePath) -> Row | None:
    """Read speaker, emotion and sentence from a clip's name and, if need be, its folder."""
    fields = _NAME.fullmatch(path.stem)
    speaker = fields and (fields["speaker"] or path.parent.name)
    if fields is None or speaker not in SPEAKERS:
        return None
    return {
        "clip": f"{speaker}_{fields['sentence']}",
        "label": fields["emotion"],
        "speaker": speaker,
        "gender": "male",
        "statement": fields["sentence"],
    }


SAVEE = CorpusInfo(
    name="savee",
    title="Surrey Audio-Visual Expressed Emotion database",
    licence="free for research, on registration with the authors",
    citation=(
        "Haq S, Jackson PJB (2010). Multimodal emotion recognition. In: Wang W (ed.), Machine "
        "Audition: Principles, Algorithms and Systems, IGI Global, 398-423."
    ),
    homepage="http://kahlan.eps.surrey.ac.uk/savee/",
    label_map=LABEL_MAP,
    parse=parse,
    file_names="emotion and number in a folder per speaker, or with the speaker in front",
    example="DC/sa03.wav",
    obtain="register with the authors at http://kahlan.eps.surrey.ac.uk/savee/",
)

MEMBERS = {"savee": SAVEE}
