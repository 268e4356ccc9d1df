"""EMOVO: an Italian emotional speech database.

Six Italian actors, three women and three men, speak 14 sentences in seven emotional states: 588
clips at 48 kHz, recorded in the laboratories of the Fondazione Ugo Bordoni in Rome.

A file name is the emotion, the speaker and the sentence: ``gio-f1-b2.wav`` is gioia (joy), woman 1,
sentence b2. The letter of a sentence is its kind: b short (breve), l long (lunga), d question
(domanda), n nonsense.
"""

from __future__ import annotations

from functools import partial

from .base import CorpusInfo, Row, by_stem

LABEL_MAP = {
    "dis": "disgust",  # disgusto
    "gio": "happy",  # gioia
    "neu": "neutral",  # neutro
    "pau": "fearful",  # paura
    "rab": "angry",  # rabbia
    "sor": "surprised",  # sorpresa
    "tri": "sad",  # tristezza
}

NAME = r"(?ai)(?P<emotion>[a-z]{3})-(?P<speaker>[fm][1-3])-(?P<text>[bdln][1-5])"


def _tell(fields: Row) -> Row:
    emotion, speaker, text = (fields[name].lower() for name in ("emotion", "speaker", "text"))
    return {
        "clip": f"{emotion}-{speaker}-{text}",
        "label": emotion,
        "speaker": speaker,
        "gender": "female" if speaker.startswith("f") else "male",
        "statement": text,
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
    parse=partial(by_stem, NAME, _tell),
    file_names="emotion, speaker and sentence",
    example="f1/gio-f1-b2.wav",
    obtain="download it by hand from http://voice.fub.it/activities/corpora/emovo/index.html",
)

MEMBERS = {"emovo": EMOVO}
