"""TurEV-DB: 82 Turkish words, angry, calm, happy or sad, by six speakers, 1735 clips.

``1157_kz_melek`` is speaker 1157, angry (kz), the word melek.
"""

from .base import CorpusInfo, Naming

LABEL_MAP = {"kz": "angry", "sk": "calm", "mt": "happy", "hl": "sad"}

FORM = r"(?P<speaker>[0-9]{4})_(?P<label>[a-z]{2})_(?P<statement>[a-z]+)1?"
FACTS = {"speaker": ("1157", "1234", "1358", "1984", "6783", "7895"), "label": LABEL_MAP}

MEMBERS = {
    "turev": CorpusInfo(
        name="turev",
        title="Turkish Emotion-Voice Database",
        licence="CC BY-NC-ND 4.0",
        citation="Canpolat SF et al. (2020), SLTU, 368-375. https://aclanthology.org/2020.sltu-1.52",
        homepage="https://github.com/Xeonen/TurEV-DB",
        label_map=LABEL_MAP,
        parse=Naming(FORM, FACTS),
        file_names="speaker, emotion and word",
        example="Sound Source/Angry/1157_kz_melek.wav",
    )
}
