"""SUBESCO: ten Bangla sentences in seven emotions, five times, by ten women and ten men, 7000 clips.

``F_02_MONIKA_S_1_NEUTRAL_5`` is woman 02, sentence 1, neutral, the fifth take.
"""

from .base import GENDERS, CorpusInfo, Naming, numbers, words

LABEL_MAP = words("ANGRY DISGUST FEAR HAPPY NEUTRAL SAD SURPRISE")

FORM = (  # one file of the original has a bracket after the take
    r"(?P<speaker>(?P<gender>[FM])_(?P<number>[0-9]{2}))_[A-Z]+_S_(?P<statement>[0-9]{1,2})"
    r"_(?P<label>[A-Z]+)_(?P<repetition>[0-9])\]?"
)
FACTS = {
    "gender": GENDERS,
    "number": numbers(1, 10),
    "statement": numbers(1, 10, 1),
    "label": LABEL_MAP,
    "repetition": {str(take): take for take in range(1, 6)},
}

MEMBERS = {
    "subesco": CorpusInfo(
        name="subesco",
        title="SUST Bangla Emotional Speech Corpus",
        licence="CC BY 4.0",
        citation="Sultana S et al. (2021), PLOS ONE 16(4). https://doi.org/10.1371/journal.pone.0250173",
        homepage="https://doi.org/10.5281/zenodo.4526477",
        label_map=LABEL_MAP,
        parse=Naming(FORM, FACTS),
        file_names="gender, number and name of the speaker, sentence, emotion and take",
        example="F_02_MONIKA_S_1_NEUTRAL_5.wav",
    )
}
