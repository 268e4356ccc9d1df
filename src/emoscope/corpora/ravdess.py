"""RAVDESS: two sentences, spoken and sung in eight emotions by twelve women and twelve men.

``03-01-06-01-02-01-12`` is modality, channel, emotion, intensity, statement, repetition and actor: audio,
speech, fearful, normal, "Dogs are sitting by the door", the first time, actor 12. Odd actors are men;
neutral has no strong intensity. A film with sound (01) records the performance of the audio (03).

Quirks: actor 18 has no song, five clips are stereo with identical channels, and actor 7's two
repetitions of happy, normal, "Dogs are sitting by the door" are one recording.
"""

from .base import CorpusInfo, Download, Facts, Naming, Row, numbers, words

MODALITIES = {"01": "audio-video", "03": "audio"}  # 02 is video without sound
CHANNELS = {"01": "speech", "02": "song"}

LABEL_MAP = words("01=neutral 02=calm 03=happy 04=sad 05=angry 06=fearful 07=disgust 08=surprised")

INTENSITIES = {"01": "normal", "02": "strong"}
STATEMENTS = {"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"}

FORM = (  # films without sound (02) are no clips
    r"(?P<modality>(?!02)[0-9]{2})-(?P<channel>[0-9]{2})-(?P<label>[0-9]{2})"
    r"-(?P<intensity>[0-9]{2})-(?P<statement>[0-9]{2})-(?P<repetition>[0-9]{2})-(?P<speaker>[0-9]{2})"
)
FACTS: Facts = {
    "modality": MODALITIES,
    "channel": CHANNELS,
    "label": LABEL_MAP,
    "intensity": INTENSITIES,
    "statement": STATEMENTS,
    "repetition": {"01": 1, "02": 2},
    "speaker": numbers(1, 24),
}


def _tell(fields: Row) -> Row:
    if (fields["label"], fields["intensity"]) == ("01", "02"):
        raise KeyError("neutral has no strong intensity")
    return {"gender": "female" if int(fields["speaker"]) % 2 == 0 else "male"}


_ZIP = "https://zenodo.org/records/1188976/files/Audio_{}_Actors_01-24.zip"

RAVDESS = CorpusInfo(
    name="ravdess",
    title="Ryerson Audio-Visual Database of Emotional Speech and Song",
    licence="CC BY-NC-SA 4.0",
    citation=(
        "Livingstone SR, Russo FA (2018). The Ryerson Audio-Visual Database of Emotional Speech "
        "and Song (RAVDESS): A dynamic, multimodal set of facial and vocal expressions in North "
        "American English. PLOS ONE 13(5): e0196391. https://doi.org/10.1371/journal.pone.0196391"
    ),
    homepage="https://zenodo.org/records/1188976",
    label_map=LABEL_MAP,
    parse=Naming(FORM, FACTS, _tell),
    file_names="seven two-digit numbers",
    example="Actor_12/03-01-06-01-02-01-12.wav",
    downloads=(
        Download(_ZIP.format("Speech"), 208_468_073, "bc696df654c87fed845eb13823edef8a", "speech"),
        Download(_ZIP.format("Song"), 225_505_317, "5411230427d67a21e18aa4d466e6d1b9", "song"),
    ),
    performance=lambda row: str(row["clip"])[3:],  # the film's sound is that of the audio
)

MEMBERS = {"ravdess": RAVDESS}
