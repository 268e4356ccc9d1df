"""AESDD: 19 Greek utterances and an improvised one in five emotions by six actors, 604 clips.

``f13 (3)`` is fear, utterance 13, speaker 3; a letter after it marks another take.
"""

from .base import CorpusInfo, Naming, Row, numbers

LABEL_MAP = {"a": "angry", "d": "disgust", "f": "fearful", "h": "happy", "s": "sad"}
IMPROVISED = "20"

FORM = r"(?P<label>[a-z])(?P<statement>[0-9]{2}) \(0?(?P<speaker>[0-9])\)[a-z]?"
FACTS = {"label": LABEL_MAP, "statement": numbers(1, 20), "speaker": numbers(1, 6, 1)}


def _tell(fields: Row) -> Row:
    improvised = fields["statement"] == IMPROVISED
    return {"text": "-".join(fields.values())} if improvised else {}


MEMBERS = {
    "aesdd": CorpusInfo(
        name="aesdd",
        title="Acted Emotional Speech Dynamic Database",
        licence="not stated",
        citation="Vryzas N et al. (2018), JAES 66(6), 457-467. https://doi.org/10.17743/jaes.2018.0036",
        homepage="http://m3c.web.auth.gr/research/aesdd-speech-emotion-recognition/",
        label_map=LABEL_MAP,
        parse=Naming(FORM, FACTS, _tell),
        file_names="emotion, utterance and speaker",
        example="fear/f13 (3).wav",
    )
}
