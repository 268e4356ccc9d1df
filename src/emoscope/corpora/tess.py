"""TESS: the Toronto Emotional Speech Set.

Two actresses from Toronto, aged 64 and 26, say "Say the word …" with 200 target words in seven
emotions: 2800 clips at 24.4 kHz, University of Toronto, 2010. With two speakers no
speaker-independent figure deserves an interval: use TESS to train, or as the other corpus.

A file name is the speaker, the word and the emotion: ``OAF_back_angry.wav``. One file of the
original lacks a letter (``OA_bite_neutral.wav``) and belongs to OAF.
"""

from __future__ import annotations

from functools import partial

from .base import CorpusInfo, Row, by_stem

LABEL_MAP = {
    "angry": "angry",
    "disgust": "disgust",
    "fear": "fearful",
    "happy": "happy",
    "neutral": "neutral",
    "ps": "surprised",  # pleasant surprise
    "sad": "sad",
}

SPEAKERS = {"OAF": 64, "YAF": 26}  # age in years of the older and the younger adult female

NAME = r"(?i)(?P<speaker>OAF?|YAF)_(?P<word>[a-z]+)_(?P<emotion>[a-z]+)"


def _tell(fields: Row) -> Row:
    speaker = "YAF" if fields["speaker"].upper() == "YAF" else "OAF"
    word, label = fields["word"].lower(), fields["emotion"].lower()
    return {
        "clip": f"{speaker}_{word}_{label}",
        "label": label,
        "speaker": speaker,
        "gender": "female",
        "age": SPEAKERS[speaker],
        "text": f"Say the word {word}",
        "statement": word,
    }


TESS = CorpusInfo(
    name="tess",
    title="Toronto Emotional Speech Set",
    licence="CC BY-NC 4.0",
    citation=(
        "Pichora-Fuller MK, Dupuis K (2020). Toronto emotional speech set (TESS). Borealis, V1. "
        "https://doi.org/10.5683/SP2/E8H2MF"
    ),
    homepage="https://doi.org/10.5683/SP2/E8H2MF",
    label_map=LABEL_MAP,
    parse=partial(by_stem, NAME, _tell),
    file_names="speaker, word and emotion",
    example="OAF_angry/OAF_back_angry.wav",
    obtain="download it by hand from https://doi.org/10.5683/SP2/E8H2MF",
)

MEMBERS = {"tess": TESS}
