"""EMOVO: an Italian emotional speech database.

Six Italian actors, three women and three men, speak 14 sentences in seven emotional states: 588
clips at 48 kHz, recorded in the laboratories of the Fondazione Ugo Bordoni in Rome.

A file name is the emotion, the speaker and the sentence: ``gio-f1-b2.wav`` is gioia (joy), woman 1,
sentence b2. The letter of a sentence is its kind: b short (breve), l long (lunga), d question
(domanda), n nonsense.
"""

from __future__ import annotations

import re
from pathlib import PurePath

from .base import CorpusInfo, Row

LABEL_MAP = {
    "dis": "disgust",  # disgusto
    "gio": "happy",  # gioia
    "neu": "neutral",  # neutro
    "pau": "fearful",  # paura
    "rab": "angry",  # rabbia
    "sor": "surprised",  # sorpresa
    "tri": "sad",  # tristezza
}

GENDERS = {"f": "female", "m": "male"}

_NAME = re.compile(
    r"(?P<emotion>[a-z]{3})-(?P<speaker>(?P<gender>[fm])[1-3])-(?P<text>[bdln][1-5])"
)


def parse(path: PurePath) -> Row | None:
    """Read emotion, speaker and sentence from a clip's name."""
    fields = _NAME.fullmatch(path.stem.lower())
    if fields is None:
        return None
    return {
        "clip": path.stem.lower(),
        "label": fields["emotion"],
        "speaker": fields["speaker"],
        "gender": GENDERS[fields["gender"]],
        "statement": fields["text"],
    }


EMOVO = CorpusInfo(
    name="emovo",
    title="EMOVO, an Italian emotional speech database",
    licence="free for research",
    citation=(
        "Costantini G, Iaderola I, Paoloni A, Todisco M (2014). EMOVO Corpus: an Italian Emotional "
        "Speech Database. LREC 2014, 3501-3504."
    ),
    homepage="http://voice.fub.it/activities/corpora/emovo/index.html",
    label_map=LABEL_MAP,
    parse=parse,
    file_names="emotion, speaker and sentence",
    example="f1/gio-f1-b2.wav",
    obtain="download it by hand from http://voice.fub.it/activities/corpora/emovo/index.html",
)

MEMBERS = {"emovo": EMOVO}
