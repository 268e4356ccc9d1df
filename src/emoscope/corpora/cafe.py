"""CaFE: six sentences of Canadian French in seven emotions by six women and six men, 936 clips.

``12-J-2-3`` is actor 12, joie, strong, sentence 3; odd actors are men.
"""

from .base import CorpusInfo, Naming, Row, numbers, words

LABEL_MAP = words("C=anger D=disgust J=joy N=neutral P=fear S=surprise T=sadness")

SENTENCES = {
    "1": "Un cheval fou dans mon jardin",
    "2": "Deux ânes aigris au pelage brun",
    "3": "Trois cygnes aveugles au bord du lac",
    "4": "Quatre vieilles truies éléphantesques",
    "5": "Cinq pumas fiers et passionnés",
    "6": "Six ours aimants domestiqués",
}

FORM = r"(?P<speaker>[0-9]{2})-(?P<label>[A-Z])-(?P<intensity>[0-9])-(?P<statement>[0-9])"
FACTS = {
    "speaker": numbers(1, 12),
    "label": LABEL_MAP,
    "intensity": {"1": "mild", "2": "strong"},
    "statement": SENTENCES,
}


def _tell(fields: Row) -> Row:
    return {"gender": "male" if int(fields["speaker"]) % 2 else "female"}


MEMBERS = {
    "cafe": CorpusInfo(
        name="cafe",
        title="Canadian French Emotional speech dataset",
        licence="CC BY-NC-SA 4.0",
        citation="Gournay P et al. (2018), ACM MMSys, 399-402. https://doi.org/10.1145/3204949.3208121",
        homepage="https://zenodo.org/records/1478765",
        label_map=LABEL_MAP,
        parse=Naming(FORM, FACTS, _tell),
        file_names="actor, emotion, intensity and sentence",
        example="Joie/Fort/12-J-2-3.wav",
    )
}
