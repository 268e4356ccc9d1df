"""ShEMO: 3000 utterances of Persian radio plays by 31 women and 56 men, labelled by annotators.

``F03S02`` is woman 03, sad, the second such utterance of hers.
"""

from .base import GENDERS, CorpusInfo, Naming, numbers, words

LABEL_MAP = words("A=anger F=fear H=happiness N=neutral S=sadness W=surprise")

FORM = r"(?P<speaker>(?P<gender>[A-Z])[0-9]{2})(?P<label>[A-Z])[0-9]{2}"
FACTS = {
    "speaker": [f"F{n}" for n in numbers(1, 31)] + [f"M{n}" for n in numbers(1, 56)],
    "gender": GENDERS,
    "label": LABEL_MAP,
}

MEMBERS = {
    "shemo": CorpusInfo(
        name="shemo",
        title="Sharif Emotional Speech Database",
        licence="free for research",
        citation="Mohamad Nezami O et al. (2019), LREV 53. https://doi.org/10.1007/s10579-018-9427-x",
        homepage="https://github.com/pariajm/sharif-emotional-speech-database",
        label_map=LABEL_MAP,
        parse=Naming(FORM, FACTS),
        file_names="speaker, and emotion with a number",
        example="female/F03S02.wav",
    )
}
