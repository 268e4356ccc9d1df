"""EMO-DB, Berlin: ten sentences in seven emotions by five women and five men, 535 clips.

``03a01Fa`` is speaker 03, sentence a01, Freude (the German emotion's first letter), version a.
"""

from .base import CorpusInfo, Download, Naming, Row, words

LABEL_MAP = words("W=anger L=boredom E=disgust A=fear F=joy T=sadness N=neutral")

SPEAKERS = {  # gender, and age in years
    "03": ("male", 31),
    "08": ("female", 34),
    "09": ("female", 21),
    "10": ("male", 32),
    "11": ("male", 26),
    "12": ("male", 30),
    "13": ("female", 32),
    "14": ("female", 35),
    "15": ("male", 25),
    "16": ("female", 31),
}

SENTENCES = {
    "a01": "Der Lappen liegt auf dem Eisschrank.",
    "a02": "Das will sie am Mittwoch abgeben.",
    "a04": "Heute abend könnte ich es ihm sagen.",
    "a05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
    "a07": "In sieben Stunden wird es soweit sein.",
    "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
    "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
    "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
    "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
    "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
}

FORM = r"(?P<speaker>[0-9]{2})(?P<statement>[a-z][0-9]{2})(?P<label>[A-Z])[a-z]"
FACTS = {"speaker": tuple(SPEAKERS), "statement": SENTENCES, "label": LABEL_MAP}


def _tell(fields: Row) -> Row:
    gender, age = SPEAKERS[fields["speaker"]]
    return {"gender": gender, "age": age}


EMODB = CorpusInfo(
    name="emodb",
    title="Berlin Database of Emotional Speech",
    licence="CC0 1.0 (as republished by audEERING)",
    citation=(
        "Burkhardt F, Paeschke A, Rolfes M, Sendlmeier WF, Weiss B (2005). A database of German "
        "emotional speech. Interspeech 2005, 1517-1520. "
        "https://doi.org/10.21437/Interspeech.2005-446"
    ),
    homepage="http://emodb.bilderbar.info/",
    label_map=LABEL_MAP,
    parse=Naming(FORM, FACTS, _tell),
    file_names="speaker, sentence, emotion and version",
    example="wav/03a01Fa.wav",
    downloads=(Download("http://emodb.bilderbar.info/download/download.zip"),),
)

MEMBERS = {"emodb": EMODB}
