"""MESD: 862 Mexican words in six emotions by three women, two men and six children.

``Anger_C_A_basta_ya`` is an angry child that says "basta ya"; which one, the names do not tell.
"""

from .base import GENDERS, CorpusInfo, Naming, Row, words

LABEL_MAP = words("Anger Disgust Fear Happiness Neutral Sadness")

FORM = r"(?P<label>[A-Z][a-z]+)_(?P<voice>[A-Z])_(?P<words>[A-Z])_(?P<text>[a-z]+(?:_[a-z]+)*)"
FACTS = {"label": LABEL_MAP, "voice": ("F", "M", "C"), "words": ("A", "B")}


def _tell(fields: Row) -> Row:
    told = {"speaker": "", "text": fields["text"].replace("_", " ")}
    return told if fields["voice"] == "C" else told | {"gender": GENDERS[fields["voice"]]}


MEMBERS = {
    "mesd": CorpusInfo(
        name="mesd",
        title="Mexican Emotional Speech Database",
        licence="CC BY 4.0",
        citation="Duville MM et al. (2021), Data 6(12). https://doi.org/10.3390/data6120130",
        homepage="https://doi.org/10.17632/cy34mh68j9",
        label_map=LABEL_MAP,
        parse=Naming(FORM, FACTS, _tell),
        file_names="emotion, kind of voice, corpus and word",
        example="Anger_C_A_basta_ya.wav",
    )
}
