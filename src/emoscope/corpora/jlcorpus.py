"""JL-Corpus: two women and two men of New Zealand in ten emotions, 2400 clips.

The primary emotions share their sentences, the secondary have their own; the number stands for the words.
``female1_angry_10a_1`` is woman 1, angry, sentence 10a, first session.
"""

from .base import CorpusInfo, Naming, Row, numbers

LABEL_MAP = {"angry": "angry", "happy": "happy", "neutral": "neutral", "sad": "sad"}
SECONDARY = ("anxious", "apologetic", "assertive", "concerned", "encouraging")
NO_EMOTION = {"excited": "a primary emotion", **dict.fromkeys(SECONDARY, "a secondary emotion")}

FORM = (
    r"(?P<speaker>(?P<gender>fe|)male[0-9])_(?P<label>[a-z]+)_(?P<statement>[0-9]{1,2}[a-z])"
    r"_(?P<repetition>[0-9])"
)
FACTS = {
    "speaker": ("female1", "female2", "male1", "male2"),
    "gender": {"fe": "female"},
    "label": (*LABEL_MAP, *NO_EMOTION),
    "statement": [number + half for number in numbers(1, 15, 1) for half in "ab"],
    "repetition": {"1": 1, "2": 2},
}


def _tell(fields: Row) -> Row:
    own = fields["label"] + "-" if fields["label"] in SECONDARY else ""
    return {"gender": fields["speaker"][:-1], "text": own + fields["statement"]}


MEMBERS = {
    "jlcorpus": CorpusInfo(
        name="jlcorpus",
        title="JL-Corpus, emotional speech in New Zealand English",
        licence="CC0 1.0",
        citation="James J et al. (2018), Interspeech. https://doi.org/10.21437/Interspeech.2018-1349",
        homepage="https://www.kaggle.com/datasets/tli725/jl-corpus",
        label_map=LABEL_MAP,
        parse=Naming(FORM, FACTS, _tell),
        no_emotion=NO_EMOTION,
        file_names="speaker, emotion, sentence and session",
        example="JL(wav+txt)/female1_angry_10a_1.wav",
    )
}
