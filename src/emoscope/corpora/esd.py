"""ESD: 350 sentences in five emotions by ten speakers of Mandarin and ten of English, 35,000 clips.

A speaker's folder has one per emotion, which may be divided into train, evaluation (the authors'
validation set) and test. The files of a speaker are numbered 1 to 1750, 350 for each emotion in the same
order of sentences, whose number stands for the words.
"""

from .base import CorpusInfo, Naming, Row, numbers, words

LABEL_MAP = words("neutral angry happy sad surprise")

SPLITS = {"train": "train", "evaluation": "dev", "test": "test"}
_WOMEN = {*numbers(1, 3, 4), "0007", "0009", *numbers(15, 19, 4)}

FORM = (
    r"(?P<speaker>[0-9]{4})/(?P<label>[a-z]+)/(?:(?P<split>[a-z]+)/)?"
    r"(?P=speaker)_(?P<number>[0-9]{6})"
)
FACTS = {"speaker": numbers(1, 20, 4), "label": LABEL_MAP, "split": SPLITS}


def _tell(fields: Row) -> Row:
    language = "zh" if fields["speaker"] <= "0010" else "en"
    sentence = f"{language}-{(int(fields['number']) - 1) % 350 + 1:03}"
    return {
        "clip": "{speaker}_{number}_{label}".format_map(fields),
        "gender": "female" if fields["speaker"] in _WOMEN else "male",
        "text": sentence,
    }


MEMBERS = {
    "esd": CorpusInfo(
        name="esd",
        title="Emotional Speech Dataset",
        licence="free for research, after a licence is signed",
        citation="Zhou K et al. (2022), Speech Communication 137. https://doi.org/10.1016/j.specom.2021.11.006",
        homepage="https://github.com/HLTSingapore/Emotional-Speech-Data",
        label_map=LABEL_MAP,
        parse=Naming(FORM, FACTS, _tell, any_case=True),
        file_names="speaker and number, in a folder per speaker, emotion and split",
        example="0011/Angry/train/0011_000371.wav",
    )
}
