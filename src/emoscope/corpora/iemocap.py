"""IEMOCAP: 12 hours of scripted and improvised scenes, in five sessions of a woman and a man.

The label of a turn is what most raters chose, in ``dialog/EmoEvaluation`` of its session; the words are in
``dialog/transcriptions``. In a copy sorted into folders of emotions the folder is the label.
``Ses01F_impro01_M000`` is session 1 (F wears the markers) and **M** speaks: the man of session 1.
"""

import itertools
import re
from collections.abc import Mapping
from pathlib import Path, PurePath

from ..labels import canonical
from .base import CorpusInfo, Naming, Row, lines_beside, numbers, words

LABEL_MAP = words("ang hap sad neu fea sur dis")
NO_EMOTION = {
    "exc": "excitement",
    "fru": "frustration",
    "oth": "another emotion",
    "xxx": "its raters did not agree",
    "": "no file of dialog/EmoEvaluation names it, and its folder is no emotion",
}

FORM = (
    r"(?P<session>Ses[0-9]{2})[FM]_(?P<scene>(?:impro|script)[0-9]{2}\w{0,4})"
    r"_(?P<gender>[FM])(?P<turn>[0-9X]{3,4})"
)
GENDERS = {"F": "female", "M": "male"}
FACTS = {"session": [f"Ses{number}" for number in numbers(1, 5)], "gender": GENDERS}

FILES = {
    "label": ("dialog/EmoEvaluation/*.txt", re.compile(r"\[[^]]+\]\t(Ses\w+)\t(\w{3})\t")),
    "text": ("dialog/transcriptions/*.txt", re.compile(r"(Ses\w+) \[[^]]+\]: *(.*)")),
}


def _tell(fields: Row) -> Row:
    speaker = fields["session"] + fields["gender"]
    return {"label": "", "speaker": speaker, "statement": fields["scene"]}


def _label(path: PurePath) -> str:
    codes = {emotion: code for code, emotion in LABEL_MAP.items()}
    folders = [parent.name for parent in path.parents if parent.name]
    known = (f if f in NO_EMOTION else codes.get(canonical(f) or "", "") for f in folders)
    return next(filter(None, known), "")


def annotate(root: Path, rows: Mapping[PurePath, Row]) -> Mapping[PurePath, Row]:
    """The label and the words of each turn, as far as the folders of its session hold them."""
    told: dict[str, Row] = {}
    for column, (files, form) in FILES.items():
        for line in itertools.chain(*lines_beside(root, files).values()):
            if found := form.match(line):
                told.setdefault(found[1], {})[column] = found[2]
    return {
        path: {"label": _label(path.relative_to(root))} | told.get(path.stem, {}) for path in rows
    }


MEMBERS = {
    "iemocap": CorpusInfo(
        name="iemocap",
        title="Interactive Emotional Dyadic Motion Capture database",
        licence="free for research, on request (University of Southern California)",
        citation="Busso C et al. (2008), LREV 42, 335-359. https://doi.org/10.1007/s10579-008-9076-6",
        homepage="https://sail.usc.edu/iemocap/",
        label_map=LABEL_MAP,
        parse=Naming(FORM, FACTS, _tell),
        annotate=annotate,
        no_emotion=NO_EMOTION,
        file_names="session, scene, speaker and turn",
        example="Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_M000.wav",
    )
}
