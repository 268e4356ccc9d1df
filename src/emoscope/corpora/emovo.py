"""EMOVO: 14 Italian sentences in seven emotions by three women and three men, 588 clips.

``gio-f1-b2`` is gioia (joy), woman 1, sentence b2: b is short, l long, d a question, n nonsense.
"""

from .base import GENDERS, CorpusInfo, Naming, Row, words

LABEL_MAP = words("dis=disgust gio=joy neu=neutral pau=fear rab=anger sor=surprise tri=sadness")

SENTENCES = {
    "b1": "Gli operai si alzano presto.",
    "b2": "I vigili sono muniti di pistola.",
    "b3": "La cascata fa molto rumore.",
    "d1": "Sabato sera cosa farà?",
    "d2": "Porti con te quella cosa?",
    "l1": "L'autunno prossimo Tony partirà per la Spagna nella prima metà di ottobre.",
    "l2": "Ora prendo la felpa di là ed esco per fare una passeggiata.",
    "l3": "Un attimo dopo s'è incamminato ed è inciampato.",
    "l4": "Vorrei il numero telefonico del Signor Piatti.",
    "n1": "La casa forte vuole col pane.",
    "n2": "La forza trova il passo e l'aglio rosso.",
    "n3": "Il gatto sta scorrendo nella pera.",
    "n4": "Insalata pastasciutta coscia d'agnello limoncello.",
    "n5": "Uno quarantatré dieci mille cinquantasette venti.",
}

FORM = r"(?P<label>[a-z]{3})-(?P<speaker>(?P<gender>[fm])[0-9])-(?P<statement>[a-z][0-9])"
FACTS = {
    "label": LABEL_MAP,
    "gender": GENDERS,
    "speaker": ("f1", "f2", "f3", "m1", "m2", "m3"),
    "statement": SENTENCES,
}


def _tell(fields: Row) -> Row:
    return {"clip": "{label}-{speaker}-{statement}".format_map(fields)}


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
    parse=Naming(FORM, FACTS, _tell, any_case=True),
    file_names="emotion, speaker and sentence",
    example="f1/gio-f1-b2.wav",
    obtain="download it by hand from http://voice.fub.it/activities/corpora/emovo/index.html",
)

MEMBERS = {"emovo": EMOVO}
