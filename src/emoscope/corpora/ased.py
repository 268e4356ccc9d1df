"""ASED: 2474 clips in Amharic by 25 women and 40 men in five emotions, accepted by judges.

``a5-03-01-02-50`` is anger, sentence 03, first repetition, a man, speaker 50. Two of the seven sentences
are common to all emotions, which ones is not told: the number stands for the words.
"""

from .base import CorpusInfo, Naming, numbers

LABEL_MAP = {"n": "neutral", "f": "fearful", "h": "happy", "s": "sad", "a": "angry"}

FORM = (  # one file of the original has a capital S
    r"(?P<label>[a-z])[1-5]-(?P<statement>[0-9]{2})-(?P<repetition>[0-9]{2})-(?P<gender>[0-9]{2})"
    r"-(?P<speaker>[0-9]{2})"
)
FACTS = {
    "label": LABEL_MAP,
    "statement": numbers(1, 7),
    "repetition": {"01": 1, "02": 2},
    "gender": {"01": "female", "02": "male"},
    "speaker": numbers(1, 65),
}

MEMBERS = {
    "ased": CorpusInfo(
        name="ased",
        title="Amharic Speech Emotion Dataset",
        licence="not stated",
        citation="Retta EA et al. (2022), ACM TALLIP 22(1). https://doi.org/10.1145/3529759",
        homepage="https://github.com/Ethio2021/ASED_V1",
        label_map=LABEL_MAP,
        parse=Naming(FORM, FACTS, any_case=True),
        file_names="emotion, sentence, repetition, gender and speaker",
        example="05Angry/a5-03-01-02-50.wav",
    )
}
