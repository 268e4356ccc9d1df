"""MELD: 13,708 utterances of the television series Friends, cut as films.

Words, speaker and emotion are in ``train_sent_emo.csv``, ``dev_sent_emo.csv`` and ``test_sent_emo.csv``;
the times there are of the episode. Speakers are roles: "Woman" or "All" need not be one voice.
``dia12_utt4`` is utterance 4 of dialogue 12, counted anew in each split, which a folder's name tells.
"""

import csv
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath

from .base import CorpusInfo, Naming, Row, lines_beside, words

LABEL_MAP = words("neutral joy sadness anger fear disgust surprise")

FORM = r"dia(?P<dialogue>[0-9]+)_utt(?P<utterance>[0-9]+)"
_SPLIT = re.compile(r"(?<![a-z])(train|dev|test)(?![a-z])")


def _split(names: Iterable[str]) -> str:
    return next((found[1] for name in names if (found := _SPLIT.search(name.lower()))), "")


def annotate(root: Path, rows: Mapping[PurePath, Row]) -> Mapping[PurePath, Row]:
    """What the tables of the three splits say of each film."""
    told: dict[tuple[str, str], Row] = {}
    for file, lines in lines_beside(root, "*_sent_emo.csv").items():
        split = _split([file.name])
        for row in csv.DictReader(lines, restval=""):
            name = "dia{Dialogue_ID}_utt{Utterance_ID}".format_map(row)
            told[split, name] = {
                "clip": f"{split}_{name}",
                "label": row["Emotion"].lower(),
                "speaker": row["Speaker"],
                "text": row["Utterance"],
                "split": split,
            }
    return {
        path: told.get((_split(part.name for part in path.parents), path.stem), {}) for path in rows
    }


MEMBERS = {
    "meld": CorpusInfo(
        name="meld",
        title="Multimodal EmotionLines Dataset",
        licence="GPL-3.0 (annotations)",
        citation="Poria S et al. (2019), ACL, 527-536. https://doi.org/10.18653/v1/P19-1050",
        homepage="https://affective-meld.github.io",
        label_map=LABEL_MAP,
        parse=Naming(FORM, {}, lambda fields: {"label": "", "speaker": ""}),
        annotate=annotate,
        no_emotion={"": "no row of train_, dev_ or test_sent_emo.csv belongs to it"},
        file_names="dialogue and utterance, in a folder of the split, with train_sent_emo.csv beside",
        example="train/train_splits/dia12_utt4.mp4",
    )
}
