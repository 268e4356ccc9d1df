"""URDU: 400 clips of Urdu talk shows in four emotions; 29 speakers by its names, 38 by its authors.

``SM1_F12_A034`` is man 1, his file 12, the 34th angry one.
"""

from .base import GENDERS, CorpusInfo, Naming, numbers

LABEL_MAP = {"A": "angry", "H": "happy", "N": "neutral", "S": "sad"}

FORM = (
    r"(?P<speaker>S(?P<gender>[A-Z])(?P<number>[0-9]{1,2}))_F[0-9]{1,3}_(?P<label>[A-Z])[0-9]{1,4}"
)
FACTS = {"gender": GENDERS, "number": numbers(1, 27, 1), "label": LABEL_MAP}

MEMBERS = {
    "urdu": CorpusInfo(
        name="urdu",
        title="URDU, emotional utterances of talk shows",
        licence="free for research",
        citation="Latif S et al. (2018), FIT, 88-93. https://doi.org/10.1109/FIT.2018.00023",
        homepage="https://github.com/siddiquelatif/URDU-Dataset",
        label_map=LABEL_MAP,
        parse=Naming(FORM, FACTS),
        file_names="speaker, number of the file, and emotion with a number",
        example="Angry/SM1_F12_A012.wav",
    )
}
