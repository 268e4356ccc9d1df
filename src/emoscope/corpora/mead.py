"""MEAD: English sentences in eight emotions by 60 actors (M003) and actresses (W009), three levels each.

The number of a sentence stands for its words; some sentences are common to all emotions.
"""

from .base import CorpusInfo, Naming, words

LABEL_MAP = words("angry disgusted fear happy neutral sad surprised")
NO_EMOTION = {"contempt": "contempt"}

FORM = (
    r"(?P<speaker>(?P<gender>[MW])[0-9]{3})/audio/(?P<label>[a-z]+)/level_(?P<intensity>[0-9])"
    r"/(?P<statement>[0-9]{3})"
)
FACTS = {
    "gender": {"M": "male", "W": "female"},
    "label": (*LABEL_MAP, *NO_EMOTION),
    "intensity": {"1": "low", "2": "medium", "3": "high"},
}

MEMBERS = {
    "mead": CorpusInfo(
        name="mead",
        title="Multi-view Emotional Audio-visual Dataset",
        licence="free for research",
        citation="Wang K et al. (2020), ECCV, 700-717. https://doi.org/10.1007/978-3-030-58589-1_42",
        homepage="https://wywu.github.io/projects/MEAD/MEAD.html",
        label_map=LABEL_MAP,
        parse=Naming(FORM, FACTS, lambda told: {"clip": "_".join(told.values())}),
        no_emotion=NO_EMOTION,
        file_names="number of the sentence, in folders of the actor, audio, emotion and level",
        example="M003/audio/angry/level_1/001.m4a",
    )
}
