"""SAVEE: 15 sentences in each of six emotions and 30 neutral ones by four English men, 480 clips.

``DC/sa03`` is speaker DC, sadness, sentence 3; archives on Kaggle have it as ``DC_sa03``. The first three
sentences are the same in all emotions; the text is their number, of the others emotion and number.
"""

from .base import CorpusInfo, Naming, Row, numbers, words

LABEL_MAP = words("a=anger d=disgust f=fear h=happiness n=neutral sa=sadness su=surprise")

SPEAKERS = ("DC", "JE", "JK", "KL")
COMMON = numbers(1, 3)  # these sentences are spoken in every emotion

FORM = r"(?P<speaker>[A-Z]{2})[/_](?P<statement>(?P<label>[a-z]{1,2})(?P<number>[0-9]{2}))"
FACTS = {"speaker": SPEAKERS, "label": LABEL_MAP, "number": numbers(1, 30)}


def _tell(fields: Row) -> Row:
    return {
        "clip": "{speaker}_{statement}".format_map(fields),
        "gender": "male",
        **({"text": fields["number"]} if fields["number"] in COMMON else {}),
    }


SAVEE = CorpusInfo(
    name="savee",
    title="Surrey Audio-Visual Expressed Emotion database",
    licence="free for research, on registration with the authors",
    citation=(
        "Haq S, Jackson PJB (2010). Multimodal emotion recognition. In: Wang W (ed.), Machine "
        "Audition: Principles, Algorithms and Systems, IGI Global, 398-423."
    ),
    homepage="http://kahlan.eps.surrey.ac.uk/savee/",
    label_map=LABEL_MAP,
    parse=Naming(FORM, FACTS, _tell),
    file_names="emotion and number in a folder per speaker, or with the speaker in front",
    example="DC/sa03.wav",
    obtain="register with the authors at http://kahlan.eps.surrey.ac.uk/savee/",
)

MEMBERS = {"savee": SAVEE}
